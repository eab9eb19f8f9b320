//! What one file says otherwise than another.
//!
//! Compared is what is written, not what it is resolved into: there a provider is part of every
//! model that uses it, and a new key would seem to change them all.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::DeTable;
use toml::{Table, Value};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::reader::path_to;
use super::source::Source;
use super::table::entry;
use super::{Config, ServerSettings};

/// The tables whose entries have names that users chose; of all others the keys are fixed.
const NAMED: [&str; 3] = ["providers", "models", "users"];

/// The differences by name, such as `providers.openai` or `settings.max_retries`, each sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct ConfigDiff {
    /// Providers, models and users that are new.
    pub added: Vec<String>,
    /// Those that are gone.
    pub removed: Vec<String>,
    /// Those that are written otherwise, and settings whose value is another.
    pub changed: Vec<String>,
}

impl ConfigDiff {
    /// Compares two valid files.
    pub fn between(old: &Source, new: &Source) -> Self {
        let (old, new) = (entries(old), entries(new));
        let mut diff = Self::default();
        for (path, value) in &new {
            match old.get(path) {
                Some(before) if before == value => {}
                None if value.is_named => diff.added.push(path.clone()),
                Some(_) | None => diff.changed.push(path.clone()),
            }
        }
        for (path, value) in old {
            match new.contains_key(&path) {
                true => {}
                false if value.is_named => diff.removed.push(path),
                false => diff.changed.push(path),
            }
        }
        diff.changed.sort();
        diff
    }

    /// Whether a file has lost all models or all users that another has, as one has of which only the
    /// beginning is written. Of a file that is no TOML this is not said.
    pub fn is_emptied(old: &Source, new: &Source) -> bool {
        let parse = |source: &Source| source.text().parse::<Table>().ok();
        let (Some(old), Some(new)) = (parse(old), parse(new)) else {
            return false;
        };
        let has = |file: &Table, section: &str| {
            let entries = file.get(section).and_then(Value::as_table);
            entries.is_some_and(|entries| !entries.is_empty())
        };
        ["models", "users"]
            .iter()
            .any(|section| has(&old, section) && !has(&new, section))
    }
}

#[derive(Debug, PartialEq)]
struct Entry {
    value: Value,
    /// It can be there or not; a setting is always there, if only by its default.
    is_named: bool,
}

/// Returns what is compared as a whole, by path. A file that is not valid has nothing.
fn entries(source: &Source) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    for (section, value) in source.text().parse::<Table>().unwrap_or_default() {
        let is_named = NAMED.contains(&section.as_str());
        collect(section, value, is_named, &mut entries);
    }
    entries
}

/// Takes a named table's entries as they are, and a fixed table apart into its keys.
fn collect(path: String, value: Value, is_named: bool, entries: &mut BTreeMap<String, Entry>) {
    let Value::Table(table) = value else {
        entries.insert(path, Entry { value, is_named });
        return;
    };
    for (key, value) in table {
        let path = path_to(&path, &key);
        if is_named {
            entries.insert(path, Entry { value, is_named });
        } else {
            collect(path, value, is_named, entries);
        }
    }
}

/// Something that a running process cannot change.
struct Fixed {
    path: [&'static str; 2],
    /// What it cannot do.
    change: &'static str,
    differs: fn(&Config, &Config) -> bool,
}

/// Who says where a process listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listening {
    /// The configuration does, if only by what it leaves out.
    AsConfigured,
    /// The environment does, or whoever started the process, whatever the configuration says.
    AsTold,
}

const BIND_ADDRESS: [&str; 2] = ["server", "bind_address"];

