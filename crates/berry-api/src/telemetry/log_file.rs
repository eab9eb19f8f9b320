//! The log file: JSON lines, which go on in another file when the configuration or whoever rotates
//! logs says so.
//!
//! A line is written to the file that is open when it is made, unless the disk is so slow that nobody
//! can wait for it; the one before is closed when its last line is out.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::LogError;
use super::loss::Loss;
use super::queue::{self, Queue};
use crate::folder::{self, Made};

/// How long a change of files waits for lines that belong to the file before.
const PATIENCE: Duration = Duration::from_millis(100);

/// See the module's documentation. Copies are the same file.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogFile(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// What the environment says; it wins over the configuration.
    fixed: Option<PathBuf>,
    open: Arc<ArcSwapOption<Open>>,
    /// One is open. Each line asks, and this is asked in less time.
    is_on: AtomicBool,
    /// None where nothing is logged.
    queue: Option<Queue>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    /// Of a pipe an end that nobody reads from: lines wait in it for who does, and without any there would be no
    /// pipe.
    reader: Mutex<Option<File>>,
}

impl Open {
    /// Ends to wait for a pipe's reader; returns how many lines are in it that nobody will read. Who waits for
    /// room in it does not any more.
    fn let_go(&self) -> io::Result<u64> {
        if self.reader.lock().take().is_none() {
            return Ok(0);
        }
        let again = |options: &mut OpenOptions| {
            let flags = OFlags::NONBLOCK.bits().cast_signed();
            options.custom_flags(flags).open(&self.path)
        };
        match again(OpenOptions::new().write(true)) {
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {}
            _ => return Ok(0),
        }
        let mut left = again(OpenOptions::new().read(true))?;
        let (mut lines, mut room) = (0, [0; 4096]);
        loop {
            match left.read(&mut room) {
                Ok(0) => return Ok(lines),
                Ok(length) => lines += queue::count(room.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(lines),
                Err(error) => return Err(error),
            }
        }
    }
}

impl LogFile {
    /// Makes ready to write a file; `fixed` is what the environment says. Nothing is open before
    /// [`LogFile::follow`].
    ///
    /// # Errors
    /// There is no thread that could write.
    pub(super) fn new(fixed: Option<PathBuf>) -> Result<Self, LogError> {
        let open = Arc::new(ArcSwapOption::empty());
        let current = Current(Arc::clone(&open));
        let queue = Queue::start(Loss::of(super::LOG_FILE), current).map_err(LogError::Thread)?;
        Ok(Self(Arc::new(Inner {
            fixed,
            open,
            is_on: AtomicBool::new(false),
            queue: Some(queue),
        })))
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
        let opened = path.map(|path| {
            let (open, made) = open(path)?;
            Ok::<_, LogError>((Arc::new(open), made))
        });
        let (open, made) = opened.transpose()?.unzip();
        if let Some(queue) = &self.0.queue {
            queue.flush(PATIENCE);
        }
        self.0.is_on.store(open.is_some(), Ordering::Relaxed);
        if let Some(before) = self.0.open.swap(open) {
            self.leave(&before);
        }
        made.into_iter().for_each(Made::announce);
        Ok(())
    }

    /// Ends to wait for whoever reads, where that is a pipe.
    pub(super) fn end(&self) {
        if let Some(open) = self.0.open.load_full() {
            self.leave(&open);
        }
    }

    /// Leaves a file, and counts what is lost with it.
    fn leave(&self, open: &Open) {
        if let Some(queue) = &self.0.queue
            && let Ok(lost @ 1..) = open.let_go()
        {
            queue.loss().lose(lost, "nobody reads the pipe");
        }
    }

    /// Whether a file is written.
    pub(super) fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    /// Returns where lines wait to be written.
    pub(super) fn queue(&self) -> Option<&Queue> {
        self.0.queue.as_ref()
    }
}

/// Writes to the file that is open, or to nothing.
#[derive(Debug)]
struct Current(Arc<ArcSwapOption<Open>>);

impl Write for Current {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.load().as_deref() {
            Some(open) => (&open.file).write(bytes),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens a log file to append to, and makes its folder.
fn open(path: &Path) -> Result<(Open, Made), LogError> {
    let wrong = |source| LogError::File {
        path: path.to_owned(),
        source,
    };
    let made = folder::make_for(path).map_err(wrong)?;
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(folder::MODE);
    // Opening a pipe to write waits for its reader, and with it a start or a reload; to do both does not.
    let kind = std::fs::metadata(path).map(|metadata| metadata.file_type());
    let is_pipe = kind.is_ok_and(|kind| kind.is_fifo());
    let reader = is_pipe.then(|| OpenOptions::new().read(true).write(true).open(path));
    let open = Open {
        path: path.to_owned(),
        reader: Mutex::new(reader.transpose().map_err(wrong)?),
        file: options.open(path).map_err(wrong)?,
    };
    Ok((open, made))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn who_is_in_another_group_cannot_read_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/berry.log");

        let (open, _) = open(&path).unwrap();

        let mode = open.file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{mode:o}");
    }

    fn pipe(folder: &tempfile::TempDir) -> PathBuf {
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        pipe
    }

    #[test]
    fn a_pipe_is_opened_before_anybody_reads_it_and_what_nobody_reads_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (open, _) = open(&pipe(&folder)).unwrap();

        (&open.file).write_all(b"one\ntwo\nthr").unwrap();

        assert_eq!(open.let_go().unwrap(), 2);
        assert!((&open.file).write_all(b"ee\n").is_err());
        assert_eq!(open.let_go().unwrap(), 0);
    }

    #[test]
    fn what_is_in_a_pipe_that_somebody_reads_is_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let path = pipe(&folder);
        let (open, _) = open(&path).unwrap();
        (&open.file).write_all(b"one\ntwo\n").unwrap();
        let mut reader = File::open(&path).unwrap();

        assert_eq!(open.let_go().unwrap(), 0);
        drop(open);

        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "one\ntwo\n");
    }
}
