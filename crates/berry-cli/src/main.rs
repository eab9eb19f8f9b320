//! `berry-cli`: the operator's commands.
//!
//! Result lines go to stdout, diagnostics to stderr. The exit code is 0 for success, 1 for a
//! failure, 2 for a command line that cannot be understood.

mod args;
mod commands;
mod config;
mod output;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::commands::{mock_upstream, simulate};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::failure(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::MockUpstream(options) => mock_upstream::run(options).await,
        Command::Simulate(options) => simulate::run(&options),
    }
}
