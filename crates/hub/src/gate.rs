//! Who may do what: a question that sessions ask before they begin.
//!
//! What the answer is made from (passwords, tokens, other servers) is not known here.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::{Protocol, Session, StreamName};

/// What a peer wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// To be connected, by a protocol that says later what for.
    Connect,
    /// To send a stream.
    Publish,
    /// To read a stream.
    Play,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Publish => "publish",
            Self::Play => "play",
        })
    }
}

/// How a peer proves who it is.
#[derive(Clone, Default)]
pub struct Credentials {
    /// Who it says it is.
    pub user: Option<String>,
    /// What shows that it knows its password.
    pub proof: Option<Proof>,
    /// A token in a header, not in the query of the address.
    pub token: Option<String>,
}

/// What shows that a peer knows its password.
#[derive(Clone)]
pub enum Proof {
    /// The password itself.
    Password(String),
    /// Something that can be checked by those who know the password.
    Digest(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl Proof {
    /// Whether the peer knows `password`, in a time that tells nothing of where two differ.
    #[must_use]
    pub fn shows(&self, password: &str) -> bool {
        match self {
            Self::Password(told) => {
                let pairs = told.bytes().zip(password.bytes());
                let differences = pairs.fold(0, |bits, (a, b)| bits | (a ^ b));
                told.len() == password.len() && differences == 0
            }
            Self::Digest(shows) => shows(password),
        }
    }
}

/// Without secrets.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("proof", &self.proof.is_some())
            .field("token", &self.token.is_some())
            .finish()
    }
}

/// The question.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is wanted.
    pub action: Action,
    /// Who wants it: its kind, peer and address.
    pub session: Arc<Session>,
    /// The stream that it is about; none for [`Action::Connect`].
    pub stream: Option<StreamName>,
    /// Who the peer says it is.
    pub credentials: Credentials,
}

/// A yes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grant {
    /// Who the peer has proven to be.
    pub user: Option<Arc<str>>,
}

/// A no. The texts are for the peer: what is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denial {
    /// The peer has not shown who it is; it may try again.
    #[error("{0}")]
    Unknown(String),
    /// The peer may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// There is no room, or nobody who could be asked.
    #[error("{0}")]
    Unavailable(String),
}

/// The answer, once it is there.
pub type Answer = Pin<Box<dyn Future<Output = Result<Grant, Denial>> + Send>>;

/// Who is asked.
pub trait Gate: Send + Sync {
    /// Answers; may take its time, which the caller limits.
    fn ask(&self, request: Request) -> Answer;

    /// Whether there is anybody who would not be let in to do something.
    fn guards(&self, action: Action, protocol: Protocol) -> bool;
}

/// Lets everybody in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Gate for Open {
    fn ask(&self, _request: Request) -> Answer {
        Box::pin(std::future::ready(Ok(Grant::default())))
    }

    fn guards(&self, _action: Action, _protocol: Protocol) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let credentials = Credentials {
            user: Some("alice".to_owned()),
            proof: Some(Proof::Password("open sesame".to_owned())),
            token: Some("e30".to_owned()),
        };
        let shown = format!("{credentials:?}");
        assert!(shown.contains("alice") && !shown.contains("sesame") && !shown.contains("e30"));
    }

    #[test]
    fn a_password_is_compared_whole() {
        let told = Proof::Password("abc".to_owned());
        assert!(told.shows("abc"));
        for other in ["", "ab", "abd", "abcd"] {
            assert!(!told.shows(other), "{other}");
        }
    }
}
