//! Findings about users.

use insta::assert_snapshot;

use super::{all_findings, config, findings};
use crate::auth::TokenDigest;

#[test]
fn an_empty_file_is_valid_with_warnings() {
    let shown = all_findings("");

    assert_snapshot!(shown, @r"
    warning: no models are configured: every request is refused
    --> config.toml:1:1
     = help: add a table `[models.<key>]`

    warning: no users are configured: every request is refused
    --> config.toml:1:1
     = help: add a table `[users.<id>]` with a `token`

    2 warnings
    ");
}

#[test]
fn a_user_needs_exactly_one_token() {
    let shown = findings(
        r#"
            [users.none]
            [users.both]
            token = "0123456789abcdef"
            token_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
            [users.short]
            token_sha256 = "9f86d081"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: user `none` has no `token`
     --> config.toml:1:8
      |
    1 | [users.none]
      |        ^^^^
      |
      = help: write a `token`, or its digest as `token_sha256`

    error: user `both` has both `token` and `token_sha256`
     --> config.toml:4:16
      |
    4 | token_sha256 = "****************************************************************"
      |                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    error: `token_sha256` of user `short` is not 64 hexadecimal digits
     --> config.toml:6:16
      |
    6 | token_sha256 = "********"
      |                ^^^^^^^^^^
      |
      = help: print it with `printf %s TOKEN | sha256sum`

    3 errors; configuration not loaded
    "#);
}

#[test]
fn a_token_must_be_one_a_header_can_carry() {
    let shown = findings(
        r#"
            [users.empty]
            token = ""
            [users.spaced]
            token = "canary 0123456789"
            [users.number]
            token = 123456
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: the token of user `empty` is empty
     --> config.toml:2:9
      |
    2 | token = ""
      |         ^^

    error: the token of user `spaced` has white space or characters outside ASCII in it
     --> config.toml:4:9
      |
    4 | token = "****** **********"
      |         ^^^^^^^^^^^^^^^^^^^

    error: `users.number.token` must be a string, not a number
     --> config.toml:6:9
      |
    6 | token = ******
      |         ^^^^^^
      |
      = help: write it in quotes

    3 errors; configuration not loaded
    "#);
}

#[test]
fn a_short_token_is_warned_about_without_being_shown() {
    let shown = findings(
        r#"
            [users.alice]
            token = "canary"
        "#,
    );

    assert_snapshot!(shown, @r#"
    warning: the token of user `alice` is shorter than 16 characters
     --> config.toml:2:9
      |
    2 | token = "******"
      |         ^^^^^^^^
      |
      = help: use a long random one, such as `berry-cli generate-token` prints

    1 warning
    "#);
}

#[test]
fn two_users_do_not_share_a_token() {
    let shown = findings(
        r#"
            [users.alice]
            token = "canary-0123456789"
            [users.bob]
            token = "canary-0123456789"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: users `alice` and `bob` have the same token
     --> config.toml:4:9
      |
    4 | token = "*****************"
      |         ^^^^^^^^^^^^^^^^^^^

    1 error; configuration not loaded
    "#);
}

#[test]
fn a_token_and_its_digest_are_the_same_token() {
    let shown = findings(
        r#"
            [users.alice]
            token_sha256 = "14a2d55a1196d0f318f7b226b99e36b8ecce3ce82c274dc865cda044ed4489ff"
            [users.bob]
            token = "canary-0123456789"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: users `alice` and `bob` have the same token
     --> config.toml:4:9
      |
    4 | token = "*****************"
      |         ^^^^^^^^^^^^^^^^^^^

    1 error; configuration not loaded
    "#);
}

#[test]
fn an_allowed_model_that_does_not_exist_is_warned_about() {
    let shown = findings(
        r#"
            [models.llama]
            name = "llama-3"
            enabled = false
            [users.alice]
            token = "canary-0123456789"
            allowed_models = ["llama", "llama-3", "lama-3", "gpt-4o"]
        "#,
    );

    assert_snapshot!(shown, @r#"
    warning: user `alice` is allowed `lama-3`, which is not a model
     --> config.toml:6:39
      |
    6 | allowed_models = ["llama", "llama-3", "lama-3", "gpt-4o"]
      |                                       ^^^^^^^^
      |
      = help: did you mean `llama-3`?

    warning: user `alice` is allowed `gpt-4o`, which is not a model
     --> config.toml:6:49
      |
    6 | allowed_models = ["llama", "llama-3", "lama-3", "gpt-4o"]
      |                                                 ^^^^^^^^
      |
      = help: expected `llama` or `llama-3`

    2 warnings
    "#);
}

#[test]
fn a_longer_time_allows_no_fewer_requests() {
    let shown = findings(
        r#"
            [users.alice]
            token = "canary-0123456789"
            [users.alice.rate_limit]
            requests_per_minute = 60
            requests_per_day = 50
            tokens_per_minute = 0
        "#,
    );

    assert_snapshot!(shown, @r"
    error: `requests_per_day` 50 is less than `requests_per_minute` 60
     --> config.toml:5:20
      |
    5 | requests_per_day = 50
      |                    ^^

    error: `users.alice.rate_limit.tokens_per_minute` must be a whole number from 1 to 4294967295, not `0`
     --> config.toml:6:21
      |
    6 | tokens_per_minute = 0
      |                     ^
      |
      = help: without the key there is no limit

    2 errors; configuration not loaded
    ");
}

#[test]
fn an_id_is_a_name() {
    let shown = findings(
        r#"
            [users."alice b"]
            token = "canary-0123456789"
            tags = ["", "a b"]
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `alice b` cannot be a user's id: it contains ' '; white space and control characters are not allowed
     --> config.toml:1:8
      |
    1 | [users."alice b"]
      |        ^^^^^^^^^

    error: `users."alice b".tags[0]` is not a tag: it is empty
     --> config.toml:3:9
      |
    3 | tags = ["", "a b"]
      |         ^^

    error: `users."alice b".tags[1]` is not a tag: it contains ' '; white space and control characters are not allowed
     --> config.toml:3:13
      |
    3 | tags = ["", "a b"]
      |             ^^^^^

    3 errors; configuration not loaded
    "#);
}

#[test]
fn a_token_that_is_a_pattern_is_warned_about() {
    let shown = findings("[users.ada]\ntoken = '12121212121212121212'");

    assert!(
        shown.contains("the token of user `ada` is made of 2 characters only"),
        "{shown}"
    );
}

#[test]
fn a_token_is_taken_from_the_environment_as_a_key_is() {
    let file =
        |token: &str, enabled: bool| format!("[users.ada]\nenabled = {enabled}\ntoken = '{token}'");

    let ada = &config(&file("${OPENAI_API_KEY}", true)).users[0];
    assert_eq!(ada.token, TokenDigest::of("sk-from-the-environment"));
    assert_eq!(findings(&file("${ABSENT}", false)), "");

    for (token, expected) in [
        (
            "${ABSENT}",
            "error: user `ada` takes its token from the environment variable `ABSENT`, which is \
             not set",
        ),
        (
            "enc:v1:canary",
            "error: the token of user `ada` is encrypted, which only an `api_key` can be",
        ),
        (
            "of-${ABSENT}-0123456789",
            "warning: the token of user `ada` is taken literally",
        ),
    ] {
        let shown = findings(&file(token, true));
        assert!(shown.starts_with(expected), "{shown}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[test]
fn a_token_that_anybody_would_try_is_warned_about() {
    for (token, why) in [
        ("1234567890123456", "is a sequence that anybody would try"),
        ("ABCDEFGHIJKLMNOP", "is a sequence that anybody would try"),
        ("ChangeMe-0123456789", "has `changeme` in it"),
        ("Replace-Me-admin-token", "has `replace-me` in it"),
        ("TODO", "has `todo` in it"),
    ] {
        let shown = findings(&format!("[users.ada]\ntoken = '{token}'"));

        assert!(
            shown.contains(&format!("the token of user `ada` {why}")),
            "{shown}"
        );
        assert!(!shown.contains(token), "{shown}");
    }
}
