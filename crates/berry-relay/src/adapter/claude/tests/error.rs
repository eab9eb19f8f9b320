//! Errors.

use super::super::error::openai;
use super::{assert_golden, cases, input, pretty};

cases! { check:
    a_prompt_that_is_too_long_says_so_in_its_code
    a_request_that_is_too_large_is_the_clients
    an_invalid_request_names_its_member
    an_overloaded_server_is_a_server_error
    an_unknown_error_is_the_servers
}

fn check(name: &str) {
    let body = input("error", &format!("{name}.json"));

    assert_golden("error", name, &pretty(&openai(body.as_bytes()).unwrap()));
}

#[test]
fn the_member_is_named_as_openai_names_it() {
    for (message, expected) in [
        (
            "messages.1.content.0.text: text must not be empty",
            Some("messages"),
        ),
        (
            "system: text content blocks must be non-empty",
            Some("messages"),
        ),
        (
            "max_tokens: 99999 > 64000, which is too many",
            Some("max_tokens"),
        ),
        ("`temperature` may only be set to 1", Some("temperature")),
        ("stop_sequences.0: too long", Some("stop")),
        (
            "output_config.format.schema: no recursion",
            Some("response_format"),
        ),
        ("tools are bad", None),
        ("something: happened", None),
        ("", None),
    ] {
        let body = serde_json::json!({
            "type": "error",
            "error": {"type": "invalid_request_error", "message": message},
        });

        let error = openai(body.to_string().as_bytes()).unwrap();

        let error: serde_json::Value = serde_json::from_slice(&error).unwrap();
        assert_eq!(error["error"]["param"].as_str(), expected, "{message}");
        assert_eq!(error["error"]["message"], message);
    }
}

#[test]
fn each_type_has_its_type_and_code() {
    for (theirs, kind, code) in [
        ("invalid_request_error", "invalid_request_error", None),
        (
            "request_too_large",
            "invalid_request_error",
            Some("request_too_large"),
        ),
        (
            "not_found_error",
            "invalid_request_error",
            Some("model_not_found"),
        ),
        (
            "authentication_error",
            "invalid_request_error",
            Some("invalid_api_key"),
        ),
        ("permission_error", "permission_error", None),
        (
            "billing_error",
            "permission_error",
            Some("insufficient_quota"),
        ),
        (
            "rate_limit_error",
            "rate_limit_error",
            Some("rate_limit_exceeded"),
        ),
        ("overloaded_error", "server_error", Some("overloaded")),
        ("timeout_error", "server_error", Some("timeout")),
        ("api_error", "server_error", None),
        ("", "server_error", None),
    ] {
        let body = serde_json::json!({"error": {"type": theirs, "message": "x"}});

        let error = openai(body.to_string().as_bytes()).unwrap();

        let error: serde_json::Value = serde_json::from_slice(&error).unwrap();
        assert_eq!(error["error"]["type"], kind, "{theirs}");
        assert_eq!(error["error"]["code"].as_str(), code, "{theirs}");
    }
}

#[test]
fn what_is_no_error_of_anthropics_is_none() {
    for body in [
        "",
        "<html>",
        "{}",
        r#"{"error":"x"}"#,
        r#"{"error":{"message":3}}"#,
    ] {
        assert_eq!(openai(body.as_bytes()), None, "{body}");
    }
}
