//! Every key of the file does something: a test of the gateway or of a command sets it.
//!
//! A key whose name is no everyday word, and that one table only has, is looked for in the text of
//! those tests. For the others a test is named here, which must be there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::config::file::ConfigFile;
use crate::config::reader::{Key, Kind};
use crate::config::table::Table;

/// Where the tests are that see no more than users do.
const TESTS: [&str; 2] = [
    "crates/berry-api/tests/integration",
    "crates/berry-cli/tests/integration",
];

/// Keys whose names say too little, and a test of each.
const NAMED: [(&str, &str); 23] = [
    (
        "settings.max_retries",
        "retries_and_moves_are_bounded_by_the_settings",
    ),
    (
        "providers.*.name",
        "providers_and_users_are_called_by_their_names",
    ),
    (
        "providers.*.models",
        "every_error_is_shown_with_its_place_and_exits_1_whether_checked_or_served",
    ),
    (
        "providers.*.headers",
        "a_providers_headers_win_over_the_credential_and_the_clients",
    ),
    (
        "providers.*.enabled",
        "a_disabled_provider_and_model_count_in_the_totals_only",
    ),
    (
        "providers.*.max_retries",
        "a_provider_may_have_fewer_retries_than_others",
    ),
    (
        "models.*.name",
        "a_model_is_found_by_name_or_key_also_with_slashes_in_it",
    ),
    (
        "providers.*.max_concurrent_requests",
        "what_a_provider_may_not_take_any_more_goes_to_another",
    ),
    ("models.*.strategy", "round_robin_is_exactly_even"),
    (
        "models.*.enabled",
        "enabled_models_are_listed_in_order_under_both_addresses",
    ),
    (
        "models.*.affinity",
        "the_requests_of_one_user_go_to_one_backend",
    ),
    (
        "models.*.backends.provider",
        "an_endpoint_that_two_models_share_is_ejected_for_both",
    ),
    (
        "models.*.backends.model",
        "failover_stays_among_the_backends_of_the_named_provider",
    ),
    ("models.*.backends.weight", "weights_decide_the_shares"),
    (
        "models.*.backends.priority",
        "failover_follows_priority_and_then_the_order_of_the_file",
    ),
    (
        "models.*.backends.enabled",
        "details_and_disabled_backends_are_shown_as_asked",
    ),
    (
        "models.*.backends.tags",
        "tags_decide_which_backends_a_user_may_use",
    ),
    (
        "users.*.name",
        "providers_and_users_are_called_by_their_names",
    ),
    (
        "users.*.token",
        "a_token_is_accepted_as_bearer_or_as_api_key",
    ),
    (
        "users.*.enabled",
        "disabled_expired_and_misplaced_users_are_refused_like_strangers",
    ),
    (
        "users.*.tags",
        "a_user_whose_tags_match_no_backend_is_refused",
    ),
    (
        "users.*.rate_limit.max_concurrent_requests",
        "of_thirty_requests_at_once_five_run_until_their_answers_have_ended",
    ),
    (
        "usage.database",
        "a_request_is_in_the_ledger_with_its_tokens_and_its_cost",
    ),
];

/// Returns the path of every key, in which `*` is any id and arrays do not count.
pub(super) fn paths() -> Vec<String> {
    let mut paths = Vec::new();
    collect(ConfigFile::DESCRIBED, "", &mut paths);
    paths
}

/// Collects the paths of the keys below a table.
fn collect(keys: &[Key], path: &str, paths: &mut Vec<String>) {
    for key in keys {
        let path = format!("{path}{}", key.name);
        let step = if matches!(key.kind, Kind::Named(_)) {
            ".*."
        } else {
            "."
        };
        match key.kind.keys() {
            Some(keys) => collect(keys, &(path + step), paths),
            None => paths.push(path),
        }
    }
}

/// Returns the text of every behavioural test.
fn tests() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut text = String::new();
    for folder in TESTS {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                text += &fs::read_to_string(path).unwrap();
            }
        }
    }
    // The end of a line within a text is no letter of the key that follows.
    text.replace("\\n", "\n")
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap()
}

/// Whether a test writes this key into a file.
fn is_set(tests: &str, key: &str) -> bool {
    tests.match_indices(&format!("{key} = ")).any(|(place, _)| {
        let before = tests[..place].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn every_key_is_set_by_a_test_of_what_it_does() {
    let (tests, paths) = (tests(), paths());
    let named = BTreeMap::from(NAMED);

    for path in &paths {
        let key = last(path);
        let is_telling =
            key.contains('_') && paths.iter().filter(|other| last(other) == key).count() == 1;
        if let Some(test) = named.get(path.as_str()) {
            assert!(tests.contains(&format!("fn {test}()")), "{path}: {test}");
        } else {
            assert!(is_telling, "`{path}` needs a row in `NAMED`");
            assert!(is_set(&tests, key), "no behavioural test sets `{path}`");
        }
    }
}

#[test]
fn the_tests_that_are_named_are_those_of_keys() {
    let paths = paths();

    for (path, _) in NAMED {
        assert!(paths.iter().any(|key| key == path), "{path}");
    }
}
