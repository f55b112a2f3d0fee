//! Configuration, the operator's API and the page.

pub mod api;
pub mod config;
pub mod page;
pub mod web;
