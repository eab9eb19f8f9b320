//! The real binary, with an environment and a folder of its own.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::within;

const BINARY: &str = env!("CARGO_BIN_EXE_berry-api");

/// The environment of a process whose log is to be read.
const USUAL: [(&str, &str); 2] = [("BIND_ADDRESS", "127.0.0.1:0"), ("LOG_FORMAT", "json")];

/// The messages of the one line that each request leaves.
const OF_REQUESTS: [&str; 2] = ["Backend selected", "Request finished"];

/// How the binary ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// None where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running gateway. Its stdout is lines of JSON, unless the test has asked for text.
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
        std::fs::write(&path, text).unwrap();
        // For its owner only, as a file with keys in it should be.
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

/// Runs the binary in `folder` until it ends.
pub(crate) async fn run(
    folder: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Finished {
    let output = within(command(BINARY, folder, arguments, environment).output()).await;
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

/// Returns a command whose process is handed a socket as systemd does.
fn on(socket: &std::net::TcpListener, folder: &Path) -> Command {
    let script = format!("exec 3<&0 </dev/null && LISTEN_FDS=1 LISTEN_PID=$$ exec '{BINARY}'");
    let mut command = command("/bin/sh", folder, &["-c", &script], &USUAL);
    let socket = socket.try_clone().expect("a descriptor");
    command.stdin(Stdio::from(OwnedFd::from(socket)));
    command
}

/// Returns a command that sees nothing of where the tests run.
fn command(
    program: &str,
    folder: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Command {
    let mut command = Command::new(program);
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
        let environment = [&USUAL, environment].concat();
        Self::listening(command(BINARY, folder, arguments, &environment)).await
    }

    /// The same, from a shell that has done something before, like `ulimit -n 64`.
    pub(crate) async fn start_after(preparation: &str, folder: &Path) -> Self {
        let script = format!("{preparation} && exec '{BINARY}'");
        Self::listening(command("/bin/sh", folder, &["-c", &script], &USUAL)).await
    }

    /// The same, with a listening socket that is handed over as systemd does.
    pub(crate) async fn start_on(socket: &std::net::TcpListener, folder: &Path) -> Self {
        Self::listening(on(socket, folder)).await
    }

    /// Runs it on a socket that it does not take, to its end.
    pub(crate) async fn refused_on(socket: &std::net::TcpListener, folder: &Path) -> Output {
        within(on(socket, folder).output())
            .await
            .expect("the binary runs")
    }

    async fn listening(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut prelude = Vec::new();
        loop {
            let line = within(lines.next_line()).await.expect("lines of text");
            let line = line.expect("a line about the start");
            let parsed = serde_json::from_str(&line).unwrap_or(Value::Null);
            if line.contains("Starting Berry API") {
                return Self {
                    child,
                    lines,
                    address: address(&line, &parsed),
                    prelude,
                };
            }
            prelude.push(parsed);
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

    /// Reads the log up to and including the next line of a request.
    pub(crate) async fn logged_until_request(&mut self) -> Vec<Value> {
        let mut lines = Vec::new();
        loop {
            let line = next(&mut self.lines).await;
            let line = line.unwrap_or_else(|| panic!("no line of a request: {lines:?}"));
            let ends = OF_REQUESTS
                .iter()
                .any(|message| line["message"] == *message);
            lines.push(line);
            if ends {
                return lines;
            }
        }
    }

    /// Reads the log until the line of a request.
    pub(crate) async fn logged_request(&mut self) -> Value {
        let mut lines = self.logged_until_request().await;
        lines.pop().expect("a line")
    }

    /// Reads the log to its end, as it is written.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some(line) = self.lines.next_line().await.expect("lines of text") {
            rest.push(line);
        }
        rest
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("a running process")
    }

    /// Sends a signal by its name, like `TERM`.
    pub(crate) async fn signal(&self, name: &str) {
        signal(self.id(), name).await;
    }

    /// Waits for the end and returns the exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        within(self.child.wait()).await.expect("an end").code()
    }
}

/// Returns where the gateway says that it listens, in a line of either format.
fn address(line: &str, parsed: &Value) -> SocketAddr {
    let of_text = || line.split("address=").nth(1)?.split(' ').next();
    let address = parsed["fields"]["address"].as_str().or_else(of_text);
    address
        .expect("an address")
        .parse()
        .expect("a valid address")
}

/// Sends a signal to a process.
pub(crate) async fn signal(id: u32, name: &str) {
    let kill = format!("kill -{name} {id}");
    let status = Command::new("/bin/sh").args(["-c", &kill]).status().await;
    assert!(status.expect("a shell").success());
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<Value> {
    let line = within(lines.next_line()).await.expect("lines of text")?;
    Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
}
