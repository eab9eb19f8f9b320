//! HTTP as clients speak it: versions, methods, CORS, pipelining.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use http::Method;

use crate::support::{
    Answer, Client, Gateway, Raw, Setup, TOKEN, chat, get, hello, hello_stream, request,
};

async fn gateway() -> (Gateway, Upstream) {
    let upstream = Upstream::start().await;
    (Setup::over(&upstream).start(), upstream)
}

/// Returns a chat request by hand.
fn written(version: &str, headers: &str, body: &str) -> String {
    format!(
        "POST /v1/chat/completions {version}\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_client_may_speak_http2_with_prior_knowledge() {
    let (gateway, _upstream) = gateway().await;
    let mut client = Client::connect_h2c(gateway.address()).await;

    let whole = client.send(chat(hello().to_string())).await;
    let models = client.send(get("/v1/models")).await;
    let stream = client.open(chat(hello_stream().to_string())).await;

    assert!(whole.said().ends_with("You said: hello"));
    assert_eq!(models.status, 200);
    assert!(stream.rest().await.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn an_http_1_0_client_gets_an_answer_that_ends_with_the_connection() {
    let (gateway, _upstream) = gateway().await;

    for (body, end) in [(hello(), "}"), (hello_stream(), "data: [DONE]\n\n")] {
        let mut client = Raw::connect(gateway.address()).await;
        client
            .send(written("HTTP/1.0", "", &body.to_string()))
            .await;

        let answer = client.rest().await;

        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
        assert!(!answer.contains("transfer-encoding"), "{answer}");
        assert!(answer.trim_end_matches('\0').ends_with(end), "{answer}");
    }
}

#[tokio::test]
async fn an_http_1_0_client_sees_a_reset_where_a_large_answer_is_cut_off() {
    let (gateway, upstream) = gateway().await;
    let large = format!(
        "{{\"choices\":[{{}}],\"text\":\"{}\"}}",
        "x".repeat(3 << 20)
    );
    upstream.set(Behaviour::body("application/json", large).truncate_after(2 << 20));
    let mut client = Raw::connect(gateway.address()).await;
    client
        .send(written("HTTP/1.0", "", &hello().to_string()))
        .await;

    let (seen, ending) = client.rest_and_ending().await;

    assert!(seen.starts_with("HTTP/1.0 200 OK\r\n"), "{seen:.200}");
    let ending = ending.map_err(|error| error.kind());
    assert_eq!(ending, Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (gateway, upstream) = gateway().await;
    let mut client = Raw::connect(gateway.address()).await;
    let ask = |text: &str| {
        let body = hello()
            .to_string()
            .replace("\"hello\"", &format!("\"{text}\""));
        written("HTTP/1.1", "", &body)
    };
    let last = written(
        "HTTP/1.1",
        "connection: close\r\n",
        &hello_stream().to_string(),
    );

    client
        .send([ask("one"), ask("two"), ask("three"), last].concat())
        .await;
    let answers = client.rest().await;

    let at = |text: &str| {
        answers
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {answers}"))
    };
    assert!(at("said: one") < at("said: two"));
    assert!(at("said: two") < at("said: three"));
    assert!(at("said: three") < at("data: [DONE]"));
    assert_eq!(upstream.request_count(), 4);
}

#[tokio::test]
async fn an_answer_does_not_wait_for_a_request_that_is_half_sent() {
    let (gateway, upstream) = gateway().await;
    let words = ["one ", "two "];
    upstream.set(Behaviour::text_stream(words, Duration::ZERO).hang_after(2));

    for body in [hello(), hello_stream()] {
        if body == hello() {
            upstream.script([Behaviour::echo()]);
        }
        let mut client = Raw::connect(gateway.address()).await;
        let whole = written("HTTP/1.1", "", &body.to_string());
        client.send(whole + "GET /health HTTP/1.1\r\nho").await;

        client.until("\"content\":").await;
    }
}

#[tokio::test]
async fn a_client_that_expects_to_be_told_to_continue_is() {
    let (gateway, _upstream) = gateway().await;
    let body = hello().to_string();
    let whole = written(
        "HTTP/1.1",
        "expect: 100-continue\r\nconnection: close\r\n",
        &body,
    );
    let (head, _) = whole.split_at(whole.len() - body.len());
    let mut client = Raw::connect(gateway.address()).await;

    client.send(head).await;
    let first = client.until("\r\n\r\n").await;
    client.send(&body).await;

    assert_eq!(first, "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(client.rest().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let (gateway, _upstream) = gateway().await;

    for (method, path, allowed) in [
        (Method::GET, "/v1/chat/completions", "POST"),
        (Method::PUT, "/v1/chat/completions", "POST"),
        (Method::HEAD, "/v1/chat/completions", "POST"),
        (Method::OPTIONS, "/v1/chat/completions", "POST"),
        (Method::POST, "/v1/models", "GET, HEAD"),
        (Method::DELETE, "/v1/models/test-model", "GET, HEAD"),
        (Method::POST, "/", "GET, HEAD"),
        (Method::POST, "/health", "GET, HEAD"),
        (Method::POST, "/health/live", "GET, HEAD"),
    ] {
        let answer = gateway.send(request(method.clone(), path, &[], "")).await;

        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        if method != Method::HEAD {
            let expected = "405 invalid_request_error/method_not_allowed";
            assert_eq!(answer.error(), expected, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn an_unknown_path_is_a_404() {
    let (gateway, _upstream) = gateway().await;

    for path in [
        "/v1",
        "/v2/models",
        "/v1/models/",
        "/chat/completions",
        "/healthz",
        "/a%20b",
    ] {
        let answer = gateway.get(path).await;

        assert_eq!(
            answer.error(),
            "404 invalid_request_error/unknown_url",
            "{path}"
        );
    }
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    let (gateway, _upstream) = gateway().await;

    for path in [
        "/",
        "/health",
        "/health/live",
        "/v1/models",
        "/v1/models/test-model",
    ] {
        let mut head = get(path);
        *head.method_mut() = Method::HEAD;

        let (head, page) = (gateway.send(head).await, gateway.get(path).await);

        assert_eq!((head.status, page.status), (200, 200), "{path}");
        assert!(head.body.is_empty(), "{path}");
        assert_eq!(head.header("content-type"), page.header("content-type"));
        let names = |answer: &Answer| {
            let names = answer.headers.keys().map(ToString::to_string);
            names.collect::<BTreeSet<_>>()
        };
        assert_eq!(names(&head), names(&page), "{path}");
        assert!(head.header("x-request-id").is_some());
        assert!(!page.body.is_empty());
    }
}

#[tokio::test]
async fn a_web_page_may_call_the_api() {
    let (gateway, upstream) = gateway().await;
    let preflight = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization, content-type, x-custom",
        ),
    ];

    let allowed = gateway
        .send(request(
            Method::OPTIONS,
            "/v1/chat/completions",
            &preflight,
            "",
        ))
        .await;

    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("*"));
    let headers = allowed.header("access-control-allow-headers").unwrap();
    assert_eq!(headers, "authorization, content-type, x-custom");
    let methods = allowed.header("access-control-allow-methods").unwrap();
    assert!(methods.contains("POST"), "{methods}");
    assert_eq!(allowed.header("access-control-allow-credentials"), None);
    assert_eq!(upstream.connection_count(), 0);
}

#[tokio::test]
async fn a_web_page_may_read_answers_errors_and_the_listed_headers() {
    let (gateway, _upstream) = gateway().await;
    let origin = "https://app.example".parse().unwrap();
    let mut allowed = chat(hello().to_string());
    allowed.headers_mut().insert("origin", origin);
    let mut refused = allowed.clone();
    refused.headers_mut().remove("authorization");

    for (request, status) in [(allowed, 200), (refused, 401)] {
        let answer = gateway.send(request).await;

        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let exposed = answer.header("access-control-expose-headers").unwrap();
        for name in [
            "x-request-id",
            "retry-after",
            "x-ratelimit-remaining-requests",
        ] {
            assert!(exposed.contains(name), "{exposed}");
        }
    }
}

#[tokio::test]
async fn a_web_page_may_read_that_a_path_is_unknown() {
    let (gateway, _upstream) = gateway().await;
    let preflight = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];

    for path in ["/v1/nothing", "/v1/no/such/path", "/v1/chat/completions/"] {
        let allowed = request(Method::OPTIONS, path, &preflight, "");
        let allowed = gateway.send(allowed).await;
        let unknown = request(Method::POST, path, &preflight[..1], "");
        let unknown = gateway.send(unknown).await;

        assert_eq!(allowed.status, 200, "{path}");
        let headers = allowed.header("access-control-allow-headers");
        assert_eq!(headers, Some("authorization"), "{path}");
        let expected = "404 invalid_request_error/unknown_url";
        assert_eq!(unknown.error(), expected, "{path}");
        for answer in [allowed, unknown] {
            let origin = answer.header("access-control-allow-origin");
            assert_eq!(origin, Some("*"), "{path}");
        }
    }
}

#[tokio::test]
async fn a_page_of_our_own_is_not_for_other_origins() {
    let (gateway, _upstream) = gateway().await;
    let origin = [("origin", "https://app.example")];

    let health = gateway
        .send(request(Method::GET, "/health", &origin, ""))
        .await;
    let plain = gateway.get("/v1/models").await;

    assert_eq!(health.header("access-control-allow-origin"), None);
    assert_eq!(plain.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let (gateway, _upstream) = gateway().await;
    let mut client = Raw::connect(gateway.address()).await;

    client.send("this is not HTTP\r\n\r\n").await;

    let error = client.answer().await.error();
    assert_eq!(error, "400 invalid_request_error/invalid_http");
    assert_eq!(gateway.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn what_is_not_http_is_refused_on_a_connection_in_use_as_well() {
    let (gateway, _upstream) = gateway().await;
    let whole = written("HTTP/1.1", "", &hello().to_string());
    for first in ["HEAD /health/live HTTP/1.1\r\nhost: x\r\n\r\n", &whole] {
        let mut client = Raw::connect(gateway.address()).await;
        client.send(first).await;
        let head = client.until("\r\n\r\n").await;
        if first == whole {
            client.until("\"total_tokens\":15}}").await;
        }

        client.send("GARBAGE\r\n\r\n").await;

        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let error = client.answer().await.error();
        assert_eq!(error, "400 invalid_request_error/invalid_http", "{first}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_refused_behind_a_request_in_the_same_packet_as_well() {
    let (gateway, _upstream) = gateway().await;
    for (version, headers) in [("HTTP/1.1", ""), ("HTTP/1.0", "connection: keep-alive\r\n")] {
        let mut client = Raw::connect(gateway.address()).await;

        client
            .send(format!(
                "HEAD /health/live {version}\r\nhost: x\r\n{headers}\r\nGARBAGE\r\n\r\n"
            ))
            .await;
        let head = client.until("\r\n\r\n").await;

        assert!(head.contains(" 200 OK\r\n"), "{head}");
        let error = client.answer().await.error();
        assert_eq!(error, "400 invalid_request_error/invalid_http", "{version}");
    }
}

#[tokio::test]
async fn a_connection_survives_a_refused_request() {
    let (gateway, _upstream) = gateway().await;
    let mut client = gateway.connect().await;

    for _ in 0..3 {
        assert_eq!(client.send(chat("{")).await.status, 400);
        assert_eq!(client.send(get("/nowhere")).await.status, 404);
        assert_eq!(client.send(chat(hello().to_string())).await.status, 200);
    }
}
