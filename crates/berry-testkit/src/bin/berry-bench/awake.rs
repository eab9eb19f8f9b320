//! Provider and load never sleep.
//!
//! Whoever sends to a thread that sleeps on the same machine pays for waking it: an interrupt of
//! another processor, which costs microseconds where processors are virtual. A gateway whose peers are other
//! machines pays nothing of the kind, and here the slower one would pay more, for its peers sleep more
//! often. So they ask for events all the time, and leave the processor to each other after each look.

use std::future::Future;
use std::io;
use std::thread;

use tokio::runtime::Builder;
use tokio::task::yield_now;

/// Runs `work` on so many threads, none of which sleeps meanwhile.
///
/// # Errors
/// There can be no such threads.
pub(crate) fn run<T>(threads: usize, work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = if threads == 1 {
        // Tasks never cross threads.
        Builder::new_current_thread().enable_all().build()?
    } else {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads).enable_all().build()?
    };
    for _ in 0..threads {
        runtime.spawn(async {
            loop {
                thread::yield_now();
                yield_now().await;
            }
        });
    }
    Ok(runtime.block_on(work))
}
