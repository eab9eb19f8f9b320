//! What probes change in what is known of an endpoint, and what they leave alone.

use std::time::Duration;

use berry_core::Tick;

use super::{ProbeDepth, ProbeFailure, ProbeOutcome};
use crate::Mode;
use crate::breaker::{Admission, BreakerState};
use crate::events::Events;
use crate::outcome::{FailureKind, Fault, Outcome};
use crate::pool::fixtures::{LIMITS, SMART_AI, key};
use crate::state::{EndpointState, Signals, Use};

fn at(seconds: u64) -> Tick {
    Tick::from(Duration::from_secs(seconds))
}

fn state() -> EndpointState {
    EndpointState::new(key("a"), Events::to(|_| {}))
}

fn failure(kind: FailureKind) -> ProbeOutcome {
    let cause = "a test".into();
    ProbeOutcome::Failed(ProbeFailure { kind, cause })
}

/// Records a probe that took no time.
fn probe(state: &EndpointState, depth: ProbeDepth, outcome: &ProbeOutcome, second: u64) {
    state.probed(depth, outcome, at(second), at(second));
}

fn signals(state: &EndpointState, second: u64) -> Signals {
    state.signals(Mode::Whole, at(second), &SMART_AI)
}

/// Uses the endpoint once, in no time.
fn request(state: &EndpointState, outcome: Outcome, second: u64) {
    let this = Use {
        entry: state.enter_regardless(at(second)),
        mode: Mode::Whole,
        lasted: Duration::ZERO,
        patience: Duration::ZERO,
        now: at(second),
        breaker: LIMITS.breaker,
        limits: &LIMITS,
        waited: true,
    };
    if outcome == Outcome::Success {
        state.answered(&this);
    }
    state.leave(&this, outcome);
}

#[test]
fn failed_probes_make_an_endpoint_unhealthy_and_change_nothing_else() {
    for kind in [FailureKind::Server, FailureKind::Auth] {
        let state = state();
        let before = signals(&state, 0);

        for second in 0..20 {
            probe(&state, ProbeDepth::Chat, &failure(kind), second);
        }

        let after = signals(&state, 0);
        assert!(before.healthy() && !after.healthy());
        assert_eq!(after.admission, Admission::Closed);
        assert_eq!(after.consecutive_failures, 0);
        assert!((after.confidence - before.confidence).abs() < f64::EPSILON);
        assert_eq!(after.latency, None);
        assert_eq!(state.tally(), crate::Tally::default());
    }
}

#[test]
fn a_passed_chat_closes_the_breaker_and_starts_the_ramp() {
    let state = state();
    state.fail(5, at(0), &LIMITS);
    assert_eq!(state.breaker(at(1)), BreakerState::Open);

    probe(&state, ProbeDepth::Chat, &ProbeOutcome::Passed, 1);

    let signals = signals(&state, 1);
    assert!(signals.healthy());
    assert_eq!(signals.consecutive_failures, 0);
    assert!(signals.recovery < 0.2);
    assert_eq!(state.tally().failing_since, None);
}

