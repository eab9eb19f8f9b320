//! The load: requests on kept connections, either as fast as they are answered or at a fixed rate.
//!
//! It speaks HTTP over plain sockets, because a client library costs as much as the gateway that is
//! measured, and it runs on the cores that the gateway does not have. Every byte of every answer is
//! compared with what it must be; one wrong answer ends the run, for figures of a gateway that errs
//! are worth nothing.

mod closed;
mod figures;
mod open;
mod reading;
mod request;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::{Answer, Expected};
use crate::awake;

use figures::Figures;
use request::Requests;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What is sent, where, and for how long.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// The gateway
    #[arg(long)]
    address: SocketAddr,
    /// What is asked for: `small`, `large`, `burst-CHUNKS`, `paced-CHUNKS-MILLISECONDS`
    #[arg(long, default_value = "small")]
    model: String,
    /// Names of the model to spread over: itself, or with more than one `MODEL/0` and so on
    #[arg(long, default_value_t = 1)]
    models: usize,
    /// Users to spread over
    #[arg(long, default_value_t = 1)]
    users: usize,
    /// The length that a request's body is filled up to
    #[arg(long, default_value_t = 0)]
    request_bytes: usize,
    /// Connections that are kept open
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Requests a second, at times fixed before; without it each connection sends as soon as it is answered
    #[arg(long)]
    rate: Option<u32>,
    /// Seconds until what happens counts
    #[arg(long, default_value_t = 0.3)]
    warm: f64,
    /// Seconds over which the connections begin
    #[arg(long, default_value_t = 0.0)]
    spread: f64,
    /// Seconds that count
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// A process whose time on processors is taken; may be repeated
    #[arg(long = "processor-of", value_name = "PID")]
    processes: Vec<u32>,
}

/// What all connections of a run share.
#[derive(Debug, Clone)]
struct Plan {
    address: SocketAddr,
    requests: Arc<Requests>,
    expected: Arc<Expected>,
    connections: usize,
    warm: Duration,
    spread: Duration,
    measured: Duration,
    processes: Vec<u32>,
}

impl Plan {
    fn of(arguments: &Arguments) -> Result<Self, Error> {
        let answer = Answer::of(&arguments.model)
            .ok_or_else(|| format!("there is no answer `{}`", arguments.model))?;
        let stream = matches!(answer, Answer::Stream { .. });
        Ok(Self {
            address: arguments.address,
            requests: Arc::new(Requests::new(arguments, stream)),
            expected: Arc::new(Expected::of(answer)),
            connections: arguments.connections.max(1),
            warm: Duration::try_from_secs_f64(arguments.warm)?,
            spread: Duration::try_from_secs_f64(arguments.spread)?,
            measured: Duration::try_from_secs_f64(arguments.seconds)?,
            processes: arguments.processes.clone(),
        })
    }
}

/// Runs the load and returns its figures as JSON.
pub(crate) fn run(arguments: &Arguments) -> Result<String, Error> {
    let plan = Plan::of(arguments)?;
    let figures: Figures = match arguments.rate {
        None => awake::run(1, closed::run(plan))??,
        Some(rate) => open::run(&plan, rate)?,
    };
    Ok(figures.into_json())
}
