//! What settings of GB/T 28181 must fulfil.

use std::net::IpAddr;

use super::{Checks, MAX_TEXT};

/// Devices with passwords of their own.
const MAX_DEVICES: usize = 100_000;

impl Checks<'_> {
    pub(super) fn gb28181(&mut self) {
        let section = &self.config.gb28181;
        let is_id = |id: &str| id.len() == 20 && id.bytes().all(|c| c.is_ascii_digit());
        if !is_id(&section.id) {
            let what = format!("{:?} is no id of GB/T 28181", section.id);
            let remedy = "write 20 digits, such as \"34020000002000000001\"";
            self.report("gb28181.id", what, remedy);
        }
        let is_domain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        if section.domain.len() > MAX_TEXT || !section.domain.chars().all(is_domain) {
            let what = format!("{:?} is no domain", section.domain);
            self.report("gb28181.domain", what, "write something like \"3402000000\"");
        }
        let app = &section.app;
        let is_item = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if app.is_empty() || app.len() > MAX_TEXT || !app.chars().all(is_item) || app == ".." {
            let what = format!("{app:?} cannot be part of a stream's path");
            self.report("gb28181.app", what, "use a name such as \"gb\"");
        }
        if !section.media_address.is_empty() && section.media_address.parse::<IpAddr>().is_err() {
            let what = format!("{:?} is no IP address", section.media_address);
            self.report("gb28181.media_address", what, "write an address that devices can reach");
        }
        for (number, device) in section.devices.iter().enumerate() {
            if !is_id(&device.id) || device.password.is_empty() {
                let what = format!("device {} has no 20 digits, or no password", number + 1);
                self.report("gb28181.devices", what, "write id = \"20 digits\" and a password");
            }
        }
        if section.devices.len() > MAX_DEVICES {
            let what = format!("there are more than {MAX_DEVICES}");
            self.report("gb28181.devices", what, "give them the same password");
        }
        if section.listen.is_empty() {
            return;
        }
        if section.listen.iter().count() > 1 {
            let what = "there is more than one";
            self.report("gb28181.listen", what, "name one: \":PORT\" listens on all addresses");
        }
        if section.password.is_empty() && section.devices.is_empty() && !section.open {
            let what = "it is empty, and so is gb28181.devices: no device could register";
            self.report("gb28181.password", what, "set it, or open = true to let everybody in");
        }
        if section.shared_port && self.config.ps.shared_listen.is_empty() {
            let what = "there is no ps.shared_listen";
            self.report("gb28181.shared_port", what, "set ps.shared_listen, such as \":9000\"");
        }
        if section.shared_port && section.transport == crate::values::DeviceTransport::TcpActive {
            let what = "a connection that the server makes has no port to share";
            self.report("gb28181.shared_port", what, "use transport \"udp\" or \"tcp\"");
        }
    }
}
