//! What to do about a value that is not of the kind its key takes.

use toml::de::DeValue;

use super::reader::{Kind, Value, Written};

/// Returns how a value that is no `T` would be written as one, where that can be guessed; `path` is
/// where it stands.
pub(super) fn of<T: Value>(path: &str, written: &Written<'_>) -> Option<String> {
    match (T::KIND, written.get_ref()) {
        (Kind::List(Kind::Table(_)), DeValue::Table(_)) => {
            Some(format!("begin each with two brackets: `[[{path}]]`"))
        }
        (Kind::List(_), DeValue::String(text)) => {
            let items = text.split(',').map(|item| format!("{:?}", item.trim()));
            let items = items.collect::<Vec<_>>().join(", ");
            Some(format!("write it in brackets: `[{items}]`"))
        }
        (Kind::Table(_), DeValue::Array(items)) if are_tables(items) => {
            Some(format!("there is one only, in single brackets: `[{path}]`"))
        }
        (Kind::Named(_), DeValue::Array(items)) if are_tables(items) => Some(format!(
            "each has a name of its own, in single brackets: `[{path}.<name>]`"
        )),
        (Kind::Table(_), DeValue::String(_)) if path.ends_with(']') => {
            Some("write it as `{ provider = \"…\", model = \"…\" }`".to_owned())
        }
        (Kind::Named(Kind::Text), DeValue::String(_) | DeValue::Array(_)) => {
            Some("write it as `{ Name = \"value\" }`".to_owned())
        }
        (Kind::Table(_), DeValue::Integer(number)) if path.ends_with(".rate_limit") => Some(
            format!("write it as `{{ requests_per_minute = {number} }}`"),
        ),
        (Kind::Whole(1, u32::MAX), DeValue::Integer(number)) if number.as_str() == "0" => {
            Some("without the key there is no limit".to_owned())
        }
        (Kind::Flag, DeValue::String(text)) => {
            flag(text).map(|flag| format!("write it without quotes: `{flag}`"))
        }
        (Kind::Flag, DeValue::Integer(number)) => {
            flag(number.as_str()).map(|flag| format!("write `{flag}`"))
        }
        (Kind::Seconds(min, max), value) => time(value, min, max),
        (Kind::Whole(..), DeValue::Float(number)) => {
            let whole = number.as_str().strip_suffix(".0")?;
            Some(format!("write it without a fraction: `{whole}`"))
        }
        (Kind::Decimal(0, 1), DeValue::Integer(number)) => {
            let percent: f64 = number.as_str().parse().ok()?;
            (percent <= 100.0).then(|| format!("it is a part of 1: write `{}`", percent / 100.0))
        }
        (Kind::Share(_), DeValue::Integer(number)) if number.as_str() == "0" => {
            Some("to give it no requests, write `enabled = false`".to_owned())
        }
        (Kind::Whole(..) | Kind::Decimal(..) | Kind::Share(_), DeValue::String(text)) => {
            number(text).map(|number| format!("write it without quotes: `{number}`"))
        }
        (
            Kind::Text | Kind::Pattern(_),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_),
        ) => {
            let is_any_text = T::expected() == String::expected();
            is_any_text.then(|| "write it in quotes".to_owned())
        }
        _ => None,
    }
}

/// Returns the switch that a word means.
fn flag(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Returns the number in a text, as TOML has it: with a point, and without what stands for a unit.
fn number(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches('$');
    let (text, parts) = match text.strip_suffix('%') {
        Some(percent) => (percent, 100.0),
        None => (text, 1.0),
    };
    let number: f64 = text.trim().replacen(',', ".", 1).parse().ok()?;
    number.is_finite().then(|| (number / parts).to_string())
}

/// Returns what to write for a time that is not one in whole seconds from `min` to `max`.
fn time(value: &DeValue<'_>, min: u32, max: u32) -> Option<String> {
    let range = f64::from(min)..=f64::from(max);
    let fits = |seconds: &f64| seconds.fract() == 0.0 && range.contains(seconds);
    match value {
        DeValue::String(text) => {
            let seconds = seconds(text).filter(fits);
            seconds.map(|seconds| format!("write seconds, without quotes: `{seconds}`"))
        }
        DeValue::Integer(number) => {
            let milliseconds: f64 = number.as_str().parse().ok()?;
            let seconds =
                Some(milliseconds / 1000.0).filter(|seconds| fits(seconds) && *seconds >= 1.0);
            seconds.map(|seconds| format!("it is in seconds, not milliseconds: write `{seconds}`"))
        }
        DeValue::Float(number) => {
            let seconds: f64 = number.as_str().parse().ok()?;
            Some(seconds.ceil())
                .filter(fits)
                .map(|seconds| format!("write whole seconds: `{seconds}`"))
        }
        _ => None,
    }
}

/// Returns the seconds of a time that is written with a unit, or with none.
fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "ms" => 0.001,
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * unit)
}

/// Whether an array is what `[[…]]` makes.
fn are_tables(items: &[Written<'_>]) -> bool {
    !items.is_empty() && items.iter().all(|item| item.get_ref().is_table())
}
