use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> Tick {
    Tick::from(Duration::from_secs(seconds))
}

fn requests(minute: u32, hour: u32, day: u32) -> RateLimit {
    RateLimit {
        requests_per_minute: NonZeroU32::new(minute),
        requests_per_hour: NonZeroU32::new(hour),
        requests_per_day: NonZeroU32::new(day),
        ..RateLimit::default()
    }
}

fn tokens(minute: u32) -> RateLimit {
    RateLimit {
        tokens_per_minute: NonZeroU32::new(minute),
        ..RateLimit::default()
    }
}

fn estimate(input: u32, output: u32) -> Estimate {
    Estimate { input, output }
}

/// Sends a request without tokens and says which limit is reached, and the seconds to wait.
fn send(counts: &mut Counts, limits: &RateLimit, now: u64) -> Option<(LimitKind, u64)> {
    let limited = counts.reserve(limits, Estimate::NONE, at(now)).err()?;
    Some((limited.kind, limited.retry_after.as_secs()))
}

#[test]
fn each_window_limits_and_the_longest_wait_is_told() {
    let mut counts = Counts::default();
    let limits = requests(2, 3, 4);
    let minute = |wait| Some((LimitKind::RequestsPerMinute, wait));
    let hour = |wait| Some((LimitKind::RequestsPerHour, wait));
    let day = |wait| Some((LimitKind::RequestsPerDay, wait));

    for (now, expected) in [
        (0, None),
        (1, None),
        (2, minute(59)),
        (60, minute(1)),
        (61, None),
        (62, hour(61 * 60 - 62)),
        (61 * 60, None),
        (61 * 60 + 1, day(25 * 3600 - 61 * 60 - 1)),
        (25 * 3600, None),
        (25 * 3600 + 1, None),
        (25 * 3600 + 2, minute(59)),
    ] {
        assert_eq!(send(&mut counts, &limits, now), expected, "{now}");
    }
}

#[test]
fn a_request_that_is_refused_is_charged_to_no_window() {
    let mut counts = Counts::default();
    let limits = requests(1, 5, 5);
    send(&mut counts, &limits, 0);
    let before = counts.counted(at(0));

    for _ in 0..10 {
        assert!(send(&mut counts, &limits, 0).is_some());
    }

    assert_eq!(counts.counted(at(0)), before);
}

#[test]
fn a_refund_takes_a_request_out_of_every_window() {
    let mut counts = Counts::default();
    let limits = RateLimit {
        tokens_per_minute: NonZeroU32::new(100),
        ..requests(1, 1, 1)
    };
    let charge = counts.reserve(&limits, estimate(60, 0), at(0)).unwrap();
    assert!(counts.reserve(&limits, estimate(1, 0), at(30)).is_err());

    counts.refund(&charge);

    assert_eq!(counts.counted(at(30)), Counted::default());
    assert!(counts.reserve(&limits, estimate(100, 0), at(30)).is_ok());
}

#[test]
fn other_limits_apply_at_once_to_what_was_counted() {
    let mut counts = Counts::default();
    for _ in 0..3 {
        assert!(send(&mut counts, &requests(0, 0, 0), 0).is_none());
    }

    assert!(send(&mut counts, &requests(3, 0, 0), 1).is_some());
    assert!(send(&mut counts, &requests(4, 0, 0), 1).is_none());
    assert!(send(&mut counts, &requests(2, 0, 0), 1).is_some());
}

