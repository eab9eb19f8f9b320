//! Logs: text or JSON lines on stdout, and JSON lines in a file. Traces. And what is counted of requests.

pub(crate) mod batch;
pub(crate) mod exposition;
pub(crate) mod gauge;
mod json;
pub(crate) mod label;
mod log_file;
pub(crate) mod loss;
mod moment;
mod piece;
mod queue;
pub(crate) mod refusals;
mod sought;
pub(crate) mod stopwatch;
pub(crate) mod trace;
pub(crate) mod traffic;
pub(crate) mod visit;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use berry_core::color;
pub(crate) use log_file::LogFile;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::env;
use json::JsonLines;
use loss::{LastResort, Loss};
use queue::Queue;

/// What is logged where nothing is said.
const DEFAULT_FILTER: &str = "info";
/// What is quiet unless `RUST_LOG` names it: its lines at debug level say where providers are.
const QUIET: &str = "hyper_util=warn";
/// A name that configurations of `RUST_LOG` use for this crate.
const ALIAS: (&str, &str) = ("berry_api_api", "berry_api");
/// How long the end of the process waits for lines that are not written.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The same of lines that there is no room for.
const NO_ROOM: Duration = Duration::from_millis(100);

/// What the outputs of the log are called where they lose lines.
const LOG_OUTPUTS: [&str; 2] = [STDOUT, LOG_FILE];
const STDOUT: &str = "stdout";
const LOG_FILE: &str = "log_file";

/// How lines on stdout look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people; in colour on a terminal.
    Text,
    /// One JSON object per line.
    Json,
}

/// Where logs go and what is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// The form on stdout.
    pub format: Format,
    /// Directives as in `RUST_LOG`.
    pub filter: String,
    /// A file for JSON lines, as configured.
    pub file: Option<PathBuf>,
    /// The same as the environment says, which wins and does not change.
    pub fixed_file: Option<PathBuf>,
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `LOG_FORMAT` is neither of the two.
    #[error("`{}` is `{found}`; it must be `text` or `json`", env::LOG_FORMAT)]
    Format {
        /// What it is.
        found: String,
    },
    /// `RUST_LOG` cannot be read.
    #[error("`{}` is not valid", env::RUST_LOG)]
    Filter(#[from] ParseError),
    /// The file cannot be opened.
    #[error("the log file `{}` cannot be opened", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no thread that could write.
    #[error("no thread can be started")]
    Thread(#[source] io::Error),
    /// Something else logs already.
    #[error("logging has begun before")]
    Twice(#[from] TryInitError),
}

impl LogOptions {
    /// Reads them from the environment; `file` is the configured log file.
    ///
    /// # Errors
    /// `LOG_FORMAT` has another value than `text` and `json`.
    pub fn from_env(file: Option<PathBuf>) -> Result<Self, LogError> {
        let format = match env::read(env::LOG_FORMAT) {
            None => Format::Text,
            Some(format) if format.eq_ignore_ascii_case("text") => Format::Text,
            Some(format) if format.eq_ignore_ascii_case("json") => Format::Json,
            Some(found) => return Err(LogError::Format { found }),
        };
        let filter = env::read(env::RUST_LOG).unwrap_or_else(|| DEFAULT_FILTER.to_owned());
        let filter = filter.replace(ALIAS.0, ALIAS.1);
        let directives = filter.split(',').map(str::trim);
        let filter = directives
            .filter(|directive| !directive.is_empty())
            .fold(QUIET.to_owned(), |filter, directive| {
                filter + "," + directive
            });
        Ok(Self {
            format,
            filter,
            file,
            fixed_file: env::read_path(env::LOG_FILE).map(PathBuf::from),
        })
    }

    /// Begins to log, for the whole process.
    ///
    /// # Errors
    /// The filter is not valid, or the file cannot be opened.
    pub fn init(&self) -> Result<Logs, LogError> {
        let filter: Targets = self.filter.parse()?;
        let stdout = Queue::start(Loss::of(STDOUT), io::stdout()).map_err(LogError::Thread)?;
        let file = LogFile::new(self.fixed_file.clone())?;
        let (text, json) = match self.format {
            Format::Text => (Some(stdout.clone()), None),
            Format::Json => (None, Some(stdout.clone())),
        };
        let text = text.map(|stdout| {
            fmt::layer()
                .with_writer(stdout)
                .with_ansi(color::is_wanted(io::stdout().is_terminal(), &env::read))
        });
        tracing_subscriber::registry()
            .with(filter)
            .with(text)
            .with(JsonLines {
                stdout: json,
                file: file.clone(),
            })
            .try_init()?;
        file.follow(self.file.as_deref())?;
        Ok(Logs {
            stdout: Some(stdout),
            file,
        })
    }
}

/// Where lines go. What waits to be written is written when this is dropped.
#[derive(Debug, Default)]
pub struct Logs {
    /// None where nothing is logged.
    stdout: Option<Queue>,
    file: LogFile,
}

impl Logs {
    /// Returns what moves the log file.
    pub(crate) fn file(&self) -> &LogFile {
        &self.file
    }

    /// Returns what is lost of lines.
    pub(crate) fn losses(&self) -> impl Iterator<Item = &Loss> {
        self.queues().map(Queue::loss)
    }

    fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.stdout.iter().chain(self.file.queue())
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.queues().for_each(|queue| queue.flush(LAST_WORDS));
        self.file.end();
        // Who has waited for room in a pipe has none to wait for now.
        self.queues().for_each(|queue| queue.flush(NO_ROOM));
        let mut stderr = LastResort::default();
        for queue in self.queues() {
            match queue.give_up() {
                0 => {}
                lost => stderr.tell_at_the_end(queue.loss(), lost),
            }
        }
        stderr.flush(LAST_WORDS);
    }
}
