//! One file per group of routes, and what several of them share.

pub(crate) mod admin;
mod disclosure;
pub(crate) mod health;
pub(crate) mod index;
pub(crate) mod inference;
pub(crate) mod metrics;
pub(crate) mod models;
mod moment;
pub(crate) mod monitoring;
mod overview;
pub(crate) mod prometheus;
pub(crate) mod rate_limit_usage;
mod relaying;
pub(crate) mod reload_config;
pub(crate) mod responses;
pub(crate) mod smart_ai;
pub(crate) mod usage;
