//! Takes a request's members out of its tree, checks their types, and says where one is wrong.
//!
//! Values are moved, not copied: an image may be megabytes. Null counts as absent, as OpenAI's
//! schema has it. A complaint names its place relative to the object it was found in; whoever went
//! into that object puts the place of the object before it ([`within`]), so that a request without
//! a mistake pays nothing for it.

use std::fmt::{Display, Write as _};

use serde_json::{Map, Number, Value};

use crate::adapter::translate::Untranslatable;

/// Makes a complaint about a member.
pub(super) fn refuse(param: &str, message: impl Into<String>) -> Untranslatable {
    Untranslatable {
        param: param.to_owned(),
        message: message.into(),
    }
}

/// Returns what puts the place of an object before a complaint about one of its members.
pub(super) fn within(place: impl Display) -> impl FnOnce(Untranslatable) -> Untranslatable {
    move |mut complaint| {
        let inner = std::mem::take(&mut complaint.param);
        // Writing into a String cannot fail.
        let _ = match inner.as_str() {
            "" => write!(complaint.param, "{place}"),
            inner if inner.starts_with('[') => write!(complaint.param, "{place}{inner}"),
            inner => write!(complaint.param, "{place}.{inner}"),
        };
        complaint
    }
}

/// Puts the whole place into the message, for those who read nothing else.
pub(super) fn named(mut complaint: Untranslatable) -> Untranslatable {
    if !complaint.param.is_empty() {
        complaint.message = format!("`{}`: {}", complaint.param, complaint.message);
    }
    complaint
}

/// An object whose members are taken one by one.
#[derive(Debug)]
pub(super) struct Members(Map<String, Value>);

impl Members {
    /// Reads a request's body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Untranslatable> {
        let members = serde_json::from_slice(body).map(Self);
        members.map_err(|error| Untranslatable::unreadable(&error))
    }

    /// Takes an object apart.
    pub(super) fn of(value: Value) -> Result<Self, Untranslatable> {
        match value {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(refuse("", "it must be an object")),
        }
    }

    /// Takes a member of any type.
    pub(super) fn value(&mut self, key: &str) -> Option<Value> {
        let value = self.0.get_mut(key)?.take();
        (!value.is_null()).then_some(value)
    }

    /// Returns the keys of the members that were not taken.
    pub(super) fn rest(&self) -> impl Iterator<Item = &str> {
        let rest = self.0.iter().filter(|(_, value)| !value.is_null());
        rest.map(|(key, _)| key.as_str())
    }

    /// Takes a string.
    pub(super) fn string(&mut self, key: &str) -> Result<Option<String>, Untranslatable> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(refuse(key, "it must be a string")),
        }
    }

    /// Takes a string that must be there.
    pub(super) fn needed(&mut self, key: &str) -> Result<String, Untranslatable> {
        let text = self.string(key)?;
        text.ok_or_else(|| refuse(key, "it is missing"))
    }

    /// Takes a number.
    pub(super) fn number(&mut self, key: &str) -> Result<Option<Number>, Untranslatable> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Number(number)) if number.as_f64().is_some_and(f64::is_finite) => {
                Ok(Some(number))
            }
            Some(_) => Err(refuse(key, "it must be a number")),
        }
    }

    /// Takes a whole number that is not negative.
    pub(super) fn count(&mut self, key: &str) -> Result<Option<u64>, Untranslatable> {
        let complaint = || refuse(key, "it must be a whole number that is not negative");
        let number = self.value(key);
        number
            .map(|number| number.as_u64().ok_or_else(complaint))
            .transpose()
    }

    /// Takes a boolean.
    pub(super) fn boolean(&mut self, key: &str) -> Result<Option<bool>, Untranslatable> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Bool(set)) => Ok(Some(set)),
            Some(_) => Err(refuse(key, "it must be a boolean")),
        }
    }

    /// Takes an array.
    pub(super) fn array(&mut self, key: &str) -> Result<Option<Vec<Value>>, Untranslatable> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(_) => Err(refuse(key, "it must be an array")),
        }
    }

    /// Takes an object.
    pub(super) fn object(&mut self, key: &str) -> Result<Option<Self>, Untranslatable> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self(members))),
            Some(_) => Err(refuse(key, "it must be an object")),
        }
    }

    /// Takes an object that must be there.
    pub(super) fn needed_object(&mut self, key: &str) -> Result<Self, Untranslatable> {
        let object = self.object(key)?;
        object.ok_or_else(|| refuse(key, "it is missing"))
    }
}

/// Makes an object of values, which are moved: `json!` would copy them.
pub(super) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members.into_iter();
    Value::Object(
        members
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

/// Puts a member that is there.
pub(super) fn put(object: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value.into());
    }
}
