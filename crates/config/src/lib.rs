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
    Access, Api, Auth, Flv, Gb28181, Hls, Http, Limits, Log, Mp4, Ps, Record, Relay, Rtmp, Rtsp,
    Server, Stream, StreamOverride, Tls, Ts, Webhooks,
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
        /// RTSP and RTSPS.
        rtsp: Rtsp,
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
        /// Program streams in RTP.
        ps: Ps,
        /// Cameras and recorders that register here.
        gb28181: Gb28181,
        /// Streams from and to other servers.
        relay: Relay,
        /// Who may publish and play.
        auth: Auth,
        /// Which addresses may connect.
        access: Access,
        /// Notifications.
        webhooks: Webhooks,
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

    /// All values, but `***` in the place of secrets and of what may hold some.
    #[must_use]
    pub fn without_secrets(&self) -> toml::Table {
        let mut table = self.to_table();
        for (section, key) in SECRETS {
            let value = table.get_mut(*section).and_then(|values| values.get_mut(*key));
            match value {
                Some(toml::Value::String(text)) if !text.is_empty() => "***".clone_into(text),
                Some(toml::Value::Array(users)) => {
                    for user in users.iter_mut().filter_map(toml::Value::as_table_mut) {
                        user.insert("password".to_owned(), "***".into());
                    }
                }
                _ => {}
            }
        }
        for values in table.iter_mut().filter_map(|(_, values)| values.as_table_mut()) {
            for (_, value) in values.iter_mut() {
                if let toml::Value::String(url) = value
                    && url.contains("://")
                {
                    let (before, query) = match url.split_once('?') {
                        Some((before, _)) => (before, "?***"),
                        None => (url.as_str(), ""),
                    };
                    *url = format!("{}{query}", hub::mask::source(before));
                }
            }
        }
        if let Some(relay) = table.get_mut("relay") {
            hide_logins(relay);
        }
        for (key, url) in self.webhooks.urls() {
            // Paths of receivers are secrets as often as not.
            let Some(shown) = table.get_mut("webhooks").and_then(|values| values.get_mut(key))
            else {
                continue;
            };
            if let Ok(url) = url::Url::parse(url) {
                *shown = format!("{}/***", url.origin().ascii_serialization()).into();
            }
        }
        table
    }

    /// All values as TOML.
    fn to_table(&self) -> toml::Table {
        toml::Table::try_from(self).expect("settings are text, numbers, flags, lists and tables")
    }
}

/// Hides what may be secret in the addresses of other servers: logins, keys of streams, queries.
fn hide_logins(value: &mut toml::Value) {
    match value {
        toml::Value::String(text) => {
            if let Some((scheme, rest)) = text.split_once("://") {
                let authority = rest.split(['/', '?']).next().unwrap_or_default();
                let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                *text = format!("{scheme}://{host}/***");
            }
        }
        toml::Value::Array(all) => all.iter_mut().for_each(hide_logins),
        toml::Value::Table(all) => all.iter_mut().for_each(|(_, value)| hide_logins(value)),
        _ => {}
    }
}

/// Sections and keys of secrets.
const SECRETS: &[(&str, &str)] = &[
    ("rtsp", "password"),
    ("hls", "session_key"),
    ("auth", "users"),
    ("gb28181", "password"),
    ("gb28181", "devices"),
    ("auth", "jwt_secret"),
    ("auth", "lal_key"),
    ("auth", "lal_override"),
    ("webhooks", "secret"),
    ("api", "token"),
    ("relay", "report_token"),
];

/// The name of the list of [`StreamOverride`]s.
const OVERRIDES: &str = "stream_override";
