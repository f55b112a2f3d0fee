//! A running server and its peers, for the tests in `tests/tests`.
