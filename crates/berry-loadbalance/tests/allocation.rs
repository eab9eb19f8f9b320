//! To choose an endpoint takes no memory: it is done for every request and every retry.

mod support;

use berry_loadbalance::{Outcome, STRATEGIES};

use support::Scene;

#[test]
fn no_strategy_allocates_to_choose_among_eight_endpoints() {
    for entry in STRATEGIES {
        let mut scene = Scene::new(entry.name);

        let measured = allocation_counter::measure(|| {
            for _ in 0..100 {
                scene.pick().finish(Outcome::Success);
            }
        });

        assert_eq!(measured.count_total, 0, "{}", entry.name);
    }
}
