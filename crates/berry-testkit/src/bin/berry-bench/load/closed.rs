//! The closed loop: every connection sends its next request when the last is answered.
//!
//! All connections are tasks of one thread, so that counters are plain numbers and the buffer that
//! sockets are read into is one. The time that counts begins when all have been at work for a while
//! and each has had some content; what is under way at its end is dropped.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, timeout};

use crate::processor;

use super::figures::Figures;
use super::reading::Reading;
use super::{Error, Plan};

const BUFFER: usize = 256 * 1024;

/// More connections at once than a listener's queue holds would be dropped, and tried again after a second.
const CONNECTING: usize = 100;

/// Within this every connection has had its first content, whatever else the machine does.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often is looked whether every connection has.
const LOOK: Duration = Duration::from_millis(20);

/// What the connections of a run count into.
struct Shared {
    plan: Plan,
    figures: RefCell<Figures>,
    buffer: RefCell<Vec<u8>>,
    next: Cell<usize>,
    /// How many connections have had content.
    at_work: Cell<usize>,
}

/// Runs the loop on the current thread.
pub(super) async fn run(plan: Plan) -> Result<Figures, Error> {
    LocalSet::new().run_until(measure(plan)).await
}

async fn measure(plan: Plan) -> Result<Figures, Error> {
    let connections = connect(&plan).await?;
    let shared = Rc::new(Shared {
        plan,
        figures: RefCell::default(),
        buffer: RefCell::new(vec![0; BUFFER]),
        next: Cell::new(0),
        at_work: Cell::new(0),
    });
    let plan = &shared.plan;
    let apart = plan.spread / u32::try_from(connections.len())?;
    let mut work = JoinSet::new();
    for (place, connection) in (0..).zip(connections) {
        let shared = Rc::clone(&shared);
        work.spawn_local(async move {
            sleep(apart * place).await;
            shared.work(connection).await
        });
    }
    wait(&mut work, plan.spread + plan.warm).await?;
    let patience = Instant::now() + PATIENCE;
    while shared.at_work.get() < plan.connections {
        if Instant::now() > patience {
            let (some, all) = (shared.at_work.get(), plan.connections);
            return Err(format!("only {some} of {all} connections have had an answer").into());
        }
        wait(&mut work, LOOK).await?;
    }
    *shared.figures.borrow_mut() = Figures::default();
    let (began, before) = (Instant::now(), processor::time(&plan.processes)?);
    wait(&mut work, plan.measured).await?;
    let mut figures = shared.figures.take();
    figures.elapsed = began.elapsed();
    figures.processor = processor::time(&plan.processes)?.saturating_sub(before);
    if figures.requests + figures.chunks == 0 {
        return Err("the gateway answered nothing in the time that counts".into());
    }
    Ok(figures)
}

async fn connect(plan: &Plan) -> Result<Vec<TcpStream>, Error> {
    let mut connections = Vec::with_capacity(plan.connections);
    while connections.len() < plan.connections {
        let mut some = JoinSet::new();
        for _ in connections.len()..plan.connections.min(connections.len() + CONNECTING) {
            some.spawn(TcpStream::connect(plan.address));
        }
        for connection in some.join_all().await {
            let connection = connection?;
            connection.set_nodelay(true)?;
            connections.push(connection);
        }
    }
    Ok(connections)
}

/// Waits for so long; a connection only ends before because of an error.
async fn wait(work: &mut JoinSet<Result<(), Error>>, time: Duration) -> Result<(), Error> {
    match timeout(time, work.join_next()).await {
        Err(_) => Ok(()),
        Ok(Some(ended)) => ended?,
        Ok(None) => Err("no connection is at work".into()),
    }
}

impl Shared {
    async fn work(&self, mut connection: TcpStream) -> Result<(), Error> {
        let mut at_work = false;
        loop {
            let number = self.next.replace(self.next.get() + 1);
            let began = Instant::now();
            connection.write_all(self.plan.requests.nth(number)).await?;
            self.read(&connection, began, &mut at_work).await?;
        }
    }

    async fn read(
        &self,
        connection: &TcpStream,
        began: Instant,
        at_work: &mut bool,
    ) -> Result<(), Error> {
        let mut reading = Reading::new(&self.plan.expected);
        while !reading.is_complete() {
            connection.readable().await?;
            let mut buffer = self.buffer.borrow_mut();
            let length = match connection.try_read(&mut buffer) {
                Ok(0) => return Err("the gateway has closed the connection".into()),
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            };
            let (chunks, had_content) = (reading.chunks(), reading.has_content());
            reading.take(&buffer[..length])?;
            let mut figures = self.figures.borrow_mut();
            figures.chunks += (reading.chunks() - chunks) as u64;
            if reading.has_content() && !had_content {
                figures.firsts.push(began.elapsed());
                if !std::mem::replace(at_work, true) {
                    self.at_work.set(self.at_work.get() + 1);
                }
            }
        }
        let mut figures = self.figures.borrow_mut();
        figures.requests += 1;
        figures.latencies.push(began.elapsed());
        Ok(())
    }
}
