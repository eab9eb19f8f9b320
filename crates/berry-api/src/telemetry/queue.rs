//! Lines on their way to an output that may be slow, stall or fail, and that nobody waits for.
//!
//! A line is copied into a bounded buffer; one thread takes whole buffers out and writes them, some
//! milliseconds after their first line. So a line costs its maker a copy, a burst costs few writes, and
//! where the buffer is full the line is lost and counted. Lines are never cut, and keep their order.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::batch::{Gathering, Inlet, Outlet, gathered};
use super::loss::Loss;

/// Some thousand lines: seconds of a busy gateway.
const CAPACITY: usize = 1 << 20;
const GATHERING: Gathering = Gathering {
    // Nobody who reads along notices.
    time: Duration::from_millis(10),
    enough: CAPACITY / 2,
    capacity: CAPACITY,
};

/// What begins a colour.
const ESCAPE: u8 = 0x1b;

/// See the module's documentation. Clones are the same queue.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    lines: Inlet<u8>,
    loss: Loss,
}

impl Queue {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// There can be no thread.
    pub(super) fn start(loss: Loss, output: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, taken) = gathered(GATHERING);
        let losing = loss.clone();
        thread::Builder::new()
            .name("berry-log".to_owned())
            .spawn(move || work(taken, output, &losing))?;
        Ok(Self(Arc::new(Inner { lines, loss })))
    }

    /// Returns what it loses.
    pub(super) fn loss(&self) -> &Loss {
        &self.0.loss
    }

    /// Waits until all lines are written, but no longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        self.0.lines.flush(patience);
    }

    /// Counts as lost what is not written by now, and returns what nobody has been told of.
    pub(super) fn give_up(&self) -> u64 {
        let unwritten = self.0.lines.unfinished();
        if unwritten > 0 {
            self.0.loss.lose(unwritten, "the process ends");
        }
        self.0.loss.tell()
    }

    /// Adds a line, or counts it as lost.
    pub(super) fn put(&self, line: &[u8]) {
        let add = |lines: &mut Vec<u8>| lines.extend_from_slice(line);
        if let Err(refused) = self.0.lines.put(line.len(), add) {
            self.0.loss.lose(1, refused);
        }
    }
}

/// Writes until the queue is dropped.
fn work(mut taken: Outlet<u8>, mut output: impl Write, loss: &Loss) {
    let mut lines = Vec::new();
    loop {
        let batch = taken.take(&mut lines, Duration::MAX);
        if !lines.is_empty() {
            match write_all(&mut output, &lines) {
                Ok(()) => loss.works(),
                Err((lost, error)) => loss.lose(lost, error),
            }
            lines.clear();
        }
        if batch.is_last {
            return;
        }
    }
}

