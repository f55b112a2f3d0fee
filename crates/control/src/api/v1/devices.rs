//! Cameras and recorders that register here (GB/T 28181).

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Json;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::relays::refused as misnamed;
use super::{Answer, Body, Fault, Paging, Params};
use crate::api::Api;
use crate::devices::{self, DeviceError, DeviceRecording, DeviceRecordings};

/// A device.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeviceView {
    /// Its 20 digits.
    id: String,
    /// Whether it can be spoken with.
    online: bool,
    /// Where it was last heard from.
    address: String,
    /// `UDP` or `TCP`.
    transport: &'static str,
    /// When it registered.
    since: String,
    /// When it last said that it is there.
    alive: String,
    /// Since when it has been gone.
    gone: Option<String>,
    /// Its name, as it says.
    name: Option<String>,
    /// Who made it, as it says.
    manufacturer: Option<String>,
    /// What it is, as it says.
    model: Option<String>,
    /// Its program, as it says.
    firmware: Option<String>,
    /// The edition of the standard that it says it knows.
    version: Option<String>,
    /// The last alarm.
    alarm: Option<String>,
    /// What is in it.
    channels: Vec<ChannelView>,
}

/// A channel of a device.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChannelView {
    /// Its 20 digits.
    id: String,
    /// Its name.
    name: String,
    /// Who made it.
    manufacturer: String,
    /// What it is.
    model: String,
    /// Where it is.
    address: String,
    /// What it belongs to.
    parent: String,
    /// Whether it has others in it.
    is_folder: bool,
    /// Whether it is there, as the device says.
    online: Option<bool>,
    /// The stream to watch: the device sends while somebody does.
    stream: Option<String>,
}

impl From<devices::Device> for DeviceView {
    fn from(device: devices::Device) -> Self {
        let time = |time| Timestamp::try_from(time).unwrap_or_default().to_string();
        let channels = device.channels.into_iter().map(|channel| ChannelView {
            id: channel.id,
            name: channel.name,
            manufacturer: channel.manufacturer,
            model: channel.model,
            address: channel.address,
            parent: channel.parent,
            is_folder: channel.is_folder,
            online: channel.online,
            stream: channel.stream.map(|stream| stream.to_string()),
        });
        Self {
            id: device.id,
            online: device.online,
            address: device.address.to_string(),
            transport: device.transport,
            since: time(device.since),
            alive: time(device.alive),
            gone: device.gone.map(time),
            name: device.name,
            manufacturer: device.manufacturer,
            model: device.model,
            firmware: device.firmware,
            version: device.version,
            alarm: device.alarm,
            channels: channels.collect(),
        }
    }
}

/// A page of devices.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Devices {
    /// Whether devices can register here at all.
    enabled: bool,
    /// How many were found.
    total: usize,
    items: Vec<DeviceView>,
}

fn refused(error: DeviceError) -> Fault {
    let status = match error {
        DeviceError::Id(_) => StatusCode::BAD_REQUEST,
        DeviceError::Absent | DeviceError::Off | DeviceError::NotCalled(_) => StatusCode::NOT_FOUND,
        DeviceError::NotOnline(_) => StatusCode::CONFLICT,
        DeviceError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        DeviceError::Failed(_) => StatusCode::BAD_GATEWAY,
    };
    Fault::new(status, error.to_string())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// A part of what is known of a device or of one of its channels: id, name, manufacturer,
    /// model or address; whatever its case.
    #[serde(default)]
    search: String,
}

/// Whether something of a device has `search` in it, which is in lower case.
fn is_found(device: &devices::Device, search: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(search);
    let told = [&device.name, &device.manufacturer, &device.model];
    search.is_empty()
        || has(&device.id)
        || has(&device.address.to_string())
        || told.into_iter().flatten().any(|text| has(text))
        || device.channels.iter().any(|channel| {
            [&channel.id, &channel.name, &channel.manufacturer, &channel.model, &channel.address]
                .into_iter()
                .any(|text| has(text))
        })
}

