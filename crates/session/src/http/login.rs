//! Who a request says it comes from: `Authorization` (RFC 7617, RFC 6750).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub::gate::{Credentials, Denial, Proof};
use ws::Status;

/// What players are asked for.
pub(crate) const CHALLENGE: &str = "Basic realm=\"Headwater\", charset=\"UTF-8\"";

/// Reads the value of an `Authorization` header; what cannot be understood shows nothing.
pub(crate) fn credentials(authorization: Option<&str>) -> Credentials {
    let Some((scheme, rest)) = authorization.and_then(|value| value.trim().split_once(' ')) else {
        return Credentials::default();
    };
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("Bearer") {
        return Credentials { token: Some(rest.to_owned()), ..Credentials::default() };
    }
    let decoded = STANDARD.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.as_deref().and_then(|login| login.split_once(':')) {
        Some((user, password)) if scheme.eq_ignore_ascii_case("Basic") => Credentials {
            user: Some(user.to_owned()),
            proof: Some(Proof::Password(password.to_owned())),
            token: None,
        },
        _ => Credentials::default(),
    }
}

/// How a denial is said over HTTP.
pub(crate) fn status(denial: &Denial) -> Status {
    match denial {
        Denial::Unknown(_) => Status::UNAUTHORIZED,
        Denial::Unavailable(_) => Status::SERVICE_UNAVAILABLE,
        _ => Status::FORBIDDEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_are_read_and_nothing_else() {
        let login = credentials(Some("basic YWxpY2U6YTpi"));
        assert_eq!(login.user.as_deref(), Some("alice"));
        assert!(login.proof.is_some_and(|proof| proof.shows("a:b")));
        assert_eq!(credentials(Some("Bearer  e30.x ")).token.as_deref(), Some("e30.x"));
        for odd in ["", "Basic", "Basic !", "Basic YWxpY2U=", "Digest x", "Basic /w=="] {
            let read = credentials(Some(odd));
            assert!(read.user.is_none() && read.token.is_none(), "{odd}");
        }
    }
}
