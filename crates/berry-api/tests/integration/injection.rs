//! What clients write that is meant to be read as something else: garbage for credentials, and text
//! that would be a header, a line of the log, a label or a page.

use berry_testkit::{Behaviour, Upstream};
use http::Method;
use serde_json::{Value, json};

use crate::support::{
    Client, Gateway, Process, Raw, Request, Setup, TOKEN, chat, get, hello, request, scratch,
    signal,
};

const REFUSED: &str = "401 invalid_request_error/invalid_api_key";
/// Ends a header, a line, a colour, a label, an attribute and a page.
const HOSTILE: &str = "a\r\nset-cookie: b=c\n\u{1b}[31m\"} 1\n{x=\"\\<script>alert(1)</script>\0";

async fn gateway() -> (Gateway, Upstream) {
    let upstream = Upstream::start().await;
    (Setup::over(&upstream).start(), upstream)
}

fn bearing(token: &str) -> Request {
    let authorization = format!("Bearer {token}");
    request(
        Method::GET,
        "/v1/models",
        &[("authorization", &authorization)],
        "",
    )
}

#[tokio::test]
async fn garbage_of_any_length_is_no_credential() {
    let (gateway, _upstream) = gateway().await;
    let mut rng = fastrand::Rng::with_seed(6);
    let mut client = gateway.connect().await;

    for length in (0..200).chain([1_000, 8_000, 16_000, 64_000]) {
        let printable: String = (0..length)
            .map(|_| char::from(rng.u8(b'!'..=b'~')))
            .collect();
        let answer = client.send(bearing(&printable)).await;
        assert_eq!(answer.error(), REFUSED, "{printable}");

        let mut bytes = bearing("x");
        let garbage: Vec<u8> = (0..length).map(|_| rng.u8(0x80..)).collect();
        let value = http::HeaderValue::from_bytes(&garbage).unwrap();
        bytes.headers_mut().insert("authorization", value);
        assert_eq!(client.send(bytes).await.error(), REFUSED, "{garbage:?}");
    }
}

#[tokio::test]
async fn a_token_of_a_megabyte_costs_its_connection_at_most() {
    let (gateway, _upstream) = gateway().await;
    let token = "x".repeat(1 << 20);

    let mut http1 = Raw::connect(gateway.address()).await;
    let head = format!("GET /v1/models HTTP/1.1\r\nhost: x\r\nx-api-key: {token}\r\n\r\n");
    // It is refused before all of it is sent.
    let _ = http1.try_send(head.as_bytes()).await;
    let refused = http1.rest().await;
    let mut http2 = Client::connect_h2c(gateway.address()).await;
    let over_http2 = http2.exchange(bearing(&token)).await;

    assert!(
        refused.is_empty() || refused.starts_with("HTTP/1.1 431 "),
        "{refused}"
    );
    assert!(over_http2.is_err() || over_http2.unwrap().status() == 431);
    assert_eq!(gateway.chat(&hello()).await.status, 200);
}

