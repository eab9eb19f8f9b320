//! Resolves `[settings]`: a key that is absent has its default.

use std::num::NonZeroU32;

use super::Resolver;
use crate::config::file::{ConfidenceAdjustmentsFile, SettingsFile, SmartAiFile};
use crate::config::provider::ResponseTimeout;
use crate::config::reader::Field;
use crate::config::settings::{ConfidenceAdjustments, Settings, SmartAi, UpstreamIdle};

impl Resolver<'_> {
    /// Resolves `[settings]`.
    pub(super) fn settings(&mut self, table: &Field<SettingsFile>) -> Settings {
        let default = Settings::default();
        let Some(file) = table.value() else {
            return default;
        };
        Settings {
            health_check_interval: file
                .health_check_interval_seconds
                .or(default.health_check_interval),
            health_check_timeout: file
                .health_check_timeout_seconds
                .or(default.health_check_timeout),
            recovery_check_interval: file
                .recovery_check_interval_seconds
                .or(default.recovery_check_interval),
            response_timeout: self.response_timeout(file),
            max_retries: file.max_retries.or(default.max_retries),
            max_internal_retries: file.max_internal_retries.or(default.max_internal_retries),
            circuit_breaker_failure_threshold: file
                .circuit_breaker_failure_threshold
                .or(default.circuit_breaker_failure_threshold),
            circuit_breaker_timeout: file
                .circuit_breaker_timeout_seconds
                .or(default.circuit_breaker_timeout),
            log_request_body: file.log_request_body.or(default.log_request_body),
            log_response_body: file.log_response_body.or(default.log_response_body),
            mask_api_keys: file.mask_api_keys.or(default.mask_api_keys),
            connect_timeout: file.connect_timeout_seconds.or(default.connect_timeout),
            first_token_timeout: file
                .first_token_timeout_seconds
                .or(default.first_token_timeout),
            stream_idle_timeout: file
                .stream_idle_timeout_seconds
                .or(default.stream_idle_timeout),
            stream_keepalive: file.stream_keepalive_seconds.or(default.stream_keepalive),
            retry_budget_ratio: file.retry_budget_ratio.or(default.retry_budget_ratio),
            request_deadline: file.request_deadline_seconds.or(default.request_deadline),
            upstream_idle_timeout: file
                .upstream_idle_timeout_seconds
                .value()
                .map_or(default.upstream_idle_timeout, |&time| {
                    UpstreamIdle::both(time)
                }),
            max_body_bytes: file
                .max_body_bytes
                .value()
                .map_or(default.max_body_bytes, |&bytes| bytes as usize),
            shutdown_grace: file.shutdown_grace_seconds.or(default.shutdown_grace),
            audit_log: file.audit_log.or(default.audit_log),
            trusted_proxies: file.trusted_proxies.or(default.trusted_proxies),
            max_inflight_requests: file.max_inflight_requests.or(default.max_inflight_requests),
            max_memory_mib: file
                .max_memory_mib
                .value()
                .and_then(|&mib| NonZeroU32::new(mib)),
            public_details: file.public_details.or(default.public_details),
            smart_ai: self.smart_ai(&file.smart_ai, &default.smart_ai),
        }
    }

    /// Resolves the two times until an answer's head: what is written for streams holds for whole
    /// answers too, and wins over what is written for those alone.
    fn response_timeout(&mut self, file: &SettingsFile) -> ResponseTimeout {
        let default = ResponseTimeout::default();
        match (
            file.request_timeout_seconds.value(),
            file.json_timeout_seconds.given(),
        ) {
            (Some(&request), json) => {
                if let Some(json) = json {
                    let message = "`json_timeout_seconds` has no effect beside \
                                   `request_timeout_seconds`, which holds for all requests";
                    self.warning(json.span(), message);
                }
                ResponseTimeout::of_both(request, default.streamed_key)
            }
            (None, json) => ResponseTimeout {
                whole: json.map_or(default.whole, |json| *json.get_ref()),
                ..default
            },
        }
    }

    /// Resolves `[settings.smart_ai]`.
    fn smart_ai(&mut self, table: &Field<SmartAiFile>, default: &SmartAi) -> SmartAi {
        let Some(file) = table.value() else {
            return *default;
        };
        let smart_ai = SmartAi {
            initial_confidence: file.initial_confidence.or(default.initial_confidence),
            min_confidence: file.min_confidence.or(default.min_confidence),
            exploration_ratio: file.exploration_ratio.or(default.exploration_ratio),
            enable_time_decay: file.enable_time_decay.or(default.enable_time_decay),
            lightweight_check_interval: file
                .lightweight_check_interval_seconds
                .or(default.lightweight_check_interval),
            non_premium_stability_bonus: file
                .non_premium_stability_bonus
                .or(default.non_premium_stability_bonus),
            confidence_adjustments: adjustments(
                &file.confidence_adjustments,
                &default.confidence_adjustments,
            ),
        };
        let (least, initial) = (smart_ai.min_confidence, smart_ai.initial_confidence);
        let place = file
            .min_confidence
            .span()
            .or_else(|| file.initial_confidence.span());
        if let Some(span) = place
            && least > initial
        {
            let message =
                format!("`min_confidence` {least} is greater than `initial_confidence` {initial}");
            self.error(span, message);
        }
        smart_ai
    }
}

/// Resolves `[settings.smart_ai.confidence_adjustments]`.
fn adjustments(
    table: &Field<ConfidenceAdjustmentsFile>,
    default: &ConfidenceAdjustments,
) -> ConfidenceAdjustments {
    let Some(file) = table.value() else {
        return *default;
    };
    ConfidenceAdjustments {
        success_boost: file.success_boost.or(default.success_boost),
        network_error_penalty: file.network_error_penalty.or(default.network_error_penalty),
        auth_error_penalty: file.auth_error_penalty.or(default.auth_error_penalty),
        rate_limit_penalty: file.rate_limit_penalty.or(default.rate_limit_penalty),
        server_error_penalty: file.server_error_penalty.or(default.server_error_penalty),
        model_error_penalty: file.model_error_penalty.or(default.model_error_penalty),
        timeout_penalty: file.timeout_penalty.or(default.timeout_penalty),
    }
}
