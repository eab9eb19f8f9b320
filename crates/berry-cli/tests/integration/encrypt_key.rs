//! Keys that a file holds encrypted.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use crate::support::{Desk, MockUpstream};

const KEY: &str = "sk-canary-0123456789";

fn master_key(desk: &Desk) -> String {
    let made = desk.run(&["encrypt-key", "--new-master-key"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    made.stdout.trim().to_owned()
}

/// A configuration whose only provider has this line for a key.
fn config(authority: &str, key: &str) -> String {
    format!(
        "# mine\n[providers.a] # the first\nbase_url = \"http://{authority}/v1\"\nproxy_url = \"none\"\n\
         {key} # secret\n[providers.b]\nbase_url = \"http://{authority}/v1\"\napi_key = \"${{KEY_OF_B}}\"\n\
         enabled = false\n"
    )
}

#[test]
fn an_encrypted_key_is_sent_as_the_key_it_is() {
    let upstream = MockUpstream::start(&["--api-key", KEY]);
    let desk = Desk::with(&config(upstream.authority(), ""));
    let master = master_key(&desk);
    let environment = [("BERRY_MASTER_KEY", master.as_str())];

    let sealed = desk.run_with(
        &["encrypt-key", "-p", "a"],
        &environment,
        &format!("{KEY}\n"),
    );
    let line = sealed.stdout.trim_end();
    assert!(line.starts_with("api_key = \"enc:v1:"), "{sealed:?}");
    desk.write("config.toml", &config(upstream.authority(), line));
    let test = ["test-backend", "-p", "a", "-m", "gpt-4o"];

    let passed = desk.run_with(&test, &environment, "");
    assert_eq!(passed.code, Some(0), "{passed:?}");

    let without = desk.run(&test);
    assert_eq!(without.code, Some(1));
    assert!(
        without.stderr.contains("no master key"),
        "{}",
        without.stderr
    );
    let other = master_key(&desk);
    let wrong = desk.run_with(&test, &[("BERRY_MASTER_KEY", &other)], "");
    assert!(
        wrong
            .stderr
            .contains("provider `a` cannot be decrypted: it was encrypted with another"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn a_file_is_encrypted_in_place_and_again_with_another_key() {
    let upstream = MockUpstream::start(&["--api-key", KEY]);
    let desk = Desk::with(&config(upstream.authority(), &format!("api_key = '{KEY}'")));
    let (first, second) = (master_key(&desk), master_key(&desk));
    desk.write("first.key", &first);
    desk.write("second.key", &second);

    let encrypt = ["encrypt-key", "--in-place"];
    let done = desk.run_with(&encrypt, &[("BERRY_MASTER_KEY_FILE", "first.key")], "");
    assert_eq!(
        done.stdout, "✅ 1 key encrypted in config.toml\n",
        "{done:?}"
    );
    let once = desk.read("config.toml");
    let sealed = once.lines().find(|line| line.contains("enc:v1:")).unwrap();
    let (line, _) = sealed.split_once(" # secret").unwrap();
    assert_eq!(
        once,
        config(upstream.authority(), line),
        "nothing else has changed"
    );

    let rotate = [&encrypt[..], &["--old-master-key-file", "first.key"]].concat();
    let rotated = desk.run_with(&rotate, &[("BERRY_MASTER_KEY", &second)], "");
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    assert_ne!(desk.read("config.toml"), once);
    let test = ["test-backend", "-p", "a", "-m", "gpt-4o"];
    let passed = desk.run_with(&test, &[("BERRY_MASTER_KEY", &second)], "");
    assert_eq!(passed.code, Some(0), "{passed:?}");
}

#[test]
fn with_the_wrong_key_nothing_is_overwritten() {
    let desk = Desk::with(&config("127.0.0.1:1", &format!("api_key = \"{KEY}\"")));
    let (first, second) = (master_key(&desk), master_key(&desk));
    let encrypt = ["encrypt-key", "--in-place"];
    desk.run_with(&encrypt, &[("BERRY_MASTER_KEY", &first)], "");
    let before = desk.read("config.toml");

    let refused = desk.run_with(&encrypt, &[("BERRY_MASTER_KEY", &second)], "");

    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("provider `a`"),
        "{}",
        refused.stderr
    );
    assert_eq!(desk.read("config.toml"), before);
}

#[test]
fn what_cannot_be_a_key_of_that_provider_is_refused() {
    let desk = Desk::with(&config("127.0.0.1:1", ""));
    let master = master_key(&desk);
    let environment = [("BERRY_MASTER_KEY", master.as_str())];
    let encrypt = |provider: &str, key: &str| {
        desk.run_with(&["encrypt-key", "-p", provider], &environment, key)
    };
    let sealed = encrypt("a", KEY).stdout;
    let sealed = sealed.split('"').nth(1).unwrap();

    for (provider, key, message) in [
        (
            "aa",
            KEY,
            "there is no provider `aa` in `config.toml`: expected `a` or `b`",
        ),
        ("a", "\n", "a key is expected on stdin"),
        ("a", sealed, "what is on stdin is encrypted already"),
        (
            "a",
            "${KEY_OF_A}\n",
            "what is on stdin names a variable: write `api_key = \"${NAME}\"` as it is",
        ),
        (
            "a",
            " sk-canary \n",
            "the key on stdin has white space or characters outside ASCII in it",
        ),
    ] {
        let refused = encrypt(provider, key);
        assert_eq!((refused.code, &*refused.stdout), (Some(1), ""), "{key}");
        assert_eq!(refused.stderr, format!("error: {message}\n"));
    }
    let elsewhere = ["encrypt-key", "-p", "new", "-c", "absent.toml"];
    let made = desk.run_with(&elsewhere, &environment, &format!("{KEY}\r\n"));
    assert_eq!(
        made.code,
        Some(0),
        "without a file there are no providers to know"
    );
}

#[test]
fn a_rotation_that_was_begun_by_hand_is_completed() {
    let two = |first: &str, second: &str| {
        format!(
            "[providers.a]\nbase_url = \"http://a\"\napi_key = \"{first}\"\n\
             [providers.b]\nbase_url = \"http://b\"\napi_key = \"{second}\"\n"
        )
    };
    let desk = Desk::with(&two(KEY, "key-of-b"));
    let (first, second) = (master_key(&desk), master_key(&desk));
    desk.write("first.key", &first);
    let new = [("BERRY_MASTER_KEY", second.as_str())];
    let encrypt = ["encrypt-key", "--in-place"];
    desk.run_with(&encrypt, &[("BERRY_MASTER_KEY", &first)], "");
    let value = |text: &str, number| text.split("api_key = \"").nth(number).unwrap().to_owned();
    let old = desk.read("config.toml");
    let old = value(&old, 2);
    let by_hand = desk.run_with(&["encrypt-key", "-p", "a"], &new, KEY).stdout;
    let by_hand = by_hand.split('"').nth(1).unwrap();
    desk.write("config.toml", &two(by_hand, old.split('"').next().unwrap()));

    let refused = desk.run_with(&encrypt, &new, "");
    let rotate = [&encrypt[..], &["--old-master-key-file", "first.key"]].concat();
    let rotated = desk.run_with(&rotate, &new, "");
    let again = desk.run_with(&rotate, &new, "");

    assert_eq!(refused.code, Some(1));
    let named = refused
        .stderr
        .contains("the key of provider `b` stays as it is")
        && refused.stderr.contains("`--old-master-key-file`");
    assert!(named, "{}", refused.stderr);
    assert_eq!(
        rotated.stdout,
        "✅ 1 key encrypted in config.toml; 1 had been already\n"
    );
    assert_eq!(
        again.stdout,
        "✅ 0 keys encrypted in config.toml; 2 had been already\n"
    );
    let valid = desk.run_with(&["validate-config"], &new, "");
    assert_eq!(valid.code, Some(0), "{valid:?}");
}

#[test]
fn a_master_key_that_others_can_read_is_warned_about() {
    let desk = Desk::with(&config("127.0.0.1:1", &format!("api_key = \"{KEY}\"")));
    let master = master_key(&desk);
    desk.write("master.key", &master);
    let path = desk.0.path().join("master.key");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let environment = [("BERRY_MASTER_KEY_FILE", "master.key")];
    let warning = "every user of this machine can read the master key in `master.key`";

    let sealed = desk.run_with(&["encrypt-key", "--in-place"], &environment, "");
    let checked = desk.run_with(&["validate-config"], &environment, "");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let private = desk.run_with(&["validate-config"], &environment, "");

    assert_eq!((sealed.code, checked.code), (Some(0), Some(0)));
    assert!(sealed.stderr.contains(warning), "{}", sealed.stderr);
    assert!(checked.stderr.contains(warning), "{}", checked.stderr);
    assert!(!private.stderr.contains(warning), "{}", private.stderr);
}

#[test]
fn one_thing_at_a_time_is_asked_for() {
    let desk = Desk::with("");

    for arguments in [
        &["encrypt-key"][..],
        &["encrypt-key", "--in-place", "--new-master-key"],
    ] {
        assert_eq!(desk.run(arguments).code, Some(2), "{arguments:?}");
    }
}

#[test]
fn a_file_of_another_owner_stays_theirs() {
    let desk = Desk::with(&config("localhost", "api_key = 'sk-canary'"));
    let path = desk.0.path().join("config.toml");
    if chown(&path, Some(4321), Some(4322)).is_err() {
        // Only root can give files away, and so take them.
        return;
    }
    let master = master_key(&desk);

    let environment = [("BERRY_MASTER_KEY", master.as_str())];
    let done = desk.run_with(&["encrypt-key", "--in-place"], &environment, "");

    assert_eq!(done.code, Some(0), "{done:?}");
    let file = fs::metadata(&path).unwrap();
    assert_eq!(
        (file.uid(), file.gid(), file.mode() & 0o777),
        (4321, 4322, 0o600)
    );
    assert!(desk.read("config.toml").contains("enc:v1:"));
}
