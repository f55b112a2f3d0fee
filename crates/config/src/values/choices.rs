//! The settings that are one of a few words, or any of them. [`words`](super::words) has what they
//! share: how they are read, written, and refused.

use super::words::{Words, choice};

choice! {
    /// How much is logged.
    pub enum Level {
        /// Everything, packets included in debug builds.
        Trace = "trace",
        /// What helps to find a fault.
        Debug = "debug",
        /// Sessions and streams that begin and end.
        Info = "info",
        /// Peers that misbehave.
        Warn = "warn",
        /// What an operator must act upon.
        Error = "error",
        /// Nothing.
        Off = "off",
    }

    /// When a new log file is begun.
    pub enum Rotation {
        /// At midnight, UTC.
        Daily = "daily",
        /// At every full hour.
        Hourly = "hourly",
        /// Not at all.
        Never = "never",
    }

    /// How a log line is written.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// For collectors: one JSON object per line.
        Json = "json",
    }

    /// What makes two stream names the same.
    pub enum Identity {
        /// `live/a` and `other/a` are two streams.
        AppAndName = "app_and_name",
        /// Only the last item of the path counts.
        Name = "name",
    }

    /// What somebody meets who publishes to a stream that has a publisher.
    pub enum SecondPublisher {
        /// The newcomer is refused.
        Refuse = "refuse",
        /// The newcomer replaces the old publisher.
        Takeover = "takeover",
    }

    /// How viewers are written to.
    pub enum Egress {
        /// `io_uring` where the system allows it, otherwise `epoll`.
        Auto = "auto",
        /// One system call for each viewer.
        Epoll = "epoll",
        /// One system call for many viewers; the server does not start where it is forbidden.
        Uring = "io_uring",
    }

    /// Where a viewer of RTSP begins.
    pub enum RtspStart {
        /// With the cached GOP; as datagrams, at the next key frame.
        Cached = "cached",
        /// At the next key frame.
        KeyFrame = "key_frame",
        /// With whatever comes next.
        Now = "now",
    }

    /// When a stream is pulled from another server.
    pub enum PullStart {
        /// As long as the server runs.
        Always = "always",
        /// While somebody watches.
        OnDemand = "on_demand",
    }

    /// What packets of RTP travel over, where this server is the client.
    pub enum RtspTransport {
        /// The connection.
        Tcp = "tcp",
        /// Datagrams.
        Udp = "udp",
        /// Datagrams, and the connection where they are refused or do not arrive.
        Auto = "auto",
    }

    /// How devices of GB/T 28181 are asked to send.
    pub enum DeviceTransport {
        /// As datagrams.
        Udp = "udp",
        /// On a connection that the device makes.
        Tcp = "tcp",
        /// On a connection that the server makes.
        TcpActive = "tcp_active",
    }

    /// What becomes of frames of which a part was lost.
    pub enum TornFrames {
        /// They are left out.
        Drop = "drop",
        /// They are passed on as they are.
        Pass = "pass",
    }

    /// How RTSP clients prove who they are.
    pub enum RtspAuth {
        /// They need not.
        Off = "off",
        /// By Digest, with SHA-256 or MD5 as the client can.
        Digest = "digest",
        /// By Digest with MD5, for clients that stumble over a second offer.
        DigestMd5 = "digest_md5",
        /// By Basic: the password goes over the network.
        Basic = "basic",
    }

    /// What segments of HLS are made of.
    pub enum HlsContainer {
        /// What fits the codecs: fragmented MP4 at low latency, else transport streams.
        Auto = "auto",
        /// Transport streams.
        Ts = "ts",
        /// Fragmented MP4.
        Fmp4 = "fmp4",
    }

    /// What a stream is recorded as.
    pub enum RecordFormat {
        /// FLV files.
        Flv = "flv",
        /// MPEG transport streams.
        Ts = "ts",
        /// Fragmented MP4.
        Mp4 = "mp4",
        /// Segments and playlists.
        Hls = "hls",
    }

    /// What becomes of HLS files that are old.
    pub enum HlsCleanup {
        /// They stay.
        Never = "never",
        /// They are removed when the stream has ended for hls.linger.
        AfterEnd = "after_end",
        /// Segments are removed when they have left the playlist, the rest after the end.
        Rolling = "rolling",
    }

    /// What may need credentials.
    pub enum Guarded {
        /// To send a stream.
        Publish = "publish",
        /// To read a stream.
        Play = "play",
    }

    /// What a callback is asked about.
    pub enum CallbackFor {
        /// Clients of RTMP that connect.
        Connect = "connect",
        /// Publishers.
        Publish = "publish",
        /// Viewers.
        Play = "play",
        /// Requests of the API.
        Api = "api",
    }

    /// Where lal's simple authentication holds.
    pub enum LalGuard {
        /// Publishers of RTMP.
        PubRtmp = "pub_rtmp",
        /// Viewers of RTMP.
        SubRtmp = "sub_rtmp",
        /// Viewers of FLV.
        SubHttpflv = "sub_httpflv",
        /// Viewers of MPEG-TS.
        SubHttpts = "sub_httpts",
        /// Publishers of RTSP.
        PubRtsp = "pub_rtsp",
        /// Viewers of RTSP.
        SubRtsp = "sub_rtsp",
        /// Viewers of HLS.
        HlsM3u8 = "hls_m3u8",
    }

    /// Who may download recordings.
    pub enum Download {
        /// Those who reach the operator's API.
        Api = "api",
        /// All viewers as well.
        Public = "public",
        /// Nobody.
        Off = "off",
    }

    /// How HEVC and Opus are marked in RTMP and FLV.
    pub enum HevcOut {
        /// As the viewer asks, otherwise as the publisher did.
        Auto = "auto",
        /// By FourCC, as Enhanced RTMP says.
        Enhanced = "enhanced",
        /// By codec id 12 and sound format 13, as was the custom before.
        Legacy = "legacy",
    }
}

/// What a stream is recorded as.
pub type RecordFormats = Words<RecordFormat>;
