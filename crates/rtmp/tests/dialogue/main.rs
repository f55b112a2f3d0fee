//! Server and client sessions in conversation, without sockets and in virtual time.

// A test fails by panicking, and its names are its documentation.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod clients;
mod deadlines;
mod hostile;
mod players;
mod publishers;
mod wire;
