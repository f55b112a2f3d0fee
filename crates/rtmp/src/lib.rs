//! RTMP as sans-IO state machines: server and client halves.
