use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const SECRET: &str = "a secret of the tests alone";

/// Keys of the tests, made for nothing else.
const RSA: &str = include_str!("rsa.pem");
const EC: &str = include_str!("ec.pem");

fn auth() -> Auth {
    Auth { jwt_secret: SECRET.to_owned(), ..Auth::default() }
}

fn claims(more: Value) -> Value {
    let mut claims = json!({
        "exp": get_current_timestamp() + 60,
        "sub": "alice",
        "headwater": { "publish": ["live/*"], "api": true },
    });
    if let (Some(claims), Value::Object(more)) = (claims.as_object_mut(), more) {
        claims.extend(more);
    }
    claims
}

fn signed(algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
    let key = match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(RSA.as_bytes()),
        Algorithm::ES256 => EncodingKey::from_ec_pem(EC.as_bytes()),
        _ => Ok(EncodingKey::from_secret(SECRET.as_bytes())),
    };
    let header = Header { kid: kid.map(ToOwned::to_owned), ..Header::new(algorithm) };
    encode(&header, claims, &key.unwrap()).unwrap()
}

fn public(algorithm: Algorithm, kid: &str) -> Value {
    let pem = if algorithm == Algorithm::RS256 { RSA } else { EC };
    let key = match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
        _ => EncodingKey::from_ec_pem(pem.as_bytes()),
    };
    let mut jwk = Jwk::from_encoding_key(&key.unwrap(), algorithm).unwrap();
    jwk.common.key_id = Some(kid.to_owned());
    serde_json::to_value(jwk).unwrap()
}

async fn read(auth: &Auth, token: &str) -> Result<Claims, &'static str> {
    Tokens::new(Client::new().unwrap()).read(auth, Targets::Any, token).await
}

#[tokio::test]
async fn what_a_token_says_is_read() {
    let token = signed(Algorithm::HS256, None, &claims(json!({})));
    let claims = read(&auth(), &token).await.unwrap();
    assert_eq!(claims.sub.as_deref(), Some("alice"));
    assert!(claims.headwater.publish[0].matches("live/a") && claims.headwater.play.is_empty());
    assert!(claims.headwater.api);
}

#[tokio::test]
async fn times_issuers_and_audiences_count() {
    let now = get_current_timestamp();
    let told = |auth: Auth, more: Value| async move {
        read(&auth, &signed(Algorithm::HS256, None, &claims(more))).await.err().unwrap_or("fine")
    };
    assert_eq!(told(auth(), json!({ "exp": now - 60 })).await, "the token has expired");
    assert_eq!(
        told(auth(), json!({ "exp": null })).await,
        "the token lacks a claim: exp, iss or aud"
    );
    assert_eq!(told(auth(), json!({ "nbf": now + 60 })).await, "the token is not valid yet");
    let issued = Auth { jwt_issuer: "me".to_owned(), ..auth() };
    assert_eq!(told(issued.clone(), json!({ "iss": "me" })).await, "fine");
    let other = "the token was issued by somebody else";
    assert_eq!(told(issued.clone(), json!({ "iss": "you" })).await, other);
    assert_ne!(told(issued, json!({})).await, "fine");
    let meant = Auth { jwt_audience: "here".to_owned(), ..auth() };
    assert_eq!(told(meant.clone(), json!({ "aud": ["there", "here"] })).await, "fine");
    assert_ne!(told(meant.clone(), json!({ "aud": "there" })).await, "fine");
    assert_ne!(told(meant, json!({})).await, "fine");
    assert_eq!(told(auth(), json!({ "aud": "anybody" })).await, "fine");
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let set = json!({ "keys": [public(Algorithm::RS256, "r")] });
    std::fs::write(&file, set.to_string()).unwrap();
    let keys = Auth { jwt_keys: file.display().to_string(), ..Auth::default() };
    // Signed with the public key as if it were a secret.
    let secret = EncodingKey::from_secret(set["keys"][0]["n"].as_str().unwrap().as_bytes());
    let confused = encode(&Header::new(Algorithm::HS256), &claims(json!({})), &secret).unwrap();
    let other = "tokens that are signed like this are not taken here";
    assert_eq!(read(&keys, &confused).await.unwrap_err(), other);
    let good = signed(Algorithm::HS256, None, &claims(json!({})));
    let (_, rest) = good.split_once('.').unwrap();
    let (body, _) = rest.split_once('.').unwrap();
    // {"alg":"none"}
    for forged in [format!("eyJhbGciOiJub25lIn0.{body}."), format!("eyJhbGciOiJub25lIn0.{rest}")] {
        assert!(read(&auth(), &forged).await.is_err());
    }
    let other = encode(
        &Header::new(Algorithm::HS256),
        &claims(json!({})),
        &EncodingKey::from_secret(b"another secret"),
    );
    assert_eq!(read(&auth(), &other.unwrap()).await.unwrap_err(), "the token's signature is wrong");
    assert!(read(&Auth::default(), &good).await.is_err(), "nothing is configured");
    assert_eq!(
        read(&auth(), &"x".repeat(MAX_TOKEN + 1)).await.unwrap_err(),
        "the token is too long"
    );
    for odd in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d"] {
        assert!(read(&auth(), odd).await.is_err(), "{odd}");
    }
}

