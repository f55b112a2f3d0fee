//! Devices of GB/T 28181, as `tests/peers/gb_device.py` plays them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::{Frames, PATIENCE, Program, ffmpeg, material, program, python, root};

/// What a device sends: the elementary streams of a file, and the times of its pictures.
pub struct Elementary {
    folder: TempDir,
    video: &'static str,
    audio: Option<&'static str>,
    /// The frames of the file, as a viewer should see them.
    pub sent: Frames,
}

impl Elementary {
    /// Takes a file of `scripts/material` apart. `codec` is `h264` or `hevc`; `audio` is `aac`, `alaw`
    /// or `ulaw`, or nothing.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn of(file: &str, codec: &str, audio: Option<&'static str>) -> Self {
        let file = material(file).display().to_string();
        let folder = tempfile::tempdir().expect("a folder");
        let (video, filter) = match codec {
            "hevc" => ("video.h265", "hevc_mp4toannexb"),
            _ => ("video.h264", "h264_mp4toannexb"),
        };
        let path = |name: &str| folder.path().join(name).display().to_string();
        let container = if codec == "hevc" { "hevc" } else { "h264" };
        let out = path(video);
        ffmpeg(&format!("-i {file} -map 0:v -c copy -bsf:v {filter} -f {container} {out}"))
            .finish();
        let audio = audio.map(|kind| match kind {
            "alaw" => ("audio.alaw", "alaw"),
            "ulaw" => ("audio.ulaw", "mulaw"),
            _ => ("audio.aac", "adts"),
        });
        if let Some((name, container)) = audio {
            let out = path(name);
            ffmpeg(&format!("-i {file} -map 0:a -c copy -f {container} {out}")).finish();
        }
        let fields = "-v error -select_streams v -show_entries packet=pts_time,dts_time -of json";
        let probe = program("ffprobe", fields.split(' ').chain([file.as_str()])).finish();
        let probe: Value = serde_json::from_str(&probe).expect("JSON");
        let millis = |value: &Value| {
            let seconds: f64 = value.as_str().expect("a time").parse().expect("a number");
            seconds * 1000.0
        };
        let packets = probe["packets"].as_array().expect("packets").iter();
        let times: Vec<_> =
            packets.map(|p| [millis(&p["pts_time"]), millis(&p["dts_time"])]).collect();
        let json = serde_json::to_string(&times).expect("JSON");
        std::fs::write(folder.path().join("times.json"), json).expect("a file");
        let sent = Frames::parse(&Frames::reader(&format!("-i {file}"), codec, false).finish());
        Self { folder, video, audio: audio.map(|(name, _)| name), sent }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The file of its sound.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn audio(&self) -> PathBuf {
        self.path(self.audio.expect("sound"))
    }

    /// The command line of a device that sends this; `mode` as for [`device`].
    #[must_use]
    pub fn command(&self, mode: &str, arguments: &str) -> String {
        let python = root().join(".cache/venv/bin/python").display().to_string();
        let script = root().join("tests/peers/gb_device.py").display().to_string();
        let all =
            [python, script, mode.to_owned(), self.arguments().join(" "), arguments.to_owned()];
        all.join(" ")
    }

    fn arguments(&self) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let mut all = vec!["--video".to_owned(), text(&self.path(self.video))];
        all.extend(["--times".to_owned(), text(&self.path("times.json"))]);
        if self.audio.is_some() {
            all.extend(["--audio".to_owned(), text(&self.audio())]);
        }
        all
    }
}

/// Starts a device that sends `material`, over and over. `mode` is what the script calls it (`send`,
/// `listen`, or nothing for one that is called by SIP); `arguments` are separated by blanks.
///
/// # Panics
/// When the script does not start.
#[must_use]
pub fn device(mode: &str, material: &Elementary, arguments: &str) -> Program {
    let own = material.arguments();
    let all = mode.split_whitespace().chain(own.iter().map(String::as_str));
    let all: Vec<_> = all.chain(arguments.split_whitespace()).collect();
    python("gb_device.py", &all)
}

/// What a device has told so far.
#[must_use]
pub fn events(device: &Program) -> Vec<Value> {
    device.stdout().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Waits until a device tells of an event, and returns the first one of its name.
///
/// # Panics
/// When it does not in time.
#[must_use]
pub fn wait_for_event(device: &Program, name: &str) -> Value {
    let start = Instant::now();
    loop {
        let found = events(device).into_iter().find(|event| event["event"] == name);
        if let Some(event) = found {
            return event;
        }
        let told = device.stdout();
        assert!(start.elapsed() < PATIENCE, "the device does not tell of {name}, but:\n{told}");
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
}
