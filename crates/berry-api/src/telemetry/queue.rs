//! Lines on their way to an output that may be slow, stall or fail, and that nobody waits for.
//!
//! A line is copied into a bounded buffer; one thread takes whole buffers out and writes them. So a
//! line costs its maker a copy, a burst costs few writes, and where the buffer is full the line is lost
//! and counted. Lines are never cut, and keep their order.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

use super::loss::Loss;

/// Some thousand lines: seconds of a busy gateway.
const CAPACITY: usize = 1 << 20;
/// How long the first line waits for others. To wake the thread for each, and to write each by itself,
/// would cost more than to make it.
const GATHERING: Duration = Duration::from_millis(10);
/// What is not waited with.
const MUCH: usize = CAPACITY / 4;

/// See the module's documentation. Clones are the same queue.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    emptied: Condvar,
    loss: Loss,
}

/// What has not been written.
#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    count: u64,
    /// Lines that were here before are being written.
    busy: bool,
}

impl Queue {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// There can be no thread.
    pub(super) fn start(loss: Loss, output: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Self(Arc::new(Inner {
            waiting: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            loss,
        }));
        let inner = Arc::clone(&queue.0);
        thread::Builder::new()
            .name("berry-log".to_owned())
            .spawn(move || inner.work(output))?;
        Ok(queue)
    }

    /// Returns what it loses.
    pub(super) fn loss(&self) -> &Loss {
        &self.0.loss
    }

    /// Waits until all lines are written, but no longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut waiting = self.0.waiting.lock();
        while waiting.busy || !waiting.lines.is_empty() {
            self.0.filled.notify_one();
            let left = deadline.saturating_duration_since(Instant::now());
            if self.0.emptied.wait_for(&mut waiting, left).timed_out() {
                return;
            }
        }
    }

    /// Adds a line, or counts it as lost.
    pub(super) fn put(&self, line: &[u8]) {
        let mut waiting = self.0.waiting.lock();
        if waiting.lines.len() + line.len() > CAPACITY {
            drop(waiting);
            self.0.loss.lose(1, "the output is too slow");
            return;
        }
        let before = waiting.lines.len();
        waiting.lines.extend_from_slice(line);
        waiting.count += 1;
        let is_much = before < MUCH && waiting.lines.len() >= MUCH;
        drop(waiting);
        if before == 0 || is_much {
            self.0.filled.notify_one();
        }
    }
}

impl Inner {
    /// Writes for ever; the end of the process ends it.
    fn work(&self, mut output: impl Write) {
        let mut taken = Waiting::default();
        loop {
            let mut waiting = self.waiting.lock();
            waiting.busy = false;
            if waiting.lines.is_empty() {
                self.emptied.notify_all();
                self.filled
                    .wait_while(&mut waiting, |waiting| waiting.lines.is_empty());
            }
            if waiting.lines.len() < MUCH {
                self.filled.wait_for(&mut waiting, GATHERING);
            }
            std::mem::swap(&mut *waiting, &mut taken);
            waiting.busy = true;
            drop(waiting);
            let written = output.write_all(&taken.lines);
            match written.and_then(|()| output.flush()) {
                Ok(()) => self.loss.works(),
                Err(error) => self.loss.lose(taken.count, error),
            }
            taken.lines.clear();
            taken.count = 0;
        }
    }
}

/// One event's line; the formatter writes it whole.
#[derive(Debug)]
pub(super) struct Line<'a>(&'a Queue);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
