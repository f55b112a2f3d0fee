//! Tickets: short-lived permissions to play one stream, for the operator's own page.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use hub::StreamName;
use sha2::Sha256;

/// How long a ticket can be used to begin to play.
const VALID: Duration = Duration::from_secs(120);

/// Makes and checks tickets.
pub struct Tickets {
    key: [u8; 32],
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl Tickets {
    /// `key` is known to nobody else.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// A ticket for a stream: when it ends, and a proof that it was made here.
    #[must_use]
    pub fn issue(&self, stream: &StreamName) -> String {
        let until = seconds() + VALID.as_secs();
        format!("{until}-{}", self.sign(until, stream))
    }

    /// Whether a ticket was made here for this stream, and can still be used.
    #[must_use]
    pub fn admits(&self, ticket: &str, stream: &StreamName) -> bool {
        let Some((until, signature)) = ticket.split_once('-') else { return false };
        let Ok(until) = until.parse::<u64>() else { return false };
        let expected = self.sign(until, stream);
        until >= seconds() && hub::gate::Proof::Password(signature.to_owned()).shows(&expected)
    }

    fn sign(&self, until: u64, stream: &StreamName) -> String {
        // Keys of any length will do for HMAC.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        mac.update(format!("{until} {stream}").as_bytes());
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use hub::Identity;

    use super::*;

    #[test]
    fn a_ticket_is_for_one_stream_and_one_time() {
        let name = |name| StreamName::new("live", name, Identity::AppAndName).unwrap();
        let (a, b) = (name("a"), name("b"));
        let tickets = Tickets::new([7; 32]);
        let ticket = tickets.issue(&a);
        assert!(tickets.admits(&ticket, &a));
        assert!(!tickets.admits(&ticket, &b));
        assert!(!Tickets::new([8; 32]).admits(&ticket, &a));
        let (until, signature) = ticket.split_once('-').unwrap();
        let later = until.parse::<u64>().unwrap() + 1;
        assert!(!tickets.admits(&format!("{later}-{signature}"), &a), "a longer life");
        let over = seconds() - 1;
        assert!(!tickets.admits(&format!("{over}-{}", tickets.sign(over, &a)), &a));
        for odd in ["", "-", "1", "99999999999999999999-x", "x-y"] {
            assert!(!tickets.admits(odd, &a), "{odd}");
        }
    }
}
