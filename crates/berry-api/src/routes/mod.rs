//! One file per group of routes.

pub(crate) mod chat;
pub(crate) mod health;
pub(crate) mod index;
pub(crate) mod models;
