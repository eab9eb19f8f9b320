//! Random pools and what happens to them.

use std::time::Duration;

use berry_core::config::BillingMode;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::outcome::{FailureKind, Fault, Outcome, Verdict};
use crate::strategy::STRATEGIES;
use crate::{ProbeDepth, ProbeFailure, ProbeOutcome};

/// The tags that endpoints and users may have.
pub(super) const TAGS: [&str; 3] = ["gold", "silver", "premium"];

#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) strategy: &'static str,
    pub(super) rows: Vec<Row>,
    pub(super) threshold: u32,
    pub(super) max_retries: u32,
    pub(super) max_moves: u32,
    pub(super) seed: u64,
    pub(super) steps: Vec<Step>,
}

/// One endpoint.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) weight: f64,
    pub(super) priority: u8,
    /// A place in [`TAGS`]; none is for everybody.
    pub(super) tag: Option<usize>,
    pub(super) billing: BillingMode,
    pub(super) provider_retries: u32,
}

/// Requests and endpoints are named by numbers that are taken modulo how many there are.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A request begins; the tag is its user's.
    Begin {
        tag: Option<usize>,
    },
    /// Content has come.
    Answer {
        request: usize,
    },
    /// The attempt ends; after a failure the request goes on as `Attempts` says.
    Finish {
        request: usize,
        outcome: Outcome,
    },
    /// The client leaves.
    Abandon {
        request: usize,
    },
    Probe {
        endpoint: usize,
        depth: ProbeDepth,
        outcome: ProbeOutcome,
    },
    Advance(Duration),
    /// The configuration is loaded again.
    Reload,
}

pub(super) fn script() -> impl Strategy<Value = Script> {
    let limits = (1..6_u32, 0..5_u32, 0..4_u32);
    let (rows, steps) = (vec(row(), 1..9), vec(step(), 1..150));
    (0..STRATEGIES.len(), rows, limits, any::<u64>(), steps).prop_map(
        |(strategy, rows, (threshold, max_retries, max_moves), seed, steps)| Script {
            strategy: STRATEGIES[strategy].name,
            rows,
            threshold,
            max_retries,
            max_moves,
            seed,
            steps,
        },
    )
}

fn row() -> impl Strategy<Value = Row> {
    let billing = prop_oneof![Just(BillingMode::PerToken), Just(BillingMode::PerRequest)];
    (0.01..100.0_f64, 0..3_u8, tag(), billing, 0..4_u32).prop_map(
        |(weight, priority, tag, billing, provider_retries)| Row {
            weight,
            priority,
            tag,
            billing,
            provider_retries,
        },
    )
}

fn tag() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![2 => Just(None), 1 => (0..TAGS.len()).prop_map(Some)]
}

fn step() -> impl Strategy<Value = Step> {
    let request = any::<usize>;
    prop_oneof![
        8 => tag().prop_map(|tag| Step::Begin { tag }),
        2 => request().prop_map(|request| Step::Answer { request }),
        8 => (request(), outcome()).prop_map(|(request, outcome)| Step::Finish { request, outcome }),
        2 => request().prop_map(|request| Step::Abandon { request }),
        2 => (any::<usize>(), depth(), probe_outcome()).prop_map(|(endpoint, depth, outcome)| {
            Step::Probe { endpoint, depth, outcome }
        }),
        4 => wait().prop_map(Step::Advance),
        1 => Just(Step::Reload),
    ]
}

fn wait() -> impl Strategy<Value = Duration> {
    prop_oneof![1..1_500_u64, 1_000..200_000_u64].prop_map(Duration::from_millis)
}

fn depth() -> impl Strategy<Value = ProbeDepth> {
    prop_oneof![Just(ProbeDepth::Models), Just(ProbeDepth::Chat)]
}

fn probe_outcome() -> impl Strategy<Value = ProbeOutcome> {
    let failed = ProbeOutcome::Failed(ProbeFailure {
        kind: FailureKind::Server,
        cause: "down".into(),
    });
    prop_oneof![
        Just(ProbeOutcome::Passed),
        Just(failed),
        Just(ProbeOutcome::Unknown)
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        2 => Just(Outcome::Success),
        1 => Just(Outcome::ClientFault),
        6 => fault().prop_map(Outcome::Failure),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    let any_kind = (0..FailureKind::ALL.len()).prop_map(|kind| Fault::new(FailureKind::ALL[kind]));
    prop_oneof![
        4 => Just(Fault::new(FailureKind::Server)),
        2 => any_kind,
        1 => (0..20_u64).prop_map(|seconds| Fault::cool_down(Duration::from_secs(seconds))),
        1 => Just(Fault {
            kind: FailureKind::Auth,
            verdict: Verdict::OpenIfRepeated,
        }),
    ]
}
