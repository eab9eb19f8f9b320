//! Findings about models and their backends.

use insta::assert_snapshot;

use super::findings;

#[test]
fn a_model_without_anything_is_told_what_it_needs() {
    let shown = findings(
        r"
            [models.llama]
        ",
    );

    assert_snapshot!(shown, @r#"
    error: model `llama` has no `name`
     --> config.toml:1:9
      |
    1 | [models.llama]
      |         ^^^^^
      |
      = help: write its public name, such as `name = "llama"`

    error: model `llama` has no backends
     --> config.toml:1:9
      |
    1 | [models.llama]
      |         ^^^^^
      |
      = help: add a `[[models.llama.backends]]`, or set `enabled = false`

    2 errors; configuration not loaded
    "#);
}

#[test]
fn a_model_needs_an_enabled_backend() {
    let shown = findings(
        r#"
            [providers.local]
            base_url = "http://localhost:11434"
            models = ["llama3", "phi3"]

            [models.llama]
            name = "llama"
            [[models.llama.backends]]
            provider = "local"
            model = "llama3"
            enabled = false
        "#,
    );

    assert_snapshot!(shown, @r"
    error: every backend of model `llama` is disabled
     --> config.toml:5:9
      |
    5 | [models.llama]
      |         ^^^^^
      |
      = help: enable one, or disable the model: `enabled = false` below `[models.llama]`

    1 error; configuration not loaded
    ");
}

#[test]
fn a_backend_names_a_provider_and_a_model() {
    let shown = findings(
        r#"
            [providers.local]
            base_url = "http://localhost:11434"
            models = ["llama3", "phi3"]

            [models.llama]
            name = "llama"
            [[models.llama.backends]]
            weight = 2
        "#,
    );

    assert_snapshot!(shown, @r"
    error: a backend of model `llama` has no `provider`
     --> config.toml:7:1
      |
    7 | [[models.llama.backends]]
      | ^^^^^^^^^^^^^^^^^^^^^^^^^

    error: a backend of model `llama` has no `model`
     --> config.toml:7:1
      |
    7 | [[models.llama.backends]]
      | ^^^^^^^^^^^^^^^^^^^^^^^^^

    2 errors; configuration not loaded
    ");
}

#[test]
fn an_unknown_provider_is_guessed() {
    let shown = findings(
        r#"
            [providers.local]
            base_url = "http://localhost:11434"
            models = ["llama3", "phi3"]

            [models.llama]
            name = "llama"
            [[models.llama.backends]]
            provider = "loacl"
            model = "llama3"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: model `llama` uses provider `loacl`, which is not defined
     --> config.toml:8:12
      |
    8 | provider = "loacl"
      |            ^^^^^^^
      |
      = help: did you mean `local`?

    1 error; configuration not loaded
    "#);
}

#[test]
fn a_faulty_provider_is_not_called_unknown() {
    let shown = findings(
        r#"
            [providers.local]
            base_url = "localhost"
            [models.llama]
            name = "llama"
            [[models.llama.backends]]
            provider = "local"
            model = "llama3"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `providers.local.base_url` is not a usable URL: it must begin with `http://` or `https://`
     --> config.toml:2:12
      |
    2 | base_url = "localhost"
      |            ^^^^^^^^^^^

    1 error; configuration not loaded
    "#);
}

#[test]
fn a_model_the_provider_does_not_offer_is_guessed() {
    let shown = findings(
        r#"
            [providers.local]
            base_url = "http://localhost:11434"
            models = ["llama3", "phi3"]

            [models.llama]
            name = "llama"
            [[models.llama.backends]]
            provider = "local"
            model = "lama3"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: model `lama3` is not in the `models` of provider `local`
     --> config.toml:9:9
      |
    9 | model = "lama3"
      |         ^^^^^^^
      |
      = help: did you mean `llama3`?

    1 error; configuration not loaded
    "#);
}

#[test]
fn the_same_backend_twice_is_an_error() {
    let shown = findings(
        r#"
            [providers.local]
            base_url = "http://localhost:11434"
            models = ["llama3", "phi3"]

            [models.llama]
            name = "llama"
            [[models.llama.backends]]
            provider = "local"
            model = "llama3"
            [[models.llama.backends]]
            provider = "local"
            model = "llama3"
            weight = 2
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: model `llama` has the backend `local:llama3` twice
      --> config.toml:12:9
       |
    12 | model = "llama3"
       |         ^^^^^^^^

    1 error; configuration not loaded
    "#);
}

#[test]
fn a_weight_is_above_zero_and_at_most_a_hundred() {
    let shown = findings(
        r#"
            [providers.local]
            base_url = "http://localhost:11434"
            models = ["llama3", "phi3"]

            [models.llama]
            name = "llama"
            [[models.llama.backends]]
            provider = "local"
            model = "llama3"
            weight = 0
            priority = 256
            [[models.llama.backends]]
            provider = "local"
            model = "phi3"
            weight = nan
            input_price = -1
        "#,
    );

    assert_snapshot!(shown, @r"
    error: `models.llama.backends[0].weight` must be a number greater than 0 and at most 100, not `0`
      --> config.toml:10:10
       |
    10 | weight = 0
       |          ^
       |
       = help: to give it no requests, write `enabled = false`

    error: `models.llama.backends[0].priority` must be a whole number from 0 to 255, not `256`
      --> config.toml:11:12
       |
    11 | priority = 256
       |            ^^^

    error: `models.llama.backends[1].weight` must be a number greater than 0 and at most 100, not `nan`
      --> config.toml:15:10
       |
    15 | weight = nan
       |          ^^^

    error: `models.llama.backends[1].input_price` must be a price in US dollars from 0 to 1000000, not `-1`
      --> config.toml:16:15
       |
    16 | input_price = -1
       |               ^^

    4 errors; configuration not loaded
    ");
}

#[test]
fn an_unknown_strategy_is_guessed_and_a_coming_one_refused() {
    let shown = findings(
        r#"
            [providers.local]
            base_url = "http://localhost:11434"
            models = ["llama3", "phi3"]

            [models.a]
            name = "a1"
            strategy = "round-robin"
            [[models.a.backends]]
            provider = "local"
            model = "llama3"
            [models.b]
            name = "b1"
            strategy = "SmartAi"
            [[models.b.backends]]
            provider = "local"
            model = "llama3"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: unknown strategy `round-robin`
     --> config.toml:7:12
      |
    7 | strategy = "round-robin"
      |            ^^^^^^^^^^^^^
      |
      = help: did you mean `round_robin`?

    error: strategy `smart_ai` is not available yet
      --> config.toml:13:12
       |
    13 | strategy = "SmartAi"
       |            ^^^^^^^^^
       |
       = help: use `weighted_failover`, `failover` or `round_robin`

    2 errors; configuration not loaded
    "#);
}

#[test]
fn a_public_name_belongs_to_one_model() {
    let shown = findings(
        r#"
            [providers.local]
            base_url = "http://localhost:11434"
            models = ["llama3", "phi3"]

            [models.a]
            name = "llama"
            [[models.a.backends]]
            provider = "local"
            model = "llama3"
            [models.b]
            name = "llama"
            [[models.b.backends]]
            provider = "local"
            model = "llama3"
            [models.c]
            name = "a"
            [[models.c.backends]]
            provider = "local"
            model = "llama3"
            [models.d]
            name = "llama"
            enabled = false
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: models `a` and `b` have the same name `llama`
      --> config.toml:11:8
       |
    11 | name = "llama"
       |        ^^^^^^^

    error: model `c` has the name `a`, which is another model's key
      --> config.toml:16:8
       |
    16 | name = "a"
       |        ^^^

    2 errors; configuration not loaded
    "#);
}

#[test]
fn a_backend_of_a_disabled_provider_is_warned_about() {
    let shown = findings(
        r#"
            [providers.local]
            base_url = "http://localhost:11434"
            enabled = false
            [models.llama]
            name = "llama"
            [[models.llama.backends]]
            provider = "local"
            model = "llama3"
        "#,
    );

    assert_snapshot!(shown, @r#"
    warning: model `llama` uses provider `local`, which is disabled
     --> config.toml:7:12
      |
    7 | provider = "local"
      |            ^^^^^^^

    1 warning
    "#);
}

#[test]
fn a_name_has_no_white_space() {
    let shown = findings(
        r#"
            [models.llama]
            name = "llama 3"
            enabled = false
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `models.llama.name` is not a model's name: it contains ' '; white space and control characters are not allowed
     --> config.toml:2:8
      |
    2 | name = "llama 3"
      |        ^^^^^^^^^

    1 error; configuration not loaded
    "#);
}
