//! Secrets and prompts, sought in everything that is written and answered.
//!
//! Each thing that must not get out is a text of its own. The real binary is driven over every route
//! and every way to fail, at debug level, libraries included; then its logs, its audit log, its
//! ledger and all its answers are searched.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use berry_testkit::{Behaviour, Protocol, Upstream};
use http::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Answer, Client, Process, Request, request, run, scratch, signal};

const KEY: &str = "sk-canary-key-0123456789abcdef";
const ACCOUNT: &str = "canary-account-0123456789";
const USER: &str = "canary-token-of-ada-0123456789";
const ADMIN: &str = "canary-token-of-root-0123456789";
const WRONG: &str = "canary-token-of-nobody-0123456789";
const PROMPT: &str = "canary-prompt";
const ANSWER: &str = "canary-answer";

/// What may be in no answer, whoever asks.
const SECRETS: [&str; 5] = [KEY, ACCOUNT, USER, ADMIN, WRONG];
/// What may be in no log.
const PRIVATE: [&str; 7] = [KEY, ACCOUNT, USER, ADMIN, WRONG, PROMPT, ANSWER];

const PROVIDERS: [(&str, &str, Protocol); 5] = [
    ("one", "openai", Protocol::OpenAi),
    ("two", "openai", Protocol::OpenAi),
    ("three", "claude", Protocol::Claude),
    ("four", "gemini", Protocol::Gemini),
    ("five", "azure", Protocol::Azure),
];

/// Returns every route there is: its methods, and a path of it.
fn routes() -> Vec<(Vec<Method>, String)> {
    let routes = berry_api::routes();
    routes
        .map(|(allow, path)| {
            let methods = allow.split(", ").map(|method| method.parse().unwrap());
            let path = ["{id}", "{*id}", "{*path}"]
                .iter()
                .fold(path.into_owned(), |path, step| path.replace(step, "m"));
            (methods.collect(), path)
        })
        .collect()
}

/// The stage: providers of every protocol, and one file that names them and every secret.
struct Stage {
    upstreams: Vec<Upstream>,
    folder: TempDir,
    toml: String,
}

impl Stage {
    async fn set() -> Self {
        let mut upstreams = Vec::new();
        let mut toml = format!(
            "[settings]\nhealth_check_interval_seconds = 0\nmax_retries = 0\n\
             audit_log = \"audit.jsonl\"\nmax_body_bytes = 20000\n\
             [usage]\ndatabase = \"usage.db\"\n\
             [users.ada]\ntoken = \"{USER}\"\n\
             [users.root]\ntoken = \"{ADMIN}\"\ntags = [\"admin\"]\n\
             [models.m]\nname = \"m\"\n"
        );
        let mut providers = String::new();
        for (id, backend_type, protocol) in PROVIDERS {
            let builder = Upstream::builder().protocol(protocol);
            // The second is there for what HTTP/2 logs.
            let (builder, more) = match id {
                "two" => (builder.h2c_only(), "http_version = \"h2c\"\n"),
                _ => (builder, ""),
            };
            let upstream = builder.start().await;
            let provider = provider(id, &upstream.url(), backend_type);
            write!(providers, "{provider}{more}").unwrap();
            upstreams.push(upstream);
        }
        // Nobody listens there, and nobody trusts this one.
        let secure = Upstream::builder().tls().start().await;
        providers += &provider("six", "http://127.0.0.1:9/v1", "openai");
        providers += &provider("seven", &secure.url(), "openai");
        upstreams.push(secure);
        for id in ["one", "two", "three", "four", "five", "six", "seven"] {
            write!(
                toml,
                "[[models.m.backends]]\nprovider = \"{id}\"\nmodel = \"upstream-model\"\n"
            )
            .unwrap();
        }
        toml += &providers;
        let folder = scratch(&[("config.toml", &toml)]);
        Self {
            upstreams,
            folder,
            toml,
        }
    }
}

fn provider(id: &str, url: &str, backend_type: &str) -> String {
    format!(
        "[providers.{id}]\nbase_url = \"{url}\"\nbackend_type = \"{backend_type}\"\n\
         api_key = \"{KEY}\"\nheaders = {{ X-Account = \"{ACCOUNT}\" }}\nproxy_url = \"none\"\n"
    )
}

