//! What servers say in `Transport`, `Session` and `RTP-Info` (RFC 2326 §12.33, §12.37, §12.39).

use std::time::Duration;

use super::Start;
use crate::transport::{Lower, Transport};
use crate::url::is_of_track;

/// What a server agrees to: its answer, completed with what it was asked for. The channels are
/// those of the answer, if it has any.
pub(super) fn transport(
    offer: &Transport,
    header: Option<&str>,
) -> Result<Transport, &'static str> {
    let Some(header) = header.filter(|header| !header.is_empty()) else { return Ok(offer.clone()) };
    let Some(mut told) = Transport::parse_all(header).into_iter().next() else {
        return Err("names a transport that is not RTP");
    };
    if told.multicast {
        return Err("names a group, where one receiver was asked for");
    }
    if told.secure {
        return Err("names an encrypted transport");
    }
    if offer.lower == Lower::Tcp && told.lower == Lower::Udp {
        if told.client_port.is_some() || told.server_port.is_some() {
            return Err("wants datagrams, where the connection was asked for");
        }
        told.lower = Lower::Tcp;
    }
    if told.lower == Lower::Tcp {
        told.interleaved = told.interleaved.or(offer.interleaved);
    } else {
        told.interleaved = None;
    }
    // The ports that are bound, whatever the server makes of them.
    told.client_port = offer.client_port.filter(|_| told.lower == Lower::Udp);
    told.server_port = told.server_port.filter(|(rtp, _)| *rtp != 0);
    told.source = told.source.filter(|source| !source.is_empty());
    told.mode = told.mode.or(offer.mode);
    Ok(told)
}

/// Whether nothing else uses one of these channels.
pub(super) fn is_free((rtp, rtcp): (u8, u8), taken: &[(u8, u8)]) -> bool {
    let is_free = |channel| taken.iter().all(|&(a, b)| a != channel && b != channel);
    rtp != rtcp && is_free(rtp) && is_free(rtcp)
}

/// Channels for the medium after `count` others.
pub(super) fn free_channels(count: usize, taken: &[(u8, u8)]) -> Option<(u8, u8)> {
    let pairs = || (0..u8::MAX).step_by(2).map(|channel| (channel, channel + 1));
    pairs().skip(count).chain(pairs()).find(|pair| is_free(*pair, taken))
}

/// The identifier and the timeout of a `Session` header.
pub(super) fn session(header: &str) -> Option<(&str, Option<Duration>)> {
    let mut parts = header.split(';').map(str::trim);
    let id = parts.next().filter(|id| !id.is_empty())?;
    let timeout = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let seconds: u32 = value.trim().trim_matches('"').parse().ok()?;
        (name.trim().eq_ignore_ascii_case("timeout") && seconds > 0)
            .then(|| Duration::from_secs(seconds.into()))
    });
    Some((id, timeout))
}

/// What `RTP-Info` says of each track: number and address. Entries belong to the tracks that they
/// name; if they name none, to those of their places.
pub(super) fn starts(header: Option<&str>, tracks: &[(usize, &str)]) -> Vec<Start> {
    let entries: Vec<_> = entries(header.unwrap_or_default()).take(tracks.len()).collect();
    let find = |uri: &str| entries.iter().find(|entry| is_same(entry.uri, uri));
    let by_place =
        entries.len() == tracks.len() && tracks.iter().all(|(_, uri)| find(uri).is_none());
    let start = |(place, &(media, uri)): (usize, &(usize, &str))| {
        let entry = if by_place { entries.get(place) } else { find(uri) };
        let (sequence, timestamp) = entry.map_or((None, None), Entry::start);
        Start { media, sequence, timestamp }
    };
    tracks.iter().enumerate().map(start).collect()
}

/// Whether an entry is about the track with this address. Some servers name themselves by another
/// host, and some only tell the end.
fn is_same(told: &str, uri: &str) -> bool {
    let path = |uri| match str::split_once(uri, "://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default(),
        None => uri,
    };
    path(told) == path(uri) || is_of_track(uri, told)
}

struct Entry<'a> {
    uri: &'a str,
    sequence: Option<u16>,
    timestamp: Option<u32>,
}

impl Entry<'_> {
    /// Servers that do not know write zeros.
    fn start(&self) -> (Option<u16>, Option<u32>) {
        match (self.sequence, self.timestamp) {
            (Some(0), Some(0)) => (None, None),
            (sequence, timestamp) => (sequence, timestamp.filter(|time| *time != 0)),
        }
    }
}

/// The entries of `RTP-Info`; commas and semicolons may also be part of an address.
fn entries(header: &str) -> impl Iterator<Item = Entry<'_>> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let text = rest.trim_start_matches([' ', '\t', ',']);
        if text.is_empty() {
            return None;
        }
        let next = text.match_indices(',').map(|(at, _)| at).find(|at| {
            let after = text.get(at + 1..).unwrap_or_default().trim_start();
            after.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("url="))
        });
        let (entry, after) = text.split_at(next.unwrap_or(text.len()));
        rest = after;
        Some(self::entry(entry))
    })
}

