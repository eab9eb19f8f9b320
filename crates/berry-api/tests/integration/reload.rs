//! A configuration that changes while requests are served.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;

use berry_testkit::{Behaviour, Upstream};
use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::{Client, Gateway, Setup, chat, hello, hello_stream, within};

const ADMIN: &str = "tags = [\"admin\", \"debug\"]";

/// A file that is served and can be written anew.
struct Served {
    folder: TempDir,
    path: PathBuf,
    gateway: Gateway,
}

impl Served {
    fn start(setup: &Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, setup.toml()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        Self {
            gateway: Gateway::start_from(&path),
            folder,
            path,
        }
    }

    fn write(&self, toml: &str) {
        fs::write(&self.path, toml).unwrap();
    }

    /// Writes a file and asks for a reload; returns the answer's status and body.
    async fn reload(&self, toml: &str) -> (u16, Value) {
        self.write(toml);
        let answer = self.gateway.reload().await;
        (answer.status, answer.json())
    }
}

fn over(upstream: &Upstream) -> Setup {
    Setup::over(upstream).user(ADMIN)
}

/// Returns the JSON array of these names.
fn names(names: &[&str]) -> Value {
    json!(names)
}

#[tokio::test]
async fn an_admin_reloads_and_is_told_what_has_changed() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let served = Served::start(&over(&first));

    let (status, answer) = served
        .reload(
            &Setup::new()
                .provider("other", &second)
                .settings("max_retries = 1")
                .user(ADMIN)
                .more("[users.eve]\ntoken = \"token-of-eve-0123456789\"")
                .toml(),
        )
        .await;

    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["status"], "ok");
    assert_eq!(answer["generation"], 2);
    assert_eq!(answer["added"], names(&["providers.other", "users.eve"]));
    assert_eq!(answer["removed"], names(&["providers.only"]));
    assert_eq!(
        answer["changed"],
        names(&["models.chat", "settings.max_retries"])
    );
    assert_eq!(answer["diagnostics"], json!([]));
    assert_eq!(served.gateway.chat(&hello()).await.status, 200);
    assert_eq!((first.request_count(), second.request_count()), (0, 1));
}

#[tokio::test]
async fn a_faulty_file_changes_nothing_and_every_finding_is_returned() {
    let upstream = Upstream::start().await;
    let served = Served::start(&over(&upstream));
    let broken = over(&upstream).settings("max_retriez = 1\nmax_retries = 99");

    let (status, answer) = served.reload(&broken.toml()).await;

    assert_eq!(status, 422);
    assert_eq!(answer["error"]["type"], "invalid_request_error");
    assert_eq!(answer["error"]["code"], "invalid_configuration");
    assert!(answer["error"]["param"].is_null());
    let findings = answer["diagnostics"].as_array().unwrap();
    let messages: Vec<_> = findings
        .iter()
        .map(|f| f["message"].as_str().unwrap())
        .collect();
    assert_eq!(
        messages,
        [
            "unknown key `max_retriez` in `settings`",
            "`settings.max_retries` must be a whole number from 0 to 10, not `99`",
        ]
    );
    assert_eq!(findings[0]["line"], 3);
    assert_eq!(findings[0]["path"], served.path.to_str().unwrap());
    assert_eq!(served.gateway.chat(&hello()).await.status, 200);
    let config = &served.gateway.get("/metrics").await.json()["config"];
    assert_eq!(
        *config,
        json!({ "generation": 1, "last_reload_refused": true, "refused_reloads": 1 })
    );
}

