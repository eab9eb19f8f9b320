//! Starts the binary, and talks HTTP to what it serves.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use berry_api::telemetry::Logs;
use berry_api::{App, Options};
use berry_core::Source;
use berry_relay::Names;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_berry-cli");

/// A running `berry-cli mock-upstream`, killed when dropped.
pub(crate) struct MockUpstream {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// The first line it printed.
    pub(crate) line: String,
}

impl MockUpstream {
    /// Starts it on a free port and waits until it listens.
    pub(crate) fn start(options: &[&str]) -> Self {
        let options = [&["mock-upstream"], options].concat();
        let mut child = cli(&options).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        Self {
            child,
            stdout,
            line,
        }
    }

    /// Returns the host and port it announced.
    pub(crate) fn authority(&self) -> &str {
        let (_, rest) = self.line.split_once("http://").unwrap();
        rest.trim_end().strip_suffix("/v1").unwrap()
    }

    /// Sends one request and returns the answer, head and body.
    pub(crate) fn ask(&self, line: &str, headers: &str, body: &str) -> String {
        let mut socket = TcpStream::connect(self.authority()).unwrap();
        let length = body.len();
        write!(
            socket,
            "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\
             {headers}\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Says "hi", without a key.
    pub(crate) fn chat(&self) -> String {
        let body = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}"#;
        self.ask("POST /v1/chat/completions", "", body)
    }

    /// Sends a signal, waits for the end, and returns the exit code and what else was printed.
    pub(crate) fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", signal, &id])
                .status()
                .unwrap()
                .success()
        );
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for MockUpstream {
    fn drop(&mut self) {
        // It may have ended already, as it does in the tests of just that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end.
pub(crate) fn run(options: &[&str]) -> Output {
    cli(options).output().unwrap()
}

fn cli(options: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(options);
    command
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A folder to run commands in, with nothing of the environment that the tests run in.
pub(crate) struct Desk(pub(crate) TempDir);

impl Desk {
    /// Lays this configuration on it.
    pub(crate) fn with(toml: &str) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.write("config.toml", toml);
        desk
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        // For its owner only, as a file with keys in it should be.
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with(arguments, &[], "")
    }

    /// Runs a command whose stdout nobody reads; returns its code and what it says of that.
    pub(crate) fn run_unread(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(BINARY)
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .stdout(writer)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    }

    /// Runs a command with these variables and this text on stdin.
    pub(crate) fn run_with(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
        input: &str,
    ) -> Finished {
        let mut child = Command::new(BINARY)
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that reads nothing may have ended.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Variables of the environment.
pub(crate) type Variables<'a> = &'a [(&'a str, &'a str)];

/// Serves a configuration until the test ends; returns where.
pub(crate) fn serve(toml: &str) -> SocketAddr {
    serve_with(toml, &[])
}

/// Serves one that names these variables.
pub(crate) fn serve_with(toml: &str, environment: Variables<'_>) -> SocketAddr {
    let source = Source::new("no-such-folder/config.toml", toml);
    let value = |name: &str| {
        let found = environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let loaded = Names::collect().parse(&source, &value).unwrap();
    let app = App::build(Options {
        config: loaded.config,
        source,
        logs: Logs::default(),
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        max_connections: 9,
        seed: 7,
    });
    let app = app.unwrap();
    let address = app.local_addr();
    tokio::task::spawn_local(app.run(std::future::pending()));
    address
}

/// Runs a command beside the gateway that serves its configuration.
pub(crate) async fn beside(toml: &str, arguments: &[&str], address: SocketAddr) -> Finished {
    beside_with(toml, arguments, address, &[], "").await
}

/// The same, with further variables and this text on stdin.
pub(crate) async fn beside_with(
    toml: &str,
    arguments: &[&str],
    address: SocketAddr,
    environment: Variables<'_>,
    input: &str,
) -> Finished {
    let desk = Desk::with(toml);
    let owned = |text: &&str| (*text).to_owned();
    let arguments: Vec<String> = arguments.iter().map(owned).collect();
    let address = ("BIND_ADDRESS".to_owned(), address.to_string());
    let more = environment.iter();
    let more = more.map(|(name, value)| (owned(name), owned(value)));
    let environment: Vec<_> = more.chain([address]).collect();
    let input = input.to_owned();
    let run = tokio::task::spawn_blocking(move || {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        desk.run_with(&arguments, &environment, &input)
    });
    run.await.unwrap()
}
