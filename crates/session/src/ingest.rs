//! FLV tag bodies, as RTMP, FLV files and relays bring them, into the frames of a stream.
//!
//! An odd tag is dropped and said once; it never ends a session: some encoders send unknown codes,
//! wrong lengths or empty configurations now and then.

pub(crate) mod frames;
pub(crate) mod rtp;
pub(crate) mod track;

use std::time::Instant;

use bytes::Bytes;
use flv::tag::{self, Tag};
use flv::{amf0, audio, script, video};
use hub::{Publication, SessionId, Superseded};
use media::{Codec, Frame, FrameKind, Ticks, TimeBase, TrackId, Units, inspect};
use tracing::{info, warn};

pub(crate) use track::TrackIngest;

/// Tracks of one kind that a publisher may have. Real ones have two or three.
pub(crate) const MAX_TRACKS: u8 = 8;

/// The longest metadata and decoder configuration: both are kept for every version of the track
/// set that is cached. Real ones have a few hundred bytes; metadata with an index of key frames,
/// which files have, says nothing about a live stream.
const MAX_METADATA: usize = 64 << 10;
pub(crate) const MAX_CONFIG: usize = 32 << 10;

/// Takes the messages of one publication.
#[derive(Debug)]
pub(crate) struct Ingest {
    publication: Publication,
    session: SessionId,
    tracks: Vec<TrackIngest>,
    /// What was said already: a fault is named once per session.
    said: Vec<&'static str>,
}

impl Ingest {
    pub(crate) fn new(publication: Publication, session: SessionId) -> Self {
        Self { publication, session, tracks: Vec::new(), said: Vec::new() }
    }

    /// Takes a tag of FLV.
    pub(crate) fn tag(&mut self, tag: &Tag, arrival: Instant) -> Result<(), Superseded> {
        let (time, body) = (tag.timestamp, &tag.body);
        match tag.kind {
            tag::Kind::Audio => self.audio(time, body, arrival),
            tag::Kind::Video => self.video(time, body, arrival),
            tag::Kind::Script => self.script(time, body, arrival),
            tag::Kind::Other(_) => Ok(()),
        }
    }

    /// Takes a video tag body.
    pub(crate) fn video(
        &mut self,
        timestamp: u32,
        body: &Bytes,
        arrival: Instant,
    ) -> Result<(), Superseded> {
        let message = match video::Message::parse(body) {
            Ok(message) => message,
            Err(error) => {
                self.say("a video message is malformed and was dropped", &error);
                return Ok(());
            }
        };
        for packet in message.packets {
            let id = TrackId::video(packet.track);
            let codec = packet.codec;
            if packet.track >= MAX_TRACKS {
                self.say("there are too many tracks; one was dropped", &packet.track);
                continue;
            }
            match packet.packet {
                video::Packet::Config(config) => {
                    self.configure(id, codec, message.enhanced, &config, timestamp, arrival)?;
                }
                video::Packet::Frame { cts, data } => {
                    let picture = Picture { cts, frame_type: message.frame_type };
                    let enhanced = message.enhanced;
                    self.picture(id, codec, enhanced, &picture, &data, timestamp, arrival)?;
                }
                video::Packet::Metadata(info) if info.len() > MAX_CONFIG => {
                    self.say("colour information is too long and was dropped", &info.len());
                }
                video::Packet::Metadata(info) => {
                    self.color_info(codec, info, timestamp, arrival)?;
                }
                video::Packet::EndOfSequence => {}
                video::Packet::Mpeg2TsConfig(_) | video::Packet::Other(..) => {
                    self.say("a video packet type is unknown and was dropped", &codec);
                }
            }
        }
        Ok(())
    }

