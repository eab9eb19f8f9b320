//! What a running gateway has counted.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{beside, serve};

const CONFIG: &str = r#"
    [settings]
    health_check_interval_seconds = 0
    [providers.a]
    base_url = "http://127.0.0.1:1/v1"
    [models.m]
    name = "m"
    backends = [{ provider = "a", model = "x" }]
    [users.someone]
    token = "token-of-someone-0123"
    [users.hashed]
    token_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    tags = ["admin"]
    [users.admin]
    token = "token-of-the-admin-0123"
"#;

/// Runs `metrics` beside the gateway.
async fn metrics(arguments: &[&str], address: SocketAddr) -> (Option<i32>, String) {
    let finished = beside(CONFIG, &[&["metrics"], arguments].concat(), address).await;
    (finished.code, finished.stdout + &finished.stderr)
}

#[tokio::test]
async fn a_running_gateway_is_found_through_the_configuration() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let address = serve(CONFIG);

            let (code, totals) = metrics(&[], address).await;
            assert_eq!(code, Some(0), "{totals}");
            assert!(totals.starts_with("Status: healthy\n"), "{totals}");
            assert!(!totals.contains("Model m"), "{totals}");

            let (code, detailed) = metrics(&["--detailed"], address).await;
            assert_eq!(code, Some(0), "{detailed}");
            assert!(detailed.contains("Model m\n"), "{detailed}");
            let row = detailed.lines().find(|line| line.contains("a:x")).unwrap();
            let cells: Vec<_> = row.split_whitespace().collect();
            assert_eq!(cells[..4], ["a:x", "true", "closed", "0"]);

            let (_, json) = metrics(&["--detailed", "--format", "json"], address).await;
            let json: Value = serde_json::from_str(&json).unwrap();
            assert_eq!(json["providers"]["total"], 1);
            assert_eq!(json["backend_health"]["m"]["backends"][0]["provider"], "a");
        })
        .await;
}
