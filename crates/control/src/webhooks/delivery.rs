//! One notification on its way to its receiver.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use outgoing::{Client, Error};
use sha2::Sha256;
use tokio::time::sleep;

use super::Rules;
use crate::events::Notification;

/// The longest pause before a retry.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What has become of a notification.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The receiver has taken it.
    Delivered,
    /// It has not. The text names the host at most.
    Failed(String),
    /// Nobody is to be told any more.
    Unwanted,
}

/// Why an attempt has failed.
struct Failure {
    why: String,
    /// Whether the next attempt may fare better.
    retry: bool,
}

/// Sends a notification, several times if need be, by the rules of the time.
pub(super) async fn deliver(
    client: &Client,
    rules: &(dyn Fn() -> Arc<Rules> + Sync),
    notification: &Notification,
    mut pause: Duration,
) -> Outcome {
    let mut retries = 0;
    loop {
        let rules = rules();
        let Some(url) = rules.url(notification.name) else { return Outcome::Unwanted };
        let Err(failure) = attempt(client, &rules, url, notification).await else {
            return Outcome::Delivered;
        };
        if !failure.retry || retries >= rules.0.retries {
            return Outcome::Failed(failure.why);
        }
        drop(rules);
        retries += 1;
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

async fn attempt(
    client: &Client,
    rules: &Rules,
    url: &str,
    notification: &Notification,
) -> Result<(), Failure> {
    let number = notification.number.to_string();
    let signature = signature(&rules.0.secret, &notification.body);
    let mut headers =
        vec![("headwater-event", notification.name), ("headwater-delivery", number.as_str())];
    if let Some(signature) = &signature {
        headers.push(("headwater-signature", signature.as_str()));
    }
    let (body, limit) = (notification.body.clone(), rules.0.timeout.get());
    match client.post(rules.targets(), url, &headers, body, limit).await {
        Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
        Ok(answer) => {
            let why = format!("{} answers with status {}", host(url), answer.status);
            Err(Failure { why, retry: (500..600).contains(&answer.status) })
        }
        Err(error) => {
            let retry = matches!(error, Error::Failed { .. });
            Err(Failure { why: error.to_string(), retry })
        }
    }
}

/// What proves to the receiver who sends; `None` without a secret.
fn signature(secret: &str, body: &[u8]) -> Option<String> {
    if secret.is_empty() {
        return None;
    }
    // Keys of any length will do for HMAC.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(body);
    let hex: String =
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("sha256={hex}"))
}

/// What of a URL may be logged.
fn host(url: &str) -> String {
    let url = url::Url::parse(url).ok();
    url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        let text = b"what do ya want for nothing?";
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", text).as_deref(), Some(expected));
        assert_eq!(signature("", text), None);
    }

    #[test]
    fn of_a_url_the_host_is_logged() {
        assert_eq!(host("https://user:secret@hooks.example/token?key=1"), "hooks.example");
        assert_eq!(host("?"), "");
    }
}
