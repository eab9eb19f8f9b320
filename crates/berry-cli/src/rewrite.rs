//! Texts in a configuration file, however its tables are written, and other texts in their place.
//!
//! All else of the file stays as it is, byte for byte. It is rewritten as a whole or not at all:
//! beside it first, then renamed over it.

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::Context;
use berry_core::Source;
use berry_core::config::variable;
use tempfile::NamedTempFile;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// A file that is to be rewritten.
pub(crate) struct File {
    path: PathBuf,
    source: Source,
}

/// A text in it.
pub(crate) struct Text {
    /// The table, among those of its kind, in which it is.
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) value: String,
    /// Where it is, quotes included.
    span: Range<usize>,
}

impl Text {
    /// Whether it stands for the value of an environment variable, which a digest never does.
    pub(crate) fn is_variable(&self) -> bool {
        self.key != "token_sha256" && variable(&self.value).is_some()
    }
}

impl File {
    /// Reads a file; a link is followed, and stays one.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let path =
            fs::canonicalize(path).with_context(|| format!("no file at `{}`", path.display()))?;
        let source = Source::read(&path)?;
        Ok(Self { path, source })
    }

    /// Returns the texts with these keys in the tables of a kind, in the file's order.
    pub(crate) fn texts(&self, kind: &str, keys: &[&str]) -> anyhow::Result<Vec<Text>> {
        let tree = self.tree()?;
        let mut texts = Vec::new();
        for (id, table) in tables(&tree, kind) {
            for (key, value) in table.get_ref().as_table().into_iter().flatten() {
                if keys.contains(&&**key.get_ref())
                    && let Some(text) = value.get_ref().as_str()
                {
                    texts.push(Text {
                        id: id.get_ref().to_string(),
                        key: key.get_ref().to_string(),
                        value: text.to_owned(),
                        span: value.span(),
                    });
                }
            }
        }
        texts.sort_by_key(|text| text.span.start);
        Ok(texts)
    }

    /// Returns the names of the tables of a kind, sorted.
    pub(crate) fn ids(&self, kind: &str) -> anyhow::Result<Vec<String>> {
        let tree = self.tree()?;
        let ids = tables(&tree, kind).map(|(id, _)| id.get_ref().to_string());
        Ok(ids.collect())
    }

    fn tree(&self) -> anyhow::Result<DeTable<'_>> {
        let tree = DeTable::parse(self.source.text()).map_err(|error| {
            anyhow::anyhow!(
                "the file is no TOML: {}; see `validate-config`",
                error.message()
            )
        })?;
        Ok(tree.into_inner())
    }

    /// Puts others in the place of these texts. They are of digits, letters and punctuation that TOML
    /// has as it is.
    pub(crate) fn put(self, texts: Vec<(Text, String)>) -> anyhow::Result<()> {
        let mut whole = self.source.text().to_owned();
        // From the end, so that the places before stay right.
        for (text, new) in texts.into_iter().rev() {
            whole.replace_range(text.span, &format!("\"{new}\""));
        }
        replace(&self.path, &whole)
    }
}

/// Returns the tables of a kind, and their names.
fn tables<'t, 'i>(
    tree: &'t DeTable<'i>,
    kind: &str,
) -> impl Iterator<Item = (&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let tables = tree
        .get(kind)
        .and_then(|tables| tables.get_ref().as_table());
    tables.into_iter().flatten()
}

/// Puts this text in a file's place, for the same owner and readers.
pub(crate) fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let wrong = || format!("`{}` cannot be rewritten", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut beside = NamedTempFile::new_in(folder).with_context(wrong)?;
    beside.write_all(text.as_bytes()).with_context(wrong)?;
    beside.as_file().sync_all().with_context(wrong)?;
    let (old, new) = (fs::metadata(path), beside.as_file().metadata());
    let (old, new) = (old.with_context(wrong)?, new.with_context(wrong)?);
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        fchown(&beside, Some(old.uid()), Some(old.gid()))
            .with_context(|| format!("`{}` would get another owner or group", path.display()))?;
    }
    beside
        .as_file()
        .set_permissions(old.permissions())
        .with_context(wrong)?;
    beside.persist(path).with_context(wrong)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn a_variable_is_what_the_configuration_takes_for_one() {
        for (key, value, expected) in [
            ("token", "${ADA}", true),
            ("api_key", "${KEY_1}", true),
            ("token", "a${ADA}", false),
            ("token", "${}", false),
            ("token", "${ADA:-none}", false),
            ("token_sha256", "${ADA}", false),
        ] {
            let text = Text {
                id: "ada".to_owned(),
                key: key.to_owned(),
                value: value.to_owned(),
                span: 0..0,
            };
            assert_eq!(text.is_variable(), expected, "{key} = {value}");
        }
    }
}
