//! Values and characters that are not what they look like, or what other languages would have.

use insta::assert_snapshot;

use super::findings;

#[test]
fn typographic_quotes_are_named() {
    let shown = findings(
        r#"
            [providers.a]
            base_url = “https://api.example.com/v1”
            api_key = “sk-canary-0123456789”
            [providers.b]
            base_url = "https://api.example.com/v1”
            name = ‘b’
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `“` (U+201C) is not the `"` that it looks like
     --> config.toml:2:12
      |
    2 | base_url = “*****:*****.*******.******”
      |            ^
      |
      = help: write a plain `"`

    error: `“` (U+201C) is not the `"` that it looks like
     --> config.toml:3:11
      |
    3 | api_key = **************************
      |           ^^^
      |
      = help: write a plain `"`

    warning: provider `b` has no `api_key`: it is called without one
     --> config.toml:4:12
      |
    4 | [providers.b]
      |            ^

    error: `”` (U+201D) is not the `"` that it looks like
     --> config.toml:5:39
      |
    5 | base_url = "*****************************
      |                                       ^^^
      |
      = help: write a plain `"`

    error: `‘` (U+2018) is not the `'` that it looks like
     --> config.toml:6:8
      |
    6 | name = ‘*’
      |        ^
      |
      = help: write a plain `'`

    4 errors, 1 warning; configuration not loaded
    "#);
}

#[test]
fn wide_punctuation_is_named() {
    let shown = findings(
        r#"
            [settings]
            max_retries ＝ 1
            trusted_proxies = ["10.0.0.1"，"10.0.0.2"]
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `＝` (U+FF1D) is not the `=` that it looks like
     --> config.toml:2:13
      |
    2 | max_retries ＝ *
      |             ^^
      |
      = help: write a plain `=`

    error: `，` (U+FF0C) is not the `,` that it looks like
     --> config.toml:3:30
      |
    3 | trusted_proxies = ["********"，"********"]
      |                              ^^
      |
      = help: write a plain `,`

    2 errors; configuration not loaded
    "#);
}

#[test]
fn a_header_in_other_brackets_leaves_its_keys_unjudged() {
    let shown = findings("【settings】\nmax_retries = 1\n");

    assert_snapshot!(shown, @r"
    error: `【` (U+3010) is not the `[` that it looks like
     --> config.toml:1:1
      |
    1 | 【settings】
      | ^^
      |
      = help: write a plain `[`

    warning: only the syntax of the file was checked
    --> config.toml:1:1
     = help: a quote or bracket may be missing on a line before the first error

    1 error, 1 warning; configuration not loaded
    ");
}

#[test]
fn spaces_that_are_none_are_named() {
    let shown = findings("[settings]\n\u{a0}max_retries = 1\nmax_internal_retries\u{3000}= 2\n");

    assert_snapshot!(shown, @r"
    error: there is an invisible character here, U+00A0
     --> config.toml:2:1
      |
    2 |  max_retries = 1
      | ^
      |
      = help: replace it with an ordinary space, or leave it out

    error: there is an invisible character here, U+3000
     --> config.toml:3:21
      |
    3 | max_internal_retries　= 2
      |                     ^^
      |
      = help: replace it with an ordinary space, or leave it out

    2 errors; configuration not loaded
    ");
}

#[test]
fn a_second_table_of_the_same_name_is_one_mistake() {
    let shown = findings(
        r#"
            [providers.a]
            base_url = "http://a"
            [models.m]
            name = "m"
            [models.m.backends]
            provider = "a"
            model = "x"
            [models.m.backends]
            provider = "a"
            model = "y"
            [providers.a]
            base_url = "http://b"
        "#,
    );

    assert_snapshot!(shown, @r"
    error: `backends` is defined twice
     --> config.toml:8:11
      |
    8 | [models.*.backends]
      |           ^^^^^^^^
      |
      = help: for several, begin each with two brackets: `[[models.m.backends]]`

    error: `a` is defined twice
      --> config.toml:11:12
       |
    11 | [providers.*]
       |            ^
       |
       = help: it is there on line 1 already

    warning: only the syntax of the file was checked
    --> config.toml:1:1
     = help: the rest is checked when each table is there once

    2 errors, 1 warning; configuration not loaded
    ");
}

#[test]
fn a_text_where_a_list_is_expected_is_put_in_brackets() {
    let shown = findings(
        r#"
            [users.u]
            token = "0123456789abcdef"
            allowed_models = "fast"
            tags = "admin"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `users.u.allowed_models` must be an array, each element a string, not a string
     --> config.toml:3:18
      |
    3 | allowed_models = "fast"
      |                  ^^^^^^
      |
      = help: write it in brackets: `["fast"]`

    error: `users.u.tags` must be an array, each element a tag, not a string
     --> config.toml:4:8
      |
    4 | tags = "admin"
      |        ^^^^^^^
      |
      = help: write it in brackets: `["admin"]`

    2 errors; configuration not loaded
    "#);
}

#[test]
fn a_number_where_a_text_is_expected_is_put_in_quotes() {
    let shown = findings(
        r#"
            [providers.a]
            base_url = "http://a"
            name = 4
            api_key = 1234567890
        "#,
    );

    assert_snapshot!(shown, @r"
    error: `providers.a.name` must be a string, not `4`
     --> config.toml:3:8
      |
    3 | name = 4
      |        ^
      |
      = help: write it in quotes

    error: `providers.a.api_key` must be a string, not a number
     --> config.toml:4:11
      |
    4 | api_key = **********
      |           ^^^^^^^^^^
      |
      = help: write it in quotes

    2 errors; configuration not loaded
    ");
}

#[test]
fn a_number_that_no_count_can_reach_is_told_the_largest() {
    let shown = findings(
        r#"
            [users.u]
            token = "0123456789abcdef"
            rate_limit = { tokens_per_minute = 5000000000 }
        "#,
    );

    assert_snapshot!(shown, @r"
    error: `users.u.rate_limit.tokens_per_minute` must be a whole number from 1 to 4294967295, not `5000000000`
     --> config.toml:3:36
      |
    3 | rate_limit = { tokens_per_minute = 5000000000 }
      |                                    ^^^^^^^^^^

    1 error; configuration not loaded
    ");
}

#[test]
fn what_other_languages_allow_is_said_in_toml() {
    let shown = findings(
        r#"
            [settings]
            max_retries: 3
            max_internal_retries = 03
            connect_timeout_seconds = 5s
            public_details = True
            audit_log = "C:\logs\audit.jsonl"
            [providers.a]
            base_url = https://api.example.com/v1
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: key with no value
     --> config.toml:2:14
      |
    2 | max_retries: *
      |              ^
      |
      = help: write `=` in place of `:`

    error: a number cannot begin with `0`
     --> config.toml:3:24
      |
    3 | max_internal_retries = 03
      |                        ^

    error: a number stands alone
     --> config.toml:4:27
      |
    4 | connect_timeout_seconds = **
      |                           ^^
      |
      = help: leave its unit out

    error: this is neither `true` nor `false`
     --> config.toml:5:18
      |
    5 | public_details = ****
      |                  ^^^^
      |
      = help: they are written so, in lower case and without quotes

    error: `\` begins an escape in a string in `"`
     --> config.toml:6:17
      |
    6 | audit_log = "*******************"
      |                 ^
      |
      = help: write `\\` for a backslash, or the string between two `'`

    warning: provider `a` has no `api_key`: it is called without one
     --> config.toml:7:12
      |
    7 | [providers.a]
      |            ^

    error: string values must be quoted
     --> config.toml:8:12
      |
    8 | base_url = *****:*****.*******.******
      |            ^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write it between two `"`

    6 errors, 1 warning; configuration not loaded
    "#);
}

#[test]
fn a_key_without_a_value_hides_nothing_that_follows() {
    let shown = findings(
        r#"
            [providers.a]
            base_url: "http://a"
            api_key: "sk-canary-0123456789"
            max_retries = 99
            [settings]
            max_retries 3
            max_internal_retry = 1
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: key with no value
     --> config.toml:2:11
      |
    2 | base_url: "********"
      |           ^
      |
      = help: write `=` in place of `:`

    error: key with no value
     --> config.toml:3:10
      |
    3 | api_key: "********************"
      |          ^
      |
      = help: write `=` in place of `:`

    error: `providers.a.max_retries` must be a whole number from 0 to 10, not `99`
     --> config.toml:4:15
      |
    4 | max_retries = 99
      |               ^^

    error: key with no value
     --> config.toml:6:13
      |
    6 | max_retries *
      |             ^
      |
      = help: expected `=`

    error: unknown key `max_internal_retry` in `settings`
     --> config.toml:7:1
      |
    7 | max_internal_retry = 1
      | ^^^^^^^^^^^^^^^^^^
      |
      = help: did you mean `max_internal_retries`?

    5 errors; configuration not loaded
    "#);
}
