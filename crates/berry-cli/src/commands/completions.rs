//! `completions`: what a shell needs to complete our commands.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;
use crate::output;

/// For which shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The shell
    shell: Shell,
}

/// Prints the completions.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(
        options.shell,
        &mut Args::command(),
        "berry-cli",
        &mut script,
    );
    Ok(output::line(String::from_utf8(script)?.trim_end())?)
}
