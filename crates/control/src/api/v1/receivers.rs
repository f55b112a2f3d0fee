//! Streams that devices send to ports that they were told.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::relays::refused as misnamed;
use super::{Answer, Body, Fault, Params};
use crate::api::Api;
use crate::receivers::{self, ReceiveError, ReceiveOrder};

/// The longest time that nothing may come.
const MAX_TIMEOUT_SECONDS: u32 = 86_400;

/// A stream that is received.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReceiverView {
    /// The stream's path.
    stream: String,
    /// The id of its session, which has its statistics.
    session: String,
    /// `udp`, `tcp` (the device connects), `tcp_active` (the server does) or `shared`.
    transport: &'static str,
    /// The port that the device is to send to; 0 where the server connects.
    port: u16,
    /// The SSRC that was agreed on.
    ssrc: Option<u32>,
    /// The SSRC that the packets have.
    received_ssrc: Option<u32>,
    /// Where they come from.
    peer: Option<String>,
    /// Packets that came.
    packets: u64,
    /// Packets that never came.
    lost: u64,
    /// Packets of somebody else, which were dropped.
    foreign: u64,
    /// Codecs that the device sends and that are not understood.
    left_out: Vec<String>,
}

impl From<receivers::Receiver> for ReceiverView {
    fn from(receiver: receivers::Receiver) -> Self {
        Self {
            stream: receiver.stream.to_string(),
            session: receiver.session.to_string(),
            transport: receiver.transport,
            port: receiver.port,
            ssrc: receiver.ssrc,
            received_ssrc: receiver.received_ssrc,
            peer: receiver.peer.map(|peer| peer.to_string()),
            packets: receiver.packets,
            lost: receiver.lost,
            foreign: receiver.foreign,
            left_out: receiver.left_out,
        }
    }
}

/// All that is received.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Receivers {
    items: Vec<ReceiverView>,
}

fn refused(error: ReceiveError) -> Fault {
    let status = match error {
        ReceiveError::Order(_) => StatusCode::BAD_REQUEST,
        ReceiveError::Occupied(_) | ReceiveError::Taken(_) | ReceiveError::System(_) => {
            StatusCode::CONFLICT
        }
        ReceiveError::TooMany(_) => StatusCode::SERVICE_UNAVAILABLE,
        ReceiveError::Absent => StatusCode::NOT_FOUND,
    };
    Fault::new(status, error.to_string())
}

/// Streams that devices send to ports that they were told (RTP with program streams, as GB/T 28181
/// has it), by path.
#[utoipa::path(get, path = "/api/v1/receivers", responses((status = 200, body = Receivers)))]
pub(super) async fn list(State(api): State<Api>) -> Json<Receivers> {
    let all = api.operations.receivers().into_iter();
    Json(Receivers { items: all.map(ReceiverView::from).collect() })
}

/// What packets travel on: `udp`, `tcp` (the device connects) or `tcp_active` (the server connects
/// to `connect_to`).
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Transport {
    #[default]
    Udp,
    Tcp,
    TcpActive,
}

/// What packets carry: `ps`, or `h264` or `h265` for bare video.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Payload {
    #[default]
    Ps,
    H264,
    H265,
}

/// A stream to receive.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Receive {
    /// The path that the stream gets here.
    stream: String,
    #[serde(default)]
    #[schema(inline)]
    transport: Transport,
    /// The port to listen on; any that is free if it is left out.
    #[schema(minimum = 1, maximum = 65_535)]
    port: Option<u32>,
    /// Whether the packets come to the port that all devices share (`ps.shared_listen`).
    #[serde(default)]
    shared: bool,
    /// The SSRC that was agreed on; on the shared port, streams are told apart by it.
    #[schema(maximum = 4_294_967_295_u32)]
    ssrc: Option<u32>,
    /// Where to connect to: HOST:PORT.
    connect_to: Option<String>,
    /// The address of the device: its packets go before those of others. On the shared port, they
    /// are taken with another SSRC than it was told as well.
    #[schema(value_type = Option<String>)]
    from: Option<IpAddr>,
    /// How many seconds nothing may come; 0 for ever; as `ps.idle_timeout` says if it is left out.
    #[schema(maximum = 86_400)]
    timeout_seconds: Option<u32>,
    #[serde(default)]
    #[schema(inline)]
    payload: Payload,
    /// The name of a file in `ps.dump_dir` that all packets are written to; `.pcap` is for
    /// Wireshark.
    dump: Option<String>,
}