    /// Takes an audio tag body.
    pub(crate) fn audio(
        &mut self,
        timestamp: u32,
        body: &Bytes,
        arrival: Instant,
    ) -> Result<(), Superseded> {
        let message = match audio::Message::parse(body) {
            Ok(message) => message,
            Err(error) => {
                self.say("an audio message is malformed and was dropped", &error);
                return Ok(());
            }
        };
        let enhanced = message.legacy.is_none();
        for packet in message.packets {
            let id = TrackId::audio(packet.track);
            let codec = packet.codec;
            if packet.track >= MAX_TRACKS {
                self.say("there are too many tracks; one was dropped", &packet.track);
                continue;
            }
            match packet.packet {
                audio::Packet::Config(config) => {
                    self.configure(id, codec, enhanced, &config, timestamp, arrival)?;
                }
                audio::Packet::Frame(data) => {
                    self.sound(id, codec, message.legacy, &data, timestamp, arrival)?;
                }
                // The order of channels is in the decoder configuration too.
                audio::Packet::EndOfSequence | audio::Packet::MultichannelConfig(_) => {}
                audio::Packet::Other(..) => {
                    self.say("an audio packet type is unknown and was dropped", &codec);
                }
            }
        }
        Ok(())
    }

    /// Takes script data.
    pub(crate) fn script(
        &mut self,
        timestamp: u32,
        body: &Bytes,
        arrival: Instant,
    ) -> Result<(), Superseded> {
        let at = self.publication.timeline().millis(timestamp, arrival);
        let body = script::without_set_data_frame(body);
        match script::name(&body).as_deref() {
            Ok("onMetaData") if body.len() > MAX_METADATA => {
                self.say("the metadata is too long and was dropped", &body.len());
                Ok(())
            }
            Ok("onMetaData") => {
                if let Ok(properties) = script::properties(&body) {
                    let (video, audio) = announced(&properties);
                    self.publication.announce(video, audio, arrival)?;
                }
                self.publication.set_metadata(body, at, arrival)
            }
            // Which samples a Flash player may look at concerns nobody here.
            Ok("|RtmpSampleAccess") => Ok(()),
            Ok(_) => {
                let dts = Ticks::from_millis(at, TimeBase::MILLIS);
                let (track, kind) = (TrackId::data(), FrameKind::Data);
                self.publication.push(Frame {
                    track,
                    kind,
                    dts,
                    cts: 0,
                    arrival,
                    data: body,
                    units: Units::new(),
                })
            }
            Err(error) => {
                self.say("script data is malformed and was dropped", error);
                Ok(())
            }
        }
    }

    /// Takes colour information. It goes to the first track of its codec: ffmpeg writes that of
    /// every track as if it were the first's.
    fn color_info(
        &mut self,
        codec: Codec,
        info: Bytes,
        timestamp: u32,
        arrival: Instant,
    ) -> Result<(), Superseded> {
        let at = self.publication.timeline().millis(timestamp, arrival);
        let Some(track) = self.tracks.iter_mut().find(|track| track.codec() == codec) else {
            self.say("colour information came before its track and was dropped", &codec);
            return Ok(());
        };
        track.set_color_info(info);
        let track = track.describe();
        self.publication.set_track(track, at, arrival)
    }

    fn configure(
        &mut self,
        id: TrackId,
        codec: Codec,
        enhanced: bool,
        config: &Bytes,
        timestamp: u32,
        arrival: Instant,
    ) -> Result<(), Superseded> {
        if config.is_empty() {
            // Sent by ffmpeg before the real one when it is fed with ADTS.
            return Ok(());
        }
        if config.len() > MAX_CONFIG {
            self.say("a decoder configuration is too long and was dropped", &config.len());
            return Ok(());
        }
        let at = self.publication.timeline().millis(timestamp, arrival);
        let track = self.track(id, codec, enhanced);
        let outcome = track.configure(config);
        let track = track.describe();
        if let Err(error) = outcome {
            self.say("a decoder configuration is malformed; passed on as it is", &error);
        }
        self.publication.set_track(track, at, arrival)
    }

