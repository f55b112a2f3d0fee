//! Streams, packagers, cursors, sessions: who gets what and when.
