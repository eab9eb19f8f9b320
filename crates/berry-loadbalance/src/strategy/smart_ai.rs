//! `smart_ai`: what is cheap and has lately worked, learned from few and costly requests.
//!
//! ```text
//! score(i) = weight × c × recovery share × 2^−n × price factor × bonus
//!            c             confidence, from real outcomes only
//!            n             failures in a row
//!            price factor  cheapest known price of the candidates ÷ its price; 1 where unknown
//!            bonus         non_premium_stability_bonus, if not `premium` and c ≥ 0.9
//! trusted:   c ≥ 0.5
//!
//! exploit (probability 1 − exploration_ratio): the best score among the trusted that are not
//!         premium; else among the trusted premium ones; else among all; file order on ties
//! explore: one of the others, in proportion to score
//! ```
//!
//! Looking around is what finds a better endpoint, and it is paid with real requests. So an endpoint
//! that is known to be costly (premium, or more than 1.5 times the exploit's price) joins that draw
//! only once in `lightweight_check_interval_seconds`, and only while such draws have cost at most
//! 2 % of what the pool has spent. A premium endpoint of unknown price counts as ten times the
//! exploit's.
//!
//! A request with an affinity exploits, instead of the best, the one it is drawn to among those as
//! good as the best: in the same rank, with at least [`NEAR`] of its score, and not known to be
//! dearer. So affinity costs no money, and has a choice only where prices leave one. It explores
//! like any other request: one that never did would stay with what has become worse.

use berry_core::config::SmartAi as Settings;
use smallvec::SmallVec;

use crate::economy::Economy;
use crate::strategy::weighted::{self, suspect_weight};
use crate::strategy::{Candidate, Draw, Strategy};

/// The confidence from which an endpoint may be the first choice.
const TRUSTED: f64 = 0.5;
/// The confidence from which an endpoint is stable.
const STABLE: f64 = 0.9;
/// From this multiple of the exploit's price on an endpoint is costly.
const COSTLY: f64 = 1.5;
/// From this part of the best score on an affinity decides. One that has only its initial confidence
/// takes part beside one that is proven.
const NEAR: f64 = 0.7;
/// What a premium endpoint of unknown price is taken to cost, in the exploit's price.
const PREMIUM_MULTIPLE: f64 = 10.0;

#[derive(Debug)]
pub(super) struct SmartAi;

/// A candidate with what is computed of it for one choice.
struct Rated<'a> {
    candidate: &'a Candidate<'a>,
    /// What the average request costs there.
    price: Option<f64>,
    score: f64,
}

impl Rated<'_> {
    fn is_trusted(&self) -> bool {
        self.candidate.signals.confidence >= TRUSTED
    }

    fn is_premium(&self) -> bool {
        self.candidate.endpoint.is_premium()
    }

    /// Returns whether a request with an affinity for this one loses nothing beside `best`.
    fn is_near(&self, best: &Self) -> bool {
        let same_rank =
            (self.is_trusted(), self.is_premium()) == (best.is_trusted(), best.is_premium());
        let dearer = self
            .price
            .zip(best.price)
            .is_some_and(|(price, usual)| price > usual);
        same_rank && !dearer && self.score >= NEAR * best.score
    }

    /// Returns what a request costs here more than at `exploit`; none where it is no costly place.
    fn extra(&self, exploit: &Self) -> Option<f64> {
        let usual = exploit.price.unwrap_or_default();
        match self.price {
            Some(price) if exploit.price.is_some() && price > COSTLY * usual => Some(price - usual),
            Some(price) if self.is_premium() => Some((price - usual).max(0.0)),
            None if self.is_premium() => Some(usual * (PREMIUM_MULTIPLE - 1.0)),
            _ => None,
        }
    }
}