#[tokio::test]
async fn what_cannot_change_is_refused_by_name() {
    let upstream = Upstream::start().await;
    let served = Served::start(&over(&upstream));
    let server = "[server]\nbind_address = \"127.0.0.1:1\"\nworker_threads = 9";

    let (status, answer) = served.reload(&over(&upstream).more(server).toml()).await;

    assert_eq!(status, 422);
    let message = answer["error"]["message"].as_str().unwrap();
    for key in ["server.bind_address", "server.worker_threads"] {
        let expected = format!("`{key}` cannot change while the gateway runs");
        assert!(message.contains(&expected), "{message}");
    }
    assert_eq!(answer["diagnostics"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_file_that_is_gone_or_cannot_be_served_is_refused() {
    let upstream = Upstream::start().await;
    let served = Served::start(&over(&upstream));
    fs::remove_file(&served.path).unwrap();

    let answer = served.gateway.reload().await;

    assert_eq!(
        answer.error(),
        "422 invalid_request_error/invalid_configuration"
    );
    let ca = served.folder.path().join("empty.pem");
    fs::write(&ca, "").unwrap();
    let unusable = Setup::new()
        .provider_at("only", "https://localhost/v1")
        .option(&format!("ca_file = {ca:?}"))
        .user(ADMIN);
    let (status, answer) = served.reload(&unusable.toml()).await;
    assert_eq!(status, 422);
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("provider `only` cannot be used: `ca_file`"),
        "{message}"
    );
    assert_eq!(served.gateway.chat(&hello()).await.status, 200);
}

#[tokio::test]
async fn only_admins_reload() {
    let upstream = Upstream::start().await;
    let served = Served::start(&Setup::over(&upstream));

    let answer = served.gateway.reload().await;

    assert_eq!(answer.error(), "403 permission_error/admin_required");
}

#[tokio::test]
async fn the_file_is_reloaded_however_it_is_replaced() {
    let upstream = Upstream::start().await;
    let served = Served::start(&over(&upstream));
    let gateway = &served.gateway;
    let toml = |retries: u32| {
        let setup = over(&upstream).settings(&format!("max_retries = {retries}"));
        setup.toml()
    };
    let beside = served.folder.path().join(".config.toml.swp");

    // Truncated and written.
    served.write(&toml(1));
    gateway.reckons("generation", 2).await;
    // Another file renamed over it.
    fs::write(&beside, toml(2)).unwrap();
    fs::rename(&beside, &served.path).unwrap();
    gateway.reckons("generation", 3).await;
    // Gone, and there again.
    fs::remove_file(&served.path).unwrap();
    gateway.reckons("refused_reloads", 1).await;
    assert_eq!(gateway.chat(&hello()).await.status, 200);
    served.write(&toml(3));
    gateway.reckons("generation", 4).await;
    // Faulty, and mended.
    served.write("[settings");
    gateway.reckons("refused_reloads", 2).await;
    served.write(&toml(4));
    gateway.reckons("generation", 5).await;
}

#[tokio::test]
async fn a_swap_of_symlinks_as_kubernetes_does_it_is_noticed() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, setup) in [
        ("..1", over(&upstream)),
        ("..2", over(&upstream).settings("max_retries = 1")),
    ] {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("config.toml"), setup.toml()).unwrap();
    }
    symlink("..1", path("..data")).unwrap();
    symlink("..data/config.toml", path("config.toml")).unwrap();
    let gateway = Gateway::start_from(&path("config.toml"));

    symlink("..2", path("..data_tmp")).unwrap();
    fs::rename(path("..data_tmp"), path("..data")).unwrap();

    gateway.reckons("generation", 2).await;
}

#[tokio::test]
async fn an_empty_file_is_one_that_is_being_written() {
    let upstream = Upstream::start().await;
    let served = Served::start(&over(&upstream));

    served.write("");
    // The next change is noticed after this one.
    let changed = over(&upstream).settings("max_retries = 1");
    let (_, answer) = served.reload(&changed.toml()).await;

    assert_eq!(answer["generation"], 2);
    assert_eq!(answer["removed"], json!([]));
}

#[tokio::test]
async fn an_empty_file_is_refused_whoever_asks_for_it_and_once_where_nobody_does() {
    let upstream = Upstream::start().await;
    let served = Served::start(&over(&upstream));

    let (status, answer) = served.reload("\n\n").await;
    assert_eq!(status, 422);
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("the file is empty: `/"), "{message}");
    served.write(" ");
    served.gateway.reckons("refused_reloads", 2).await;
    let other = over(&upstream).settings("max_retries = 1");
    served.write(&other.toml());
    served.gateway.reckons("generation", 2).await;

    let config = &served.gateway.get("/metrics").await.json()["config"];
    assert_eq!(config["refused_reloads"], 2);
    assert_eq!(served.gateway.chat(&hello()).await.status, 200);
}

