//! What delivery costs: a load generator, a real-time publisher, and the floor below which no
//! server that writes to sockets can get.
//!
//! | program | does |
//! |---|---|
//! | `publish` | publishes synthetic programmes in real time, every frame stamped with the wall clock |
//! | `load` | plays them with many viewers and counts what arrives, and when |
//! | `devices` | sends program streams over RTP to ports that it has ordered, as cameras do |
//! | `relays` | orders pulls and pushes, and takes what is pushed |
//! | `floor` | writes the same bytes at the same cadence to accepted sockets and does nothing else |
//! | `churn` | plays with viewers that come and go, and watches what the server keeps of them |
//! | `run` | runs them against servers, one after the other, and writes the page and the plots |
//!
//! The generator speaks its own minimal RTMP, RTSP and HTTP, so that it cannot share a mistake with
//! the server that it measures, and sweeps over non-blocking sockets every few milliseconds instead
//! of being woken for each packet: it has to be cheaper than any server.

pub mod api;
pub mod case;
pub mod child;
pub mod churn;
pub mod crowd;
pub mod devices;
pub mod goal;
pub mod histogram;
pub mod hls;
pub mod load;
pub mod machine;
pub mod mark;
mod operators;
pub mod outcome;
pub mod pace;
pub mod page;
pub mod peer;
pub mod plot;
pub mod process;
pub mod record;
pub mod relays;
pub mod report;
pub mod rtmp;
pub mod rtsp;
pub mod scan;
pub mod scenario;
pub mod server;
pub mod sink;
pub mod socket;
pub mod startup;
pub mod tally;
pub mod target;
pub mod viewer;
