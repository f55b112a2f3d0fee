//! Takes streams in by a protocol of its own: H.264 access units over TCP.
//!
//! A sender connects and sends records: a length of four bytes (big endian), and so many bytes. The
//! first record is the name of the stream; every other one is a time of eight bytes, in
//! microseconds, and an access unit as a byte stream (Annex B).
//!
//! ```sh
//! ffmpeg -i me.mp4 -c:v libx264 -bf 0 me.h264
//! cargo run -p headwater --example own_protocol -- serve
//! cargo run -p headwater --example own_protocol -- send 127.0.0.1:9000 live/me me.h264
//! ffplay http://127.0.0.1:8080/live/me.flv
//! ```

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use headwater::events::Event;
use headwater::media::{Codec, Ticks, TimeBase, h264, nal};
use headwater::publish::{AccessUnit, FrameError, TrackDescription};
use headwater::{Handle, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until, timeout};

/// The longest record: a large key frame.
const MAX_RECORD: usize = 8 << 20;

/// How long a sender may be silent.
const SILENCE: Duration = Duration::from_secs(10);

/// Pictures a second that the sender takes its file to have.
const RATE: u64 = 25;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve"] => serve("127.0.0.1:9000", "127.0.0.1:8080").await,
        ["serve", listen, http] => serve(listen, http).await,
        ["send", address, name, file] => send(address, name, file).await,
        _ => bail!("usage: own_protocol serve [LISTEN HTTP] | send ADDRESS NAME FILE.h264"),
    }
}

/// Takes senders in until interrupted.
async fn serve(listen: &str, http: &str) -> Result<()> {
    let server = Server::builder()
        .http(http)
        .set("stream.grace", "0s")
        .on_event(|event| {
            if let Event::Joined { session, stream, .. } = event {
                println!("{} joined {stream}", session.id);
            }
        })
        .start()?;
    let listener = TcpListener::bind(listen).await?;
    println!("send {}", listener.local_addr()?);
    for at in &server.handle().addresses().http {
        println!("watch http://{at}/live/me.flv");
    }
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            accepted = listener.accept() => {
                let (socket, peer) = accepted?;
                let handle = server.handle().clone();
                tokio::spawn(async move {
                    match take(&handle, socket).await {
                        Ok(()) => println!("{peer} has gone"),
                        Err(error) => println!("{peer}: {error:#}"),
                    }
                });
            }
        }
    }
    server.shutdown().await;
    Ok(())
}

/// Publishes what a sender sends. The stream ends when the connection does, and the connection when
/// somebody ends the stream's session.
async fn take(handle: &Handle, socket: TcpStream) -> Result<()> {
    let mut reader = BufReader::new(socket);
    let name = read(&mut reader).await?.context("no name came")?;
    let publisher = handle.publish(&String::from_utf8(name)?)?;
    let video = publisher.add_track(TrackDescription::new(Codec::H264))?;
    let micros = TimeBase::new(1_000_000).context("a clock")?;
    loop {
        let next = tokio::select! {
            next = timeout(SILENCE, read(&mut reader)) => next.context("nothing came for too long")??,
            reason = publisher.ended() => bail!("the stream is taken away: {reason}"),
        };
        let Some(record) = next else { return Ok(()) };
        let (time, unit) = record.split_first_chunk().context("a record without a time")?;
        let pts = Ticks::new(i64::from_be_bytes(*time), micros);
        match publisher.send(AccessUnit::new(video, pts, unit.to_vec())) {
            Err(FrameError::Ended(reason)) => bail!("the stream is taken away: {reason}"),
            // One picture is lost; the next may be better.
            Err(error) => println!("{error}"),
            Ok(()) => {}
        }
    }
}

/// The next record; `None` if no more come.
async fn read(reader: &mut BufReader<TcpStream>) -> Result<Option<Vec<u8>>> {
    let length = match reader.read_u32().await {
        Ok(length) => usize::try_from(length)?,
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    ensure!(length <= MAX_RECORD, "a record of {length} bytes is too long");
    let mut record = vec![0; length];
    reader.read_exact(&mut record).await?;
    Ok(Some(record))
}

/// Sends the pictures of a file in real time.
async fn send(address: &str, name: &str, file: &str) -> Result<()> {
    let stream = tokio::fs::read(file).await.with_context(|| format!("cannot read {file}"))?;
    let mut socket = TcpStream::connect(address).await?;
    write(&mut socket, &[name.as_bytes()]).await?;
    let start = Instant::now();
    for (number, unit) in (0u64..).zip(access_units(&stream)) {
        let micros = number * 1_000_000 / RATE;
        sleep_until(start + Duration::from_micros(micros)).await;
        write(&mut socket, &[&micros.to_be_bytes(), &unit]).await?;
    }
    Ok(())
}

async fn write(socket: &mut TcpStream, parts: &[&[u8]]) -> Result<()> {
    let record = parts.concat();
    socket.write_u32(u32::try_from(record.len())?).await?;
    Ok(socket.write_all(&record).await?)
}

/// Cuts a byte stream into access units (H.264 §7.4.1.2.3): one begins with the first parameter
/// set, delimiter or supplemental information after a slice, or with the first slice of a picture.
fn access_units(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    // Whether the one in hand has a slice.
    let mut sliced = true;
    for unit in nal::annex_b(stream).filter_map(|span| stream.get(span)) {
        let is_slice = matches!(
            h264::NalType::of(unit),
            Some(h264::NalType::Slice | h264::NalType::Idr | h264::NalType::PartitionA)
        );
        // first_mb_in_slice is zero: one bit that is set.
        let is_first = is_slice && unit.get(1).is_some_and(|byte| byte & 0x80 != 0);
        if sliced && (is_first || !is_slice) {
            all.push(Vec::new());
            sliced = false;
        }
        sliced |= is_slice;
        if let Some(last) = all.last_mut() {
            last.extend([0, 0, 0, 1]);
            last.extend(unit);
        }
    }
    all
}