#[tokio::test]
async fn a_file_that_loses_all_users_is_waited_for_unless_somebody_asks() {
    let upstream = Upstream::start().await;
    let served = Served::start(&over(&upstream));
    let toml = over(&upstream).toml();
    let (beginning, _users) = toml.split_once("[users").unwrap();

    let written = Instant::now();
    served.write(beginning);
    served.gateway.reckons("generation", 2).await;
    assert!(written.elapsed() >= Duration::from_secs(2));

    // One that is finished meanwhile takes nobody away, and is served as any other.
    served.write(&toml);
    served.gateway.reckons("generation", 3).await;
    let (status, answer) = served.reload(beginning).await;
    assert_eq!(
        (status, &answer["generation"]),
        (200, &json!(4)),
        "{answer}"
    );
}

#[tokio::test]
async fn connections_are_used_on_where_the_way_to_a_provider_is_the_same() {
    let upstream = Upstream::start().await;
    let served = Served::start(&over(&upstream));
    served.gateway.chat(&hello()).await;

    for setup in [
        over(&upstream).settings("max_retries = 1"),
        over(&upstream).option("max_retries = 2\nheaders = { x-team = \"blue\" }"),
    ] {
        assert_eq!(served.reload(&setup.toml()).await.0, 200);
        assert_eq!(served.gateway.chat(&hello()).await.status, 200);
    }

    assert_eq!(upstream.connection_count(), 1);
    assert_eq!(upstream.requests()[2].headers["x-team"], "blue");
    let other_way = over(&upstream).settings("upstream_idle_timeout_seconds = 3");
    served.reload(&other_way.toml()).await;
    served.gateway.chat(&hello()).await;
    assert_eq!(upstream.connection_count(), 2);
}

#[tokio::test]
async fn what_was_learned_and_counted_survives() {
    let broken = Upstream::builder()
        .behaviour(Behaviour::status(500))
        .start()
        .await;
    let works = Upstream::start().await;
    let setup = || Setup::over_two(&broken, &works).user(ADMIN);
    let served = Served::start(&setup().settings("circuit_breaker_failure_threshold = 3"));
    served.gateway.chat_often(5, &hello()).await;
    assert_eq!(broken.request_count(), 3);

    let changed = setup()
        .settings("circuit_breaker_failure_threshold = 3")
        .strategy("round_robin");
    assert_eq!(served.reload(&changed.toml()).await.0, 200);
    served.gateway.chat_often(5, &hello()).await;

    assert_eq!(broken.request_count(), 3, "its breaker is still open");
    let metrics = served.gateway.get("/metrics").await.json();
    assert_eq!(metrics["load_balancer"]["total_selections"], 10);
    assert_eq!(metrics["service"]["total_requests"], 13);
}

#[tokio::test]
async fn the_totals_of_the_process_never_fall() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let served = Served::start(&over(&first));
    served.gateway.chat_often(3, &hello()).await;
    let totals = |metrics: &Value| {
        let service = &metrics["service"];
        let total = |name: &str| service[name].as_u64().unwrap();
        let selections = &metrics["load_balancer"]["total_selections"];
        (
            total("total_requests"),
            total("successful_requests"),
            selections.as_u64().unwrap(),
        )
    };

    let new_key = over(&first).option("headers = { authorization = \"Bearer another-key\" }");
    let other = Setup::new()
        .provider("other", &second)
        .strategy("round_robin")
        .user(ADMIN);
    let mut counts = Vec::new();
    for setup in [new_key, other] {
        let (status, answer) = served.reload(&setup.toml()).await;
        assert_eq!(status, 200, "{answer}");
        counts.push(totals(&served.gateway.get("/metrics").await.json()));
        served.gateway.chat(&hello()).await;
    }
    let metrics = served.gateway.get("/metrics").await.json();

    assert_eq!(counts, [(3, 3, 3), (4, 4, 4)]);
    assert_eq!(metrics["service"]["total_requests"], 5);
    let distribution = &metrics["load_balancer"]["strategy_distribution"];
    assert_eq!(distribution["round_robin"], 1);
    let values = distribution.as_object().unwrap().values();
    assert_eq!(values.filter_map(Value::as_u64).sum::<u64>(), 5);
}