#[test]
fn tokens_are_reserved_as_far_as_there_is_room_and_settled_with_what_was_used() {
    let mut counts = Counts::default();
    let limits = tokens(100);
    let left = |counts: &mut Counts| {
        let standing = counts.standing_at(&limits, at(1));
        standing.tokens.unwrap().remaining
    };

    let mut first = counts.reserve(&limits, estimate(20, 30), at(0)).unwrap();
    assert_eq!(left(&mut counts), 50);
    let mut second = counts.reserve(&limits, estimate(20, 500), at(0)).unwrap();
    assert_eq!(left(&mut counts), 0);
    let third = counts.reserve(&limits, estimate(1, 0), at(1)).unwrap_err();
    assert_eq!(third.kind, LimitKind::TokensPerMinute);
    assert_eq!(third.retry_after, Duration::from_secs(60));

    counts.settle(&mut first, 25, at(1));
    counts.settle(&mut second, 40, at(1));
    assert_eq!(left(&mut counts), 35);
    counts.settle(&mut second, 70, at(1));
    assert_eq!(left(&mut counts), 5);
    counts.settle(&mut second, 1_000, at(1));
    assert_eq!(left(&mut counts), 0);
    assert!(counts.reserve(&limits, estimate(1, 0), at(61)).is_err());
    assert!(counts.reserve(&limits, estimate(1, 0), at(62)).is_ok());
}

#[test]
fn what_is_more_than_the_whole_limit_never_fits() {
    let mut counts = Counts::default();
    let limits = tokens(100);

    for (input, fits) in [(101, false), (5_000, false), (100, true)] {
        let reserved = counts.reserve(&limits, estimate(input, 0), at(0));

        assert_eq!(reserved.is_ok(), fits, "{input}");
        let Err(limited) = reserved else { continue };
        assert_eq!((limited.needed, limited.most), (Some(input), 100));
        assert_eq!(limited.retry_after, Duration::from_mins(1));
        assert_eq!(counts.counted(at(0)).requests_this_minute, 0);
        let said = format!("limit of 100 tokens per minute is less than the {input} that");
        assert!(limited.to_string().contains(&said), "{limited}");
    }
}

#[test]
fn more_than_was_expected_counts_when_it_is_known() {
    let mut counts = Counts::default();
    let limits = tokens(100);
    let mut charge = counts.reserve(&limits, estimate(10, 0), at(0)).unwrap();

    counts.settle(&mut charge, 100, at(600));

    assert_eq!(counts.counted(at(600)).tokens_this_minute, 90);
    assert!(counts.reserve(&limits, estimate(20, 0), at(600)).is_err());
}

#[test]
fn where_nobody_says_what_was_used_the_greater_of_what_is_known_counts() {
    for (expected, written, charged) in [
        (estimate(20, 0), 0, 20),
        (estimate(20, 0), 7, 27),
        (estimate(20, 30), 7, 50),
        (estimate(20, 30), 40, 60),
        (estimate(20, 0), u64::MAX, u32::MAX.into()),
    ] {
        let mut counts = Counts::default();
        let mut charge = counts.reserve(&tokens(100), expected, at(0)).unwrap();

        counts.settle_unknown(&mut charge, written, at(1));

        assert_eq!(counts.counted(at(1)).tokens_this_minute, charged);
    }
}

#[test]
fn the_standing_is_that_of_the_window_with_least_left() {
    let mut counts = Counts::default();
    let limits = requests(3, 4, 0);
    let standing = |counts: &mut Counts, now| {
        let quota = counts.standing_at(&limits, at(now)).requests.unwrap();
        (quota.limit, quota.remaining, quota.reset.as_secs())
    };

    assert_eq!(standing(&mut counts, 0), (3, 3, 0));
    send(&mut counts, &limits, 0);
    send(&mut counts, &limits, 10);
    assert_eq!(standing(&mut counts, 10), (3, 1, 61));
    send(&mut counts, &limits, 61);
    assert_eq!(standing(&mut counts, 71), (4, 1, 62 * 60 - 71));
    assert_eq!(counts.standing_at(&tokens(0), at(71)), Standing::default());
}

#[test]
fn a_clock_that_is_late_changes_nothing() {
    let mut counts = Counts::default();
    let limits = requests(2, 0, 0);

    send(&mut counts, &limits, 100);
    send(&mut counts, &limits, 99);

    assert_eq!(
        send(&mut counts, &limits, 98),
        Some((LimitKind::RequestsPerMinute, 61))
    );
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Reserve(u32, u32),
    Settle(usize, u64),
    Refund(usize),
    End(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u64..40).prop_map(Step::Wait),
        (0_u32..60, 0_u32..60).prop_map(|(input, output)| Step::Reserve(input, output)),
        (any::<usize>(), 0_u64..200).prop_map(|(index, used)| Step::Settle(index, used)),
        any::<usize>().prop_map(Step::Refund),
        any::<usize>().prop_map(Step::End),
    ]
}

