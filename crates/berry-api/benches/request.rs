//! Instructions of requests on their whole way through the gateway: from a client's socket to an
//! upstream's and back. Client and upstream are another thread, which is not counted, and neither is the
//! kernel. `scripts/count-instructions.sh` compares them with those of an earlier commit.

#![expect(
    missing_docs,
    clippy::exit,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "gungraun's macros write such code, and what cannot be set up may panic"
)]

#[path = "support/scene.rs"]
mod scene;

use gungraun::prelude::*;

use scene::Scene;

// Small requests, one after the other.
#[library_benchmark(setup = Scene::answering)]
#[bench::without_lines("off")]
#[bench::with_lines("info")]
fn requests(scene: Scene) -> Scene {
    scene.run(100)
}

// A stream of a hundred events, which come together or each on its own.
#[library_benchmark]
#[bench::burst(args = [true], setup = Scene::streaming)]
#[bench::paced(args = [false], setup = Scene::streaming)]
fn streams(scene: Scene) -> Scene {
    scene.run(10)
}

library_benchmark_group!(name = relayed, benchmarks = [requests, streams]);
main!(library_benchmark_groups = relayed);
