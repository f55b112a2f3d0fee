//! How tag bodies begin that ffmpeg 9.0 muxes: every codec that it has for FLV, in the legacy form,
//! the Enhanced one, and as a second track. Coded data is cut after a few bytes.

use bytes::Bytes;
use headwater_flv::video::FrameType::{Command, Inter, Key};
use headwater_flv::{audio, payload::TrackPacket, video};
use media::Codec;

fn bytes(bytes: &'static [u8]) -> Bytes {
    Bytes::from_static(bytes)
}

#[test]
fn pictures() {
    use video::Packet::{Config, EndOfSequence, Frame, Metadata};
    let config = |data| Config(bytes(data));
    let frame = |cts, data| Frame { cts, data: bytes(data) };
    let color = |data| Metadata(bytes(data));
    let cases: &[(&'static [u8], _, u8, Codec, video::Packet)] = &[
        // libx264
        (b"\x17\0\0\0\0\x01\x64\0\x0c", Key, 0, Codec::H264, config(b"\x01\x64\0\x0c")),
        (b"\x17\x01\0\0\x50\0\0\x02\x9e", Key, 0, Codec::H264, frame(80, b"\0\0\x02\x9e")),
        (b"\x27\x01\0\0\xc8\0\0\x07\x92", Inter, 0, Codec::H264, frame(200, b"\0\0\x07\x92")),
        (b"\x17\x02\0\0\0", Key, 0, Codec::H264, EndOfSequence),
        // libx265
        (b"\x90hvc1\x01\x01\x60", Key, 0, Codec::H265, config(b"\x01\x01\x60")),
        (b"\xd4hvc1\x02\0\x09color", Command, 0, Codec::H265, color(b"\x02\0\x09color")),
        (b"\x91hvc1\0\0\x50\0\0\x0c\x61", Key, 0, Codec::H265, frame(80, b"\0\0\x0c\x61")),
        (b"\xa1hvc1\0\0\xf0\0\0\x07\x4f", Inter, 0, Codec::H265, frame(240, b"\0\0\x07\x4f")),
        (b"\xa3hvc1\0\0\x02\x2a", Inter, 0, Codec::H265, frame(0, b"\0\0\x02\x2a")),
        // libx265 as the second of two tracks
        (b"\x96\x00hvc1\x01\x01\x01\x60", Key, 1, Codec::H265, config(b"\x01\x01\x60")),
        (b"\x96\x01hvc1\x01\0\0\x50\0\0", Key, 1, Codec::H265, frame(80, b"\0\0")),
        (b"\xa6\x03hvc1\x01\0\0\x02\x2a", Inter, 1, Codec::H265, frame(0, b"\0\0\x02\x2a")),
        // libvvenc
        (b"\x90vvc1\xff\0\x65\x5f", Key, 0, Codec::H266, config(b"\xff\0\x65\x5f")),
        (b"\x91vvc1\0\x04\xb0\0\0\0\x03", Key, 0, Codec::H266, frame(1200, b"\0\0\0\x03")),
        // SVT-AV1, libvpx
        (b"\x90av01\x81\0\x0c\0", Key, 0, Codec::Av1, config(b"\x81\0\x0c\0")),
        (b"\x91av01\x12\0\x0a\x0b", Key, 0, Codec::Av1, frame(0, b"\x12\0\x0a\x0b")),
        (b"\xa1av01\x12\0\x32\xea", Inter, 0, Codec::Av1, frame(0, b"\x12\0\x32\xea")),
        (b"\x90vp09\x01\0\0\0\0\x0b", Key, 0, Codec::Vp9, config(b"\x01\0\0\0\0\x0b")),
        (b"\xa1vp09\x86\0\x40\x92", Inter, 0, Codec::Vp9, frame(0, b"\x86\0\x40\x92")),
    ];
    for (body, frame_type, track, codec, packet) in cases {
        let message = video::Message::parse(&bytes(body)).unwrap();
        let wanted = TrackPacket { track: *track, codec: *codec, packet: packet.clone() };
        assert_eq!(message.frame_type, *frame_type, "{}", body.escape_ascii());
        assert_eq!(message.packets[..], [wanted], "{}", body.escape_ascii());
        assert_eq!(message.enhanced, body[0] & 0x80 != 0);
    }
}

#[test]
fn sounds() {
    use audio::Packet::{Config, Frame, MultichannelConfig};
    let config = |data| Config(bytes(data));
    let frame = |data| Frame(bytes(data));
    let channels = |data| MultichannelConfig(bytes(data));
    let cases: &[(&'static [u8], u8, Codec, audio::Packet)] = &[
        (b"\xaf\0\x11\x88\x56\xe5\0", 0, Codec::Aac, config(b"\x11\x88\x56\xe5\0")),
        (b"\xaf\x01\xdc\0Lavc", 0, Codec::Aac, frame(b"\xdc\0Lavc")),
        // The channels of 5.1 AAC, whose frames have the legacy form.
        (b"\x94mp4a\x01\x06\0\0\0\x3f", 0, Codec::Aac, channels(b"\x01\x06\0\0\0\x3f")),
        (b"\x2e\xff\xfb\x54\xc4", 0, Codec::Mp3, frame(b"\xff\xfb\x54\xc4")),
        (b"\x72\xc7\xe1", 0, Codec::PcmA, frame(b"\xc7\xe1")),
        (b"\x82\xe5\xc8", 0, Codec::PcmU, frame(b"\xe5\xc8")),
        (b"\x90OpusOpusHead\x01\x01", 0, Codec::Opus, config(b"OpusHead\x01\x01")),
        (b"\x91Opus\xf8\x72\x49", 0, Codec::Opus, frame(b"\xf8\x72\x49")),
        // STREAMINFO without the marker and the block header that the specification asks for.
        (b"\x90fLaC\x04\0\x04\0", 0, Codec::Flac, config(b"\x04\0\x04\0")),
        (b"\x91fLaC\xff\xf8\xaa\x08", 0, Codec::Flac, frame(b"\xff\xf8\xaa\x08")),
        // The last message of FLAC.
        (b"\x91fLaC", 0, Codec::Flac, frame(b"")),
        // Codecs without a configuration start their sequence with an empty one.
        (b"\x90ac-3", 0, Codec::Ac3, config(b"")),
        (b"\x91ac-3\x0b\x77\x48", 0, Codec::Ac3, frame(b"\x0b\x77\x48")),
        (b"\x90ec-3", 0, Codec::Eac3, config(b"")),
        (b"\x91ec-3\x0b\x77\0", 0, Codec::Eac3, frame(b"\x0b\x77\0")),
        // Second tracks
        (b"\x95\x00Opus\x01OpusHead", 1, Codec::Opus, config(b"OpusHead")),
        (b"\x95\x04Opus\x01\x01\x01\0\0\0\x04", 1, Codec::Opus, channels(b"\x01\x01\0\0\0\x04")),
        (b"\x95\x00.mp3\x01", 1, Codec::Mp3, config(b"")),
        (b"\x95\x01.mp3\x01\xff\xfb", 1, Codec::Mp3, frame(b"\xff\xfb")),
    ];
    for (body, track, codec, packet) in cases {
        let message = audio::Message::parse(&bytes(body)).unwrap();
        let wanted = TrackPacket { track: *track, codec: *codec, packet: packet.clone() };
        assert_eq!(message.packets[..], [wanted], "{}", body.escape_ascii());
        assert_eq!(message.legacy.is_none(), body[0] >> 4 == 9);
    }
}
