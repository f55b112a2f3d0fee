//! Bytes of a program stream in, tracks and access units out.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use media::{Track, TrackId, TrackKind};

use super::map::{self, Entry};
use super::packet::{self, HEAD, Length};
use super::picture::Pictures;
use super::sound::Sound;
use super::time::Clock;
use super::{Demuxed, LeftOut, Statistics, Unit};
use crate::es::{self, Parser};

/// Streams that are read at once: a picture and its sound, and as much again.
const MAX_STREAMS: usize = 4;

/// The longest packet of sound that does not say its length: as if it said the longest.
const MAX_OPEN: usize = HEAD + 0xFFFF;

/// Reads a program stream; feed it with [`Demuxer::push`], then take what came out with
/// [`Demuxer::poll`] until there is nothing.
///
/// A picture is complete when the next one begins, or when [`Demuxer::frame_ends`] was right for
/// some time; sound is complete at the end of its packet.
#[derive(Debug, Default)]
pub struct Demuxer {
    /// What is not read yet: part of a header or of a packet of sound.
    buffer: BytesMut,
    /// Where the search for the end of a packet goes on that the buffer has the beginning of.
    searched: usize,
    state: State,
    /// RTP's time of the bytes that were pushed last, and of the packet that is being read.
    timestamp: Option<i64>,
    packet_timestamp: Option<i64>,
    entries: Vec<Entry>,
    streams: Vec<Input>,
    clock: Clock,
    out: Output,
    /// Counts packets of media, to know which stream was silent for longest.
    packets: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// A start code follows. The stream of the packet before, if it was a picture's.
    Between { after: Option<u8> },
    /// A start code has to be found.
    #[default]
    Search,
    /// The payload of a picture's packet, and how much of it is missing.
    Picture { stream_id: u8, left: Option<usize> },
}

/// An elementary stream.
#[derive(Debug)]
struct Input {
    stream_id: u8,
    media: Media,
    /// The number of its last packet.
    used: u64,
}

#[derive(Debug)]
enum Media {
    Pictures(Box<Pictures>),
    Sound(Sound),
}

/// What came out, and what went wrong.
#[derive(Debug, Default)]
pub(super) struct Output {
    queue: VecDeque<Demuxed>,
    pub(super) statistics: Statistics,
    /// The numbers of the next tracks.
    pictures: u8,
    sounds: u8,
}

impl Demuxer {
    /// A demuxer that has read nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more bytes, cut anywhere. `timestamp` is RTP's time of them on the 90 kHz clock,
    /// continued over its wrap; it counts where packets have no time of their own.
    pub fn push(&mut self, bytes: &[u8], timestamp: Option<i64>) {
        self.timestamp = timestamp;
        self.buffer.extend_from_slice(bytes);
        while self.step() {}
    }

    /// Bytes are missing before the next push: pictures in hand are left out, and reading goes on
    /// at the next start code.
    pub fn lost(&mut self) {
        self.skip(self.buffer.len());
        self.searched = 0;
        self.state = State::Search;
        for input in &mut self.streams {
            match &mut input.media {
                Media::Pictures(pictures) => pictures.lose(&mut self.out),
                Media::Sound(sound) => sound.lose(),
            }
        }
    }

    /// The transport says that a picture ends with what was pushed (RTP's marker).
    ///
    /// Devices set markers where they like. One is believed, and saves the wait for the next
    /// picture, after a row of them was right; a wrong one ends that.
    pub fn frame_ends(&mut self) {
        match self.state {
            State::Between { .. } if self.buffer.is_empty() => {
                for input in &mut self.streams {
                    if let Media::Pictures(pictures) = &mut input.media
                        && pictures.hint(0)
                    {
                        pictures.complete(&self.clock, &mut self.out);
                    }
                }
            }
            State::Picture { stream_id, left } => {
                let pending = self.buffer.len();
                let Some((pictures, ..)) = self.pictures(stream_id) else { return };
                if left.is_some() {
                    pictures.distrust();
                } else if pictures.hint(pending) {
                    let rest = self.buffer.split();
                    self.state = State::Between { after: Some(stream_id) };
                    if let Some((pictures, clock, out)) = self.pictures(stream_id) {
                        pictures.push(&rest, clock, out);
                        pictures.complete(clock, out);
                    }
                }
            }
            State::Between { .. } | State::Search => {}
        }
    }

