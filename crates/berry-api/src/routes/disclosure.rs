//! How much a public page shows its reader.
//!
//! Public pages need no token. `settings.public_details` decides whether strangers see more than
//! totals; an admin who sends a token sees everything. A token that is not accepted makes nobody an
//! admin, and is no error on a page that needs none; the log has it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use berry_core::auth::{CredentialError, credential};
use http::request::Parts;

use crate::arrival::Arrival;
use crate::gateway::{Gateway, authenticate};

/// How much a public page shows; each level includes the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Disclosure {
    /// Status and totals.
    Totals,
    /// Providers and models by name.
    Names,
    /// Where the providers are.
    Addresses,
}

impl Disclosure {
    /// Returns whether providers and models are named.
    pub(crate) fn names(self) -> bool {
        self >= Self::Names
    }

    /// Returns whether it is said where providers are.
    pub(crate) fn addresses(self) -> bool {
        self >= Self::Addresses
    }
}

impl FromRequestParts<Arc<Gateway>> for Disclosure {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Infallible> {
        let snapshot = gateway.snapshot();
        let stranger = matches!(credential(&parts.headers), Err(CredentialError::Missing));
        let admin = !stranger
            && parts.extensions.get().is_some_and(|arrival: &Arrival| {
                let user = authenticate(&snapshot, &parts.headers, arrival);
                user.is_ok_and(|user| user.is_admin())
            });
        Ok(match snapshot.config.settings.public_details {
            _ if admin => Self::Addresses,
            true => Self::Names,
            false => Self::Totals,
        })
    }
}
