//! The Multivariant Playlist (RFC 8216bis §4.4.6).
//!
//! Knows variants of a single rendition: `EXT-X-STREAM-INF` without groups.

use super::syntax::{self, Attributes, required};

/// Video codecs by the first element of their name (RFC 6381).
const VIDEO: &[&str] = &["avc1", "avc3", "hvc1", "hev1", "av01", "vp08", "vp09"];

/// Audio codecs likewise.
const AUDIO: &[&str] = &["mp4a", "opus", "Opus", "fLaC", "ac-3", "ec-3"];

/// A Multivariant Playlist, parsed strictly: every unknown or malformed tag is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multivariant {
    /// `EXT-X-VERSION`, or 1.
    pub version: u64,
    /// `EXT-X-INDEPENDENT-SEGMENTS`.
    pub independent_segments: bool,
    /// `EXT-X-STREAM-INF` and its address.
    pub variants: Vec<Variant>,
}

/// One variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The peak in bits per second.
    pub bandwidth: u64,
    /// The average in bits per second.
    pub average_bandwidth: Option<u64>,
    /// What `CODECS` lists.
    pub codecs: Vec<String>,
    /// Width and height.
    pub resolution: Option<(u64, u64)>,
    /// Frames per thousand seconds.
    pub millihertz: Option<u64>,
    /// The address of the Media Playlist.
    pub uri: String,
}

impl Multivariant {
    /// Reads a playlist.
    ///
    /// # Errors
    /// One sentence about the first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut playlist = Self { version: 0, independent_segments: false, variants: Vec::new() };
        let mut announced = None;
        for line in syntax::lines(text)? {
            let read = if syntax::is_tag(line) {
                playlist.tag(line, &mut announced)
            } else {
                let variant = announced.take().ok_or("the address has no EXT-X-STREAM-INF");
                variant.map_err(str::to_owned).and_then(|variant: Variant| {
                    let uri = syntax::uri(line)?;
                    playlist.variants.push(Variant { uri, ..variant });
                    Ok(())
                })
            };
            read.map_err(|what| format!("in {line:?}: {what}"))?;
        }
        if announced.is_some() {
            return Err("the last EXT-X-STREAM-INF has no address (§4.4.6.2)".to_owned());
        }
        playlist.version = playlist.version.max(1);
        Ok(playlist)
    }

    /// What is wrong beyond the syntax, one sentence each.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.variants.is_empty() {
            faults.push("there is no variant (§4.4.6.2)".to_owned());
        }
        for variant in &self.variants {
            let uri = &variant.uri;
            variant.faults(|what| faults.push(format!("{uri}: {what} (§4.4.6.2)")));
        }
        faults
    }

    fn tag(&mut self, line: &str, announced: &mut Option<Variant>) -> Result<(), String> {
        if announced.is_some() {
            return Err("an address must follow EXT-X-STREAM-INF (§4.4.6.2)".to_owned());
        }
        match syntax::tag(line) {
            ("EXT-X-VERSION", Some(value)) if self.version == 0 => {
                self.version = syntax::integer(value)?;
                (self.version > 0).then_some(()).ok_or_else(|| "the version is 0".to_owned())
            }
            ("EXT-X-INDEPENDENT-SEGMENTS", None) if !self.independent_segments => {
                self.independent_segments = true;
                Ok(())
            }
            ("EXT-X-VERSION" | "EXT-X-INDEPENDENT-SEGMENTS", _) => {
                Err("the tag is malformed or there twice (§4.4)".to_owned())
            }
            ("EXT-X-STREAM-INF", Some(value)) => {
                *announced = Some(Variant::parse(value)?);
                Ok(())
            }
            _ => Err("the tag is not known".to_owned()),
        }
    }
}

impl Variant {
    fn parse(value: &str) -> Result<Self, String> {
        let mut list = Attributes::parse(value)?;
        let codecs = list.quoted("CODECS")?;
        let variant = Self {
            bandwidth: required("BANDWIDTH", list.integer("BANDWIDTH")?)?,
            average_bandwidth: list.integer("AVERAGE-BANDWIDTH")?,
            codecs: codecs.map(|c| c.split(',').map(str::to_owned).collect()).unwrap_or_default(),
            resolution: list.word("RESOLUTION")?.map(resolution).transpose()?,
            millihertz: list.word("FRAME-RATE")?.map(millihertz).transpose()?,
            uri: String::new(),
        };
        list.end()?;
        Ok(variant)
    }