impl Strategy for SmartAi {
    fn choose(&self, candidates: &[Candidate<'_>], draw: &mut Draw<'_>) -> Option<usize> {
        let rated = rate(candidates, draw.smart_ai, draw.economy);
        let exploit = preferred(&rated, exploit(&rated)?, draw);
        if rated.len() == 1 || draw.rng.f64() >= draw.smart_ai.exploration_ratio {
            return Some(exploit);
        }
        Some(explore(&rated, exploit, draw).unwrap_or(exploit))
    }

    fn weights(
        &self,
        candidates: &[Candidate<'_>],
        settings: &Settings,
        economy: &Economy,
    ) -> Vec<f64> {
        let rated = rate(candidates, settings, economy);
        rated.iter().map(|rated| rated.score).collect()
    }
}

fn rate<'a>(
    candidates: &'a [Candidate<'a>],
    settings: &Settings,
    economy: &Economy,
) -> SmallVec<[Rated<'a>; 16]> {
    let average = economy.average();
    let mut rated: SmallVec<[Rated<'a>; 16]> = candidates
        .iter()
        .map(|candidate| Rated {
            candidate,
            price: average.cost(&candidate.endpoint.prices),
            score: worth(candidate, settings),
        })
        .collect();
    let prices = rated.iter().filter_map(|rated| rated.price);
    if let Some(cheapest) = prices.min_by(f64::total_cmp) {
        for rated in &mut rated {
            // What costs nothing is as good as the cheapest.
            let factor = rated
                .price
                .filter(|price| *price > 0.0)
                .map(|price| cheapest / price);
            rated.score *= factor.unwrap_or(1.0);
        }
    }
    rated
}

/// Returns the score without its price factor.
fn worth(candidate: &Candidate<'_>, settings: &Settings) -> f64 {
    let signals = &candidate.signals;
    let stable = signals.confidence >= STABLE && !candidate.endpoint.is_premium();
    let bonus = if stable {
        settings.non_premium_stability_bonus
    } else {
        1.0
    };
    suspect_weight(candidate) * signals.confidence * signals.recovery * bonus
}

fn exploit(rated: &[Rated<'_>]) -> Option<usize> {
    best(rated, |rated| rated.is_trusted() && !rated.is_premium())
        .or_else(|| best(rated, Rated::is_trusted))
        .or_else(|| best(rated, |_| true))
}

/// Returns the place that a request goes to instead of the best one, by its affinity.
fn preferred(rated: &[Rated<'_>], best: usize, draw: &Draw<'_>) -> usize {
    let Some(key) = draw.affinity else {
        return best;
    };
    let runners = rated.iter().map(|runner| {
        let weight = if runner.is_near(&rated[best]) {
            runner.score
        } else {
            0.0
        };
        (runner.candidate.endpoint.state.lane(), weight)
    });
    key.race(runners).unwrap_or(best)
}

/// Returns the place of the best score; the first of equals.
fn best<'a>(rated: &[Rated<'a>], admitted: impl Fn(&Rated<'a>) -> bool) -> Option<usize> {
    let places = (0..rated.len()).filter(|&place| admitted(&rated[place]));
    places.reduce(|best, place| {
        if rated[place].score > rated[best].score {
            place
        } else {
            best
        }
    })
}

fn explore(rated: &[Rated<'_>], exploit: usize, draw: &mut Draw<'_>) -> Option<usize> {
    let mut others: SmallVec<[usize; 16]> = SmallVec::new();
    let mut costly: SmallVec<[usize; 16]> = SmallVec::new();
    let mut dearest: f64 = 0.0;
    for place in (0..rated.len()).filter(|&place| place != exploit) {
        match rated[place].extra(&rated[exploit]) {
            None => others.push(place),
            Some(extra) => {
                costly.push(place);
                dearest = dearest.max(extra);
            }
        }
    }
    let interval = draw.smart_ai.lightweight_check_interval;
    if !costly.is_empty() && draw.economy.admit_costly(dearest, interval, draw.now) {
        others.extend(costly);
    }
    let candidates: SmallVec<[Candidate<'_>; 16]> = others
        .iter()
        .map(|&place| *rated[place].candidate)
        .collect();
    let score = |candidate: &Candidate<'_>| {
        let found = rated
            .iter()
            .find(|rated| rated.candidate.index == candidate.index);
        found.map_or(0.0, |rated| rated.score)
    };
    let chosen = others[weighted::choose(&candidates, draw.rng, score)?];
    if let Some(extra) = rated[chosen].extra(&rated[exploit]) {
        draw.economy.explored(extra);
    }
    Some(chosen)
}