/// Everything that may go wrong with an answer, quoting what it can.
fn behaviours(protocol: Protocol, address: SocketAddr) -> Vec<Behaviour> {
    let quoted = format!(
        "Incorrect API key provided: {KEY} (account {ACCOUNT}) at http://{address}/v1 for {PROMPT}"
    );
    let error = match protocol {
        Protocol::OpenAi | Protocol::Azure => {
            json!({"error": {"message": quoted, "type": KEY, "param": ACCOUNT, "code": KEY}})
        }
        Protocol::Claude => json!({"type": "error", "error": {"type": KEY, "message": quoted}}),
        Protocol::Gemini => json!({"error": {"code": 400, "message": quoted, "status": KEY}}),
    };
    let event = format!("event: error\ndata: {error}\n\n");
    let content = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{ANSWER}\"}}}}]}}\n\n");
    let mut all = vec![
        Behaviour::echo(),
        Behaviour::echo().reset(),
        Behaviour::echo().reset_after(300),
        Behaviour::echo().truncate_after(400),
        Behaviour::echo().error_event_after(3),
        Behaviour::garbage(),
        Behaviour::body("application/json", quoted.clone()),
        Behaviour::body("text/plain", quoted.clone()).with_status(422),
        Behaviour::body("text/html", quoted).with_status(400),
        Behaviour::echo().header("set-cookie", KEY),
        Behaviour::json(error.clone()),
        Behaviour::stream([event.clone()], Duration::ZERO),
        Behaviour::stream([content, event], Duration::ZERO),
    ];
    let statuses = [
        307, 400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 503, 529,
    ];
    all.extend(statuses.map(|status| {
        let answer = Behaviour::json(error.clone()).with_status(status);
        answer.header("location", KEY).header("x-error", KEY)
    }));
    all
}

/// Asks, and keeps what came back, however it ended.
struct Driver {
    address: SocketAddr,
    seen: String,
}

impl Driver {
    fn keep(&mut self, what: &str, answer: &Answer) {
        let body = String::from_utf8_lossy(&answer.body);
        writeln!(
            self.seen,
            "{what}: {} {:?} {body}",
            answer.status, answer.headers
        )
        .unwrap();
    }

    async fn send(&mut self, what: &str, request: Request) {
        let answer = Client::connect(self.address).await.send(request).await;
        self.keep(what, &answer);
    }

    /// Sends what may be cut off in the middle.
    async fn open(&mut self, what: &str, request: Request, h2: bool) {
        let client = if h2 {
            Client::connect_h2c(self.address).await
        } else {
            Client::connect(self.address).await
        };
        let stream = client.open(request).await;
        let head = format!("{} {:?}", stream.status, stream.headers);
        let (body, _) = stream.bytes_and_ending().await;
        let body = String::from_utf8_lossy(&body);
        writeln!(self.seen, "{what}: {head} {body}").unwrap();
    }

    /// Asks every route, as everybody.
    async fn pages(&mut self) {
        for (methods, path) in routes() {
            for method in methods {
                for token in [None, Some(WRONG), Some(USER), Some(ADMIN)] {
                    let query = format!("user_id=ada&detailed=true&api_key={WRONG}");
                    let mut page = chat(&format!("{path}?{query}"), "one", false);
                    *page.method_mut() = method.clone();
                    page.headers_mut().remove("x-api-key");
                    if let Some(token) = token {
                        let bearer = format!("Bearer {token}").parse().unwrap();
                        page.headers_mut().insert("authorization", bearer);
                    }
                    let who = if token == Some(ADMIN) {
                        "admin"
                    } else {
                        "page"
                    };
                    self.send(&format!("{who} {method} {path}"), page).await;
                }
            }
        }
    }

    async fn chats(&mut self, stage: &Stage) {
        for (upstream, (id, _, protocol)) in stage.upstreams.iter().zip(PROVIDERS) {
            let all = behaviours(protocol, upstream.address());
            for (number, behaviour) in all.into_iter().enumerate() {
                upstream.set(behaviour);
                for stream in [false, true] {
                    let request = chat("/v1/chat/completions", id, stream);
                    self.open(&format!("chat {id} {number}"), request, number % 2 == 0)
                        .await;
                }
            }
        }
        for id in ["six", "seven"] {
            self.send(id, chat("/v1/chat/completions", id, false)).await;
        }
    }