#[tokio::test]
async fn names_that_hold_headers_add_none() {
    let (gateway, upstream) = gateway().await;
    let model = json!({"model": HOSTILE}).to_string();
    let backend = json!({"model": "test-model", "backend": HOSTILE}).to_string();
    let path = format!("/v1/models/{}", "a%0d%0aset-cookie:%20b=c");

    for request in [chat(model), chat(backend), get(&path)] {
        let answer = gateway.send(request).await;

        assert_eq!(answer.status, 404);
        assert_eq!(answer.header("set-cookie"), None, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    assert_eq!(upstream.request_count(), 0);
}

#[tokio::test]
async fn an_id_that_is_more_than_a_name_is_replaced() {
    let (gateway, upstream) = gateway().await;
    let long = "x".repeat(129);

    for id in ["a b", "<b>", "a\tb", "caf\u{e9}", "a,b", "\"", &long, ""] {
        let mut request = chat(hello().to_string());
        let value = http::HeaderValue::from_bytes(id.as_bytes()).unwrap();
        request.headers_mut().insert("x-request-id", value);

        let answer = gateway.send(request).await;

        let given = answer.header("x-request-id").unwrap();
        assert!(given.len() == 36 && given != id, "{given}");
    }
    for request in upstream.requests() {
        // The upstream is told ours.
        assert_eq!(request.headers["x-request-id"].len(), 36);
    }
}

#[tokio::test]
async fn nothing_that_is_sent_ends_a_line_of_the_log_or_colours_it() {
    let upstream = Upstream::start().await;
    let folder = scratch(&[("config.toml", &Setup::over(&upstream).toml())]);
    let environment = [("LOG_FORMAT", "text"), ("RUST_LOG", "debug")];
    let mut process = Process::start(folder.path(), &[], &environment).await;
    let (id, mut client) = (process.id(), Client::connect(process.address()).await);
    let hostile = json!({"error": {"message": HOSTILE, "type": HOSTILE, "code": HOSTILE}});
    let escaped = "/v1/models/%0a%1b%5b31m2026-01-01T00:00:00Z%20INFO";

    let drive = async {
        for behaviour in [
            Behaviour::json(hostile.clone()).with_status(400),
            Behaviour::json(hostile.clone()).with_status(500),
            Behaviour::json(hostile),
            Behaviour::body(HOSTILE.replace(['\r', '\n', '\u{1b}', '\0'], " "), HOSTILE),
        ] {
            upstream.set(behaviour);
            client.send(chat(hello().to_string())).await;
        }
        for body in [
            json!({"model": HOSTILE}).to_string(),
            json!({"model": "test-model", "backend": HOSTILE}).to_string(),
            HOSTILE.to_owned(),
        ] {
            client.send(chat(body)).await;
        }
        client.send(get(escaped)).await;
        client.send(bearing("\u{9b}31m")).await;
        let mut strange = get("/v1/models");
        *strange.method_mut() = "INFO".parse().unwrap();
        client.send(strange).await;
        signal(id, "TERM").await;
    };
    let (lines, ()) = tokio::join!(process.rest(), drive);

    assert!(lines.iter().any(|line| line.contains("attempt failed")));
    for line in lines {
        let time = line.split_whitespace().next().unwrap_or_default();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

#[tokio::test]
async fn names_in_the_configuration_are_text_on_every_page() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .more(
            r#"
            [providers.'"}<b>\']
            name = "<script>\n\u001b[31m\"}"
            base_url = "http://127.0.0.1:9/v1"
            proxy_url = "none"
            [models.'<script>"\']
            name = '<img/src=x>"\'
            backends = [{ provider = '"}<b>\', model = '"<i>\' }]
            "#,
        )
        .user("tags = [\"admin\"]")
        .start();

    for path in [
        "/health",
        "/metrics",
        "/v1/models",
        "/smart-ai/weights",
        "/monitoring/model-weights",
        "/admin/model-weights",
        "/admin/backend-health",
    ] {
        let answer = gateway.get(path).await;

        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(matches!(answer.json(), Value::Object(_)), "{path}");
        assert!(answer.text().contains('<'), "{path}");
    }
    let metrics = gateway.get("/prometheus").await;
    assert!(metrics.text().contains(r#"provider="\"}<b>\\""#));
    for line in metrics.text().lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    let page = gateway.get("/").await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(!page.text().contains("<img") && !page.text().contains("<b>\\"));
}

#[tokio::test]
async fn a_page_of_errors_is_no_page() {
    let (gateway, _upstream) = gateway().await;

    for path in [
        "/<script>",
        "/v1/<script>",
        "/v1/models/<script>",
        "/?<script>",
    ] {
        let mut client = Raw::connect(gateway.address()).await;
        client
            .send(format!(
                "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: {TOKEN}\r\n\r\n"
            ))
            .await;

        let answer = client.answer().await;

        let is_html = answer.header("content-type") != Some("application/json");
        assert!(!is_html || !answer.text().contains("<script>"), "{path}");
    }
}
