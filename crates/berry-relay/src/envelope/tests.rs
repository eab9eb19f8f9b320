use proptest::prelude::*;

use super::*;

fn rewritten(body: &str) -> String {
    let envelope = Envelope::parse(Bytes::copy_from_slice(body.as_bytes())).unwrap();
    let pieces = envelope.rewrite("up", None);
    String::from_utf8(pieces.concat()).unwrap()
}

fn refused(body: impl Into<Bytes>) -> EnvelopeError {
    Envelope::parse(body.into()).unwrap_err()
}

#[test]
fn only_the_model_changes_and_the_backend_member_goes() {
    for (body, expected) in [
        (r#"{"model":"m"}"#, r#"{"model":"up"}"#),
        (
            r#"{ "model" : "m" , "x": 1.0 }"#,
            r#"{ "model" : "up" , "x": 1.0 }"#,
        ),
        (r#"{"model":"m","backend":"b"}"#, r#"{"model":"up"}"#),
        (r#"{"backend":"b","model":"m"}"#, r#"{"model":"up"}"#),
        (
            r#"{ "backend" : "b" , "model":"m" }"#,
            r#"{ "model":"up" }"#,
        ),
        (
            r#"{"a":1, "backend" :"b", "model":"m"}"#,
            r#"{"a":1, "model":"up"}"#,
        ),
        (
            r#"{"model":"m","backend":null,"z":[]}"#,
            r#"{"model":"up","z":[]}"#,
        ),
        (
            r#"{"m":{"model":"x","backend":1},"model":"m"}"#,
            r#"{"m":{"model":"x","backend":1},"model":"up"}"#,
        ),
        (
            r#"{"model":"a\u0041","messages":"\u00e9é"}"#,
            r#"{"model":"up","messages":"\u00e9é"}"#,
        ),
    ] {
        assert_eq!(rewritten(body), expected);
    }
}

#[test]
fn a_large_body_is_not_copied() {
    let body = Bytes::from(format!(
        r#"{{"model":"m","messages":"{}"}}"#,
        "x".repeat(COPIED)
    ));
    let envelope = Envelope::parse(body.clone()).unwrap();

    let pieces = envelope.rewrite("up", None);

    assert_eq!(pieces.len(), 3);
    assert_eq!(pieces[0].as_ptr(), body.as_ptr());
}

#[test]
fn an_upstream_model_is_escaped() {
    let envelope = Envelope::parse(Bytes::from_static(br#"{"model":"m"}"#)).unwrap();

    assert_eq!(
        envelope.rewrite("a\"b", None).concat(),
        br#"{"model":"a\"b"}"#
    );
}

#[test]
fn null_is_absent_for_stream_and_backend() {
    let body = Bytes::from_static(br#"{"model":"m","stream":null,"backend":null}"#);

    let envelope = Envelope::parse(body).unwrap();

    assert!(!envelope.stream());
    assert_eq!(envelope.backend(), None);
}

#[test]
fn a_prompt_cache_key_is_a_text_and_never_an_error() {
    let found = |member: &str| {
        let body = format!(r#"{{"a":{{"prompt_cache_key":"inner"}},{member}"model":"m"}}"#);
        let envelope = Envelope::parse(body.clone().into()).unwrap();
        assert_eq!(rewritten(&body), body.replace("\"m\"", "\"up\""));
        envelope.prompt_cache_key().map(Cow::into_owned)
    };
    for (member, expected) in [
        (r#""prompt_cache_key":"x","#, Some("x")),
        (r#""prompt_cache_key" : "x\u0041" ,"#, Some("xA")),
        (
            r#""prompt_cache_key":"x","prompt_cache_key":"y","#,
            Some("y"),
        ),
        (r#""prompt_cache_k\u0065y":"x","#, Some("x")),
        (r#""prompt_cache_key":"","#, None),
        (r#""prompt_cache_key":null,"#, None),
        (r#""prompt_cache_key":7,"#, None),
        (r#""prompt_cache_key":{"x":"y"},"#, None),
        ("", None),
    ] {
        assert_eq!(found(member).as_deref(), expected, "{member}");
    }
}

#[test]
fn a_governed_member_must_be_unambiguous_and_of_its_type() {
    let wrong = |member, expected| EnvelopeError::WrongType { member, expected };
    for (body, error) in [
        ("{}", EnvelopeError::Missing("model")),
        (r#"{"model":1}"#, wrong("model", "a non-empty string")),
        (r#"{"model":null}"#, wrong("model", "a non-empty string")),
        (r#"{"model":""}"#, wrong("model", "a non-empty string")),
        (
            r#"{"model":"a","model":"b"}"#,
            EnvelopeError::Duplicate("model"),
        ),
        (
            r#"{"model":"a","mod\u0065l":"b"}"#,
            EnvelopeError::EscapedKey("model"),
        ),
        (r#"{"mod\u0065l":"b"}"#, EnvelopeError::EscapedKey("model")),
        (
            r#"{"model":"a","previous_response_id":"x","previous_response_id":"y"}"#,
            EnvelopeError::Duplicate("previous_response_id"),
        ),
        (r#"{"Model":"a"}"#, EnvelopeError::Uppercase("model")),
        (
            r#"{"model":"a","MODEL":"b"}"#,
            EnvelopeError::Uppercase("model"),
        ),
        (
            r#"{"model":"a","\u004dodel":"b"}"#,
            EnvelopeError::Uppercase("model"),
        ),
        (
            r#"{"model":"a","Stream":true}"#,
            EnvelopeError::Uppercase("stream"),
        ),
        (
            "{\"model\":\"a\",\"\u{17f}tream\":true}",
            EnvelopeError::Uppercase("stream"),
        ),
        (
            "{\"model\":\"a\",\"bac\u{212a}end\":\"b\"}",
            EnvelopeError::Uppercase("backend"),
        ),
        (
            r#"{"model":"a","Previous_Response_ID":"x"}"#,
            EnvelopeError::Uppercase("previous_response_id"),
        ),
        (
            r#"{"model":"a","b\u0061ckend":"b"}"#,
            EnvelopeError::EscapedKey("backend"),
        ),
        (
            r#"{"model":"a","stream":"true"}"#,
            wrong("stream", "a boolean"),
        ),
        (r#"{"model":"a","stream":1}"#, wrong("stream", "a boolean")),
        (
            r#"{"model":"a","backend":7}"#,
            wrong("backend", "a string: a provider's id"),
        ),
        (
            r#"{"model":"a","backend":{}}"#,
            wrong("backend", "a string: a provider's id"),
        ),
    ] {
        assert_eq!(refused(body), error, "{body}");
    }
}

#[test]
fn names_that_only_resemble_a_governed_one_are_the_clients() {
    for name in [
        "models",
        "mode",
        "Models",
        "s",
        "streams",
        "stream_options",
        "",
    ] {
        let body = format!(r#"{{"model":"m","{name}":1}}"#);

        assert!(Envelope::parse(body.into()).is_ok(), "{name}");
    }
}

#[test]
fn a_body_must_be_an_object_in_utf8() {
    assert_eq!(refused("[]"), EnvelopeError::NotAnObject);
    assert_eq!(refused(""), EnvelopeError::NotJson(0));
    assert_eq!(refused("model=m"), EnvelopeError::NotJson(0));
    assert_eq!(
        refused(&b"{\"model\":\"\xff\"}"[..]),
        EnvelopeError::NotUtf8(10)
    );
    assert_eq!(
        refused(format!(r#"{{"a":{}"#, "[".repeat(300))),
        EnvelopeError::TooDeep
    );
}

proptest! {
    #[test]
    fn parsing_never_panics(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Envelope::parse(Bytes::from(body));
    }

    #[test]
    fn a_rewritten_body_is_the_same_object_with_two_changes(
        before in proptest::collection::btree_map("[a-f]{1,3}", "[a-z\\\\\"é]{0,5}", 0..4),
        after in proptest::collection::btree_map("[g-k]{1,3}", any::<i32>(), 0..4),
        backend_at in 0..3_usize,
    ) {
        let mut members: Vec<String> = before
            .iter()
            .map(|(key, value)| format!("\"{key}\": {}", serde_json::Value::from(value.as_str())))
            .collect();
        members.push("\"model\":\"m\"".to_owned());
        members.extend(after.iter().map(|(key, value)| format!("\"{key}\" :{value}")));
        let mut expected: serde_json::Value =
            serde_json::from_str(&format!("{{{}}}", members.join(","))).unwrap();
        expected["model"] = "up".into();
        members.insert(backend_at.min(members.len()), "\"backend\":\"b\"".to_owned());

        let rewritten = rewritten(&format!("{{{}}}", members.join(" , ")));

        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&rewritten).unwrap(), expected);
    }
}

#[test]
fn a_stream_is_asked_for_its_usage_unless_the_client_asks() {
    for (body, expected) in [
        (
            r#" {"model":"m","stream":true}"#,
            r#" {"stream_options":{"include_usage":true},"model":"up","stream":true}"#,
        ),
        (
            r#"{"backend":"b","model":"m"}"#,
            r#"{"stream_options":{"include_usage":true},"model":"up"}"#,
        ),
        (
            r#"{"model":"m","stream_options":null}"#,
            r#"{"model":"up","stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream_options":{},"model":"m"}"#,
            r#"{"stream_options":{"include_usage":true},"model":"up"}"#,
        ),
        (
            r#"{"stream_options":{"a":1},"model":"m"}"#,
            r#"{"stream_options":{"include_usage":true,"a":1},"model":"up"}"#,
        ),
        (
            r#"{"model":"m","stream_options":{"include_usage":false,"a":1}}"#,
            r#"{"model":"up","stream_options":{"include_usage":true,"a":1}}"#,
        ),
        (
            r#"{"model":"m","stream_options":{"include_usage":true}}"#,
            r#"{"model":"up","stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"model":"m","stream_options":[]}"#,
            r#"{"model":"up","stream_options":[]}"#,
        ),
    ] {
        let envelope = Envelope::parse(Bytes::copy_from_slice(body.as_bytes())).unwrap();

        let rewritten = envelope.rewrite("up", envelope.ask_usage()).concat();

        assert_eq!(String::from_utf8(rewritten).unwrap(), expected, "{body}");
    }
}

fn form(parts: &[(&str, &str)]) -> String {
    let part = |(head, value): &(&str, &str)| {
        format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
    };
    parts.iter().map(part).collect::<String>() + "--b--\r\n"
}

fn parse_form(body: &str) -> Result<Envelope, EnvelopeError> {
    let kind = HeaderValue::from_static("multipart/form-data; boundary=b");
    Envelope::parse_form(Bytes::copy_from_slice(body.as_bytes()), &kind)
}

#[test]
fn a_forms_model_changes_and_its_backend_part_goes() {
    let file = ("name=\"file\"; filename=\"model\"", "\0\u{1}\r\nmodel");
    let body = form(&[
        ("name=\"backend\"", "b"),
        file,
        ("name=\"model\"", "m"),
        ("name=\"stream\"", "true"),
    ]);

    let envelope = parse_form(&body).unwrap();

    assert_eq!(envelope.model(), "m");
    assert_eq!(envelope.backend(), Some("b"));
    assert!(envelope.stream());
    let expected = form(&[
        file,
        ("name=\"model\"", "upstream \"m\""),
        ("name=\"stream\"", "true"),
    ]);
    let rewritten = envelope.rewrite("upstream \"m\"", None).concat();
    assert_eq!(String::from_utf8(rewritten).unwrap(), expected);
}

#[test]
fn a_form_is_refused_where_a_governed_part_is_not_clear() {
    let model = ("name=\"model\"", "m");
    for (parts, expected) in [
        (vec![], EnvelopeError::Missing("model")),
        (vec![model, model], EnvelopeError::Duplicate("model")),
        (
            vec![model, ("name=\"Model\"", "n")],
            EnvelopeError::Uppercase("model"),
        ),
        (
            vec![model, ("name=\"BACKEND\"", "b")],
            EnvelopeError::Uppercase("backend"),
        ),
        (
            vec![model, ("name=\"model[]\"", "n")],
            EnvelopeError::Decorated("model"),
        ),
        (
            vec![model, ("name=\" model\"", "n")],
            EnvelopeError::Decorated("model"),
        ),
        (
            vec![model, ("name=\"Stream [0][x]\"", "n")],
            EnvelopeError::Decorated("stream"),
        ),
        (
            vec![("name=\"model\"; filename=\"x\"", "m")],
            EnvelopeError::WrongType {
                member: "model",
                expected: "plain text",
            },
        ),
        (
            vec![("name=\"model\"", "")],
            EnvelopeError::WrongType {
                member: "model",
                expected: "a non-empty string",
            },
        ),
        (
            vec![model, ("name=\"stream\"", "perhaps")],
            EnvelopeError::WrongType {
                member: "stream",
                expected: "a boolean",
            },
        ),
    ] {
        assert_eq!(parse_form(&form(&parts)).unwrap_err(), expected);
    }
    assert!(matches!(
        parse_form("--c--").unwrap_err(),
        EnvelopeError::NotAForm(_)
    ));
}

#[test]
fn a_large_form_goes_on_without_being_copied() {
    let body = Bytes::from(form(&[
        ("name=\"file\"; filename=\"a\"", &"x".repeat(1 << 20)),
        ("name=\"model\"", "m"),
    ]));
    let kind = HeaderValue::from_static("multipart/form-data; boundary=b");
    let envelope = Envelope::parse_form(body.clone(), &kind).unwrap();

    let pieces = envelope.rewrite("up", None);

    assert_eq!(pieces[0].as_ptr(), body.as_ptr());
}