    async fn operations(&mut self, upstream: &Upstream) {
        let operations: Vec<_> = routes()
            .into_iter()
            .filter(|(methods, path)| methods == &[Method::POST] && path.starts_with("/v1/"))
            .map(|(_, path)| path)
            .collect();
        for behaviour in behaviours(Protocol::OpenAi, upstream.address()) {
            for path in &operations {
                upstream.set(behaviour.clone());
                self.open(path, chat(path, "one", false), false).await;
            }
        }
        let form = format!(
            "--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nm\r\n--x\r\n\
             content-disposition: form-data; name=\"prompt\"\r\n\r\n{PROMPT}\r\n--x--\r\n"
        );
        let headers = [
            ("x-api-key", USER),
            ("content-type", "multipart/form-data; boundary=x"),
        ];
        let path = "/v1/audio/transcriptions";
        self.open("form", request(Method::POST, path, &headers, form), false)
            .await;
    }

    /// Asks for what a provider keeps, which may well be an error.
    async fn stored(&mut self, upstream: &Upstream) {
        let error = json!({"code": KEY, "message": format!("{KEY} of {}", upstream.address())});
        let failed = json!({"id": "resp_1", "object": "response", "error": error});
        let events = [
            format!(": {KEY}\nid: {KEY}\n\n"),
            format!("event: error\ndata: {{\"type\":\"error\",\"message\":\"{KEY}\"}}\n\n"),
            format!("data: {{\"type\":\"response.failed\",\"response\":{failed}}}\n\n"),
        ];
        let mut all = behaviours(Protocol::OpenAi, upstream.address());
        all.push(Behaviour::json(failed));
        all.push(Behaviour::stream(events.clone(), Duration::ZERO));
        all.push(Behaviour::stream([events.concat()], Duration::ZERO));
        for behaviour in all {
            upstream.set(behaviour);
            for (method, end) in [
                (Method::GET, ""),
                (Method::GET, "?stream=true"),
                (Method::DELETE, ""),
                (Method::POST, "/cancel"),
                (Method::GET, "/input_items"),
            ] {
                let path = format!("/v1/responses/resp_1{end}");
                let ask = request(method, &path, &[("x-api-key", USER)], "");
                self.open(&path, ask, false).await;
            }
        }
    }

    /// Requests that are refused before any upstream is asked.
    async fn refused(&mut self) {
        let path = "/v1/chat/completions";
        for body in [
            format!("{PROMPT} is not JSON"),
            format!("{{\"model\":\"m\",\"{PROMPT}"),
            format!("{{\"model\":\"{PROMPT}\"}}"),
            format!("{{\"model\":\"m\",\"backend\":\"{PROMPT}\"}}"),
            format!("{{\"model\":\"m\",\"stream\":\"{PROMPT}\"}}"),
            format!("[\"{PROMPT}\"]"),
            "x".repeat(20_001),
        ] {
            let headers = [("x-api-key", USER), ("content-type", "application/json")];
            let refused = request(Method::POST, path, &headers, body);
            self.send("refused", refused).await;
        }
        for headers in [
            [("authorization", WRONG), ("cookie", USER)],
            [("authorization", "Basic Y2FuYXJ5"), ("x-api-key", WRONG)],
            [("x-api-key", USER), ("x-api-key", WRONG)],
            [("x-api-key", USER), ("content-type", PROMPT)],
        ] {
            self.send("refused", request(Method::POST, path, &headers, "{}"))
                .await;
        }
    }

    async fn reloads(&mut self, stage: &Stage) {
        let file = stage.folder.path().join("config.toml");
        for wrong in wrong_configurations(&stage.toml) {
            fs::write(&file, wrong).unwrap();
            let headers = [("x-api-key", ADMIN)];
            let reload = request(Method::POST, "/admin/reload-config", &headers, "");
            self.send("reload", reload).await;
        }
        fs::write(&file, &stage.toml).unwrap();
    }
}

fn chat(path: &str, backend: &str, stream: bool) -> Request {
    let body = json!({
        "model": "m",
        "backend": backend,
        "stream": stream,
        "input": PROMPT,
        "prompt": PROMPT,
        "messages": [{"role": "user", "content": PROMPT}],
    });
    let headers = [
        ("x-api-key", USER),
        ("content-type", "application/json"),
        ("cookie", WRONG),
        ("openai-organization", WRONG),
    ];
    request(Method::POST, path, &headers, body.to_string())
}

