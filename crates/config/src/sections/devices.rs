//! Cameras and recorders: program streams in RTP, GB/T 28181.

use crate::schema::section;
use crate::units::Span;
use crate::values::{Addresses, Device, DeviceTransport, FilePath};

section! {
    /// Program streams in RTP (GB/T 28181): what devices send to ports that they were told, by
    /// requests of the API or by section gb28181. Ports are those of rtsp.udp_port_min and
    /// rtsp.udp_port_max.
    pub struct Ps {
        /// A port that all devices may send to, as datagrams and on connections; streams are told
        /// apart by their SSRC. ":PORT" for all addresses, or "IP:PORT".
        Restart shared_listen: Addresses = Addresses::none(),
        /// How long a datagram that came early waits for those before it.
        Live reorder_window: Span = Span::from_millis(100);
            Span::default()..=Span::from_secs(5),
        /// How long a device may send nothing before its session ends, where the request does not
        /// say; "0s" for ever.
        Live idle_timeout: Span = Span::from_secs(60); Span::default()..=Span::from_secs(86_400),
        /// How long it may take to connect to a device.
        Live connect_timeout: Span = Span::from_secs(10);
            Span::from_secs(1)..=Span::from_secs(300),
        /// Where files with packets are written that requests of the API ask for; empty for nowhere.
        Live dump_dir: FilePath = FilePath::default(),
    }
}

section! {
    /// Cameras and recorders that register here by SIP (GB/T 28181). A viewer of gb/DEVICE/CHANNEL has
    /// the device send; their media is in section ps.
    pub struct Gb28181 {
        /// Where SIP is spoken, over UDP and TCP, such as ":5060"; nowhere if there is none.
        Restart listen: Addresses = Addresses::none(),
        /// This server's id: 20 digits.
        Restart id: String = "34020000002000000001".to_owned(),
        /// The SIP domain (the realm of passwords); the first ten digits of the id if it is empty.
        Restart domain: String = String::new(),
        /// What devices must know that have no password of their own; empty to let only those in
        /// that are in devices.
        Restart password: String = String::new(),
        /// Devices with a password of their own: a list of tables [[gb28181.devices]] with id and
        /// password.
        Restart devices: Vec<Device> = Vec::new(),
        /// Whether all others may register without a password.
        Restart open: bool = false,
        /// How often a device that registers is to do so again, at the latest.
        Restart register_expiry: Span = Span::from_secs(3600);
            Span::from_secs(60)..=Span::from_secs(86_400),
        /// How often devices are expected to say that they are there; three times missed, they are
        /// taken for gone.
        Restart keep_alive: Span = Span::from_secs(60); Span::from_secs(1)..=Span::from_secs(3600),
        /// How packets come where nothing else is said: "udp", "tcp" (the device connects) or
        /// "tcp_active" (the server does).
        Live transport: DeviceTransport = DeviceTransport::Udp,
        /// Whether devices send to the port of ps.shared_listen, instead of one each.
        Live shared_port: bool = false,
        /// The address that devices are told to send to; the one at which they have reached this
        /// server if it is empty.
        Live media_address: String = String::new(),
        /// The application of devices' streams.
        Restart app: String = "gb".to_owned(),
        /// How long a device goes on sending that nobody watches.
        Live stop_after: Span = Span::from_secs(30); Span::default()..=Span::from_secs(86_400),
    }
}
