//! What an endpoint can do, as far as a choice depends on it.
//!
//! Endpoints of one model may speak different protocols, and not every protocol has every
//! operation. The meaning of the bits is the caller's; here they are only compared.

/// A set of abilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities(u32);

impl Abilities {
    /// No ability; what every endpoint has, and what a request needs that any may serve.
    pub const NONE: Self = Self(0);

    /// Returns the ability of this number, below 32.
    pub const fn one(number: u32) -> Self {
        Self(1 << (number & 31))
    }

    /// Returns the abilities of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns those of these abilities that are not among `others`.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Returns whether all that are needed are among these.
    pub const fn include(self, needed: Self) -> bool {
        self.0 & needed.0 == needed.0
    }

    /// Returns the bits.
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// Returns the set with these bits.
    pub(crate) const fn of_bits(bits: u32) -> Self {
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_must_be_there_as_a_whole() {
        let [a, b, c] = [0, 7, 31].map(Abilities::one);
        let both = a.and(b);

        assert!(both.include(a) && both.include(both) && both.include(Abilities::NONE));
        assert!(!both.include(c) && !both.include(a.and(c)));
        assert!(!both.without(a).include(a) && both.without(a).include(b));
    }
}
