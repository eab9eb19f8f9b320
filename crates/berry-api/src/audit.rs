//! The audit log: who did what from where, and what came of it, one JSON line each.
//!
//! Lines are handed to a thread of their own over a queue that has an end. A disk that is slow or
//! full therefore costs lines and no request: what is lost is counted, and said in the log. The file
//! is appended to, readable by its owner alone, and opened anew by each reload, so that it can be
//! moved away and followed by another. A line goes to the file that was open when it was recorded.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::folder;
use crate::telemetry::loss::Loss;

/// The most bytes of lines that wait for the disk, of which most have two or three hundred: some seconds'
/// worth of a busy gateway.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// For its owner alone: it says who did what.
const MODE: u32 = 0o600;
/// The most of a resource that is written: paths are the clients' and may be long.
const LONGEST_RESOURCE: usize = 1024;
/// The most of a result: a configuration may have a lot of mistakes.
const LONGEST_RESULT: usize = 4 * 1024;
/// How long the disk has for what was said last.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the audit log `{}` cannot be opened", path.display())]
pub struct AuditError {
    path: PathBuf,
    source: io::Error,
}

/// What happened, but for when. Members that do not apply are null.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Event<'a> {
    pub(crate) user_id: Option<&'a str>,
    pub(crate) action: Action,
    /// What it was done to: a method and path, for requests also model and backend; a file.
    pub(crate) resource: &'a str,
    /// A status, or why not.
    pub(crate) result: &'a str,
    pub(crate) ip_address: Option<IpAddr>,
    pub(crate) request_id: Option<&'a str>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// A credential was refused.
    Authenticate,
    /// A route for admins was used, or tried.
    Admin,
    /// The configuration was read again.
    Reload,
    /// A request named the provider to use.
    ChooseBackend,
    /// Anything else that needs a user.
    Request,
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    #[serde(flatten)]
    event: Event<'a>,
}

enum Message {
    /// A line, and the file that was written to when it was recorded.
    Line(Arc<File>, Vec<u8>),
    Close(oneshot::Sender<()>),
}

/// The bytes of the lines in the queue.
#[derive(Debug, Clone, Default)]
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    /// Adds a line, if there is room for it.
    fn add(&self, length: usize) -> bool {
        let more = |bytes| Some(bytes + length).filter(|&bytes| bytes <= MOST_BYTES);
        // Only the number itself is shared.
        let added = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        added.is_ok()
    }

    fn remove(&self, length: usize) {
        self.0.fetch_sub(length, Ordering::Relaxed);
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Audit {
    /// Where lines go; none where no audit log is kept.
    file: ArcSwapOption<File>,
    queue: Sender<Message>,
    waiting: Waiting,
    /// Counted by the writer, too.
    loss: Loss,
}

impl Audit {
    /// Begins to write to a file, if there is one.
    ///
    /// # Errors
    /// There can be no other thread.
    pub(crate) fn begin(file: Option<File>) -> io::Result<Self> {
        let (queue, messages) = channel();
        let loss = Loss::of("audit");
        let waiting = Waiting::default();
        let writer = Writer::new(loss.clone(), waiting.clone());
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&messages))?;
        Ok(Self {
            file: ArcSwapOption::new(file.map(Arc::new)),
            queue,
            waiting,
            loss,
        })
    }

    /// Returns whether anybody reads what is recorded.
    pub(crate) fn is_on(&self) -> bool {
        self.file.load().is_some()
    }

    /// Notes that something happened. Waits for nothing.
    pub(crate) fn record(&self, event: Event<'_>) {
        let Some(file) = self.file.load_full() else {
            return;
        };
        let line = Line {
            // Always as many digits: as text, too, lines are in their order.
            timestamp: format!("{:.3}", Timestamp::now()),
            event: Event {
                resource: beginning(event.resource, LONGEST_RESOURCE),
                result: beginning(event.result, LONGEST_RESULT),
                ..event
            },
        };
        let Ok(mut line) = serde_json::to_vec(&line) else {
            // Text and numbers have no way to fail.
            return;
        };
        line.push(b'\n');
        let length = line.len();
        if !self.waiting.add(length) {
            self.loss.lose(1, "the disk is too slow");
        } else if self.queue.send(Message::Line(file, line)).is_err() {
            self.waiting.remove(length);
            self.loss.lose(1, "the thread has ended");
        }
    }

    /// Writes to another file from now on, or to none.
    pub(crate) fn continue_in(&self, file: Option<File>) {
        self.file.store(file.map(Arc::new));
    }

    /// Returns what it loses.
    pub(crate) fn loss(&self) -> &Loss {
        &self.loss
    }

    /// Waits until what was recorded so far is written, but not for ever.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close(done)).is_ok() {
            let _ = timeout(LAST_WORDS, closed).await;
        }
    }
}

/// Returns as much of a text as is written.
fn beginning(text: &str, longest: usize) -> &str {
    let end = text.floor_char_boundary(longest);
    text.get(..end).unwrap_or(text)
}

