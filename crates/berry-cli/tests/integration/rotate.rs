//! `scripts/rotate-api-keys.sh`: new tokens and newly encrypted keys, all of them or none.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use berry_core::{Source, TokenDigest};

use crate::support::{Desk, Finished};

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../scripts/rotate-api-keys.sh"
);

const CONFIG: &str = r#"# What a script must leave alone: token = "x"
[settings]
max_retries = 1
[providers.one]
base_url = "http://127.0.0.1:9/v1"
api_key = "key-of-one-0123456789"
[models.m]
name = "m"
backends = [{ provider = "one", model = "m" }]
[users.ada]
token = "token-of-ada-0123456789"   # hers
[users.ada.rate_limit]
requests_per_minute = 9
[users."bob"]
  token_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
tags = ["admin"]
[users.eve]
token = "token-of-eve-0123456789"
"#;

fn command(desk: &Desk, arguments: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command
        .arg(SCRIPT)
        .args(arguments)
        .current_dir(desk.0.path())
        .env_remove("BERRY_MASTER_KEY")
        .env_remove("BERRY_MASTER_KEY_FILE")
        .env("BERRY_CLI", env!("CARGO_BIN_EXE_berry-cli"));
    command
}

fn rotate(desk: &Desk, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    let mut command = command(desk, arguments);
    let output = command.envs(environment.iter().copied()).output().unwrap();
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Returns the files on the desk but the configuration, sorted.
fn others(desk: &Desk) -> Vec<String> {
    let names = desk.0.path().read_dir().unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "config.toml").collect();
    names.sort();
    names
}

/// Returns the digests of the users' tokens.
fn digests(desk: &Desk) -> Vec<(String, String)> {
    let source = Source::read(desk.0.path().join("config.toml")).unwrap();
    let loaded = berry_relay::Names::collect()
        .parse(&source, &|_| None)
        .unwrap();
    let users = loaded.config.users.iter();
    users
        .map(|user| (user.id.to_string(), user.token.to_hex()))
        .collect()
}

#[test]
fn every_user_gets_a_token_that_is_printed_once_and_nothing_else_changes() {
    let desk = Desk::with(CONFIG);

    let finished = rotate(&desk, &["tokens"], &[]);

    assert_eq!(finished.code, Some(0), "{finished:?}");
    let printed: Vec<_> = finished
        .stdout
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(user, token)| (user.to_owned(), TokenDigest::of(token).to_hex()))
        .collect();
    assert_eq!(printed.len(), 3);
    assert_eq!(digests(&desk), printed);
    let text = desk.read("config.toml");
    for (before, after) in CONFIG.lines().zip(text.lines()) {
        let is_token = before.trim_start().starts_with("token");
        assert_eq!(is_token, before != after, "{before} became {after}");
    }
    assert!(text.contains("\"   # hers\n"), "{text}");
    let path = desk.0.path().join("config.toml");
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn no_user_is_left_out_however_their_table_is_written() {
    let config = |users: &str| {
        let others = CONFIG.split("[users.ada]").next().unwrap();
        format!("{users}\n{others}")
    };
    let (ada, bob) = ("token-of-ada-0123456789", "token-of-bob-0123456789");
    let digest = TokenDigest::of(bob).to_hex();
    for users in [
        format!("users.ada.token = \"{ada}\"\nusers.\"bob\".token = '{bob}'"),
        format!(
            "users = {{ ada = {{ token = \"{ada}\" }}, bob = {{ token_sha256 = \"{digest}\" }} }}"
        ),
        format!("[users]\nada.token = '{ada}'\nbob = {{ tags = [], token = \"{bob}\" }}"),
        format!(
            "[ users . 'ada' ]\n\"token\" = \"\"\"{ada}\"\"\"\n[users.\"bob\"]#]\ntoken = \"{bob}\""
        ),
        format!(
            "[users.\"\\u0061da\"]\n'token'='{ada}'\n[users]\n[users.bob]\r\ntoken\t=\t\"{bob}\"\r"
        ),
    ] {
        let desk = Desk::with(&config(&users));
        let before = digests(&desk);

        let finished = rotate(&desk, &["tokens"], &[]);

        assert_eq!(finished.code, Some(0), "{users}: {finished:?}");
        assert_eq!(finished.stdout.lines().count(), 2, "{users}");
        let after = digests(&desk);
        for (old, new) in before.iter().zip(&after) {
            assert_eq!(old.0, new.0);
            assert_ne!(old.1, new.1, "{users}");
        }
        assert_eq!(after.len(), 2);
    }
}

#[test]
fn whose_token_is_in_a_variable_keeps_it_and_that_is_said() {
    let config = CONFIG.replace("\"token-of-ada-0123456789\"", "\"${ADA}\"");
    let desk = Desk::with(&config);
    let environment = [("ADA", "token-of-ada-0123456789")];

    let all = rotate(&desk, &["tokens"], &environment);
    let named = rotate(&desk, &["tokens", "ada"], &environment);

    assert_eq!(
        (all.code, all.stdout.lines().count()),
        (Some(0), 2),
        "{all:?}"
    );
    for finished in [&all, &named] {
        let said = "the token of user `ada` is in a variable";
        assert!(finished.stderr.contains(said), "{finished:?}");
    }
    assert_eq!((named.code, &*named.stdout), (Some(1), ""));
    assert!(desk.read("config.toml").contains("\"${ADA}\""));
}

