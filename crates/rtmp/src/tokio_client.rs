//! The client sessions over tokio streams: the feature `tokio`.
//!
//! Generic over the stream, so that TCP, TLS and in-memory pipes serve alike; name resolution,
//! connecting and TLS are the caller's. Only [`crate::client::Session`] knows the protocol.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, timeout, timeout_at};

use crate::client::{Config, Event, Session};
use crate::url::Target;

/// How much is read at once: a key frame in a few reads, and little for an idle connection.
const READ_BUFFER: usize = 32 << 10;

/// Why a client ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The server broke the protocol, refused, or was too slow.
    #[error(transparent)]
    Protocol(#[from] crate::Error),
}

/// Publishes to `target` over `io`; returns when media can be sent.
///
/// # Errors
/// If the connection fails, or the server refuses or takes longer than the configured time.
pub async fn connect_push<Io>(
    io: Io,
    target: Target,
    config: Config,
    seed: u64,
) -> Result<Pusher<Io>, Error>
where
    Io: AsyncRead + AsyncWrite,
{
    let patience = config.idle_timeout;
    let session = Session::push(target, config, seed, now());
    Ok(Pusher { driver: Driver::start(io, session, patience).await? })
}

/// Plays from `target` over `io`; returns when the server has begun.
///
/// # Errors
/// If the connection fails, or the server refuses or takes longer than the configured time.
pub async fn connect_pull<Io>(
    io: Io,
    target: Target,
    config: Config,
    seed: u64,
) -> Result<Puller<Io>, Error>
where
    Io: AsyncRead + AsyncWrite,
{
    let patience = config.idle_timeout;
    let session = Session::pull(target, config, seed, now());
    Ok(Puller { driver: Driver::start(io, session, patience).await? })
}

/// A publication.
#[derive(Debug)]
pub struct Pusher<Io> {
    driver: Driver<Io>,
}

impl<Io: AsyncRead + AsyncWrite> Pusher<Io> {
    /// Sends audio: an FLV tag body.
    ///
    /// # Errors
    /// If the connection fails, or the server ends the publication or takes nothing.
    pub async fn send_audio(&mut self, timestamp: u32, payload: &[u8]) -> Result<(), Error> {
        self.driver.session.send_audio(timestamp, payload)?;
        self.deliver().await
    }

    /// Sends video: an FLV tag body.
    ///
    /// # Errors
    /// As [`send_audio`](Self::send_audio).
    pub async fn send_video(&mut self, timestamp: u32, payload: &[u8]) -> Result<(), Error> {
        self.driver.session.send_video(timestamp, payload)?;
        self.deliver().await
    }

    /// Sends script data: AMF0 values; metadata begins with `@setDataFrame`.
    ///
    /// # Errors
    /// As [`send_audio`](Self::send_audio).
    pub async fn send_data(&mut self, timestamp: u32, payload: &[u8]) -> Result<(), Error> {
        self.driver.session.send_data(timestamp, payload)?;
        self.deliver().await
    }

    /// Ends the publication in due form and closes the connection.
    ///
    /// # Errors
    /// If the connection fails.
    pub async fn finish(mut self) -> Result<(), Error> {
        self.driver.finish().await
    }

    async fn deliver(&mut self) -> Result<(), Error> {
        self.driver.flush().await?;
        self.driver.read_what_is_there().await?;
        while let Some(event) = self.driver.session.poll_event() {
            if let Event::Refused { code, description } = event {
                return Err(crate::Error::Refused { code, description }.into());
            }
        }
        self.driver.flush().await
    }
}

/// A stream that is played.
#[derive(Debug)]
pub struct Puller<Io> {
    driver: Driver<Io>,
}

impl<Io: AsyncRead + AsyncWrite> Puller<Io> {
    /// The next media, status or end; `None` when the server has closed the connection. May be
    /// dropped and called again.
    ///
    /// # Errors
    /// If the connection fails, or the server breaks the protocol or falls silent.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        self.driver.event().await
    }

    /// Ends playing in due form and closes the connection.
    ///
    /// # Errors
    /// If the connection fails.
    pub async fn finish(mut self) -> Result<(), Error> {
        self.driver.finish().await
    }
}

