//! Keys and tokens that are none, or are not written as they should be.

use std::fmt::Write;

use insta::assert_snapshot;

use super::{all_findings, told};

/// Returns what is told about a provider's key and a user's token, each after its value.
fn told_about(file: impl Fn(&str) -> String, values: &[&str]) -> String {
    let mut page = String::new();
    for value in values {
        let shown = all_findings(&file(value));
        let told = told(&shown);
        writeln!(page, "{value}\n{told}\n").unwrap();
    }
    page
}

fn with_key(key: &str) -> String {
    format!(
        "[providers.a]\nbase_url = \"https://a.example\"\napi_key = \"{key}\"\n\
         [models.m]\nname = \"m\"\nbackends = [{{ provider = \"a\", model = \"x\" }}]\n\
         [users.u]\ntoken = \"k3J9s8dQ2m7Zx1vB4n6p\"\n"
    )
}

fn with_token(token: &str) -> String {
    with_key("sk-8f3kq0smw7x2hd61").replace("k3J9s8dQ2m7Zx1vB4n6p", token)
}

#[test]
fn a_secret_in_the_place_of_a_name_is_not_shown() {
    for line in [
        "headers = { \"Authorization: Bearer sk-LEAK\" = \"x\" }",
        "headers = { \"X-Key:LEAK\" = 1 }",
        "\"api_key=sk-LEAK\" = 1",
        "\"api_key=\\\"LEAK\\\"\" = { x = 1 }",
        "sk-LEAK-12 = 1",
        "[users.\"Ada sk-LEAK\"]",
        "[users.u]\n\"token: LEAK\" = 1",
        "[providers.\"api_key=LEAK\".b]\nbase_url = 1",
        "[models.LEAK45678901234567890]",
    ] {
        let text = format!("[providers.a]\nbase_url = \"https://a.example\"\n{line}\n");

        let shown = all_findings(&text);

        assert!(shown.contains("***"), "{line}: {shown}");
        assert!(!shown.contains("LEAK"), "{shown}");
    }
}

