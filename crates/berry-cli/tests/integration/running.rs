//! Which gateway is asked, how it is known, and who gets the admin's token.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread::{JoinHandle, spawn};

use berry_testkit::Identity;

use crate::support::{Desk, Finished, beside, beside_with, serve, serve_with};

const TOKEN: &str = "token-of-the-admin-0123";

/// A configuration that asks nobody.
fn config(users: &str, server: &str) -> String {
    format!("[settings]\nhealth_check_interval_seconds = 0\n{users}\n{server}")
}

fn admin() -> String {
    format!("[users.admin]\ntoken = \"{TOKEN}\"")
}

/// An identity in files, and a configuration that serves it.
struct Served {
    files: Desk,
    toml: String,
}

impl Served {
    fn with(identity: &Identity) -> Self {
        let files = Desk::with("");
        files.write("cert.pem", &identity.cert_pem);
        files.write("key.pem", &identity.key_pem);
        files.write("ca.pem", &identity.ca_pem);
        let mut served = Self {
            files,
            toml: String::new(),
        };
        let (cert, key) = (served.path("cert.pem"), served.path("key.pem"));
        let server = format!("[server]\ntls_cert = \"{cert}\"\ntls_key = \"{key}\"");
        served.toml = config(&admin(), &server);
        served
    }

    fn path(&self, name: &str) -> String {
        let path = self.files.0.path().join(name);
        path.into_os_string().into_string().unwrap()
    }
}

/// Answers one request with this body; returns where, and what was asked.
fn stranger(body: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut head = String::new();
        let mut lines = BufReader::new(socket.try_clone().unwrap());
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(lines.read_line(&mut head).unwrap(), 0, "{head}");
        }
        let length = body.len();
        write!(
            socket,
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        head
    });
    (url, asked)
}

