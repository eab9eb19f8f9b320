//! A scenario's file exactly as it may be written, and its resolution.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::{FaultKind, Scenario, ScriptedFault, Site, SiteTraits, Whom};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::model::{BillingMode, Prices};
use crate::config::reader::{Field, Reader, Value, Written};
use crate::config::scalar::{Count, Number, Price, Seconds, Weight, chosen};
use crate::config::table::{Table, table};
use crate::name::{ProviderName, Tag};

/// The longest scenario: a month.
const MONTH: u32 = 31 * 86_400;
/// Who asks for more than this many requests wants a load test.
const MOST_REQUESTS: f64 = 10_000_000.0;

/// Words by which a fault chooses its backends.
const FAULTY: [&str; 4] = ["all", "cheapest", "dearest", "first"];

table! {
    /// The whole file.
    ScenarioFile {
        /// What it is called.
        name: String,
        /// What happens in it, in one sentence.
        description: String,
        /// How long the traffic goes on.
        duration_seconds: Seconds<60, MONTH>,
        /// The mean rate of requests.
        requests_per_minute: Number<0, 1_000_000>,
        /// The share of requests that ask for a stream.
        streamed_share: Number<0, 1>,
        /// Tokens of the average request.
        input_tokens: Count<0, 10_000_000>,
        /// Tokens of the average answer.
        output_tokens: Count<0, 10_000_000>,
        /// The endpoints, in their order.
        backends: Vec<Spanned<SiteFile>>,
        /// What goes wrong.
        faults: Vec<Spanned<FaultFile>>,
    }
}

table! {
    /// `[[backends]]`
    SiteFile {
        /// A provider's id, or a provider and a model as `provider:model`.
        name: String,
        /// Seconds to first content, in the median.
        latency_seconds: Number<0, 3600>,
        /// How much that varies: 0 not at all, 0.4 as usual.
        spread: Number<0, 3>,
        /// The share of requests that fail for no reason.
        error_share: Number<0, 1>,
        /// Its share of the requests.
        weight: Weight,
        /// Its rank for `failover`; the lowest goes first.
        priority: Count<0, 255>,
        /// Its tags.
        tags: Vec<Tag>,
        /// `per_token` or `per_request`.
        billing_mode: BillingMode,
        /// US dollars per million input tokens.
        input_price: Price,
        /// US dollars per million output tokens.
        output_price: Price,
        /// US dollars per request.
        request_price: Price,
    }
}

table! {
    /// `[[faults]]`
    FaultFile {
        /// `cheapest`, `dearest`, `first`, `all`, or the name of a backend.
        backend: String,
        /// What goes wrong.
        kind: Kind,
        /// Seconds after the start.
        from_seconds: Seconds<0, MONTH>,
        /// Seconds after the start; without it, to the end.
        until_seconds: Seconds<1, MONTH>,
        /// `brown_out`: the share of requests that fail.
        share: Number<0, 1>,
        /// `flapping`: how long it is down, and then up.
        period_seconds: Seconds<1, MONTH>,
        /// `slow`: how many times longer answers take.
        factor: Number<1, 1000>,
        /// `rate_capped`: how many requests in a minute are answered.
        requests_per_minute: Count<0, 1_000_000>,
        /// `rate_capped`: the `Retry-After` of the others.
        retry_after_seconds: Seconds<1, 3600>,
    }
}

/// The name of a fault's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Down,
    Hanging,
    BrownOut,
    Flapping,
    Slow,
    RateCapped,
    Refused,
}

impl Value for Kind {
    type Output = Self;

    fn expected() -> Cow<'static, str> {
        "the name of a fault".into()
    }

    fn read(written: &Written<'_>, reader: &mut Reader) -> Option<Self> {
        let choices = [
            ("down", Self::Down),
            ("hanging", Self::Hanging),
            ("brown_out", Self::BrownOut),
            ("flapping", Self::Flapping),
            ("slow", Self::Slow),
            ("rate_capped", Self::RateCapped),
            ("refused", Self::Refused),
        ];
        chosen(written, reader, &choices)
    }
}

impl ScenarioFile {
    /// Fills in defaults and checks what depends on two values.
    pub(super) fn resolve(&self, findings: &mut Diagnostics) -> Option<Scenario> {
        let duration = required(&self.duration_seconds, "duration_seconds", 0..0, findings);
        let rate = required(
            &self.requests_per_minute,
            "requests_per_minute",
            0..0,
            findings,
        );
        if let (Some(duration), Some(rate), Some(span)) =
            (duration, rate, self.requests_per_minute.span())
        {
            let requests = rate * duration.as_secs_f64() / 60.0;
            if !(1.0..=MOST_REQUESTS).contains(&requests) {
                findings.push(
                    Diagnostic::error(format!(
                        "the scenario has {requests:.0} requests, not 1 to {MOST_REQUESTS:.0}"
                    ))
                    .at(span)
                    .help("change `requests_per_minute` or `duration_seconds`"),
                );
            }
        }
        let rows = self.backends.value().map_or(&[][..], Vec::as_slice);
        let mut backends: Vec<Site> = Vec::new();
        for row in rows {
            let Some(site) = row.get_ref().resolve(row, findings) else {
                continue;
            };
            if backends.iter().any(|known| known.name == site.name) {
                let message = format!("two backends are called `{}`", site.name);
                findings.push(Diagnostic::error(message).at(row.span()));
            }
            backends.push(site);
        }
        let rows = self.faults.value().map_or(&[][..], Vec::as_slice);
        let faults: Vec<_> = rows
            .iter()
            .filter_map(|row| row.get_ref().resolve(row, findings))
            .collect();
        Some(Scenario {
            name: self.name.or("unnamed".to_owned()),
            description: self.description.or(String::new()),
            duration: duration?,
            requests_per_minute: rate?,
            streamed: self.streamed_share.or(0.5),
            input_tokens: f64::from(self.input_tokens.or(1000)),
            output_tokens: f64::from(self.output_tokens.or(300)),
            backends,
            faults,
        })
    }
}

