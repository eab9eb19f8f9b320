//! Text that must not be seen: provider keys.
//!
//! What prints a configuration prints `***` here, by type and not by care. The only way to the
//! text is [`Secret::expose`], which is easy to find in a review. Memory is wiped on drop, which
//! keeps keys of replaced configurations out of core dumps; it cannot wipe copies made elsewhere,
//! such as the file's text or a header value.

use std::fmt;

use zeroize::Zeroizing;

/// A key shorter than this is masked whole: four of its characters would say too much of it.
const SHORTEST_PARTLY_SHOWN: usize = 16;

/// A secret text, wiped from memory when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text into keeping.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Returns the text itself, to be sent to whom it belongs and to nobody else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no secret at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns a form that tells an operator which key it is: `sk-…last4`.
    ///
    /// The prefix up to the first `-` is kept when it is as short as `sk-`. Of a key of fewer than
    /// sixteen characters nothing is shown, and an empty one stays empty.
    pub fn masked(&self) -> String {
        let text = self.expose();
        let length = text.chars().count();
        if length == 0 {
            return String::new();
        }
        if length < SHORTEST_PARTLY_SHOWN {
            return "***".to_owned();
        }
        let prefix = text
            .find('-')
            .filter(|&end| end < 4)
            .map_or("", |end| &text[..=end]);
        let last: String = text.chars().skip(length - 4).collect();
        format!("{prefix}…{last}")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::new("sk-canary-0123456789");

        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    }

    #[test]
    fn a_masked_key_shows_its_prefix_and_its_last_four_characters() {
        assert_eq!(Secret::new("sk-proj-0123456789abcd").masked(), "sk-…abcd");
        assert_eq!(Secret::new("AIzaSyD-0123456789abcd").masked(), "…abcd");
    }

    #[test]
    fn a_short_key_is_masked_whole() {
        assert_eq!(Secret::new("sk-123456").masked(), "***");
        assert_eq!(Secret::new("").masked(), "");
    }
}
