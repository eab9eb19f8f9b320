//! Stored responses, and who may ask for them.

use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use http::Method;
use serde_json::json;

use crate::support::{Answer, Gateway, Setup, TOKEN, request};

/// The upstream's.
const KEY: &str = "key-of-only";
const EVE: &str = "token-of-eve-0123456789";

async fn ask(gateway: &Gateway, token: &str, method: Method, path: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    gateway.send(request(method, path, &headers, "")).await
}

/// Makes a response and returns its id.
async fn respond(gateway: &Gateway, stream: bool) -> String {
    let body = json!({"model": "test-model", "input": "x", "stream": stream});
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str())];
    let answer = gateway
        .send(request(
            Method::POST,
            "/v1/responses",
            &headers,
            body.to_string(),
        ))
        .await;
    assert_eq!(answer.status, 200);
    let text = answer.text();
    let (_, id) = text.split_once("\"id\":\"resp_").expect("an id");
    let (id, _) = id.split_once('"').expect("its end");
    format!("resp_{id}")
}

#[tokio::test]
async fn a_response_is_asked_for_where_it_was_made() {
    let first = Upstream::builder().name("first").start().await;
    let second = Upstream::builder().name("second").start().await;
    let gateway = Setup::over_two(&first, &second)
        .strategy("round_robin")
        .start();
    for stream in [false, true, false, true] {
        let id = respond(&gateway, stream).await;
        for (method, end, expected) in [
            (Method::GET, "", "response"),
            (Method::POST, "/cancel", "response"),
            (Method::GET, "/input_items?limit=3", "list"),
            (Method::DELETE, "", "response"),
        ] {
            let path = format!("/v1/responses/{id}{end}");

            let answer = ask(&gateway, TOKEN, method, &path).await;

            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            assert_eq!(answer.json()["object"], expected);
        }
    }
    let asked = second.requests().into_iter();
    assert!(
        asked
            .map(|request| request.path_and_query)
            .any(|path| path.ends_with("/input_items?limit=3"))
    );
}

#[tokio::test]
async fn a_response_that_is_too_long_to_be_held_is_asked_for_where_it_was_made() {
    let first = Upstream::builder().name("first").start().await;
    let second = Upstream::builder().name("second").start().await;
    let gateway = Setup::over_two(&first, &second)
        .strategy("round_robin")
        .start();
    let picture = json!([{"type": "image_generation_call", "result": "A".repeat(1_500_000)}]);
    let response = json!({"object": "response", "output": picture, "id": "resp_1"});
    for upstream in [&first, &second] {
        upstream.set(Behaviour::json(response.clone()));
    }

    let id = respond(&gateway, false).await;
    for _ in 0..3 {
        let path = format!("/v1/responses/{id}");
        assert_eq!(ask(&gateway, TOKEN, Method::GET, &path).await.status, 200);
    }

    let counts = (first.request_count(), second.request_count());
    assert!(counts == (4, 0) || counts == (0, 4), "{counts:?}");
}

#[tokio::test]
async fn a_response_of_somebody_else_does_not_exist() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream)
        .more(&format!("[users.eve]\ntoken = \"{EVE}\""))
        .start();
    let id = respond(&gateway, false).await;

    let answer = ask(&gateway, EVE, Method::GET, &format!("/v1/responses/{id}")).await;

    let expected = "404 invalid_request_error/response_not_found";
    assert_eq!(answer.error(), expected);
    assert_eq!(upstream.request_count(), 1);
}

#[tokio::test]
async fn an_id_that_is_no_text_is_an_unknown_response_to_whoever_has_a_token() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream).start();
    for (method, end) in [
        (Method::GET, ""),
        (Method::DELETE, ""),
        (Method::POST, "/cancel"),
        (Method::GET, "/input_items"),
    ] {
        let path = format!("/v1/responses/%ff{end}");
        for (token, expected) in [
            (TOKEN, "404 invalid_request_error/response_not_found"),
            (EVE, "401 invalid_request_error/invalid_api_key"),
        ] {
            let answer = ask(&gateway, token, method.clone(), &path).await;

            assert_eq!(answer.error(), expected, "{method} {path}");
        }
    }
    assert_eq!(upstream.request_count(), 0);
}

#[tokio::test]
async fn what_the_api_does_not_know_of_a_query_stays_here() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream).start();
    for (query, expected) in [
        ("", ""),
        ("?api_key=sk-of-berry", ""),
        (
            "?after=a&api_key=sk-of-berry&include[]=x%20y&include%5B%5D=z&limit=1&&key=sk&order",
            "?after=a&include[]=x%20y&include%5B%5D=z&limit=1&order",
        ),
        (
            "?include_obfuscation=false&starting_after=3",
            "?include_obfuscation=false&starting_after=3",
        ),
    ] {
        let path = format!("/v1/responses/resp_1{query}");

        ask(&gateway, TOKEN, Method::GET, &path).await;

        let asked = upstream.requests().pop().expect("a question");
        let (_, sent) = asked.path_and_query.split_once("resp_1").expect("its id");
        assert_eq!(sent, expected);
    }
}

