//! Program streams: bare, or in the packets of a dump or a capture.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use mpeg::ts::Demuxed;
use rtp::Packet;
use rtp::dump::{Kind, Records};
use session::ps::Reader;

/// How long a packet waits for those before it, by the times of the dump.
const PATIENCE: Duration = Duration::from_millis(200);

/// What a pack header begins with.
pub(super) const PACK: &[u8] = &[0, 0, 1, 0xBA];

/// Reads a bare program stream.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Demuxed>> {
    let (mut reader, now) = (Reader::new(Duration::ZERO, 0), Instant::now());
    reader.stream(bytes, now);
    finish(reader, now)
}

/// Reads the packets of a dump. Of several streams in a capture, the one with most packets counts.
pub(super) fn read_dump(records: Records) -> Result<Vec<Demuxed>> {
    let all: Vec<_> = records.filter(|record| record.kind == Kind::Ps).collect();
    let ssrc_of = |body: &Bytes| {
        let is_media = !rtp::packet::is_rtcp(body);
        is_media.then(|| Packet::parse(body).ok().map(|packet| packet.ssrc)).flatten()
    };
    let mut counts: HashMap<(u16, u32), usize> = HashMap::new();
    for record in &all {
        if let Some(ssrc) = ssrc_of(&record.body) {
            *counts.entry((record.port, ssrc)).or_default() += 1;
        }
    }
    let largest = counts.into_iter().max_by_key(|(_, count)| *count).map(|(stream, _)| stream);
    let start = Instant::now();
    let first = all.first().map(|record| record.at).unwrap_or_default();
    let (mut reader, mut now) = (Reader::new(PATIENCE, 0), start);
    for record in &all {
        if ssrc_of(&record.body).map(|ssrc| (record.port, ssrc)) != largest {
            continue;
        }
        now = now.max(start + record.at.saturating_sub(first));
        reader.packet(&record.body, now);
    }
    finish(reader, now)
}

fn finish(mut reader: Reader, now: Instant) -> Result<Vec<Demuxed>> {
    reader.finish(now);
    let items: Vec<_> = std::iter::from_fn(|| reader.poll()).collect();
    let left_out: Vec<_> = reader.demuxer().left_out().map(|stream| stream.to_string()).collect();
    ensure!(
        !items.is_empty(),
        "no stream of it is understood{}",
        if left_out.is_empty() {
            String::new()
        } else {
            format!("; it has {}", left_out.join(", "))
        }
    );
    Ok(items)
}
