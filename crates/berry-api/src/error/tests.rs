use super::*;

fn failed(kind: FailureKind, retry_after: Option<u64>) -> Failed {
    Failed {
        kind,
        retry_after: retry_after.map(Duration::from_secs),
    }
}

/// Status, code, Retry-After and x-should-retry of what the client is told.
fn told(failures: &[Failed], tried_all: bool) -> (u16, String, Option<String>, Option<String>) {
    let failures = failures.iter().copied().collect();
    let error = ApiError::from(RelayError::Exhausted {
        failures,
        tried_all,
    });
    let code = error.0.body.code.clone().unwrap().into_owned();
    let response = error.into_response();
    let header = |name| {
        response
            .headers()
            .get(name)
            .map(|v| v.to_str().unwrap().to_owned())
    };
    (
        response.status().as_u16(),
        code,
        header("retry-after"),
        header("x-should-retry"),
    )
}

#[test]
fn exhausted_attempts_are_a_429_only_when_all_were_rate_limited() {
    use FailureKind::{RateLimited, Server, Timeout};
    let some = |text: &str| Some(text.to_owned());
    for (failures, expected) in [
        (
            vec![failed(RateLimited, Some(9)), failed(RateLimited, Some(7))],
            (429, "upstream_rate_limited".to_owned(), some("7"), None),
        ),
        (
            vec![failed(RateLimited, None)],
            (429, "upstream_rate_limited".to_owned(), None, some("false")),
        ),
        (
            vec![failed(RateLimited, Some(9)), failed(Server, None)],
            (502, "upstream_error".to_owned(), None, some("false")),
        ),
        (
            vec![failed(Server, None), failed(Timeout, None)],
            (504, "upstream_timeout".to_owned(), None, some("false")),
        ),
    ] {
        assert_eq!(told(&failures, true), expected, "{failures:?}");
    }
}

#[test]
fn where_an_endpoint_was_not_tried_the_client_may_retry() {
    assert_eq!(told(&[failed(FailureKind::Server, None)], false).3, None);
}

#[test]
fn retry_after_is_rounded_up_to_at_least_a_second() {
    assert_eq!(whole_seconds(Duration::ZERO), 1);
    assert_eq!(whole_seconds(Duration::from_millis(1_001)), 2);
}

#[test]
fn an_error_does_not_echo_a_long_name() {
    let error = ApiError::model_not_found(&"é".repeat(100_000));

    assert!(error.0.body.message.len() < 500);
}
