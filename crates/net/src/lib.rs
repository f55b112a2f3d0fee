//! Shards, listeners, TLS and the egress engine.
