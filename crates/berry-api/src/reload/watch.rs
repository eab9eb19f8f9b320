//! Notices that the configuration file may have changed.
//!
//! The folder is watched, not the file: editors replace a file by renaming another over it, and
//! Kubernetes swaps a symlink beside it. What the system does not tell (network file systems, a
//! file behind a symlink to elsewhere, a folder that was itself replaced) is seen by looking at the
//! file twice a second. A change is reported when the file has been left alone for a moment, so
//! that one that is being written is not read; whether its content is another is not asked here.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::warn;

/// How often the file is looked at, whatever the system tells.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long nothing must happen before the file counts as written.
const QUIET: Duration = Duration::from_millis(200);
/// The longest wait for that: something else in the folder may never be quiet.
const LONGEST: Duration = Duration::from_secs(1);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Watch {
    path: PathBuf,
    seen: Option<Look>,
    hints: Arc<Notify>,
    /// Tells of the folder while it lives; none where the system cannot.
    _watcher: Option<RecommendedWatcher>,
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
        let hints = Arc::new(Notify::new());
        let watcher = watch_folder(path, Arc::clone(&hints));
        let watcher = watcher.inspect_err(|error| {
            warn!(%error, "the folder of the configuration file cannot be watched: looking instead");
        });
        Self {
            path: path.to_owned(),
            seen: std::fs::metadata(path).ok().map(Look::from),
            hints,
            _watcher: watcher.ok(),
        }
    }

    /// Waits until something may have changed, and is not going on.
    pub(crate) async fn settled(&mut self) {
        loop {
            tokio::select! {
                () = self.hints.notified() => break,
                () = sleep(LOOK_EVERY) => {
                    if self.look().await {
                        break;
                    }
                }
            }
        }
        let latest = Instant::now() + LONGEST;
        loop {
            let quiet = latest.min(Instant::now() + QUIET);
            if timeout_at(quiet, self.hints.notified()).await.is_err() {
                // Where nobody tells of changes, one that goes on is seen by this.
                if !self.look().await || Instant::now() >= latest {
                    return;
                }
            }
        }
    }

    /// Looks at the file; returns whether it is another than before.
    async fn look(&mut self) -> bool {
        let found = tokio::fs::metadata(&self.path).await.ok().map(Look::from);
        std::mem::replace(&mut self.seen, found) != found
    }
}

fn watch_folder(path: &Path, hints: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    };
    let name = path.file_name().map(OsStr::to_owned);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // An error may hide a change.
        if event.map_or(true, |event| concerns(&event, name.as_deref())) {
            hints.notify_one();
        }
    })?;
    watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Whether an event may be about the file of this name: logs and the like in the same folder are
/// never quiet.
fn concerns(event: &Event, name: Option<&OsStr>) -> bool {
    // Kubernetes' symlink, and what it is renamed from.
    let is_swap = |name: &OsStr| name.as_encoded_bytes().starts_with(b"..");
    let mut names = event.paths.iter().map(|path| path.file_name());
    let is_ours = names.any(|found| found == name || found.is_some_and(is_swap));
    (is_ours || event.paths.is_empty()) && !is_reading(event.kind)
}

/// Whether something was only read, as this process does when it has been told of a change.
fn is_reading(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access != AccessKind::Close(AccessMode::Write),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use notify::event::{AccessMode, ModifyKind};

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

    #[test]
    fn only_what_may_change_the_file_is_heard() {
        let written = EventKind::Modify(ModifyKind::Any);
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let read = EventKind::Access(AccessKind::Open(AccessMode::Read));
        let renamed = ["folder/.config.toml.swp", "folder/config.toml"];

        for (kind, paths, expected) in [
            (written, &["folder/config.toml"][..], true),
            (closed, &["folder/config.toml"], true),
            (written, &renamed, true),
            (written, &["folder/..data"], true),
            (written, &[], true),
            (read, &["folder/config.toml"], false),
            (written, &["folder/berry-api.log"], false),
        ] {
            let event = paths
                .iter()
                .fold(Event::new(kind), |event, path| event.add_path(path.into()));

            let heard = concerns(&event, Some(OsStr::new("config.toml")));

            assert_eq!(heard, expected, "{event:?}");
        }
    }
}
