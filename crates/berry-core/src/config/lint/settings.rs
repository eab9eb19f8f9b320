//! Settings that contradict each other.
//!
//! A default is never at fault: a warning is about something that the file says.

use std::time::Duration;

use super::Lint;

/// A limit below it was probably meant in KiB or MiB: a page of text, as JSON.
const SMALLEST_BODY: usize = 16 << 10;

impl Lint<'_> {
    pub(super) fn contradictory_settings(&mut self) {
        self.contradictory_times();
        self.timeouts_beyond_the_deadline();
        self.keep_alive_that_is_never_due();
        self.retries_that_are_not_made();
        self.sizes_of_another_unit();
        self.proxies_of_everybody();
    }

    fn contradictory_times(&mut self) {
        let settings = &self.config.settings;
        let head = (
            "request_timeout_seconds",
            Some(settings.response_timeout.streamed),
        );
        let deadline = ("request_deadline_seconds", settings.request_deadline);
        let pairs = [
            (
                (
                    "health_check_timeout_seconds",
                    Some(settings.health_check_timeout),
                ),
                (
                    "health_check_interval_seconds",
                    settings.health_check_interval,
                ),
                "a probe may still run when the next is due",
            ),
            (
                (
                    "health_check_timeout_seconds",
                    Some(settings.health_check_timeout),
                ),
                (
                    "recovery_check_interval_seconds",
                    Some(settings.recovery_check_interval),
                ),
                "a probe of an unhealthy backend may still run when the next is due",
            ),
            (
                ("connect_timeout_seconds", Some(settings.connect_timeout)),
                deadline,
                "the deadline passes before a connection is given up, and no other backend is tried",
            ),
            (
                ("connect_timeout_seconds", Some(settings.connect_timeout)),
                head,
                "a connection that is not made is given up after the shorter time",
            ),
            (
                head,
                deadline,
                "the deadline passes before an upstream is given up, and no other is tried",
            ),
            (
                ("first_token_timeout_seconds", settings.first_token_timeout),
                deadline,
                "the deadline passes before a silent stream is given up, and no other backend is tried",
            ),
        ];
        for ((name, time), (other, bound), consequence) in pairs {
            let (Some(time), Some(bound)) = (time, bound) else {
                continue;
            };
            if time > bound {
                let [time, bound] = [time, bound].map(|time: Duration| time.as_secs());
                let message = format!("`{name}` ({time}) is longer than `{other}` ({bound})");
                let is_written = self.is_written(&["settings", name]);
                let written = if is_written { name } else { other };
                self.warn(&["settings", written], message, Some(consequence));
            }
        }
    }

    /// Times of providers, and of whole answers, that the deadline does not leave.
    fn timeouts_beyond_the_deadline(&mut self) {
        let settings = &self.config.settings;
        let Some(deadline) = settings.request_deadline else {
            return;
        };
        let help = "the deadline passes before an upstream is given up, and no other is tried";
        let beyond = |name: &str, time: Duration| {
            let [time, bound] = [time, deadline].map(|time| time.as_secs());
            format!("{name} ({time}) is longer than `request_deadline_seconds` ({bound})")
        };
        let whole = settings.response_timeout.whole;
        if whole > deadline && self.is_written(&["settings", "json_timeout_seconds"]) {
            let message = beyond("`json_timeout_seconds`", whole);
            self.warn(&["settings", "json_timeout_seconds"], message, Some(help));
        }
        for provider in self.providers() {
            let time = provider.response_timeout.streamed;
            if time > deadline && time != settings.response_timeout.streamed {
                let id = provider.id.as_str();
                let message = beyond(&format!("`timeout_seconds` of provider `{id}`"), time);
                self.warn(&["providers", id, "timeout_seconds"], message, Some(help));
            }
        }
    }

    fn keep_alive_that_is_never_due(&mut self) {
        let settings = &self.config.settings;
        let (Some(keep_alive), Some(idle)) =
            (settings.stream_keepalive, settings.stream_idle_timeout)
        else {
            return;
        };
        let name = "stream_keepalive_seconds";
        if keep_alive >= idle && self.is_written(&["settings", name]) {
            let [keep_alive, idle] = [keep_alive, idle].map(|time| time.as_secs());
            let message = format!(
                "`{name}` ({keep_alive}) is not shorter than `stream_idle_timeout_seconds` ({idle})"
            );
            let help = "a stream that falls silent is given up before a comment is due";
            self.warn(&["settings", name], message, Some(help));
        }
    }

    fn retries_that_are_not_made(&mut self) {
        let settings = &self.config.settings;
        let (moves, retries) = (settings.max_internal_retries, settings.max_retries);
        let name = "max_internal_retries";
        if moves > retries && self.is_written(&["settings", name]) {
            let message = format!("`{name}` ({moves}) is more than `max_retries` ({retries})");
            let help = "a move is a retry: there are no more of them than `max_retries` allows";
            self.warn(&["settings", name], message, Some(help));
        }
        for provider in self.providers() {
            let (id, own) = (provider.id.as_str(), provider.max_retries);
            if own > retries {
                let message = format!(
                    "`max_retries` of provider `{id}` ({own}) is more than that of `settings` ({retries})"
                );
                let help = "a request has no more retries than `settings.max_retries` allows";
                self.warn(&["providers", id, "max_retries"], message, Some(help));
            }
        }
    }

    fn sizes_of_another_unit(&mut self) {
        let bytes = self.config.settings.max_body_bytes;
        if bytes < SMALLEST_BODY {
            let message = format!("`max_body_bytes` ({bytes}) is less than most requests have");
            let help = "it counts bytes: 32 MiB are 33554432; a larger body is answered with 413";
            self.warn(&["settings", "max_body_bytes"], message, Some(help));
        }
    }

    fn proxies_of_everybody(&mut self) {
        let mut proxies = self.config.settings.trusted_proxies.iter();
        if let Some(all) = proxies.find(|network| network.prefix_len() == 0) {
            let message = format!("`trusted_proxies` has every address in it, by `{all}`");
            let help = "any client may then say where it is, and `allowed_ips` keeps nobody out; \
                        name your proxies alone";
            self.warn(&["settings", "trusted_proxies"], message, Some(help));
        }
    }
}
