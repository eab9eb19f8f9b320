//! The open loop: requests at fixed times, whether or not earlier ones have been answered.
//!
//! A request's latency counts from the time it was due. Where a gateway stalls, the requests that
//! could not be sent meanwhile so show the stall, too; a client that waits for it would hide it.
//! Each connection is a thread that blocks: nothing stands between the socket and the clock.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::processor;

use super::figures::Figures;
use super::reading::Reading;
use super::{Error, Plan};

/// An answer that takes longer is an error.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long a request took from the time it was due.
struct Times {
    number: u32,
    /// Until the first content.
    first: Duration,
    whole: Duration,
}

/// Runs the loop; every thread has every so-many-eth of the requests.
pub(super) fn run(plan: &Plan, rate: u32) -> Result<Figures, Error> {
    let interval = Duration::from_secs(1) / rate.max(1);
    let before = requests_within(plan.warm, interval);
    let all = before + requests_within(plan.measured, interval);
    let connections: Vec<TcpStream> = (0..plan.connections)
        .map(|_| connect(plan))
        .collect::<Result<_, _>>()?;
    let start = Instant::now() + Duration::from_millis(20);
    let due = |number: u32| start + interval * number;
    let mut figures = Figures::default();
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (place, mut connection) in (0..).zip(connections) {
            let numbers = (place..all).step_by(plan.connections);
            threads.push(scope.spawn(move || -> Result<Vec<Times>, Error> {
                wake_in_time();
                numbers
                    .map(|number| {
                        thread::sleep(due(number).saturating_duration_since(Instant::now()));
                        let first = exchange(plan, &mut connection, number)?;
                        Ok(Times {
                            number,
                            first: first.saturating_duration_since(due(number)),
                            whole: due(number).elapsed(),
                        })
                    })
                    .collect()
            }));
        }
        thread::sleep(due(before).saturating_duration_since(Instant::now()));
        let processor_before = processor::time(&plan.processes)?;
        for thread in threads {
            let times = thread
                .join()
                .map_err(|_| "a thread of the load panicked")??;
            for times in times.into_iter().filter(|times| times.number >= before) {
                figures.firsts.push(times.first);
                figures.latencies.push(times.whole);
            }
        }
        let processor_after = processor::time(&plan.processes)?;
        figures.processor = processor_after.saturating_sub(processor_before);
        figures.elapsed = due(before).elapsed();
        figures.requests = figures.latencies.len() as u64;
        Ok(figures)
    })
}

fn requests_within(time: Duration, interval: Duration) -> u32 {
    u32::try_from(time.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u32::MAX)
}

fn connect(plan: &Plan) -> Result<TcpStream, Error> {
    let connection = TcpStream::connect(plan.address)?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    Ok(connection)
}

/// Asks Linux not to let this thread sleep longer than it wants, which by itself are 50 µs.
fn wake_in_time() {
    // Elsewhere latencies are a little longer, through every gateway alike.
    let _ = fs::write("/proc/thread-self/timerslack_ns", "1");
}

/// Sends a request, reads its answer, and returns when the first content came.
fn exchange(plan: &Plan, connection: &mut TcpStream, number: u32) -> Result<Instant, Error> {
    connection.write_all(plan.requests.nth(number as usize))?;
    let mut reading = Reading::new(&plan.expected);
    let mut buffer = [0; 16 * 1024];
    let mut first = None;
    while !reading.is_complete() {
        match connection.read(&mut buffer)? {
            0 => return Err("the gateway has closed the connection".into()),
            length => reading.take(&buffer[..length])?,
        }
        if first.is_none() && reading.has_content() {
            first = Some(Instant::now());
        }
    }
    Ok(first.unwrap_or_else(Instant::now))
}
