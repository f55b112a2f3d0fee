//! Whose packets are taken, with real sockets. This host has many addresses.

#![allow(clippy::unwrap_used)] // helpers outside of test functions

use bytes::BytesMut;
use hub::{Registry, StreamSettings};
use net::Egress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};

use super::*;
use crate::Settings;

const DEVICE: &str = "127.0.0.1:0";
const STRANGER: &str = "127.0.0.2:0";

/// What receives, and the shards that it needs.
struct House {
    ps: Arc<Ps>,
    _shards: Arc<Shards>,
}

impl House {
    fn new(settings: PsSettings) -> Self {
        let streams = Arc::new(StreamSettings::default());
        let registry = Registry::new(Arc::new(move |_| streams.clone()), 9);
        let context = Context::new(registry, Settings { ps: settings, ..Settings::default() });
        let shards = Arc::new(Shards::start(1, Egress::Auto).unwrap());
        let ps = Ps::new(context, Ports::new(0..=0), &shards, None);
        Self { ps, _shards: shards }
    }

    fn open(&self, way: Way, from: Option<&str>) -> Opened {
        let context = &self.ps.context;
        let stream = context.settings.load().stream_name("gb", "camera").unwrap();
        let (from, payload) = (from.map(|from| from.parse().unwrap()), Payload::Ps);
        let order = Order { stream, way, ssrc: None, from, idle: None, payload, dump: None };
        self.ps.open(order).unwrap()
    }

    /// Where packets come from.
    fn peer(&self) -> Option<SocketAddr> {
        self.ps.list().first()?.peer
    }
}

/// A packet without anything of interest.
fn packet(sequence: u16) -> Vec<u8> {
    let mut out = BytesMut::new();
    let (marker, payload_type, timestamp, ssrc) = (false, 96, 0, 7);
    let header = ::rtp::packet::Header { marker, payload_type, sequence, timestamp, ssrc };
    header.write(&mut out);
    out.extend_from_slice(&[0xFF; 20]);
    out.to_vec()
}

/// The packet as connections carry it.
fn framed(sequence: u16) -> Vec<u8> {
    let packet = packet(sequence);
    [&u16::try_from(packet.len()).unwrap().to_be_bytes()[..], &packet].concat()
}

async fn connect(from: &str, port: u16) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(from.parse().unwrap()).unwrap();
    socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.unwrap()
}

async fn datagrams(from: &str, port: u16) -> UdpSocket {
    let socket = UdpSocket::bind(from).await.unwrap();
    socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.unwrap();
    socket
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(timeout(Duration::from_secs(5), wait).await.is_ok(), "{what}");
}

/// Waits until a connection is closed by the other side.
async fn closed(connection: &mut TcpStream) {
    let mut buffer = [0; 64];
    let read = timeout(Duration::from_secs(5), connection.read(&mut buffer));
    // It is an error where not all that had come was read.
    assert_eq!(read.await.expect("it is closed").unwrap_or(0), 0);
}

#[tokio::test]
async fn whoever_connects_and_says_nothing_disturbs_nobody() {
    let house = House::new(PsSettings::default());
    let Opened { session, port } = house.open(Way::Listen(None), None);
    let read = || session.statistics().read_bytes;
    // Others may be there first.
    let mut silent = Vec::new();
    for _ in 0..MAX_SILENT {
        silent.push(connect(STRANGER, port).await);
    }
    let mut device = connect(DEVICE, port).await;
    device.write_all(&framed(1)).await.unwrap();
    let from = device.local_addr().unwrap();
    until("the device is heard", || house.peer() == Some(from) && read() == 32).await;

    silent.push(connect(DEVICE, port).await);
    let mut stranger = connect(STRANGER, port).await;
    stranger.write_all(&framed(1)).await.unwrap();
    let mut other = connect(STRANGER, port).await;
    other.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    closed(&mut stranger).await;
    closed(&mut other).await;
    device.write_all(&framed(2)).await.unwrap();
    until("it goes on", || read() >= 64).await;
    assert_eq!((house.peer(), read()), (Some(from), 64));

    // It connects again, and has not closed.
    let mut again = connect(DEVICE, port).await;
    again.write_all(&framed(1)).await.unwrap();
    let from = again.local_addr().unwrap();
    until("it is heard again", || house.peer() == Some(from) && read() == 96).await;
    // When it is gone, anybody may come.
    drop(again);
    let mut last = connect(STRANGER, port).await;
    last.write_all(&framed(9)).await.unwrap();
    let from = last.local_addr().unwrap();
    until("another one is heard", || house.peer() == Some(from) && read() == 128).await;
}