    /// Nothing follows: what is in hand is complete.
    pub fn finish(&mut self) {
        let rest = self.buffer.split();
        self.searched = 0;
        let open_sound = matches!(*rest, [0, 0, 1, code, 0, 0, ..] if packet::is_audio(code));
        match self.state {
            State::Picture { stream_id, left } => {
                if let Some((pictures, clock, out)) = self.pictures(stream_id) {
                    match left {
                        None => pictures.push(&rest, clock, out),
                        Some(_) => pictures.lose(out),
                    }
                }
            }
            State::Between { .. } if open_sound => self.sound(&rest),
            State::Between { .. } | State::Search => {
                self.out.statistics.skipped += rest.len() as u64;
            }
        }
        self.state = State::Search;
        self.end();
    }

    /// The next of what came out.
    pub fn poll(&mut self) -> Option<Demuxed> {
        self.out.queue.pop_front()
    }

    /// What was wrong so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.out.statistics
    }

    /// The streams that are there, or announced, and not understood.
    pub fn left_out(&self) -> impl Iterator<Item = LeftOut> {
        let announced = self.entries.iter().filter(|entry| entry.is_left_out());
        let found = self.streams.iter().filter(|input| match &input.media {
            Media::Pictures(pictures) => pictures.is_foreign(),
            Media::Sound(_) => false,
        });
        let announced = announced.map(|entry| (entry.stream_id, Some(entry.stream_type)));
        let found = found.map(|input| (input.stream_id, self.stream_type(input.stream_id)));
        announced.chain(found).map(|(stream_id, stream_type)| LeftOut { stream_id, stream_type })
    }

    /// Reads the next piece; `false` if more bytes are needed.
    fn step(&mut self) -> bool {
        match self.state {
            State::Search => self.search(),
            State::Between { after } => self.between(after),
            State::Picture { stream_id, left } => self.picture(stream_id, left),
        }
    }

    fn search(&mut self) -> bool {
        let Some(at) = packet::find_system(&self.buffer) else {
            // The last three bytes may belong to a start code.
            self.skip(self.buffer.len().saturating_sub(3));
            return false;
        };
        self.skip(at);
        self.state = State::Between { after: None };
        true
    }

    fn between(&mut self, after: Option<u8>) -> bool {
        // Zero bytes between packets are no harm.
        while self.buffer.starts_with(&[0, 0, 0]) {
            self.buffer.advance(1);
        }
        let Some(&[a, b, c, code]) = self.buffer.get(..4) else { return false };
        if [a, b, c] == [0, 0, 1] && packet::is_system(code) {
            return self.packet(code);
        }
        // What follows a packet and is none belongs to it, if its length was wrong.
        self.state = match after {
            Some(stream_id) => {
                self.out.statistics.wrong_lengths += 1;
                State::Picture { stream_id, left: None }
            }
            None => {
                self.doubt();
                State::Search
            }
        };
        true
    }

    /// Reads what begins with the start code.
    fn packet(&mut self, code: u8) -> bool {
        self.packet_timestamp = self.timestamp;
        let searched = std::mem::take(&mut self.searched);
        if code == packet::END {
            self.buffer.advance(4);
            self.end();
            self.state = State::Between { after: None };
            return true;
        }
        if code == packet::PACK {
            return match packet::pack_length(&self.buffer) {
                Length::Bytes(length) if length <= self.buffer.len() => self.pass(length),
                Length::Bytes(_) | Length::Unknown => false,
                Length::Invalid => self.damaged(),
            };
        }
        let Some(&[high, low]) = self.buffer.get(4..HEAD) else { return false };
        let length = match usize::from(u16::from_be_bytes([high, low])) {
            0 => None,
            length => Some(HEAD + length),
        };
        if packet::is_video(code) {
            return self.begin_picture(code, length);
        }
        let is_open = length.is_none();
        let length = match length {
            None if packet::is_audio(code) => {
                // It ends where something else begins.
                let end = self.buffer.len().min(MAX_OPEN);
                let from = searched.max(HEAD);
                match packet::find_system(self.buffer.get(from..end).unwrap_or_default()) {
                    Some(at) => from + at,
                    None if end < MAX_OPEN => {
                        // The last three bytes may belong to a start code.
                        self.searched = end.saturating_sub(3);
                        return false;
                    }
                    None => return self.damaged(),
                }
            }
            length => length.unwrap_or(HEAD),
        };
        let packet = self.buffer.get(..length).unwrap_or(&self.buffer);
        // What ends with something else was searched for that alone.
        let from = if is_open { 0 } else { searched };
        if let Some(at) = packet::find_pack(packet, from) {
            // It is not as long as it says; what it says is not known either.
            self.out.statistics.wrong_lengths += 1;
            self.skip(at);
            self.doubt();
            self.state = State::Between { after: None };
            return true;
        }
        if self.buffer.len() < length {
            self.searched = self.buffer.len().saturating_sub(packet::MAX_PACK);
            return false;
        }
        let whole = self.buffer.split_to(length);
        self.state = State::Between { after: None };
        if packet::is_audio(code) {
            self.sound(&whole);
        } else if code == packet::MAP
            && let Some(entries) = map::read(whole.get(HEAD..).unwrap_or_default())
        {
            self.map(entries);
        }
        true
    }

    fn pass(&mut self, length: usize) -> bool {
        self.buffer.advance(length);
        self.state = State::Between { after: None };
        true
    }

    /// What begins with a start code cannot be what the code says.
    fn damaged(&mut self) -> bool {
        self.skip(4);
        self.doubt();
        self.state = State::Search;
        true
    }

    /// What is passed over may be part of a picture.
    fn doubt(&mut self) {
        for input in &mut self.streams {
            if let Media::Pictures(pictures) = &mut input.media {
                pictures.doubt();
            }
        }
    }

    fn skip(&mut self, count: usize) {
        self.out.statistics.skipped += count as u64;
        self.buffer.advance(count);
    }

    fn begin_picture(&mut self, stream_id: u8, length: Option<usize>) -> bool {
        let header = match packet::header(&self.buffer, length) {
            Ok(header) => header,
            Err(Length::Invalid) => return self.damaged(),
            Err(_) => return false,
        };
        self.buffer.advance(header.length);
        let timestamp = self.packet_timestamp;
        let times = header.times.map(|times| self.clock.times(times, timestamp));
        self.open(stream_id);
        if let Some((pictures, ..)) = self.pictures(stream_id) {
            pictures.begin(times, timestamp);
        }
        let left = length.map(|length| length.saturating_sub(header.length));
        self.state = State::Picture { stream_id, left };
        true
    }

    fn picture(&mut self, stream_id: u8, left: Option<usize>) -> bool {
        let available = left.unwrap_or(usize::MAX).min(self.buffer.len());
        let bytes = self.buffer.get(..available).unwrap_or_default();
        let (count, next) = match packet::find_system(bytes) {
            Some(at) => {
                self.out.statistics.wrong_lengths += u64::from(left.is_some());
                (at, State::Between { after: None })
            }
            None if left == Some(available) => {
                (available, State::Between { after: Some(stream_id) })
            }
            None => {
                // The last three bytes may belong to a start code.
                let count = available.saturating_sub(3);
                let left = left.map(|left| left - count);
                (count, State::Picture { stream_id, left })
            }
        };
        let bytes = self.buffer.split_to(count);
        if let Some((pictures, clock, out)) = self.pictures(stream_id) {
            pictures.push(&bytes, clock, out);
        }
        let goes_on = !matches!(next, State::Picture { .. });
        self.state = next;
        goes_on
    }

    /// Takes a whole packet of sound.
    fn sound(&mut self, packet: &[u8]) {
        let Some(&stream_id) = packet.get(3) else { return };
        let Ok(header) = packet::header(packet, Some(packet.len())) else {
            self.out.statistics.skipped += packet.len() as u64;
            return;
        };
        let timestamp = self.packet_timestamp;
        let times = header.times.map(|times| self.clock.times(times, timestamp));
        self.open(stream_id);
        let payload = packet.get(header.length..).unwrap_or_default();
        let input = self.streams.iter_mut().find(|input| input.stream_id == stream_id);
        if let Some(Input { media: Media::Sound(sound), .. }) = input {
            let payload = Bytes::copy_from_slice(payload);
            sound.push(payload, times, timestamp, &self.clock, &mut self.out);
        }
    }

    /// The map says what the streams are.
    fn map(&mut self, entries: Vec<Entry>) {
        if self.entries == entries || entries.is_empty() {
            return;
        }
        self.entries = entries;
        for at in 0..self.streams.len() {
            let Some(stream_id) = self.streams.get(at).map(|input| input.stream_id) else { return };
            let stream_type = self.stream_type(stream_id);
            if let Some(input) = self.streams.get_mut(at) {
                match &mut input.media {
                    Media::Pictures(pictures) => pictures.announce(stream_type, &mut self.out),
                    Media::Sound(sound) => sound.announce(stream_type),
                }
            }
        }
    }

    fn stream_type(&self, stream_id: u8) -> Option<u8> {
        let entry = self.entries.iter().find(|entry| entry.stream_id == stream_id);
        entry.map(|entry| entry.stream_type)
    }

    /// Makes room for a stream. Only one that never had a frame gives its place away.
    fn open(&mut self, stream_id: u8) {
        self.packets += 1;
        let used = self.packets;
        if let Some(input) = self.streams.iter_mut().find(|input| input.stream_id == stream_id) {
            input.used = used;
            return;
        }
        if self.streams.len() >= MAX_STREAMS {
            let silent = self.streams.iter().enumerate().filter(|(_, input)| !input.has_track());
            let Some((at, _)) = silent.min_by_key(|(_, input)| input.used) else { return };
            self.streams.swap_remove(at);
        }
        let stream_type = self.stream_type(stream_id);
        let media = if packet::is_video(stream_id) {
            Media::Pictures(Box::new(Pictures::new(stream_type)))
        } else {
            Media::Sound(Sound::new(stream_type))
        };
        self.streams.push(Input { stream_id, media, used });
    }

    /// The pictures of a stream, with what they need.
    fn pictures(&mut self, stream_id: u8) -> Option<(&mut Pictures, &Clock, &mut Output)> {
        let input = self.streams.iter_mut().find(|input| input.stream_id == stream_id)?;
        match &mut input.media {
            Media::Pictures(pictures) => Some((pictures, &self.clock, &mut self.out)),
            Media::Sound(_) => None,
        }
    }

    /// Ends what is in hand.
    fn end(&mut self) {
        for input in &mut self.streams {
            match &mut input.media {
                Media::Pictures(pictures) => pictures.finish(&self.clock, &mut self.out),
                Media::Sound(sound) => sound.finish(&self.clock, &mut self.out),
            }
        }
    }
}

