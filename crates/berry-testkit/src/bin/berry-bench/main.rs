//! What `scripts/benchmark.sh` measures a gateway with: a provider that costs little, the least that a
//! gateway in the same language can do, and the load.
//!
//! A simulated provider for tests keeps a journal, injects faults and speaks many protocols; beside a
//! proxy that spends ten microseconds on a request all of that would be what is measured. So this is a
//! program of its own, on hyper and plain sockets, and nothing in it is shared with a gateway.

mod answer;
mod awake;
mod listen;
mod load;
mod passthrough;
mod processor;
mod upstream;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

/// Measures gateways: see `scripts/benchmark.sh`.
#[derive(Debug, Parser)]
#[command(name = "berry-bench")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the provider: a request's model says how it is answered
    Upstream {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Threads to serve with
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// Serves the bare pass-through: it looks at a request's body and joins frames that are ready at once
    Passthrough {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// The provider
        #[arg(long)]
        to: SocketAddr,
    },
    /// Sends requests, checks every byte of the answers, and prints what it took as JSON
    Load(load::Arguments),
}

fn run(command: Command) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    match command {
        Command::Upstream { listen, threads } => {
            awake::run(threads, upstream::serve(listen))??;
        }
        Command::Passthrough { listen, to } => {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(passthrough::serve(listen, to))?;
        }
        Command::Load(arguments) => println!("{}", load::run(&arguments)?),
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
