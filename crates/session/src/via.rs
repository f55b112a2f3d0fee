//! Requests and streams that go round in circles over several servers.
//!
//! A server that pulls a stream since somebody has asked it, or pushes on one that was pushed to it,
//! says through which servers this has come: each adds a number that it draws at its start. Whoever
//! finds its own number there, or too many, does not take part. The numbers stand in a field of RTSP and HTTP, and in a
//! property of RTMP's connect, which other servers ignore.

/// The name of the field, and of the property.
pub(crate) const FIELD: &str = "Headwater-Via";

/// Servers that it may have come through: edges of edges of edges are fewer.
const MAX_HOPS: usize = 8;

/// What is read of a field: so many numbers, and what stands between them.
const MAX_LENGTH: usize = 256;

/// What a request says; nothing where it says too much.
pub(crate) fn read(field: Option<&str>) -> String {
    let field = field.unwrap_or_default();
    let is_fine = field.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b',' | b' '));
    if is_fine && field.len() <= MAX_LENGTH { field.to_owned() } else { String::new() }
}

/// What our own request says after one that has come through these.
pub(crate) fn onward(via: &str, own: &str) -> String {
    if via.is_empty() { own.to_owned() } else { format!("{via}, {own}") }
}

/// Whether a request may be passed on, or answered with what others are asked for.
pub(crate) fn check(via: &str, own: &str) -> Result<(), &'static str> {
    let hops = || via.split(',').map(str::trim).filter(|hop| !hop.is_empty());
    if hops().any(|hop| hop == own) {
        return Err("comes from this server itself, by way of others: it goes round in a circle");
    }
    if hops().count() > MAX_HOPS {
        return Err("comes by way of too many servers: it may go round in a circle");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_and_long_ways_are_noticed() {
        let mut via = String::new();
        for own in ["a1", "b2", "c3"] {
            assert!(check(&via, own).is_ok());
            via = onward(&via, own);
        }
        assert_eq!(via, "a1, b2, c3");
        assert!(check(&via, "b2").is_err() && check(&via, "b").is_ok());
        let long = ["d4"; MAX_HOPS].join(",");
        assert!(check(&long, "e5").is_ok() && check(&format!("{long},d4"), "e5").is_err());
        assert_eq!(read(Some("a1, b2")), "a1, b2");
        assert_eq!(read(Some("a1\r\nX: y")), "");
        assert_eq!(read(Some(&"a".repeat(MAX_LENGTH + 1))), "");
    }
}
