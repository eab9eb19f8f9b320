use super::{golden, pretty};
use crate::adapter::gemini::error;

#[test]
fn errors_take_openais_shape() {
    for (name, body) in [
        (
            "invalid",
            r#"{"error":{"code":400,"message":"Invalid value at 'contents'","status":"INVALID_ARGUMENT"}}"#,
        ),
        (
            "in_an_array",
            r#"[{"error":{"code":400,"message":"Invalid value at 'contents'","status":"INVALID_ARGUMENT"}}]"#,
        ),
        (
            "invalid_key",
            r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT",
                "details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}"#,
        ),
        (
            "too_long",
            r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
        ),
        (
            "location",
            r#"{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}"#,
        ),
        (
            "quota",
            r#"{"error":{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED",
                "details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.4s"}]}}"#,
        ),
        (
            "missing_model",
            r#"{"error":{"code":404,"message":"models/x is not found for API version v1beta","status":"NOT_FOUND"}}"#,
        ),
        (
            "permission",
            r#"{"error":{"code":403,"message":"Permission denied","status":"PERMISSION_DENIED"}}"#,
        ),
        (
            "overloaded",
            r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#,
        ),
        ("without_words", r#"{"error":{"code":500}}"#),
    ] {
        let error = error::openai(body.as_bytes()).unwrap();

        golden(&format!("error_{name}"), body, &pretty(&error));
    }
}

#[test]
fn what_is_no_error_of_geminis_stays_as_it_is() {
    for body in [
        "",
        "<html>502 Bad Gateway</html>",
        "[]",
        "{}",
        r#"{"error":"x"}"#,
        "7",
    ] {
        assert_eq!(error::openai(body.as_bytes()), None, "{body}");
    }
}
