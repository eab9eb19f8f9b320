//! The log file: JSON lines, which go on in another file when the configuration or whoever rotates
//! logs says so.
//!
//! A line is written to the file that is open when it is made; the one before is closed when its
//! last line is out.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tracing_subscriber::fmt::MakeWriter;

use super::LogError;

/// See the module's documentation. Copies are the same file.
#[derive(Debug, Clone, Default)]
pub struct LogFile(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// What the environment says; it wins over the configuration.
    fixed: Option<PathBuf>,
    open: ArcSwapOption<Open>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: Arc<File>,
}

impl LogFile {
    /// Opens the file that the environment names, or the configuration; none means that no file is
    /// written.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(
        fixed: Option<PathBuf>,
        configured: Option<&Path>,
    ) -> Result<Self, LogError> {
        let file = Self(Arc::new(Inner {
            fixed,
            open: ArcSwapOption::empty(),
        }));
        file.begin(file.0.fixed.as_deref().or(configured))?;
        Ok(file)
    }

    /// Goes on where the configuration says now.
    ///
    /// # Errors
    /// That file cannot be opened; lines go on as before.
    pub(crate) fn follow(&self, configured: Option<&Path>) -> Result<(), LogError> {
        let path = self.0.fixed.as_deref().or(configured);
        let open = self.0.open.load();
        if open.as_ref().map(|open| open.path.as_path()) == path {
            return Ok(());
        }
        self.begin(path)
    }

    /// Opens the same path again: the file there may be another by now.
    ///
    /// # Errors
    /// It cannot be opened; lines go on as before.
    pub(crate) fn reopen(&self) -> Result<(), LogError> {
        let open = self.0.open.load_full();
        self.begin(open.as_ref().map(|open| open.path.as_path()))
    }

    fn begin(&self, path: Option<&Path>) -> Result<(), LogError> {
        let open = path.map(|path| {
            let file = Arc::new(open(path)?);
            let path = path.to_owned();
            Ok::<_, LogError>(Arc::new(Open { path, file }))
        });
        self.0.open.store(open.transpose()?);
        Ok(())
    }

    /// Whether a file is written.
    pub(super) fn is_on(&self) -> bool {
        self.0.open.load().is_some()
    }
}

/// Writes to a file, or to nothing.
#[derive(Debug)]
pub struct Writer(Option<Arc<File>>);

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &mut self.0 {
            Some(file) => file.write(bytes),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match &mut self.0 {
            Some(file) => file.flush(),
            None => Ok(()),
        }
    }
}

impl MakeWriter<'_> for LogFile {
    type Writer = Writer;

    fn make_writer(&self) -> Writer {
        let open = self.0.open.load();
        Writer(open.as_ref().map(|open| Arc::clone(&open.file)))
    }
}

/// Opens a log file to append to, and makes its folder.
fn open(path: &Path) -> Result<File, LogError> {
    let wrong = |source| LogError::File {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(wrong)?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(wrong)
}