#[test]
fn a_key_that_stands_for_another_is_not_taken_in_silence() {
    let told = told_about(
        with_key,
        &[
            "$OPENAI_API_KEY",
            "OPENAI_API_KEY",
            "%OPENAI_API_KEY%",
            "env:OPENAI_API_KEY",
            "os.environ/OPENAI_API_KEY",
            "{{ OPENAI_API_KEY }}",
            "{{OPENAI_API_KEY}}",
            "${OPENAI_API_KEY:-none}",
            "sk-...",
            "<your-key>",
            "test",
            "Bearer sk-8f3kq0smw7x2hd61",
            "Bearer ${OPENAI_API_KEY}",
            "sk-8f3kq0smw7x2hd61\\n",
            " sk-8f3kq0smw7x2hd61",
            "sk-8f3k q0smw7x2hd61",
            "enc:v2:AAAA:BBBB",
            "ENC:v1:AAAA:BBBB",
        ],
    );

    assert_snapshot!(told, @r"
    $OPENAI_API_KEY
    warning: the key of provider `a` is taken literally
    = help: an environment variable is written `${NAME}`, and is the whole value

    OPENAI_API_KEY
    warning: the key of provider `a` looks like the name of an environment variable
    = help: write the real one, or `${NAME}` for the value of a variable

    %OPENAI_API_KEY%
    warning: the key of provider `a` is taken literally
    = help: an environment variable is written `${NAME}`, and is the whole value

    env:OPENAI_API_KEY
    warning: the key of provider `a` is taken literally
    = help: an environment variable is written `${NAME}`, and is the whole value

    os.environ/OPENAI_API_KEY
    warning: the key of provider `a` is taken literally
    = help: an environment variable is written `${NAME}`, and is the whole value

    {{ OPENAI_API_KEY }}
    error: the key of provider `a` has white space or characters outside ASCII in it
    = help: an environment variable is written `${NAME}`, and is the whole value

    {{OPENAI_API_KEY}}
    warning: the key of provider `a` is taken literally
    = help: an environment variable is written `${NAME}`, and is the whole value

    ${OPENAI_API_KEY:-none}
    warning: the key of provider `a` is taken literally
    = help: an environment variable is written `${NAME}`, and is the whole value

    sk-...
    warning: the key of provider `a` has `...` in it, as placeholders have
    = help: write the real one, or `${NAME}` for the value of a variable

    <your-key>
    warning: the key of provider `a` has `your-` in it, as placeholders have
    = help: write the real one, or `${NAME}` for the value of a variable

    test
    warning: the key of provider `a` is shorter than keys are
    = help: write the key that the provider has given you, or `${NAME}` for a variable's value

    Bearer sk-8f3kq0smw7x2hd61
    error: the key of provider `a` has `Bearer` before it
    = help: leave it out: only requests have it, and there it is added

    Bearer ${OPENAI_API_KEY}
    error: the key of provider `a` has `Bearer` before it
    = help: leave it out: only requests have it, and there it is added

    sk-8f3kq0smw7x2hd61\n
    error: the key of provider `a` has white space or a line break around it
    = help: leave out what is before and after it

     sk-8f3kq0smw7x2hd61
    error: the key of provider `a` has white space or a line break around it
    = help: leave out what is before and after it

    sk-8f3k q0smw7x2hd61
    error: the key of provider `a` has white space or characters outside ASCII in it

    enc:v2:AAAA:BBBB
    error: the key of provider `a` is encrypted in an unknown format
    = help: the one format is `enc:v1:…`, as `berry-cli encrypt-key` prints it

    ENC:v1:AAAA:BBBB
    error: the key of provider `a` is encrypted in an unknown format
    = help: the one format is `enc:v1:…`, as `berry-cli encrypt-key` prints it
    ");
}

#[test]
fn a_token_that_stands_for_another_is_not_taken_in_silence() {
    let told = told_about(
        with_token,
        &[
            "$ALICE_TOKEN_FOR_BERRY",
            "ALICE_TOKEN_FOR_BERRY",
            "Bearer k3J9s8dQ2m7Zx1vB4n6p",
            "enc:v2:AAAA:BBBB",
            "berry-demo-token",
            "choose-a-long-token",
            "sk-8f3kq0smw7x2hd61",
        ],
    );

    assert_snapshot!(told, @r"
    $ALICE_TOKEN_FOR_BERRY
    warning: the token of user `u` is taken literally
    = help: an environment variable is written `${NAME}`, and is the whole value

    ALICE_TOKEN_FOR_BERRY
    warning: the token of user `u` looks like the name of an environment variable
    = help: write the real one, or `${NAME}` for the value of a variable

    Bearer k3J9s8dQ2m7Zx1vB4n6p
    error: the token of user `u` has `Bearer` before it
    = help: leave it out: only requests have it, and there it is added

    enc:v2:AAAA:BBBB
    error: the token of user `u` is encrypted, which only an `api_key` can be
    = help: write its digest as `token_sha256`, as `berry-cli hash-token` prints it

    berry-demo-token
    warning: the token of user `u` has `berry-demo` in it, as placeholders have
    = help: write the real one, or `${NAME}` for the value of a variable

    choose-a-long-token
    warning: the token of user `u` has `choose-a` in it, as placeholders have
    = help: write the real one, or `${NAME}` for the value of a variable

    sk-8f3kq0smw7x2hd61
    warning: the token of user `u` is the key of provider `a`
    = help: give the user another, such as `berry-cli generate-token` prints: with the key a client can do without the gateway and its limits
    ");
}

#[test]
fn a_key_for_a_server_of_ones_own_may_be_any_word() {
    let file = with_key("test").replace("https://a.example", "http://127.0.0.1:11434");

    assert_eq!(all_findings(&file), "");
}

#[test]
fn keys_that_look_like_keys_are_left_alone() {
    for key in [
        "sk-proj-8f3kq0smw7x2hd61",
        "AIzaSyA_8f3kq0-smw7x2hd61",
        "gsk_8f3kq0smw7x2hd61AB",
        "0123456789abcdef0123456789abcdef",
        "8F3KQ0SMW7X2HD61ABCD",
        "sk-or-v1-8f3kq0smw7x2hd61%",
        "${OPENAI_API_KEY}",
    ] {
        assert_eq!(all_findings(&with_key(key)), "", "{key}");
    }
}

#[test]
fn a_comment_beside_a_finding_is_not_shown() {
    let file =
        with_key("OPENAI_API_KEY").replace("OPENAI_API_KEY\"", "OPENAI_API_KEY\" # was canary-1");

    let shown =
        all_findings(&(file + "tags = [\"#\"] # canary-2\nallowed_models = [\"n\"] # canary-3\n"));

    assert!(shown.contains("looks like the name"), "{shown}");
    assert!(shown.contains("which is not a model"), "{shown}");
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn a_secret_under_a_dotted_key_is_not_shown() {
    for written in [
        "headers.X.Key = \"canary\"",
        "headers = { X.Api.Key = \"canary\" }",
        "headers = { X.Api = [\"canary\"] }",
        "api_key.env = \"canary\"",
        "api_key = { env = \"canary\" }",
        "api_key.env.name = \"canary\"",
    ] {
        let file =
            with_key("${OPENAI_API_KEY}").replace("api_key = \"${OPENAI_API_KEY}\"", written);
        let shown = all_findings(&file);
        assert!(shown.contains("must be"), "{shown}");
        assert!(!shown.contains("canary"), "{shown}");
    }
    for written in [
        "token.sha256 = \"canary\"",
        "token = { x.y = \"canary\" }",
        "token_sha256.x = \"canary\"",
        "token.number = 700012345678",
    ] {
        let file = with_token("canary").replace("token = \"canary\"", written);
        let shown = all_findings(&file);
        assert!(shown.contains("must be"), "{shown}");
        assert!(
            !shown.contains("canary") && !shown.contains("12345"),
            "{shown}"
        );
    }
}