/// Devices that have registered, by id.
#[utoipa::path(get, path = "/api/v1/devices", params(Filter, Paging), responses(
    (status = 200, body = Devices), (status = 400, body = Fault)))]
pub(super) async fn list(
    State(api): State<Api>,
    Params(filter): Params<Filter>,
    Params(page): Params<Paging>,
) -> Answer<Devices> {
    page.check()?;
    let search = filter.search.to_lowercase();
    let range = if search.is_empty() { page.range() } else { 0..usize::MAX };
    let told = api.operations.devices(range);
    let enabled = told.is_ok();
    let (mut total, mut items) = told.unwrap_or_default();
    if !search.is_empty() {
        items.retain(|device| is_found(device, &search));
        (total, items) = page.cut(items);
    }
    Ok(Json(Devices { enabled, total, items: items.into_iter().map(DeviceView::from).collect() }))
}

/// One device.
#[utoipa::path(get, path = "/api/v1/devices/{id}", params(("id" = String, Path)), responses(
    (status = 200, body = DeviceView), (status = 400, body = Fault), (status = 404, body = Fault)))]
pub(super) async fn one(State(api): State<Api>, Path(id): Path<String>) -> Answer<DeviceView> {
    api.operations.device(&id).map(|device| Json(device.into())).map_err(refused)
}

/// Which device is meant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Its 20 digits.
    device: String,
}

/// That it was told to a device; what comes of it shows later.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Told {
    told: bool,
}

const TOLD: Json<Told> = Json(Told { told: true });

/// Asks a device again what it has.
#[utoipa::path(post, path = "/api/v1/devices/refresh", request_body = Which, responses(
    (status = 200, body = Told), (status = 400, body = Fault), (status = 404, body = Fault),
    (status = 409, body = Fault), (status = 415, body = Fault), (status = 422, body = Fault),
    (status = 503, body = Fault)))]
pub(super) async fn refresh(State(api): State<Api>, Body(which): Body<Which>) -> Answer<Told> {
    api.operations.refresh(&which.device).map(|()| TOLD).map_err(refused)
}

/// What is to be sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    /// The device's 20 digits.
    device: String,
    /// The channel's 20 digits.
    channel: String,
    /// For a recording: from when, in seconds since 1970.
    start: Option<u64>,
    /// For a recording: until when, in seconds since 1970.
    end: Option<u64>,
}

/// What it becomes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Playing {
    /// The stream's path.
    stream: String,
}

/// Asks a channel to send, viewers or not, until that is stopped. Whoever only watches need not ask:
/// the stream of a channel comes by itself.
#[utoipa::path(post, path = "/api/v1/devices/play", request_body = Call, responses(
    (status = 200, body = Playing), (status = 400, body = Fault), (status = 404, body = Fault),
    (status = 409, body = Fault), (status = 415, body = Fault), (status = 422, body = Fault),
    (status = 503, body = Fault)))]
pub(super) async fn play(State(api): State<Api>, Body(wanted): Body<Call>) -> Answer<Playing> {
    let recording = match (wanted.start, wanted.end) {
        (None, None) => None,
        (Some(start), Some(end)) if start < end => Some((start, end)),
        _ => {
            let text = "a recording has start and end, the start before the end";
            return Err(Fault::new(StatusCode::BAD_REQUEST, text));
        }
    };
    let stream = api.operations.play(&wanted.device, &wanted.channel, recording);
    stream.map(|stream| Json(Playing { stream: stream.to_string() })).map_err(refused)
}

/// Which recordings are meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Span {
    /// The device's 20 digits.
    device: String,
    /// The channel's 20 digits.
    channel: String,
    /// From when, in seconds since 1970.
    start: u64,
    /// Until when, in seconds since 1970.
    end: u64,
}

/// A recording of a device.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecordingOfDevice {
    /// When it begins, in seconds since 1970.
    start: u64,
    /// When it ends, in seconds since 1970.
    end: u64,
    /// What it is called.
    name: String,
    /// Why it was made, as the device says: `time`, `alarm`, `manual`.
    kind: String,
    /// How many bytes it has, if the device says.
    size_bytes: Option<u64>,
}

