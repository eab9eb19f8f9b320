//! The real binary, with an environment and a folder of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::within;

const BINARY: &str = env!("CARGO_BIN_EXE_berry-api");

/// How the binary ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// None where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running gateway, whose stdout is lines of JSON.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
    /// What was logged before it listened.
    pub(crate) prelude: Vec<Value>,
}

/// Returns a folder that holds these files.
pub(crate) fn scratch(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// Runs the binary in `folder` until it ends.
pub(crate) async fn run(
    folder: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Finished {
    let output = within(command(folder, arguments, environment).output()).await;
    let Output {
        status,
        stdout,
        stderr,
    } = output.expect("the binary runs");
    Finished {
        code: status.code(),
        stdout: String::from_utf8(stdout).expect("text"),
        stderr: String::from_utf8(stderr).expect("text"),
    }
}

fn command(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .current_dir(folder)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

impl Process {
    /// Starts the binary in `folder` on a free port, unless `environment` names one, and waits until
    /// it listens.
    pub(crate) async fn start(
        folder: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let usual = [("BIND_ADDRESS", "127.0.0.1:0"), ("LOG_FORMAT", "json")];
        let environment = [&usual, environment].concat();
        let mut child = command(folder, arguments, &environment)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut prelude = Vec::new();
        loop {
            let line = next(&mut lines).await.expect("a line about the start");
            if line["message"] == "Starting Berry API" {
                let address = line["fields"]["address"].as_str().expect("an address");
                let address = address.parse().expect("an address");
                return Self {
                    child,
                    lines,
                    address,
                    prelude,
                };
            }
            prelude.push(line);
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads the log until a line with this message.
    pub(crate) async fn logged(&mut self, message: &str) -> Value {
        loop {
            let line = next(&mut self.lines).await;
            let line = line.unwrap_or_else(|| panic!("no line says {message:?}"));
            if line["message"] == message {
                return line;
            }
        }
    }

    /// Sends a signal by its name, like `TERM`.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("a running process");
        let kill = format!("kill -{name} {id}");
        let status = Command::new("/bin/sh").args(["-c", &kill]).status().await;
        assert!(status.expect("a shell").success());
    }

    /// Waits for the end and returns the exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        within(self.child.wait()).await.expect("an end").code()
    }
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<Value> {
    let line = within(lines.next_line()).await.expect("lines of text")?;
    Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
}
