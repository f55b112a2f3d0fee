//! Configuration, the operator's API and the page.

pub mod access;
pub mod api;
pub mod config;
pub mod devices;
pub mod edges;
pub mod events;
pub mod history;
pub mod logs;
mod metrics;
pub mod operations;
pub mod outgoing;
pub mod page;
pub mod receivers;
pub mod relays;
pub mod web;
pub mod webhooks;

pub use {ipnet, toml};
