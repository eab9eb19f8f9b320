//! Files: checked, written, never overwritten unasked.

use std::process::Command;

use serde_json::Value;

use crate::support::Desk;

#[test]
fn a_valid_file_is_approved_in_the_words_that_scripts_look_for() {
    let desk = Desk::with(
        r#"
        [providers.a]
        base_url = "http://localhost:1/v1"
        [models.m]
        name = "m"
        backends = [{ provider = "a", model = "x" }]
        [users.admin]
        token = "token-of-the-admin-0123"
        "#,
    );

    let approved = desk.run(&["validate-config"]);

    assert_eq!(approved.stderr, "");
    assert_eq!(
        approved.stdout,
        "✅ Configuration is valid\n  - 1 providers configured\n  - 1 models configured\n  \
         - 1 users configured\n"
    );
    assert_eq!(approved.code, Some(0));
}

#[test]
fn findings_go_to_stderr_and_errors_fail() {
    let desk = Desk::with("[settings]\nmax_retries = 99");

    let refused = desk.run(&["validate-config", "-c", "config.toml"]);
    let missing = desk.run(&["validate-config", "-c", "no-such-file.toml"]);

    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert!(
        refused.stderr.contains("config.toml:2:15"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("1 error, 2 warnings"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        (missing.code, missing.stderr.as_str()),
        (
            Some(1),
            "error: the configuration cannot be loaded: no configuration file at `no-such-file.toml`\n"
        )
    );
}

#[test]
fn files_that_the_gateway_could_not_start_with_are_refused() {
    for (file, key) in [
        (
            "[settings]\naudit_log = \"/proc/no-such-file\"",
            "`audit_log`",
        ),
        (
            "[telemetry]\nlog_file = \"/proc/no-such-file\"",
            "`log_file`",
        ),
        (
            "[server]\ntls_cert = \"no-such.pem\"\ntls_key = \"no-such.key\"",
            "`tls_cert`",
        ),
    ] {
        let refused = Desk::with(file).run(&["validate-config"]);

        let found = format!("error: {key} ");
        assert!(refused.stderr.contains(&found), "{}", refused.stderr);
        assert!(
            refused.stderr.contains("config.toml:2:1"),
            "{}",
            refused.stderr
        );
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    }
}

#[test]
fn programs_get_the_findings_as_json() {
    let desk = Desk::with("[settings]\nmax_retries = 99");

    let refused = desk.run(&["validate-config", "--format", "json"]);

    let findings: Value = serde_json::from_str(&refused.stdout).unwrap();
    assert_eq!(findings[0]["severity"], "error");
    assert_eq!(
        (&findings[0]["line"], &findings[0]["column"]),
        (&2.into(), &15.into())
    );
    assert_eq!((refused.code, refused.stderr.as_str()), (Some(1), ""));
}

#[test]
fn what_is_generated_is_valid() {
    for advanced in [&[][..], &["--advanced"]] {
        let desk = Desk::with("");
        let arguments = [&["generate-config", "-o", "new.toml"], advanced].concat();

        let generated = desk.run(&arguments);
        let checked = desk.run(&["validate-config", "-c", "new.toml"]);

        let first = generated.stdout.lines().next();
        assert_eq!(first, Some("✅ Configuration file generated successfully"));
        assert_eq!(checked.code, Some(0), "{advanced:?} {}", checked.stderr);
        let written = desk.read("new.toml");
        let schema = written.lines().next().unwrap().strip_prefix("#:schema ./");
        let schema: Value = serde_json::from_str(&desk.read(schema.unwrap())).unwrap();
        assert_eq!(schema["title"], "Berry API: configuration");
    }
}

#[test]
fn what_is_generated_can_go_into_a_pipe() {
    let desk = Desk::with("");

    let generated = desk.run(&["generate-config", "-o", "-", "--advanced"]);
    desk.write("config.toml", &generated.stdout);
    let checked = desk.run(&["validate-config"]);

    assert_eq!(generated.code, Some(0), "{generated:?}");
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[test]
fn a_file_that_is_there_is_overwritten_only_by_force() {
    let desk = Desk::with("# mine");

    let refused = desk.run(&["generate-config"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(desk.read("config.toml"), "# mine");

    let forced = desk.run(&["generate-config", "--force"]);
    assert_eq!(forced.code, Some(0), "{}", forced.stderr);
    assert!(desk.read("config.toml").contains("[providers.openai]"));
    let its_schema = desk.run(&["generate-config", "--force", "-o", "berry.schema.json"]);
    assert_eq!(its_schema.code, Some(1), "{its_schema:?}");
    assert!(desk.read("berry.schema.json").contains("$schema"));
}

#[test]
fn a_file_is_replaced_as_a_whole_and_a_link_to_it_stays_one() {
    use std::os::unix::fs::{MetadataExt, symlink};

    let desk = Desk::with("# mine");
    let path = |name: &str| desk.0.path().join(name);
    symlink("config.toml", path("link.toml")).unwrap();
    let before = path("config.toml").metadata().unwrap().ino();

    let forced = desk.run(&["generate-config", "--force", "-o", "link.toml"]);

    assert_eq!(forced.code, Some(0), "{forced:?}");
    assert!(path("link.toml").is_symlink());
    let after = path("config.toml").metadata().unwrap();
    assert_ne!(after.ino(), before);
    assert_eq!(after.mode() & 0o777, 0o600);
}

#[test]
fn a_schema_of_another_version_stays_and_that_is_said() {
    let desk = Desk::with("");
    let generate = |file: &str, more: &[&str]| {
        let generated = desk.run(&[&["generate-config", "-o", file], more].concat());
        assert_eq!(generated.code, Some(0), "{generated:?}");
        (generated.stdout.contains("its schema"), generated.stderr)
    };
    let quiet = (true, String::new());
    assert_eq!(generate("one.toml", &[]), quiet);
    let schema = desk.read("berry.schema.json");

    assert_eq!(generate("two.toml", &[]), quiet);
    desk.write("berry.schema.json", "{}");
    let (is_named, told) = generate("three.toml", &[]);

    assert!(!is_named);
    assert!(
        told.starts_with("warning: `berry.schema.json` is not this version's"),
        "{told}"
    );
    assert_eq!(desk.read("berry.schema.json"), "{}");
    assert_eq!(generate("three.toml", &["--force"]), quiet);
    assert_eq!(desk.read("berry.schema.json"), schema);
}

#[test]
fn shells_get_their_completions() {
    let desk = Desk::with("");

    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = desk.run(&["completions", shell]);

        assert_eq!(script.code, Some(0));
        assert!(script.stdout.contains("validate-config"), "{shell}");
    }
}

#[test]
fn bash_completes_commands_options_and_values() {
    let desk = Desk::with("");
    desk.write("script", &desk.run(&["completions", "bash"]).stdout);
    let completed = |words: &[&str]| {
        // What bash itself does at a tabulator.
        let complete = r#"
            source ./script
            function=$(complete -p berry-cli | sed 's/.* -F \([^ ]*\) .*/\1/')
            COMP_WORDS=(berry-cli "$@")
            COMP_CWORD=$#
            "$function" berry-cli "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
            echo "${COMPREPLY[*]}"
        "#;
        let output = Command::new("bash")
            .args(["--norc", "-c", complete, "bash"])
            .args(words)
            .current_dir(desk.0.path())
            .output()
            .unwrap();
        assert_eq!(output.stderr, b"");
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    };

    for (words, expected) in [
        (&["val"][..], "validate-config"),
        (&["usage", "--gr"], "--group-by"),
        (&["usage", "--group-by", ""], "user model provider day"),
        (&["validate-config", "--conn"], "--connect"),
        (&["encrypt-key", "--in"], "--in-place"),
        (&["completions", "f"], "fish"),
    ] {
        assert_eq!(completed(words), expected, "{words:?}");
    }
}

#[test]
fn a_file_with_secrets_that_everybody_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;

    let desk = Desk::with("[users.ada]\ntoken = \"token-of-ada-0123456789\"");
    let path = desk.0.path().join("config.toml");
    let warning = "every user of this machine can read the keys and tokens in the file";

    let private = desk.run(&["validate-config"]);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let public = desk.run(&["validate-config"]);

    assert!(!private.stderr.contains(warning), "{}", private.stderr);
    assert!(public.stderr.contains(warning), "{}", public.stderr);
    assert_eq!(public.code, Some(0));
}

#[test]
fn a_reader_that_is_gone_does_not_change_the_verdict() {
    let good = Desk::with("[users.ada]\ntoken = \"token-of-ada-0123456789\"\n");
    let bad = Desk::with("[users.ada]\n");
    let json = ["validate-config", "--format", "json"];

    let (code, said) = good.run_unread(&["validate-config"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("error"), "{said}");
    assert_eq!(good.run_unread(&json), (Some(0), String::new()));
    assert_eq!(bad.run_unread(&json), (Some(1), String::new()));
}

#[test]
fn an_output_that_is_full_fails_the_command_with_the_reason() {
    let desk = Desk::with("");
    let full = || {
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };

    for arguments in [
        &["validate-config"][..],
        &["validate-config", "--format", "json"],
        &["timeouts"],
        &["generate-token"],
        &["generate-config", "-o", "-"],
        &["completions", "bash"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_berry-cli"))
            .args(arguments)
            .current_dir(desk.0.path())
            .stdout(full())
            .output()
            .unwrap();

        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(
            said.contains("the output cannot be written: No space"),
            "{said}"
        );
    }
}
