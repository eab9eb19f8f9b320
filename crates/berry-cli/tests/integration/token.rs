//! Tokens: made and hashed.

use crate::support::Desk;

#[test]
fn a_generated_token_has_the_digest_that_hash_token_gives() {
    let desk = Desk::with("");
    let made = desk.run(&["generate-token", "--format", "json"]);
    let made: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
    let token = made["token"].as_str().unwrap();

    let hashed = desk.run_with(&["hash-token"], &[], &format!("{token}\n"));

    let digest = made["token_sha256"].as_str().unwrap();
    assert_eq!(hashed.stdout, format!("token_sha256 = \"{digest}\"\n"));
    assert!(token.len() > 40, "{token}");
    let again = desk.run(&["generate-token"]);
    assert!(!again.stdout.contains(token), "{}", again.stdout);
}

#[test]
fn what_is_no_token_is_not_hashed() {
    let desk = Desk::with("");

    for input in ["", "\n", "two words", "tökenwithanumlaut"] {
        let refused = desk.run_with(&["hash-token"], &[], input);

        assert_eq!(
            (refused.code, refused.stdout.as_str()),
            (Some(1), ""),
            "{input:?}"
        );
    }
}

#[test]
fn a_token_that_can_be_guessed_is_hashed_with_a_warning() {
    let desk = Desk::with("");

    for (token, warning) in [
        ("short", "warning: the token is shorter than 16 characters"),
        ("aaaaaaaaaaaaaaaaaaaaaa", "warning: the token is made of 1"),
        ("berry-yOQdC1Vx6eg-gfThnjL5ni5eB", ""),
    ] {
        let hashed = desk.run_with(&["hash-token"], &[], token);

        assert_eq!(hashed.code, Some(0), "{hashed:?}");
        assert!(hashed.stderr.starts_with(warning), "{hashed:?}");
        assert_eq!(hashed.stderr.is_empty(), warning.is_empty(), "{hashed:?}");
    }
}