/// Opens the file to append to, for its owner alone; makes its folder.
///
/// # Errors
/// It cannot be opened.
pub(crate) fn open(path: Option<&Path>) -> Result<Option<File>, AuditError> {
    let Some(path) = path else {
        return Ok(None);
    };
    let wrong = |source| AuditError {
        path: path.to_owned(),
        source,
    };
    folder::make_for(path).map_err(wrong)?.announce();
    // Opening a pipe waits for its reader, and so would everybody who waits for a reload.
    match std::fs::metadata(path).map(|metadata| metadata.file_type()) {
        Ok(kind) if kind.is_fifo() || kind.is_socket() => {
            let error = "it is neither a file nor a device";
            return Err(wrong(io::Error::new(io::ErrorKind::InvalidInput, error)));
        }
        _ => {}
    }
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).mode(MODE).open(path);
    let file = file.map_err(wrong)?;
    // The mode is that of a new file; this one may be older. Devices keep what they have.
    if file.metadata().map_err(wrong)?.is_file() {
        file.set_permissions(Permissions::from_mode(MODE))
            .map_err(wrong)?;
    }
    Ok(Some(file))
}

/// The thread that waits for the disk.
struct Writer {
    loss: Loss,
    waiting: Waiting,
    /// The file in which a line was begun and not ended.
    torn: Option<Arc<File>>,
}

impl Writer {
    fn new(loss: Loss, waiting: Waiting) -> Self {
        Self {
            loss,
            waiting,
            torn: None,
        }
    }

    fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Line(file, line) => {
                    self.waiting.remove(line.len());
                    self.write(file, line);
                }
                Message::Close(done) => {
                    // Nobody waits any more where it took too long.
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    fn write(&mut self, file: Arc<File>, mut line: Vec<u8>) {
        let torn = self.torn.take();
        if torn.is_some_and(|torn| Arc::ptr_eq(&torn, &file)) {
            line.insert(0, b'\n');
        }
        match (&*file).write_all(&line) {
            Ok(()) => self.loss.works(),
            Err(error) => {
                self.loss.lose(1, error);
                self.torn = Some(file);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn event(result: &str) -> Event<'_> {
        Event {
            user_id: Some("ada"),
            action: Action::ChooseBackend,
            resource: "a\n\u{1b}[31mb",
            result,
            ip_address: None,
            request_id: None,
        }
    }

    fn lines(path: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn events_are_lines_that_nothing_in_them_can_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/audit.jsonl");
        let audit = Audit::begin(open(Some(&path)).unwrap()).unwrap();

        audit.record(event("200"));
        audit.close().await;

        let lines = lines(&path);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["action"], "choose_backend");
        assert_eq!(lines[0]["resource"], "a\n\u{1b}[31mb");
        assert_eq!(lines[0]["ip_address"], Value::Null);
        let timestamp = lines[0]["timestamp"].as_str().unwrap();
        assert_eq!(timestamp.len(), "2026-01-02T03:04:05.678Z".len());
        assert_eq!(lines[0].as_object().unwrap().len(), 7);
    }

    #[test]
    fn the_file_is_its_owners_alone_also_where_it_was_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        std::fs::write(&path, "{}\n").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();

        open(Some(&path)).unwrap();

        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(lines(&path).len(), 1);
    }

    #[tokio::test]
    async fn of_a_long_resource_the_beginning_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::begin(open(Some(&path)).unwrap()).unwrap();

        audit.record(Event {
            resource: &("x".to_owned() + &"é".repeat(2_000)),
            ..event("404")
        });
        audit.close().await;

        let resource = lines(&path)[0]["resource"].as_str().unwrap().len();
        assert_eq!(resource, LONGEST_RESOURCE - 1);
    }

    #[test]
    fn what_opening_would_wait_for_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());

        for path in [path, pipe] {
            let error = open(Some(&path)).unwrap_err();
            assert!(error.source.to_string().contains("neither"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn what_was_recorded_before_the_log_was_switched_off_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::begin(open(Some(&path)).unwrap()).unwrap();

        audit.record(event("before"));
        audit.continue_in(None);
        audit.record(event("after"));
        audit.close().await;

        let lines = lines(&path);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["result"], "before");
    }

    #[test]
    fn a_full_disk_costs_lines_that_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let opened = |path: &Path| Arc::new(open(Some(path)).unwrap().unwrap());
        let (full, good) = (opened(Path::new("/dev/full")), opened(&path));
        let mut writer = Writer::new(Loss::of("audit"), Waiting::default());

        for file in [&full, &full, &good] {
            writer.write(Arc::clone(file), b"{}\n".to_vec());
        }

        assert_eq!(writer.loss.count(), 2);
        assert_eq!(lines(&path).len(), 1);
    }

    #[test]
    fn a_queue_holds_no_more_than_some_megabytes_however_long_its_lines_are() {
        // Nobody writes them.
        let (queue, messages) = channel();
        let file = open(Some(Path::new("/dev/null"))).unwrap();
        let audit = Audit {
            file: ArcSwapOption::new(file.map(Arc::new)),
            queue,
            waiting: Waiting::default(),
            loss: Loss::of("audit"),
        };
        // As JSON six bytes each.
        let long = "\u{1}".repeat(100_000);
        let longest = 6 * (LONGEST_RESOURCE + LONGEST_RESULT) + 1_000;

        for _ in 0..MOST_BYTES / longest {
            audit.record(Event {
                resource: &long,
                ..event(&long)
            });
        }
        assert_eq!(audit.loss().count(), 0);
        for _ in 0..200 {
            audit.record(Event {
                resource: &long,
                ..event(&long)
            });
        }

        assert!(audit.loss().count() > 100);
        let waiting = messages.try_iter().map(|message| match message {
            Message::Line(_, line) => line.len(),
            Message::Close(_) => 0,
        });
        let waiting: usize = waiting.sum();
        assert!(
            (MOST_BYTES / 2..=MOST_BYTES).contains(&waiting),
            "{waiting}"
        );
    }
}
