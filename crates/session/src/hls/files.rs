//! Segments and playlists as files: `playlist.m3u8` with the newest segments, `record.m3u8` with
//! all, for players and servers of files.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::hls::playlist::{self, Form};
use ::hls::{Init, Segment, name};
use hub::{Event, StreamName, Template, events};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::live::Published;
use crate::context::Context;

/// What becomes of files that are old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cleanup {
    /// They stay.
    #[default]
    Never,
    /// They go some time after the stream has ended.
    AfterEnd,
    /// Segments go when they have left the playlist, and there is no `record.m3u8`; the rest goes
    /// after the stream has ended.
    Rolling,
}

/// Rules of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSettings {
    /// The folder of a stream.
    pub folder: Template,
    /// What becomes of them.
    pub cleanup: Cleanup,
}

impl Default for FileSettings {
    fn default() -> Self {
        Self { folder: Template::fixed("record/hls/{path}"), cleanup: Cleanup::Never }
    }
}

impl FileSettings {
    /// The folder of a stream: that of its whole life, so it has no time in it.
    pub(super) fn folder(&self, name: &StreamName) -> PathBuf {
        self.folder.path(name, SystemTime::UNIX_EPOCH)
    }
}

/// The playlist of all segments.
pub(super) const RECORD: &str = "record.m3u8";
const PLAYLIST: &str = "playlist.m3u8";
const END: &str = "#EXT-X-ENDLIST\n";
const MAP: &str = "#EXT-X-MAP:URI=\"";

/// Writes what is published until the stream ends. Returns what was written, to be removed as the
/// rules say. A failure ends the files, not the stream.
pub(super) async fn write(
    context: Arc<Context>,
    name: StreamName,
    settings: FileSettings,
    mut published: mpsc::Receiver<Arc<Published>>,
) -> Option<Files> {
    let folder = settings.folder(&name);
    let mut files = Files {
        context,
        name: name.clone(),
        folder: folder.clone(),
        cleanup: settings.cleanup,
        next: None,
        begun: None,
        init: None,
        inits: Vec::new(),
        written: Vec::new(),
        earlier: Vec::new(),
        record: None,
    };
    while let Some(now) = published.recv().await {
        let work = move || {
            let result = files.update(&now);
            (files, result)
        };
        let (back, result) = spawn_blocking(work).await.ok()?;
        files = back;
        if let Err(error) = result {
            error!(
                stream = %name, folder = %folder.display(), %error,
                "HLS files ended: make room or let the server write there; the stream goes on, and \
                 has files again from its next publisher on"
            );
            return None;
        }
    }
    info!(stream = %name, folder = %folder.display(), segments = files.written.len(), "recorded");
    Some(files)
}

/// What was written of a stream.
pub(super) struct Files {
    context: Arc<Context>,
    name: StreamName,
    folder: PathBuf,
    cleanup: Cleanup,
    /// The number of the next segment.
    next: Option<u64>,
    /// The number of the last segment that was told to have begun.
    begun: Option<u64>,
    init: Option<Arc<Init>>,
    /// The files of initialisation sections, and of segments that are there, the oldest first.
    inits: Vec<String>,
    written: Vec<String>,
    /// The files of earlier runs that the playlist of all segments names: they go with ours.
    earlier: Vec<String>,
    record: Option<Record>,
}

impl Files {
    /// Removes what the rules do not keep, after a while.
    pub(super) async fn clean_up(self, linger: Duration) {
        if self.cleanup != Cleanup::Never {
            sleep(linger).await;
            // Whoever writes there by then has segments of other names.
            let _ = spawn_blocking(move || self.remove_all()).await;
        }
    }

