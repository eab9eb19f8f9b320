//! Every environment variable that the commands read themselves, named once.

/// Where the gateway listens; wins over its configuration.
pub(crate) const BIND_ADDRESS: &str = "BIND_ADDRESS";

/// Returns a variable that is set, not empty, and text.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place where variables are read"
)]
pub(crate) fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