impl SiteFile {
    fn resolve(&self, row: &Spanned<Self>, findings: &mut Diagnostics) -> Option<Site> {
        let usual = SiteTraits::default();
        let latency = self.latency_seconds.or(usual.latency.as_secs_f64());
        let name = required(&self.name, "name", row.span(), findings)?;
        let (provider, model) = name.split_once(':').unwrap_or((&name, ""));
        let provider = ProviderName::parse(provider).map_err(|why| {
            let message = format!("`{provider}` is not a provider's id: {why}");
            let place = self.name.span().unwrap_or(row.span());
            findings.push(Diagnostic::error(message).at(place));
        });
        if FAULTY.contains(&name.as_str()) {
            let message = format!("no backend can be called `{name}`: to faults it is a choice");
            let place = self.name.span().unwrap_or(row.span());
            findings.push(Diagnostic::error(message).at(place));
        }
        Some(Site {
            provider: provider.ok()?,
            model: model.into(),
            name,
            traits: SiteTraits {
                latency: Duration::from_secs_f64(latency),
                spread: self.spread.or(usual.spread),
                error_share: self.error_share.or(usual.error_share),
            },
            weight: self.weight.or(1.0),
            priority: self
                .priority
                .value()
                .and_then(|&rank| u8::try_from(rank).ok())
                .unwrap_or(0),
            tags: self.tags.or(Vec::new()),
            billing: self.billing_mode.or(BillingMode::default()),
            prices: Prices {
                input: self.input_price.value().copied(),
                output: self.output_price.value().copied(),
                cached_input: None,
                cache_write: None,
                request: self.request_price.value().copied(),
            },
        })
    }
}

impl FaultFile {
    fn resolve(&self, row: &Spanned<Self>, findings: &mut Diagnostics) -> Option<ScriptedFault> {
        let backend = required(&self.backend, "backend", row.span(), findings);
        let kind = required(&self.kind, "kind", row.span(), findings)?;
        let from = self.from_seconds.or(Duration::ZERO);
        let until = self.until_seconds.value().copied();
        if let (Some(until), Some(span)) = (until, self.until_seconds.span())
            && until <= from
        {
            let message = "`until_seconds` must be later than `from_seconds`";
            findings.push(Diagnostic::error(message).at(span));
        }
        self.check_parameters(kind, findings);
        let kind = match kind {
            Kind::Down => FaultKind::Down,
            Kind::Hanging => FaultKind::Hanging,
            Kind::Refused => FaultKind::Refused,
            Kind::BrownOut => FaultKind::BrownOut {
                share: required(&self.share, "share", row.span(), findings)?,
            },
            Kind::Flapping => FaultKind::Flapping {
                period: required(&self.period_seconds, "period_seconds", row.span(), findings)?,
            },
            Kind::Slow => FaultKind::Slow {
                factor: required(&self.factor, "factor", row.span(), findings)?,
            },
            Kind::RateCapped => FaultKind::RateCapped {
                requests_per_minute: required(
                    &self.requests_per_minute,
                    "requests_per_minute",
                    row.span(),
                    findings,
                )?,
                retry_after: self.retry_after_seconds.value().copied(),
            },
        };
        Some(ScriptedFault {
            backend: match backend?.as_str() {
                "all" => Whom::All,
                "cheapest" => Whom::Cheapest,
                "dearest" => Whom::Dearest,
                "first" => Whom::First,
                name => Whom::Named(name.to_owned(), self.backend.span().unwrap_or(row.span())),
            },
            kind,
            from,
            until,
        })
    }

    /// Refuses what would have no effect.
    fn check_parameters(&self, kind: Kind, findings: &mut Diagnostics) {
        let rows = [
            (self.share.span(), "share", Kind::BrownOut),
            (self.period_seconds.span(), "period_seconds", Kind::Flapping),
            (self.factor.span(), "factor", Kind::Slow),
            (
                self.requests_per_minute.span(),
                "requests_per_minute",
                Kind::RateCapped,
            ),
            (
                self.retry_after_seconds.span(),
                "retry_after_seconds",
                Kind::RateCapped,
            ),
        ];
        for (span, key, owner) in rows {
            if let Some(span) = span
                && owner != kind
            {
                let message = format!("`{key}` means nothing to a fault of this kind");
                findings.push(Diagnostic::error(message).at(span).help("leave it out"));
            }
        }
    }
}

/// Returns the value of a key that has no default, or reports that it is missing.
fn required<V: Clone>(
    field: &Field<V>,
    key: &str,
    place: Range<usize>,
    findings: &mut Diagnostics,
) -> Option<V> {
    if field.is_absent() {
        findings.push(Diagnostic::error(format!("`{key}` is missing")).at(place));
    }
    field.value().cloned()
}