/// What was opened.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Opened {
    /// The stream's path.
    stream: String,
    /// The id of its session.
    session: String,
    /// The port that the device is to send to; 0 where the server connects.
    port: u16,
}

/// Receives a stream until that is stopped, the session is kicked, or nothing comes for a while.
#[utoipa::path(post, path = "/api/v1/receivers", request_body = Receive, responses(
    (status = 200, body = Opened), (status = 400, body = Fault), (status = 409, body = Fault),
    (status = 415, body = Fault), (status = 422, body = Fault), (status = 503, body = Fault)))]
pub(super) async fn receive(State(api): State<Api>, Body(wanted): Body<Receive>) -> Answer<Opened> {
    let bad = |text: &str| Err(Fault::new(StatusCode::BAD_REQUEST, text));
    if wanted.timeout_seconds.is_some_and(|seconds| seconds > MAX_TIMEOUT_SECONDS) {
        return bad("timeout_seconds is at most 86400; 0 is for ever");
    }
    let port = match wanted.port.map(u16::try_from) {
        None => None,
        Some(Ok(port @ 1..)) => Some(port),
        Some(_) => return bad("port is 1 to 65535; leave it out for any that is free"),
    };
    let stream = api.operations.stream(&wanted.stream).map_err(misnamed)?;
    let order = ReceiveOrder {
        transport: match wanted.transport {
            Transport::Udp => receivers::Transport::Udp,
            Transport::Tcp => receivers::Transport::Tcp,
            Transport::TcpActive => receivers::Transport::TcpActive,
        },
        port,
        shared: wanted.shared,
        ssrc: wanted.ssrc,
        connect_to: wanted.connect_to,
        from: wanted.from,
        idle: wanted.timeout_seconds.map(|seconds| Duration::from_secs(seconds.into())),
        payload: match wanted.payload {
            Payload::Ps => receivers::Payload::Ps,
            Payload::H264 => receivers::Payload::H264,
            Payload::H265 => receivers::Payload::H265,
        },
        dump: wanted.dump,
    };
    let opened = api.operations.receive(stream.clone(), &order).map_err(refused)?;
    let (stream, session) = (stream.to_string(), opened.session.to_string());
    Ok(Json(Opened { stream, session, port: opened.port }))
}

/// Which stream is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The stream's path.
    stream: String,
}

/// What changes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// The SSRC that the device has told.
    #[schema(maximum = 4_294_967_295_u32)]
    ssrc: u32,
}

/// A device has said that its packets have another SSRC than it was told.
#[utoipa::path(patch, path = "/api/v1/receivers", params(Which), request_body = Change, responses(
    (status = 200, body = ReceiverView), (status = 400, body = Fault), (status = 404, body = Fault),
    (status = 409, body = Fault), (status = 415, body = Fault), (status = 422, body = Fault)))]
pub(super) async fn change(
    State(api): State<Api>,
    Params(which): Params<Which>,
    Body(change): Body<Change>,
) -> Answer<ReceiverView> {
    let stream = api.operations.stream(&which.stream).map_err(misnamed)?;
    api.operations.set_ssrc(&stream, change.ssrc).map_err(refused)?;
    let found = api.operations.receivers().into_iter().find(|known| known.stream == stream);
    found.map(|found| Json(found.into())).ok_or_else(|| Fault::absent("receiver"))
}

/// How many receivers end.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ended {
    stopped: usize,
}

/// Receives a stream no more; its port is free then.
#[utoipa::path(delete, path = "/api/v1/receivers", params(Which), responses(
    (status = 200, body = Ended), (status = 400, body = Fault), (status = 404, body = Fault)))]
pub(super) async fn stop(State(api): State<Api>, Params(which): Params<Which>) -> Answer<Ended> {
    let stream = api.operations.stream(&which.stream).map_err(misnamed)?;
    api.operations.stop_receiving(&stream).map_err(refused)?;
    Ok(Json(Ended { stopped: 1 }))
}