#[test]
fn what_was_there_before_is_kept_for_its_owner_alone() {
    let desk = Desk::with(CONFIG);

    rotate(&desk, &["-c", "config.toml", "tokens", "eve"], &[]);

    let [backup] = &others(&desk)[..] else {
        panic!("{:?}", others(&desk));
    };
    assert_eq!(desk.read(backup), CONFIG);
    let mode = std::fs::metadata(desk.0.path().join(backup)).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    let text = desk.read("config.toml");
    assert!(text.contains("token-of-ada") && !text.contains("token-of-eve"));
}

#[test]
fn tokens_that_cannot_be_printed_do_not_replace_those_that_are_known() {
    let desk = Desk::with(CONFIG);
    let full = std::fs::File::options().write(true).open("/dev/full");

    let finished = command(&desk, &["tokens"])
        .stdout(full.unwrap())
        .output()
        .unwrap();

    let said = String::from_utf8(finished.stderr).unwrap();
    assert!(
        !finished.status.success() && said.contains("nothing is changed"),
        "{said}"
    );
    assert_eq!(desk.read("config.toml"), CONFIG);
    assert_eq!(others(&desk), Vec::<String>::new());
}

#[test]
fn a_path_may_have_any_characters() {
    let desk = Desk::with(CONFIG);
    let path = "a & b|c \\ d/config.toml";
    std::fs::create_dir(desk.0.path().join("a & b|c \\ d")).unwrap();
    let wrong = CONFIG.replace("max_retries = 1", "max_retries = 99");
    std::fs::write(desk.0.path().join(path), wrong).unwrap();

    let finished = rotate(&desk, &["-c", path, "tokens"], &[]);

    assert!(finished.stderr.contains(path), "{finished:?}");
    assert!(!finished.stderr.contains("/.rotate."), "{finished:?}");
}

#[test]
fn where_anything_is_wrong_nothing_changes() {
    for (config, arguments, expected) in [
        (CONFIG, &["tokens", "ada", "nobody"][..], "`nobody`"),
        (CONFIG, &["keys"], "no master key"),
        (CONFIG, &["everything"], "say `tokens` or `keys`"),
        (CONFIG, &["-c", "none.toml", "tokens"], "no file at"),
        ("[users]\n", &["tokens"], "of any user"),
        (
            "[users.zoe]\ntoken = \"${TOKEN}\"\n",
            &["tokens"],
            "of all users are in variables",
        ),
        (&CONFIG.replace("max_retries", "x"), &["tokens"], "`x`"),
    ] {
        let desk = Desk::with(config);

        let finished = rotate(&desk, arguments, &[]);

        assert_ne!(finished.code, Some(0), "{arguments:?}");
        assert!(finished.stderr.contains(expected), "{finished:?}");
        assert_eq!(finished.stdout, "", "{arguments:?}");
        assert_eq!(desk.read("config.toml"), config);
        assert_eq!(others(&desk), Vec::<String>::new());
    }
}

#[test]
fn keys_are_encrypted_and_then_encrypted_anew_with_another_master_key() {
    let desk = Desk::with(CONFIG);
    let master = || desk.run(&["encrypt-key", "--new-master-key"]).stdout;
    desk.write("old.key", &master());
    let new = master();
    let sealed = || {
        let text = desk.read("config.toml");
        let line = text.lines().find(|line| line.starts_with("api_key"));
        line.unwrap().to_owned()
    };

    let first = rotate(&desk, &["keys"], &[("BERRY_MASTER_KEY_FILE", "old.key")]);
    let with_old = sealed();
    // The second copy must have another name than the first.
    desk.write("new.key", &new);
    for name in others(&desk).iter().filter(|name| name.contains(".bak")) {
        std::fs::remove_file(desk.0.path().join(name)).unwrap();
    }
    let environment = [("BERRY_MASTER_KEY_FILE", "new.key")];
    let second = rotate(&desk, &["keys", "old.key"], &environment);

    assert_eq!((first.code, second.code), (Some(0), Some(0)), "{second:?}");
    assert!(with_old.contains("enc:v1:") && sealed().contains("enc:v1:"));
    assert_ne!(with_old, sealed());
    let valid = |key: &str| {
        let environment = [("BERRY_MASTER_KEY_FILE", key)];
        desk.run_with(&["validate-config"], &environment, "").code
    };
    assert_eq!((valid("new.key"), valid("old.key")), (Some(0), Some(1)));
}

#[test]
fn the_command_alone_replaces_no_token_that_nobody_can_read_either() {
    let desk = Desk::with(CONFIG);

    let (code, said) = desk.run_unread(&["rotate-tokens"]);

    assert_eq!(code, Some(1));
    assert!(said.contains("the file is as it was"), "{said}");
    assert_eq!(desk.read("config.toml"), CONFIG);
}
