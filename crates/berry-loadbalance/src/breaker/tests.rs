use super::*;
use crate::outcome::FailureKind;

const POLICY: BreakerPolicy = BreakerPolicy {
    threshold: 5,
    timeout: Duration::from_secs(60),
    longest: None,
};
const SERVER: Fault = Fault {
    kind: FailureKind::Server,
    verdict: Verdict::Count,
};

fn at(seconds: u64) -> Tick {
    Tick::from(Duration::from_secs(seconds))
}

fn fail(breaker: &mut Breaker, times: u32, now: Tick) -> Option<Change> {
    let mut change = None;
    for _ in 0..times {
        let entry = breaker.enter_regardless(now).entry;
        change = breaker.failed(entry, SERVER, now, POLICY);
    }
    change
}

fn succeed(breaker: &mut Breaker, now: Tick) -> Option<Change> {
    let entry = breaker.enter_regardless(now).entry;
    let change = breaker.answered(entry);
    breaker.completed(entry, now);
    change
}

/// Opens it at second 0 and fails its trial `times` times, each as soon as it is due. Returns when
/// the last one failed.
fn reopen(breaker: &mut Breaker, times: u32) -> u64 {
    fail(breaker, 5, at(0));
    let mut now = 0;
    for _ in 0..times {
        now = next_trial(breaker, now);
        fail(breaker, 1, at(now));
    }
    now
}

fn next_trial(breaker: &Breaker, after: u64) -> u64 {
    match breaker.admission(at(after)) {
        Admission::Ejected { until, .. } => until.as_nanos() / 1_000_000_000,
        other => panic!("not open: {other:?}"),
    }
}

#[test]
fn it_opens_at_the_threshold_and_not_before() {
    let mut breaker = Breaker::default();

    assert_eq!(fail(&mut breaker, 4, at(0)), None);
    let change = fail(&mut breaker, 1, at(0));

    assert_eq!(
        change,
        Some(Change {
            from: BreakerState::Closed,
            to: BreakerState::Open
        })
    );
    assert_eq!(breaker.try_enter(at(59)), None);
}

#[test]
fn a_success_between_failures_resets_the_count() {
    let mut breaker = Breaker::default();
    fail(&mut breaker, 4, at(0));

    succeed(&mut breaker, at(1));
    fail(&mut breaker, 4, at(2));

    assert_eq!(breaker.state(at(2)), BreakerState::Closed);
    assert_eq!(breaker.consecutive_failures(), 4);
}

#[test]
fn after_the_open_time_one_trial_is_admitted() {
    let mut breaker = Breaker::default();
    fail(&mut breaker, 5, at(0));

    assert_eq!(breaker.admission(at(60)), Admission::Trial);
    assert!(breaker.try_enter(at(60)).is_some());
    assert_eq!(breaker.try_enter(at(60)), None);
    assert_eq!(breaker.state(at(60)), BreakerState::HalfOpen);
}

#[test]
fn a_trial_that_reaches_content_closes_it() {
    let mut breaker = Breaker::default();
    fail(&mut breaker, 5, at(0));
    let trial = breaker.try_enter(at(60)).unwrap().entry;

    let change = breaker.answered(trial);

    assert_eq!(
        change,
        Some(Change {
            from: BreakerState::HalfOpen,
            to: BreakerState::Closed
        })
    );
    assert_eq!(breaker.consecutive_failures(), 0);
}

#[test]
fn a_trial_that_breaks_after_content_is_one_failure() {
    let mut breaker = Breaker::default();
    fail(&mut breaker, 5, at(0));
    let trial = breaker.try_enter(at(60)).unwrap().entry;
    breaker.answered(trial);

    let change = breaker.failed(trial, SERVER, at(62), POLICY);

    assert_eq!(change, None);
    assert_eq!(breaker.consecutive_failures(), 1);
}

#[test]
fn an_abandoned_trial_gives_its_place_back() {
    let mut breaker = Breaker::default();
    fail(&mut breaker, 5, at(0));
    let trial = breaker.try_enter(at(60)).unwrap().entry;

    breaker.abandoned(trial);

    assert!(breaker.try_enter(at(60)).is_some());
}

