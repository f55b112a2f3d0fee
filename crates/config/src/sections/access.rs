//! Who may publish and play, and from which addresses.

use crate::schema::section;
use crate::units::Span;
use crate::values::{CallbackFor, Guarded, LalGuard, Networks, User, Words};

section! {
    /// Who may publish and play. There are several ways to show that one may; any of them will do.
    /// Credentials are a user's name and password (RTSP and HTTP: as their protocols have it; RTMP,
    /// and all others as well: ?user=NAME&pass=PASSWORD behind the stream's name), or a token
    /// (?token=TOKEN, or Authorization: Bearer TOKEN over HTTP).
    pub struct Auth {
        /// What needs credentials: any of "publish" and "play".
        Live required: Words<Guarded> = Words::default(),
        /// Who has a password, and for which streams: a list of tables [[auth.users]] with name,
        /// password, publish and play (patterns of paths such as "live/*"), and api (true lets the
        /// user use the API).
        Live users: Vec<User> = Vec::new(),
        /// A secret of tokens (JWT) that are signed with HS256, of 16 bytes at least; empty for none.
        Live jwt_secret: String = String::new(),
        /// The public keys of tokens that are signed with RS256 or ES256: a file or a URL of a JSON
        /// Web Key Set; empty for none.
        Live jwt_keys: String = String::new(),
        /// Who must have issued tokens (iss); empty for anybody.
        Live jwt_issuer: String = String::new(),
        /// Whom tokens must be meant for (aud); empty for anybody.
        Live jwt_audience: String = String::new(),
        /// A URL that is asked, by POST, whether somebody may do something: an answer of 200 to 299
        /// says yes. Empty for none.
        Live callback: String = String::new(),
        /// What it is asked about: any of "connect" (RTMP), "publish", "play" and "api". What it
        /// refuses stays refused whatever the credentials.
        Live callback_for: Words<CallbackFor> =
            [CallbackFor::Publish, CallbackFor::Play].into_iter().collect(),
        /// How long it may take to answer; without an answer in time, it is no.
        Live callback_timeout: Span = Span::from_secs(3);
            Span::from_millis(100)..=Span::from_secs(30),
        /// The key of lal's simple authentication: ?lal_secret= with the MD5 of the key and the
        /// stream's name.
        Live lal_key: String = String::new(),
        /// A lal_secret that always fits; empty for none.
        Live lal_override: String = String::new(),
        /// Where lal's simple authentication holds: any of "pub_rtmp", "sub_rtmp", "sub_httpflv",
        /// "sub_httpts", "pub_rtsp", "sub_rtsp" and "hls_m3u8". Where rtsp.auth asks, too, both are
        /// needed.
        Live lal_for: Words<LalGuard> = Words::default(),
    }
}

impl Auth {
    /// Whether what a client knows must be told as it is, not as a proof of it.
    #[must_use]
    pub fn takes_secrets(&self) -> bool {
        !(self.jwt_secret.is_empty() && self.jwt_keys.is_empty() && self.callback.is_empty())
    }
}

section! {
    /// Which addresses may connect, by whatever protocol. The operator's API is not concerned.
    pub struct Access {
        /// Only these addresses and networks, such as ["192.0.2.0/24"]; all if there is none.
        Live allow: Networks = Networks::default(),
        /// None of these.
        Live deny: Networks = Networks::default(),
    }
}
