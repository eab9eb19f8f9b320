//! `affinity`: repeated requests prefer the same backend while it is well.

use berry_testkit::{Behaviour, Upstream};
use serde_json::{Value, json};

use crate::support::{Gateway, Setup, chat, hello};

const NAMES: [&str; 3] = ["a", "b", "c"];
/// Enough that each of three backends has some.
const KEYS: usize = 24;

async fn upstreams() -> Vec<Upstream> {
    let mut upstreams = Vec::new();
    for name in NAMES {
        upstreams.push(Upstream::builder().name(name).start().await);
    }
    upstreams
}

fn over(upstreams: &[Upstream], affinity: &str) -> Setup {
    let setup = Setup::new()
        .strategy("weighted_failover")
        .model(&format!("affinity = \"{affinity}\""));
    let named = NAMES.iter().zip(upstreams);
    named.fold(setup, |setup, (name, upstream)| {
        setup.provider(name, upstream)
    })
}

/// Returns which backend answered.
async fn answered(gateway: &Gateway, body: &Value) -> String {
    let said = gateway.chat(body).await.said();
    let name = said
        .strip_prefix("Hello from ")
        .and_then(|rest| rest.split('!').next());
    name.expect("a greeting").to_owned()
}

fn keyed(key: usize) -> Value {
    let mut body = hello();
    body["prompt_cache_key"] = json!(format!("conversation-{key}"));
    body
}

async fn homes(gateway: &Gateway) -> Vec<String> {
    let mut homes = Vec::new();
    for key in 0..KEYS {
        homes.push(answered(gateway, &keyed(key)).await);
    }
    homes
}

#[tokio::test]
async fn requests_with_one_prompt_cache_key_go_to_one_backend() {
    let upstreams = upstreams().await;
    let gateway = over(&upstreams, "prompt_cache_key").start();

    let first = homes(&gateway).await;
    let again = homes(&gateway).await;

    assert_eq!(first, again);
    assert!(
        NAMES
            .iter()
            .all(|name| first.iter().any(|home| home == name)),
        "{first:?}"
    );
    let forwarded = &upstreams[0].requests()[0].body;
    let forwarded: Value = serde_json::from_slice(forwarded).unwrap();
    assert!(forwarded["prompt_cache_key"].is_string());
}

#[tokio::test]
async fn requests_without_a_prompt_cache_key_are_spread() {
    let upstreams = upstreams().await;
    let gateway = over(&upstreams, "prompt_cache_key").start();

    gateway.chat_often(KEYS, &hello()).await;

    assert!(
        upstreams
            .iter()
            .all(|upstream| upstream.request_count() > 0)
    );
}

#[tokio::test]
async fn a_broken_backend_loses_its_keys_and_no_other_does() {
    let upstreams = upstreams().await;
    let gateway = over(&upstreams, "prompt_cache_key")
        .settings("circuit_breaker_failure_threshold = 1\nmax_retries = 1")
        .start();
    let before = homes(&gateway).await;

    upstreams[0].set(Behaviour::status(500));
    let after = homes(&gateway).await;

    for (before, after) in before.iter().zip(&after) {
        assert_ne!(after, "a");
        assert!(before == "a" || before == after, "{before} became {after}");
    }
}

#[tokio::test]
async fn the_requests_of_one_user_go_to_one_backend() {
    let upstreams = upstreams().await;
    let users: Vec<String> = (0..KEYS)
        .map(|user| format!("token-of-user-number-{user}"))
        .collect();
    let tables = users
        .iter()
        .enumerate()
        .map(|(user, token)| format!("[users.u{user}]\ntoken = \"{token}\"\n"));
    let gateway = over(&upstreams, "user")
        .more(&tables.collect::<String>())
        .start();
    let mut rounds = Vec::new();

    for _ in 0..2 {
        let mut homes = Vec::new();
        for token in &users {
            let mut request = chat(hello().to_string());
            let header = format!("Bearer {token}").parse().unwrap();
            request.headers_mut().insert("authorization", header);
            homes.push(gateway.send(request).await.said());
        }
        rounds.push(homes);
    }

    assert_eq!(rounds[0], rounds[1]);
    assert!(
        upstreams
            .iter()
            .all(|upstream| upstream.request_count() > 0)
    );
}
