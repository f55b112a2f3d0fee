//! What viewers get by HTTP requests that end: HLS, the page, and everything else on a connection
//! that is kept.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use session::{Hls, http::is_live};

/// Serves HLS, and otherwise what `page` does.
///
/// Connections are kept for HLS alone: the next request after another may be for endless media,
/// which is not served here.
pub(crate) fn router(hls: Arc<Hls>, page: Router) -> Router {
    page.layer(middleware::from_fn(move |request, next| answer(hls.clone(), request, next)))
}

async fn answer(hls: Arc<Hls>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if hls.serves(path) {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        let Some(peer) = peer else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
        let (parts, _body) = request.into_parts();
        return hls.answer(&parts, peer).await.map(|pieces| Body::new(Pieces(pieces.into())));
    }
    let mut response = if is_live(path, hls.context()) {
        // A new connection is handed to those who serve endless media.
        // Slashes at the beginning would name another host.
        let asked = request.uri().path_and_query().map_or("/", |asked| asked.as_str());
        let location = format!("/{}", asked.trim_start_matches('/'));
        (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    // Pages anywhere may play, and read why they cannot.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// What is neither media nor a page.
pub(crate) async fn nothing_here() -> Response {
    let text = "there is nothing here: media is at /APP/NAME.flv, .ts and .mp4 and below hls.prefix \
                (/hls/ unless it is set), the operator's page and API on the port of api.listen \
                (8083 unless it is set)\n";
    (StatusCode::NOT_FOUND, text).into_response()
}

/// A body in memory, in pieces.
struct Pieces(VecDeque<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}
