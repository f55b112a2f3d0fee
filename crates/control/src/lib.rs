//! Configuration, the operator's API and the page.

pub mod config;
