//! The part of a URL behind `?`, on pages of our own.
//!
//! A parameter that is misspelt, or there twice, would have a page show something else than was asked
//! for: it is refused, and so is a value that cannot be read, in words that say what could stand there.

use axum::extract::{FromRequestParts, Query};
use http::Uri;
use http::request::Parts;

use crate::error::ApiError;

/// The most of a value that is shown to who sent it.
const SHOWN: usize = 64;

/// All parameters, as they are written; an extractor.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Parameter {
    name: &'static str,
    value: String,
}

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Self::of(&parts.uri)
    }
}

impl Parameters {
    /// Finds those of a URL.
    pub(crate) fn of(uri: &Uri) -> Result<Self, ApiError> {
        let pairs = Query::try_from_uri(uri);
        let Query(pairs) = pairs.map_err(|_| ApiError::unreadable_query())?;
        Ok(Self(pairs))
    }

    /// Returns those with these names, which are all that there may be.
    pub(crate) fn named<const COUNT: usize>(
        self,
        names: [&'static str; COUNT],
    ) -> Result<[Option<Parameter>; COUNT], ApiError> {
        let mut found = names.map(|_| None);
        for (name, value) in self.0 {
            let mut places = names.iter().zip(&mut found);
            match places.find(|(known, _)| ***known == *name) {
                Some((name, place @ None)) => *place = Some(Parameter { name, value }),
                Some((name, Some(_))) => return Err(ApiError::repeated_query(name)),
                None => return Err(ApiError::unknown_query(&shown(&name), &names)),
            }
        }
        Ok(found)
    }
}

impl Parameter {
    /// Reads the value; `allowed` says in words what can be read.
    pub(crate) fn read<T>(
        &self,
        allowed: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ApiError> {
        read(&self.value).ok_or_else(|| self.refused(allowed))
    }

    /// Returns the value, whatever it is.
    pub(crate) fn into_value(self) -> String {
        self.value
    }

    /// Returns whether it says yes.
    pub(crate) fn is_true(&self) -> Result<bool, ApiError> {
        self.read("`true` or `false`", |value| value.parse().ok())
    }

    fn refused(&self, allowed: &str) -> ApiError {
        ApiError::invalid_query(self.name, &shown(&self.value), allowed)
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
