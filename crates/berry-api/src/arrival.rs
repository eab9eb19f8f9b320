//! Where a request comes from, and what it is called.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use berry_core::{ModelName, UserName};
use berry_relay::trace::TraceContext;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use uuid::Uuid;

use crate::server::Seat;
use crate::telemetry::visit::Visit;

/// The header that names a request in both directions.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken over from a client.
const LONGEST_ID: usize = 128;

/// A request's name in logs and answers.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// Takes the client's own id if it is a sane one, else makes one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let sane = |id: &&HeaderValue| {
            let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
            (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(allowed)
        };
        headers
            .get(X_REQUEST_ID)
            .filter(sane)
            .cloned()
            .map_or_else(Self::new, Self)
    }

    /// Makes an id that sorts by time.
    pub(crate) fn new() -> Self {
        let mut buffer = Uuid::encode_buffer();
        let text = Uuid::now_v7().as_hyphenated().encode_lower(&mut buffer);
        Self(HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown")))
    }

    /// Returns the id as a header.
    pub(crate) fn into_header(self) -> HeaderValue {
        self.0
    }

    /// Returns the id as text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Where a request comes from, what it is called, and what is measured of it.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) id: RequestId,
    pub(crate) peer: SocketAddr,
    /// What its connection is entitled to.
    pub(crate) seat: Seat,
    pub(crate) visit: Visit,
    /// Its place in a trace, where it is traced.
    pub(crate) trace: Option<Arc<TraceContext>>,
    /// Who sends it, once that is known; shared by all copies. None where nobody wants to know.
    pub(crate) sender: Option<Arc<OnceLock<Sender>>>,
}

impl Arrival {
    /// Notes who sends the request, and from where.
    pub(crate) fn is_from(&self, address: IpAddr, who: impl FnOnce() -> Who) {
        if let Some(sender) = &self.sender {
            // The first answer is as good as any other.
            let _ = sender.set(Sender {
                address,
                who: who(),
                model: OnceLock::new(),
            });
        }
    }

    /// Notes which model they ask for, where there is such a one: another name is the client's text.
    pub(crate) fn asks_for(&self, model: impl FnOnce() -> Option<ModelName>) {
        if let Some(sender) = self.sender()
            && let Some(model) = model()
        {
            let _ = sender.model.set(model);
        }
    }

    /// Returns who sends the request, where that is known.
    pub(crate) fn sender(&self) -> Option<&Sender> {
        self.sender.as_ref()?.get()
    }
}

/// Who sends a request, from where, and to which model.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) address: IpAddr,
    pub(crate) who: Who,
    /// What they ask for.
    pub(crate) model: OnceLock<ModelName>,
}

/// See [`Sender`].
#[derive(Debug)]
pub(crate) enum Who {
    /// A user.
    User(UserName),
    /// Nobody who is let in, and why not.
    Refused(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(sent: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_str(sent).unwrap());
        RequestId::of(&headers).as_str().to_owned()
    }

    #[test]
    fn a_sane_id_of_the_client_is_kept() {
        assert_eq!(id("req-1_2.3:4"), "req-1_2.3:4");
    }

    #[test]
    fn any_other_id_is_replaced() {
        for sent in ["", "a b", "{\"x\":1}", &"x".repeat(129)] {
            assert_eq!(id(sent).len(), 36, "{sent}");
        }
    }
}
