//! What becomes of each member of a chat request: the table, and the rows that need no more than it.
//!
//! A member that asks for nothing (`n: 1`, `logprobs: false`, an empty `logit_bias`) is passed over
//! even where it would be refused otherwise: clients send defaults. Members that are not OpenAI's
//! are options of other providers, which share a pool with this one; they are dropped.

use serde_json::{Map, Value};

use super::super::super::translate::Untranslatable;
use super::super::place::Place;

/// What becomes of a member.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// It becomes something else; `request` says what.
    Translated,
    /// It is Anthropic's own and sent as it is.
    Own,
    /// It is left out: a hint, or a label, that does not change what a right answer is.
    Dropped,
    /// It asks for something that the answer would lack, so it is refused with these words, unless
    /// it asks for nothing.
    Refused(fn(&Value) -> bool, &'static str),
}

use Rule::{Dropped, Own, Refused, Translated};

/// One row per member of OpenAI's schema, and Anthropic's own that clients may add.
pub(super) const FIELDS: &[(&str, Rule)] = &[
    ("audio", Dropped),
    ("cache_control", Own),
    ("frequency_penalty", Dropped),
    (
        "function_call",
        Refused(
            never,
            "is not supported by this model's provider; use `tool_choice`",
        ),
    ),
    (
        "functions",
        Refused(
            is_empty,
            "is not supported by this model's provider; use `tools`",
        ),
    ),
    (
        "logit_bias",
        Refused(is_empty, "is not supported by this model's provider"),
    ),
    (
        "logprobs",
        Refused(is_false, "is not supported by this model's provider"),
    ),
    ("max_completion_tokens", Translated),
    ("max_tokens", Translated),
    ("messages", Translated),
    ("metadata", Dropped),
    (
        "modalities",
        Refused(
            is_text,
            "must be `[\"text\"]`: this model's provider answers in text only",
        ),
    ),
    ("model", Dropped),
    (
        "moderation",
        Refused(
            never,
            "is not supported by this model's provider; ask `/v1/moderations`",
        ),
    ),
    ("n", Refused(is_one, "must be 1 for this model's provider")),
    ("parallel_tool_calls", Translated),
    ("prediction", Dropped),
    ("presence_penalty", Dropped),
    ("prompt_cache_key", Dropped),
    ("prompt_cache_options", Dropped),
    ("prompt_cache_retention", Dropped),
    ("reasoning_effort", Translated),
    ("response_format", Translated),
    ("safety_identifier", Translated),
    ("seed", Dropped),
    ("service_tier", Translated),
    ("stop", Translated),
    ("store", Dropped),
    ("stream", Translated),
    ("stream_options", Dropped),
    ("temperature", Translated),
    ("thinking", Own),
    ("tool_choice", Translated),
    ("tools", Translated),
    ("top_k", Own),
    (
        "top_logprobs",
        Refused(is_zero, "is not supported by this model's provider"),
    ),
    ("top_p", Translated),
    ("user", Translated),
    ("verbosity", Dropped),
    (
        "web_search_options",
        Refused(never, "is not supported by this model's provider"),
    ),
];

/// The members of a request; what was taken is gone.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a body and refuses what [`FIELDS`] refuses.
    pub(super) fn read(body: &[u8]) -> Result<Self, Untranslatable> {
        let members = serde_json::from_slice::<Map<String, Value>>(body);
        let members = members.map_err(|error| Untranslatable::unreadable(&error))?;
        for (name, rule) in FIELDS {
            if let (Refused(asks_nothing, reason), Some(value)) = (rule, members.get(*name))
                && !value.is_null()
                && !asks_nothing(value)
            {
                return Err(Place::of(name).refuse(reason));
            }
        }
        Ok(Self(members))
    }

    /// Takes a member out; null counts as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a string out.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Untranslatable> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Place::of(name).refuse("must be a string")),
        }
    }

    /// Takes a boolean out.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Untranslatable> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(Place::of(name).refuse("must be a boolean")),
        }
    }

    /// Takes a whole number of at least one out.
    pub(super) fn count(&mut self, name: &str) -> Result<Option<u64>, Untranslatable> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(count) if count > 0 => Ok(Some(count)),
                _ => Err(Place::of(name).refuse("must be a whole number of at least 1")),
            },
        }
    }

    /// Takes a number between zero and `most` out.
    pub(super) fn share(&mut self, name: &str, most: f64) -> Result<Option<f64>, Untranslatable> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) if (0.0..=most).contains(&number) => Ok(Some(number)),
                _ => {
                    let reason = format!("must be a number from 0 to {most}");
                    Err(Place::of(name).refuse(&reason))
                }
            },
        }
    }
}

fn never(_: &Value) -> bool {
    false
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn is_false(value: &Value) -> bool {
    value == false
}

fn is_zero(value: &Value) -> bool {
    value == 0
}

fn is_one(value: &Value) -> bool {
    value == 1
}

fn is_text(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|kinds| kinds.iter().all(|kind| kind == "text"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::translate;
    use super::*;

    #[test]
    fn every_member_is_treated_as_its_row_says() {
        let plain = json!({"messages": [{"role": "user", "content": "hello"}]});
        let translated = |body: &Value| translate(body.to_string().as_bytes(), "claude-sonnet-4-5");
        let without = translated(&plain).unwrap().body;
        for (name, rule) in FIELDS {
            let odd = json!({"odd": true});
            let mut request = plain.clone();
            request[name] = odd.clone();

            let with = translated(&request);

            match rule {
                // None of them is an object like this one.
                Translated | Refused(..) => {
                    assert!(with.unwrap_err().param.starts_with(name), "{name}");
                }
                Own => assert_eq!(with.unwrap().body[name], odd),
                Dropped => assert_eq!(with.unwrap().body, without, "{name}"),
            }
        }
    }
}
