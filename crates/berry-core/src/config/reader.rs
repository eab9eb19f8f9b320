//! Reads TOML values into types, and goes on after every one that does not fit.
//!
//! serde stops at the first error, and a user would meet the second one only after mending the
//! first. So values are read from the parsed tree one by one: what does not fit is reported with
//! its place and leaves a hole ([`Field::Refused`]), which later checks step over in silence.
//!
//! Only single values are judged here (shape and range); what depends on two of them is decided
//! when the file is resolved.

use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::remedy;

/// A value as it stands in the file.
pub(super) type Written<'i> = Spanned<DeValue<'i>>;

/// What a value is, as far as programs can be told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// A text of which all matches this, in the syntax that JSON Schema has for it.
    Pattern(&'static str),
    /// A moment, as RFC 3339 has it.
    Moment,
    Flag,
    /// A whole number from the first to the second.
    Whole(u32, u32),
    /// A time in whole seconds, from the first to the second.
    Seconds(u32, u32),
    /// A number from the first to the second.
    Decimal(u32, u32),
    /// A number greater than 0 and not above this.
    Share(u32),
    /// One of these.
    Choice(&'static [&'static str]),
    List(&'static Self),
    /// A table whose keys users choose.
    Named(&'static Self),
    /// A table with these keys.
    Table(&'static [Key]),
}

impl Kind {
    /// Returns the keys of a table, or of the tables that are listed or named.
    pub(super) fn keys(&self) -> Option<&'static [Key]> {
        match self {
            Self::Table(keys) => Some(keys),
            Self::List(inner) | Self::Named(inner) => inner.keys(),
            _ => None,
        }
    }
}

/// A key of a table, as it is described.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// The lines of its comment.
    pub(super) about: &'static [&'static str],
    /// What it is required for, if it is: one of the keys that have this in common must be there.
    pub(super) required: &'static str,
    pub(super) expected: fn() -> Cow<'static, str>,
    pub(super) kind: Kind,
}

/// A kind of value: what a key takes, and what it is read as.
pub(super) trait Value {
    /// What it is read as.
    type Output;

    /// Whether the value must never be shown.
    const SECRET: bool = false;

    /// What it is to those who do not read the file but describe it.
    const KIND: Kind = Kind::Text;

    /// Says what is expected, as in "must be …".
    fn expected() -> Cow<'static, str>;

    /// Reads a value; on `None` everything there is to say about it has been reported.
    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self::Output>;
}

/// What a table has under one of its keys.
#[derive(Debug, Clone, Default)]
pub(super) enum Field<T> {
    /// Nothing.
    #[default]
    Absent,
    /// Something that did not fit and was reported.
    Refused,
    /// A value.
    Given(Spanned<T>),
}

impl<T> Field<T> {
    /// Returns the value, if there is a fitting one.
    pub(super) fn value(&self) -> Option<&T> {
        self.given().map(Spanned::get_ref)
    }

    /// Returns the value and its place, if there is a fitting one.
    pub(super) fn given(&self) -> Option<&Spanned<T>> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Refused => None,
        }
    }

    /// Returns the place of the value, if there is a fitting one.
    pub(super) fn span(&self) -> Option<Range<usize>> {
        self.given().map(Spanned::span)
    }

    /// Whether the file says something that did not fit and was reported.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Self::Refused)
    }

    /// Whether the file says nothing, fitting or not.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<T: Clone> Field<T> {
    /// Returns the value, or `default` when there is none.
    pub(super) fn or(&self, default: T) -> T {
        self.value().cloned().unwrap_or(default)
    }
}

/// Where in the file reading is, and what was found so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    path: String,
    /// Where unknown keys begin about which everything has been said.
    pub(super) judged: Vec<usize>,
    pub(super) findings: Diagnostics,
}

impl Reader {
    /// Reads the value of a table's key.
    pub(super) fn field<T: Value>(&mut self, written: &Written<'_>) -> Field<T::Output> {
        match T::read(written, self) {
            Some(value) => Field::Given(Spanned::new(written.span(), value)),
            None => Field::Refused,
        }
    }

