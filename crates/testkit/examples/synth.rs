//! Writes a synthetic programme as an FLV file to the standard output, for a look with a player:
//! `cargo run -p headwater-testkit --example synth -- 10 3 1000000 > out.flv` is ten seconds with
//! three B frames at 1 Mbit/s.

use std::io::{self, Write};

use headwater_testkit::Programme;

fn main() -> io::Result<()> {
    let mut numbers = std::env::args().skip(1).map_while(|text| text.parse::<u32>().ok());
    let seconds = numbers.next().unwrap_or(10);
    let b_frames = numbers.next().unwrap_or(0);
    let mut programme = Programme::live(numbers.next().unwrap_or(1_000_000));
    if let Some(video) = &mut programme.video {
        video.b_frames = b_frames;
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    out.write_all(b"FLV\x01\x05\0\0\0\x09\0\0\0\0")?;
    for item in programme.config() {
        out.write_all(&item.flv_tag())?;
    }
    for item in programme.items().take_while(|item| item.time < u64::from(seconds) * 1000) {
        out.write_all(&item.flv_tag())?;
    }
    out.flush()
}