/// What a channel has recorded.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecordingsOfDevice {
    /// Whether those are all that the device has announced.
    complete: bool,
    /// By time.
    items: Vec<RecordingOfDevice>,
}

/// The end of the year 9999, the last that devices can name.
const LAST: u64 = 253_402_300_799;

/// What a channel has recorded, as the device says, which may take half a minute. `start` and `end`
/// of one, or of a part, are what `play` takes.
#[utoipa::path(get, path = "/api/v1/devices/recordings", params(Span), responses(
    (status = 200, body = RecordingsOfDevice), (status = 400, body = Fault),
    (status = 404, body = Fault), (status = 409, body = Fault), (status = 502, body = Fault),
    (status = 503, body = Fault)))]
pub(super) async fn recordings(
    State(api): State<Api>,
    Params(span): Params<Span>,
) -> Answer<RecordingsOfDevice> {
    let Span { device, channel, start, end } = span;
    if start >= end || end > LAST {
        let text = "the start is before the end, in seconds since 1970";
        return Err(Fault::new(StatusCode::BAD_REQUEST, text));
    }
    let told = api.operations.recorded_by(&device, &channel, (start, end)).await;
    let DeviceRecordings { items, complete } = told.map_err(refused)?;
    let items = items.into_iter().map(|item| {
        let DeviceRecording { start, end, name, kind, bytes } = item;
        RecordingOfDevice { start, end, name, kind, size_bytes: bytes }
    });
    Ok(Json(RecordingsOfDevice { complete, items: items.collect() }))
}

/// Which stream is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfStream {
    /// The stream's path.
    stream: String,
}

/// Has a channel send no more. It begins again when somebody watches.
#[utoipa::path(delete, path = "/api/v1/devices/play", params(OfStream), responses(
    (status = 200, body = Told), (status = 400, body = Fault), (status = 404, body = Fault),
    (status = 503, body = Fault)))]
pub(super) async fn stop(State(api): State<Api>, Params(which): Params<OfStream>) -> Answer<Told> {
    let stream = api.operations.stream(&which.stream).map_err(misnamed)?;
    api.operations.stop_playing(&stream).map(|()| TOLD).map_err(refused)
}

/// How a recording is to go on: one of these.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Playback {
    /// The stream's path.
    stream: String,
    /// `true` lets it wait, `false` lets it go on.
    pause: Option<bool>,
    /// So many times as fast; less than 0 is backwards.
    #[schema(minimum = -16, maximum = 16)]
    speed: Option<f32>,
    /// At so many seconds from its beginning.
    seek: Option<u64>,
}

/// Tells the sender of a recording how to go on.
#[utoipa::path(post, path = "/api/v1/devices/playback", request_body = Playback, responses(
    (status = 200, body = Told), (status = 400, body = Fault), (status = 404, body = Fault),
    (status = 415, body = Fault), (status = 422, body = Fault), (status = 503, body = Fault)))]
pub(super) async fn playback(State(api): State<Api>, Body(wanted): Body<Playback>) -> Answer<Told> {
    let order = match (wanted.pause, wanted.speed, wanted.seek) {
        (Some(true), None, None) => devices::Playback::Pause,
        (Some(false), None, None) => devices::Playback::Resume,
        (None, Some(speed), None) if speed != 0.0 && speed.abs() <= 16.0 => {
            devices::Playback::Speed(speed)
        }
        (None, None, Some(seconds)) => devices::Playback::Seek(seconds),
        _ => {
            let text = "name one of pause, speed (-16 to 16, not 0) and seek";
            return Err(Fault::new(StatusCode::BAD_REQUEST, text));
        }
    };
    let stream = api.operations.stream(&wanted.stream).map_err(misnamed)?;
    api.operations.playback(&stream, order).map(|()| TOLD).map_err(refused)
}

/// What a channel is to do.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    /// Turn and zoom, until `stop`.
    Move,
    /// Turn and zoom no more.
    Stop,
    /// Remember the view under `preset`.
    SetPreset,
    /// Go to the view of `preset`.
    CallPreset,
    /// Forget the view of `preset`.
    DeletePreset,
    /// Make the next picture a key frame.
    KeyFrame,
    /// Record.
    Record,
    /// Record no more.
    StopRecord,
    /// Start anew.
    Reboot,
}

