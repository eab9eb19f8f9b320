//! Which file is the configuration.

use std::path::{Path, PathBuf};

use crate::env;

/// Where a configuration is looked for, in this order, and whether finding it there means that an
/// example is being served.
const PLACES: &[(&str, bool)] = &[
    ("config.toml", false),
    ("/etc/berry-api/config.toml", false),
    ("config-example.toml", true),
    ("config/smart_ai_example.toml", true),
];

/// The file to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Where it is.
    pub path: PathBuf,
    /// It ships with Berry as an example.
    pub is_example: bool,
}

/// No file was named and none found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no configuration found: looked for `config.toml`, `/etc/berry-api/config.toml`, \
     `config-example.toml` and `config/smart_ai_example.toml`; name one with `--config` or \
     `{}`",
    env::CONFIG_PATH
)]
pub struct NotFound;

impl ConfigFile {
    /// Chooses the file: the one named on the command line, the one named by the environment, or
    /// the first that exists. One that is named is not looked at here: it must be there.
    ///
    /// # Errors
    /// None is named and none exists.
    pub fn find(argument: Option<PathBuf>) -> Result<Self, NotFound> {
        let named = argument.or_else(|| env::read_path(env::CONFIG_PATH).map(PathBuf::from));
        Self::choose(named, Path::exists)
    }

    fn choose(named: Option<PathBuf>, exists: impl Fn(&Path) -> bool) -> Result<Self, NotFound> {
        if let Some(path) = named {
            return Ok(Self {
                path,
                is_example: false,
            });
        }
        let found = PLACES.iter().find(|(path, _)| exists(Path::new(path)));
        let (path, is_example) = *found.ok_or(NotFound)?;
        Ok(Self {
            path: path.into(),
            is_example,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(existing: &[&str]) -> Option<(String, bool)> {
        let exists = |path: &Path| existing.contains(&path.to_str().unwrap());
        let file = ConfigFile::choose(None, exists).ok()?;
        Some((file.path.display().to_string(), file.is_example))
    }

    #[test]
    fn a_named_config_file_is_taken_whether_it_exists_or_not() {
        let file = ConfigFile::choose(Some("x.toml".into()), |_| false).unwrap();

        assert_eq!(
            file,
            ConfigFile {
                path: "x.toml".into(),
                is_example: false
            }
        );
    }

    #[test]
    fn config_files_are_looked_for_in_order_and_examples_come_last() {
        let example = Some(("config-example.toml".to_owned(), true));
        assert_eq!(
            chosen(&["config.toml", "config-example.toml"]),
            Some(("config.toml".to_owned(), false))
        );
        assert_eq!(
            chosen(&["config/smart_ai_example.toml", "config-example.toml"]),
            example
        );
        assert_eq!(chosen(&[]), None);
    }
}