const FIXED: [Fixed; 4] = [
    Fixed {
        path: BIND_ADDRESS,
        change: "change",
        differs: |old, new| server(old).address() != server(new).address(),
    },
    Fixed {
        path: ["server", "worker_threads"],
        change: "change",
        differs: |old, new| server(old).worker_threads != server(new).worker_threads,
    },
    // What was encrypted would go on in clear text, on the same port.
    Fixed {
        path: ["server", "tls_cert"],
        change: "be left out",
        differs: |old, new| server(old).tls.is_some() && server(new).tls.is_none(),
    },
    Fixed {
        path: ["usage", "database"],
        change: "change",
        differs: |old, new| old.usage.database != new.usage.database,
    },
];

fn server(config: &Config) -> &ServerSettings {
    &config.server
}

impl Config {
    /// Returns an error for each key that `next`, read from `source`, changes and that a running
    /// process cannot change. One that had no effect may change: it has none still.
    pub fn fixed_keys(&self, next: &Self, source: &Source, listening: Listening) -> Diagnostics {
        let mut findings = Diagnostics::default();
        for Fixed {
            path,
            change,
            differs,
        } in FIXED
        {
            let is_idle = path == BIND_ADDRESS && listening == Listening::AsTold;
            if !is_idle && differs(self, next) {
                let [section, key] = path;
                let message = format!("`{section}.{key}` cannot {change} while the gateway runs");
                let finding = Diagnostic::error(message)
                    .help("restart the gateway, or write what was there before");
                findings.push(finding.at_key(source, section, key));
            }
        }
        findings
    }
}

impl Diagnostic {
    /// Says that it is about a key of a section, which the file may leave at its default.
    #[must_use]
    pub fn at_key(self, source: &Source, section: &str, key: &str) -> Self {
        match source.place(section, key) {
            Some(span) => self.at(span),
            None => self,
        }
    }
}

