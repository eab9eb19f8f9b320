//! How far an endpoint is trusted: the score that `smart_ai` learns from real requests.
//!
//! ```text
//! success:          c = min(1, c(t) + success_boost)
//! failure of kind:  c = max(min_confidence, c(t) − penalty of the kind)
//! in between:       c(t) = c₀ + (c − c₀) · 2^(−Δt / 2 h),   c₀ = initial_confidence
//! ```
//!
//! An endpoint that was ejected and has walked its whole ramp since is as good as a new one: its
//! score is at least c₀ again. Without that, what took five failures to lose would take five of the
//! few requests that exploration spares to win back.
//!
//! The drift back to c₀ forgets: an endpoint that failed this morning is worth another try in the
//! afternoon, and one that shone last week has to prove itself again. `enable_time_decay = false`
//! switches it off. Pure: takes `now` and the settings, which a reload may change at any time.

use std::time::Duration;

use berry_core::Tick;
use berry_core::config::SmartAi;

use crate::outcome::FailureKind;

/// The half-life of what was learned.
const HALF_LIFE: Duration = Duration::from_secs(2 * 3600);

/// The score of one endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Confidence {
    /// The score after the last outcome, and when that was; none while nothing was learned.
    learned: Option<(f64, Tick)>,
}

impl Confidence {
    /// Returns the score now, from `min_confidence` to 1.
    pub(crate) fn score(&self, now: Tick, settings: &SmartAi) -> f64 {
        let initial = settings.initial_confidence;
        let score = match self.learned {
            None => initial,
            Some((score, _)) if !settings.enable_time_decay => score,
            Some((score, at)) => {
                let halvings = now.saturating_since(at).as_secs_f64() / HALF_LIFE.as_secs_f64();
                initial + (score - initial) * (-halvings).exp2()
            }
        };
        score.clamp(settings.min_confidence, 1.0)
    }

    /// Records a success.
    pub(crate) fn succeeded(&mut self, now: Tick, settings: &SmartAi) {
        let score = self.score(now, settings) + settings.confidence_adjustments.success_boost;
        self.learned = Some((score.min(1.0), now));
    }

    /// Returns when the last outcome was.
    pub(crate) fn heard(&self) -> Option<Tick> {
        self.learned.map(|(_, at)| at)
    }

    /// Returns the score of an endpoint that was ejected and has returned: it has paid for its
    /// failures with the ejection and the ramp, and is not held to them a second time.
    pub(crate) fn forgiven(mut self, settings: &SmartAi) -> Self {
        if let Some((score, _)) = &mut self.learned {
            *score = score.max(settings.initial_confidence);
        }
        self
    }

    /// Records a failure.
    pub(crate) fn failed(&mut self, kind: FailureKind, now: Tick, settings: &SmartAi) {
        let score = self.score(now, settings) - penalty(kind, settings);
        self.learned = Some((score.max(settings.min_confidence), now));
    }
}

fn penalty(kind: FailureKind, settings: &SmartAi) -> f64 {
    let adjustments = &settings.confidence_adjustments;
    match kind {
        FailureKind::Connect | FailureKind::Protocol => adjustments.network_error_penalty,
        FailureKind::Timeout => adjustments.timeout_penalty,
        FailureKind::Auth => adjustments.auth_error_penalty,
        FailureKind::RateLimited => adjustments.rate_limit_penalty,
        FailureKind::Server => adjustments.server_error_penalty,
        FailureKind::Model => adjustments.model_error_penalty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: u64) -> Tick {
        Tick::from(Duration::from_secs(hours * 3600))
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn it_begins_at_the_initial_value() {
        assert!(close(
            Confidence::default().score(at(5), &SmartAi::default()),
            0.8
        ));
    }

    #[test]
    fn a_success_adds_up_to_one() {
        let settings = SmartAi::default();
        let mut confidence = Confidence::default();

        let scores = [(); 3].map(|()| {
            confidence.succeeded(at(0), &settings);
            confidence.score(at(0), &settings)
        });

        assert!(close(scores[0], 0.9) && close(scores[1], 1.0) && close(scores[2], 1.0));
    }

    #[test]
    fn each_kind_of_failure_has_its_penalty() {
        let settings = SmartAi::default();
        for (kind, score) in [
            (FailureKind::Connect, 0.5),
            (FailureKind::Protocol, 0.5),
            (FailureKind::Timeout, 0.6),
            (FailureKind::Auth, 0.05),
            (FailureKind::RateLimited, 0.7),
            (FailureKind::Server, 0.6),
            (FailureKind::Model, 0.5),
        ] {
            let mut confidence = Confidence::default();
            confidence.failed(kind, at(0), &settings);
            assert!(close(confidence.score(at(0), &settings), score), "{kind}");
        }
    }

    #[test]
    fn it_drifts_back_by_half_every_two_hours() {
        let settings = SmartAi::default();
        let mut confidence = Confidence::default();
        confidence.failed(FailureKind::Server, at(0), &settings);

        assert!(close(confidence.score(at(2), &settings), 0.7));
        assert!(close(confidence.score(at(4), &settings), 0.75));
    }

    #[test]
    fn without_time_decay_it_stays() {
        let settings = SmartAi {
            enable_time_decay: false,
            ..SmartAi::default()
        };
        let mut confidence = Confidence::default();
        confidence.failed(FailureKind::Server, at(0), &settings);

        assert!(close(confidence.score(at(200), &settings), 0.6));
    }

    #[test]
    fn what_has_returned_begins_anew() {
        let settings = SmartAi::default();
        let (mut failed, mut proven) = (Confidence::default(), Confidence::default());
        failed.failed(FailureKind::Auth, at(0), &settings);
        proven.succeeded(at(0), &settings);

        assert!(close(
            failed.forgiven(&settings).score(at(0), &settings),
            0.8
        ));
        assert!(close(
            proven.forgiven(&settings).score(at(0), &settings),
            0.9
        ));
        assert_eq!(failed.forgiven(&settings).heard(), Some(at(0)));
    }

    #[test]
    fn changed_settings_apply_to_what_was_learned() {
        let mut confidence = Confidence::default();
        confidence.failed(FailureKind::Auth, at(0), &SmartAi::default());

        let raised = SmartAi {
            min_confidence: 0.3,
            ..SmartAi::default()
        };

        assert!(close(confidence.score(at(0), &raised), 0.3));
    }
}
