//! One track of a publisher: its configuration, and its frames in canonical form.

use bytes::Bytes;
use flv::audio::Legacy;
use media::{
    AudioDetails, Codec, Details, Error, TimeBase, Track, TrackId, TrackKind, Units, aac, h264,
    h265, inspect, nal,
};

/// What is known of a track while its publisher sends.
#[derive(Debug)]
pub(crate) struct TrackIngest {
    track: Track,
    sets: ParameterSets,
    /// Samples in every frame, where the configuration tells.
    frame_samples: Option<u32>,
    /// The stream has not been told of the track as it is now.
    changed: bool,
}

/// The parameter sets of a codec with NAL units.
#[derive(Debug)]
enum ParameterSets {
    None,
    H264(h264::Config),
    H265(h265::Config),
}

impl ParameterSets {
    fn parse(codec: Codec, record: &[u8]) -> Result<Self, Error> {
        Ok(match codec {
            Codec::H264 => Self::H264(h264::Config::parse(record)?),
            Codec::H265 => Self::H265(h265::Config::parse(record)?),
            _ => Self::None,
        })
    }

    /// Takes sets that came with a frame. Returns whether anything has changed.
    fn merge(&mut self, codec: Codec, found: &[Bytes]) -> bool {
        let units = || found.iter().map(|unit| &**unit);
        match (&mut *self, codec) {
            (Self::H264(sets), _) => {
                units().fold(false, |changed, unit| sets.merge(unit) | changed)
            }
            (Self::H265(sets), _) => {
                units().fold(false, |changed, unit| sets.merge(unit) | changed)
            }
            (Self::None, Codec::H264) => match h264::Config::from_parameter_sets(units()) {
                Ok(sets) => {
                    *self = Self::H264(sets);
                    true
                }
                Err(_) => false,
            },
            (Self::None, Codec::H265) => match h265::Config::from_parameter_sets(units()) {
                Ok(sets) => {
                    *self = Self::H265(sets);
                    true
                }
                Err(_) => false,
            },
            (Self::None, _) => false,
        }
    }

    /// The size of the lengths that frames come with.
    fn length_size(&self) -> u8 {
        match self {
            Self::H264(sets) => sets.length_size(),
            Self::H265(sets) => sets.length_size(),
            Self::None => nal::LENGTH_SIZE,
        }
    }

    /// The record that goes out: it says four-byte lengths, as the frames have.
    fn record(&self) -> Option<Bytes> {
        match self {
            Self::H264(sets) => Some(sets.clone().canonical().to_bytes()),
            Self::H265(sets) => Some(sets.clone().canonical().to_bytes()),
            Self::None => None,
        }
    }
}

impl TrackIngest {
    pub(crate) fn new(id: TrackId, codec: Codec, enhanced: bool) -> Self {
        let time_base = match id.kind {
            TrackKind::Video => TimeBase::VIDEO,
            TrackKind::Audio | TrackKind::Data => inspect::time_base(codec, &Details::Unknown),
        };
        let track = Track {
            id,
            codec,
            time_base,
            config: Bytes::new(),
            color_info: None,
            enhanced,
            details: Details::Unknown,
        };
        Self { track, sets: ParameterSets::None, frame_samples: None, changed: true }
    }

    pub(crate) fn id(&self) -> TrackId {
        self.track.id
    }

    pub(crate) fn codec(&self) -> Codec {
        self.track.codec
    }

    pub(crate) fn time_base(&self) -> TimeBase {
        self.track.time_base
    }

    /// The decoder configuration; empty while there is none.
    pub(crate) fn config(&self) -> &Bytes {
        &self.track.config
    }

    /// Whether decoders know enough to begin.
    pub(crate) fn is_described(&self) -> bool {
        let needed = self.track.codec.has_nal_units()
            || matches!(self.track.codec, Codec::Aac | Codec::Av1 | Codec::Vp9);
        !(needed && self.track.config.is_empty())
    }

    /// Takes the decoder configuration that a key frame itself has, for publishers that send none
    /// apart.
    pub(crate) fn learn(&mut self, frame: &[u8]) {
        if let Some(config) = inspect::frame_config(self.track.codec, frame)
            && config != self.track.config
        {
            // What was just made can be read.
            let _ = self.configure(&config);
        }
    }

    /// Sound whose description has more to say than its frames.
    pub(crate) fn set_details(&mut self, details: Details) {
        self.track.time_base = inspect::time_base(self.track.codec, &details);
        self.track.details = details;
    }

    /// How many pictures may come before one and be shown after it, if the parameter sets tell.
    pub(crate) fn reorder_depth(&self) -> u32 {
        match &self.sets {
            ParameterSets::H264(sets) => {
                let sps = sets.sps().first().and_then(|sps| h264::Sps::parse(sps).ok());
                sps.and_then(|sps| sps.vui?.max_num_reorder_frames).unwrap_or_default()
            }
            ParameterSets::H265(sets) => {
                let sps = sets.sps().first().and_then(|sps| h265::Sps::parse(sps).ok());
                sps.map_or(0, |sps| sps.max_num_reorder_pics)
            }
            ParameterSets::None => 0,
        }
    }

    /// How long a picture lasts, in ticks of 90 kHz; 40 ms if nobody tells.
    pub(crate) fn picture_ticks(&self) -> i64 {
        match &self.track.details {
            Details::Video(video) if video.millihertz > 0 => {
                90_000_000 / i64::from(video.millihertz)
            }
            _ => 3_600,
        }
    }

