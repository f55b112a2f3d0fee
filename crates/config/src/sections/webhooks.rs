//! Notifications.

use crate::schema::section;
use crate::units::Span;

section! {
    /// Notifications by POST with a JSON body: each event has a URL; without one it is not told.
    pub struct Webhooks {
        /// The URL of all events that have none of their own; empty for none.
        Live url: String = String::new(),
        /// The server has started.
        Live on_server_start: String = String::new(),
        /// All streams and sessions, now and then.
        Live on_update: String = String::new(),
        /// A client of RTMP has connected.
        Live on_rtmp_connect: String = String::new(),
        /// A publisher has come.
        Live on_pub_start: String = String::new(),
        /// A publisher has gone.
        Live on_pub_stop: String = String::new(),
        /// A viewer has come.
        Live on_sub_start: String = String::new(),
        /// A viewer has gone.
        Live on_sub_stop: String = String::new(),
        /// A stream is pulled from another server.
        Live on_relay_pull_start: String = String::new(),
        /// It is pulled no more.
        Live on_relay_pull_stop: String = String::new(),
        /// A stream is pushed to another server.
        Live on_relay_push_start: String = String::new(),
        /// It is pushed no more.
        Live on_relay_push_stop: String = String::new(),
        /// A segment of HLS was begun or completed on disk.
        Live on_hls_make_ts: String = String::new(),
        /// A stream has begun.
        Live on_stream_start: String = String::new(),
        /// A stream has ended.
        Live on_stream_stop: String = String::new(),
        /// A recording has begun.
        Live on_record_start: String = String::new(),
        /// A recording is complete.
        Live on_record_stop: String = String::new(),
        /// A device of GB/T 28181 has registered that was not here.
        Live on_device_online: String = String::new(),
        /// A device has left, or says nothing any more.
        Live on_device_offline: String = String::new(),
        /// A device raises an alarm.
        Live on_device_alarm: String = String::new(),
        /// A device has said that it sends what it was asked for.
        Live on_device_call_start: String = String::new(),
        /// It sends no more.
        Live on_device_call_stop: String = String::new(),
        /// How often on_update is told; "0s" for once, at the start.
        Live update_interval: Span = Span::from_secs(5); Span::default()..=Span::from_secs(3600),
        /// How long a receiver may take to answer.
        Live timeout: Span = Span::from_secs(3); Span::from_millis(100)..=Span::from_secs(60),
        /// How often an event is told again that was not taken (no answer, or one of 500 to 599).
        Live retries: u32 = 2; 0..=10,
        /// How many events may wait; further ones are dropped, and counted.
        Live queue: u32 = 16_384; 1..=100_000,
        /// With a secret, requests have a header Headwater-Signature: sha256=HEX, the HMAC of
        /// the body; empty for none.
        Live secret: String = String::new(),
        /// Whether receivers and callbacks may have addresses of this host and of private networks.
        /// Where others than the operator choose URLs, they should not.
        Live private_targets: bool = true,
    }
}

impl Webhooks {
    /// All URLs with their keys; the first is that of events that have none of their own.
    #[must_use]
    pub fn urls(&self) -> [(&'static str, &String); 22] {
        [
            ("url", &self.url),
            ("on_server_start", &self.on_server_start),
            ("on_update", &self.on_update),
            ("on_rtmp_connect", &self.on_rtmp_connect),
            ("on_pub_start", &self.on_pub_start),
            ("on_pub_stop", &self.on_pub_stop),
            ("on_sub_start", &self.on_sub_start),
            ("on_sub_stop", &self.on_sub_stop),
            ("on_relay_pull_start", &self.on_relay_pull_start),
            ("on_relay_pull_stop", &self.on_relay_pull_stop),
            ("on_relay_push_start", &self.on_relay_push_start),
            ("on_relay_push_stop", &self.on_relay_push_stop),
            ("on_hls_make_ts", &self.on_hls_make_ts),
            ("on_stream_start", &self.on_stream_start),
            ("on_stream_stop", &self.on_stream_stop),
            ("on_record_start", &self.on_record_start),
            ("on_record_stop", &self.on_record_stop),
            ("on_device_online", &self.on_device_online),
            ("on_device_offline", &self.on_device_offline),
            ("on_device_alarm", &self.on_device_alarm),
            ("on_device_call_start", &self.on_device_call_start),
            ("on_device_call_stop", &self.on_device_call_stop),
        ]
    }
}
