//! What a JSON page must have: members, by their pointers, and their types.

use serde_json::Value;

/// Whether a value is of a type.
pub(crate) type Is = fn(&Value) -> bool;

/// Expects these members, of these types.
pub(crate) fn shape(json: &Value, members: &[(&str, Is)]) {
    for (pointer, is) in members {
        let value = json
            .pointer(pointer)
            .unwrap_or_else(|| panic!("no {pointer} in {json}"));
        assert!(is(value), "{pointer} in {json}");
    }
}

pub(crate) fn list(value: &Value) -> bool {
    value.is_array()
}

pub(crate) fn number_or_null(value: &Value) -> bool {
    value.is_u64() || value.is_null()
}

pub(crate) fn text_or_null(value: &Value) -> bool {
    value.is_string() || value.is_null()
}
