//! How much a user has sent, and whether more fits.
//!
//! A [`Meter`] belongs to a user and outlives configurations; the limits belong to one and are
//! handed in, so that a reload changes them at once and forgets nothing. A request takes its place
//! among those at the same time before anything of its body is read ([`Entry`]); once it is known
//! what it asks for, it reserves its part of every window under one lock: of all or of none. The
//! [`Reservation`] lasts as long as the answer, is settled with what was really used, and is
//! refunded where nothing came.
//!
//! Everything here is told the time. Several machines that share their counts would need another
//! meter, and nothing else.

mod counts;
mod in_flight;
#[cfg(test)]
mod interleavings;
mod meter;
mod meters;
mod window;

pub use counts::{Counted, Estimate, LimitKind, Limited, Quota, Standing};
pub use in_flight::{InFlight, Place};
pub use meter::{Entry, Meter, Reservation};
pub use meters::Meters;
