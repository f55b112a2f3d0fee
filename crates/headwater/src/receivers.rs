//! Orders of operators for streams that devices send.

use std::time::Duration;

use control::receivers::{
    Opened, Payload, ReceiveError, ReceiveOrder, Receiver, Receivers, Transport,
};
use hub::{EndReason, PublishError, StreamName};
use session::ps::{self, Dump, OpenError, Order, Way};

use crate::operations::House;

fn refused(error: &OpenError) -> ReceiveError {
    let text = error.to_string();
    match error {
        OpenError::Publish(PublishError::Occupied(_)) => ReceiveError::Occupied(text),
        OpenError::Publish(_) | OpenError::TooMany => ReceiveError::TooMany(text),
        OpenError::Taken(_) => ReceiveError::Taken(text),
        OpenError::Port { .. } => ReceiveError::System(text),
        _ => ReceiveError::Order(text),
    }
}

/// How packets come by an order; what is wrong with it.
fn way(order: &ReceiveOrder) -> Result<Way, &'static str> {
    if order.shared {
        return match (order.port, order.transport) {
            (None, Transport::Udp | Transport::Tcp) => Ok(Way::Shared),
            (Some(_), _) => Err("the shared port is the one of ps.shared_listen: leave port out"),
            (_, Transport::TcpActive) => Err("a connection that the server makes has no port"),
        };
    }
    match (order.transport, &order.connect_to) {
        (Transport::Udp, None) => Ok(Way::Datagrams(order.port)),
        (Transport::Tcp, None) => Ok(Way::Listen(order.port)),
        (Transport::TcpActive, _) if order.from.is_some() => {
            Err("from says who sends; the server connects to connect_to")
        }
        (Transport::TcpActive, Some(address)) => {
            let parts = address.rsplit_once(':').and_then(|(host, port)| {
                let port = port.parse().ok().filter(|port| *port > 0)?;
                (!host.is_empty()).then(|| (host.to_owned(), port))
            });
            let (host, port) = parts.ok_or("the device's address is written HOST:PORT")?;
            Ok(Way::Connect { host, port, is_home: false })
        }
        (Transport::TcpActive, None) => Err("to connect to a device needs its address: HOST:PORT"),
        (_, Some(_)) => Err("the server connects with the transport tcp_active alone"),
    }
}

impl Receivers for House {
    fn receive(&self, stream: StreamName, order: &ReceiveOrder) -> Result<Opened, ReceiveError> {
        let way = way(order).map_err(|text| ReceiveError::Order(text.to_owned()))?;
        let settings = self.context.settings.load();
        let dump = match &order.dump {
            Some(name) => {
                let begun = Dump::begin(settings.ps.dumps.as_deref(), name);
                Some(begun.map_err(|error| ReceiveError::Order(error.to_string()))?)
            }
            None => None,
        };
        let idle = order.idle.unwrap_or(settings.ps.idle);
        let order = Order {
            stream,
            way,
            ssrc: order.ssrc,
            from: order.from,
            idle: Some(idle).filter(|idle| *idle > Duration::ZERO),
            payload: match order.payload {
                Payload::Ps => ps::Payload::Ps,
                Payload::H264 => ps::Payload::H264,
                Payload::H265 => ps::Payload::H265,
            },
            dump,
        };
        let opened = self.ps.open(order).map_err(|error| refused(&error))?;
        Ok(Opened { session: opened.session.id().clone(), port: opened.port })
    }

    fn receivers(&self) -> Vec<Receiver> {
        let view = |status: ps::Status| Receiver {
            stream: status.stream,
            session: status.session,
            transport: status.transport,
            port: status.port,
            ssrc: status.ssrc,
            received_ssrc: status.report.ssrc,
            peer: status.peer,
            packets: status.report.packets,
            lost: status.report.lost,
            foreign: status.report.foreign,
            left_out: status.report.left_out,
        };
        self.ps.list().into_iter().map(view).collect()
    }

    fn set_ssrc(&self, stream: &StreamName, ssrc: u32) -> Result<(), ReceiveError> {
        match self.ps.set_ssrc(stream, ssrc) {
            Ok(true) => Ok(()),
            Ok(false) => Err(ReceiveError::Absent),
            Err(error) => Err(refused(&error)),
        }
    }

    fn stop_receiving(&self, stream: &StreamName) -> Result<(), ReceiveError> {
        if self.ps.close(stream, &EndReason::Kicked) { Ok(()) } else { Err(ReceiveError::Absent) }
    }
}
