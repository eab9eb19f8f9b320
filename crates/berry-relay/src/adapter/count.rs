//! Counts as providers and the proxies between write them.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Reads a count in any of the ways it is written: `3`, `3.0`, `"3"`. Null is none; what is no count is an
/// error, for it may stand for any number.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let written = <&RawValue>::deserialize(deserializer)?.get();
    if written == "null" {
        return Ok(None);
    }
    let value = written.trim_matches('"');
    let whole = || {
        let digits = value.split_once('.');
        let (whole, _) = digits.filter(|(_, part)| part.bytes().all(|digit| digit == b'0'))?;
        whole.parse().ok()
    };
    let count = value.parse().ok().or_else(whole);
    count.map(Some).ok_or_else(|| D::Error::custom("no count"))
}

/// Reads a count that is none where it makes no sense: a share of what is counted beside it.
pub(super) fn read_share<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    let written = <&RawValue>::deserialize(deserializer)?;
    Ok(read(written).unwrap_or_default())
}
