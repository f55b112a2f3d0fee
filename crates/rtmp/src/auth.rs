//! The "adobe" authentication of publishers: a challenge in the description of a refused connect.
//!
//! Not in the RTMP specification; Flash Media Server and Wowza ask for it, encoders know it. It
//! takes three connections: the first refusal names the method, the second one is a challenge to
//! the user, the third connect carries the response. All of it travels in the application's query.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use crate::url::Target;

/// Answers a refusal: where to connect to next, or `None` if the refusal is final.
///
/// `target` is the target as the user gave it, with credentials; `description` is that of
/// [`Event::Refused`](crate::client::Event::Refused); `nonce` is any number, best a random one.
#[must_use]
pub fn answer(target: &Target, description: &str, nonce: u32) -> Option<Target> {
    let credentials = target.credentials.as_ref()?;
    let user = &credentials.user;
    if !description.contains("authmod=adobe") {
        return None;
    }
    let query = if description.contains("code=403 need auth") {
        format!("authmod=adobe&user={user}")
    } else {
        let (_, challenge) = description.split_once('?')?;
        if field(challenge, "reason")? != "needauth" {
            return None;
        }
        let salt = field(challenge, "salt")?;
        let opaque = field(challenge, "opaque").filter(|opaque| !opaque.is_empty());
        // A server without an opaque value wants its challenge in that place.
        let theirs = opaque.or_else(|| field(challenge, "challenge"))?;
        let ours = format!("{nonce:08x}");
        let secret = digest(&[user, salt, &credentials.password]);
        let response = digest(&[&secret, theirs, &ours]);
        let query = format!("authmod=adobe&user={user}&challenge={ours}&response={response}");
        match opaque {
            Some(opaque) => format!("{query}&opaque={opaque}"),
            None => query,
        }
    };
    let separator = if target.app.contains('?') { '&' } else { '?' };
    Some(Target { app: format!("{}{separator}{query}", target.app), ..target.clone() })
}

/// A field of a query: the first of that name.
fn field<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|field| {
        let (key, value) = field.split_once('=')?;
        // The challenge ends with the description, which some servers continue.
        (key == name).then(|| value.split([' ', ']']).next().unwrap_or_default())
    })
}

/// Base64 of the MD5 of the parts, one after the other.
fn digest(parts: &[&str]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part.as_bytes());
    }
    STANDARD.encode(md5.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEED_AUTH: &str = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ";
    const CHALLENGE: &str = "[ AccessManager.Reject ] : [ authmod=adobe ] : \
        ?reason=needauth&user=me&salt=abc&challenge=c0ffee==&opaque=0paque==";

    fn target(url: &str) -> Target {
        Target::parse(url).unwrap()
    }

    #[test]
    fn the_method_is_answered_with_the_user() {
        let next = answer(&target("rtmp://me:pw@h/live/x"), NEED_AUTH, 0).unwrap();
        assert_eq!(next.app, "live?authmod=adobe&user=me");
        assert_eq!(next.tc_url(), "rtmp://h/live?authmod=adobe&user=me");
        let next = answer(&target("rtmp://me:pw@h/live?a=b/x?c=d"), NEED_AUTH, 0).unwrap();
        assert_eq!(next.app, "live?a=b&authmod=adobe&user=me");
    }

    #[test]
    fn the_challenge_is_answered_with_a_response() {
        let next = answer(&target("rtmp://me:pw@h/live/x"), CHALLENGE, 0xDEAD_BEEF).unwrap();
        let secret = digest(&["meabcpw"]);
        let response = digest(&[&secret, "0paque==", "deadbeef"]);
        let query =
            format!("authmod=adobe&user=me&challenge=deadbeef&response={response}&opaque=0paque==");
        assert_eq!(next.app, format!("live?{query}"));
    }

    #[test]
    fn digests_are_base64_of_md5() {
        // RFC 1321, A.5: MD5 ("abc") = 900150983cd24fb0d6963f7d28e17f72
        assert_eq!(digest(&["a", "bc"]), "kAFQmDzST7DWlj99KOF/cg==");
    }

    #[test]
    fn without_opaque_the_challenge_takes_its_place() {
        let description = CHALLENGE.replace("&opaque=0paque==", "");
        let next = answer(&target("rtmp://me:pw@h/live/x"), &description, 1).unwrap();
        let response = digest(&[&digest(&["meabcpw"]), "c0ffee==", "00000001"]);
        assert!(next.app.ends_with(&format!("&response={response}")));
    }

    #[test]
    fn final_refusals() {
        let with = target("rtmp://me:pw@h/live/x");
        for description in [
            "",
            "[ AccessManager.Reject ] : [ code=403 need auth; authmod=llnw ] : ",
            "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed&opaque=x",
            "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=nosuchuser&opaque=x",
            "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=me",
        ] {
            assert_eq!(answer(&with, description, 0), None, "{description}");
        }
        assert_eq!(answer(&target("rtmp://h/live/x"), NEED_AUTH, 0), None, "no credentials");
    }
}
