use std::fs;
use std::path::Path;

use berry_core::{Diagnostics, Source};

use super::{LEDGER, check};
use crate::Names;

/// Returns what is said about the files of this configuration, and whether it is refused.
fn said(toml: &str, environment: &dyn Fn(&str) -> Option<String>) -> (bool, String) {
    let source = Source::new("config.toml", toml);
    let loaded = Names::collect().parse(&source, &|_| None).unwrap();
    let checked = check(loaded, &source, environment);
    let is_refused = checked.is_err();
    let findings = checked.map_or_else(|findings| findings, |loaded| loaded.warnings);
    (is_refused, without_emptiness(&findings).join("\n"))
}

/// Leaves out that nothing is configured.
fn without_emptiness(findings: &Diagnostics) -> Vec<String> {
    let messages = findings.iter().map(|finding| finding.message.clone());
    messages
        .filter(|message| !message.contains("are configured:"))
        .collect()
}

fn at(table: &str, key: &str, path: &Path) -> String {
    format!("[{table}]\n{key} = {path:?}\n")
}

#[test]
fn what_no_log_could_be_written_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();

    for (table, key) in [("settings", "audit_log"), ("telemetry", "log_file")] {
        for (path, why) in [
            (folder.path().to_owned(), "it is a folder"),
            (file.join("log"), "Not a directory"),
            (closed.join("log"), "nobody may write in"),
            (closed.join("new/log"), "nobody may write in"),
            ("/proc/no-such-file".into(), "nobody may write in `/proc`"),
        ] {
            let (is_refused, said) = said(&at(table, key, &path), &|_| None);
            assert!(is_refused, "{key}: {}", path.display());
            assert!(
                said.starts_with(&format!("`{key}` `")) && said.contains(why),
                "{said}"
            );
        }
    }
}

#[test]
fn what_can_be_written_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "{}\n").unwrap();

    for path in [
        &*file,
        &folder.path().join("new/folder/log"),
        Path::new("/dev/null"),
    ] {
        let (is_refused, said) = said(&at("settings", "audit_log", path), &|_| None);
        assert!(!is_refused && said.is_empty(), "{said}");
    }
    let relative = said("[telemetry]\nlog_file = \"no-such-folder/log\"\n", &|_| {
        None
    });
    assert_eq!(relative, (false, String::new()));

    assert_eq!(fs::read_to_string(&file).unwrap(), "{}\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(!Path::new("no-such-folder").exists());
}

#[test]
fn a_log_file_that_the_environment_replaces_is_not_looked_at() {
    let toml = "[telemetry]\nlog_file = \"/proc/no-such-file\"\n";
    let environment = |name: &str| (name == "LOG_FILE").then(|| "log".to_owned());

    assert_eq!(said(toml, &environment), (false, String::new()));
}

#[test]
fn a_ledger_that_cannot_be_kept_is_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    fs::write(&text, "not a database").unwrap();
    let notes = folder.path().join("notes");
    fs::write(&notes, database(2, 0, 0)).unwrap();

    for (path, why) in [
        (folder.path(), "it is a folder"),
        (&text, "it is no database of SQLite"),
        (&notes, "it is the database of another program"),
        (Path::new("/proc/no-such-file"), "nobody may write in"),
    ] {
        let (is_refused, said) = said(&at("usage", "database", path), &|_| None);
        assert!(!is_refused && said.contains(why), "{said}");
    }
}

#[test]
fn what_a_ledger_is_or_may_be_kept_in_is_not_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.db");

    for file in [
        Vec::new(),
        database(1, 0, 0),
        database(4, 1, 0),
        database(4, 2, LEDGER),
        database(4, 3, LEDGER),
    ] {
        fs::write(&path, file).unwrap();

        let said = said(&at("usage", "database", &path), &|_| None);

        assert_eq!(said, (false, String::new()));
    }
}

/// How a file of SQLite begins that has so many pages, and these two numbers of its owner.
fn database(pages: u32, version: u32, application: u32) -> Vec<u8> {
    let mut header = vec![0; 100];
    header[..16].copy_from_slice(b"SQLite format 3\0");
    for (place, number) in [(28, pages), (60, version), (68, application)] {
        header[place..place + 4].copy_from_slice(&number.to_be_bytes());
    }
    header
}

#[test]
fn a_certificate_that_is_not_there_is_refused() {
    let toml = "[server]\ntls_cert = \"no-such.pem\"\ntls_key = \"no-such.key\"\n";

    let (is_refused, said) = said(toml, &|_| None);

    assert!(
        is_refused && said.starts_with("`tls_cert` no-such.pem cannot be read"),
        "{said}"
    );
}