/// The configuration with a mistake each, on a line that holds a secret.
fn wrong_configurations(toml: &str) -> Vec<String> {
    let key = format!("api_key = \"{KEY}\"");
    let token = format!("token = \"{USER}\"");
    let account = format!("headers = {{ X-Account = \"{ACCOUNT}\" }}");
    [
        (&key, format!("api_key = \"{KEY}")),
        (&key, format!("api_key = [\"{KEY}\"]")),
        (&key, format!("api_keyy = \"{KEY}\"")),
        (&account, format!("headers = [\"X-Key: {KEY}\"]")),
        (&account, format!("headers = \"X-Key: {KEY}\"")),
        (&account, format!("headers = {{ X-Key = [\"{KEY}\"] }}")),
        (&key, format!("api_key = {{ secret = \"{KEY}\" }}")),
        (&key, format!("api_key = \"{KEY}\\n\"")),
        (&key, format!("{key}\n{key}")),
        (&token, format!("token = {USER}")),
        (&token, format!("token = \"{USER} \"")),
        (&token, format!("tokens = [\"{USER}\"]")),
        (&token, format!("token = \"{ADMIN}\"")),
        (&token, format!("token_sha256 = \"{USER}\"")),
        (&token, format!("{token} [")),
        (
            &key,
            format!("{key}\nproxy_url = \"http://me:{ACCOUNT}@host:1\""),
        ),
        (
            &key,
            format!("{key}\nbase_url = \"http://me:{ACCOUNT}@host/v1\""),
        ),
    ]
    .map(|(right, wrong)| {
        assert!(toml.contains(&**right), "{right}");
        toml.replacen(&**right, &wrong, 1)
    })
    .into()
}

fn assert_absent(text: &str, secrets: &[&str]) {
    assert!(!text.is_empty());
    for secret in secrets {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

#[tokio::test]
async fn no_secret_and_no_prompt_leaves_whatever_is_asked_and_whatever_fails() {
    let stage = Stage::set().await;
    let filter = "debug,hyper_util=debug";
    let environment = [("RUST_LOG", filter), ("LOG_FILE", "all.log")];
    let mut process = Process::start(stage.folder.path(), &[], &environment).await;
    let (id, address) = (process.id(), process.address());
    let mut driver = Driver {
        address,
        seen: String::new(),
    };

    let drive = async {
        driver.refused().await;
        driver.chats(&stage).await;
        driver.operations(&stage.upstreams[0]).await;
        driver.stored(&stage.upstreams[0]).await;
        driver.pages().await;
        driver.reloads(&stage).await;
        signal(id, "TERM").await;
    };
    let (stdout, ()) = tokio::join!(process.rest(), drive);

    let read = |name: &str| fs::read_to_string(stage.folder.path().join(name)).unwrap();
    let (log, audit) = (read("all.log"), read("audit.jsonl"));
    for (text, sign) in [
        (&log, "h2::"),
        (&log, "attempt failed"),
        (&audit, "choose_backend"),
        (&driver.seen, "***"),
    ] {
        assert!(text.contains(sign), "{sign} must have been written");
    }
    assert_absent(&log, &PRIVATE);
    assert_absent(&stdout.join("\n"), &PRIVATE);
    assert_absent(&audit, &PRIVATE);
    assert_absent(&driver.seen, &SECRETS);
    let ledger = ["usage.db", "usage.db-wal"].map(|name| fs::read(stage.folder.path().join(name)));
    let ledger = ledger.into_iter().flatten().flatten().collect::<Vec<u8>>();
    let ledger = String::from_utf8_lossy(&ledger);
    assert!(ledger.contains("upstream-model"), "the ledger has rows");
    assert_absent(&ledger, &PRIVATE);
    for (upstream, (provider, ..)) in stage.upstreams.iter().zip(PROVIDERS) {
        // Where providers are is for admins.
        let pages = driver
            .seen
            .lines()
            .filter(|line| !line.starts_with("admin"));
        let place = upstream.address().to_string();
        let line = pages.clone().find(|line| line.contains(&place));
        assert_eq!(line, None, "the address of {provider}");
        for request in upstream.requests() {
            let seen = format!("{:?}", request.headers);
            assert_absent(&seen, &[USER, ADMIN, WRONG]);
        }
    }
}

#[tokio::test]
async fn no_finding_about_a_configuration_shows_a_secret_of_it() {
    let stage = Stage::set().await;
    let file = stage.folder.path().join("config.toml");
    for wrong in wrong_configurations(&stage.toml) {
        fs::write(&file, &wrong).unwrap();

        let finished = run(stage.folder.path(), &["--check-config"], &[]).await;

        assert_absent(&(finished.stdout + &finished.stderr), &SECRETS);
    }
}
