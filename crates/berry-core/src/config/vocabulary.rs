//! The names that the crates above implement, as the configuration checks them.
//!
//! Strategies and protocols live with their code; this crate only compares their names, so that a
//! misspelt strategy is found together with everything else that is wrong in the file.

/// The names a configuration may use.
#[derive(Debug, Clone, Copy)]
pub struct Vocabulary<'a> {
    /// What `strategy` may be.
    pub strategies: &'a [Term],
    /// What `backend_type` may be.
    pub protocols: &'a [Term],
}

/// One name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// The name as it is printed, in `snake_case`.
    pub name: &'static str,
    /// Other spellings that are accepted.
    pub aliases: &'static [&'static str],
    /// Keys of a backend that make no difference under it.
    pub ignores: &'static [&'static str],
    /// Whether it can be used; a name that is documented and not yet built is known and refused.
    pub available: bool,
}

impl Term {
    /// Returns whether `text` is this name or an alias, in any case and with or without underscores.
    pub fn is_called(&self, text: &str) -> bool {
        std::iter::once(&self.name)
            .chain(self.aliases)
            .any(|name| same_name(name, text))
    }
}

/// Returns the term that `text` names.
pub(super) fn find<'a>(terms: &'a [Term], text: &str) -> Option<&'a Term> {
    terms.iter().find(|term| term.is_called(text))
}

/// Whether two spellings are one name: `snake_case`, `PascalCase` and `UPPERCASE` are.
pub(super) fn same_name(a: &str, b: &str) -> bool {
    fn letters(text: &str) -> impl Iterator<Item = char> {
        text.chars()
            .filter(|&c| c != '_')
            .flat_map(char::to_lowercase)
    }
    letters(a).eq(letters(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_every_usual_spelling() {
        for spelling in ["weighted_failover", "WeightedFailover", "WEIGHTED_FAILOVER"] {
            assert!(same_name("weighted_failover", spelling), "{spelling}");
        }
        assert!(!same_name("failover", "weighted_failover"));
    }
}
