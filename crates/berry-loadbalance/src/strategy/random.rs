//! `random`: each candidate with the same chance, whatever its weight.
//!
//! ```text
//! P(i) = 1 / n
//! ```

use crate::strategy::{Candidate, Draw, Strategy};

#[derive(Debug)]
pub(super) struct Random;

impl Strategy for Random {
    fn choose(&self, candidates: &[Candidate<'_>], draw: &mut Draw<'_>) -> Option<usize> {
        draw.share(candidates, |_| 1.0)
    }
}
