//! Where a server listens.

use std::net::SocketAddr;
use std::sync::Arc;

use control::page::Ports;
use net::{Listening, Tls};

use session::gb28181::BoundSip;
use session::ps::{BoundShared, Shared};

use super::StartError;
use crate::options::Options;

/// Where a server listens, with the ports that the system chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// RTMP.
    pub rtmp: Vec<SocketAddr>,
    /// RTMP over TLS.
    pub rtmps: Vec<SocketAddr>,
    /// RTSP.
    pub rtsp: Vec<SocketAddr>,
    /// RTSP over TLS.
    pub rtsps: Vec<SocketAddr>,
    /// RTSP in WebSockets.
    pub rtsp_ws: Vec<SocketAddr>,
    /// SIP of devices, over UDP and TCP.
    pub sip: Option<SocketAddr>,
    /// Program streams of all devices.
    pub ps_shared: Option<SocketAddr>,
    /// HTTP.
    pub http: Vec<SocketAddr>,
    /// HTTP over TLS.
    pub https: Vec<SocketAddr>,
    /// The operator's API.
    pub api: Vec<SocketAddr>,
    /// The operator's API over TLS.
    pub api_tls: Vec<SocketAddr>,
    /// RTSP in WebSockets with TLS.
    pub rtsp_wss: Vec<SocketAddr>,
}

impl Addresses {
    /// The ports that the page shows.
    pub(super) fn ports(&self) -> Ports {
        let port = |list: &[SocketAddr]| list.first().map(SocketAddr::port);
        Ports {
            rtmp: port(&self.rtmp),
            rtmps: port(&self.rtmps),
            rtsp: port(&self.rtsp),
            rtsps: port(&self.rtsps),
            rtsp_ws: port(&self.rtsp_ws),
            http: port(&self.http),
            https: port(&self.https),
        }
    }
}

/// What is bound, and not yet accepted from.
pub(super) struct Listeners {
    pub(super) rtmp: Vec<Listening>,
    pub(super) rtmps: Vec<Listening>,
    pub(super) rtsp: Vec<Listening>,
    pub(super) rtsps: Vec<Listening>,
    pub(super) rtsp_ws: Vec<Listening>,
    pub(super) rtsp_wss: Vec<Listening>,
    /// Where devices register.
    pub(super) sip: Option<BoundSip>,
    /// The port that all devices share.
    pub(super) ps_shared: Option<(Arc<Shared>, BoundShared)>,
    pub(super) http: Vec<Listening>,
    pub(super) https: Vec<Listening>,
    pub(super) api: Vec<Listening>,
    pub(super) api_tls: Vec<Listening>,
}

impl Listeners {
    pub(super) fn bind(options: &Options, tls: Option<&Tls>) -> Result<Self, StartError> {
        let bind = |protocol, setting, addresses: &[String], tls: Option<&Tls>| {
            let listen = |address: &String| {
                Listening::bind(address, tls.cloned()).map_err(|error| StartError::Listen {
                    protocol,
                    setting,
                    address: address.clone(),
                    error,
                })
            };
            addresses.iter().map(listen).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            rtmp: bind("RTMP", "rtmp.listen", &options.rtmp, None)?,
            rtmps: bind("RTMPS", "rtmp.tls_listen", &options.rtmps, tls)?,
            rtsp: bind("RTSP", "rtsp.listen", &options.rtsp, None)?,
            rtsps: bind("RTSPS", "rtsp.tls_listen", &options.rtsps, tls)?,
            rtsp_ws: bind("RTSP in WebSockets", "rtsp.ws_listen", &options.rtsp_ws, None)?,
            rtsp_wss: bind("RTSP in WebSockets", "rtsp.wss_listen", &options.rtsp_wss, tls)?,
            sip: options.sip.as_ref().map(|sip| bind_sip(&sip.listen)).transpose()?,
            ps_shared: options.ps_shared.as_deref().map(bind_shared).transpose()?,
            http: bind("HTTP", "http.listen", &options.http, None)?,
            https: bind("HTTPS", "http.tls_listen", &options.https, tls)?,
            api: bind("the API", "api.listen", &options.api, None)?,
            api_tls: bind("the API", "api.tls_listen", &options.api_tls, tls)?,
        })
    }

    pub(super) fn addresses(&self) -> Addresses {
        let own = |list: &[Listening]| list.iter().map(Listening::address).collect();
        Addresses {
            rtmp: own(&self.rtmp),
            rtmps: own(&self.rtmps),
            rtsp: own(&self.rtsp),
            rtsps: own(&self.rtsps),
            rtsp_ws: own(&self.rtsp_ws),
            rtsp_wss: own(&self.rtsp_wss),
            sip: self.sip.as_ref().map(BoundSip::address),
            ps_shared: self.ps_shared.as_ref().map(|(_, bound)| bound.address()),
            http: own(&self.http),
            https: own(&self.https),
            api: own(&self.api),
            api_tls: own(&self.api_tls),
        }
    }
}

fn bind_shared(address: &str) -> Result<(Arc<Shared>, BoundShared), StartError> {
    Shared::bind(address).map_err(|error| StartError::Listen {
        protocol: "RTP",
        setting: "ps.shared_listen",
        address: address.to_owned(),
        error,
    })
}

fn bind_sip(address: &str) -> Result<BoundSip, StartError> {
    BoundSip::bind(address).map_err(|error| StartError::Listen {
        protocol: "SIP",
        setting: "gb28181.listen",
        address: address.to_owned(),
        error,
    })
}