/// Takes tokens back from what was spent then.
fn take(spent: &mut [(u64, u64)], then: u64, mut tokens: u64) {
    for (_, amount) in spent.iter_mut().filter(|(at, _)| *at == then) {
        let taken = tokens.min(*amount);
        *amount -= taken;
        tokens -= taken;
    }
    assert_eq!(tokens, 0, "no more is taken back than was spent");
}

proptest! {
    /// However requests begin, are settled, refunded and end, the sums are those of what is inside
    /// the windows, no limit on requests is passed, and a refusal says when to come back.
    #[test]
    fn all_windows_stay_true(steps in prop::collection::vec(step(), 1..150)) {
        let limits = RateLimit {
            tokens_per_minute: NonZeroU32::new(100),
            max_concurrent_requests: NonZeroU32::new(3),
            ..requests(4, 30, 50)
        };
        let (mut counts, mut now, mut open) = (Counts::default(), 0, Vec::new());
        // When what was counted, apart from what was refunded.
        let mut sent: Vec<u64> = Vec::new();
        // When how many tokens were spent.
        let mut spent: Vec<(u64, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(seconds) => now += seconds,
                Step::Reserve(input, output) => {
                    let estimate = estimate(input, output);
                    let entered = counts.enter(&limits, at(now));
                    prop_assert_eq!(entered.is_ok(), open.len() < 3);
                    if entered.is_err() {
                        continue;
                    }
                    match counts.reserve(&limits, estimate, at(now)) {
                        Ok(charge) => {
                            prop_assert!(charge.tokens <= 100);
                            spent.push((now, u64::from(charge.tokens)));
                            open.push((charge, now));
                            sent.push(now);
                        }
                        Err(limited) => {
                            counts.leave();
                            prop_assert!(!limited.retry_after.is_zero());
                            counts.advance(at(now) + limited.retry_after);
                            prop_assert!(counts.reached(&limits, estimate).is_none());
                            now += limited.retry_after.as_secs();
                        }
                    }
                }
                Step::Settle(index, used) if !open.is_empty() => {
                    let (mut charge, then) = open.swap_remove(index % open.len());
                    let charged = u64::from(charge.tokens);
                    counts.settle(&mut charge, used, at(now));
                    counts.leave();
                    take(&mut spent, then, charged.saturating_sub(used));
                    spent.push((now, used.saturating_sub(charged)));
                }
                Step::Refund(index) if !open.is_empty() => {
                    let (charge, then) = open.swap_remove(index % open.len());
                    counts.refund(&charge);
                    counts.leave();
                    let place = sent.iter().position(|&other| other == then).unwrap();
                    sent.swap_remove(place);
                    take(&mut spent, then, charge.tokens.into());
                }
                Step::End(index) if !open.is_empty() => {
                    open.swap_remove(index % open.len());
                    counts.leave();
                }
                Step::Settle(..) | Step::Refund(_) | Step::End(_) => {}
            }
            let counted = counts.counted(at(now));
            let within = |seconds| sent.iter().filter(|&&then| then + seconds > now).count() as u64;
            prop_assert!(within(60) <= counted.requests_this_minute);
            prop_assert!(counted.requests_this_minute <= within(61));
            prop_assert!(counted.requests_this_minute <= 4);
            prop_assert!(within(3600) <= counted.requests_this_hour);
            prop_assert!(counted.requests_this_hour <= within(61 * 60));
            prop_assert!(counted.requests_this_day <= 50);
            prop_assert_eq!(counted.concurrent_requests as usize, open.len());
            let tokens = |seconds| -> u64 {
                let inside = spent.iter().filter(|&&(then, _)| then + seconds > now);
                inside.map(|&(_, tokens)| tokens).sum()
            };
            prop_assert!(tokens(60) <= counted.tokens_this_minute);
            prop_assert!(counted.tokens_this_minute <= tokens(61));
        }
    }
}
