//! JSON Web Tokens ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)), signed with a secret
//! (HS256) or with a key whose public half is in a set
//! ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)): RS256 and ES256.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use config::sections::Auth;
use config::values::Pattern;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use outgoing::{Client, Targets};
use serde::Deserialize;
use tokio::sync::Mutex;
use tracing::warn;

/// No token is longer.
const MAX_TOKEN: usize = 8 << 10;

/// How far clocks may be apart, in seconds.
const LEEWAY: u64 = 10;

/// How long a fetched set of keys is taken for the newest.
const FRESH: Duration = Duration::from_secs(600);

/// A key that is not in the set may be new: the set is fetched again, but not more often than this.
const AGAIN: Duration = Duration::from_secs(30);

/// How long fetching may take.
const FETCH_LIMIT: Duration = Duration::from_secs(5);

/// Keys that are tried for a token that names none.
const MAX_TRIED: usize = 16;

/// What a token says.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Claims {
    /// Whom it is of.
    pub(super) sub: Option<String>,
    /// What that one may do.
    #[serde(default)]
    pub(super) headwater: Permissions,
}

/// What somebody may do.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Permissions {
    /// Streams that may be published.
    #[serde(default)]
    pub(super) publish: Vec<Pattern>,
    /// Streams that may be played.
    #[serde(default)]
    pub(super) play: Vec<Pattern>,
    /// Whether the API may be used.
    #[serde(default)]
    pub(super) api: bool,
}

/// Checks tokens, and keeps the public keys for that.
pub(super) struct Tokens {
    client: Client,
    keys: Mutex<Keys>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

/// A set of public keys.
#[derive(Default)]
struct Keys {
    /// Where it is from.
    source: String,
    set: Arc<JwkSet>,
    /// When it was last fetched, or tried to be.
    tried: Option<Instant>,
    /// When the file was changed that it was read from.
    modified: Option<SystemTime>,
}

impl Tokens {
    pub(super) fn new(client: Client) -> Self {
        Self { client, keys: Mutex::default() }
    }

    /// Reads a token that can be trusted.
    ///
    /// # Errors
    /// A text for its owner, in which nothing of the token is.
    pub(super) async fn read(
        &self,
        auth: &Auth,
        targets: Targets,
        token: &str,
    ) -> Result<Claims, &'static str> {
        if token.len() > MAX_TOKEN {
            return Err("the token is too long");
        }
        let header = decode_header(token).map_err(|_| "this is no token")?;
        match header.alg {
            Algorithm::HS256 if !auth.jwt_secret.is_empty() => {
                let key = DecodingKey::from_secret(auth.jwt_secret.as_bytes());
                check(auth, token, &key, Algorithm::HS256).map_err(|error| explain(&error))
            }
            algorithm @ (Algorithm::RS256 | Algorithm::ES256) if !auth.jwt_keys.is_empty() => {
                let set = self.keys(auth, targets, header.kid.as_deref()).await;
                check_with_any(auth, token, &set, header.kid.as_deref(), algorithm)
            }
            _ => Err("tokens that are signed like this are not taken here"),
        }
    }

    /// The set of keys, as new as it has to be for a token that names `kid`.
    async fn keys(&self, auth: &Auth, targets: Targets, kid: Option<&str>) -> Arc<JwkSet> {
        // One fetches, the others wait and find what was fetched.
        let mut keys = self.keys.lock().await;
        if keys.source != auth.jwt_keys {
            *keys = Keys { source: auth.jwt_keys.clone(), ..Keys::default() };
        }
        let is_missing = kid.is_some_and(|kid| keys.set.find(kid).is_none());
        let since = keys.tried.map(|tried| tried.elapsed());
        let fetched = if keys.source.contains("://") {
            let is_due = since.is_none_or(|since| {
                since >= FRESH || (since >= AGAIN && (is_missing || keys.set.keys.is_empty()))
            });
            if !is_due {
                return keys.set.clone();
            }
            keys.tried = Some(Instant::now());
            self.fetch(&keys.source, targets).await
        } else {
            let metadata = tokio::fs::metadata(&keys.source).await;
            let modified = metadata.and_then(|metadata| metadata.modified()).ok();
            if keys.tried.is_some() && modified == keys.modified {
                return keys.set.clone();
            }
            (keys.tried, keys.modified) = (Some(Instant::now()), modified);
            let read = tokio::fs::read(&keys.source).await;
            read.map(Bytes::from).map_err(|error| error.to_string())
        };
        let parsed = fetched.and_then(|bytes| {
            serde_json::from_slice::<JwkSet>(&bytes).map_err(|error| error.to_string())
        });
        match parsed {
            Ok(set) => keys.set = Arc::new(set),
            Err(error) => warn!(%error, "auth.jwt_keys cannot be read: the last keys stay in use"),
        }
        keys.set.clone()
    }

    async fn fetch(&self, url: &str, targets: Targets) -> Result<Bytes, String> {
        let answer = self.client.get(targets, url, FETCH_LIMIT).await;
        let answer = answer.map_err(|error| error.to_string())?;
        match answer.status {
            200 => Ok(answer.body),
            status => Err(format!("the answer has status {status}")),
        }
    }
}

fn check_with_any(
    auth: &Auth,
    token: &str,
    set: &JwkSet,
    kid: Option<&str>,
    algorithm: Algorithm,
) -> Result<Claims, &'static str> {
    let is_named = |key: &&Jwk| kid.is_none() || key.common.key_id.as_deref() == kid;
    let fitting = set.keys.iter().filter(is_named).filter(|key| fits(key, algorithm));
    let mut told = "the token is signed with a key that is not known here";
    for key in fitting.take(MAX_TRIED) {
        let Ok(key) = DecodingKey::from_jwk(key) else { continue };
        match check(auth, token, &key, algorithm) {
            Ok(claims) => return Ok(claims),
            Err(error) => told = explain(&error),
        }
    }
    Err(told)
}

/// Whether a public key is one for signatures of this kind: nothing in a token changes what a key
/// is for.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let is_of_type = match (&key.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256) => true,
        (AlgorithmParameters::EllipticCurve(curve), Algorithm::ES256) => {
            curve.curve == EllipticCurve::P256
        }
        _ => false,
    };
    let is_for_signatures =
        key.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    is_of_type && is_for_signatures
}

fn check(
    auth: &Auth,
    token: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
) -> Result<Claims, ErrorKind> {
    let mut rules = Validation::new(algorithm);
    rules.leeway = LEEWAY;
    rules.validate_nbf = true;
    let mut required = vec!["exp"];
    if !auth.jwt_issuer.is_empty() {
        rules.set_issuer(&[&auth.jwt_issuer]);
        required.push("iss");
    }
    rules.validate_aud = !auth.jwt_audience.is_empty();
    if rules.validate_aud {
        rules.set_audience(&[&auth.jwt_audience]);
        required.push("aud");
    }
    rules.set_required_spec_claims(&required);
    let read = decode::<Claims>(token, key, &rules);
    read.map(|data| data.claims).map_err(jsonwebtoken::errors::Error::into_kind)
}

fn explain(error: &ErrorKind) -> &'static str {
    match error {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidIssuer => "the token was issued by somebody else",
        ErrorKind::InvalidAudience => "the token is meant for somebody else",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks a claim: exp, iss or aud",
        ErrorKind::InvalidSignature => "the token's signature is wrong",
        _ => "the token cannot be read",
    }
}

#[cfg(test)]
mod tests;
