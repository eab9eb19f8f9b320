//! Whether a file could be written, found out without writing.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{Access, access};

/// The bits of a folder's mode that let anybody write in it.
const WRITE: u32 = 0o222;

/// Says what keeps a file from being written to or made, with the folders it is to be in; none when
/// nothing does.
pub(super) fn obstacle(path: &Path) -> Option<String> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Some("it is a folder".to_owned()),
        // What is no file, a pipe among it, would be opened for real.
        Ok(found) if !found.is_file() => None,
        Ok(_) => {
            let opened = OpenOptions::new().append(true).open(path);
            opened.err().map(|error| error.to_string())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => above(path),
        Err(error) => Some(error.to_string()),
    }
}

/// Says what keeps a file from being made in the nearest folder that is there.
fn above(path: &Path) -> Option<String> {
    let mut folders = path.ancestors().skip(1);
    let folder = folders.find(|folder| folder.as_os_str().is_empty() || folder.exists())?;
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let shown = folder.display();
    let found = match fs::metadata(folder) {
        Ok(found) => found,
        Err(error) => return Some(error.to_string()),
    };
    if !found.is_dir() {
        return Some(format!("`{shown}` is not a folder"));
    }
    // Of a superuser, who may write everywhere, `access` knows no better.
    if found.permissions().mode() & WRITE == 0 {
        return Some(format!("nobody may write in `{shown}`"));
    }
    let allowed = access(folder, Access::WRITE_OK | Access::EXEC_OK);
    allowed.err().map(|error| format!("`{shown}`: {error}"))
}
