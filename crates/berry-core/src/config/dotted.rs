//! Names with a dot in them that were written without quotes.
//!
//! `[models.gpt-4.1]` is TOML for a table `1` in the table `gpt-4`. That the inner one has the keys of a
//! model shows what was meant; everything else there would be to say about the two would be wrong.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable};

use super::diagnostic::Diagnostic;
use super::reader::{Kind, Value, Written};

/// A table whose name was cut at its dots.
pub(super) struct Part<'a, 'i> {
    /// The name that was meant.
    pub(super) name: String,
    /// Where the whole of it is.
    pub(super) span: Range<usize>,
    /// Where its second half is, which is taken for a key of the first.
    pub(super) inner: Range<usize>,
    pub(super) table: &'a Written<'i>,
}

impl Part<'_, '_> {
    /// Says what is wrong; `section` is the table around it.
    pub(super) fn finding(&self, section: &str) -> Diagnostic {
        let name = &self.name;
        let message = format!("`{name}` has a dot in it and no quotes around it");
        let help = format!("write `{section}.\"{name}\"`, in every header that begins with it");
        Diagnostic::error(message).at(self.span.clone()).help(help)
    }
}

/// Returns what stands in the table under `key` and was meant to be a `T` beside it.
pub(super) fn parts<'a, 'i, T: Value>(
    key: &Spanned<DeString<'i>>,
    written: &'a Written<'i>,
) -> Vec<Part<'a, 'i>> {
    let mut parts = Vec::new();
    for (inner, table) in written.get_ref().as_table().into_iter().flatten() {
        if let Some((rest, table)) = cut::<T>(inner.get_ref(), table) {
            parts.push(Part {
                name: format!("{}.{rest}", key.get_ref()),
                span: span(key, &inner.span(), &rest),
                inner: inner.span(),
                table,
            });
        }
    }
    parts
}

/// Returns where a name is of which `inner` is the second part: the first may be in other headers too.
fn span(first: &Spanned<DeString<'_>>, inner: &Range<usize>, rest: &str) -> Range<usize> {
    let start = inner.start.saturating_sub(first.get_ref().len() + 1);
    start..inner.start + rest.len()
}

/// Returns the rest of a name and its table, when `key` is no key of a `T` and a `T` is in it.
fn cut<'a, 'i, T: Value>(key: &str, written: &'a Written<'i>) -> Option<(String, &'a Written<'i>)> {
    let Kind::Table(keys) = T::KIND else {
        return None;
    };
    let is_key = |name: &str| keys.iter().any(|key| key.name == name);
    let (mut rest, mut written) = (key.to_owned(), written);
    if is_key(key) {
        return None;
    }
    loop {
        let table = written.get_ref().as_table()?;
        if has_any(table, is_key) {
            return Some((rest, written));
        }
        let mut entries = table.iter();
        let (Some((inner, value)), None) = (entries.next(), entries.next()) else {
            return None;
        };
        rest = format!("{rest}.{}", inner.get_ref());
        written = value;
    }
}

fn has_any(table: &DeTable<'_>, is_key: impl Fn(&str) -> bool) -> bool {
    table.keys().any(|key| is_key(key.get_ref()))
}
