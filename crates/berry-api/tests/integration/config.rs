//! The real binary: where its configuration comes from, and what it says of it.

use berry_testkit::Upstream;

use crate::support::{Client, Finished, Process, Setup, chat, hello, run, scratch};

const CHECK: &[&str] = &["--check-config"];

async fn valid() -> (String, Upstream) {
    let upstream = Upstream::start().await;
    (Setup::over(&upstream).toml(), upstream)
}

/// A configuration that can be told from others by its number of users.
fn with_users(count: usize) -> String {
    let user = |n| format!("[users.user{n}]\ntoken = \"token-of-user-number-{n}\"\n");
    let users: Vec<_> = (0..count).map(user).collect();
    users.concat()
}

/// Checks this text as `config.toml`.
async fn checked(toml: &str) -> Finished {
    let folder = scratch(&[("config.toml", toml)]);
    run(folder.path(), CHECK, &[]).await
}

#[tokio::test]
async fn a_valid_configuration_is_counted_and_exits_0() {
    let (toml, _upstream) = valid().await;

    let finished = checked(&toml).await;

    assert_eq!(
        finished.stdout,
        "✅ Configuration is valid\n  - 1 providers configured\n  - 1 models configured\n  - 1 users configured\n"
    );
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

#[tokio::test]
async fn warnings_are_shown_and_do_not_fail_a_check() {
    let finished = checked("[users.ada]\ntoken = \"short\"\n").await;

    assert_eq!(finished.code, Some(0));
    assert!(finished.stdout.starts_with("✅ Configuration is valid\n"));
    assert!(finished.stderr.contains("warning: "), "{}", finished.stderr);
    assert!(
        finished.stderr.ends_with(" warnings\n"),
        "{}",
        finished.stderr
    );
    assert!(
        finished.stderr.contains("config.toml:2:9"),
        "{}",
        finished.stderr
    );
}

#[tokio::test]
async fn every_error_is_shown_with_its_place_and_exits_1_whether_checked_or_served() {
    let (toml, _upstream) = valid().await;
    let line = toml.lines().count() + 1;
    let backends = |provider: &str| {
        format!("name = \"other\"\nbackends = [{{ provider = \"{provider}\", model = \"m\" }}]")
    };
    for (addition, place, message) in [
        (
            format!("[models.x]\n{}", backends("onyl")),
            format!("{}:26", line + 2),
            "`onyl`",
        ),
        (
            format!("[models.x]\nstrategy = \"fastest\"\n{}", backends("only")),
            format!("{}:12", line + 1),
            "`fastest`",
        ),
        (
            "[settings.smart_ai]\nexploration = 1".to_owned(),
            format!("{}:1", line + 1),
            "`exploration`",
        ),
        (
            "[users.bob]\ntoken = \"token-of-ada-0123456789\"".to_owned(),
            format!("{}:9", line + 1),
            "token",
        ),
        (
            format!(
                "[models.x]\n{}",
                backends("only").replace("other", "test-model")
            ),
            format!("{}:8", line + 1),
            "`test-model`",
        ),
        (
            "[providers.x]\nbase_url = \"ftp://host\"".to_owned(),
            format!("{}:12", line + 1),
            "ftp://host",
        ),
        (
            "[providers.x]\nbase_url = \"https://host\"\nca_file = \"missing.pem\"".to_owned(),
            format!("{}:11", line + 2),
            "`ca_file`",
        ),
        ("[providers.x\n".to_owned(), format!("{line}:"), ""),
    ] {
        let folder = scratch(&[("config.toml", &format!("{toml}{addition}\n"))]);
        for arguments in [CHECK, &[]] {
            let finished = run(folder.path(), arguments, &[]).await;

            let report = &finished.stderr;
            assert_eq!(finished.code, Some(1), "{report}");
            assert!(
                report.contains(&format!("config.toml:{place}")),
                "{place}: {report}"
            );
            assert!(report.contains(message), "{message}: {report}");
            assert!(report.contains("error: "), "{report}");
            assert!(report.ends_with("not loaded\n"), "{report}");
            assert_eq!(finished.stdout, "", "{report}");
        }
    }
}

#[tokio::test]
async fn files_that_cannot_be_written_are_found_before_anything_starts() {
    for (toml, key) in [
        (
            "[settings]\naudit_log = \"/proc/no-such-file\"",
            "`audit_log`",
        ),
        (
            "[telemetry]\nlog_file = \"/proc/no-such-file\"",
            "`log_file`",
        ),
    ] {
        let folder = scratch(&[("config.toml", toml)]);
        for arguments in [CHECK, &[]] {
            let finished = run(folder.path(), arguments, &[("BIND_ADDRESS", "127.0.0.1:0")]).await;

            let (code, report) = (finished.code, finished.stderr);
            assert_eq!(code, Some(1), "{report}");
            assert!(report.starts_with(&format!("error: {key} ")), "{report}");
            assert!(report.contains("config.toml:2:1"), "{report}");
        }
    }
}

#[tokio::test]
async fn all_errors_are_shown_at_once() {
    let toml = "[settings]\nmax_retries = 99\nmax_retrys = 1\n[providers.x]\nbase_url = \"no\"\n";

    let finished = checked(toml).await;

    for place in ["config.toml:2:", "config.toml:3:", "config.toml:5:"] {
        assert!(finished.stderr.contains(place), "{}", finished.stderr);
    }
    assert!(
        finished.stderr.contains("`max_retries`"),
        "{}",
        finished.stderr
    );
}

/// Expects one line about the error, with all of these parts.
fn one_line(finished: &Finished, parts: &[&str]) {
    let report = &finished.stderr;
    assert_eq!(finished.code, Some(1), "{report}");
    assert_eq!(report.lines().count(), 1, "{report}");
    assert!(report.starts_with("error: "), "{report}");
    for part in parts {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert_eq!(finished.stdout, "");
}

#[tokio::test]
async fn a_file_that_is_missing_or_no_file_is_one_clear_line() {
    let folder = scratch(&[("folder/x", "")]);

    for name in ["missing.toml", "folder"] {
        let by_argument = run(folder.path(), &["--config", name], &[]).await;
        let by_environment = run(folder.path(), &[], &[("CONFIG_PATH", name)]).await;

        one_line(&by_argument, &[name]);
        one_line(&by_environment, &[name]);
    }
}

#[tokio::test]
async fn a_named_file_that_is_missing_is_not_replaced_by_another() {
    let folder = scratch(&[("config.toml", &with_users(1))]);

    let finished = run(folder.path(), CHECK, &[("CONFIG_PATH", "missing.toml")]).await;

    one_line(&finished, &["missing.toml"]);
}

#[tokio::test]
async fn files_are_looked_for_in_order() {
    // The place under `/etc` belongs to the machine that the tests run on.
    if std::path::Path::new("/etc/berry-api/config.toml").exists() {
        return;
    }
    let files = [
        ("config/smart_ai_example.toml", with_users(1)),
        ("config-example.toml", with_users(2)),
        ("config.toml", with_users(3)),
        ("environment.toml", with_users(4)),
        ("argument.toml", with_users(5)),
    ];
    let folder = scratch(&[]);
    let nothing = run(folder.path(), CHECK, &[]).await;
    one_line(&nothing, &["config.toml", "--config", "CONFIG_PATH"]);

    for (count, (name, text)) in (1..).zip(&files) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        let mut environment = vec![];
        let mut arguments = CHECK.to_vec();
        if count >= 4 {
            environment.push(("CONFIG_PATH", "environment.toml"));
        }
        if count == 5 {
            arguments.extend(["--config", "argument.toml"]);
        }

        let finished = run(folder.path(), &arguments, &environment).await;

        let expected = format!("  - {count} users configured\n");
        assert!(finished.stdout.ends_with(&expected), "{name}: {finished:?}");
    }
}

#[tokio::test]
async fn an_example_is_served_with_a_loud_warning() {
    let (toml, _upstream) = valid().await;
    let example = scratch(&[("config-example.toml", &toml)]);
    let own = scratch(&[("config.toml", &toml)]);
    let warns = |process: &Process| {
        process.prelude.iter().any(|line| {
            line["level"] == "WARN" && line["message"].as_str().unwrap().contains("EXAMPLE")
        })
    };

    let of_example = Process::start(example.path(), &[], &[]).await;
    let of_own = Process::start(own.path(), &[], &[]).await;

    assert!(warns(&of_example), "{:?}", of_example.prelude);
    assert!(!warns(&of_own), "{:?}", of_own.prelude);
}

#[tokio::test]
async fn what_a_file_is_warned_about_is_logged_at_start() {
    let (toml, _upstream) = valid().await;
    let both = "[settings]\nrequest_timeout_seconds = 5\njson_timeout_seconds = 6\n";
    let toml = toml.replacen("[settings]\n", both, 1);
    let folder = scratch(&[("config.toml", &toml)]);

    let process = Process::start(folder.path(), &[], &[]).await;

    let warning = process
        .prelude
        .iter()
        .find(|line| line["level"] == "WARN")
        .expect("a warning");
    let message = warning["message"].as_str().unwrap();
    assert!(message.contains("config.toml:3:24"), "{message}");
    assert!(
        message.contains("`json_timeout_seconds` has no effect"),
        "{message}"
    );
}

#[tokio::test]
async fn a_variable_that_a_file_names_is_read_and_must_be_there() {
    let upstream = Upstream::start().await;
    let toml = Setup::over(&upstream).toml();
    let toml = toml.replace("\"key-of-only\"", "\"${PROVIDER_KEY}\"");
    let folder = scratch(&[("config.toml", &toml)]);

    let missing = run(folder.path(), CHECK, &[]).await;
    let process = Process::start(folder.path(), &[], &[("PROVIDER_KEY", "secret")]).await;

    assert_eq!(missing.code, Some(1));
    assert!(
        missing.stderr.contains("PROVIDER_KEY"),
        "{}",
        missing.stderr
    );
    let body = hello().to_string();
    let mut client = Client::connect(process.address()).await;
    assert_eq!(client.send(chat(body)).await.status, 200);
    assert_eq!(
        upstream.requests()[0].headers["authorization"],
        "Bearer secret"
    );
}

#[tokio::test]
async fn what_a_configuration_cannot_be_compiled_to_is_one_clear_line() {
    let (toml, _upstream) = valid().await;
    let toml = format!(
        "{toml}[providers.x]\nbase_url = \"https://host\"\napi_key = \"sk-8f3kq0smw7x2\"\nca_file = \"empty.pem\"\n\
         [[models.chat.backends]]\nprovider = \"x\"\nmodel = \"x\"\n"
    );
    let folder = scratch(&[("config.toml", &toml), ("empty.pem", "")]);
    let environment = [("BIND_ADDRESS", "127.0.0.1:0")];

    for arguments in [CHECK, &[]] {
        let finished = run(folder.path(), arguments, &environment).await;

        one_line(&finished, &["`x`", "empty.pem", "no usable certificate"]);
        assert!(finished.stderr.ends_with('\n'), "{}", finished.stderr);
    }
}
