//! A raw client against simulated providers: what arrives, byte for byte, and when.

mod answers;
mod bench;
mod counts;
mod faults;
mod protocols;
mod streams;
mod support;
