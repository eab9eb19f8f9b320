//! Which endpoint repeated requests prefer, so that its provider's prompt cache hits.
//!
//! Requests of one [`AffinityKey`] run an exponential race (weighted rendezvous hashing): each
//! candidate is given a time, and the first one wins.
//!
//! ```text
//! time(i) = −ln u(key, i) / w(i),   u uniform in (0, 1) by a hash of the key and the endpoint
//! ```
//!
//! So no table of keys is kept. Over many keys the shares are those of the weights. A candidate that
//! goes loses its own keys, each to where it would have gone without it; one that comes back gets
//! these, and no others. The hash depends on names alone: gateways side by side, and one that
//! was started again, send a key to the same endpoint.
//!
//! Which candidates take part and what each weighs is the strategy's business, and that there are
//! none but healthy ones, the pool's.

use crate::key::EndpointKey;

/// What repeated requests have in common, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AffinityKey(u64);

impl AffinityKey {
    /// Makes the key of this text: a user's id, or what the client calls its conversation.
    pub fn of(text: &str) -> Self {
        Self(hash([text]))
    }

    /// Returns the place of the winner among runners and their weights; none where there are none.
    pub(crate) fn race(self, runners: impl Iterator<Item = (Lane, f64)>) -> Option<usize> {
        let times = runners.map(|(lane, weight)| -self.chance(lane).ln() / weight);
        let first = times.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b));
        first.map(|(place, _)| place)
    }

    /// Returns a number in (0, 1), never one of its bounds.
    fn chance(self, Lane(lane): Lane) -> f64 {
        /// What an `f64` holds exactly, less the half that keeps it off the bounds.
        const BITS: u32 = 52;
        let bits = mix(self.0 ^ lane) >> (u64::BITS - BITS);
        (bits as f64 + 0.5) / (1_u64 << BITS) as f64
    }
}

/// An endpoint's half of the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lane(u64);

impl Lane {
    /// Makes that of a provider's model. A new URL or credential moves no request.
    pub(crate) fn of(key: &EndpointKey) -> Self {
        // Mixed once more than a key, so that no text can be chosen to cancel a name out.
        Self(mix(hash([key.provider.as_str(), &key.model])))
    }
}

/// Hashes texts (FNV-1a, well mixed). It is no defence against keys that are made to collide: who
/// wants all requests in one place may give them all one key.
fn hash<const N: usize>(texts: [&str; N]) -> u64 {
    // No text contains the byte that ends one.
    let bytes = texts
        .iter()
        .flat_map(|text| text.bytes().chain(std::iter::once(0xff)));
    mix(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }))
}

/// Spreads every bit over all others: the finalizer of `SplitMix64` (Steele, Lea, Flood, "Fast
/// Splittable Pseudorandom Number Generators", OOPSLA 2014).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
