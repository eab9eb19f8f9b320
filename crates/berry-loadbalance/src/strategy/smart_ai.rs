//! `smart_ai`: what is cheap and has lately worked, learned from few and costly requests.
//!
//! ```text
//! score(i) = weight × c × recovery share × 2^−n × price factor × bonus
//!            c             confidence, from real outcomes only
//!            n             failures in a row
//!            price factor  cheapest known price of the candidates ÷ its price; 1 where unknown; what
//!                          is free counts as a tenth of the cheapest that is not
//!            bonus         non_premium_stability_bonus, if not `premium` and c ≥ 0.9
//! trusted:   c ≥ 0.5
//!
//! exploit (probability 1 − exploration_ratio): the best score among the trusted that are not
//!         premium; else among the trusted premium ones; else among all; file order on ties
//! explore: one of the others, in proportion to hope; where it is neither cheaper than the exploit
//!         nor costly (see below), only with probability 1 − f
//!            hope          the score with 1 − (1−c)·f for c, and 2^(−n·f) for 2^−n
//!            f             what was heard of it Δt ago is worth 2^(−Δt / interval), interval =
//!                          lightweight_check_interval_seconds; 0 where nothing was ever heard
//! ```
//!
//! In choosing the exploit the last failure of a trusted endpoint is not halved for (2^−(n−1)): what
//! else it does to c stands, but one failure is no reason to pay a multiple, and is made good
//! elsewhere before the client notices. This is the weight that status
//! pages show; trust and the tag `premium` go before it.
//!
//! Exploration decays: what was heard of lately has little to tell, and is passed over. It never
//! ends: the longer an endpoint was silent, the less its failures are held against it (the upper end
//! of what its confidence may have become), so that one that was given up is looked at again. A
//! cheaper endpoint than the exploit is one that has failed, and to find it well again saves money
//! with each request that follows.
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
use crate::strategy::weighted::{self, halved};
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
/// What is free is taken to cost this part of the cheapest that is not: far less, and yet the prices
/// of all others still matter.
const FREE: f64 = 0.1;
/// What a premium endpoint of unknown price is taken to cost, in the exploit's price.
const PREMIUM_MULTIPLE: f64 = 10.0;

#[derive(Debug)]
pub(super) struct SmartAi;

/// A candidate with what is computed of it for one choice.
struct Rated<'a> {
    candidate: &'a Candidate<'a>,
    /// What the average request costs there.
    price: Option<f64>,
    /// The score without its confidence and its failures.
    merit: f64,
}

impl Rated<'_> {
    fn is_trusted(&self) -> bool {
        self.candidate.signals.confidence >= TRUSTED
    }

    fn is_premium(&self) -> bool {
        self.candidate.endpoint.is_premium()
    }

    fn score(&self) -> f64 {
        let signals = &self.candidate.signals;
        self.merit * signals.confidence * halved(f64::from(signals.consecutive_failures))
    }

    /// Returns the score by which the exploit is chosen: without the last failure of a trusted
    /// endpoint.
    fn standing(&self) -> f64 {
        let forborne = self.is_trusted() && self.candidate.signals.consecutive_failures > 0;
        self.score() * if forborne { 2.0 } else { 1.0 }
    }

    /// Returns what the score may have become, where `known` of it is still true.
    fn hope(&self, known: f64) -> f64 {
        let signals = &self.candidate.signals;
        let confidence = 1.0 - (1.0 - signals.confidence) * known;
        self.merit * confidence * halved(f64::from(signals.consecutive_failures) * known)
    }

    /// Returns how much of what was heard of it last is still true.
    fn known(&self, draw: &Draw<'_>) -> f64 {
        let interval = draw.smart_ai.lightweight_check_interval;
        let heard = self.candidate.signals.heard;
        heard.map_or(0.0, |heard| {
            let age = draw.now.saturating_since(heard);
            (-age.div_duration_f64(interval)).exp2()
        })
    }

    fn is_cheaper_than(&self, other: &Self) -> bool {
        let prices = self.price.zip(other.price);
        prices.is_some_and(|(price, other)| price < other)
    }

    /// Returns whether a request with an affinity for this one loses nothing beside `best`.
    fn is_near(&self, best: &Self) -> bool {
        let rank = |rated: &Self| (rated.is_trusted(), rated.is_premium());
        rank(self) == rank(best)
            && !best.is_cheaper_than(self)
            && self.standing() >= NEAR * best.standing()
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
        rated.iter().map(Rated::standing).collect()
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
            merit: merit(candidate, settings),
        })
        .collect();
    let prices = || rated.iter().filter_map(|rated| rated.price);
    let free = prices()
        .filter(|price| *price > 0.0)
        .min_by(f64::total_cmp)
        .map_or(1.0, |least| FREE * least);
    let counted = |price: f64| if price > 0.0 { price } else { free };
    if let Some(cheapest) = prices().map(counted).min_by(f64::total_cmp) {
        for rated in &mut rated {
            let factor = rated.price.map(|price| cheapest / counted(price));
            rated.merit *= factor.unwrap_or(1.0);
        }
    }
    rated
}

/// Returns the merit without its price factor.
fn merit(candidate: &Candidate<'_>, settings: &Settings) -> f64 {
    let signals = &candidate.signals;
    let stable = signals.confidence >= STABLE && !candidate.endpoint.is_premium();
    let bonus = if stable {
        settings.non_premium_stability_bonus
    } else {
        1.0
    };
    candidate.endpoint.weight * signals.recovery * bonus
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
            runner.standing()
        } else {
            0.0
        };
        (runner.candidate.endpoint.state.lane(), weight)
    });
    key.race(runners).unwrap_or(best)
}

/// Returns the place of the best standing; the first of equals.
fn best<'a>(rated: &[Rated<'a>], admitted: impl Fn(&Rated<'a>) -> bool) -> Option<usize> {
    let places = (0..rated.len()).filter(|&place| admitted(&rated[place]));
    places.reduce(|best, place| {
        if rated[place].standing() > rated[best].standing() {
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
    let hope = |other: usize| {
        let rated = &rated[others[other]];
        rated.hope(rated.known(draw))
    };
    let weights: SmallVec<[f64; 16]> = (0..others.len()).map(hope).collect();
    let chosen = others[weighted::draw(&weights, draw.rng)?];
    let (other, exploit) = (&rated[chosen], &rated[exploit]);
    match other.extra(exploit) {
        Some(extra) => draw.economy.explored(extra),
        None if other.is_cheaper_than(exploit) => {}
        None if draw.rng.f64() < other.known(draw) => return None,
        None => {}
    }
    Some(chosen)
}