#[tokio::test]
async fn keys_are_read_from_a_file_that_may_change() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let auth = Auth { jwt_keys: file.display().to_string(), ..Auth::default() };
    let tokens = Tokens::new(Client::new().unwrap());
    let ec = signed(Algorithm::ES256, Some("e"), &claims(json!({})));
    let rsa = signed(Algorithm::RS256, None, &claims(json!({})));
    let fine = async |token: &str| tokens.read(&auth, Targets::Any, token).await.is_ok();
    assert!(!fine(&ec).await, "there is no file");
    let write = |keys: Value, seconds: u64| {
        std::fs::write(&file, json!({ "keys": keys }).to_string()).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        std::fs::File::open(&file).unwrap().set_modified(time).unwrap();
    };
    write(json!([public(Algorithm::ES256, "e")]), 1);
    assert!(fine(&ec).await && !fine(&rsa).await);
    write(json!([public(Algorithm::RS256, "r"), public(Algorithm::ES256, "other")]), 2);
    assert!(!fine(&ec).await, "its key has another name now");
    assert!(fine(&rsa).await, "a token that names no key");
    std::fs::write(&file, "nonsense").unwrap();
    assert!(fine(&rsa).await, "the last keys stay");
}

#[tokio::test]
async fn keys_are_fetched_once_for_many_and_not_too_often() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let set = json!({ "keys": [public(Algorithm::ES256, "e")] }).to_string();
    let (counted, mut asked) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut conn, _)) = listener.accept().await {
            counted.send(()).unwrap();
            let _ = conn.read(&mut [0; 2048]).await;
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}", set.len());
            let _ = conn.write_all(format!("{head}\r\n\r\n{set}").as_bytes()).await;
        }
    });
    let auth = Auth { jwt_keys: url, ..Auth::default() };
    let tokens = Tokens::new(Client::new().unwrap());
    let good = signed(Algorithm::ES256, Some("e"), &claims(json!({})));
    let (a, b) = tokio::join!(
        tokens.read(&auth, Targets::Any, &good),
        tokens.read(&auth, Targets::Any, &good)
    );
    assert!(a.is_ok() && b.is_ok());
    let unknown = signed(Algorithm::ES256, Some("new"), &claims(json!({})));
    for _ in 0..5 {
        assert!(tokens.read(&auth, Targets::Any, &unknown).await.is_err());
    }
    asked.recv().await.unwrap();
    assert!(asked.try_recv().is_err(), "asked more than once");
    // Neither is asked for at all where such addresses are closed.
    let tokens = Tokens::new(Client::new().unwrap());
    assert!(tokens.read(&auth, Targets::Public, &good).await.is_err());
    assert!(asked.try_recv().is_err());
}

proptest! {
    #[test]
    fn no_other_token_is_taken(at in 0usize..400, bit in 0u8..7) {
        let good = signed(Algorithm::HS256, None, &claims(json!({})));
        let mut bytes = good.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let forged = String::from_utf8_lossy(&bytes).into_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = runtime.block_on(read(&auth(), &forged));
        // The last letter of Base64 has bits that mean nothing; whoever ignores them reads the same.
        let is_same = forged.trim_end_matches('=').len() == good.len() && at == good.len() - 1;
        prop_assert!(read.is_err() || is_same, "{forged}");
    }
}
