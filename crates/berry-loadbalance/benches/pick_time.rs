//! The time that a request's first pick among eight endpoints takes, claim and release included, by
//! strategy: a figure to read. `cargo bench -p berry-loadbalance --bench pick_time`

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;

use berry_loadbalance::STRATEGIES;
use tokio::time::Instant;

use support::Scene;

const PICKS: u32 = 1_000_000;

fn main() {
    for entry in STRATEGIES {
        let mut scene = Scene::new(entry.name);
        let began = Instant::now();
        for _ in 0..PICKS {
            drop(black_box(scene.pick()));
        }
        let each = began.elapsed() / PICKS;
        #[expect(clippy::print_stdout, reason = "the figures are what it is for")]
        {
            println!("{:24} {each:?}", entry.name);
        }
    }
}
