//! Instructions of a request's first pick among eight endpoints, claim and lease included, by
//! strategy. `scripts/count-instructions.sh` compares them with those of an earlier commit.

#![expect(
    missing_docs,
    unused_qualifications,
    clippy::exit,
    clippy::disallowed_methods,
    reason = "gungraun's macros write such code"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;

use berry_loadbalance::Lease;
use gungraun::prelude::*;

use support::Scene;

#[library_benchmark(setup = Scene::new)]
#[bench::weighted_random("weighted_random")]
#[bench::random("random")]
#[bench::round_robin("round_robin")]
#[bench::least_latency("least_latency")]
#[bench::failover("failover")]
#[bench::weighted_failover("weighted_failover")]
#[bench::smart_weighted_failover("smart_weighted_failover")]
#[bench::smart_ai("smart_ai")]
fn pick(mut scene: Scene) -> (Lease, Scene) {
    (black_box(&mut scene).pick(), scene)
}

library_benchmark_group!(name = picks, benchmarks = pick);
main!(library_benchmark_groups = picks);