    fn faults(&self, mut fault: impl FnMut(String)) {
        if self.bandwidth == 0 || self.average_bandwidth == Some(0) {
            fault("a bandwidth is 0".to_owned());
        }
        if let Some(average) = self.average_bandwidth.filter(|rate| *rate > self.bandwidth) {
            fault(format!("the average of {average} exceeds the peak of {}", self.bandwidth));
        }
        if self.codecs.is_empty() {
            fault("CODECS is missing".to_owned());
        }
        for codec in self.codecs.iter().filter(|codec| !is_codec(codec)) {
            fault(format!("{codec:?} is not a codec of RFC 6381"));
        }
        let is_video = |codec: &String| VIDEO.contains(&first_element(codec));
        let video = self.codecs.iter().any(is_video);
        if video && self.resolution.is_none() {
            fault("there is video and no RESOLUTION".to_owned());
        }
        let described = self.resolution.is_some() || self.millihertz.is_some();
        if !video && !self.codecs.is_empty() && described {
            fault("there is RESOLUTION or FRAME-RATE and no video".to_owned());
        }
        if self.resolution.is_some_and(|(width, height)| width == 0 || height == 0) {
            fault("RESOLUTION has a zero".to_owned());
        }
        if self.millihertz == Some(0) {
            fault("FRAME-RATE is 0".to_owned());
        }
    }
}

fn first_element(codec: &str) -> &str {
    codec.split('.').next().unwrap_or(codec)
}

/// Whether a codec's name has the form that its family demands.
fn is_codec(codec: &str) -> bool {
    let elements: Vec<&str> = codec.split('.').collect();
    let hexadecimal = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match elements.as_slice() {
        ["avc1" | "avc3", profile] => profile.len() == 6 && hexadecimal(profile),
        ["hvc1" | "hev1", profile, compatibility, tier, constraints @ ..] => {
            let flags = |c: &&str| !c.is_empty() && c.len() <= 2 && hexadecimal(c);
            digits(profile.trim_start_matches(['A', 'B', 'C']))
                && !compatibility.is_empty()
                && compatibility.len() <= 8
                && hexadecimal(compatibility)
                && tier.strip_prefix(['L', 'H']).is_some_and(digits)
                && constraints.len() <= 6
                && constraints.iter().all(flags)
        }
        ["av01", profile, level, depth, ..] => {
            let level = level.strip_suffix(['M', 'H']).unwrap_or_default();
            matches!(*profile, "0" | "1" | "2")
                && level.len() == 2
                && digits(level)
                && matches!(*depth, "08" | "10" | "12")
        }
        ["vp08" | "vp09", profile, level, depth, ..] => {
            [profile, level, depth].iter().all(|field| field.len() == 2 && digits(field))
        }
        ["mp4a", "40", object] => digits(object) && !object.starts_with('0'),
        ["mp4a", object] => object.len() == 2 && hexadecimal(object),
        [name] => AUDIO.contains(name) && *name != "mp4a",
        _ => false,
    }
}

fn resolution(text: &str) -> Result<(u64, u64), String> {
    let sides = text.split_once('x').ok_or_else(|| format!("{text:?} is not a resolution (§4.2)"));
    let (width, height) = sides?;
    Ok((syntax::integer(width)?, syntax::integer(height)?))
}

