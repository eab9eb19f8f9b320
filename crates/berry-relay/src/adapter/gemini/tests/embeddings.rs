use super::{golden, pretty};
use crate::adapter::gemini::embedding::{Encoding, answer, request};
use crate::adapter::translate::Garbled;

#[test]
fn texts_are_embedded_in_one_batch() {
    for (name, body) in [
        (
            "one",
            r#"{"model":"m","input":"Hi","encoding_format":"base64"}"#,
        ),
        (
            "several",
            r#"{"model":"m","input":["Hi","Ho"],"dimensions":256,"user":"u"}"#,
        ),
    ] {
        let (translated, encoding) = request(body.as_bytes(), "gemini-embedding-001").unwrap();

        let output = format!("{encoding:?} {translated:#}");
        golden(&format!("embedding_request_{name}"), body, &output);
    }
}

#[test]
fn tokens_and_nonsense_are_refused() {
    for (param, body) in [
        ("input", r"{}"),
        ("input", r#"{"input":[]}"#),
        ("input", r#"{"input":[1,2]}"#),
        ("input", r#"{"input":[[1,2],[3]]}"#),
        ("input", r#"{"input":["a",1]}"#),
        ("dimensions", r#"{"input":"a","dimensions":"big"}"#),
        (
            "encoding_format",
            r#"{"input":"a","encoding_format":"hex"}"#,
        ),
        ("", "[]"),
    ] {
        let refusal = request(body.as_bytes(), "gemini-embedding-001").unwrap_err();

        assert_eq!(refusal.param, param, "{body}");
    }
}

#[test]
fn vectors_are_encoded_as_asked_for() {
    let body = r#"{"embeddings":[{"values":[0.5,-1.25]},{"values":[0.0123456789012345]}],"usageMetadata":{"promptTokenCount":4}}"#;
    for (name, encoding) in [("float", Encoding::Float), ("base64", Encoding::Base64)] {
        let answer = answer(body.as_bytes(), "alias", encoding).unwrap();

        golden(&format!("embedding_answer_{name}"), body, &pretty(&answer));
    }
}

#[test]
fn usage_that_is_not_told_is_zero() {
    let answer = answer(br#"{"embeddings":[]}"#, "alias", Encoding::Float).unwrap();

    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["usage"]["total_tokens"], 0);
}

#[test]
fn what_are_no_vectors_is_garbled() {
    for body in [
        "",
        "{}",
        r#"{"embeddings":[{}]}"#,
        r#"{"embeddings":[{"values":["a"]}]}"#,
        r#"{"embeddings":[{"values":"a"}]}"#,
    ] {
        assert_eq!(
            answer(body.as_bytes(), "m", Encoding::Float),
            Err(Garbled),
            "{body}"
        );
    }
}
