//! Findings about providers.

use insta::assert_snapshot;

use super::{PROTOCOLS, config, findings, findings_knowing, source, term};
use crate::Secret;
use crate::config::{Config, MASTER_KEY, MasterKey, Vocabulary};

#[test]
fn a_provider_needs_an_address() {
    let shown = findings(
        r#"
            [providers.openai]
            api_key = "sk-canary-0123456789"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: provider `openai` has no `base_url`
     --> config.toml:1:12
      |
    1 | [providers.openai]
      |            ^^^^^^
      |
      = help: write where it is, such as `base_url = "https://api.openai.com/v1"`

    1 error; configuration not loaded
    "#);
}

#[test]
fn an_address_that_cannot_be_called_is_refused_with_the_reason() {
    let shown = findings(
        r#"
            [providers.a]
            base_url = "api.openai.com/v1"
            [providers.b]
            base_url = "https://user:canary@api.example.com"
            [providers.c]
            base_url = "https://api.example.com?key=canary"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `providers.a.base_url` is not a usable URL: it must begin with `http://` or `https://`
     --> config.toml:2:12
      |
    2 | base_url = "api.openai.com/v1"
      |            ^^^^^^^^^^^^^^^^^^^

    error: `providers.b.base_url` is not a usable URL: it has a user or password in it; use `api_key` or `headers`
     --> config.toml:4:12
      |
    4 | base_url = "https://***********@api.example.com"
      |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    error: `providers.c.base_url` is not a usable URL: it has a query (`?…`) in it
     --> config.toml:6:12
      |
    6 | base_url = "https://api.example.com?***=******"
      |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: leave it out; Azure's `api-version` goes into the provider's headers: `headers = { api-version = "2024-10-21" }`

    3 errors; configuration not loaded
    "#);
}

#[test]
fn an_id_is_a_name() {
    let shown = findings(
        r#"
            [providers."my provider"]
            base_url = "http://localhost:11434"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `my provider` cannot be a provider's id: it contains ' '; white space and control characters are not allowed
     --> config.toml:1:12
      |
    1 | [providers."my provider"]
      |            ^^^^^^^^^^^^^

    1 error; configuration not loaded
    "#);
}

#[test]
fn an_unset_variable_is_an_error_on_an_enabled_provider_only() {
    let shown = findings(
        r#"
            [providers.a]
            base_url = "https://api.example.com"
            api_key = "${EXAMPLE_API_KEY}"
            [providers.b]
            base_url = "https://api.example.com"
            api_key = "${EXAMPLE_API_KEY}"
            enabled = false
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: provider `a` takes its key from the environment variable `EXAMPLE_API_KEY`, which is not set
     --> config.toml:3:11
      |
    3 | api_key = "${EXAMPLE_API_KEY}"
      |           ^^^^^^^^^^^^^^^^^^^^

    1 error; configuration not loaded
    "#);
}

#[test]
fn a_key_that_cannot_be_used_is_refused_without_being_shown() {
    let shown = findings(
        r#"
            [providers.a]
            base_url = "https://api.example.com"
            api_key = "sk-canary 0123456789"
            [providers.b]
            base_url = "https://api.example.com"
            api_key = "enc:v1:canary"
            [providers.c]
            base_url = "https://api.example.com"
            api_key = "Bearer-${OPENAI_API_KEY}"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: the key of provider `a` has white space or characters outside ASCII in it
     --> config.toml:3:11
      |
    3 | api_key = "********* **********"
      |           ^^^^^^^^^^^^^^^^^^^^^^

    error: the key of provider `b` cannot be decrypted: no master key: set `BERRY_MASTER_KEY`, or `BERRY_MASTER_KEY_FILE` to the path of a file with it
     --> config.toml:6:11
      |
    6 | api_key = "*************"
      |           ^^^^^^^^^^^^^^^

    warning: the key of provider `c` is taken literally
     --> config.toml:9:11
      |
    9 | api_key = "************************"
      |           ^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: an environment variable is written `${NAME}`, and is the whole value

    2 errors, 1 warning; configuration not loaded
    "#);
}

#[test]
fn a_missing_key_is_warned_about_on_https_only() {
    let shown = findings(
        r#"
            [providers.remote]
            base_url = "https://api.example.com"
            [providers.local]
            base_url = "http://localhost:11434"
            [providers.headers]
            base_url = "https://api.example.com"
            headers = { Authorization = "Token canary" }
        "#,
    );

    assert_snapshot!(shown, @r"
    warning: provider `remote` has no `api_key`: it is called without one
     --> config.toml:1:12
      |
    1 | [providers.remote]
      |            ^^^^^^

    1 warning
    ");
}

#[test]
fn a_header_must_be_one_that_can_be_sent() {
    let shown = findings(
        r#"
            [providers.local]
            base_url = "http://localhost:11434"

            [providers.local.headers]
            "X Team" = "a"
            X-Team = "canary\u0007"
            Content-Length = "4"
            X-Region = "eu"
            x-region = "us"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `X Team` cannot be the name of a header
     --> config.toml:5:1
      |
    5 | "X Team" = "*"
      | ^^^^^^^^

    error: the value of `x-team` has characters a header cannot have
     --> config.toml:6:10
      |
    6 | X-Team = "************"
      |          ^^^^^^^^^^^^^^

    error: the header `content-length` belongs to the connection
     --> config.toml:7:1
      |
    7 | Content-Length = "*"
      | ^^^^^^^^^^^^^^
      |
      = help: remove it; it is set for every request as it has to be

    error: provider `local` sets the header `x-region` twice
     --> config.toml:9:1
      |
    9 | x-region = "**"
      | ^^^^^^^^

    4 errors; configuration not loaded
    "#);
}

#[test]
fn http2_without_tls_is_not_spoken_over_https() {
    let shown = findings(
        r#"
            [providers.a]
            base_url = "https://api.example.com"
            api_key = "sk-canary-0123456789"
            http_version = "h2c"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: provider `a` is called over https, where `h2c` is not spoken
     --> config.toml:4:16
      |
    4 | http_version = "h2c"
      |                ^^^^^
      |
      = help: with `auto`, HTTP/2 is used wherever TLS negotiates it

    1 error; configuration not loaded
    "#);
}

#[test]
fn an_unknown_protocol_is_guessed_and_a_coming_one_refused() {
    let shown = findings(
        r#"
            [providers.a]
            base_url = "http://localhost:1"
            backend_type = "opneai"
            [providers.b]
            base_url = "http://localhost:1"
            backend_type = "google"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: unknown protocol `opneai`
     --> config.toml:3:16
      |
    3 | backend_type = "opneai"
      |                ^^^^^^^^
      |
      = help: did you mean `openai`?

    error: protocol `gemini` is not available yet
     --> config.toml:6:16
      |
    6 | backend_type = "google"
      |                ^^^^^^^^
      |
      = help: use `openai`, `claude` or `azure`

    2 errors; configuration not loaded
    "#);
}

#[test]
fn azures_hosts_are_refused_while_azures_protocol_is_not_available() {
    let protocols = [term("openai", &[], true), term("azure", &[], false)];

    let shown = findings_knowing(
        &protocols,
        r#"
            [providers.silent]
            base_url = "https://team.openai.azure.com"
            api_key = "sk-canary-0123456789"
            [providers.misled]
            base_url = "https://Team.OpenAI.Azure.com/v1"
            api_key = "sk-canary-0123456789"
            backend_type = "openai"
            [providers.disabled]
            base_url = "https://team.openai.azure.com"
            enabled = false
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: protocol `azure` is not available yet
     --> config.toml:2:12
      |
    2 | base_url = "https://team.openai.azure.com"
      |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: it is what hosts ending in `.openai.azure.com` speak

    error: protocol `azure` is not available yet
     --> config.toml:5:12
      |
    5 | base_url = "https://Team.OpenAI.Azure.com/v1"
      |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: it is what hosts ending in `.openai.azure.com` speak

    2 errors; configuration not loaded
    "#);
}

#[test]
fn a_file_of_certificates_must_be_there_on_an_enabled_provider() {
    let shown = findings(
        r#"
            [providers.a]
            base_url = "http://localhost:1"
            ca_file = "missing.pem"
            [providers.b]
            base_url = "http://localhost:1"
            ca_file = "/"
            [providers.c]
            base_url = "http://localhost:1"
            ca_file = "missing.pem"
            enabled = false
            [providers.d]
            base_url = "http://localhost:1"
            ca_file = ""
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: the `ca_file` of provider `a` cannot be read: there is no such file
     --> config.toml:3:11
      |
    3 | ca_file = "missing.pem"
      |           ^^^^^^^^^^^^^
      |
      = help: a relative path begins at the working directory

    error: the `ca_file` of provider `b` cannot be read: it is not a file
     --> config.toml:6:11
      |
    6 | ca_file = "/"
      |           ^^^

    2 errors; configuration not loaded
    "#);
}

#[test]
fn a_proxy_is_spoken_to_over_http_only() {
    let shown = findings(
        r#"
            [providers.a]
            base_url = "http://localhost:1"
            proxy_url = "https://user:canary@proxy.example.com:3128"
        "#,
    );

    assert_snapshot!(shown, @r#"
    error: `providers.a.proxy_url` is not a usable URL: it must begin with `http://`
     --> config.toml:3:13
      |
    3 | proxy_url = "https://***********@proxy.example.com:3128"
      |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: a proxy is spoken to in clear text; what goes to an https provider is encrypted all the way through it

    1 error; configuration not loaded
    "#);
}

#[test]
fn an_encrypted_key_is_decrypted_for_the_provider_it_was_made_for() {
    let text = MasterKey::generate().unwrap();
    let sealed = MasterKey::parse(text.expose()).unwrap();
    let sealed = sealed.seal("a", &Secret::new("sk-canary")).unwrap();
    let file =
        |id: &str| format!("[providers.{id}]\nbase_url = 'http://localhost'\napi_key = '{sealed}'");
    let parse = |id: &str| {
        let vocabulary = Vocabulary {
            strategies: &[],
            protocols: &PROTOCOLS,
        };
        let environment = |name: &str| (name == MASTER_KEY).then(|| text.expose().to_owned());
        Config::parse(&source(&file(id)), &vocabulary, &environment)
    };

    let config = parse("a").unwrap().config;
    assert_eq!(config.providers[0].api_key, Secret::new("sk-canary"));

    let refused = parse("b").unwrap_err();
    let first = refused.iter().next().unwrap();
    assert_eq!(
        first.message,
        "the key of provider `b` cannot be decrypted: it is damaged, or was encrypted for another \
         provider"
    );
    assert!(
        !refused
            .render(&source(&file("b")), false)
            .contains("enc:v1")
    );
}

#[test]
fn a_key_that_is_a_placeholder_is_warned_about() {
    for key in [
        "your-api-key",
        "sk-XXXXXXXX",
        "put-your-key-here",
        "Change-Me",
        "TODO",
    ] {
        let shown = findings(&format!(
            "[providers.a]\nbase_url = 'http://localhost'\napi_key = '{key}'"
        ));

        assert!(shown.contains("in it, as placeholders have"), "{shown}");
        assert!(!shown.contains(key), "{shown}");
    }
}

#[test]
fn a_header_is_taken_from_the_environment_as_a_key_is() {
    let file = |value: &str, enabled: bool| {
        format!(
            "[providers.a]\nbase_url = 'http://a'\nenabled = {enabled}\nheaders = {{ X-Key = '{value}' }}"
        )
    };

    let config = config(&file("${OPENAI_API_KEY}", true));
    let header = config.providers[0].headers.get("x-key").unwrap();
    assert_eq!(header, "sk-from-the-environment");
    assert!(header.is_sensitive());
    assert_eq!(findings(&file("${ABSENT}", false)), "");

    for (value, expected) in [
        (
            "${ABSENT}",
            "error: provider `a` takes its header `x-key` from the environment variable `ABSENT`, \
             which is not set",
        ),
        (
            "enc:v1:canary",
            "error: the header `x-key` of provider `a` is encrypted, which only an `api_key` can be",
        ),
        (
            "Bearer ${ABSENT}",
            "warning: the header `x-key` of provider `a` is taken literally",
        ),
    ] {
        let shown = findings(&file(value, true));
        assert!(shown.starts_with(expected), "{shown}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}
