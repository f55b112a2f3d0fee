//! Files of HTTP servers, one after the other over the same connection where that is possible.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ::hls::client::Span;
use bytes::{Bytes, BytesMut};
use hub::{EndReason, Session, Targets};
use net::{Conn, Shard};

use super::requests::{Ask, Body, Failure};
use super::{HttpUrl, MAX_REDIRECTIONS, Remote};

/// How long a file may take to come: that of the longest segments.
const MAX_TIME: Duration = Duration::from_secs(60);

/// Asks one server after the other.
pub(super) struct Fetcher<'a> {
    shard: &'a Rc<Shard>,
    pub(super) session: &'a Session,
    pub(super) remote: &'a Remote,
    kept: Option<(Server, Conn)>,
    /// Whether the playlist is on a public server, which may not send us into our own networks.
    public: bool,
}

/// Host, port, whether TLS is spoken.
type Server = (String, u16, bool);

fn server(url: &HttpUrl) -> Server {
    (url.host.clone(), url.port, url.secure)
}

impl<'a> Fetcher<'a> {
    /// For the files of a playlist that the session has read at this address.
    pub(super) fn new(
        shard: &'a Rc<Shard>,
        session: &'a Session,
        remote: &'a Remote,
        playlist: &HttpUrl,
    ) -> Self {
        let named = playlist.host.parse::<IpAddr>().ok();
        let public = match session.peer() {
            Some(peer) => Targets::Public.admit(peer.ip()),
            None => named.is_none_or(|ip| Targets::Public.admit(ip)),
        };
        Self { shard, session, remote, kept: None, public }
    }

    /// Fetches a file, or a part of it; where it was found, after redirections. A longer one than
    /// `most` bytes is refused.
    pub(super) async fn fetch(
        &mut self,
        mut url: HttpUrl,
        span: Option<Span>,
        most: usize,
    ) -> Result<(HttpUrl, Bytes), Failure> {
        let range = span.map(|span| {
            let last = span.offset.saturating_add(span.length).saturating_sub(1);
            format!("bytes={}-{last}", span.offset)
        });
        let extra: Vec<_> = range.as_deref().map(|range| ("Range", range)).into_iter().collect();
        for _ in 0..=MAX_REDIRECTIONS {
            let (shard, session, remote) = (self.shard, self.session, self.remote);
            let kept = self.kept.take().filter(|(known, _)| *known == server(&url));
            let is_kept = kept.is_some();
            let mut conn = match kept {
                Some((_, conn)) => conn,
                None => self.connect(&url).await?,
            };
            let asked = Ask::More.of(shard, session, remote, &mut conn, &url, &extra).await;
            let (response, rest) = match asked {
                // The server has closed it meanwhile.
                Err(EndReason::PeerClosed | EndReason::Io(_)) if is_kept => {
                    conn = self.connect(&url).await?;
                    Ask::More.of(shard, session, remote, &mut conn, &url, &extra).await?
                }
                asked => asked?,
            };
            if let Some(location) = response.redirect() {
                url = url.join(location).map_err(|error| EndReason::Refused(error.to_string()))?;
                continue;
            }
            let (status, keeps_alive) = (response.status().code(), response.keeps_alive());
            let mut body = Body::of(&response, conn, false, rest);
            if !matches!(status, 200 | 206) {
                return Err(body.refusal(shard, session, remote, status).await);
            }
            let bytes = self.whole(&mut body, most).await?;
            if keeps_alive {
                self.kept = body.into_conn().map(|conn| (server(&url), conn));
            }
            return Ok((url, cut(bytes, span, status)?));
        }
        let text = format!("the server sent us elsewhere more than {MAX_REDIRECTIONS} times");
        Err(EndReason::Refused(text).into())
    }

    async fn whole(&self, body: &mut Body, most: usize) -> Result<Bytes, EndReason> {
        let limit = Instant::now() + MAX_TIME;
        let mut bytes = BytesMut::new();
        loop {
            let until = limit.min(Instant::now() + self.remote.patience);
            let mut take = |more: &[u8]| bytes.extend_from_slice(more);
            if !body.next(self.shard, self.session, until, &mut take).await? {
                break;
            }
            if bytes.len() > most {
                return Err(EndReason::Refused(format!("a file has more than {most} bytes")));
            }
            if body.is_over() {
                break;
            }
        }
        if body.is_cut() { Err(EndReason::PeerClosed) } else { Ok(bytes.freeze()) }
    }

    async fn connect(&self, url: &HttpUrl) -> Result<Conn, EndReason> {
        let conn =
            super::connect(self.session, self.remote, &url.host, url.port, url.secure).await?;
        let peer = conn.peer_addr()?;
        if self.public && !Targets::Public.admit(peer.ip()) {
            let text = format!("a public playlist leads to {}, in a private network", peer.ip());
            return Err(EndReason::Refused(text));
        }
        Ok(conn)
    }
}

/// The part that was asked for, where a server sends the whole file.
fn cut(bytes: Bytes, span: Option<Span>, status: u16) -> Result<Bytes, EndReason> {
    let Some(span) = span.filter(|_| status == 200) else { return Ok(bytes) };
    let start = usize::try_from(span.offset).ok();
    let end = usize::try_from(span.offset.saturating_add(span.length)).ok();
    match start.zip(end) {
        Some((start, end)) if end <= bytes.len() => Ok(bytes.slice(start..end)),
        _ => Err(EndReason::Protocol("a part of a file lies beyond its end".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_cut_from_a_whole_file() {
        let file = Bytes::from_static(b"0123456789");
        let span = |offset, length| Some(Span { offset, length });
        assert_eq!(cut(file.clone(), span(2, 3), 200), Ok(Bytes::from_static(b"234")));
        assert_eq!(cut(file.clone(), span(2, 3), 206), Ok(file.clone()));
        assert_eq!(cut(file.clone(), None, 200), Ok(file.clone()));
        assert!(cut(file.clone(), span(8, 3), 200).is_err());
        assert!(cut(file, span(u64::MAX, 3), 200).is_err());
    }
}
