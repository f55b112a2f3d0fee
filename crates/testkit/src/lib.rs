//! Synthetic encoder, virtual clock and scripted peers for tests.
