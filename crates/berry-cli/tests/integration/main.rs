//! The real binary, started as a user starts it.

/// Files: checked, written, never overwritten unasked.
#[cfg(test)]
mod config;
/// Keys that a file holds encrypted.
#[cfg(test)]
mod encrypt_key;
/// What a running gateway has counted.
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod mock_upstream;
/// Providers and gateways, asked.
#[cfg(test)]
mod probing;
/// The script that replaces secrets.
#[cfg(test)]
mod rotate;
/// Gateways: found, known, trusted.
#[cfg(test)]
mod running;
#[cfg(test)]
mod simulate;
#[cfg(test)]
mod support;
/// How long the gateway waits for what.
#[cfg(test)]
mod timeouts;
/// Tokens: made and hashed.
#[cfg(test)]
mod token;
/// What was used, and what it cost.
#[cfg(test)]
mod usage;
