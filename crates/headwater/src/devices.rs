//! Orders of operators for cameras and recorders that register here.

use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use control::devices::{
    Channel, Control, Device, DeviceError, DeviceRecording, DeviceRecordings, Devices, Playback,
};
use hub::StreamName;
use session::gb28181::ptz::{Command, Pan, Tilt, Zoom};
use session::gb28181::{self, Id, State};

use crate::operations::House;

fn id(text: &str) -> Result<Id, DeviceError> {
    text.parse().map_err(|_| DeviceError::Id(text.to_owned()))
}

fn refused(error: gb28181::DeviceError) -> DeviceError {
    let text = error.to_string();
    match error {
        gb28181::DeviceError::NotOnline(_) => DeviceError::NotOnline(text),
        gb28181::DeviceError::NotCalled(_) => DeviceError::NotCalled(text),
        gb28181::DeviceError::Failed(_) => DeviceError::Failed(text),
        _ => DeviceError::Busy(text),
    }
}

impl House {
    fn registered(&self) -> Result<&gb28181::Devices, DeviceError> {
        self.devices.as_deref().ok_or(DeviceError::Off)
    }
}

/// What the API tells of a device.
fn view(devices: &gb28181::Devices, device: gb28181::Device) -> Device {
    let (online, gone) = match device.state {
        State::Online => (true, None),
        State::Offline(since) => (false, Some(since)),
    };
    let said = |of: fn(&gb28181::DeviceInfo) -> &String| {
        device.info.as_ref().map(|info| of(info).clone()).filter(|text| !text.is_empty())
    };
    let channels = device.channels.iter().map(|channel| Channel {
        id: channel.id.to_string(),
        name: channel.name.clone(),
        manufacturer: channel.manufacturer.clone(),
        model: channel.model.clone(),
        address: channel.address.clone(),
        parent: channel.parent.clone(),
        is_folder: channel.parental,
        online: channel.online,
        stream: devices.stream_of(device.id, channel.id).ok(),
    });
    Device {
        id: device.id.to_string(),
        online,
        address: device.address,
        transport: device.transport,
        since: device.since,
        alive: device.alive,
        gone,
        name: said(|info| &info.name),
        manufacturer: said(|info| &info.manufacturer),
        model: said(|info| &info.model),
        firmware: said(|info| &info.firmware),
        channels: channels.collect(),
        version: device.version,
        alarm: device.alarm,
    }
}

impl Devices for House {
    fn devices(&self, range: Range<usize>) -> Result<(usize, Vec<Device>), DeviceError> {
        let devices = self.registered()?;
        let (total, listed) = devices.list(range);
        Ok((total, listed.into_iter().map(|device| view(devices, device)).collect()))
    }

    fn device(&self, device: &str) -> Result<Device, DeviceError> {
        let devices = self.registered()?;
        let found = devices.find(id(device)?).ok_or(DeviceError::Absent)?;
        Ok(view(devices, found))
    }

    fn refresh(&self, device: &str) -> Result<(), DeviceError> {
        self.registered()?.refresh(id(device)?).map_err(refused)
    }

    fn play(
        &self,
        device: &str,
        channel: &str,
        recording: Option<(u64, u64)>,
    ) -> Result<StreamName, DeviceError> {
        self.registered()?.play(id(device)?, id(channel)?, recording).map_err(refused)
    }

    fn recorded_by(
        &self,
        device: &str,
        channel: &str,
        span: (u64, u64),
    ) -> Pin<Box<dyn Future<Output = Result<DeviceRecordings, DeviceError>> + Send>> {
        let devices = self.devices.clone().ok_or(DeviceError::Off);
        let (device, channel) = (id(device), id(channel));
        Box::pin(async move {
            let told = devices?.recordings(device?, channel?, span).await.map_err(refused)?;
            let items = told.items.into_iter().map(|item| {
                let gb28181::Recording { start, end, name, kind, bytes } = item;
                DeviceRecording { start, end, name, kind, bytes }
            });
            Ok(DeviceRecordings { items: items.collect(), complete: told.complete })
        })
    }

    fn stop_playing(&self, stream: &StreamName) -> Result<(), DeviceError> {
        self.registered()?.stop(stream).map_err(refused)
    }

    fn playback(&self, stream: &StreamName, order: Playback) -> Result<(), DeviceError> {
        let order = match order {
            Playback::Resume => gb28181::Playback::Play,
            Playback::Pause => gb28181::Playback::Pause,
            Playback::Speed(speed) => gb28181::Playback::Scale(speed),
            Playback::Seek(seconds) => gb28181::Playback::Seek(Duration::from_secs(seconds)),
        };
        self.registered()?.playback(stream, order).map_err(refused)
    }

    fn control(&self, device: &str, channel: &str, order: Control) -> Result<(), DeviceError> {
        let order = match order {
            Control::Move { pan, tilt, zoom, speed } => {
                gb28181::Control::Ptz(movement(pan, tilt, zoom, speed))
            }
            Control::SetPreset(preset) => gb28181::Control::Ptz(Command::SetPreset(preset)),
            Control::CallPreset(preset) => gb28181::Control::Ptz(Command::CallPreset(preset)),
            Control::DeletePreset(preset) => gb28181::Control::Ptz(Command::DeletePreset(preset)),
            Control::KeyFrame => gb28181::Control::KeyFrame,
            Control::Reboot => gb28181::Control::Reboot,
            Control::Record(begin) => gb28181::Control::Record(begin),
        };
        self.registered()?.control(id(device)?, id(channel)?, order).map_err(refused)
    }
}

fn movement(pan: i8, tilt: i8, zoom: i8, speed: u8) -> Command {
    Command::Move {
        pan: match pan {
            ..0 => Pan::Left,
            0 => Pan::Stay,
            1.. => Pan::Right,
        },
        tilt: match tilt {
            ..0 => Tilt::Down,
            0 => Tilt::Stay,
            1.. => Tilt::Up,
        },
        zoom: match zoom {
            ..0 => Zoom::Out,
            0 => Zoom::Stay,
            1.. => Zoom::In,
        },
        pan_speed: speed,
        tilt_speed: speed,
        // 16 steps, of which the first is to stand still.
        zoom_speed: (speed / 16).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_zoom_moves() {
        assert_eq!(movement(0, 0, 1, 1).to_string(), "A50F0110010110D7");
        assert_eq!(movement(-1, 0, -1, 255).to_string(), "A50F0122FFFFF0C5");
    }
}