#[tokio::test]
async fn an_unknown_response_is_looked_for_once_and_its_404_passes() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let gateway = Setup::over_two(&first, &second).start();

    let answer = ask(&gateway, TOKEN, Method::GET, "/v1/responses/resp_of_nobody").await;

    assert_eq!(answer.status, 404);
    assert_eq!((first.request_count(), second.request_count()), (1, 0));
    assert_eq!(gateway.backends().await, (2, 2));
}

#[tokio::test]
async fn a_continued_response_goes_to_the_account_that_made_it() {
    let first = Upstream::builder().name("first").start().await;
    let second = Upstream::builder().name("second").start().await;
    let gateway = Setup::over_two(&first, &second)
        .strategy("round_robin")
        .start();
    let id = respond(&gateway, false).await;
    let bearer = format!("Bearer {TOKEN}");
    for _ in 0..3 {
        let body = json!({"model": "test-model", "input": "x", "previous_response_id": id});
        let headers = [("authorization", bearer.as_str())];
        let answer = gateway
            .send(request(
                Method::POST,
                "/v1/responses",
                &headers,
                body.to_string(),
            ))
            .await;
        assert_eq!(answer.status, 200);
    }

    let counts = (first.request_count(), second.request_count());
    assert!(counts == (4, 0) || counts == (0, 4), "{counts:?}");
}

#[tokio::test]
async fn where_the_only_backend_that_knows_is_down_nobody_else_is_asked() {
    let first = Upstream::builder().name("first").start().await;
    let second = Upstream::builder().name("second").start().await;
    let gateway = Setup::over_two(&first, &second)
        .settings("max_retries = 0")
        .start();
    let id = respond(&gateway, false).await;
    first.set(Behaviour::status(500));

    let answer = ask(&gateway, TOKEN, Method::GET, &format!("/v1/responses/{id}")).await;

    assert_eq!(answer.error(), "503 server_error/no_available_backend");
    assert_eq!(second.request_count(), 0);
}

#[tokio::test]
async fn a_response_is_for_users() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream).start();

    let stranger = ask(
        &gateway,
        "nobodys-token",
        Method::GET,
        "/v1/responses/resp_1",
    )
    .await;
    let head = ask(
        &gateway,
        TOKEN,
        Method::HEAD,
        "/v1/responses/resp_upstream_1",
    )
    .await;
    let wrong = ask(&gateway, TOKEN, Method::PUT, "/v1/responses/resp_1").await;

    assert_eq!(stranger.status, 401);
    assert_eq!((head.status, head.text()), (200, ""));
    assert_eq!(wrong.status, 405);
}

#[tokio::test]
async fn an_id_that_is_no_name_is_asked_of_nobody() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream).start();
    for id in [
        "..%2Fmodels",
        "a%2Fb",
        "a%3Fb",
        "a%00",
        "a%0d%0ab",
        "%C3%A9",
        "a%25b",
        "...",
    ] {
        let answer = ask(&gateway, TOKEN, Method::GET, &format!("/v1/responses/{id}")).await;

        assert_eq!(answer.status, 404, "{id}");
    }
    assert_eq!(upstream.request_count(), 0);

    ask(&gateway, TOKEN, Method::GET, "/v1/responses/Resp_1.a-b").await;

    let asked = upstream.requests().into_iter();
    let asked: Vec<_> = asked.map(|request| request.path_and_query).collect();
    assert_eq!(asked, ["/v1/responses/Resp_1.a-b"]);
}

#[tokio::test]
async fn an_error_that_is_stored_is_shown_without_what_is_not_for_clients() {
    let upstream = Upstream::start().await;
    let gateway = Setup::over(&upstream).start();
    let error = json!({"code": "server_error", "message": format!("key {KEY} is bad")});
    let failed = json!({"id": "resp_1", "object": "response", "status": "failed", "error": error});
    let event = |kind: &str, more| {
        let mut data = json!({"type": kind});
        data.as_object_mut().unwrap().append(more);
        format!("event: {kind}\nid: {KEY}\ndata: {data}\n\n")
    };
    let events = [
        format!(": asked with {KEY}\n\n"),
        event(
            "response.output_text.delta",
            json!({"delta": upstream.url()}).as_object_mut().unwrap(),
        ),
        event(
            "response.failed",
            json!({ "response": failed }).as_object_mut().unwrap(),
        ),
        event("error", error.clone().as_object_mut().unwrap()),
    ];
    for (behaviour, expected) in [
        (Behaviour::json(failed), 1),
        (Behaviour::stream(events.clone(), Duration::ZERO), 6),
        // As one piece.
        (Behaviour::stream([events.concat()], Duration::ZERO), 6),
    ] {
        upstream.set(behaviour);

        let answer = ask(
            &gateway,
            TOKEN,
            Method::GET,
            "/v1/responses/resp_1?stream=true",
        )
        .await;

        assert_eq!(answer.status, 200);
        let text = answer.text();
        assert!(!text.contains(KEY), "{text}");
        assert_eq!(text.matches("***").count(), expected, "{text}");
        // What was asked for stays as it is.
        assert_eq!(text.contains(&upstream.url()), expected > 1);
    }
}