/// What a channel is told.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Control {
    /// The device's 20 digits.
    device: String,
    /// The channel's 20 digits.
    channel: String,
    #[schema(inline)]
    action: Action,
    /// With `move`: -1 to the left, 1 to the right.
    #[serde(default)]
    #[schema(minimum = -1, maximum = 1)]
    pan: i8,
    /// With `move`: -1 down, 1 up.
    #[serde(default)]
    #[schema(minimum = -1, maximum = 1)]
    tilt: i8,
    /// With `move`: -1 wider, 1 nearer.
    #[serde(default)]
    #[schema(minimum = -1, maximum = 1)]
    zoom: i8,
    /// With `move`: how fast.
    #[serde(default = "half")]
    #[schema(minimum = 1, maximum = 255, default = 128)]
    speed: u8,
    /// With presets: which.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 255)]
    preset: u8,
}

fn half() -> u8 {
    128
}

/// Turns a camera, and the like.
#[utoipa::path(post, path = "/api/v1/devices/control", request_body = Control, responses(
    (status = 200, body = Told), (status = 400, body = Fault), (status = 404, body = Fault),
    (status = 409, body = Fault), (status = 415, body = Fault), (status = 422, body = Fault),
    (status = 503, body = Fault)))]
pub(super) async fn control(State(api): State<Api>, Body(wanted): Body<Control>) -> Answer<Told> {
    let bad = |text: &str| Err(Fault::new(StatusCode::BAD_REQUEST, text));
    let Control { pan, tilt, zoom, speed, preset, .. } = wanted;
    let order = match wanted.action {
        Action::Move => {
            if [pan, tilt, zoom].iter().any(|step| !(-1..=1).contains(step)) || speed == 0 {
                return bad("pan, tilt and zoom are -1, 0 or 1, and speed is 1 to 255");
            }
            devices::Control::Move { pan, tilt, zoom, speed }
        }
        Action::Stop => devices::Control::Move { pan: 0, tilt: 0, zoom: 0, speed: 1 },
        Action::SetPreset | Action::CallPreset | Action::DeletePreset if preset == 0 => {
            return bad("preset is 1 to 255");
        }
        Action::SetPreset => devices::Control::SetPreset(preset),
        Action::CallPreset => devices::Control::CallPreset(preset),
        Action::DeletePreset => devices::Control::DeletePreset(preset),
        Action::KeyFrame => devices::Control::KeyFrame,
        Action::Record => devices::Control::Record(true),
        Action::StopRecord => devices::Control::Record(false),
        Action::Reboot => devices::Control::Reboot,
    };
    let told = api.operations.control(&wanted.device, &wanted.channel, order);
    told.map(|()| TOLD).map_err(refused)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn devices_are_found_by_what_is_known_of_them() {
        let channel = devices::Channel {
            id: "34020000001320000002".to_owned(),
            name: "东门 Gate".to_owned(),
            manufacturer: String::new(),
            model: String::new(),
            address: "Building 2".to_owned(),
            parent: String::new(),
            is_folder: false,
            online: None,
            stream: None,
        };
        let device = devices::Device {
            id: "34020000001180000001".to_owned(),
            online: true,
            address: "192.0.2.7:5060".parse().unwrap(),
            transport: "UDP",
            since: SystemTime::UNIX_EPOCH,
            alive: SystemTime::UNIX_EPOCH,
            gone: None,
            name: Some("Recorder".to_owned()),
            manufacturer: Some("Uniview".to_owned()),
            model: None,
            firmware: None,
            version: None,
            alarm: None,
            channels: vec![channel],
        };
        for search in
            ["", "1180000001", "recorder", "uni", "192.0.2.7", "东门", "gate", "building 2"]
        {
            assert!(is_found(&device, search), "{search}");
        }
        assert!(!is_found(&device, "camera"));
    }
}
