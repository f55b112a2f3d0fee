//! Who may publish and play, decided by the program.
//!
//! [`Builder::gate`](crate::Builder::gate) takes an async function of the [`Request`]. Publishers
//! and readers of the program itself are not asked about.

use std::sync::Arc;

use hub::gate::{Answer, Gate};
use hub::{Protocol, StreamName};

use crate::SessionInfo;

#[doc(inline)]
pub use hub::gate::{Action, Credentials, Denial, Grant, Proof};

/// The question whether a peer may do something.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// What is wanted.
    pub action: Action,
    /// Who wants it: protocol, address, URL and query.
    pub session: SessionInfo,
    /// The stream that it is about; none for [`Action::Connect`].
    pub stream: Option<StreamName>,
    /// Who the peer says it is, where its protocol has a way to say so.
    pub credentials: Credentials,
}

impl Request {
    /// The value of a parameter in the query of the peer's URL, percent-decoded; the first of that
    /// name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = self.session.query.split('&').map(|pair| pair.split_once('='));
        let (_, value) = pairs.find_map(|pair| pair.filter(|(known, _)| *known == name))?;
        Some(decode(value))
    }
}

/// Bytes that are written as `%` and two digits are put in their place; what is none stays.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.split_at_checked(2)).flatten();
        let value = escaped.and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            Some((u8::from_str_radix(digits, 16).ok().filter(|_| plain)?, after))
        });
        let (byte, after) = value.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A gate that is an async function; it may refuse anybody.
pub(crate) struct Asked<F>(pub(crate) F);

impl<F, A> Gate for Asked<F>
where
    F: Fn(Request) -> A + Send + Sync,
    A: Future<Output = Result<Grant, Denial>> + Send + 'static,
{
    fn ask(&self, request: hub::gate::Request) -> Answer {
        let hub::gate::Request { action, session, stream, credentials } = request;
        let session = SessionInfo::of(&session);
        Box::pin((self.0)(Request { action, session, stream, credentials }))
    }

    fn guards(&self, _action: Action, _protocol: Protocol) -> bool {
        true
    }
}

/// Two gates, one behind the other: who is to come in passes both.
pub(crate) struct Both {
    pub(crate) first: Arc<dyn Gate>,
    pub(crate) second: Arc<dyn Gate>,
}

impl Gate for Both {
    fn ask(&self, request: hub::gate::Request) -> Answer {
        let (first, second) = (self.first.ask(request.clone()), self.second.clone());
        Box::pin(async move {
            let own = first.await?;
            let rules = second.ask(request).await?;
            Ok(Grant { user: rules.user.or(own.user) })
        })
    }

    fn guards(&self, action: Action, protocol: Protocol) -> bool {
        self.first.guards(action, protocol) || self.second.guards(action, protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_what_is_none_stays() {
        assert_eq!(decode("a%20b+%C3%A4"), "a b+\u{e4}");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%2"), "%2");
        assert_eq!(decode("%+1%zz"), "%+1%zz");
    }
}