    fn update(&mut self, now: &Published) -> io::Result<()> {
        let next = self.next.unwrap_or(0);
        let fresh: Vec<_> =
            now.window.segments().filter(|segment| segment.number >= next).cloned().collect();
        if fresh.is_empty() && !now.window.has_ended() {
            self.tell_begun(now.window.open());
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        for segment in &fresh {
            if self.next.is_some_and(|next| next < segment.number) {
                warn!(folder = %self.folder.display(), "the disk is too slow: segments are missing");
            }
            self.tell_begun(Some(segment));
            self.segment(segment)?;
            self.next = Some(segment.number + 1);
        }
        if now.window.has_playlist() {
            replace(&self.folder.join(PLAYLIST), &now.window.playlist(Form::Plain, ""))?;
        }
        if self.cleanup == Cleanup::Rolling {
            let kept = now.window.segments().count();
            let old = self.written.len().saturating_sub(kept);
            for file in self.written.drain(..old) {
                remove(&self.folder.join(file))?;
            }
            let is_needed = |file: &String| {
                now.window
                    .segments()
                    .any(|s| s.init.as_ref().is_some_and(|init| init.file == *file))
            };
            let (kept, old): (Vec<_>, Vec<_>) = self.inits.drain(..).partition(is_needed);
            self.inits = kept;
            for file in old {
                remove(&self.folder.join(file))?;
            }
        } else {
            self.record(now, &fresh)?;
        }
        // They are in the playlists now.
        fresh.iter().for_each(|segment| self.tell(segment, true));
        self.tell_begun(now.window.open());
        Ok(())
    }

    /// Tells once that a segment has begun; its file is there when it is complete.
    fn tell_begun(&mut self, segment: Option<&Segment>) {
        let Some(segment) = segment else { return };
        if self.begun.is_none_or(|begun| begun < segment.number) {
            self.begun = Some(segment.number);
            self.tell(segment, false);
        }
    }

    fn tell(&self, segment: &Segment, complete: bool) {
        let path = |file: &str| self.folder.join(file).display().to_string();
        let is_kept = self.cleanup != Cleanup::Rolling;
        let micros =
            segment.duration().unsigned_abs() * 1_000_000 / ::hls::TIMESCALE.unsigned_abs();
        let length = Duration::from_micros(micros);
        self.context.events.emit(&Event::Segment(events::Segment {
            stream: self.name.clone(),
            complete,
            file: path(&segment.file()),
            live_playlist: path(PLAYLIST),
            record_playlist: if is_kept { path(RECORD) } else { String::new() },
            number: segment.number,
            duration: if complete { length } else { Duration::ZERO },
        }));
    }

    /// Writes a segment, and what a player needs before it.
    fn segment(&mut self, segment: &Segment) -> io::Result<()> {
        if let Some(init) = &segment.init
            && self.init.as_ref() != Some(init)
        {
            fs::write(self.folder.join(&init.file), &init.bytes)?;
            self.init = Some(init.clone());
            self.inits.push(init.file.clone());
        }
        let file = segment.file();
        let mut out = fs::File::create(self.folder.join(&file))?;
        for part in &segment.parts {
            out.write_all(&part.bytes)?;
        }
        self.written.push(file);
        Ok(())
    }

    fn record(&mut self, now: &Published, fresh: &[Arc<Segment>]) -> io::Result<()> {
        let target = now.window.target();
        if self.record.is_none() && !fresh.is_empty() {
            let (record, earlier) = Record::open(&self.folder.join(RECORD), target)?;
            (self.record, self.earlier) = (Some(record), earlier);
        }
        let Some(record) = &mut self.record else { return Ok(()) };
        for segment in fresh {
            record.append(segment)?;
        }
        if now.window.has_ended() { record.end() } else { Ok(()) }
    }

    /// Removes everything that was written, and the folder if nothing else is in it.
    fn remove_all(&self) {
        let is_last = match self.cleanup {
            Cleanup::Rolling => self.is_last_in(PLAYLIST),
            // Another run goes on with the list, and removes what is in it when it is over.
            _ if !self.is_last_in(RECORD) => return,
            _ => true,
        };
        let lists = [PLAYLIST, RECORD].into_iter().map(str::to_owned).filter(|_| is_last);
        let media = [&self.earlier, &self.written, &self.inits].into_iter().flatten().cloned();
        for file in media.chain(lists) {
            if let Err(error) = remove(&self.folder.join(&file)) {
                warn!(folder = %self.folder.display(), file, %error, "cannot remove");
            }
        }
        // Fails while anything is in it, as it should.
        let _ = fs::remove_dir(&self.folder);
    }

    /// Whether a playlist ends with our last segment: no later run has its own in it.
    fn is_last_in(&self, list: &str) -> bool {
        let text = fs::read_to_string(self.folder.join(list)).unwrap_or_default();
        let last = text.lines().rfind(|line| !line.is_empty() && !line.starts_with('#'));
        last.is_none_or(|last| self.written.last().is_some_and(|own| name::escape(own) == last))
    }
}

/// Whether a stream's playlist of all segments, which another run has left, has fragmented MP4.
pub(super) async fn has_fmp4(settings: &FileSettings, name: &StreamName) -> bool {
    if settings.cleanup == Cleanup::Rolling {
        return false;
    }
    let path = settings.folder(name).join(RECORD);
    let text = tokio::fs::read_to_string(path).await.unwrap_or_default();
    text.lines().any(|line| line.starts_with(MAP))
}

/// The playlist that only grows (HLS §4.4.3.5).
struct Record {
    file: fs::File,
    init: Option<Arc<Init>>,
    begun: bool,
}

impl Record {
    /// Opens the playlist, or goes on with one that an earlier run has left, whose files are told.
    fn open(path: &Path, target: i64) -> io::Result<(Self, Vec<String>)> {
        let old = match fs::read_to_string(path) {
            Ok(text) if text.starts_with("#EXTM3U") => Some(text),
            Ok(_) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let (target, entries) = match &old {
            None => (target, String::new()),
            Some(text) => {
                let known = text.lines().find_map(|line| {
                    line.strip_prefix("#EXT-X-TARGETDURATION:").and_then(|value| value.parse().ok())
                });
                // The head ends with the numbers; a line that a kill has cut ends the rest.
                let body = text.split_once(HEAD_END).map_or("", |(_, body)| body);
                let whole = body.rfind(".ts\n").max(body.rfind(".m4s\n"));
                let end = whole.and_then(|at| Some(at + body.get(at..)?.find('\n')? + 1));
                let body = body.get(..end.unwrap_or(0)).unwrap_or_default();
                (known.unwrap_or(target).max(target), body.to_owned())
            }
        };
        let head = format!(
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target}\n\
             #EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MEDIA-SEQUENCE:0\n{HEAD_END}"
        );
        replace(path, &format!("{head}{entries}"))?;
        let file = OpenOptions::new().append(true).open(path)?;
        let named = entries.lines().filter_map(|line| match line.strip_prefix(MAP) {
            Some(rest) => rest.split('"').next(),
            None => (!line.is_empty() && !line.starts_with('#')).then_some(line),
        });
        let earlier = named.filter_map(name::unescape).filter(|name| !name.contains('/')).collect();
        Ok((Self { file, init: None, begun: entries.is_empty() }, earlier))
    }

