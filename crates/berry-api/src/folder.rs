//! Files that Berry writes, and their folders. A folder that is not there is made, since `logs/berry-api.log` is
//! asked for before anybody has made `logs`; and it is said, since it may be a slip of the pen.

use std::io;
use std::path::{Path, PathBuf};

use tracing::info;

/// Who may read a file that Berry begins: its owner, and whoever is in the group, as those are who collect
/// logs. Who has asked for what, and how much, is nobody else's business.
pub(crate) const MODE: u32 = 0o640;

/// A folder that was made, if one was.
#[derive(Debug)]
#[must_use]
pub(crate) struct Made(Option<PathBuf>);

impl Made {
    /// Says so, where it can be read.
    pub(crate) fn announce(self) {
        if let Some(folder) = self.0 {
            info!(folder = %folder.display(), "folder made");
        }
    }
}

/// Makes the folder that a file is to be in, where it is not there.
pub(crate) fn make_for(file: &Path) -> io::Result<Made> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let Some(folder) = folder.filter(|folder| !folder.is_dir()) else {
        return Ok(Made(None));
    };
    std::fs::create_dir_all(folder)?;
    Ok(Made(Some(folder.to_owned())))
}
