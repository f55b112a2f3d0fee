//! What the client says: connect, publish, play and what goes with them.

use flv::amf0::{Object, Value};
use flv::caps::Capabilities;

use crate::command::Command;
use crate::url::Target;

/// Transaction ids, in the order of a publisher's requests.
pub(super) const CONNECT: f64 = 1.0;
const RELEASE_STREAM: f64 = 2.0;
const ANNOUNCE: f64 = 3.0;
pub(super) const CREATE_STREAM: f64 = 4.0;
pub(super) const START: f64 = 5.0;
const UNPUBLISH: f64 = 6.0;

/// Ingest services look for FMLE, and for what comes after "compatible".
const PUBLISHER: &str = "FMLE/3.0 (compatible; headwater)";

/// What librtmp and ffmpeg say they are.
const PLAYER: &str = "LNX 9,0,124,2";

/// −2 in the milliseconds that ffmpeg has always sent: live, or else recorded.
const LIVE_OR_RECORDED: f64 = -2000.0;

pub(super) fn connect_publisher(target: &Target, capabilities: Option<&Capabilities>) -> Command {
    let mut object = Object::new();
    object.insert("app", target.app.as_str());
    object.insert("type", "nonprivate");
    object.insert("flashVer", PUBLISHER);
    object.insert("tcUrl", target.tc_url());
    connect(object, capabilities)
}

pub(super) fn connect_player(target: &Target, capabilities: Option<&Capabilities>) -> Command {
    let mut object = Object::new();
    object.insert("app", target.app.as_str());
    object.insert("flashVer", PLAYER);
    object.insert("tcUrl", target.tc_url());
    object.insert("fpad", false);
    object.insert("capabilities", 15.0);
    // All codecs of Flash Player 10 (§7.2.1.1).
    object.insert("audioCodecs", f64::from(0x0FE7));
    object.insert("videoCodecs", f64::from(0x00FC));
    object.insert("videoFunction", 1.0);
    connect(object, capabilities)
}

fn connect(mut object: Object, capabilities: Option<&Capabilities>) -> Command {
    if let Some(capabilities) = capabilities {
        capabilities.to_connect(&mut object);
    }
    Command::new("connect", CONNECT, Value::Object(object))
}

pub(super) fn release_stream(target: &Target) -> Command {
    Command::new("releaseStream", RELEASE_STREAM, Value::Null).with(target.name.as_str())
}

pub(super) fn announce(target: &Target) -> Command {
    Command::new("FCPublish", ANNOUNCE, Value::Null).with(target.name.as_str())
}

pub(super) fn create_stream() -> Command {
    Command::new("createStream", CREATE_STREAM, Value::Null)
}

pub(super) fn publish(target: &Target) -> Command {
    Command::new("publish", START, Value::Null).with(target.name.as_str()).with("live")
}

pub(super) fn play(target: &Target) -> Command {
    Command::new("play", START, Value::Null).with(target.name.as_str()).with(LIVE_OR_RECORDED)
}

pub(super) fn unpublish(target: &Target) -> Command {
    Command::new("FCUnpublish", UNPUBLISH, Value::Null).with(target.name.as_str())
}

pub(super) fn delete_stream(stream: u32) -> Command {
    Command::new("deleteStream", 0.0, Value::Null).with(f64::from(stream))
}
