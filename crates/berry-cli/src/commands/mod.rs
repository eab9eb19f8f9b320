//! The commands, one per file: its options and what it does.

pub(crate) mod mock_upstream;
pub(crate) mod simulate;