/// A session and its connection.
#[derive(Debug)]
struct Driver<Io> {
    read: ReadHalf<Io>,
    write: WriteHalf<Io>,
    session: Session,
    buffer: Vec<u8>,
    /// What the session wants sent; kept here so that a dropped future loses nothing.
    unsent: bytes::Bytes,
    /// How long the server may take nothing.
    patience: Duration,
}

impl<Io: AsyncRead + AsyncWrite> Driver<Io> {
    /// Leads the session to its goal.
    async fn start(io: Io, session: Session, patience: Duration) -> Result<Self, Error> {
        let (read, write) = tokio::io::split(io);
        let (buffer, unsent) = (vec![0; READ_BUFFER], bytes::Bytes::new());
        let mut driver = Self { read, write, session, buffer, unsent, patience };
        loop {
            match driver.event().await? {
                Some(Event::Ready { .. }) => return Ok(driver),
                Some(Event::Refused { code, description }) => {
                    return Err(crate::Error::Refused { code, description }.into());
                }
                Some(_) => {}
                None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            }
        }
    }

    async fn event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let is_open = self.write_and_read().await?;
            if let Some(event) = self.session.poll_event() {
                return Ok(Some(event));
            }
            if !is_open {
                return Ok(None);
            }
            let read = self.read.read(&mut self.buffer);
            let len = match self.session.poll_timeout() {
                None => read.await?,
                Some(at) => match timeout_at(Instant::from_std(at), read).await {
                    Ok(len) => len?,
                    Err(_) => {
                        self.session.handle_timeout(now())?;
                        continue;
                    }
                },
            };
            if len == 0 {
                return Ok(None);
            }
            self.take(len)?;
        }
    }

    /// Hands the bytes just read to the session.
    fn take(&mut self, len: usize) -> Result<(), crate::Error> {
        self.session.handle_input(self.buffer.get(..len).unwrap_or_default(), now())
    }

    /// Writes what the session wants sent.
    async fn flush(&mut self) -> Result<(), Error> {
        match self.write_and_read().await? {
            true => Ok(()),
            false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// Writes what the session wants sent; reads meanwhile, since a server may stop reading
    /// until its own bytes are taken. `false` if the server has closed the connection: what it has
    /// said before may still be to be heard.
    async fn write_and_read(&mut self) -> Result<bool, Error> {
        loop {
            if self.unsent.is_empty() {
                match self.session.poll_transmit() {
                    Some(bytes) => self.unsent = bytes,
                    None => return Ok(true),
                }
            }
            let exchange = async {
                tokio::select! {
                    written = self.write.write_buf(&mut self.unsent) => written.map(Exchange::Written),
                    read = self.read.read(&mut self.buffer) => read.map(Exchange::Read),
                }
            };
            let exchanged = match timely(self.patience, exchange).await {
                // It was closed while we were about to say something.
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Ok(false);
                }
                exchanged => exchanged?,
            };
            match exchanged {
                Exchange::Written(0) => {
                    return Err(io::Error::from(io::ErrorKind::WriteZero).into());
                }
                Exchange::Read(0) => return Ok(false),
                Exchange::Written(_) => {}
                Exchange::Read(len) => self.take(len)?,
            }
        }
    }

    /// Reads without waiting: acknowledgements and pings of a server that is published to.
    async fn read_what_is_there(&mut self) -> Result<(), Error> {
        loop {
            let len = tokio::select! {
                biased;
                read = self.read.read(&mut self.buffer) => read?,
                () = std::future::ready(()) => return Ok(()),
            };
            if len == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.take(len)?;
        }
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.session.finish()?;
        self.flush().await?;
        timely(self.patience, self.write.shutdown()).await
    }
}

enum Exchange {
    Written(usize),
    Read(usize),
}

/// Bounds an operation that depends on the peer.
async fn timely<T>(
    patience: Duration,
    operation: impl Future<Output = io::Result<T>>,
) -> Result<T, Error> {
    match timeout(patience, operation).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(crate::Error::TimedOut("waiting for the server to take bytes").into()),
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
