//! lal's simple authentication: `lal_secret` is the MD5 of a key and the stream's name, or a secret
//! that always fits.

use config::sections::Auth;
use config::values::LalGuard;
use hub::Protocol;
use hub::gate::{Action, Proof};
use md5::{Digest, Md5};

use super::query::Query;

/// Whether it holds for what is asked.
pub(super) fn guards(auth: &Auth, action: Action, protocol: Protocol) -> bool {
    let guard = match (action, protocol) {
        (Action::Publish, Protocol::Rtmp) => LalGuard::PubRtmp,
        (Action::Publish, Protocol::Rtsp) => LalGuard::PubRtsp,
        (Action::Play, Protocol::Rtmp) => LalGuard::SubRtmp,
        (Action::Play, Protocol::Rtsp) => LalGuard::SubRtsp,
        (Action::Play, Protocol::Flv) => LalGuard::SubHttpflv,
        // lal has no MP4: whoever closed MPEG-TS did not want the same by another ending.
        (Action::Play, Protocol::Ts | Protocol::Mp4) => LalGuard::SubHttpts,
        (Action::Play, Protocol::Hls) => LalGuard::HlsM3u8,
        _ => return false,
    };
    auth.lal_for.has(guard)
}

/// Whether the query has a `lal_secret` that fits.
pub(super) fn admits(auth: &Auth, query: &Query<'_>, stream_name: &str) -> bool {
    let Some(secret) = query.get("lal_secret") else { return false };
    let told = Proof::Password(secret.to_lowercase());
    // lal's own must be in lower case.
    let exact = Proof::Password(secret.into_owned());
    let is_override = !auth.lal_override.is_empty()
        && (told.shows(&auth.lal_override) || exact.shows(&auth.lal_override));
    let hash = Md5::digest(format!("{}{stream_name}", auth.lal_key));
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    // Without a key everybody could make the signature.
    is_override || (!auth.lal_key.is_empty() && told.shows(&hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_fits() {
        let auth = Auth {
            lal_key: "q191201771".to_owned(),
            lal_override: "pengrl".to_owned(),
            ..Auth::default()
        };
        let fits = |query, name| admits(&auth, &Query::of(query), name);
        assert!(fits("lal_secret=700997e1595a06c9ffa60ebef79105b0", "test110"));
        assert!(fits("x=1&lal_secret=700997E1595A06C9FFA60EBEF79105B0", "test110"));
        assert!(fits("lal_secret=pengrl", "anything"));
        assert!(fits("lal_secret=PengRL", "anything"));
        let ours = Auth { lal_override: "OurOwn".to_owned(), ..Auth::default() };
        assert!(admits(&ours, &Query::of("lal_secret=OurOwn"), "anything"));
        assert!(!admits(&ours, &Query::of("lal_secret=ourown"), "anything"));
        assert!(!fits("lal_secret=700997e1595a06c9ffa60ebef79105b0", "test111"));
        assert!(!fits("lal_secret=", "test110"));
        assert!(!fits("", "test110"));
        let open = Auth::default();
        let hash: String = Md5::digest("a").iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!admits(&open, &Query::of(&format!("lal_secret={hash}")), "a"));
        assert!(!admits(&open, &Query::of("lal_secret="), "a"));
    }
}
