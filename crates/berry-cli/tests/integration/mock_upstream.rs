//! `mock-upstream`: its one line, its answers, its ends.

use std::net::TcpListener;

use crate::support::{MockUpstream, run};

#[test]
fn the_provider_says_where_it_listens_and_names_itself_in_answers() {
    let upstream = MockUpstream::start(&["--name", "good"]);

    let answer = upstream.chat();

    let expected = format!(
        "mock upstream `good` listening on http://{}/v1\n",
        upstream.authority()
    );
    assert_eq!(upstream.line, expected);
    assert!(answer.contains("Hello from good! You said: hi"), "{answer}");
}

#[test]
fn a_stream_has_the_number_of_chunks_asked_for() {
    let upstream = MockUpstream::start(&["--chunks", "5", "--chunk-interval", "1ms"]);

    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let answer = upstream.ask("POST /v1/chat/completions", "", body);

    assert_eq!(
        answer.matches(r#""delta":{"content":""#).count(),
        5,
        "{answer}"
    );
    assert!(answer.contains("data: [DONE]"), "{answer}");
}

#[test]
fn errors_have_the_status_and_the_wait_asked_for() {
    let options = [
        "--error-rate",
        "1",
        "--error-status",
        "429",
        "--retry-after",
        "3",
    ];
    let upstream = MockUpstream::start(&options);

    let answer = upstream.chat();

    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(answer.contains("retry-after: 3\r\n"), "{answer}");
}

#[test]
fn the_models_asked_for_are_listed() {
    let upstream = MockUpstream::start(&["--models", "a,b"]);

    let answer = upstream.ask("GET /v1/models", "", "");

    assert!(
        answer.contains(r#""id":"a""#) && answer.contains(r#""id":"b""#),
        "{answer}"
    );
}

#[test]
fn a_key_is_required_when_one_is_set() {
    let upstream = MockUpstream::start(&["--api-key", "sk-x"]);

    let right = upstream.ask("GET /v1/models", "authorization: Bearer sk-x\r\n", "");

    assert!(upstream.chat().starts_with("HTTP/1.1 401"));
    assert!(right.starts_with("HTTP/1.1 200"), "{right}");
}

#[test]
fn a_signal_ends_it_with_success_and_without_another_line() {
    for signal in ["INT", "TERM"] {
        let upstream = MockUpstream::start(&[]);

        assert_eq!(upstream.stop(signal), (Some(0), String::new()), "{signal}");
    }
}

#[test]
fn a_taken_port_is_one_line_on_stderr() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let output = run(&["mock-upstream", "--listen", &address]);

    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(
        stderr.starts_with(&format!("error: cannot listen on `{address}`: ")),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn an_address_that_is_none_is_one_line_on_stderr() {
    let output = run(&["mock-upstream", "--listen", "nonsense"]);

    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr.starts_with("error: cannot listen on `nonsense`: "),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn a_wrong_option_is_a_usage_error() {
    for options in [
        ["--error-rate", "2"],
        ["--latency", "soon"],
        ["--error-status", "200"],
    ] {
        let output = run(&[&["mock-upstream"], &options[..]].concat());

        assert_eq!(output.status.code(), Some(2), "{options:?}");
        assert!(
            String::from_utf8(output.stderr)
                .unwrap()
                .contains(options[0]),
            "{options:?}"
        );
    }
}
