use super::*;

const NOW: &str = "2026-11-21T08:00:00Z";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

fn judged(status: u16, body: &str) -> String {
    let status = StatusCode::from_u16(status).unwrap();
    match judge(
        status,
        &HeaderMap::new(),
        body.as_bytes(),
        NOW.parse().unwrap(),
    ) {
        Judgement::ClientFault => "client".to_owned(),
        Judgement::Failed(failure) => match failure.fault.verdict {
            Verdict::Open { at_least } => {
                format!("{} {}s", failure.fault.kind, at_least.as_secs())
            }
            Verdict::OpenIfRepeated => format!("{} if repeated", failure.fault.kind),
            Verdict::Count | Verdict::CoolDown(_) => failure.fault.kind.to_string(),
        },
    }
}

/// An error in OpenAI's shape, with this code.
fn code(code: &str) -> String {
    format!(r#"{{"error":{{"message":"x","code":"{code}"}}}}"#)
}

/// An error in OpenAI's shape, with this message.
fn message(text: &str) -> String {
    format!(r#"{{"error":{{"message":"{text}"}}}}"#)
}

#[test]
fn a_bad_request_is_the_clients_fault_unless_it_says_otherwise() {
    for (body, expected) in [
        (message("x"), "client"),
        (code("context_length_exceeded"), "client"),
        (code("content_filter"), "client"),
        (code("invalid_api_key"), "auth 0s"),
        (
            r#"{"error":{"details":[{"reason":"API_KEY_INVALID"}]}}"#.to_owned(),
            "auth 0s",
        ),
        (
            message("Your credit balance is too low to access"),
            "auth 1800s",
        ),
        (message("The model `x` does not exist"), "model"),
        (
            r#"[{"error":{"details":[{"reason":"API_KEY_INVALID"}]}}]"#.to_owned(),
            "auth 0s",
        ),
        (r#"["x"]"#.to_owned(), "client"),
        (
            r#"{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}"#
                .to_owned(),
            "auth 1800s",
        ),
        (
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"x"}}"#.to_owned(),
            "client",
        ),
        (
            r#"{"type":"error","error":{"type":"billing_error","message":"x"}}"#.to_owned(),
            "auth 1800s",
        ),
        (
            r#"{"error":{"code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#
                .to_owned(),
            "client",
        ),
        ("<html>".to_owned(), "protocol"),
        (String::new(), "client"),
        (
            message("Invalid value: 'your credit balance is too low'"),
            "client",
        ),
        (message("Invalid value: 'model not found'"), "client"),
    ] {
        assert_eq!(judged(400, &body), expected, "{body}");
    }
}

#[test]
fn a_status_and_its_body_tell_whose_fault_it_is() {
    for (status, body, expected) in [
        (401, message("x"), "auth 0s"),
        (402, message("x"), "auth 1800s"),
        (403, message("x"), "auth if repeated"),
        (403, code("content_policy_violation"), "client"),
        (403, code("invalid_api_key"), "auth 0s"),
        (403, code("model_not_found"), "model"),
        (
            404,
            r#"{"type":"error","error":{"type":"not_found_error","message":"model: x"}}"#
                .to_owned(),
            "model",
        ),
        (
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#
                .to_owned(),
            "server",
        ),
        (
            429,
            r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"x"}}"#.to_owned(),
            "rate_limited",
        ),
        (413, message("x"), "client"),
        (422, r#"{"detail":"x"}"#.to_owned(), "client"),
        (418, message("x"), "client"),
        (404, code("model_not_found"), "model"),
        (404, r#"{"detail":"Not Found"}"#.to_owned(), "model"),
        (404, "<html>".to_owned(), "protocol"),
        (403, "<html>".to_owned(), "protocol"),
        (403, String::new(), "auth if repeated"),
        (413, "<html>".to_owned(), "client"),
        (
            422,
            message("Input 'the model `x` does not exist' is too long"),
            "client",
        ),
        (429, message("x"), "rate_limited"),
        (
            429,
            r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},{"retryDelay":"7s"}]}}"#
                .to_owned(),
            "auth 1800s",
        ),
        (
            429,
            r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]}]}}"#
                .to_owned(),
            "rate_limited",
        ),
        (
            429,
            message("Rate limit exceeded: free-models-per-day. Add credits"),
            "auth 1800s",
        ),
        (
            429,
            message("Rate limit reached for `m` on requests per day (RPD): Limit 200"),
            "rate_limited",
        ),
        (429, code("insufficient_quota"), "auth 1800s"),
        (408, message("x"), "server"),
        (409, message("x"), "server"),
        (500, "<html>".to_owned(), "server"),
        (503, String::new(), "server"),
        (529, message("overloaded"), "server"),
        (302, String::new(), "protocol"),
    ] {
        assert_eq!(judged(status, &body), expected, "{status} {body}");
    }
}