#[test]
fn a_passed_chat_clears_the_failures_of_a_closed_breaker() {
    let state = state();
    state.fail(3, at(0), &LIMITS);

    probe(&state, ProbeDepth::Chat, &ProbeOutcome::Passed, 1);

    let signals = signals(&state, 1);
    assert_eq!(signals.consecutive_failures, 0);
    assert!((signals.recovery - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_passed_list_of_models_clears_only_a_failed_one() {
    let state = state();
    let server = failure(FailureKind::Server);
    probe(&state, ProbeDepth::Models, &server, 0);
    assert!(!signals(&state, 0).healthy());

    probe(&state, ProbeDepth::Models, &ProbeOutcome::Passed, 1);
    assert!(signals(&state, 1).healthy());

    probe(&state, ProbeDepth::Chat, &server, 2);
    probe(&state, ProbeDepth::Models, &ProbeOutcome::Passed, 3);
    assert!(!signals(&state, 3).healthy());

    state.fail(5, at(4), &LIMITS);
    probe(&state, ProbeDepth::Models, &ProbeOutcome::Passed, 5);
    assert_eq!(state.breaker(at(5)), BreakerState::Open);
}

#[test]
fn lists_of_models_that_fail_while_chats_pass_are_not_listened_to() {
    let server = failure(FailureKind::Server);
    for chat in ["probe", "request"] {
        let state = state();
        probe(&state, ProbeDepth::Models, &server, 0);
        assert!(
            !signals(&state, 0).healthy(),
            "{chat}: a first failure counts"
        );
        match chat {
            "probe" => probe(&state, ProbeDepth::Chat, &ProbeOutcome::Passed, 1),
            _ => request(&state, Outcome::Success, 1),
        }

        for second in 2..20 {
            probe(&state, ProbeDepth::Models, &server, second);
            assert!(signals(&state, second).healthy(), "{chat}");
        }

        probe(&state, ProbeDepth::Models, &ProbeOutcome::Passed, 20);
        probe(&state, ProbeDepth::Models, &server, 21);
        assert!(!signals(&state, 21).healthy(), "{chat}: a list had passed");
    }
}

#[test]
fn a_chat_that_fails_counts_although_lists_are_not_listened_to() {
    let state = state();
    let server = failure(FailureKind::Server);
    probe(&state, ProbeDepth::Models, &server, 0);
    probe(&state, ProbeDepth::Chat, &ProbeOutcome::Passed, 1);

    probe(&state, ProbeDepth::Chat, &server, 2);

    assert!(!signals(&state, 2).healthy());
}

#[test]
fn a_probe_that_came_too_late_to_count_was_a_check_all_the_same() {
    let state = state();
    state.fail(5, at(2), &LIMITS);

    state.probed(ProbeDepth::Chat, &ProbeOutcome::Passed, at(1), at(3));

    assert_eq!(state.last_probe(), Some(at(3)));
}

#[test]
fn it_is_known_since_when_an_endpoint_fails_by_requests_or_probes() {
    let state = state();
    let server = failure(FailureKind::Server);
    assert_eq!(state.failures(at(0)), None);

    for (depth, second) in [(ProbeDepth::Models, 1), (ProbeDepth::Chat, 2)] {
        probe(&state, depth, &server, second);
    }
    assert_eq!(state.failures(at(2)), Some((at(1), at(2))));
    request(&state, Outcome::Failure(Fault::new(FailureKind::Server)), 3);
    assert_eq!(state.failures(at(3)), Some((at(1), at(3))));
    request(&state, Outcome::Success, 4);
    assert_eq!(state.failures(at(4)), None);

    request(
        &state,
        Outcome::Failure(Fault::cool_down(Duration::from_secs(60))),
        5,
    );
    probe(&state, ProbeDepth::Chat, &ProbeOutcome::Passed, 6);
    assert_eq!(state.failures(at(6)), Some((at(5), at(5))));
}

#[test]
fn a_probe_that_told_nothing_changes_nothing() {
    let state = state();
    probe(&state, ProbeDepth::Chat, &failure(FailureKind::Connect), 0);

    for depth in [ProbeDepth::Models, ProbeDepth::Chat] {
        probe(&state, depth, &ProbeOutcome::Unknown, 1);
    }

    assert!(!signals(&state, 1).healthy());
    assert_eq!(state.last_probe(), Some(at(1)));
}

#[test]
fn a_real_success_clears_failed_probes() {
    let state = state();
    for depth in [ProbeDepth::Models, ProbeDepth::Chat] {
        probe(&state, depth, &failure(FailureKind::Server), 0);
    }

    request(&state, Outcome::Success, 1);

    assert!(signals(&state, 1).healthy());
}

#[test]
fn what_requests_show_while_a_probe_runs_is_newer() {
    let (failing, working) = (state(), state());

    failing.fail(5, at(2), &LIMITS);
    failing.probed(ProbeDepth::Chat, &ProbeOutcome::Passed, at(1), at(3));
    request(&working, Outcome::Success, 2);
    let timeout = failure(FailureKind::Timeout);
    working.probed(ProbeDepth::Chat, &timeout, at(1), at(3));

    assert_eq!(failing.breaker(at(3)), BreakerState::Open);
    assert!(signals(&working, 3).healthy());
}

#[test]
fn a_passed_chat_does_not_end_a_cool_down() {
    let state = state();
    let fault = Fault::cool_down(Duration::from_secs(60));
    request(&state, Outcome::Failure(fault), 0);

    probe(&state, ProbeDepth::Chat, &ProbeOutcome::Passed, 1);

    assert_eq!(state.breaker(at(1)), BreakerState::Open);
    assert_eq!(state.breaker(at(60)), BreakerState::Closed);
}