impl Source {
    /// Returns where a section has a key, or where the section is without it: the place of findings
    /// that only the surroundings of a configuration bring to light.
    pub fn place(&self, section: &str, key: &str) -> Option<Range<usize>> {
        let tree = DeTable::parse(self.text()).ok()?;
        let (span, section) = entry(tree.get_ref(), section)?;
        let key = section
            .get_ref()
            .as_table()
            .and_then(|table| entry(table, key));
        Some(key.map_or(span, |(span, _)| span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Vocabulary;

    fn source(text: &str) -> Source {
        Source::new("config.toml", text)
    }

    fn diff(old: &str, new: &str) -> [Vec<String>; 3] {
        let ConfigDiff {
            added,
            removed,
            changed,
        } = ConfigDiff::between(&source(old), &source(new));
        [added, removed, changed]
    }

    #[test]
    fn providers_models_and_users_are_compared_as_a_whole() {
        let old = r#"
            [providers.kept]
            base_url = "http://a"
            [providers.gone]
            base_url = "http://b"
            [models.m]
            backends = [{ provider = "kept", model = "x" }]
            [users.ada]
            token = "a"
        "#;
        let new = r#"
            [users.ada]
            token = "b"
            tags = ["x"]
            [models.m]
            backends = [{ provider = "kept", model = "x" }]
            [providers]
            kept = { base_url = "http://a" } # written otherwise, and the same
            [providers."new one"]
            base_url = "http://c"
        "#;

        assert_eq!(
            diff(old, new),
            [
                vec!["providers.\"new one\"".to_owned()],
                vec!["providers.gone".to_owned()],
                vec!["users.ada".to_owned()],
            ]
        );
    }

    #[test]
    fn a_file_is_emptied_that_has_lost_all_models_or_all_users() {
        let whole = "[models.m]\nname = \"m\"\n[users.u]\ntoken = \"t\"\n[users.v]";
        for (new, expected) in [
            (whole, false),
            ("[models.n]\n[users.v]", false),
            ("[models.m]\nname = \"m\"\n", true),
            ("[models.m]\n[users]", true),
            ("[users.u]", true),
            ("[settings]", true),
            ("[models.m", false),
        ] {
            let is_emptied = ConfigDiff::is_emptied(&source(whole), &source(new));
            assert_eq!(is_emptied, expected, "{new}");
        }
        assert!(!ConfigDiff::is_emptied(
            &source("[models.m]"),
            &source("[models.n]")
        ));
    }

    #[test]
    fn settings_change_key_by_key_whether_they_were_written_or_not() {
        let old = "[settings]\nmax_retries = 1\npublic_details = true";
        let new = "[settings]\nmax_retries = 2\nsmart_ai.exploration_ratio = 0.1";

        let changed = [
            "settings.max_retries",
            "settings.public_details",
            "settings.smart_ai.exploration_ratio",
        ];
        assert_eq!(
            diff(old, new),
            [vec![], vec![], changed.map(str::to_owned).into()]
        );
        assert_eq!(diff(new, new), [(); 3].map(|()| Vec::<String>::new()));
    }

    /// Returns the findings about the change from one `[server]` to another, with their places.
    fn fixed(old: &str, new: &str) -> Vec<(String, Option<(usize, usize)>)> {
        fixed_while(Listening::AsConfigured, old, new)
    }

    fn fixed_while(
        listening: Listening,
        old: &str,
        new: &str,
    ) -> Vec<(String, Option<(usize, usize)>)> {
        let vocabulary = Vocabulary {
            strategies: &[],
            protocols: &[],
        };
        let config = |text| Config::parse(&source(text), &vocabulary, &|_| None).unwrap();
        let findings = config(old)
            .config
            .fixed_keys(&config(new).config, &source(new), listening);
        let place = |finding: &Diagnostic| {
            let span = finding.span.as_ref()?;
            Some(source(new).position(span.start))
        };
        let findings = findings.iter();
        findings
            .map(|finding| (finding.message.clone(), place(finding)))
            .collect()
    }

    #[test]
    fn what_cannot_change_is_named_where_it_is_written() {
        let message = |key: &str| format!("`{key}` cannot change while the gateway runs");

        assert_eq!(
            fixed(
                "[server]\nworker_threads = 2\nheader_timeout_seconds = 9",
                "[server]\nworker_threads = 3\nbind_address = \"127.0.0.1:1\"\n[usage]\ndatabase = \"x\""
            ),
            [
                (message("server.bind_address"), Some((3, 1))),
                (message("server.worker_threads"), Some((2, 1))),
                (message("usage.database"), Some((5, 1))),
            ]
        );
        assert_eq!(
            fixed("[server]\nworker_threads = 2", ""),
            [(message("server.worker_threads"), None)]
        );
        assert_eq!(fixed("[server]\nheader_timeout_seconds = 9", ""), []);
    }

    #[test]
    fn an_address_may_change_where_the_process_listens_where_it_did() {
        let at = |address: &str| format!("[server]\nbind_address = \"{address}\"");
        let (usual, other) = (at("127.0.0.1:3000"), at("127.0.0.1:1"));
        let told = |old: &str, new: &str| fixed_while(Listening::AsTold, old, new);

        assert_eq!(fixed("", &usual), []);
        assert_eq!(fixed(&usual, ""), []);
        assert_eq!(fixed(&usual, &other).len(), 1);
        assert_eq!(told(&usual, &other), []);
        let threads = format!("{other}\nworker_threads = 3");
        assert_eq!(told(&usual, &threads).len(), 1);
    }

    #[test]
    fn tls_stays_once_it_is_served() {
        let tls = "[server]\ntls_cert = \"a.pem\"\ntls_key = \"a.key\"";
        let gone = "`server.tls_cert` cannot be left out while the gateway runs".to_owned();

        assert_eq!(fixed(tls, ""), [(gone.clone(), None)]);
        assert_eq!(
            fixed(tls, "[server]\nheader_timeout_seconds = 9"),
            [(gone, Some((1, 2)))]
        );
        assert_eq!(fixed(tls, &tls.replace("a.", "b.")), []);
        assert_eq!(fixed("", tls), []);
    }
}