#[test]
fn each_failed_trial_doubles_the_open_time_up_to_ten_times() {
    for (reopenings, length) in [(0, 60), (1, 120), (2, 240), (3, 480), (4, 600), (9, 600)] {
        let mut breaker = Breaker::default();

        let now = reopen(&mut breaker, reopenings);

        assert_eq!(
            next_trial(&breaker, now) - now,
            length,
            "after {reopenings} re-openings"
        );
    }
}

#[test]
fn closing_starts_the_open_time_again() {
    let mut breaker = Breaker::default();
    let now = reopen(&mut breaker, 3);
    let now = next_trial(&breaker, now);
    succeed(&mut breaker, at(now));

    fail(&mut breaker, 5, at(now));

    assert_eq!(next_trial(&breaker, now) - now, 60);
}

#[test]
fn reports_of_attempts_from_before_it_opened_change_nothing() {
    let mut breaker = Breaker::default();
    let early: Vec<_> = (0..3)
        .map(|_| breaker.try_enter(at(0)).unwrap().entry)
        .collect();
    fail(&mut breaker, 5, at(1));
    let trial_due = next_trial(&breaker, 1);

    assert_eq!(breaker.answered(early[0]), None);
    assert_eq!(breaker.failed(early[1], SERVER, at(2), POLICY), None);
    breaker.abandoned(early[2]);

    assert_eq!(next_trial(&breaker, 2), trial_due);
    assert_eq!(breaker.consecutive_failures(), 5);
}

#[test]
fn half_of_the_last_twenty_attempts_failing_is_a_brown_out() {
    let mut breaker = Breaker::default();
    for second in 0..9 {
        succeed(&mut breaker, at(second));
        fail(&mut breaker, 1, at(second));
    }
    assert_eq!(breaker.state(at(9)), BreakerState::Closed);

    succeed(&mut breaker, at(9));
    fail(&mut breaker, 1, at(9));

    assert_eq!(breaker.state(at(9)), BreakerState::Open);
}

#[test]
fn old_attempts_do_not_make_a_brown_out() {
    let mut breaker = Breaker::default();
    for second in 0..40 {
        succeed(&mut breaker, at(second * 10));
        fail(&mut breaker, 1, at(second * 10));
    }

    assert_eq!(breaker.state(at(400)), BreakerState::Closed);
}

#[test]
fn a_cool_down_ends_closed_without_a_trial() {
    let mut breaker = Breaker::default();
    let entry = breaker.try_enter(at(0)).unwrap().entry;

    let change = breaker.failed(
        entry,
        Fault::cool_down(Duration::from_secs(7)),
        at(0),
        POLICY,
    );

    assert_eq!(
        change,
        Some(Change {
            from: BreakerState::Closed,
            to: BreakerState::Open
        })
    );
    assert_eq!(
        breaker.admission(at(6)),
        Admission::CoolingDown { until: at(7) }
    );
    assert_eq!(breaker.admission(at(7)), Admission::Closed);
    assert_eq!(breaker.consecutive_failures(), 0);
    let over = Change {
        from: BreakerState::Open,
        to: BreakerState::Closed,
    };
    assert_eq!(breaker.try_enter(at(7)).unwrap().change, Some(over));
}

#[test]
fn a_cool_down_is_at_most_an_hour() {
    let mut breaker = Breaker::default();
    let entry = breaker.try_enter(at(0)).unwrap().entry;

    breaker.failed(
        entry,
        Fault::cool_down(Duration::from_secs(90_000)),
        at(0),
        POLICY,
    );

    assert_eq!(breaker.admission(at(3600)), Admission::Closed);
}

#[test]
fn a_refused_credential_opens_at_once_for_as_long_as_it_says() {
    for (at_least, length) in [(0, 60), (1800, 1800)] {
        let mut breaker = Breaker::default();
        let entry = breaker.try_enter(at(0)).unwrap().entry;
        let verdict = Verdict::Open {
            at_least: Duration::from_secs(at_least),
        };

        breaker.failed(
            entry,
            Fault {
                kind: FailureKind::Auth,
                verdict,
            },
            at(0),
            POLICY,
        );

        assert_eq!(next_trial(&breaker, 0), length);
    }
}

