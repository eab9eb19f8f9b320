//! The commands, one per file: its options and what it does.

pub(crate) mod completions;
pub(crate) mod encrypt_key;
pub(crate) mod generate_config;
pub(crate) mod generate_token;
pub(crate) mod hash_token;
pub(crate) mod health_check;
pub(crate) mod metrics;
pub(crate) mod mock_upstream;
pub(crate) mod rotate_tokens;
pub(crate) mod simulate;
pub(crate) mod test_backend;
pub(crate) mod timeouts;
pub(crate) mod usage;
pub(crate) mod validate_config;
