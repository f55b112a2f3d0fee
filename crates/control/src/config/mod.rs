//! The configuration: one tree of settings, where it comes from, and what is wrong with it.
//!
//! [`Sources`] says where to look; [`Sources::load`] reads a TOML file of ours or a JSON file of
//! lal's, then the environment, then `--set` arguments, later ones taking precedence. What comes
//! out is a [`Config`] that is known to make sense. Nothing is corrected silently: a value that
//! cannot be used refuses the whole configuration, with its place, key and a remedy.
//!
//! [`sections`] declares every key once.

mod check;
mod error;
mod lal;
mod load;
mod reload;
mod render;
mod schema;
pub mod sections;
mod suggest;
mod tree;
pub mod units;
pub mod values;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use error::{Error, Place, Problem};
pub use load::{ENVIRONMENT_PREFIX, Loaded, Sources, discover, load};
pub use reload::Reload;
pub use schema::{Effect, Key, Section};
use schema::{Report, configuration};
use sections::{
    Api, Flv, Hls, Http, Limits, Log, Mp4, Record, Rtmp, Server, Stream, StreamOverride, Tls, Ts,
};

configuration! {
    /// All settings. The default is what the server does without a file.
    pub struct Config {
        /// The server as a whole.
        server: Server,
        /// What is logged, and where to.
        log: Log,
        /// RTMP and RTMPS.
        rtmp: Rtmp,
        /// HTTP and HTTPS for viewers.
        http: Http,
        /// HTTP-FLV and WebSocket-FLV.
        flv: Flv,
        /// MPEG-TS over HTTP and WebSocket.
        ts: Ts,
        /// Fragmented MP4 over HTTP and WebSocket.
        mp4: Mp4,
        /// HLS.
        hls: Hls,
        /// How streams are recorded.
        record: Record,
        /// The certificate of all listeners with TLS.
        tls: Tls,
        /// The operator's API and page.
        api: Api,
        /// The rules of every stream.
        stream: Stream,
        /// How much of anything there may be.
        limits: Limits,
    }
}

impl Config {
    /// The rules of one stream: those of every stream, changed by the overrides that match.
    #[must_use]
    pub fn stream(&self, name: &str) -> Stream {
        let mut rules = self.stream.clone();
        for change in self.stream_override.iter().filter(|o| o.pattern.matches(name)) {
            change.apply(&mut rules);
        }
        rules
    }

    /// What a reload from `self` to `new` changes, and what of it has to wait for a restart.
    #[must_use]
    pub fn diff(&self, new: &Self) -> Reload {
        Reload::between(self, new)
    }

    /// The default configuration as a commented TOML file.
    #[must_use]
    pub fn sample_toml() -> String {
        render::render(&Self::default(), &|_| None)
    }

    /// The section and the key that a dotted path names.
    fn key(path: &str) -> Option<(&'static Section, &'static Key)> {
        let (section, key) = path.split_once('.')?;
        let section = Self::SECTIONS.iter().find(|s| s.name == section)?;
        Some((section, section.keys.iter().find(|k| k.name == key)?))
    }

    /// All values as TOML.
    fn to_table(&self) -> toml::Table {
        toml::Table::try_from(self).expect("settings are text, numbers, flags, lists and tables")
    }
}

/// The name of the list of [`StreamOverride`]s.
const OVERRIDES: &str = "stream_override";
