//! What was used, as the ledger of a running gateway has it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::support::{Finished, beside, serve};

const TOKEN: &str = "token-of-the-admin-0123";

/// A configuration of a provider that nobody is.
fn config(more: &str) -> String {
    format!(
        r#"
        [settings]
        health_check_interval_seconds = 0
        max_retries = 0
        [providers.a]
        base_url = "http://127.0.0.1:1/v1"
        proxy_url = "none"
        [models.m]
        name = "m"
        backends = [{{ provider = "a", model = "x" }}]
        [users.admin]
        token = "{TOKEN}"
        {more}
    "#
    )
}

/// Asks for a chat, which fails.
async fn chat(address: SocketAddr) {
    let ask = move || {
        let body = r#"{"model":"m","messages":[]}"#;
        let mut socket = TcpStream::connect(address).unwrap();
        write!(
            socket,
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             x-api-key: {TOKEN}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    };
    tokio::task::spawn_blocking(ask).await.unwrap();
}

#[tokio::test]
async fn the_ledger_is_printed_as_a_table_as_csv_and_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("usage.db");
    let toml = &config(&format!("[usage]\ndatabase = {database:?}"));
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let address = serve(toml);
            let usage = async |arguments: &[&str]| {
                beside(toml, &[&["usage"], arguments].concat(), address).await
            };
            chat(address).await;

            // It is written a moment later.
            let json = loop {
                let Finished {
                    code,
                    stdout,
                    stderr,
                } = usage(&["--format", "json"]).await;
                assert_eq!(code, Some(0), "{stderr}");
                let json: Value = serde_json::from_str(&stdout).unwrap();
                if json["total"]["requests"] == 1 {
                    break json;
                }
            };
            assert_eq!(json["rows"][0]["user"], "admin");
            let table = usage(&[]).await.stdout;
            let cells: Vec<Vec<_>> = table
                .lines()
                .map(|line| line.split_whitespace().collect())
                .collect();
            assert_eq!(cells[0][..2], ["Usage", "from"], "{table}");
            assert_eq!(
                cells[1][..4],
                ["user", "requests", "failed", "estimated"],
                "{table}"
            );
            assert_eq!(cells[2][..3], ["admin", "1", "1"], "{table}");
            assert_eq!(cells[3][..3], ["total", "1", "1"], "{table}");
            let csv = usage(&["--group-by", "provider", "--format", "csv"])
                .await
                .stdout;
            assert!(csv.starts_with("provider,requests,failed,"), "{csv}");
            assert!(csv.contains("\na,1,1,0,"), "{csv}");
            let none = usage(&["--from", "2020-01-01", "--to", "2020-01-31"]).await;
            assert!(none.stdout.contains("total"), "{none:?}");
            let wrong = usage(&["--from", "yesterday"]).await;
            assert_eq!(wrong.code, Some(1), "{wrong:?}");
        })
        .await;
}

#[tokio::test]
async fn without_a_ledger_the_command_says_what_to_set() {
    let toml = &config("");
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let finished = beside(toml, &["usage"], serve(toml)).await;

            assert_eq!(finished.code, Some(1));
            assert!(
                finished.stderr.contains("set `[usage] database`"),
                "{finished:?}"
            );
        })
        .await;
}