#[test]
fn a_bare_403_opens_only_when_a_second_request_meets_it() {
    let fault = Fault {
        kind: FailureKind::Auth,
        verdict: Verdict::OpenIfRepeated,
    };
    let mut breaker = Breaker::default();
    let forbid = |breaker: &mut Breaker| {
        let entry = breaker.enter_regardless(at(0)).entry;
        breaker.failed(entry, fault, at(0), POLICY).is_some()
    };

    assert!(!forbid(&mut breaker));
    succeed(&mut breaker, at(0));
    assert!(!forbid(&mut breaker));
    assert!(forbid(&mut breaker));
}

#[test]
fn a_success_that_was_asked_for_by_name_closes_an_open_breaker() {
    let mut breaker = Breaker::default();
    fail(&mut breaker, 5, at(0));

    let change = succeed(&mut breaker, at(10));

    assert_eq!(
        change,
        Some(Change {
            from: BreakerState::Open,
            to: BreakerState::Closed
        })
    );
}

#[test]
fn the_last_resort_takes_the_trial_before_its_time() {
    let mut breaker = Breaker::default();
    fail(&mut breaker, 5, at(0));

    let claim = breaker.try_last_resort(at(1)).unwrap();

    assert_eq!(breaker.try_last_resort(at(1)), None);
    breaker.answered(claim.entry);
    assert_eq!(breaker.state(at(1)), BreakerState::Closed);
}

#[test]
fn neither_a_refused_credential_nor_a_cool_down_is_a_last_resort() {
    for fault in [
        Fault::new(FailureKind::Auth),
        Fault::cool_down(Duration::from_secs(9)),
    ] {
        let mut breaker = Breaker::default();
        let entry = breaker.try_enter(at(0)).unwrap().entry;
        breaker.failed(entry, fault, at(0), POLICY);

        assert_eq!(breaker.try_last_resort(at(1)), None, "{fault:?}");
    }
}

#[test]
fn a_policy_may_bound_the_open_time() {
    let policy = BreakerPolicy {
        longest: Some(Duration::from_secs(20)),
        ..POLICY
    };
    let mut breaker = Breaker::default();

    for _ in 0..POLICY.threshold {
        let entry = breaker.enter_regardless(at(0)).entry;
        breaker.failed(entry, SERVER, at(0), policy);
    }

    assert_eq!(next_trial(&breaker, 0), 20);
}

#[test]
fn a_last_resort_that_fails_leaves_the_open_time_as_it_was() {
    let mut breaker = Breaker::default();
    fail(&mut breaker, 5, at(0));

    for second in 1..30 {
        let claim = breaker.try_last_resort(at(second)).unwrap();
        breaker.failed(claim.entry, SERVER, at(second), POLICY);
    }

    assert_eq!(next_trial(&breaker, 30), 60);
    let trial = breaker.try_enter(at(60)).unwrap().entry;
    breaker.failed(trial, SERVER, at(60), POLICY);
    assert_eq!(next_trial(&breaker, 60), 180);
}

#[test]
fn a_last_resort_that_is_given_up_leaves_the_open_time_to_the_next() {
    let mut breaker = Breaker::default();
    fail(&mut breaker, 5, at(0));

    let abandoned = breaker.try_last_resort(at(1)).unwrap().entry;
    breaker.abandoned(abandoned);
    let next = breaker.try_enter(at(2)).unwrap().entry;
    breaker.failed(next, SERVER, at(2), POLICY);

    assert_eq!(next_trial(&breaker, 3), 60);
}

#[test]
fn a_last_resort_that_fails_after_the_open_time_is_a_failed_trial() {
    let mut breaker = Breaker::default();
    fail(&mut breaker, 5, at(0));

    let claim = breaker.try_last_resort(at(59)).unwrap();
    breaker.failed(claim.entry, SERVER, at(70), POLICY);

    assert_eq!(next_trial(&breaker, 70), 190);
}