#[tokio::test]
async fn health_checks_follow_the_configuration() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let probed = |setup: Setup| {
        setup
            .settings("health_check_interval_seconds = 3600")
            .user(ADMIN)
    };
    let served = Served::start(&probed(Setup::over(&first)));
    within(first.wait_for_requests(2)).await;

    let more = probed(Setup::over(&first).provider("second", &second));
    assert_eq!(served.reload(&more.toml()).await.0, 200);
    within(second.wait_for_requests(2)).await;

    assert_eq!(first.request_count(), 2, "it was asked before");
}

#[tokio::test]
async fn a_removed_user_is_refused_and_a_stream_in_flight_ends_as_it_began() {
    let upstream = Upstream::start().await;
    upstream.set(Behaviour::text_stream(["a"; 20], Duration::from_millis(20)));
    let served = Served::start(&over(&upstream));
    let mut stream = served.gateway.stream(&hello_stream()).await;
    stream.event().await;

    let nobody = "[users.eve]\ntoken = \"token-of-eve-0123456789\"";
    let (status, answer) = served.reload(nobody).await;

    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        served.gateway.chat(&hello()).await.error(),
        "401 invalid_request_error/invalid_api_key"
    );
    assert!(stream.rest().await.ends_with("data: [DONE]\n\n"));
}

/// Sends requests one after the other until told to stop; returns how many, all of which were
/// answered as they should be.
async fn knock(mut client: Client, stop: CancellationToken) -> usize {
    let body = Bytes::from(hello().to_string());
    let mut count = 0;
    while !stop.is_cancelled() {
        let answer = client.send(chat(body.clone())).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_and_no_stream_breaks_while_the_file_changes() {
    let (whole, streamed) = (Upstream::start().await, Upstream::start().await);
    streamed.set(Behaviour::text_stream(["a"; 60], Duration::from_millis(20)));
    let setup = |round: usize| {
        let streams = format!(
            "[models.streams]\nname = \"streams\"\nbackends = [{{ provider = \"slow\", model = \"s\" }}]\n\
             [providers.slow]\nbase_url = \"{}\"\nproxy_url = \"none\"",
            streamed.url()
        );
        over(&whole)
            .settings(&format!(
                "max_retries = 0\nmax_internal_retries = {}",
                round % 10
            ))
            .more(&streams)
    };
    let served = Served::start(&setup(0));
    let (stop, mut clients, mut streams) =
        (CancellationToken::new(), JoinSet::new(), JoinSet::new());
    for _ in 0..4 {
        clients.spawn(knock(served.gateway.connect().await, stop.clone()));
    }
    for _ in 0..20 {
        let mut body = hello_stream();
        body["model"] = json!("streams");
        let stream = served.gateway.stream(&body).await;
        streams.spawn(stream.rest());
    }

    for round in 1..=30 {
        let broken = round % 3 == 0;
        let toml = if broken {
            "[settings".to_owned()
        } else {
            setup(round).toml()
        };
        let (status, answer) = served.reload(&toml).await;
        assert_eq!(status, if broken { 422 } else { 200 }, "{answer}");
    }

    while let Some(stream) = streams.join_next().await {
        assert!(stream.unwrap().ends_with("data: [DONE]\n\n"));
    }
    stop.cancel();
    let counts = clients.join_all().await;
    assert!(counts.iter().all(|&count| count > 30), "{counts:?}");
    assert_eq!(whole.connection_count(), 4, "its connections were used on");
}
