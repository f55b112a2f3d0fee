//! Says what is in an FLV file: `flv_info FILE`.
//!
//! Its header, its metadata, and for each track the codec, the picture or the sound, how many
//! messages it has, from when to when, and how far its key frames are apart.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::Read;

use headwater_flv::amf0::{Object, Value};
use headwater_flv::payload::TrackPacket;
use headwater_flv::tag::{self, Kind, Tag};
use headwater_flv::{audio, script, video};
use media::{Codec, Details, TrackId, inspect};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: flv_info FILE")?;
    let mut file = File::open(path)?;
    let mut reader = tag::Reader::new(tag::MAX_BODY);
    let mut summary = Summary::default();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        reader.push(&buffer[..length]);
        while let Some(tag) = reader.poll()? {
            summary.take(&tag);
        }
    }
    let header = reader.header().ok_or("the file is shorter than a header")?;
    println!("header: audio {}, video {}", header.audio, header.video);
    print!("{summary}");
    if reader.wrong_sizes() > 0 {
        println!("wrong previous-tag sizes: {}", reader.wrong_sizes());
    }
    Ok(())
}

/// What was found so far.
#[derive(Default)]
struct Summary {
    metadata: Option<Object>,
    /// Script data by name, and what else there is.
    others: BTreeMap<String, Span>,
    tracks: BTreeMap<TrackId, Track>,
    malformed: usize,
}

impl Summary {
    fn take(&mut self, tag: &Tag) {
        let outcome = match tag.kind {
            Kind::Video => self.video(tag),
            Kind::Audio => self.audio(tag),
            Kind::Script => self.script(tag),
            Kind::Other(id) => {
                self.others.entry(format!("type {id}")).or_default().add(tag);
                Ok(())
            }
        };
        self.malformed += usize::from(outcome.is_err());
    }

    fn video(&mut self, tag: &Tag) -> Result<(), headwater_flv::Error> {
        let message = video::Message::parse(&tag.body)?;
        for TrackPacket { track, codec, packet } in message.packets {
            let track = self.tracks.entry(TrackId::video(track)).or_default();
            // ffmpeg writes the colour of any track as that of track 0.
            if !matches!(packet, video::Packet::Metadata(_)) {
                track.begin(codec, message.enhanced);
            }
            match packet {
                video::Packet::Config(config) => track.configure(codec, &config),
                video::Packet::Frame { data, .. } => {
                    track.frame(tag, &data);
                    if message.frame_type == video::FrameType::Key {
                        track.keys.add(tag);
                    }
                }
                video::Packet::Metadata(_) => track.notes.push("colour information"),
                video::Packet::EndOfSequence => track.notes.push("end of sequence"),
                video::Packet::Mpeg2TsConfig(_) | video::Packet::Other(..) => {
                    track.notes.push("packets of unknown types");
                }
            }
        }
        Ok(())
    }

    fn audio(&mut self, tag: &Tag) -> Result<(), headwater_flv::Error> {
        let message = audio::Message::parse(&tag.body)?;
        for TrackPacket { track, codec, packet } in message.packets {
            let track = self.tracks.entry(TrackId::audio(track)).or_default();
            if !matches!(packet, audio::Packet::MultichannelConfig(_)) {
                track.begin(codec, message.legacy.is_none());
            }
            match packet {
                audio::Packet::Config(config) => track.configure(codec, &config),
                audio::Packet::Frame(data) => track.frame(tag, &data),
                audio::Packet::EndOfSequence => track.notes.push("end of sequence"),
                audio::Packet::MultichannelConfig(_) => track.notes.push("channel mapping"),
                audio::Packet::Other(..) => track.notes.push("packets of unknown types"),
            }
        }
        Ok(())
    }

    fn script(&mut self, tag: &Tag) -> Result<(), headwater_flv::Error> {
        let name = script::name(&tag.body)?;
        if name == "onMetaData" {
            self.metadata = Some(script::properties(&tag.body)?);
        }
        self.others.entry(name).or_default().add(tag);
        Ok(())
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.metadata.iter().flat_map(Object::iter) {
            writeln!(f, "metadata: {name} = {}", Brief(value))?;
        }
        for (id, track) in &self.tracks {
            writeln!(f, "{:?} {}: {track}", id.kind, id.index)?;
        }
        for (name, span) in &self.others {
            writeln!(f, "{name}: {span}")?;
        }
        if self.malformed > 0 {
            writeln!(f, "malformed tags: {}", self.malformed)?;
        }
        Ok(())
    }
}

/// One track.
#[derive(Default)]
struct Track {
    codec: Option<Codec>,
    enhanced: bool,
    details: Details,
    frames: Span,
    keys: Span,
    bytes: usize,
    notes: Vec<&'static str>,
}

impl Track {
    fn begin(&mut self, codec: Codec, enhanced: bool) {
        self.codec = Some(codec);
        self.enhanced = enhanced;
    }

    fn configure(&mut self, codec: Codec, config: &[u8]) {
        match inspect::details(codec, config) {
            Ok(details) => self.details = details,
            Err(_) => self.notes.push("a malformed configuration"),
        }
    }

    fn frame(&mut self, tag: &Tag, data: &[u8]) {
        self.frames.add(tag);
        self.bytes += data.len();
        if let Some(codec) = self.codec
            && let Some(details) = inspect::frame_details(codec, data)
        {
            self.details = details;
        }
    }
}

impl Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(codec) = self.codec {
            write!(f, "{codec}, {} headers", if self.enhanced { "Enhanced" } else { "legacy" })?;
        }
        match self.details {
            Details::Video(video) => write!(f, ", {} × {}", video.width, video.height)?,
            Details::Audio(audio) => {
                write!(f, ", {} Hz, {} channels", audio.sample_rate, audio.channels)?;
            }
            Details::Unknown => {}
        }
        write!(f, "; {}, {} bytes", self.frames, self.bytes)?;
        if self.keys.count > 0 {
            write!(f, "; {} key frames", self.keys.count)?;
        }
        if let Some((least, most)) = self.keys.gaps {
            write!(f, " every {least} to {most} ms")?;
        }
        let mut notes = self.notes.clone();
        notes.sort_unstable();
        notes.dedup();
        notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

/// Tags of a sort: how many, and when.
#[derive(Default)]
struct Span {
    count: usize,
    first: u32,
    last: u32,
    /// The least and the most time between two of them.
    gaps: Option<(u32, u32)>,
}

impl Span {
    fn add(&mut self, tag: &Tag) {
        let time = tag.timestamp;
        if self.count == 0 {
            self.first = time;
        } else {
            let gap = time.wrapping_sub(self.last);
            let (least, most) = self.gaps.unwrap_or((gap, gap));
            self.gaps = Some((least.min(gap), most.max(gap)));
        }
        self.last = time;
        self.count += 1;
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tags from {} to {} ms", self.count, self.first, self.last)
    }
}

/// A value on one line.
struct Brief<'a>(&'a Value);

impl Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Number(number) => write!(f, "{number}"),
            Value::Boolean(truth) => write!(f, "{truth}"),
            Value::String(text) => write!(f, "{text:?}"),
            Value::StrictArray(values) => write!(f, "{} values", values.len()),
            other => match other.as_object() {
                Some(object) => write!(f, "{} properties", object.len()),
                None => write!(f, "{other:?}"),
            },
        }
    }
}
