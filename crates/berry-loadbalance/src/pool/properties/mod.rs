//! What holds of any pool, whatever happens to it.
//!
//! A random [`Script`](script::Script) describes a pool and what happens: requests begin, are
//! answered, fail, are abandoned; probes report, time passes, the configuration is loaded again. A
//! [`World`](world::World) plays it against the real code and keeps a record of its own, from the
//! transitions that were announced and from the leases it holds; after each step that record says
//! what may have happened.

mod script;
mod world;

use proptest::prelude::*;

use script::{Script, script};
use world::World;

/// Plays the script; returns whom each request was given, in order.
fn play(script: &Script) -> Vec<Option<usize>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(script);
        for step in &script.steps {
            world.play(step).await;
        }
        world.end()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The assertions are in [`World`].
    #[test]
    fn a_pool_keeps_its_promises_and_the_same_seed_makes_the_same_choices(script in script()) {
        let first = play(&script);
        let again = play(&script);

        prop_assert_eq!(first, again);
    }
}