    pub(crate) fn set_color_info(&mut self, info: Bytes) {
        self.track.color_info = Some(info);
    }

    /// The track as it is now; the caller tells the stream.
    pub(crate) fn describe(&mut self) -> Track {
        self.changed = false;
        self.track.clone()
    }

    /// The track, if the stream has not been told of it as it is now.
    pub(crate) fn take_change(&mut self) -> Option<Track> {
        self.changed.then(|| self.describe())
    }

    /// Takes a decoder configuration. One that cannot be read is kept as it is: a decoder may
    /// know better.
    pub(crate) fn configure(&mut self, config: &Bytes) -> Result<(), Error> {
        self.changed = true;
        self.track.config = config.clone();
        let parsed = self.adopt(config);
        if parsed.is_err() {
            self.sets = ParameterSets::None;
            self.frame_samples = None;
            self.track.details = Details::Unknown;
        }
        parsed
    }

    fn adopt(&mut self, config: &Bytes) -> Result<(), Error> {
        self.sets = ParameterSets::parse(self.track.codec, config)?;
        if self.sets.length_size() != nal::LENGTH_SIZE
            && let Some(record) = self.sets.record()
        {
            self.track.config = record;
        }
        let mut details = inspect::details(self.track.codec, &self.track.config)?;
        // Those of VP8 and VP9 have no size: one that comes again takes none away.
        if let (Details::Video(told), Details::Video(known)) = (&mut details, &self.track.details)
            && (told.width, told.height) == (0, 0)
        {
            (told.width, told.height) = (known.width, known.height);
        }
        self.track.details = details;
        if self.track.codec == Codec::Aac {
            self.frame_samples = inspect::audio_samples(&self.track, &[]);
        }
        if self.track.id.kind == TrackKind::Audio {
            self.track.time_base = inspect::time_base(self.track.codec, &self.track.details);
        }
        Ok(())
    }

    /// A picture in canonical form. Parameter sets in it go to the track.
    pub(crate) fn canonical(&mut self, data: &Bytes) -> Result<(Bytes, Units), Error> {
        self.canonical_of(data, self.sets.length_size())
    }

    /// As [`TrackIngest::canonical`], of a picture whose lengths have this size, whatever the
    /// configuration says.
    pub(crate) fn canonical_of(
        &mut self,
        data: &Bytes,
        length_size: u8,
    ) -> Result<(Bytes, Units), Error> {
        let mut found = Vec::new();
        let canonical = inspect::canonical(self.track.codec, data, length_size, |unit| {
            found.push(Bytes::copy_from_slice(unit));
        })?;
        if !found.is_empty()
            && self.sets.merge(self.track.codec, &found)
            && let Some(record) = self.sets.record()
        {
            self.track.details =
                inspect::details(self.track.codec, &record).unwrap_or(Details::Unknown);
            self.track.config = record;
            self.changed = true;
        }
        self.look_at(&canonical.0);
        Ok(canonical)
    }

    /// Takes what a picture says of its track and the configuration does not: those of VP8 and VP9
    /// have no size.
    fn look_at(&mut self, picture: &[u8]) {
        let codec = self.track.codec;
        let has_sizes = matches!(codec, Codec::Vp8 | Codec::Vp9);
        if !has_sizes && self.track.details != Details::Unknown {
            return;
        }
        let Some(mut details) = inspect::frame_details(codec, picture) else { return };
        if let (Details::Video(told), Details::Video(known)) = (&mut details, &self.track.details) {
            (told.profile, told.level) = (known.profile, known.level);
        }
        if details != self.track.details {
            self.track.details = details;
            self.changed = true;
        }
    }

    /// An audio frame as the track carries it; `None` if it cannot be understood without a
    /// configuration that never came.
    pub(crate) fn sound(&mut self, data: &Bytes, legacy: Option<Legacy>) -> Option<Bytes> {
        if self.track.codec == Codec::Aac && self.track.config.is_empty() {
            return self.sound_of_adts(data);
        }
        if self.track.details == Details::Unknown
            && let Some(details) = details_of_frame(self.track.codec, data, legacy)
        {
            self.track.time_base = inspect::time_base(self.track.codec, &details);
            self.track.details = details;
            self.changed = true;
        }
        Some(data.clone())
    }

    /// Some encoders send AAC with ADTS headers and no configuration.
    fn sound_of_adts(&mut self, data: &Bytes) -> Option<Bytes> {
        let header = aac::adts::Header::parse(data).ok()?;
        self.configure(&header.config().to_bytes()?).ok()?;
        self.sound_in_adts(data, &header)
    }

    fn sound_in_adts(&self, data: &Bytes, header: &aac::adts::Header) -> Option<Bytes> {
        header.payload(data).map(|payload| data.slice_ref(payload))
    }

    /// The length of an audio frame in ticks of the track.
    pub(crate) fn duration(&self, data: &[u8]) -> Option<i64> {
        let samples = self.frame_samples.or_else(|| inspect::audio_samples(&self.track, data));
        samples.map(i64::from)
    }
}

/// What the first frame says of a track without configuration; the tag's flags know the channels
/// of G.711.
fn details_of_frame(codec: Codec, data: &[u8], legacy: Option<Legacy>) -> Option<Details> {
    let details = inspect::frame_details(codec, data)?;
    match (details, codec, legacy) {
        (Details::Audio(details), Codec::PcmA | Codec::PcmU, Some(Legacy { stereo: true, .. })) => {
            Some(Details::Audio(AudioDetails { channels: 2, ..details }))
        }
        (details, ..) => Some(details),
    }
}
