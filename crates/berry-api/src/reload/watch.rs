//! Notices that the configuration file may have changed.
//!
//! The file is looked at four times a second. That costs nothing worth mentioning, and sees whatever
//! may happen to it: a save in place, an editor's rename over it, Kubernetes' swap of a symlink on the
//! way to it, a folder that is replaced, a network file system. What the system tells of a folder misses
//! half of that, and tells of each write to a log or database beside the file. A change is reported when
//! the file has been left alone for a moment, so that one that is being written is not read; whether
//! its content is another is not asked here.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long nothing must happen before the file counts as written.
const QUIET: Duration = Duration::from_millis(200);
/// The longest wait for that: something may never be quiet.
const LONGEST: Duration = Duration::from_secs(1);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Watch {
    path: PathBuf,
    seen: Option<Look>,
}

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    /// Moves with every write, whatever the writer sets `modified` to.
    changed: (i64, i64),
}

impl From<Metadata> for Look {
    fn from(file: Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

impl Watch {
    /// Begins to watch a file, which need not be there.
    pub(crate) fn begin(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            seen: std::fs::metadata(path).ok().map(Look::from),
        }
    }

    /// Waits until something may have changed, and is not going on.
    pub(crate) async fn settled(&mut self) {
        loop {
            sleep(LOOK_EVERY).await;
            if self.look().await {
                break;
            }
        }
        let latest = Instant::now() + LONGEST;
        loop {
            sleep(QUIET).await;
            if !self.look().await || Instant::now() >= latest {
                return;
            }
        }
    }

    /// Looks at the file; returns whether it is another than before.
    async fn look(&mut self) -> bool {
        let found = tokio::fs::metadata(&self.path).await.ok().map(Look::from);
        std::mem::replace(&mut self.seen, found) != found
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_file_of_the_same_size_and_time_is_another() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let look = || Look::from(file.as_file().metadata().unwrap());
        let write = |byte: &[u8]| {
            std::fs::write(file.path(), byte).unwrap();
            file.as_file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        };
        write(b"1");
        let before = look();

        // The clock of a file system may stand still for some milliseconds.
        let mut after = before;
        while after == before {
            write(b"2");
            after = look();
        }

        assert_eq!(
            (after.inode, after.length, after.modified),
            (before.inode, before.length, before.modified)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_told_of_when_the_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let began = Instant::now();
        let mut watch = Watch::begin(&path);
        let telling = async {
            watch.settled().await;
            began.elapsed()
        };
        // Each length is another state.
        let writing = async {
            for length in 1..=3 {
                sleep(Duration::from_millis(190)).await;
                std::fs::write(&path, vec![b'#'; length]).unwrap();
            }
        };

        let (told, ()) = tokio::join!(telling, writing);

        // Another one at 250, 450 and 650 ms, and the same at 850.
        assert!((850..900).contains(&told.as_millis()), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_never_rests_is_told_of_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let mut watch = Watch::begin(&path);

        let mut length = 0;
        let writing = async {
            loop {
                length += 1;
                std::fs::write(&path, vec![b'#'; length]).unwrap();
                sleep(Duration::from_millis(50)).await;
            }
        };

        tokio::select! {
            () = watch.settled() => {}
            () = writing => {}
        }
    }
}
