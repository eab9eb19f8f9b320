//! berry-relay
