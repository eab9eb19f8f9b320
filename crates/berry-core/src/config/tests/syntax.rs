//! Text that is not TOML: what is said about it, and what is still judged.

use insta::assert_snapshot;

use super::{all_findings, findings};

#[test]
fn a_broken_line_does_not_hide_what_is_wrong_elsewhere() {
    let shown = findings(
        r#"
            [settings]
            max_retries =
            max_internal_retry = 1
            [providers.local]
            base_url = "http://localhost:11434
            enabeld = true
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: a value is missing
     --> config.toml:2:14
      |
    2 | max_retries =
      |              ^

    error: unknown key `max_internal_retry` in `settings`
     --> config.toml:3:1
      |
    3 | max_internal_retry = 1
      | ^^^^^^^^^^^^^^^^^^
      |
      = help: did you mean `max_internal_retries`?

    error: the closing quote `"` is missing
     --> config.toml:5:35
      |
    5 | base_url = "**********************
      |                                   ^

    error: unknown key `enabeld` in `providers.local`
     --> config.toml:6:1
      |
    6 | enabeld = true
      | ^^^^^^^
      |
      = help: did you mean `enabled`?

    4 errors; configuration not loaded
    "#);
}

#[test]
fn what_a_broken_line_may_have_is_not_missed() {
    let shown = all_findings("models = { m = { name = 'm }\nusers = { u = { token = 'x } }\n");

    assert!(shown.contains("error:"), "{shown}");
    assert!(!shown.contains("are configured"), "{shown}");
}

#[test]
fn every_class_of_mistake_is_found_in_one_pass() {
    let shown = findings(
        r#"
            [settings]
            max_retrys = 3
            [providers.local]
            base_url = "http://localhost:11434"
            timeout_seconds = "slow"
            [models.llama]
            name = "llama"
            [[models.llama.backends]]
            provider = "lokal"
            model = "llama3"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: unknown key `max_retrys` in `settings`
     --> config.toml:2:1
      |
    2 | max_retrys = 3
      | ^^^^^^^^^^
      |
      = help: did you mean `max_retries`?

    error: `providers.local.timeout_seconds` must be a whole number of seconds from 1 to 3600, not a string
     --> config.toml:5:19
      |
    5 | timeout_seconds = "slow"
      |                   ^^^^^^

    error: model `llama` uses provider `lokal`, which is not defined
     --> config.toml:9:12
      |
    9 | provider = "lokal"
      |            ^^^^^^^
      |
      = help: did you mean `local`?

    3 errors; configuration not loaded
    "#);
}

#[test]
fn a_key_that_is_written_twice_is_named() {
    let shown = findings(
        r"
            [settings]
            max_retries = 1
            max_retries = 2
        ",
    );

    assert_snapshot!(shown, @r"
    error: `max_retries` is defined twice
     --> config.toml:3:1
      |
    3 | max_retries = 2
      | ^^^^^^^^^^^
      |
      = help: it is there on line 2 already

    1 error; configuration not loaded
    ");
}

#[test]
fn after_an_unclosed_array_nothing_is_called_missing() {
    let shown = findings(
        r#"
            [providers.local]
            base_url = "http://localhost:11434"
            models = ["llama3", "phi3"
            [models.llama]
            name = "llama"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: a comma is missing before this
     --> config.toml:4:1
      |
    4 | [models.*****]
      | ^

    error: a comma is missing before this
     --> config.toml:5:1
      |
    5 | name = "*****"
      | ^

    warning: only the syntax of the file was checked
    --> config.toml:1:1
     = help: a quote or bracket may be missing on a line before the first error

    2 errors, 1 warning; configuration not loaded
    "#);
}

#[test]
fn a_key_on_a_broken_line_is_not_shown() {
    let shown = findings(
        r#"
            [providers.a]
            base_url = "https://api.example.com"
            api_key = sk-canary-0123456789
            [providers.b]
            base_url = "https://api.example.com"
            api_key = "sk-canary-0123456789
            [users.u]
            token = "canary-0123456789""
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: string values must be quoted
     --> config.toml:3:11
      |
    3 | api_key = ********************
      |           ^^^^^^^^^^^^^^^^^^^^
      |
      = help: write it between two `"`

    error: the closing quote `"` is missing
     --> config.toml:6:32
      |
    6 | api_key = "********************
      |                                ^

    error: something follows the value on its line
     --> config.toml:8:28
      |
    8 | token = "*****************""
      |                            ^
      |
      = help: look for a quote too many, or two keys on one line

    3 errors; configuration not loaded
    "#);
}

#[test]
fn a_header_without_its_bracket_is_one_mistake() {
    let shown = findings(
        r"
            [settings
            max_retries = 2
        ",
    );

    assert_snapshot!(shown, @r"
    error: the closing `]` is missing
     --> config.toml:1:10
      |
    1 | [settings
      |          ^

    warning: only the syntax of the file was checked
    --> config.toml:1:1
     = help: a quote or bracket may be missing on a line before the first error

    1 error, 1 warning; configuration not loaded
    ");
}

#[test]
fn nothing_of_a_broken_line_is_shown_that_may_be_secret() {
    let broken = [
        "[users.me] token = \"sk-LEAK\"",
        "[providers.a]\nbase_url = \"https://a/v1\", api_key = \"sk-LEAK\"",
        "[providers.a]\nbase_url = \"https://a/v1\"; api_key = \"sk-LEAK\"",
        "[providers.a]\nbase_url = \"https://a/v1\"api_key = \"sk-LEAK\"",
        "[providers.a]\nbase_url = \"https://a/v1\" api_key = sk-LEAK",
        "[users.u]\nenabled = true token = \"sk-LEAK\"",
        "[users.u]\nenabled = true, token = \"sk-LEAK",
        "[users.u]\ntoken = \"\nsk-LEAK\"",
        "[users.u]\ntoken =\n\"sk-LEAK\"",
        "[providers.a]\napi_key = \"sk-ab\nLEAK\"",
        "[providers.a]\napi_key = \"sk-ab\nLEAK=\"\nLEAK=\"",
        "[settings]\nsk-LEAK",
        "[settings]\nmax_retries = bad # sk-LEAK",
        "models = [\"a\" \"sk-LEAK\"",
        "[users.u]\ntoken = “sk-LEAK”",
    ];

    for text in broken {
        let shown = all_findings(text);

        assert!(shown.contains("error: "), "{text}: {shown}");
        assert!(!shown.contains("LEAK"), "{shown}");
    }
}

#[test]
fn a_broken_number_is_shown_of_a_setting_and_not_of_a_secret() {
    let shown = findings("[settings]\nmax_retries = 03\n[users.u]\ntoken = 0123456789\n");

    assert!(shown.contains("max_retries = 03\n"), "{shown}");
    assert!(shown.contains("token = **********\n"), "{shown}");
}
