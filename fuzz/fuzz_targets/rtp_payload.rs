//! Every payload format: packets that may be lost, cut or made up, into frames.
//!
//! Laws: units of codecs with NAL units are well formed; no more comes out than goes in, but for
//! what lengths and sizes take.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use media::{Codec, nal};
use rtp::Packet;
use rtp::format::Format;
use rtp::sdp::Session;

/// One for each payload format.
const MEDIA: &[&str] = &[
    "video 0 RTP/AVP 96\na=rtpmap:96 H264/90000",
    "video 0 RTP/AVP 96\na=rtpmap:96 H265/90000",
    "video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\na=fmtp:96 sprop-max-don-diff=2",
    "video 0 RTP/AVP 96\na=rtpmap:96 AV1/90000",
    "video 0 RTP/AVP 96\na=rtpmap:96 VP8/90000",
    "video 0 RTP/AVP 96\na=rtpmap:96 VP9/90000",
    "audio 0 RTP/AVP 96\na=rtpmap:96 MPEG4-GENERIC/48000/2\na=fmtp:96 mode=AAC-hbr;config=1190",
    "audio 0 RTP/AVP 96\na=rtpmap:96 MPEG4-GENERIC/48000/2\na=fmtp:96 mode=AAC-lbr;config=1190",
    "audio 0 RTP/AVP 96\na=rtpmap:96 MP4A-LATM/48000/2\na=fmtp:96 cpresent=1",
    "audio 0 RTP/AVP 96\na=rtpmap:96 MP4A-LATM/48000/2\na=fmtp:96 cpresent=0;config=400023203FC0",
    "audio 0 RTP/AVP 96\na=rtpmap:96 opus/48000/2",
    "audio 0 RTP/AVP 14",
    "audio 0 RTP/AVP 96\na=rtpmap:96 mpa-robust/90000",
    "video 0 RTP/AVP 26",
];

fuzz_target!(|data: &[u8]| {
    let [choice, data @ ..] = data else { return };
    let Some(media) = MEDIA.get(usize::from(*choice) % MEDIA.len()) else { return };
    let session = Session::parse(format!("m={media}\n").as_bytes()).expect("a description");
    let format = Format::of(&session.media[0]).expect("a known format");
    let mut depacketizer = format.depacketizer().expect("a good configuration");
    let mut rest = data;
    let mut sequence = 0u16;
    // Two bytes say how each payload comes, and how long it is.
    while let [flags, length, after @ ..] = rest {
        let (payload, next) = after.split_at(after.len().min(usize::from(*length)));
        rest = next;
        sequence = sequence.wrapping_add(1);
        let packet = Packet {
            marker: flags & 1 != 0,
            payload_type: format.payload_type,
            sequence,
            timestamp: u32::from(flags >> 2) * 3_000,
            ssrc: 1,
            payload: Bytes::copy_from_slice(payload),
        };
        let _ = depacketizer.push(&packet, flags & 2 != 0);
        let _ = depacketizer.take_config();
        while let Some(unit) = depacketizer.poll() {
            check(format.codec, &unit.data);
        }
    }
    depacketizer.flush();
    while let Some(unit) = depacketizer.poll() {
        check(format.codec, &unit.data);
    }
});

fn check(codec: Codec, data: &[u8]) {
    if codec.has_nal_units() {
        // A frame may have more units than a server accepts.
        if let Err(error) = nal::split(data, nal::LENGTH_SIZE) {
            assert!(
                matches!(error, media::Error::Invalid { what: "number of units", .. }),
                "{error}"
            );
        }
    }
}