impl Input {
    fn has_track(&self) -> bool {
        match &self.media {
            Media::Pictures(pictures) => pictures.has_track(),
            Media::Sound(sound) => sound.has_track(),
        }
    }
}

impl Output {
    /// Hands out the parser's track if it is not `known` as it is now.
    pub(super) fn track(&mut self, known: &mut Option<Track>, parser: &mut Parser) {
        let id = known.as_ref().map_or_else(|| self.next(parser.kind()), |track| track.id);
        let Some(track) = parser.take_change(id) else { return };
        if known.as_ref() == Some(&track) {
            return;
        }
        if known.is_none() {
            let count =
                if id.kind == TrackKind::Video { &mut self.pictures } else { &mut self.sounds };
            *count = count.saturating_add(1);
        }
        self.queue.push_back(Demuxed::Track(track.clone()));
        *known = Some(track);
    }

    /// Hands out an access unit of a track that was handed out.
    pub(super) fn unit(&mut self, track: Option<&Track>, unit: es::Unit, dts: Option<i64>) {
        let Some(track) = track else { return };
        let es::Unit { pts, kind, data, units, .. } = unit;
        self.queue.push_back(Demuxed::Unit(Unit { track: track.id, pts, dts, kind, data, units }));
    }

    fn next(&self, kind: TrackKind) -> TrackId {
        match kind {
            TrackKind::Video => TrackId::video(self.pictures),
            _ => TrackId::audio(self.sounds),
        }
    }
}
