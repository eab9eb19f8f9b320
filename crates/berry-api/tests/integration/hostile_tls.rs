//! Upstreams whose TLS is not in order: no byte of a request reaches them, and another backend answers.

use berry_testkit::{Identity, Upstream};

use crate::support::{Script, Setup, Then, hello, scratch, within};

/// Expects a provider at this URL to fail in time, as one that cannot be reached; `authority` is
/// what it is trusted by.
async fn cannot_be_reached(name: &str, url: &str, authority: &str) {
    let spare = Upstream::start().await;
    let folder = scratch(&[("ca.pem", authority)]);
    let file = folder.path().join("ca.pem");
    let gateway = Setup::new()
        .provider_at("odd", url)
        .option(&format!("ca_file = \"{}\"", file.display()))
        .provider("spare", &spare)
        .settings("connect_timeout_seconds = 1")
        .user("tags = [\"admin\"]")
        .start();

    let answer = within(gateway.chat(&hello())).await;

    assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    assert_eq!(spare.request_count(), 1, "{name}");
    let health = gateway.get("/admin/backend-health").await.json();
    let odd = &health["backend_health"]["chat"]["backends"][0];
    assert_eq!(odd["provider"], "odd", "{health}");
    assert_eq!(odd["error_distribution"]["connect"], 1, "{name}: {odd}");
}

#[tokio::test]
async fn a_certificate_that_is_not_in_order_is_not_accepted() {
    let rows = [
        ("expired", Identity::expired()),
        ("another's", Identity::of_another()),
    ];
    for (name, identity) in rows {
        let authority = identity.ca_pem.clone();
        let upstream = Upstream::builder().tls_as(identity).start().await;

        cannot_be_reached(name, &upstream.url(), &authority).await;

        assert_eq!(upstream.request_count(), 0, "{name}");
    }
    let stranger = Upstream::builder().tls().start().await;
    let authority = Identity::generate().ca_pem;
    cannot_be_reached("of an unknown authority", &stranger.url(), &authority).await;
    assert_eq!(stranger.request_count(), 0);
}

#[tokio::test]
async fn a_handshake_that_goes_wrong_is_a_failure_in_time() {
    let rows = [
        ("no TLS", "HTTP/1.1 400 Bad Request\r\n\r\n", Then::Close),
        ("closes", "", Then::Close),
        ("resets", "", Then::Reset),
        ("stalls", "", Then::Hold),
        (
            "stalls within a record",
            "\x16\x03\x03\x01\x00\x02",
            Then::Hold,
        ),
        ("an alert", "\x15\x03\x03\x00\x02\x02\x28", Then::Close),
    ];
    let authority = Identity::generate().ca_pem;
    for (name, bytes, then) in rows {
        let upstream = Script::start(bytes, then).await;
        let url = upstream.url().replace("http://", "https://");

        cannot_be_reached(name, &url, &authority).await;
    }
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_a_failure_in_time() {
    let authority = Identity::generate().ca_pem;

    // `.invalid` never resolves (RFC 2606).
    cannot_be_reached("no such name", "https://upstream.invalid/v1", &authority).await;
}
