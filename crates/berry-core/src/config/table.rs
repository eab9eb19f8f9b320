//! Tables of the file: those whose keys are fixed, and those whose keys users choose.
//!
//! A fixed one is declared by [`table!`](table) as a struct whose fields are its keys, and that is the
//! only place where a key is written down: reading, the "unknown key" finding and its guess follow
//! from it.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable};

use super::diagnostic::Diagnostic;
use super::reader::{Key, Kind, Reader, Value, Written};
use super::{dotted, home, suggest};

/// A table whose keys are fixed.
pub(super) trait Table: Default {
    /// Its keys, in the order in which they are documented.
    const KEYS: &'static [&'static str];

    /// The same, described.
    const DESCRIBED: &'static [Key];

    /// Reads the value of `key`; false when there is no such key.
    fn set(&mut self, key: &str, written: &Written<'_>, reader: &mut Reader) -> bool;
}

/// Declares a table whose keys are fixed. Of those that are `required` for the same purpose one must be
/// there; the resolver says so where none is.
macro_rules! table {
    (
        $(#[$about:meta])*
        $name:ident { $(
            $(#[doc = $doc:literal])* $(#[required($need:literal)])? $key:ident: $type:ty,
        )+ }
    ) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub(super) struct $name {
            $( $(#[doc = $doc])* pub(super) $key: $crate::config::reader::Field<
                <$type as $crate::config::reader::Value>::Output,
            >, )+
        }

        impl Table for $name {
            const KEYS: &'static [&'static str] = &[$( stringify!($key) ),+];

            const DESCRIBED: &'static [$crate::config::reader::Key] = &[$(
                $crate::config::reader::Key {
                    name: stringify!($key),
                    about: &[$( $doc ),*],
                    required: [$( $need, )? ""][0],
                    expected: <$type as $crate::config::reader::Value>::expected,
                    kind: <$type as $crate::config::reader::Value>::KIND,
                }
            ),+];

            fn set(
                &mut self,
                key: &str,
                written: &$crate::config::reader::Written<'_>,
                reader: &mut $crate::config::reader::Reader,
            ) -> bool {
                match key {
                    $( stringify!($key) => self.$key = reader.field::<$type>(written), )+
                    _ => return false,
                }
                true
            }
        }
    };
}
pub(super) use table;

impl<T: Table> Value for T {
    type Output = T;

    const KIND: Kind = Kind::Table(T::DESCRIBED);

    fn expected() -> Cow<'static, str> {
        "a table".into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self> {
        let entries = reader.expect::<Self, _>(written, written.get_ref().as_table())?;
        Some(read_table(entries, reader))
    }
}

/// Reads a table whose keys are fixed, and reports every other key.
pub(super) fn read_table<T: Table>(entries: &DeTable<'_>, reader: &mut Reader) -> T {
    let mut table = T::default();
    for (key, written) in in_file_order(entries) {
        let known = reader.under(key.get_ref(), |reader| {
            table.set(key.get_ref(), written, reader)
        });
        if !known && !reader.is_judged(&key.span()) {
            report_unknown::<T>(key, written.get_ref().is_table(), reader);
            reader.conceal_texts(written);
        }
    }
    table
}

/// Reports a key that a table does not have.
fn report_unknown<T: Table>(key: &Spanned<DeString<'_>>, is_table: bool, reader: &mut Reader) {
    let name = key.get_ref();
    let message = match reader.path() {
        "" => format!("unknown key `{name}` at the top level"),
        path => format!("unknown key `{name}` in `{path}`"),
    };
    // A table that has not the name of one is misspelt rather than misplaced.
    let home = if is_table {
        home::header_of(name).map(|header| format!("its header is `{header}`"))
    } else {
        home::help(reader.path(), name)
    };
    let help = home.or_else(|| suggest::help(name, T::KEYS.iter().copied()));
    reader
        .findings
        .push(Diagnostic::error(message).at(key.span()).help_if(help));
}

/// A table whose keys users choose, in the order of the file.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) Vec<Entry<T>>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// One key and value that a user chose.
#[derive(Debug)]
pub(super) struct Entry<T> {
    /// The key, with its place.
    pub(super) key: Spanned<String>,
    /// The value, with its place; `None` when it did not fit and was reported.
    pub(super) value: Option<Spanned<T>>,
}

impl<T: Value> Value for Named<T> {
    type Output = Named<T::Output>;

    const KIND: Kind = Kind::Named(&T::KIND);

    fn expected() -> Cow<'static, str> {
        "a table".into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self::Output> {
        let tables = reader.expect::<Self, _>(written, written.get_ref().as_table())?;
        let mut entries = Vec::new();
        for (key, written) in in_file_order(tables) {
            let parts = dotted::parts::<T>(key, written);
            for part in &parts {
                reader.findings.push(part.finding(reader.path()));
                reader.conceal_texts(part.table);
                reader.judged.push(part.inner.start);
                let key = Spanned::new(part.span.clone(), part.name.clone());
                entries.push(Entry { key, value: None });
            }
            let is_all = written.get_ref().as_table().map(DeTable::len) == Some(parts.len());
            if !parts.is_empty() && is_all {
                continue;
            }
            entries.push(Entry {
                key: Spanned::new(key.span(), key.get_ref().to_string()),
                value: reader.under(key.get_ref(), |reader| <Spanned<T>>::read(written, reader)),
            });
        }
        Some(Named(entries))
    }
}

/// Returns the entries of a table as the file has them; the parser sorts them by name.
pub(super) fn in_file_order<'a, 'i>(
    table: &'a DeTable<'i>,
) -> Vec<(&'a Spanned<DeString<'i>>, &'a Written<'i>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// Returns where a table has a key, and what it has there.
pub(super) fn entry<'t, 'i>(
    table: &'t DeTable<'i>,
    name: &str,
) -> Option<(Range<usize>, &'t Written<'i>)> {
    let (key, value) = table.get_key_value(name)?;
    Some((key.span(), value))
}
