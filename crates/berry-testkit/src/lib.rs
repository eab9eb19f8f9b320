//! berry-testkit