async fn within<T>(test: impl Future<Output = T>) -> T {
    tokio::task::LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn a_configured_gateway_is_known_by_its_own_certificate_whatever_its_names() {
    let served = Served::with(&Identity::of_another());
    let renewed = Served::with(&Identity::of_another());
    within(async {
        let address = serve(&served.toml);

        let known = beside(&served.toml, &["metrics", "--detailed"], address).await;
        let unknown = beside(&renewed.toml, &["metrics", "--detailed"], address).await;

        assert_eq!(known.code, Some(0), "{known:?}");
        assert_eq!(unknown.code, Some(1), "{unknown:?}");
        let told = "it shows another certificate than `tls_cert` holds";
        assert!(unknown.stderr.contains(told), "{unknown:?}");
    })
    .await;
}

#[tokio::test]
async fn a_gateway_at_a_url_is_known_by_a_file_with_its_authority_or_itself() {
    let (named, other) = (Identity::generate(), Identity::of_another());
    let (named, other) = (Served::with(&named), Served::with(&other));
    within(async {
        let addresses = (serve(&named.toml), serve(&other.toml));
        let metrics = async |address, ca_file: Option<String>| {
            let url = format!("https://{address}");
            let mut arguments = vec!["metrics", "--url", &url];
            if let Some(file) = &ca_file {
                arguments.extend(["--ca-file", file]);
            }
            let finished = beside("", &arguments, address).await;
            (finished.code, finished.stderr)
        };

        let authority = metrics(addresses.0, Some(named.path("ca.pem"))).await;
        assert_eq!(authority, (Some(0), String::new()));
        let itself = metrics(addresses.1, Some(other.path("cert.pem"))).await;
        assert_eq!(itself, (Some(0), String::new()));
        for (address, ca_file) in [
            (addresses.0, None),
            // The name is another.
            (addresses.1, Some(other.path("ca.pem"))),
            (addresses.0, Some(other.path("ca.pem"))),
        ] {
            let (code, said) = metrics(address, ca_file).await;
            assert_eq!(code, Some(1));
            assert!(said.contains("invalid peer certificate"), "{said}");
        }
        let none = metrics(addresses.0, Some(named.path("key.pem"))).await;
        assert!(none.1.contains("holds no certificate"), "{none:?}");
    })
    .await;
}

#[tokio::test]
async fn an_admin_who_is_let_in_here_and_now_is_chosen() {
    let users = r#"
        [users.hashed]
        token_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
        tags = ["admin"]
        [users.disabled]
        token = "token-of-the-disabled-0123"
        tags = ["admin"]
        enabled = false
        [users.expired]
        token = "token-of-the-expired-0123"
        tags = ["admin"]
        expires_at = "2020-01-01T00:00:00Z"
        [users.elsewhere]
        token = "token-of-elsewhere-0123"
        tags = ["admin"]
        allowed_ips = ["192.0.2.0/24"]
        [users.nobody]
        token = "token-of-nobody-0123"
        [users.admin]
        token = "${ADMIN_TOKEN}"
    "#;
    let toml = config(users, "");
    let environment = [("ADMIN_TOKEN", TOKEN)];
    within(async {
        let address = serve_with(&toml, &environment);

        let detailed = ["metrics", "--detailed"];
        let chosen = beside_with(&toml, &detailed, address, &environment, "").await;
        let without = toml.replace("[users.admin]", "[users.user]");
        let none = beside_with(&without, &detailed, address, &environment, "").await;

        assert_eq!(chosen.code, Some(0), "{chosen:?}");
        assert_eq!(none.code, Some(1));
        let told = "`config.toml` has no admin whose `token` is in it and is accepted";
        assert!(none.stderr.contains(told), "{none:?}");
    })
    .await;
}

#[tokio::test]
async fn the_files_token_goes_to_the_configured_gateway_only() {
    let toml = config(&admin(), "");
    within(async {
        let address = serve(&toml);
        let url = format!("http://{address}/");

        let same = beside(&toml, &["metrics", "--detailed", "--url", &url], address).await;
        assert_eq!(same.code, Some(0), "{same:?}");

        let (other, _asked) = stranger("");
        for command in [&["metrics", "--detailed"][..], &["usage"]] {
            let arguments = [command, &["--url", &other]].concat();
            let refused = beside(&toml, &arguments, address).await;
            assert_eq!(refused.code, Some(1));
            let told = "give it with `--token`: the one in `config.toml` is sent only to";
            assert!(refused.stderr.contains(told), "{refused:?}");
        }
        let (other, asked) = stranger("{}");
        beside(&toml, &["metrics", "--url", &other], address).await;
        let head = asked.join().unwrap();
        assert!(!head.contains("authorization"), "{head}");
    })
    .await;
}

#[test]
fn a_token_is_taken_from_the_command_line_or_from_stdin() {
    for (token, input) in [(TOKEN, ""), ("-", "token-of-the-admin-0123\n")] {
        let (url, asked) = stranger("{}");

        Desk::with("").run_with(&["metrics", "--url", &url, "--token", token], &[], input);

        let head = asked.join().unwrap();
        let sent = format!("authorization: Bearer {TOKEN}\r\n");
        assert!(head.contains(&sent), "{head}");
    }
}

#[test]
fn what_is_no_gateway_has_no_numbers() {
    let asked = |arguments: &[&str], body| -> Finished {
        let (url, asked) = stranger(body);
        let arguments = [arguments, &["--url", &url, "--token", TOKEN]].concat();
        let finished = Desk::with("").run(&arguments);
        asked.join().unwrap();
        finished
    };

    for (arguments, body) in [
        (&["metrics"][..], "<html>hello</html>"),
        (&["metrics"], r#"{"status":"ok"}"#),
        (&["metrics", "--format", "json"], "[]"),
        (&["usage"], r#"{"status":"ok"}"#),
        (&["usage", "--format", "json"], "{}"),
        (&["usage", "--format", "csv"], "<html>hello</html>"),
    ] {
        let finished = asked(arguments, body);

        assert_eq!(
            (finished.code, &*finished.stdout),
            (Some(1), ""),
            "{arguments:?}"
        );
        assert!(finished.stderr.contains("is no Berry API"), "{finished:?}");
    }
}

#[tokio::test]
async fn a_gateway_is_found_though_its_configuration_cannot_be_loaded_here() {
    let toml = config(&admin(), "");
    let keys = r#"
        [providers.a]
        base_url = "http://localhost:1"
        api_key = "${KEY_THAT_ONLY_THE_GATEWAY_HAS}"
        [providers.b]
        base_url = "http://localhost:2"
        api_key = "enc:v1:AAAAAA:AAAA"
        max_retriez = 3
        [users.ada]
        token = "${TOKEN_THAT_ONLY_THE_GATEWAY_HAS}"
    "#;
    within(async {
        let address = serve(&toml);

        let found = beside(&(toml + keys), &["metrics", "--detailed"], address).await;

        assert_eq!(found.code, Some(0), "{found:?}");
    })
    .await;
}

#[tokio::test]
async fn whoever_mistakes_the_scheme_is_told_the_other() {
    let served = Served::with(&Identity::generate());
    within(async {
        let (clear, encrypted) = (serve(&config("", "")), serve(&served.toml));
        for (url, told) in [
            (
                format!("https://{clear}"),
                "does not speak TLS: try `http://`",
            ),
            (format!("http://{encrypted}"), "try `https://`"),
        ] {
            let failed = beside("", &["metrics", "--url", &url], clear).await;

            assert_eq!(failed.code, Some(1));
            assert!(failed.stderr.contains(told), "{failed:?}");
        }
    })
    .await;
}