/// A frame rate with at most three decimal places.
fn millihertz(text: &str) -> Result<u64, String> {
    let rate = syntax::seconds(text)?;
    let thousandths = rate.subsec_nanos() % 1_000_000 == 0;
    let rate = u64::try_from(rate.as_millis()).ok().filter(|_| thousandths);
    rate.ok_or_else(|| format!("{text} has more than three decimal places (§4.4.6.2)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(attributes: &str) -> String {
        let text = format!("#EXTM3U\n#EXT-X-STREAM-INF:{attributes}\nplaylist.m3u8\n");
        Multivariant::parse(&text).map_or_else(|fault| fault, |m| m.faults().join("\n"))
    }

    #[test]
    fn good_variants_pass() {
        let good = [
            "BANDWIDTH=1,CODECS=\"mp4a.40.2\"",
            "BANDWIDTH=9,AVERAGE-BANDWIDTH=5,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,\
             FRAME-RATE=29.970",
            "BANDWIDTH=9,CODECS=\"hvc1.1.6.L93.B0,Opus\",RESOLUTION=640x360",
            "BANDWIDTH=9,CODECS=\"hev1.A2.4.H120.90.0.0.0\",RESOLUTION=640x360,FRAME-RATE=50",
            "BANDWIDTH=9,CODECS=\"av01.0.04M.08,mp4a.6b\",RESOLUTION=640x360",
            "BANDWIDTH=9,CODECS=\"vp09.00.10.08,fLaC\",RESOLUTION=640x360",
        ];
        for good in good {
            assert_eq!(faults(good), "", "{good}");
        }
    }

    #[test]
    fn each_fault_is_found() {
        let bad = [
            ("AVERAGE-BANDWIDTH=1", "BANDWIDTH is missing"),
            ("BANDWIDTH=1.5", "not a decimal integer"),
            ("BANDWIDTH=0,CODECS=\"opus\"", "bandwidth is 0"),
            ("BANDWIDTH=1,AVERAGE-BANDWIDTH=2,CODECS=\"opus\"", "exceeds the peak"),
            ("BANDWIDTH=1", "CODECS is missing"),
            ("BANDWIDTH=1,CODECS=opus", "not in quotes"),
            ("BANDWIDTH=1,CODECS=\"avc1.64\",RESOLUTION=2x2", "not a codec"),
            ("BANDWIDTH=1,CODECS=\"mp4a.40.02\"", "not a codec"),
            ("BANDWIDTH=1,CODECS=\"h264\"", "not a codec"),
            ("BANDWIDTH=1,CODECS=\"opus, mp4a.40.2\"", "not a codec"),
            ("BANDWIDTH=1,CODECS=\"hvc1\",RESOLUTION=2x2", "not a codec"),
            ("BANDWIDTH=1,CODECS=\"av01.0.4M.08\",RESOLUTION=2x2", "not a codec"),
            ("BANDWIDTH=1,CODECS=\"avc1.64001f\"", "no RESOLUTION"),
            ("BANDWIDTH=1,CODECS=\"opus\",RESOLUTION=2x2", "no video"),
            ("BANDWIDTH=1,CODECS=\"avc1.64001f\",RESOLUTION=0x2", "has a zero"),
            ("BANDWIDTH=1,CODECS=\"avc1.64001f\",RESOLUTION=2X2", "not a resolution"),
            ("BANDWIDTH=1,CODECS=\"avc1.64001f\",RESOLUTION=2x2,FRAME-RATE=0.000", "RATE is 0"),
            ("BANDWIDTH=1,CODECS=\"opus\",FRAME-RATE=29.9701", "three decimal places"),
            ("BANDWIDTH=1,CODECS=\"opus\",NAME=\"a\"", "NAME is not known"),
        ];
        for (attributes, found) in bad {
            let faults = faults(attributes);
            assert!(faults.contains(found), "{attributes}: {faults:?}");
        }
    }

    #[test]
    fn the_structure_is_checked() {
        let one = "#EXT-X-STREAM-INF:BANDWIDTH=1\n";
        for (text, found) in [
            (format!("#EXTM3U\n{one}"), "no address"),
            (format!("#EXTM3U\n{one}{one}a.m3u8\n"), "an address must follow"),
            ("#EXTM3U\na.m3u8\n".to_owned(), "no EXT-X-STREAM-INF"),
            ("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-VERSION:7\n".to_owned(), "twice"),
            ("#EXTM3U\n#EXTINF:2,\n".to_owned(), "not known"),
            (format!("{one}a.m3u8\n"), "#EXTM3U"),
        ] {
            let fault = Multivariant::parse(&text).unwrap_err();
            assert!(fault.contains(found), "{text:?}: {fault}");
        }
        assert_eq!(Multivariant::parse("#EXTM3U\n").unwrap().faults().len(), 1);
    }
}
