//! What all requests have in common: their number, the session, and proof of who asks
//! (RFC 2326 §12.17, §12.37; RFC 7616 §3.3).

use auth::Answer;
use bytes::Bytes;

use crate::message::{Request, Response};

/// How often one request is sent again with other credentials: once since it had none or those of
/// an old nonce, once since the nonce has just expired.
const MAX_CHALLENGES: u8 = 2;

/// Completes requests.
#[derive(Debug)]
pub(super) struct Caller {
    user_agent: String,
    via: Option<String>,
    identity: Identity,
    cseq: u32,
    session: Option<String>,
}

enum Identity {
    /// There is nothing to prove it with.
    Nobody,
    /// The server has not asked yet.
    Unasked { user: String, password: String },
    /// Every request proves it.
    Asked { user: String, password: String, challenge: Answer, answer: Answer },
}

/// Without the password.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nobody => "Nobody",
            Self::Unasked { .. } => "Unasked",
            Self::Asked { .. } => "Asked",
        })
    }
}

impl Caller {
    pub(super) fn new(
        user_agent: String,
        via: Option<String>,
        credentials: Option<(String, String)>,
    ) -> Self {
        let identity = match credentials {
            Some((user, password)) => Identity::Unasked { user, password },
            None => Identity::Nobody,
        };
        Self { user_agent, via, identity, cseq: 0, session: None }
    }

    /// The number of the request, and its bytes.
    pub(super) fn ask(&mut self, request: &Request) -> (u32, Bytes) {
        self.cseq = self.cseq.wrapping_add(1);
        let mut complete = Request::new(request.method.clone(), request.uri.clone());
        let fields = &mut complete.fields;
        fields.push("CSeq", self.cseq.to_string());
        fields.push("User-Agent", self.user_agent.clone());
        if let Some(via) = &self.via {
            fields.push(crate::VIA, via.clone());
        }
        if let Some(session) = &self.session {
            fields.push("Session", session.clone());
        }
        if let Identity::Asked { user, password, answer, .. } = &mut self.identity {
            let method = request.method.name();
            fields.push("Authorization", answer.header(user, password, method, &request.uri));
        }
        for name in ["Accept", "Content-Type", "Range", "Transport"] {
            for value in request.fields.all(name) {
                fields.push(name, value);
            }
        }
        complete.body = request.body.clone();
        (self.cseq, complete.to_bytes())
    }

    /// Takes the challenge of a 401; whether the request is worth sending again. `challenges` says
    /// how often it was already sent again.
    pub(super) fn challenged(&mut self, response: &Response, challenges: u8) -> bool {
        let headers = || response.fields.all("WWW-Authenticate");
        let Some(challenge) = Answer::choose(headers()) else { return false };
        let (user, password) = match &self.identity {
            Identity::Nobody => return false,
            // The same question again: the answer was wrong.
            Identity::Asked { challenge: known, .. } if *known == challenge => return false,
            Identity::Asked { user, password, .. } | Identity::Unasked { user, password } => {
                (user.clone(), password.clone())
            }
        };
        // A nonce that is just new says nothing: servers make one for each refusal.
        let is_expected = challenges == 0 || headers().any(is_stale);
        if challenges >= MAX_CHALLENGES || !is_expected {
            return false;
        }
        let answer = challenge.clone();
        self.identity = Identity::Asked { user, password, challenge, answer };
        true
    }

    pub(super) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    pub(super) fn remember_session(&mut self, id: &str) {
        self.session = Some(id.to_owned());
    }

    pub(super) fn forget_session(&mut self) {
        self.session = None;
    }
}

/// Whether the server says that only the nonce was too old.
fn is_stale(header: &str) -> bool {
    let text = header.to_ascii_lowercase().replace(['"', ' ', '\t'], "");
    text.split(',').any(|parameter| parameter.ends_with("stale=true"))
}

/// A URI with what would break a request line, or the quotes of a Digest, escaped: descriptions
/// name addresses with spaces.
pub(super) fn clean(uri: &str) -> String {
    let is_unsafe = |c: char| c.is_ascii_control() || c == ' ' || c == '"';
    let uri = uri.trim();
    if !uri.contains(is_unsafe) {
        return uri.to_owned();
    }
    let escape = |c: char| match c {
        c if is_unsafe(c) => format!("%{:02X}", u32::from(c)),
        c => c.to_string(),
    };
    uri.chars().map(escape).collect()
}
