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

/// What keys and tokens in examples have in them, and real ones do not. `berry-demo` are the tokens of
/// the demo, `choose-a` is that of the README.
const PLACEHOLDERS: [&str; 18] = [
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
    "insert-",
    "choose-a",
    "placeholder",
    "berry-demo",
    "...",
    "***",
    "<",
    ">",
];

/// What stands for a key or token that is still to come, when it is all there is.
const NOTES: [&str; 3] = ["todo", "tbd", "fixme"];

/// How values begin that other programs take from the environment.
const FOREIGN_REFERENCES: [&str; 5] = ["$(", "$env:", "env:", "env.", "os.environ"];

/// What to do about them.
const VARIABLE: &str = "an environment variable is written `${NAME}`, and is the whole value";

/// What comes before a credential in a header, where it is the gateway that writes it.
const SCHEME: &str = "bearer ";

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

    /// Whether a credential can be sent in a header as it is; reports it when not.
    pub(super) fn is_sendable(
        &mut self,
        role: Role<'_>,
        written: &Spanned<Secret>,
        value: &Secret,
    ) -> bool {
        let text = value.expose();
        if text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return true;
        }
        let scheme = text.get(..SCHEME.len());
        let finding = if scheme.is_some_and(|start| start.eq_ignore_ascii_case(SCHEME)) {
            Diagnostic::error(format!("{role} has `Bearer` before it"))
                .help("leave it out: only requests have it, and there it is added")
        } else if text.trim().len() < text.len() {
            Diagnostic::error(format!("{role} has white space or a line break around it"))
                .help("leave out what is before and after it")
        } else {
            let what = "has white space or characters outside ASCII in it";
            let help = is_reference(text).then(|| VARIABLE.to_owned());
            Diagnostic::error(format!("{role} {what}")).help_if(help)
        };
        self.findings.push(finding.at(written.span()));
        false
    }

    /// Whether a secret that cannot be encrypted is not; reports it when it is.
    pub(super) fn is_open(
        &mut self,
        role: Role<'_>,
        written: &Spanned<Secret>,
        value: &Secret,
        help: &str,
    ) -> bool {
        let is_open = !sealed::is_marked(value.expose());
        if !is_open {
            let message = format!("{role} is encrypted, which only an `api_key` can be");
            self.findings
                .push(Diagnostic::error(message).at(written.span()).help(help));
        }
        is_open
    }

    /// Warns about a value that was meant to be that of a variable; returns whether it did.
    pub(super) fn warn_if_literal(
        &mut self,
        role: Role<'_>,
        written: &Spanned<Secret>,
        value: &Secret,
    ) -> bool {
        let is_literal = is_reference(value.expose());
        if is_literal {
            let finding = Diagnostic::warning(format!("{role} is taken literally")).help(VARIABLE);
            self.findings.push(finding.at(written.span()));
        }
        is_literal
    }

    /// Warns about a key or token that is none yet; returns whether it did.
    pub(super) fn warn_if_unreal(
        &mut self,
        role: Role<'_>,
        written: &Spanned<Secret>,
        value: &Secret,
    ) -> bool {
        let text = value.expose();
        let message = if let Some(word) = placeholder(text) {
            format!("{role} has `{word}` in it, as placeholders have")
        } else if is_variables_name(text) {
            format!("{role} looks like the name of an environment variable")
        } else {
            return self.warn_if_literal(role, written, value);
        };
        let finding = Diagnostic::warning(message).at(written.span());
        self.findings
            .push(finding.help("write the real one, or `${NAME}` for the value of a variable"));
        true
    }
}

/// Whether a text refers to a variable, and not in the way that is understood here.
fn is_reference(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let within = |start: &str, end: &str| {
        let rest = text.strip_prefix(start);
        let inner = rest.and_then(|rest| rest.strip_suffix(end));
        inner.is_some_and(|inner| !inner.is_empty())
    };
    text.contains("${")
        || within("{{", "}}")
        || within("%", "%")
        || text.strip_prefix('$').is_some_and(is_word)
        || FOREIGN_REFERENCES
            .into_iter()
            .any(|start| lower.starts_with(start))
}

/// Whether a text is what variables of the environment are called, such as `OPENAI_API_KEY`.
fn is_variables_name(text: &str) -> bool {
    let is_upper = !text.bytes().any(|byte| byte.is_ascii_lowercase());
    is_word(text) && is_upper && text.contains('_')
}

/// Whether a text begins with a letter and has only letters, digits and `_` in it.
fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Returns the word by which a key or token is seen to be a placeholder.
fn placeholder(value: &str) -> Option<&'static str> {
    let value = value.to_ascii_lowercase();
    let mut contained = PLACEHOLDERS.into_iter();
    let word = contained.find(|word| value.contains(word));
    word.or_else(|| NOTES.into_iter().find(|note| value == *note))
}