/// More than are waited for at once.
const MAX_SILENT: usize = 12;

#[tokio::test]
async fn datagrams_of_the_device_go_before_those_of_others() {
    let house = House::new(PsSettings::default());
    let Opened { session, port } = house.open(Way::Datagrams(None), Some("127.0.0.1"));
    let read = || session.statistics().read_bytes;
    let stranger = datagrams(STRANGER, port).await;
    for junk in [&b"x"[..], &[0x80, 96, 0, 1], &[0x80, 200, 0, 1, 0, 0, 0, 7], &[0; 64]] {
        stranger.send(junk).await.unwrap();
    }
    // Its media may come from elsewhere. What came to a socket before is read before.
    stranger.send(&packet(1)).await.unwrap();
    let from = stranger.local_addr().unwrap();
    until("the first is heard", || house.peer() == Some(from) && read() > 0).await;
    assert_eq!(read(), 32);

    let device = datagrams(DEVICE, port).await;
    device.send(&packet(1)).await.unwrap();
    let from = device.local_addr().unwrap();
    until("the device is heard at once", || house.peer() == Some(from) && read() == 64).await;
    stranger.send(&packet(2)).await.unwrap();
    // Nor are reports of strangers taken.
    let foreign_reports = datagrams(STRANGER, port + 1).await;
    foreign_reports.send(&[0x80, 201, 0, 1, 0, 0, 0, 7]).await.unwrap();
    let reports = datagrams(DEVICE, port + 1).await;
    reports.send(&[0x80, 201, 0, 1, 0, 0, 0, 7]).await.unwrap();
    device.send(&packet(2)).await.unwrap();
    until("packets and reports of the device are taken", || read() >= 64 + 8 + 32).await;
    assert_eq!((house.peer(), read()), (Some(from), 104));
    // The device says that it sends from there, too: whoever sends goes on.
    let stream = house.ps.list()[0].stream.clone();
    house.ps.expect_from(&stream, "127.0.0.2".parse().unwrap());
    stranger.send(&packet(3)).await.unwrap();
    device.send(&packet(3)).await.unwrap();
    until("the device is heard on", || read() >= 136).await;
    assert_eq!((house.peer(), read()), (Some(from), 136));
}

#[tokio::test]
async fn where_private_networks_are_closed_only_devices_that_have_come_from_there_are_called() {
    let house = House::new(PsSettings { targets: Targets::Public, ..PsSettings::default() });
    let listener = tokio::net::TcpListener::bind(DEVICE).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let way = |is_home| Way::Connect { host: "127.0.0.1".into(), port, is_home };
    let Opened { session, .. } = house.open(way(false), None);
    until("it is over", || house.ps.list().is_empty()).await;
    assert_eq!(session.peer(), None);
    let _opened = house.open(way(true), None);
    assert!(timeout(Duration::from_secs(5), listener.accept()).await.is_ok());
}

#[tokio::test]
async fn what_comes_from_where_the_device_says_goes_before_others() {
    let house = House::new(PsSettings::default());
    let Opened { port, .. } = house.open(Way::Listen(None), Some("127.0.0.9"));
    let mut other = connect(DEVICE, port).await;
    other.write_all(&framed(1)).await.unwrap();
    let from = other.local_addr().unwrap();
    until("the first is heard", || house.peer() == Some(from)).await;
    let stream = house.ps.list()[0].stream.clone();
    house.ps.expect_from(&stream, "127.0.0.2".parse().unwrap());
    let mut device = connect(STRANGER, port).await;
    device.write_all(&framed(1)).await.unwrap();
    let from = device.local_addr().unwrap();
    until("the device is heard at once", || house.peer() == Some(from)).await;
}
