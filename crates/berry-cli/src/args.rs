//! The command line: the list of commands, and the kinds of values their options take.
//!
//! The options of a command are declared beside it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::commands::{
    completions, encrypt_key, generate_config, generate_token, hash_token, health_check, metrics,
    mock_upstream, rotate_tokens, simulate, test_backend, timeouts, usage, validate_config,
};

/// The command line as a whole.
#[derive(Debug, Parser)]
#[command(
    name = "berry-cli",
    version,
    about = "The operator's commands for Berry API"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a configuration, and say what is wrong and what is odd
    ValidateConfig(validate_config::Options),
    /// Write a configuration to begin with
    GenerateConfig(generate_config::Options),
    /// Ask every provider of a configuration whether it works
    HealthCheck(health_check::Options),
    /// Show what a running gateway has counted
    Metrics(metrics::Options),
    /// Show what was used and what it cost
    Usage(usage::Options),
    /// Try one model of one provider
    TestBackend(test_backend::Options),
    /// Show how long the gateway waits for what, for each backend
    Timeouts(timeouts::Options),
    /// Make a token for a user
    GenerateToken(generate_token::Options),
    /// Turn a token into what `token_sha256` takes
    HashToken(hash_token::Options),
    /// Give users new tokens, in the configuration file
    RotateTokens(rotate_tokens::Options),
    /// Encrypt provider keys, so that a file does not have them in it
    EncryptKey(encrypt_key::Options),
    /// Print the completions of a shell
    Completions(completions::Options),
    /// Serve a simulated OpenAI-compatible provider until interrupted
    MockUpstream(mock_upstream::Options),
    /// Play a scenario with every strategy, in virtual time, and compare them
    Simulate(simulate::Options),
}

impl Command {
    /// Returns for whom the command prints.
    pub(crate) fn format(&self) -> Format {
        match self {
            Self::ValidateConfig(options) => options.format,
            Self::HealthCheck(options) => options.format,
            Self::Metrics(options) => options.format,
            Self::Usage(options) => options.reader(),
            Self::TestBackend(options) => options.format,
            Self::Timeouts(options) => options.format,
            Self::GenerateToken(options) => options.format,
            Self::Simulate(options) => options.format,
            Self::GenerateConfig(_)
            | Self::HashToken(_)
            | Self::EncryptKey(_)
            | Self::RotateTokens(_)
            | Self::Completions(_)
            | Self::MockUpstream(_) => Format::Text,
        }
    }
}

/// Which configuration a command is about.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArg {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = "config.toml")]
    pub(crate) config: PathBuf,
}

/// For whom a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON value
    Json,
}

/// Takes a text that has something in it.
pub(crate) fn text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("expected a text that is not empty".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses `50ms`, `2s` or `1.5s`; a plain number is milliseconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = if let Some(number) = text.strip_suffix("ms") {
        (number, 0.001)
    } else if let Some(number) = text.strip_suffix('s') {
        (number, 1.0)
    } else {
        (text, 0.001)
    };
    number
        .parse()
        .ok()
        .and_then(|number: f64| Duration::try_from_secs_f64(number * unit).ok())
        .ok_or_else(|| "expected a duration such as `50ms` or `2s`".to_owned())
}

/// Parses a share from 0 to 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "expected a share from 0 to 1".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_duration_has_a_unit_or_is_in_milliseconds() {
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("20"), Ok(Duration::from_millis(20)));
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in ["", "ms", "-1s", "5m", "inf", "nan"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_lies_between_none_and_all() {
        assert_eq!(share("0.2"), Ok(0.2));
        assert!(share("1.1").is_err() && share("-0.1").is_err() && share("nan").is_err());
    }
}
