//! What a server session is set up with.

use std::time::Duration;

use flv::caps::Capabilities;

use crate::chunk;

/// Settings of server sessions; shared by all of a listener.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The chunk size that is announced and written with.
    pub chunk_size: chunk::Size,
    /// What a publisher may make the session hold; others get [`chunk::Limits::COMMANDS`].
    pub limits: chunk::Limits,
    /// What the server announces of Enhanced RTMP, to clients that announce something.
    pub capabilities: Capabilities,
    /// For the whole handshake.
    pub handshake_timeout: Duration,
    /// For each step from the handshake to publish or play, and from the end of a stream to the
    /// next.
    pub setup_timeout: Duration,
    /// For all these steps together: a client that dribbles commands is not setting up.
    pub setup_limit: Duration,
    /// How long a publisher may be silent. Half of it after the last byte it is pinged, so that
    /// one with nothing to send can say so.
    pub publisher_idle: Duration,
    /// How often a silent player is pinged. Players need not answer: one that is gone is noticed
    /// by what it does not take.
    pub player_ping: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            chunk_size: chunk::Size::DEFAULT,
            limits: chunk::Limits::MEDIA,
            capabilities: Capabilities::default(),
            handshake_timeout: Duration::from_secs(10),
            setup_timeout: Duration::from_secs(10),
            setup_limit: Duration::from_secs(30),
            publisher_idle: Duration::from_secs(15),
            player_ping: Duration::from_secs(30),
        }
    }
}
