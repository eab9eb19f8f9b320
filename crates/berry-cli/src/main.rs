//! `berry-cli`: the operator's commands.
//!
//! Result lines go to stdout, diagnostics and failures to stderr. The exit code is 0 for success, 1 for a
//! failure, 2 for a command line that cannot be understood.

mod args;
mod chance;
mod commands;
mod env;
mod exchange;
mod failure;
mod input;
mod opened;
mod output;
mod probing;
mod report;
mod rewrite;
mod running;
mod trust;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::commands::{
    completions, encrypt_key, generate_config, generate_token, hash_token, health_check, metrics,
    mock_upstream, rotate_tokens, simulate, test_backend, timeouts, usage, validate_config,
};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let format = args.command.format();
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failure::tell(&error, format);
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::ValidateConfig(options) => validate_config::run(options).await,
        Command::GenerateConfig(options) => generate_config::run(&options),
        Command::HealthCheck(options) => health_check::run(options).await,
        Command::Metrics(options) => metrics::run(options).await,
        Command::Usage(options) => usage::run(options).await,
        Command::TestBackend(options) => test_backend::run(options).await,
        Command::Timeouts(options) => timeouts::run(&options),
        Command::GenerateToken(options) => generate_token::run(&options),
        Command::HashToken(options) => hash_token::run(options),
        Command::RotateTokens(options) => rotate_tokens::run(&options),
        Command::EncryptKey(options) => encrypt_key::run(&options),
        Command::Completions(options) => completions::run(&options),
        Command::MockUpstream(options) => mock_upstream::run(options).await,
        Command::Simulate(options) => simulate::run(&options),
    }
}
