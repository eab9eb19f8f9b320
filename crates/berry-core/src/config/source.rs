//! The text of a configuration file and where it came from.
//!
//! Every way in which [`Source::read`] can find a file unreadable is one clear line. Files that the
//! text names are never read in this crate; resolving it only makes sure that some are there.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The largest file that is read, in bytes: thousands of models fit in, a disk image does not.
const MAX_BYTES: u64 = 16 << 20;

/// The bit of a file's mode that lets everybody read it.
const READ_BY_OTHERS: u32 = 0o004;

/// A configuration file's text.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    path: PathBuf,
    text: String,
    /// Where each line but the first begins: a file can have a finding on each of them.
    starts: Box<[usize]>,
    is_public: bool,
}

/// Why a file's text cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no such file.
    #[error("no configuration file at `{}`", .0.display())]
    Missing(PathBuf),
    /// It is a directory.
    #[error("`{}` is a directory, not a configuration file", .0.display())]
    Directory(PathBuf),
    /// It is a pipe, a socket or a device.
    #[error(
        "`{}` is a pipe or a device, not a configuration file: it could not be read again for a \
         reload",
        .0.display()
    )]
    Special(PathBuf),
    /// The system refused to read it.
    #[error("configuration file `{}` cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not text.
    #[error("configuration file `{}` is not UTF-8 text: see line {line}", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The first line that is not text, counted from 1.
        line: usize,
    },
    /// It is text in another encoding.
    #[error(
        "configuration file `{}` is UTF-16 text: save it as UTF-8, in editors often under \
         \"Save as\", \"Encoding\"",
        .0.display()
    )]
    Utf16(PathBuf),
    /// It is larger than any configuration.
    #[error("configuration file `{}` is larger than 16 MiB", .0.display())]
    TooLarge(PathBuf),
}

impl Source {
    /// Reads a file.
    ///
    /// # Errors
    /// Says why the file's text cannot be had.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, SourceError> {
        let path = path.into();
        let (bytes, is_public) = read_bounded(&path)?;
        if is_utf16(&bytes) {
            return Err(SourceError::Utf16(path));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self {
                is_public,
                ..Self::new(path, text)
            }),
            Err(error) => {
                let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = valid.split(|&byte| byte == b'\n').count();
                Err(SourceError::NotUtf8 { path, line })
            }
        }
    }

    /// Takes a text that is already there. A byte order mark is left out.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        Self {
            path: path.into(),
            starts: text.match_indices('\n').map(|(end, _)| end + 1).collect(),
            text,
            is_public: false,
        }
    }

    /// Whether every user of the machine can read the file.
    pub(super) fn is_public(&self) -> bool {
        self.is_public
    }

    /// Returns where the text came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the line on which a byte is, without its end.
    pub(super) fn line(&self, offset: usize) -> Range<usize> {
        let (_, start) = self.number_and_start(offset);
        let length = self.text[start..].lines().next().map_or(0, str::len);
        start..start + length
    }

    /// Returns the line and the column of a byte, both counted from 1, columns in characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.text.floor_char_boundary(offset);
        let (line, start) = self.number_and_start(offset);
        (line, 1 + self.text[start..offset].chars().count())
    }

    /// Returns the number of the line on which a byte is, counted from 1, and where it begins.
    fn number_and_start(&self, offset: usize) -> (usize, usize) {
        let begun = self.starts.partition_point(|&start| start <= offset);
        let last = begun.checked_sub(1).and_then(|last| self.starts.get(last));
        (1 + begun, last.copied().unwrap_or(0))
    }
}

/// Shows the path only: the text has keys in it.
impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Whether bytes begin as UTF-16 does, by its mark or by a character of ASCII.
fn is_utf16(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=255, ..] | [1..=255, 0, ..]
    )
}

/// Returns a file's bytes and whether everybody can read them.
fn read_bounded(path: &Path) -> Result<(Vec<u8>, bool), SourceError> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => SourceError::Missing(path.to_owned()),
        _ => SourceError::Unreadable {
            path: path.to_owned(),
            source,
        },
    };
    // Opening a pipe would wait for its other end, and a device may have no end.
    let metadata = fs::metadata(path).map_err(refused)?;
    if metadata.is_dir() {
        return Err(SourceError::Directory(path.to_owned()));
    }
    if !metadata.is_file() {
        return Err(SourceError::Special(path.to_owned()));
    }
    let file = File::open(path).map_err(refused)?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(refused)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(SourceError::TooLarge(path.to_owned()));
    }
    Ok((bytes, is_public(&metadata)))
}

/// Whether every user of the machine can read a file.
pub(super) fn is_public(file: &Metadata) -> bool {
    file.mode() & READ_BY_OTHERS != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn a_byte_order_mark_is_left_out() {
        let file = written(b"\xef\xbb\xbf[settings]\n");

        assert_eq!(Source::read(file.path()).unwrap().text(), "[settings]\n");
    }

    #[test]
    fn a_missing_file_and_a_directory_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();

        assert!(matches!(
            Source::read(folder.path()),
            Err(SourceError::Directory(_))
        ));
        let missing = Source::read(folder.path().join("config.toml"));
        assert!(matches!(missing, Err(SourceError::Missing(_))));
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("config.toml");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();

        for path in [&*socket, Path::new("/dev/zero")] {
            let read = Source::read(path);
            assert!(matches!(read, Err(SourceError::Special(_))), "{read:?}");
        }
    }

    #[test]
    fn the_line_that_is_not_text_is_named() {
        let file = written(b"[settings]\n# caf\xe9\n");

        assert!(matches!(
            Source::read(file.path()),
            Err(SourceError::NotUtf8 { line: 2, .. })
        ));
    }

    #[test]
    fn text_of_another_encoding_is_called_by_its_name() {
        for bytes in [
            &b"\xff\xfe[\0s\0"[..],
            b"\xfe\xff\0[\0s",
            b"[\0s\0",
            b"\0[\0s",
        ] {
            let read = Source::read(written(bytes).path());
            assert!(matches!(read, Err(SourceError::Utf16(_))), "{read:?}");
        }
    }

    #[test]
    fn a_file_larger_than_any_configuration_is_refused() {
        let file = written(b"");
        file.as_file().set_len(MAX_BYTES + 1).unwrap();

        assert!(matches!(
            Source::read(file.path()),
            Err(SourceError::TooLarge(_))
        ));
    }

    #[test]
    fn columns_are_counted_in_characters() {
        let source = Source::new("config.toml", "# 第一行\nname = \"第\" # x");

        assert_eq!(source.position(source.text().find('x').unwrap()), (2, 14));
        assert_eq!(source.position(usize::MAX), (2, 15));
    }
}