    /// Reads something that stands under `key`.
    pub(super) fn under<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.path.len();
        push_key(&mut self.path, key);
        let value = read(self);
        self.path.truncate(outer);
        value
    }

    /// Reads an element of the array that is being read.
    fn element<T>(&mut self, index: usize, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.path.len();
        // Writing to a string cannot fail.
        let _ = write!(self.path, "[{index}]");
        let value = read(self);
        self.path.truncate(outer);
        value
    }

    /// Whether everything has been said about the unknown key at this place.
    pub(super) fn is_judged(&self, key: &Range<usize>) -> bool {
        self.judged.contains(&key.start)
    }

    /// Returns the path of what is being read, such as `providers.a.models`.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Passes on `value`, or reports that what is written is not a `T`.
    pub(super) fn expect<T: Value, V>(
        &mut self,
        written: &Written<'_>,
        value: Option<V>,
    ) -> Option<V> {
        if T::SECRET && written.get_ref().as_str().and_then(variable).is_none() {
            self.conceal_all(written);
        }
        if value.is_none() {
            if matches!(T::KIND, Kind::Table(_) | Kind::Named(_)) {
                // In a table's place may stand what belongs into it.
                self.conceal_texts(written);
            }
            let found = if T::SECRET {
                kind(written).into()
            } else {
                shown(written)
            };
            let message = format!("`{}` must be {}, not {found}", self.path, T::expected());
            let finding = Diagnostic::error(message).at(written.span());
            self.findings
                .push(finding.help_if(remedy::of::<T>(&self.path, written)));
        }
        value
    }

    /// Reports that a text is not what it should be, and why.
    pub(super) fn refuse(&mut self, span: Range<usize>, what: &str, why: impl std::fmt::Display) {
        let message = format!("`{}` is not {what}: {why}", self.path);
        self.findings.push(Diagnostic::error(message).at(span));
    }

    /// Hides a part of a text, or all of it where escapes make it uncertain which part that is.
    pub(super) fn conceal_part(&mut self, written: &Written<'_>, text: &str, part: Range<usize>) {
        let span = written.span();
        let is_verbatim = span.len() == text.len() + 2;
        self.findings.conceal(if is_verbatim {
            span.start + 1 + part.start..span.start + 1 + part.end
        } else {
            span
        });
    }

    /// Hides a value and all within it, for the place of a table may be but its key.
    fn conceal_all(&mut self, written: &Written<'_>) {
        self.findings.conceal(written.span());
        match written.get_ref() {
            DeValue::Array(items) => items.iter().for_each(|item| self.conceal_all(item)),
            DeValue::Table(table) => table.values().for_each(|value| self.conceal_all(value)),
            _ => {}
        }
    }

    /// Hides every text in a value whose meaning is not known: it may be a misspelt key's secret.
    pub(super) fn conceal_texts(&mut self, written: &Written<'_>) {
        match written.get_ref() {
            DeValue::String(_) => self.findings.conceal(written.span()),
            DeValue::Array(items) => items.iter().for_each(|item| self.conceal_texts(item)),
            DeValue::Table(table) => table.values().for_each(|value| self.conceal_texts(value)),
            _ => {}
        }
    }
}

/// Returns the name in a value that is exactly `${NAME}`: a secret kept elsewhere, which may itself
/// be shown.
pub fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then_some(name)
}

/// Returns the path of what stands under `key`.
pub(super) fn path_to(path: &str, key: &str) -> String {
    let mut path = path.to_owned();
    push_key(&mut path, key);
    path
}

/// Lengthens a path by a key, which is quoted where TOML wants it.
fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    if is_bare(key) {
        path.push_str(key);
    } else {
        // Writing to a string cannot fail.
        let _ = write!(path, "{key:?}");
    }
}

/// Whether TOML lets a key stand without quotes.
fn is_bare(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Names the kind of a value.
fn kind(written: &Written<'_>) -> &'static str {
    match written.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// Shows a number or a boolean, and names the kind of anything else.
fn shown(written: &Written<'_>) -> Cow<'static, str> {
    match written.get_ref() {
        DeValue::Integer(number) => format!("`{number}`").into(),
        DeValue::Float(number) => format!("`{}`", number.as_str()).into(),
        DeValue::Boolean(value) => format!("`{value}`").into(),
        _ => kind(written).into(),
    }
}

impl<T: Value> Value for Spanned<T> {
    type Output = Spanned<T::Output>;

    const KIND: Kind = T::KIND;

    fn expected() -> Cow<'static, str> {
        T::expected()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self::Output> {
        T::read(written, reader).map(|value| Spanned::new(written.span(), value))
    }
}

impl<T: Value> Value for Vec<T> {
    type Output = Vec<T::Output>;

    const KIND: Kind = Kind::List(&T::KIND);

    fn expected() -> Cow<'static, str> {
        match T::KIND {
            Kind::Table(_) => "an array of tables".into(),
            _ => format!("an array, each element {}", T::expected()).into(),
        }
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self::Output> {
        let items = reader.expect::<Self, _>(written, written.get_ref().as_array())?;
        // Every element is read before the first misfit counts, so that all are reported.
        let values: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(index, item)| reader.element(index, |reader| T::read(item, reader)))
            .collect();
        values.into_iter().collect()
    }
}