#[test]
fn what_no_body_can_excuse_is_a_failure_with_any() {
    let bodies = [
        String::new(),
        "<html>".to_owned(),
        message("x"),
        message("The model `x` does not exist"),
        code("content_filter"),
        code("invalid_api_key"),
        code("insufficient_quota"),
    ];
    for status in 300..=599 {
        let excused = bodies.iter().any(|body| judged(status, body) == "client");

        let may = may_excuse(StatusCode::from_u16(status).unwrap());

        assert_eq!(may, excused, "{status}");
    }
}

/// Returns how a rate limit with these headers and this body is judged.
fn limited(pairs: &[(&'static str, &str)], body: &str) -> (Verdict, Option<Duration>) {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let judgement = judge(
        status,
        &headers(pairs),
        body.as_bytes(),
        NOW.parse().unwrap(),
    );
    let Judgement::Failed(failure) = judgement else {
        panic!("a rate limit is nobody's fault but the endpoint's")
    };
    (failure.fault.verdict, failure.retry_after)
}

#[test]
fn a_rate_limit_with_a_length_is_a_cool_down() {
    let delay = r#"{"error":{"code":429,"details":[{"retryDelay":"38s"}]}}"#;
    let listed = format!(" [{delay}]\n");
    for (pairs, body, seconds) in [
        (&[("retry-after", "3")][..], "{}", 3),
        (&[("x-ratelimit-reset-tokens", "6m0s")], "{}", 360),
        (
            &[("retry-after", "3"), ("x-ratelimit-reset-tokens", "6m0s")],
            "{}",
            3,
        ),
        (&[], delay, 38),
        (&[], &listed, 38),
    ] {
        let wait = Duration::from_secs(seconds);
        let expected = (Verdict::CoolDown(wait), Some(wait));
        assert_eq!(limited(pairs, body), expected, "{pairs:?} {body}");
    }
}

#[test]
fn a_rate_limit_without_a_length_counts() {
    for pairs in [&[][..], &[("retry-after", "0")]] {
        assert_eq!(limited(pairs, "{}").0, Verdict::Count, "{pairs:?}");
    }
}

#[test]
fn the_state_of_limits_says_nothing_of_another_failure() {
    let headers = headers(&[("x-ratelimit-reset-tokens", "6m0s")]);
    let status = StatusCode::SERVICE_UNAVAILABLE;

    let judgement = judge(status, &headers, b"", NOW.parse().unwrap());

    let Judgement::Failed(failure) = judgement else {
        panic!("a 503 is the endpoint's failure")
    };
    assert_eq!(failure.retry_after, None);
}

#[test]
fn the_cause_is_the_status_and_the_code_where_there_is_one() {
    for (body, expected) in [
        (
            code("model_overloaded"),
            "status 503 Service Unavailable model_overloaded",
        ),
        (message("x"), "status 503 Service Unavailable"),
    ] {
        let judged = judge(
            StatusCode::SERVICE_UNAVAILABLE,
            &HeaderMap::new(),
            body.as_bytes(),
            Timestamp::UNIX_EPOCH,
        );

        let Judgement::Failed(failure) = judged else {
            panic!("a failure");
        };
        assert_eq!(&*failure.cause, expected);
    }
}
