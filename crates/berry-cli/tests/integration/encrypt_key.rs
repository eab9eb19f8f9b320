//! Keys that a file holds encrypted.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

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
    let desk = Desk::with("");
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
