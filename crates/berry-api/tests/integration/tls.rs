//! TLS for clients: protocols, renewal, and files that cannot be used.

use std::fs;

use berry_testkit::{Identity, Upstream};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Client, Gateway, Process, Raw, Setup, chat, get, hello, hello_stream, run, scratch,
};

/// Returns a folder with an identity, and a configuration that serves it.
fn folder(setup: &Setup, identity: &Identity) -> TempDir {
    let folder = scratch(&[
        ("cert.pem", &identity.cert_pem),
        ("key.pem", &identity.key_pem),
    ]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let toml = format!(
        "[server]\ntls_cert = \"{cert}\"\ntls_key = \"{key}\"\nheader_timeout_seconds = 1\n{}",
        setup.toml()
    );
    fs::write(folder.path().join("config.toml"), toml).unwrap();
    folder
}

/// A gateway that serves TLS from files which the test may change.
async fn gateway() -> (Gateway, Identity, TempDir, Upstream) {
    let upstream = Upstream::start().await;
    let identity = Identity::generate();
    let folder = folder(
        &Setup::over(&upstream).user("tags = [\"admin\"]"),
        &identity,
    );
    let gateway = Gateway::start_from(&folder.path().join("config.toml"));
    (gateway, identity, folder, upstream)
}

async fn connect(gateway: &Gateway, identity: &Identity) -> std::io::Result<Client> {
    Client::connect_tls(gateway.address(), &identity.ca_pem, &["h2", "http/1.1"]).await
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_by_alpn() {
    let (gateway, identity, _folder, _upstream) = gateway().await;

    for (alpn, http2) in [
        (&["h2", "http/1.1"][..], true),
        (&["http/1.1"], false),
        (&[], false),
    ] {
        let connected = Client::connect_tls(gateway.address(), &identity.ca_pem, alpn).await;
        let mut client = connected.unwrap();

        assert_eq!(client.is_http2(), http2, "{alpn:?}");
        let answer = client.send(chat(hello().to_string())).await;
        assert_eq!(answer.status, 200, "{alpn:?}");
        let stream = client.open(chat(hello_stream().to_string())).await;
        let seen = stream.rest().await;
        assert!(seen.ends_with("data: [DONE]\n\n"), "{seen}");
    }
}

#[tokio::test]
async fn clear_text_is_not_answered_where_tls_is_served() {
    let (gateway, _identity, _folder, upstream) = gateway().await;
    let mut client = Raw::connect(gateway.address()).await;

    client
        .send("GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;

    assert!(!client.rest().await.contains("HTTP/1.1"));
    assert_eq!(upstream.connection_count(), 0);
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_given_up() {
    let (gateway, _identity, _folder, _upstream) = gateway().await;
    let mut client = Raw::connect(gateway.address()).await;
    client.send([0x16, 3, 1]).await;

    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_renewed_certificate_is_served_after_a_reload_and_open_connections_go_on() {
    let (gateway, old, folder, _upstream) = gateway().await;
    let mut open = connect(&gateway, &old).await.unwrap();
    open.send(get("/v1/models")).await;
    let new = Identity::generate();
    fs::write(folder.path().join("cert.pem"), &new.cert_pem).unwrap();
    fs::write(folder.path().join("key.pem"), &new.key_pem).unwrap();

    let mut reload = get("/admin/reload-config");
    *reload.method_mut() = http::Method::POST;
    assert_eq!(open.send(reload).await.status, 200);

    assert!(connect(&gateway, &old).await.is_err());
    let mut client = connect(&gateway, &new).await.unwrap();
    assert_eq!(client.send(get("/v1/models")).await.status, 200);
    assert_eq!(open.send(get("/v1/models")).await.status, 200);
}

#[tokio::test]
async fn a_hang_up_renews_the_certificate() {
    let upstream = Upstream::start().await;
    let (old, new) = (Identity::generate(), Identity::generate());
    let folder = folder(&Setup::over(&upstream), &old);
    let mut process = Process::start(folder.path(), &[], &[]).await;
    fs::write(folder.path().join("cert.pem"), &new.cert_pem).unwrap();
    fs::write(folder.path().join("key.pem"), &new.key_pem).unwrap();

    process.signal("HUP").await;
    process.logged("Configuration reloaded successfully").await;

    let client = Client::connect_tls(process.address(), &new.ca_pem, &["h2"]).await;
    assert!(client.unwrap().is_http2());
}

#[tokio::test]
async fn files_that_do_not_go_together_leave_the_old_certificate() {
    let (gateway, identity, folder, _upstream) = gateway().await;
    let mut open = connect(&gateway, &identity).await.unwrap();
    let other = Identity::generate();

    for (file, content, key) in [
        ("key.pem", other.key_pem.as_str(), "tls_key"),
        ("key.pem", "no PEM", "tls_key"),
        ("cert.pem", "", "tls_cert"),
        ("cert.pem", identity.key_pem.as_str(), "tls_cert"),
    ] {
        let path = folder.path().join(file);
        let before = fs::read_to_string(&path).unwrap();
        fs::write(&path, content).unwrap();
        let mut reload = get("/admin/reload-config");
        *reload.method_mut() = http::Method::POST;

        let answer = open.send(reload).await;

        assert_eq!(answer.status, 422, "{key}");
        let finding: Value = answer.json()["diagnostics"][0].clone();
        assert!(
            finding["message"].as_str().unwrap().contains(key),
            "{finding}"
        );
        fs::write(&path, before).unwrap();
        assert!(connect(&gateway, &identity).await.is_ok(), "{key}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_a_finding_at_its_setting() {
    let identity = Identity::generate();
    let folder = folder(&Setup::new(), &identity);
    fs::remove_file(folder.path().join("key.pem")).unwrap();

    for arguments in [&["--check-config"][..], &[]] {
        let finished = run(folder.path(), arguments, &[("BIND_ADDRESS", "127.0.0.1:0")]).await;

        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains("`tls_key`"), "{finished:?}");
        assert!(finished.stderr.contains("config.toml:3:1"), "{finished:?}");
    }
}
