//! Cameras and recorders: where they register, and the port that they share.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use net::Shards;
use session::gb28181::{BoundSip, Devices};
use session::ps::{BoundShared, Shared};
use session::{Context, Ps};
use tokio::task::JoinSet;

use super::{StartError, serve_peers};
use crate::options::{Options, Sip};

/// How long a connection of a device may take to come up: there is no handshake.
const DEVICE_PATIENCE: Duration = Duration::from_secs(1);

/// Begins to speak with devices.
pub(super) fn start(
    options: &Options,
    sip: &Sip,
    bound: BoundSip,
    context: &Arc<Context>,
    ps: &Arc<Ps>,
    shards: &Arc<Shards>,
) -> Result<Arc<Devices>, StartError> {
    let listen = bound.address();
    // What stands in messages: devices must be able to reach it.
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 5060));
    let address = match options.devices.media_address {
        Some(address) => address,
        None if listen.ip().is_unspecified() => {
            net::address_towards(elsewhere).unwrap_or_else(|_| Ipv4Addr::LOCALHOST.into())
        }
        None => listen.ip(),
    };
    let mut platform = sip.platform.clone();
    platform.address = SocketAddr::new(address, listen.port());
    let started = Devices::start(context, ps, shards, bound, platform, sip.app.clone());
    let devices = started.map_err(StartError::Threads)?;
    devices.set_settings(options.devices.clone());
    Ok(devices)
}

/// Takes what comes to the port that all devices share.
pub(super) fn receive_from_all(
    shared: Arc<Shared>,
    bound: BoundShared,
    shards: &Arc<Shards>,
    context: &Arc<Context>,
    tasks: &mut JoinSet<()>,
) -> Result<(), StartError> {
    let (datagrams, listening) = bound.into_parts();
    let (all, receiving) = (shards.clone(), shared.clone());
    tasks.spawn(async move { all.place(move |_| receiving.receive(datagrams)).await });
    let context = context.clone();
    serve_peers(listening, tasks, shards, move |connecting| {
        let (shared, context) = (shared.clone(), context.clone());
        move |_| async move {
            let peer = connecting.peer();
            if let Ok(conn) = connecting.establish(DEVICE_PATIENCE).await {
                shared.carry(context, conn, peer).await;
            }
        }
    })
}
