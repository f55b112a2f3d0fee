//! Orders of operators for relays.

use config::values::RtspTransport;
use control::relays::{PullOrder, RelayError, Relayed, Relays};
use hub::{SessionId, StreamName};
use rtsp::client::TransportChoice;
use session::relay::{Order, OrderError, PullState, PushState};
use session::remote::RemoteUrl;

use crate::operations::House;

/// What packets of RTP travel over, by the setting's word.
pub(crate) fn transport(choice: RtspTransport) -> TransportChoice {
    match choice {
        RtspTransport::Tcp => TransportChoice::Tcp,
        RtspTransport::Udp => TransportChoice::Udp,
        RtspTransport::Auto => TransportChoice::UdpThenTcp,
    }
}

fn address(text: &str) -> Result<RemoteUrl, RelayError> {
    let parsed = text.parse::<RemoteUrl>();
    parsed.map_err(|error| RelayError::Address(error.to_string()))
}

fn refused(error: OrderError) -> RelayError {
    let text = error.to_string();
    match error {
        OrderError::Unwatched(_) => RelayError::Unwatched(text),
        OrderError::NoTarget | OrderError::NoSource(_) => RelayError::Address(text),
        OrderError::TooMany => RelayError::TooMany(text),
        OrderError::Ambiguous(_) => RelayError::Ambiguous(text),
        _ => RelayError::Occupied(text),
    }
}

impl Relays for House {
    fn stream(&self, path: &str) -> Result<StreamName, RelayError> {
        self.name(path).map_err(|error| RelayError::Name(error.to_string()))
    }

    fn pull(&self, stream: StreamName, order: &PullOrder) -> Result<SessionId, RelayError> {
        let sources = order.from.iter().map(|url| address(url)).collect::<Result<Vec<_>, _>>()?;
        let order = Order {
            sources,
            attempts: order.attempts,
            stop_after: order.stop_after,
            transport: order.rtsp_transport.map(transport),
            patience: order.timeout,
            via: String::new(),
            rule: None,
            standby: order.standby,
            keep: order.keep,
        };
        self.relay.pull(stream, order).map_err(refused)
    }

    fn stop_pull(&self, stream: &StreamName) -> Result<Option<SessionId>, RelayError> {
        self.relay.stop_pull(stream).ok_or(RelayError::Absent)
    }

    fn pulls(&self) -> Vec<Relayed> {
        let view = |pull: session::relay::PullStatus| Relayed {
            stream: pull.stream,
            addresses: pull.sources,
            current: pull.source,
            state: match pull.state {
                PullState::Runs => "running",
                PullState::Calls => "calling",
                PullState::Waits => "waiting",
                PullState::Idle | PullState::StandsBack => "idle",
            },
            session: pull.session,
            attempts: pull.attempts,
            failures: pull.failures,
            last_error: pull.last_error,
            rule: pull.rule,
            on_demand: pull.on_demand,
            standby: pull.standby,
        };
        self.relay.pulls().into_iter().map(view).collect()
    }

    fn push(
        &self,
        stream: StreamName,
        to: &str,
        over: Option<RtspTransport>,
    ) -> Result<(), RelayError> {
        self.relay.push(stream, address(to)?, over.map(transport)).map_err(refused)
    }

    fn stop_push(&self, stream: &StreamName, to: Option<&str>) -> Result<usize, RelayError> {
        let to = to.map(address).transpose()?;
        match self.relay.stop_push(stream, to.as_ref()).map_err(refused)? {
            0 => Err(RelayError::Absent),
            stopped => Ok(stopped),
        }
    }

    fn pushes(&self) -> Vec<Relayed> {
        let view = |push: session::relay::PushStatus| Relayed {
            stream: push.stream,
            addresses: vec![push.to],
            current: 0,
            state: match push.state {
                PushState::Runs => "running",
                PushState::Calls => "calling",
                PushState::Waits => "waiting",
                PushState::Idle => "idle",
            },
            session: push.session,
            attempts: push.attempts,
            failures: push.failures,
            last_error: push.last_error,
            rule: push.rule,
            on_demand: false,
            standby: None,
        };
        self.relay.pushes().into_iter().map(view).collect()
    }
}