fn entry(text: &str) -> Entry<'_> {
    let mut entry = Entry { uri: "", sequence: None, timestamp: None };
    let mut rest = text;
    // From the end: the address is what is left.
    while let Some((before, parameter)) = rest.rsplit_once(';') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "seq" => entry.sequence = value.parse().ok(),
            "rtptime" => entry.timestamp = value.parse().ok(),
            "" | "ssrc" => {}
            _ => break,
        }
        rest = before;
    }
    let named = rest.trim().split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("url"));
    entry.uri = named.map_or(rest, |(_, uri)| uri).trim().trim_matches('"');
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_have_parameters() {
        let told = |header| session(header).map(|(id, time)| (id, time.map(|t| t.as_secs())));
        assert_eq!(told("abc"), Some(("abc", None)));
        assert_eq!(told("abc;timeout=60"), Some(("abc", Some(60))));
        assert_eq!(told(" abc ; foo ; Timeout = \"7\""), Some(("abc", Some(7))));
        assert_eq!(told("abc;timeout=0"), Some(("abc", None)));
        assert_eq!(told("abc;timeout=99999999999"), Some(("abc", None)));
        assert_eq!(told(";timeout=60"), None);
    }

    #[test]
    fn the_answer_is_completed_from_the_offer() {
        let tcp = Transport::interleaved((2, 3));
        let udp = Transport::datagrams((5000, 5001));
        let of = |offer: &Transport, header: &str| {
            let told = transport(offer, Some(header))?;
            Ok((told.lower, told.interleaved, told.client_port, told.server_port))
        };
        let connection = |channels| Ok((Lower::Tcp, channels, None, None));
        let datagrams = |ports| Ok((Lower::Udp, None, Some((5000, 5001)), ports));
        for (offer, header, expected) in [
            (&tcp, "", connection(Some((2, 3)))),
            (&tcp, "RTP/AVP/TCP;unicast", connection(Some((2, 3)))),
            (&tcp, "RTP/AVP/TCP;interleaved=0-1;unicast", connection(Some((0, 1)))),
            (&tcp, "RTP/AVP;unicast", connection(Some((2, 3)))),
            (
                &tcp,
                "RTP/AVP;server_port=1-2",
                Err("wants datagrams, where the connection was asked for"),
            ),
            (&udp, "RTP/AVP;server_port=6970-6971;client_port=1-2", datagrams(Some((6970, 6971)))),
            (&udp, "RTP/AVP/UDP;server_port=0-0", datagrams(None)),
            (&udp, "RTP/AVP/TCP;interleaved=4-5", connection(Some((4, 5)))),
            (&udp, "RTP/AVP/TCP", connection(None)),
            (&udp, "RTP/AVP;multicast", Err("names a group, where one receiver was asked for")),
            (&udp, "RTP/SAVP;unicast", Err("names an encrypted transport")),
            (&udp, "MP2T/H2221/UDP;unicast", Err("names a transport that is not RTP")),
        ] {
            assert_eq!(of(offer, header), expected, "{header:?}");
        }
        assert_eq!(transport(&tcp, None), Ok(tcp));
    }

    #[test]
    fn channels_are_found_around_those_in_use() {
        assert_eq!(free_channels(0, &[]), Some((0, 1)));
        assert_eq!(free_channels(1, &[(0, 1)]), Some((2, 3)));
        assert_eq!(free_channels(1, &[(2, 3)]), Some((4, 5)));
        assert_eq!(free_channels(500, &[(1, 7)]), Some((2, 3)));
        let all: Vec<_> = (0..=u8::MAX).map(|channel| (channel, channel)).collect();
        assert_eq!(free_channels(0, &all), None);
        assert!(!is_free((3, 3), &[]));
    }

    #[test]
    fn entries_belong_to_the_track_that_they_name_or_to_their_place() {
        let tracks = [(0, "rtsp://h/a?x=1,2;y/v"), (3, "rtsp://h/a/b")];
        let of = |header: &str| {
            let told = starts(Some(header), &tracks);
            told.into_iter().map(|s| (s.media, s.sequence, s.timestamp)).collect::<Vec<_>>()
        };
        for (header, expected) in [
            ("", [(None, None), (None, None)]),
            (
                "url=rtsp://h/a/b;seq=7;rtptime=8, url=rtsp://h/a?x=1,2;y/v;rtptime=2;seq=1",
                [(Some(1), Some(2)), (Some(7), Some(8))],
            ),
            ("url=b;seq=7", [(None, None), (Some(7), None)]),
            (
                "url=rtsp://10.0.0.1/a/b;seq=7,url=rtsp://10.0.0.1:8554/a?x=1,2;y/v;seq=1",
                [(Some(1), None), (Some(7), None)],
            ),
            ("url=x;seq=1,URL=\"y\";seq=2", [(Some(1), None), (Some(2), None)]),
            ("url=x;seq=1", [(None, None), (None, None)]),
            ("url=v;seq=0;rtptime=0,url=b;seq=0;rtptime=9", [(None, None), (Some(0), Some(9))]),
            ("url=v;seq=70000;rtptime=-1,url=b;seq=5;rtptime=0", [(None, None), (Some(5), None)]),
        ] {
            let [(s0, t0), (s1, t1)] = expected;
            assert_eq!(of(header), [(0, s0, t0), (3, s1, t1)], "{header:?}");
        }
    }
}
