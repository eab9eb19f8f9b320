//! The measuring program: its load finds what its provider and its pass-through answer, and what another does not.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use berry_testkit::Upstream;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_berry-bench");

/// A server of the program's, which ends with the test.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(PROGRAM)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut line = String::new();
        let output = process.stdout.take().expect("an output");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("the first line");
        let (_, address) = line.trim().split_once("http://").expect("an address");
        let address = address.to_owned();
        Self { process, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().expect("to end the server");
        self.process.wait().expect("the server's end");
    }
}

fn load(address: &str, arguments: &str) -> Output {
    Command::new(PROGRAM)
        .args(["load", "--address", address])
        .args(arguments.split_whitespace())
        .output()
        .expect("the program")
}

fn figures(address: &str, arguments: &str) -> Value {
    let output = load(address, arguments);
    assert!(output.status.success(), "{arguments}: {output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn assert_every_answer_passes(address: &str) {
    for what in [
        "--model small",
        "--model small --models 3 --users 3",
        "--model large",
        "--model burst-100",
        "--model paced-5-2",
        "--model small --request-bytes 1048576",
        "--model small --rate 500",
        "--model paced-5-2 --rate 100",
    ] {
        let line = format!("{what} --connections 3 --warm 0.02 --seconds 0.3");
        let found = figures(address, &line);
        assert!(found["requests"].as_u64() > Some(0), "{line}: {found}");
        assert!(
            found["first_us"]["p50"].as_f64() > Some(0.0),
            "{line}: {found}"
        );
    }
}

#[test]
fn every_answer_of_the_provider_passes_the_load() {
    let upstream = Server::start(&["upstream", "--threads", "2"]);
    assert_every_answer_passes(&upstream.address);
}

#[test]
fn every_answer_through_the_pass_through_passes_the_load() {
    let upstream = Server::start(&["upstream"]);
    let passthrough = Server::start(&["passthrough", "--to", &upstream.address]);
    assert_every_answer_passes(&passthrough.address);
}

#[test]
fn a_load_at_a_rate_sends_what_is_due() {
    let upstream = Server::start(&["upstream"]);

    let found = figures(&upstream.address, "--rate 200 --warm 0.1 --seconds 0.5");

    assert_eq!(found["requests"], 100);
}

#[test]
fn chunks_are_counted_one_by_one() {
    let upstream = Server::start(&["upstream"]);

    let found = figures(
        &upstream.address,
        "--model burst-20 --connections 1 --seconds 0.3",
    );

    let (requests, chunks) = (&found["requests"], &found["chunks"]);
    let (requests, chunks) = (requests.as_u64().unwrap(), chunks.as_u64().unwrap());
    // A role, twenty contents, a finish and an end; of the first and the last stream perhaps a part.
    assert!(chunks.abs_diff(requests * 23) < 23, "{found}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_time_of_a_gateway_is_taken() {
    let upstream = Server::start(&["upstream"]);
    let line = format!("--processor-of {} --seconds 0.3", upstream.process.id());

    let found = figures(&upstream.address, &line);

    assert!(found["processor_us"].as_f64() > Some(0.0), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_answers_something_else_fails_the_load() {
    let other = Upstream::start().await;
    let address = other.address().to_string();
    for line in ["--model small", "--model small --rate 100"] {
        let output = load(&address, line);
        assert!(!output.status.success(), "{line}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("error: other bytes at "), "{line}: {said}");
    }
}
