//! Names of providers, models, users and tags, each its own type.
//!
//! Identity is typed so that a provider's name cannot be looked up among models, and no code ever
//! joins names into a string to split it again (a model's name may contain any separator).
//!
//! A name is shared text: cloning one copies a pointer. It is not empty, has no white space or
//! control characters, and is at most [`MAX_BYTES`] long, so it can be a header value, a metric
//! label and a log field without escaping.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The longest name, in bytes: far more than any real model id, far less than a header line.
pub const MAX_BYTES: usize = 256;

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text has no characters.
    #[error("it is empty")]
    Empty,
    /// The text is longer than [`MAX_BYTES`].
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// The text contains this character, which is white space or a control character.
    #[error("it contains {0:?}; white space and control characters are not allowed")]
    Character(char),
}

/// Returns `text` when it may be a name.
fn check(text: &str) -> Result<&str, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_BYTES {
        return Err(NameError::TooLong);
    }
    match text.chars().find(|c| c.is_whitespace() || c.is_control()) {
        Some(character) => Err(NameError::Character(character)),
        None => Ok(text),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns `text` as a name.
            ///
            /// # Errors
            /// Says what is wrong with `text` when it is empty, too long, or has white space or
            /// control characters.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check(text).map(|text| Self(Arc::from(text)))
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The id of a configured provider: the `a` of `[providers.a]`.
    ProviderName
}
name! {
    /// A name under which clients ask for a model: its public name, or its key in the file.
    ModelName
}
name! {
    /// The id of a user: the `a` of `[users.a]`. It is public; the token is not.
    UserName
}

impl UserName {
    /// Returns a name of our own, which need not be checked.
    pub(crate) fn own(text: &'static str) -> Self {
        Self(Arc::from(text))
    }
}

name! {
    /// A label that users and backends share; see [`User::may_use_backend`](crate::User::may_use_backend).
    Tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_prints_as_it_was_written() {
        let name = ModelName::parse("anthropic/claude:beta").unwrap();

        assert_eq!(name.to_string(), "anthropic/claude:beta");
        assert_eq!(format!("{name:?}"), r#""anthropic/claude:beta""#);
    }

    #[test]
    fn a_name_is_not_empty_and_has_no_white_space_or_control_characters() {
        assert_eq!(Tag::parse(""), Err(NameError::Empty));
        assert_eq!(Tag::parse("a b"), Err(NameError::Character(' ')));
        assert_eq!(
            Tag::parse("a\u{3000}b"),
            Err(NameError::Character('\u{3000}'))
        );
        assert_eq!(Tag::parse("a\0"), Err(NameError::Character('\0')));
    }

    #[test]
    fn a_name_may_be_as_long_as_the_limit_and_no_longer() {
        assert!(UserName::parse(&"a".repeat(MAX_BYTES)).is_ok());
        assert_eq!(
            UserName::parse(&"a".repeat(MAX_BYTES + 1)),
            Err(NameError::TooLong)
        );
    }

    #[test]
    fn a_map_keyed_by_names_is_searched_by_text() {
        let names = std::collections::BTreeSet::from([ProviderName::parse("openai").unwrap()]);

        assert!(names.contains("openai"));
    }
}