/// Writes lines, or says how many of them are not written to their end, and why.
fn write_all(output: &mut impl Write, lines: &[u8]) -> Result<(), (u64, io::Error)> {
    let mut rest = lines;
    while !rest.is_empty() {
        let error = match output.write(rest) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(written) => {
                rest = rest.get(written..).unwrap_or_default();
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        return Err((count(rest), error));
    }
    output.flush().map_err(|error| (count(lines), error))
}

/// Returns how many lines end in this text.
pub(super) fn count(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// One event's line of text; the formatter writes it whole.
#[derive(Debug)]
pub(super) struct Line<'a>(&'a Queue);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put(&one_line(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a line in which nothing but its end is one, whatever its values are. Of other bytes that a terminal
/// would obey the formatter has left only its own colours.
fn one_line(line: &[u8]) -> Cow<'_, [u8]> {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let breaks = |byte: &u8| *byte < b' ' && ![b'\t', ESCAPE].contains(byte);
    if !text.iter().any(breaks) {
        return Cow::Borrowed(line);
    }
    let mut whole = Vec::with_capacity(line.len() + 16);
    for byte in text {
        if breaks(byte) {
            whole.extend(byte.escape_ascii());
        } else {
            whole.push(*byte);
        }
    }
    whole.push(b'\n');
    Cow::Owned(whole)
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes a write for each permit it gets, and shows what it took.
    struct Gated {
        permits: mpsc::Receiver<io::Result<()>>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.permits.recv().unwrap()?;
            self.written.send(bytes.to_owned()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Queue, mpsc::Sender<io::Result<()>>, mpsc::Receiver<Vec<u8>>) {
        let (permit, permits) = mpsc::channel();
        let (written, writes) = mpsc::channel();
        let queue = Queue::start(Loss::of("test"), Gated { permits, written }).unwrap();
        (queue, permit, writes)
    }

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn lines_come_out_in_their_order() {
        let (queue, permit, writes) = gated();
        for number in 0..100 {
            queue.put(format!("{number}\n").as_bytes());
            permit.send(Ok(())).unwrap();
        }
        queue.flush(PATIENCE);
        drop(queue);

        let text = writes.try_iter().collect::<Vec<_>>().concat();
        let text = String::from_utf8(text).unwrap();
        let numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_line_is_one_line() {
        for (line, expected) in [
            ("a b=\"c\"\n", "a b=\"c\"\n"),
            ("a\tb\u{1b}[0mé\n", "a\tb\u{1b}[0mé\n"),
            ("a\nb\r\n\0c\u{b}\n\n", "a\\nb\\r\\n\\x00c\\x0b\\n\n"),
            ("\n", "\n"),
        ] {
            let (queue, permit, writes) = gated();
            permit.send(Ok(())).unwrap();

            queue.make_writer().write_all(line.as_bytes()).unwrap();
            queue.flush(PATIENCE);

            let written = String::from_utf8(writes.try_recv().unwrap()).unwrap();
            assert_eq!(written, expected);
        }
    }

    #[test]
    fn a_stalled_output_loses_whole_lines_and_nobody_waits() {
        let (queue, permit, writes) = gated();
        let line = [&[b'x'; 1023][..], b"\n"].concat();

        let made = 3 * CAPACITY as u64 / 1024;
        for _ in 0..made {
            queue.put(&line);
        }
        let lost = queue.loss().count();
        permit.send(Ok(())).unwrap();
        permit.send(Ok(())).unwrap();
        queue.flush(PATIENCE);

        let written: usize = writes.try_iter().map(|bytes| bytes.len()).sum();
        assert_eq!(written % 1024, 0);
        assert_eq!(written as u64 / 1024 + lost, made);
        // One buffer may be with the thread, one waits.
        assert!(lost >= made / 3, "{lost} of {made}");
    }

    /// Has room for some bytes.
    struct Small(Vec<u8>, usize);

    impl Write for Small {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.1 - self.0.len();
            if room == 0 {
                return Err(io::Error::other("full"));
            }
            let length = bytes.len().min(room);
            self.0.extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_are_not_written_to_their_end_are_lost() {
        for (room, expected) in [(0, 3), (3, 3), (4, 2), (11, 1)] {
            let mut output = Small(Vec::new(), room);

            let (lost, _) = write_all(&mut output, b"one\ntwo\nfour\n").unwrap_err();

            assert_eq!(lost, expected, "{room}");
        }
    }

    #[test]
    fn what_is_not_written_in_the_end_is_lost() {
        let (queue, permit, _writes) = gated();
        queue.put(b"one\n");
        queue.put(b"two\n");
        queue.flush(Duration::ZERO);

        assert_eq!((queue.give_up(), queue.loss().count()), (2, 2));
        drop(permit);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_next_is_tried() {
        let (queue, permit, writes) = gated();

        permit.send(Err(io::Error::other("full"))).unwrap();
        queue.put(b"one\n");
        queue.flush(PATIENCE);
        permit.send(Ok(())).unwrap();
        queue.put(b"two\n");
        queue.flush(PATIENCE);

        assert_eq!(queue.loss().count(), 1);
        assert_eq!(writes.try_recv().unwrap(), b"two\n");
    }
}
