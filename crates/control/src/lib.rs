//! What an operator sees and touches: the API, events and webhooks, metrics, the pages.

pub mod api;
pub mod devices;
pub mod edges;
pub mod events;
pub mod history;
pub mod logs;
mod metrics;
pub mod operations;
pub mod page;
pub mod receivers;
pub mod relays;
pub mod web;
pub mod webhooks;
