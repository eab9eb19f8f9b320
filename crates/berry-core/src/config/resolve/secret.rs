//! Resolves what is secret: where its value is kept, and whether that can be a real one.
//!
//! Keys, tokens and the values of headers are written alike: as they are, or as `${NAME}` for a
//! variable of the environment. Nothing here shows a value; the names of variables are none.

use std::fmt;

use toml::Spanned;

use super::Resolver;
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::variable;
use crate::config::sealed;
use crate::secret::Secret;

/// What keys and tokens in examples have in them, and real ones do not.
const PLACEHOLDERS: [&str; 10] = [
    "your-",
    "your_",
    "xxxx",
    "changeme",
    "change-me",
    "change_me",
    "replaceme",
    "replace-me",
    "replace_me",
    "put-",
];

/// What stands for a key or token that is still to come, when it is all there is.
const NOTES: [&str; 3] = ["todo", "tbd", "fixme"];

/// What a secret is, as in "the key of provider `a`".
#[derive(Debug, Clone, Copy)]
pub(super) struct Role<'a> {
    /// Such as "key".
    pub(super) noun: &'a str,
    /// Such as "provider `a`".
    pub(super) owner: &'a str,
    /// Whether the owner is in use, so that the value must be there.
    pub(super) is_needed: bool,
}

impl fmt::Display for Role<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} of {}", self.noun, self.owner)
    }
}

impl Resolver<'_> {
    /// Returns a secret's value, which may be that of an environment variable; `None` when the
    /// variable is not set, which is reported where the value is needed.
    pub(super) fn secret(&mut self, role: Role<'_>, written: &Spanned<Secret>) -> Option<Secret> {
        let Some(name) = variable(written.get_ref().expose()) else {
            return Some(written.get_ref().clone());
        };
        let value = (self.environment)(name);
        if value.is_none() && role.is_needed {
            let Role { noun, owner, .. } = role;
            let message = format!(
                "{owner} takes its {noun} from the environment variable `{name}`, which is not set"
            );
            self.error(written.span(), message);
        }
        value.map(|value| Secret::new(value.trim()))
    }

    /// Whether a secret that cannot be encrypted is not; reports it when it is.
    pub(super) fn is_open(
        &mut self,
        role: Role<'_>,
        written: &Spanned<Secret>,
        value: &Secret,
        help: &str,
    ) -> bool {
        let is_open = !sealed::is_sealed(value.expose());
        if !is_open {
            let message = format!("{role} is encrypted, which only an `api_key` can be");
            self.findings
                .push(Diagnostic::error(message).at(written.span()).help(help));
        }
        is_open
    }

    /// Warns about a value that names a variable and is none itself; returns whether it did.
    pub(super) fn warn_if_literal(
        &mut self,
        role: Role<'_>,
        written: &Spanned<Secret>,
        value: &Secret,
    ) -> bool {
        let is_literal = value.expose().contains("${");
        if is_literal {
            let finding = Diagnostic::warning(format!("{role} is taken literally"))
                .help("an environment variable must be the whole value: `${NAME}`");
            self.findings.push(finding.at(written.span()));
        }
        is_literal
    }

    /// Warns about a key or token that somebody meant to replace; returns whether it did.
    pub(super) fn warn_if_placeholder(
        &mut self,
        role: Role<'_>,
        written: &Spanned<Secret>,
        value: &Secret,
    ) -> bool {
        let word = placeholder(value.expose());
        if let Some(word) = word {
            let message = format!("{role} has `{word}` in it, as placeholders have");
            self.warning(written.span(), message);
        }
        word.is_some()
    }
}

/// Returns the word by which a key or token is seen to be a placeholder.
fn placeholder(value: &str) -> Option<&'static str> {
    let value = value.to_ascii_lowercase();
    let mut contained = PLACEHOLDERS.into_iter();
    let word = contained.find(|word| value.contains(word));
    word.or_else(|| NOTES.into_iter().find(|note| value == *note))
}
