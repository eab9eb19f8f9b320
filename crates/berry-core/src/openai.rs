//! The wire shapes Berry writes itself, as official SDKs expect them: errors and model lists.
//!
//! Answers of providers are passed on as bytes and have no types here. Which status and code
//! belong to which cause is decided where HTTP is spoken; this file only knows the shape.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::name::ModelName;

/// The `created` of every listed model, as a Unix time: Berry does not know when a provider made
/// its model, and a constant keeps clients' caches and sorted lists stable.
const CREATED: i64 = 1_735_689_600;

/// The class of an error: the member `type`, by which clients choose an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub enum ErrorKind {
    /// The request cannot be served as it is, whoever sends it again.
    #[serde(rename = "invalid_request_error")]
    InvalidRequest,
    /// The user is known and may not do this.
    #[serde(rename = "permission_error")]
    Permission,
    /// Too many requests; a later one may succeed.
    #[serde(rename = "rate_limit_error")]
    RateLimit,
    /// The request was fine and could not be served.
    #[serde(rename = "server_error")]
    Server,
}

/// An error as clients see it: `{"error":{"message","type","param","code"}}`.
///
/// All four members are always written, `null` when absent. `message` is for the client: it names
/// no URL, host, key or other user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorBody {
    /// What is wrong, for people.
    pub message: Cow<'static, str>,
    /// The member `type`.
    pub kind: ErrorKind,
    /// The member of the request that is at fault.
    pub param: Option<Cow<'static, str>>,
    /// What is wrong, for programs.
    pub code: Option<Cow<'static, str>>,
    /// The status the answer would have had, written only when present: for error events in a
    /// stream whose real status has been sent.
    pub status: Option<u16>,
}

impl ErrorBody {
    /// Makes an error without `param`, `code` and `status`.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            kind,
            param: None,
            code: None,
            status: None,
        }
    }

    /// Sets the member of the request that is at fault.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Sets what is wrong, for programs.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Sets the status that an error event carries in place of the answer's head.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Returns the body of an error answer.
    pub fn to_json(&self) -> Vec<u8> {
        // Writing text members into memory has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Returns the error as one server-sent event, for a stream that ends with it.
    pub fn to_event(&self) -> Vec<u8> {
        let mut event = b"data: ".to_vec();
        event.extend_from_slice(&self.to_json());
        event.extend_from_slice(b"\n\n");
        event
    }
}

impl Serialize for ErrorBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut outer = serializer.serialize_struct("ErrorBody", 1)?;
        outer.serialize_field("error", &Members(self))?;
        outer.end()
    }
}

/// The inside of `{"error":…}`.
struct Members<'a>(&'a ErrorBody);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let error = self.0;
        let mut members = serializer.serialize_struct("Error", 5)?;
        members.serialize_field("message", &error.message)?;
        members.serialize_field("type", &error.kind)?;
        members.serialize_field("param", &error.param)?;
        members.serialize_field("code", &error.code)?;
        match error.status {
            Some(status) => members.serialize_field("status", &status)?,
            None => members.skip_field("status")?,
        }
        members.end()
    }
}

/// A model as `/v1/models/{id}` shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ModelObject {
    /// The public name.
    pub id: String,
    /// Always `model`.
    pub object: &'static str,
    /// A constant Unix time.
    pub created: i64,
    /// Always `berry-api`.
    pub owned_by: &'static str,
}

impl ModelObject {
    /// Describes the model of this public name.
    pub fn new(name: &ModelName) -> Self {
        Self {
            id: name.to_string(),
            object: "model",
            created: CREATED,
            owned_by: "berry-api",
        }
    }
}

/// The models of `/v1/models`, sorted by id.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ModelList {
    /// Always `list`.
    pub object: &'static str,
    /// The models.
    pub data: Vec<ModelObject>,
}

impl ModelList {
    /// Lists the models of these public names, whatever their order.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a ModelName>) -> Self {
        let mut data: Vec<_> = names.into_iter().map(ModelObject::new).collect();
        data.sort_by(|a, b| a.id.cmp(&b.id));
        Self {
            object: "list",
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_error_body_has_all_four_members() {
        let error = ErrorBody::new(ErrorKind::Server, "no endpoint is available");

        assert_snapshot!(
            text(error.to_json()),
            @r#"{"error":{"message":"no endpoint is available","type":"server_error","param":null,"code":null}}"#
        );
    }

    #[test]
    fn an_error_event_carries_the_status_that_could_not_be_sent() {
        let error = ErrorBody::new(ErrorKind::InvalidRequest, "`model` must be a string")
            .with_param("model")
            .with_code("invalid_type")
            .with_status(400);

        assert_snapshot!(
            text(error.to_event()).escape_debug(),
            @r#"data: {\"error\":{\"message\":\"`model` must be a string\",\"type\":\"invalid_request_error\",\"param\":\"model\",\"code\":\"invalid_type\",\"status\":400}}\n\n"#
        );
    }

    #[test]
    fn models_are_listed_by_id() {
        let names = ["b", "a"].map(|name| ModelName::parse(name).unwrap());

        let list = ModelList::new(&names);

        assert_snapshot!(
            serde_json::to_string(&list).unwrap(),
            @r#"{"object":"list","data":[{"id":"a","object":"model","created":1735689600,"owned_by":"berry-api"},{"id":"b","object":"model","created":1735689600,"owned_by":"berry-api"}]}"#
        );
    }
}
