//! What is hidden of an upstream's words, and what is not.

use std::sync::Arc;

use berry_core::Source;
use proptest::prelude::*;

use super::*;
use crate::snapshot::Names;

fn provider(lines: &str) -> Arc<Provider> {
    let source = Source::new("test.toml", format!("[providers.p]\n{lines}"));
    let loaded = Names::collect().parse(&source, &|_| None).unwrap();
    Arc::clone(&loaded.config.providers[0])
}

fn scrub(lines: &str) -> Scrub {
    Scrub::of(&provider(lines), None)
}

fn cleaned(lines: &str, text: &'static str) -> String {
    let scrub = scrub(lines);
    String::from_utf8(scrub.clean(Bytes::from_static(text.as_bytes())).to_vec()).unwrap()
}

const PROVIDER: &str = r#"
    base_url = "https://llm.example.com:8443/accounts/4711/v1"
    api_key = "sk-live/0123456789"
    headers = { X-Account = "Token account-secret-1" }
"#;

#[test]
fn keys_addresses_and_configured_headers_are_replaced() {
    for (text, expected) in [
        ("key sk-live/0123456789.", "key ***."),
        (r#"{"key":"sk-live\/0123456789"}"#, r#"{"key":"***"}"#),
        ("sk-live/0123456789sk-live/0123456789", "******"),
        ("X-Account: Token account-secret-1", "X-Account: ***"),
        ("X-Account: account-secret-1", "X-Account: ***"),
        (
            "POST https://llm.example.com:8443/accounts/4711/v1/chat/completions",
            "POST ***/chat/completions",
        ),
        (r"https:\/\/llm.example.com:8443\/x", r"https:***\/x"),
        ("cannot resolve llm.example.com", "cannot resolve ***"),
    ] {
        assert_eq!(cleaned(PROVIDER, text), expected, "{text}");
    }
}

#[test]
fn an_address_is_hidden_in_any_case() {
    let local = "base_url = \"http://LocalHost:18801/v1\"";
    for (lines, text, expected) in [
        (local, "http://localhost:18801/v1/x", "***/x"),
        (local, "at HTTP://LOCALHOST:18801", "at HTTP:***"),
        (local, "got %4cocalhost:18801", "got ***"),
        (PROVIDER, "no LLM.Example.COM", "no ***"),
        (PROVIDER, "SK-LIVE/0123456789", "SK-LIVE/0123456789"),
    ] {
        assert_eq!(cleaned(lines, text), expected, "{text}");
    }
}

#[test]
fn a_path_that_names_more_than_a_version_is_hidden_by_itself() {
    let of = |path: &str| format!("base_url = \"https://h.example.com{path}\"");
    for (path, expected) in [
        ("/accounts/4711/v1", "POST ***/chat"),
        ("/team-of-ada", "POST ***/chat"),
        ("/v1", "POST /v1/chat"),
        ("/api/v1", "POST /api/v1/chat"),
        ("/v1beta/openai", "POST /v1beta/openai/chat"),
        ("/a/v1", "POST /a/v1/chat"),
    ] {
        let scrub = scrub(&of(path));
        let cleaned = scrub.clean(format!("POST {path}/chat").into());
        assert_eq!(*cleaned, *expected.as_bytes());
    }
}

#[test]
fn what_looks_like_a_secret_in_a_configured_header_is_one() {
    let headers = r#"
        base_url = "https://h.example.com/v1"
        [providers.p.headers]
        X-A = "Basic first-secret second-2-secret ok"
        X-B = "id=none; key=\"third-3-secret\""
        X-C = "fourth-secret=="
        X-D = "Basic YWRhOndvcmQtb2YtYWRh"
        X-E = "Basic bmFtZS1vZi1ldmU6"
    "#;

    for (text, expected) in [
        ("got Basic first-secret second-2-secret ok", "got ***"),
        ("got first-secret", "got ***"),
        ("got second-2-secret and ok", "got *** and ok"),
        ("got third-3-secret", "got ***"),
        (
            "got fourth-secret without padding",
            "got *** without padding",
        ),
        ("ada:word-of-ada, word-of-ada", "***, ***"),
        ("name-of-eve", "***"),
        ("Basic id=none", "Basic id=none"),
    ] {
        assert_eq!(cleaned(headers, text), expected);
    }
}

#[test]
fn words_of_a_configured_header_stay_where_an_error_has_them_too() {
    let headers = r#"
        base_url = "https://h.example.com/v1"
        [providers.p.headers]
        Content-Type = "application/json"
        X-Title = "Messages"
        X-Application = "My Application"
        X-Features = "messages,temperature"
        anthropic-beta = "prompt-caching-2024-07-31"
    "#;

    for text in [
        "messages: expected an array, not application/json",
        "Messages of this Application",
        "temperature is out of range",
        "prompt-caching-2024-07-31 is over",
    ] {
        assert_eq!(cleaned(headers, text), text);
    }
    assert_eq!(cleaned(headers, "My Application!"), "***!");
}

#[test]
fn the_proxy_and_its_password_are_replaced() {
    let proxy = Proxy {
        address: "http://proxy.example.org:3128/".parse().unwrap(),
        // proxy-user:proxy/secret
        authorization: Some(HeaderValue::from_static(
            "Basic cHJveHktdXNlcjpwcm94eS9zZWNyZXQ=",
        )),
    };
    let scrub = Scrub::of(&provider(PROVIDER), Some(&proxy));

    for (text, expected) in [
        (
            "Proxy-Authorization: Basic cHJveHktdXNlcjpwcm94eS9zZWNyZXQ=",
            "Proxy-Authorization: ***=",
        ),
        ("cHJveHktdXNlcjpwcm94eS9zZWNyZXQ", "***"),
        ("as proxy-user:proxy/secret", "as ***"),
        ("proxy%2Fsecret", "***"),
        ("Via: 1.1 proxy.example.org:3128", "Via: 1.1 ***"),
        ("proxy.example.org is tired", "*** is tired"),
        ("key sk-live/0123456789", "key ***"),
    ] {
        let cleaned = scrub.clean(Bytes::from_static(text.as_bytes()));
        assert_eq!(*cleaned, *expected.as_bytes());
    }
    assert!(!format!("{proxy:?}").contains("proxy.example.org"));
}

#[test]
fn four_layers_of_escapes_are_undone() {
    let mut text = "sk-live/0123456789".to_owned();
    for layer in 0..=5 {
        let found = scrub(PROVIDER).clean(text.clone().into()) != text.as_bytes();

        assert_eq!(found, layer <= 4, "{text}");

        text = text.replace('%', "%25").replace('/', "%2F");
    }
}

#[test]
fn a_secret_that_looks_like_an_escape_is_found_behind_another() {
    let lines = r#"
        base_url = "https://h.example.com/v1"
        api_key = 'pk%2Fabc/0123&lt;\u0041'
    "#;
    for text in [
        r"pk%2Fabc/0123&lt;\u0041",
        r"pk%2Fabc\/0123&lt;\u0041",
        r"pk%252Fabc%2F0123%26lt%3B%5Cu0041",
        r"pk%252Fabc\/0123&amp;lt;\u0041",
        "pk/abc/0123<A",
    ] {
        assert_eq!(cleaned(lines, text), "***", "{text}");
    }
}

#[test]
fn an_escape_hides_nothing() {
    let quoted = r#"
        base_url = "https://h.example.com/v1"
        api_key = 'key-"a\b"-012'
    "#;
    for (lines, text, expected) in [
        (
            PROVIDER,
            r"\u0073\u006b-live\/0123456789 \u00e9",
            r"*** \u00e9",
        ),
        (PROVIDER, r"sk-live\u002F0123456789\n", r"***\n"),
        // An error that quotes JSON.
        (
            PROVIDER,
            r#"{"message":"got {\"key\":\"\\u0073k-live\\/0123456789\"}"}"#,
            r#"{"message":"got {\"key\":\"***\"}"}"#,
        ),
        (PROVIDER, r"\\\u0073k-live/0123456789", r"\\***"),
        (quoted, r#"key-\u0022a\u005cb\"-012 \u0022"#, r"*** \u0022"),
        (PROVIDER, r"a\/\u0062\u+073\u00", r"a\/\u0062\u+073\u00"),
        (PROVIDER, "?key=sk-live%2f0123456789%20", "?key=***%20"),
        (
            PROVIDER,
            "&quot;sk-live&#x2F;0123456789&quot;",
            "&quot;***&quot;",
        ),
        (
            PROVIDER,
            "%26%2373;k-live%252F0123456789",
            "%26%2373;k-live%252F0123456789",
        ),
        (PROVIDER, "%26%23115;k-live%252F0123456789", "***"),
        (PROVIDER, r"sk-live/0123456789\u00", r"***\u00"),
        (PROVIDER, r"sk-live/0123456789\", r"***\"),
    ] {
        assert_eq!(cleaned(lines, text), expected, "{text}");
    }
}

#[test]
fn only_the_parts_that_are_named_are_cleaned() {
    let scrub = scrub(PROVIDER);
    let text = Bytes::from_static(b"sk-live/0123456789 sk-live/0123456789 llm.example.com");
    for (parts, expected) in [
        (
            vec![],
            "sk-live/0123456789 sk-live/0123456789 llm.example.com",
        ),
        (vec![(19, 37)], "sk-live/0123456789 *** llm.example.com"),
        (vec![(0, 18), (38, 53)], "*** sk-live/0123456789 ***"),
        (
            vec![(0, 17)],
            "sk-live/0123456789 sk-live/0123456789 llm.example.com",
        ),
    ] {
        let parts: Vec<_> = parts.into_iter().map(|(start, end)| start..end).collect();
        assert_eq!(scrub.clean_parts(text.clone(), &parts), expected);
    }
}

proptest! {
    #[test]
    fn however_its_characters_are_spelled_a_key_is_found(
        before in any::<Vec<u8>>(),
        spellings in proptest::collection::vec(0..7_usize, 18),
        after in any::<Vec<u8>>(),
    ) {
        let scrub = scrub(PROVIDER);
        let spelled = "sk-live/0123456789".chars().zip(spellings);
        let spelled: String = spelled.map(|(character, spelling)| {
            let code = u32::from(character);
            match spelling {
                0 => character.to_string(),
                1 => format!("\\u{code:04x}"),
                2 => format!("%{code:02X}"),
                3 => format!("&#{code};"),
                4 => format!("&amp;#x{code:x};"),
                5 => format!("&#{code:012};"),
                _ => format!("\\\\u{code:04X}"),
            }
        }).collect();
        // An escape that what comes before begins may end in the key.
        let text = [&before, &b" "[..], spelled.as_bytes(), &after].concat();

        let cleaned = scrub.clean(text.into());

        prop_assert!(memchr::memmem::find(&cleaned, spelled.as_bytes()).is_none());
        prop_assert!(scrub.find(&cleaned, Suspicion::Grave).is_empty());
    }
}

#[test]
fn a_header_is_cleaned_where_it_must_be() {
    let scrub = scrub(PROVIDER);
    for (value, expected) in [
        ("application/json", "application/json"),
        ("req-sk-live/0123456789-1", "req-***-1"),
    ] {
        let value = HeaderValue::from_static(value);
        assert_eq!(scrub.clean_header(&value), expected);
    }
}

#[test]
fn what_is_no_secret_stays() {
    let local = "base_url = \"http://ollama/v1\"\napi_key = \"ollama\"";

    for text in ["ollama has no such model", "see https://example.com", ""] {
        assert_eq!(cleaned(local, text), text);
    }
    assert_eq!(cleaned(local, "at http://ollama/api"), "at http:***/api");
}

#[test]
fn it_does_not_print_what_it_hides() {
    assert!(!format!("{:?}", scrub(PROVIDER)).contains("secret"));
}
