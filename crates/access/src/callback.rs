//! Another server is asked whether somebody may do something.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hub::gate::Denial;
use outgoing::{Client, Targets};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::warn;

/// Questions at once; further ones wait for their turn, within the time that they have.
const AT_ONCE: usize = 256;

/// What is passed on of the reason that the other server gives.
const MAX_REASON: usize = 200;

/// What the other server is told.
#[derive(Debug, Default, Serialize)]
pub(super) struct Question {
    pub(super) action: String,
    pub(super) protocol: String,
    pub(super) ip: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) token: Option<String>,
    pub(super) stream: String,
    pub(super) app_name: String,
    pub(super) stream_name: String,
    pub(super) url: String,
    pub(super) url_param: String,
    pub(super) session_id: String,
}

impl Question {
    pub(super) fn ip(peer: Option<SocketAddr>) -> String {
        peer.map(|peer| peer.ip().to_canonical().to_string()).unwrap_or_default()
    }
}

/// Asks.
pub(super) struct Callback {
    client: Client,
    room: Arc<Semaphore>,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}

impl Callback {
    pub(super) fn new(client: Client) -> Self {
        Self { client, room: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Asks, for `limit` at most. No answer is a no.
    pub(super) async fn ask(
        &self,
        targets: Targets,
        url: &str,
        limit: Duration,
        question: &Question,
    ) -> Result<(), Denial> {
        let body = Bytes::from(serde_json::to_vec(question).unwrap_or_default());
        let asked = async {
            let _turn = self.room.acquire().await;
            self.client.post(targets, url, &[], body, limit).await
        };
        let silent = || {
            let text = "whoever decides whether this is allowed does not answer: try again";
            Denial::Unavailable(text.to_owned())
        };
        match timeout(limit, asked).await {
            Ok(Ok(answer)) => judge(answer.status, &answer.body, &question.action),
            Ok(Err(error)) => {
                warn!(action = question.action, %error, "auth.callback: no answer");
                Err(silent())
            }
            Err(_) => {
                warn!(action = question.action, "auth.callback: no answer in time");
                Err(silent())
            }
        }
    }
}

/// A status of 200 to 299 says yes, unless the body has a code that says no, as SRS's and lal's
/// users write it.
fn judge(status: u16, body: &[u8], action: &str) -> Result<(), Denial> {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let says_no = match said.get("code").or_else(|| said.get("error_code")) {
        // Whatever is no zero is a no: a mistake must not open the door.
        Some(code) => code.as_i64() != Some(0) && code.as_str() != Some("0"),
        None => said.as_i64().is_some_and(|code| code != 0),
    };
    if (200..300).contains(&status) && !says_no {
        return Ok(());
    }
    let mut words =
        ["message", "msg", "desp"].into_iter().filter_map(|key| said.get(key)?.as_str());
    let reason: String = words.next().unwrap_or_default().chars().take(MAX_REASON).collect();
    let text = match reason.replace(char::is_control, " ") {
        reason if reason.trim().is_empty() => format!("you may not {action} this"),
        reason => reason,
    };
    if status == 401 { Err(Denial::Unknown(text)) } else { Err(Denial::Forbidden(text)) }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn answers_are_understood_as_they_are_usually_written() {
        let is_yes = |status, body: &str| judge(status, body.as_bytes(), "play").is_ok();
        for body in
            ["", "0", "ok", "{}", r#"{"code":0}"#, r#"{"error_code":0,"desp":"succ"}"#, "null"]
        {
            assert!(is_yes(200, body), "{body}");
        }
        assert!(is_yes(204, ""));
        for body in ["1", r#"{"code":1}"#, r#"{"error_code":403}"#, r#"{"code":-1}"#] {
            assert!(!is_yes(200, body), "{body}");
        }
        for status in [100, 301, 400, 401, 403, 404, 500, 503] {
            assert!(!is_yes(status, ""), "{status}");
        }
        for odd in
            [r#"{"code":"403"}"#, r#"{"code":1.5}"#, r#"{"error_code":true}"#, r#"{"code":null}"#]
        {
            assert!(judge(200, odd.as_bytes(), "play").is_err(), "{odd}");
        }
        assert!(judge(200, br#"{"code":"0"}"#, "play").is_ok());
        let denial = judge(401, br#"{"message":"who\nare you?"}"#, "play").unwrap_err();
        assert_eq!(denial, Denial::Unknown("who are you?".to_owned()));
        let long = format!(r#"{{"message":"{}"}}"#, "x".repeat(999));
        assert!(judge(403, long.as_bytes(), "play").unwrap_err().to_string().len() <= MAX_REASON);
    }

    #[tokio::test]
    async fn silence_is_a_no_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let callback = Callback::new(Client::new().unwrap());
        let limit = Duration::from_millis(100);
        let (begun, question) = (std::time::Instant::now(), Question::default());
        let asked = (0..AT_ONCE + 50).map(|_| callback.ask(Targets::Any, &url, limit, &question));
        for answer in futures_util::future::join_all(asked).await {
            assert!(matches!(answer, Err(Denial::Unavailable(_))));
        }
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
