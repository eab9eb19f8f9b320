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
    let mut script = String::from_utf8(script)?;
    if options.shell == Shell::Bash {
        // The generator spells the hyphen of our name in two ways, so that no command's options are
        // found: https://github.com/clap-rs/clap/issues/6421.
        script = script.replace("berry__subcmd__cli", "berry__cli");
    }
    Ok(output::line(script.trim_end())?)
}
