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
            Some(format!("write it in brackets: `[{text:?}]`"))
        }
        (Kind::Table(_), DeValue::Array(items)) if are_tables(items) => {
            Some(format!("there is one only, in single brackets: `[{path}]`"))
        }
        (Kind::Named(_), DeValue::Array(items)) if are_tables(items) => Some(format!(
            "each has a name of its own, in single brackets: `[{path}.<name>]`"
        )),
        (Kind::Whole(..) | Kind::Decimal(..) | Kind::Share(_), DeValue::String(text)) => {
            let is_number = text.parse::<f64>().is_ok();
            is_number.then(|| format!("write it without quotes: `{text}`"))
        }
        (Kind::Flag, DeValue::String(text)) => {
            let is_flag = text.parse::<bool>().is_ok();
            is_flag.then(|| format!("write it without quotes: `{text}`"))
        }
        (Kind::Text, DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)) => {
            let is_any_text = T::expected() == String::expected();
            is_any_text.then(|| "write it in quotes".to_owned())
        }
        _ => None,
    }
}

/// Whether an array is what `[[…]]` makes.
fn are_tables(items: &[Written<'_>]) -> bool {
    !items.is_empty() && items.iter().all(|item| item.get_ref().is_table())
}
