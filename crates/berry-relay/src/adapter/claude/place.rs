//! Where in a request a value is, as OpenAI's errors name it: `messages[2].content[0].type`.
//!
//! A place is written out only when something is wrong there: until then it is a few pointers.

use std::fmt;

use super::super::translate::Untranslatable;

/// See the module's documentation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    within: Option<&'a Self>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Member(&'a str),
    Item(usize),
}

impl<'a> Place<'a> {
    /// Returns the place of a member of the request itself.
    pub(super) const fn of(member: &'a str) -> Self {
        Self {
            within: None,
            step: Step::Member(member),
        }
    }

    /// Returns the place of a member of the object that is here.
    pub(super) const fn member(&'a self, name: &'a str) -> Self {
        Self {
            within: Some(self),
            step: Step::Member(name),
        }
    }

    /// Returns the place of an item of the array that is here.
    pub(super) const fn item(&'a self, index: usize) -> Self {
        Self {
            within: Some(self),
            step: Step::Item(index),
        }
    }

    /// Says what is wrong with the value that is here: `reason` follows its name.
    pub(super) fn refuse(&self, reason: &str) -> Untranslatable {
        let param = self.to_string();
        let message = format!("`{param}` {reason}");
        Untranslatable { param, message }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(within) = self.within {
            within.fmt(f)?;
        }
        match self.step {
            Step::Member(name) if self.within.is_none() => f.write_str(name),
            Step::Member(name) => write!(f, ".{name}"),
            Step::Item(index) => write!(f, "[{index}]"),
        }
    }
}