    #[allow(clippy::too_many_arguments)] // one call site; the fields of one message
    fn picture(
        &mut self,
        id: TrackId,
        codec: Codec,
        enhanced: bool,
        picture: &Picture,
        data: &Bytes,
        timestamp: u32,
        arrival: Instant,
    ) -> Result<(), Superseded> {
        if data.is_empty() {
            return Ok(());
        }
        let track = self.track(id, codec, enhanced);
        let (data, units) = match track.canonical(data) {
            Ok(canonical) => canonical,
            Err(error) => {
                self.say("a picture is malformed and was dropped", &error);
                return Ok(());
            }
        };
        self.announce_changes(id, timestamp, arrival)?;
        if data.is_empty() {
            return Ok(());
        }
        let dts = self.publication.timeline().dts(id, timestamp, TimeBase::VIDEO, None, arrival);
        let kind = match picture.frame_type {
            video::FrameType::Key | video::FrameType::GeneratedKey => FrameKind::Key,
            // Some early Enhanced encoders leave the frame type out.
            video::FrameType::Other(0) if inspect::is_key(codec, &data, &units) == Some(true) => {
                FrameKind::Key
            }
            _ => FrameKind::Delta,
        };
        // 24 bits of milliseconds: the product fits.
        let cts = picture.cts.saturating_mul(90);
        self.publication.push(Frame { track: id, kind, dts, cts, arrival, data, units })
    }

    fn sound(
        &mut self,
        id: TrackId,
        codec: Codec,
        legacy: Option<audio::Legacy>,
        data: &Bytes,
        timestamp: u32,
        arrival: Instant,
    ) -> Result<(), Superseded> {
        if data.is_empty() {
            return Ok(());
        }
        let track = self.track(id, codec, legacy.is_none());
        let Some(data) = track.sound(data, legacy) else {
            self.say("audio came before its configuration and was dropped", &codec);
            return Ok(());
        };
        let (base, duration) = (track.time_base(), track.duration(&data));
        self.announce_changes(id, timestamp, arrival)?;
        let dts = self.publication.timeline().dts(id, timestamp, base, duration, arrival);
        let (kind, units) = (FrameKind::Audio, Units::new());
        self.publication.push(Frame { track: id, kind, dts, cts: 0, arrival, data, units })
    }

    /// Tells the stream about a track that is new, or whose configuration came with its frames.
    fn announce_changes(
        &mut self,
        id: TrackId,
        timestamp: u32,
        arrival: Instant,
    ) -> Result<(), Superseded> {
        let changed = self.tracks.iter_mut().find(|track| track.id() == id);
        let Some(track) = changed.and_then(TrackIngest::take_change) else { return Ok(()) };
        let at = self.publication.timeline().millis(timestamp, arrival);
        self.publication.set_track(track, at, arrival)
    }

    /// The track with this id, begun anew if its codec has changed.
    fn track(&mut self, id: TrackId, codec: Codec, enhanced: bool) -> &mut TrackIngest {
        let known = self.tracks.iter().position(|track| track.id() == id);
        let index = known.unwrap_or(self.tracks.len());
        let fresh = match self.tracks.get(index) {
            None => true,
            Some(track) => track.codec() != codec,
        };
        if fresh {
            let known = codec.is_known();
            info!(session = %self.session, track = %id, %codec, known, enhanced, "track begins");
            let track = TrackIngest::new(id, codec, enhanced);
            match self.tracks.get_mut(index) {
                Some(old) => *old = track,
                None => self.tracks.push(track),
            }
        }
        // The index is that of a track that was there or was just put there.
        #[allow(clippy::indexing_slicing)]
        &mut self.tracks[index]
    }

    fn say(&mut self, what: &'static str, detail: &dyn std::fmt::Display) {
        if !self.said.contains(&what) {
            self.said.push(what);
            warn!(session = %self.session, %detail, "{what}");
        }
    }
}

/// What a video message says of its picture.
struct Picture {
    /// Milliseconds.
    cts: i32,
    frame_type: video::FrameType,
}

/// Which kinds of tracks metadata names: video, audio. Metadata that names none says nothing.
fn announced(properties: &amf0::Object) -> (bool, bool) {
    let names = |keys: &[&str]| keys.iter().any(|key| properties.get(key).is_some());
    let video = names(&["videocodecid", "width", "videodatarate"]);
    let audio = names(&["audiocodecid", "audiodatarate", "audiosamplerate"]);
    if video || audio { (video, audio) } else { (true, true) }
}
