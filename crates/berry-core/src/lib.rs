//! berry-core