    fn append(&mut self, segment: &Arc<Segment>) -> io::Result<()> {
        let mut out = String::new();
        if !std::mem::replace(&mut self.begun, true) && !segment.discontinuity {
            // Another run wrote what is before it.
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        playlist::append(&mut out, segment, self.init.as_ref());
        self.init.clone_from(&segment.init);
        // In one piece, so that nobody reads half a line.
        self.file.write_all(out.as_bytes())
    }

    fn end(&mut self) -> io::Result<()> {
        self.file.write_all(END.as_bytes())
    }
}

/// The last line of the head of a record playlist.
const HEAD_END: &str = "#EXT-X-DISCONTINUITY-SEQUENCE:0\n";

/// Puts a text in the place of another at once.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".part");
    fs::write(&partial, text)?;
    fs::rename(&partial, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ::hls::{Container, Rendition, Resume, Settings};
    use bytes::Bytes;
    use hub::{Registry, StreamSettings};
    use media::{Codec, Frame, FrameKind, Ticks, TimeBase, Track, TrackId, TrackSet, inspect};
    use testkit::h264;

    use super::*;

    /// Pictures of this width.
    fn tracks(width: u32) -> Arc<TrackSet> {
        let sequence = h264::Sequence { width, height: 64, rate: (25, 1), reorders: false };
        let (id, codec, config) = (TrackId::video(0), Codec::H264, sequence.avcc());
        let details = inspect::details(codec, &config).expect("a configuration");
        let time_base = TimeBase::VIDEO;
        let track =
            Track { id, codec, time_base, config, color_info: None, enhanced: false, details };
        Arc::new(TrackSet { epoch: 1, tracks: vec![Arc::new(track)], ..TrackSet::default() })
    }

    /// What is published of pictures that change their size after three seconds, up to their end.
    fn run(resume: Resume) -> (Vec<Published>, Resume) {
        let settings = Settings { container: Container::Fmp4, ..Settings::default() };
        let mut rendition = Rendition::resuming("cam", settings, resume);
        rendition.set_tracks(&tracks(64), 1);
        let mut out = Vec::new();
        let publish = |rendition: &Rendition| {
            let mut published = Published::default();
            published.window = rendition.window().clone();
            published
        };
        for n in 0..=200i64 {
            if n == 75 {
                rendition.set_tracks(&tracks(128), 1);
            }
            let frame = Frame {
                track: TrackId::video(0),
                kind: if n % 25 == 0 { FrameKind::Key } else { FrameKind::Delta },
                dts: Ticks::from_millis(n * 40, TimeBase::VIDEO),
                cts: 0,
                arrival: Instant::now(),
                data: Bytes::from_static(&[0, 0, 0, 2, 0x65, 0x88]),
                units: std::iter::once(4..6).collect(),
            };
            let unix_ms = 1_700_000_000_000 + i64::try_from(resume.number).expect("few") * 9_000;
            if rendition.push(&frame, unix_ms + n * 40) == ::hls::Outcome::Segment {
                out.push(publish(&rendition));
            }
        }
        rendition.end();
        out.push(publish(&rendition));
        (out, rendition.resume())
    }

    fn files(folder: &Path, cleanup: Cleanup) -> Files {
        let settings = Arc::new(StreamSettings::default());
        let registry = Registry::new(Arc::new(move |_| settings.clone()), 9);
        let context = Context::new(registry, crate::Settings::default());
        let name = context.settings.load().stream_name("live", "cam").expect("a name");
        Files {
            context,
            name,
            folder: folder.to_owned(),
            cleanup,
            next: None,
            init: None,
            inits: Vec::new(),
            written: Vec::new(),
            earlier: Vec::new(),
            record: None,
            begun: None,
        }
    }

    /// The files that a playlist names, and whether all are there.
    fn named(folder: &Path, list: &str) -> (usize, bool) {
        let text = fs::read_to_string(folder.join(list)).expect("a playlist");
        let mut names = text.lines().filter_map(|line| match line.strip_prefix(MAP) {
            Some(rest) => rest.split('"').next(),
            None => (!line.starts_with('#')).then_some(line),
        });
        let (mut count, mut all) = (0, true);
        names.by_ref().for_each(|name| {
            count += 1;
            all &= folder.join(name).exists();
        });
        (count, all)
    }

    #[test]
    fn a_run_that_is_gone_on_with_leaves_its_files_to_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("cam");
        let (first, resume) = run(Resume::default());
        let (second, _) = run(resume);
        let mut before = files(&folder, Cleanup::AfterEnd);
        first.iter().for_each(|now| before.update(now).expect("files"));
        let (count, all) = named(&folder, RECORD);
        assert!(count > 5 && all);
        let mut after = files(&folder, Cleanup::AfterEnd);
        after.update(&second[0]).expect("files");
        before.remove_all();
        let (longer, all) = named(&folder, RECORD);
        assert!(longer > count && all, "what the list names is there");
        second.iter().for_each(|now| after.update(now).expect("files"));
        before.remove_all();
        assert!(named(&folder, RECORD).1 && named(&folder, PLAYLIST).1);
        // Those of the run before too, and each section.
        after.remove_all();
        assert!(!folder.exists());
    }

    #[test]
    fn rolling_files_leave_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("cam");
        let (first, resume) = run(Resume::default());
        let (second, _) = run(resume);
        let mut before = files(&folder, Cleanup::Rolling);
        first.iter().for_each(|now| before.update(now).expect("files"));
        let mut after = files(&folder, Cleanup::Rolling);
        after.update(&second[0]).expect("files");
        before.remove_all();
        assert!(named(&folder, PLAYLIST).1);
        second.iter().for_each(|now| after.update(now).expect("files"));
        after.remove_all();
        assert!(!folder.exists());
    }
}
