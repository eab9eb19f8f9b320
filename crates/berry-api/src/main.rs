//! `berry-api`: reads its arguments and environment, and runs the gateway.

mod arguments;
mod check;

use std::io::Write;
use std::num::NonZero;
use std::process::ExitCode;
use std::thread::available_parallelism;

use anyhow::Context;
use berry_api::config_file::ConfigFile;
use berry_api::telemetry::LogOptions;
use berry_api::{App, Options};
use berry_core::Loaded;
use berry_core::config::Severity;
use clap::Parser;
use tikv_jemallocator::Jemalloc;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing::warn;

use crate::arguments::Arguments;
use crate::check::Checked;

/// A request takes and gives back some thirty pieces of memory, and where a piece is one that was used just now,
/// the processor still has it at hand. On Linux `SQLite` takes its own from here as well; docs/performance.md has
/// the comparison.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    survive_hangups();
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            // Nothing can be done about a stderr that is closed.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// From here on a request to reload does not end the process, although nothing can be reloaded yet:
/// who manages many may send it to one that has just begun. A handler stays for good, and needs a
/// runtime only to be made.
fn survive_hangups() {
    if let Ok(runtime) = Builder::new_current_thread().enable_io().build() {
        let _entered = runtime.enter();
        // Where there can be none, the start says so.
        drop(signal(SignalKind::hangup()));
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let file = ConfigFile::find(arguments.config)?;
    let checked = match Checked::load(&file)? {
        Ok(checked) => checked,
        Err(report) => {
            write!(std::io::stderr(), "{report}")?;
            return Ok(ExitCode::FAILURE);
        }
    };
    if arguments.check_config {
        checked.report(&mut std::io::stdout())?;
        return Ok(ExitCode::SUCCESS);
    }
    let Checked { loaded, source } = checked;
    let Loaded { config, warnings } = loaded;
    let logs = LogOptions::from_env(config.telemetry.log_file.clone())?.init()?;
    if file.is_example {
        warn!(path = %file.path.display(), "no configuration of your own was found: serving an EXAMPLE");
    }
    for warning in warnings.lines(Severity::Warning, &source) {
        warn!("{warning}");
    }
    let options = Options {
        address: arguments::bind_address(&config.server)?,
        max_connections: raise_file_limit(arguments::max_connections()?),
        seed: seed(),
        config,
        source,
        logs,
    };
    let runtime = runtime(&options)?;
    let code = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("no signal handler")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("no signal handler")?;
        let mut hangup = signal(SignalKind::hangup()).context("no signal handler")?;
        let app = App::build(options)?;
        let reloads = app.reloads();
        let (first, told) = oneshot::channel();
        let serving = app.run(async {
            // The sender lives as long as this is waited for.
            let _ = told.await;
        });
        tokio::pin!(serving);
        let mut first = Some(first);
        loop {
            tokio::select! {
                () = &mut serving => return Ok(ExitCode::SUCCESS),
                _ = hangup.recv() => {
                    reloads.hang_up();
                    continue;
                }
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            let Some(first) = first.take() else {
                warn!("told to stop a second time: stopping at once");
                return Ok(ExitCode::FAILURE);
            };
            // It may have ended by itself.
            let _ = first.send(());
        }
    });
    // A name look-up that hangs on its thread must not hold the exit up.
    runtime.shutdown_background();
    code
}

/// Files that are kept for anything but clients: the process's own, and upstreams to begin with.
const FILES_FOR_OTHERS: u64 = 48;

/// Raises the soft limit of open files to the hard one: each request may take two descriptors, and
/// the usual soft limit of 1,024 is a convention for programs that use `select`. Returns how many
/// connections may be open with it: clients alone must not use it up, because a probe that cannot be
/// accepted is taken for the end of the process.
fn raise_file_limit(max_connections: usize) -> usize {
    let limit = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => limit,
        Err(error) => {
            warn!(%error, "the limit of open files cannot be raised");
            return max_connections;
        }
    };
    let for_clients = usize::try_from(limit.saturating_sub(FILES_FOR_OTHERS).max(2));
    let accepted = max_connections.min(for_clients.unwrap_or(usize::MAX));
    if limit < 2 * max_connections as u64 {
        warn!(
            limit,
            max_connections,
            accepted,
            "the hard limit of open files is below twice `MAX_CONNECTIONS`: connections may be refused"
        );
    }
    accepted
}

/// Returns the one number from which all chance in the process is made.
#[expect(clippy::disallowed_methods, reason = "this is where chance comes from")]
fn seed() -> u64 {
    fastrand::u64(..)
}

fn runtime(options: &Options) -> anyhow::Result<Runtime> {
    let threads = options.config.server.worker_threads;
    let threads = threads.map_or_else(available_parallelism, Ok);
    let threads = threads.map_or(1, NonZero::get);
    let mut builder = if threads == 1 {
        // What only passes work between threads costs, too.
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    builder
        .worker_threads(threads)
        .enable_all()
        .thread_name("berry")
        .build()
        .context("no runtime")
}
