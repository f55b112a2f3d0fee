//! The rules of a platform.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use auth::Algorithm;

use crate::id::Id;

/// The rules of a platform.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its identifier.
    pub id: Id,
    /// Its domain: the first ten digits of its identifier, unless people have chosen another.
    pub domain: String,
    /// What passwords are for; the domain.
    pub realm: String,
    /// Where devices reach it; stands in `Via` and `Contact`.
    pub address: SocketAddr,
    /// What it calls itself.
    pub user_agent: String,
    /// The password of all devices that have none of their own.
    pub password: Option<String>,
    /// The passwords of devices.
    pub passwords: HashMap<Id, String>,
    /// Whether devices for which there is no password may register. Otherwise they are refused.
    pub open: bool,
    /// How devices can prove that they know the password, in the order in which it is offered.
    /// Many devices look at the first way alone.
    pub algorithms: Vec<Algorithm>,
    /// How often devices say that they are there.
    pub keepalive: Duration,
    /// How often they may fail to before they count as gone.
    pub misses: u32,
    /// The shortest time that a registration holds.
    pub min_expires: Duration,
    /// The longest time that a registration holds.
    pub max_expires: Duration,
    /// Devices that may be registered at once.
    pub max_devices: usize,
    /// How long a device may take to answer a call.
    pub answer_timeout: Duration,
    /// How long to wait for the next part of a catalogue.
    pub catalogue_timeout: Duration,
    /// Whether devices are told the time when they register.
    pub set_clocks: bool,
    /// How far the clocks of devices are ahead of UTC, in seconds.
    pub utc_offset: i32,
}

impl Settings {
    /// The usual rules, without passwords, for a platform with this identifier and address.
    #[must_use]
    pub fn new(id: Id, address: SocketAddr) -> Self {
        Self {
            id,
            domain: id.domain().to_owned(),
            realm: id.domain().to_owned(),
            address,
            user_agent: "Headwater".to_owned(),
            password: None,
            passwords: HashMap::new(),
            open: false,
            algorithms: vec![Algorithm::Md5],
            keepalive: Duration::from_secs(60),
            misses: 3,
            min_expires: Duration::from_secs(60),
            max_expires: Duration::from_secs(24 * 3600),
            max_devices: 10_000,
            answer_timeout: Duration::from_secs(15),
            catalogue_timeout: Duration::from_secs(15),
            set_clocks: true,
            // The time of Beijing, which all of China has.
            utc_offset: 8 * 3600,
        }
    }

    /// The password of a device.
    pub(super) fn password_of(&self, device: Id) -> Option<&str> {
        self.passwords.get(&device).or(self.password.as_ref()).map(String::as_str)
    }
}

/// Without secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("id", &self.id).finish_non_exhaustive()
    }
}
