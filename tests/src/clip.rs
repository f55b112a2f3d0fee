//! The clip that most tests send: H.264 with B-frames and AAC, six seconds, over and over.

use crate::{Frames, Program, Server, ffmpeg, material, wait_until};

/// Publishes the clip to an address of RTMP or RTSP.
///
/// # Panics
/// When ffmpeg is missing.
#[must_use]
pub fn publish(url: &str) -> Program {
    let format = if url.starts_with("rtsp") { "rtsp -rtsp_transport tcp" } else { "flv" };
    let file = material("h264-aac.mp4");
    ffmpeg(&format!("-re -stream_loop -1 -i {} -c copy -f {format} {url}", file.display()))
}

/// Publishes the clip to a server over RTMP, and waits until it is there.
///
/// # Panics
/// When it does not come there.
#[must_use]
pub fn on(server: &Server, stream: &str) -> Program {
    // Its API may ask for a token.
    let published = || server.log().lines().filter(|line| is_publication(line, stream)).count();
    let before = published();
    let publisher = publish(&server.url("rtmp", stream));
    wait_until("the clip is there", || published() > before);
    publisher
}

fn is_publication(line: &str, stream: &str) -> bool {
    line.contains("publishes") && line.contains(stream)
}

/// The frames of the clip.
///
/// # Panics
/// When ffmpeg cannot read it.
#[must_use]
pub fn frames() -> Frames {
    read(&material("h264-aac.mp4").display().to_string())
}

/// The frames that are read from a file or an address of the clip.
///
/// # Panics
/// When ffmpeg cannot read it.
#[must_use]
pub fn read(input: &str) -> Frames {
    Frames::parse(&Frames::reader(&format!("-i {input}"), "h264", false).finish())
}

/// What a viewer sees of the clip in two seconds.
///
/// # Panics
/// When ffmpeg cannot play it.
#[must_use]
pub fn seen(url: &str) -> Frames {
    let transport = if url.starts_with("rtsp") { "-rtsp_transport tcp " } else { "" };
    let input = format!("{transport}-t 2 -i {url}");
    Frames::parse(&Frames::reader(&input, "h264", false).finish())
}
