//! What the server says: the bodies of its answers.

use flv::amf0::{Object, Value};
use flv::caps::Capabilities;

use crate::command::{Command, Level, status_object};

/// The version that clients have been tested with for fifteen years; some encoders parse it.
const FMS_VERSION: &str = "FMS/3,0,1,123";

/// The capabilities number that belongs to that version.
const FMS_CAPABILITIES: f64 = 31.0;

/// `_result` of connect. Enhanced RTMP wants the server's capabilities in it; clients that
/// announce none get none.
pub(super) fn connected(
    transaction: f64,
    object_encoding: f64,
    capabilities: Option<&Capabilities>,
) -> Command {
    let mut properties = Object::new();
    properties.insert("fmsVer", FMS_VERSION);
    properties.insert("capabilities", FMS_CAPABILITIES);
    let mut info =
        status_object(Level::Status, "NetConnection.Connect.Success", "Connection succeeded.");
    info.insert("objectEncoding", object_encoding);
    if let Some(capabilities) = capabilities {
        capabilities.to_connect(&mut info);
    }
    Command::new("_result", transaction, Value::Object(properties)).with(Value::Object(info))
}

/// The wish of a server that a client connects again.
pub(super) fn reconnect(tc_url: Option<&str>, description: &str) -> Command {
    let code = "NetConnection.Connect.ReconnectRequest";
    let mut info = status_object(Level::Status, code, description);
    if let Some(tc_url) = tc_url {
        info.insert("tcUrl", tc_url);
    }
    Command::new("onStatus", 0.0, Value::Null).with(Value::Object(info))
}

/// `_error` of a request.
pub(super) fn failed(transaction: f64, code: &str, description: &str) -> Command {
    let info = status_object(Level::Error, code, description);
    Command::new("_error", transaction, Value::Null).with(Value::Object(info))
}

/// `_result` of a request that returns `value`.
pub(super) fn result(transaction: f64, value: impl Into<Value>) -> Command {
    Command::new("_result", transaction, Value::Null).with(value)
}

/// `onFCPublish`, `onFCUnpublish` or `onFCSubscribe`.
pub(super) fn announced(name: &str, code: &str, stream: &str) -> Command {
    let mut info = Object::new();
    info.insert("code", code);
    info.insert("description", stream);
    Command::new(name, 0.0, Value::Null).with(Value::Object(info))
}
