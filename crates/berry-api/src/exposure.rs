//! What operators can switch on that shows more than is shown otherwise.

use berry_core::Secret;
use berry_core::config::{Config, Settings};
use tracing::{debug, warn};

/// Says what is shown, when a configuration begins to be served.
pub(crate) fn announce(config: &Config) {
    let settings = &config.settings;
    let (requests, answers) = (settings.log_request_body, settings.log_response_body);
    if requests || answers {
        warn!(
            requests,
            answers, "bodies are logged, at debug level only: set `RUST_LOG=debug`"
        );
    }
    if !settings.mask_api_keys {
        warn!("provider keys are shown in full in the debug log and to admins");
    }
    for provider in &config.providers {
        debug!(
            provider = provider.id.as_str(),
            api_key = key(settings, &provider.api_key),
            enabled = provider.enabled,
            "provider configured"
        );
    }
}

/// Returns a provider's key as operators may see it.
pub(crate) fn key(settings: &Settings, key: &Secret) -> String {
    if settings.mask_api_keys {
        key.masked()
    } else {
        key.expose().to_owned()
    }
}
