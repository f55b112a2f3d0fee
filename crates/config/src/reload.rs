//! What a new configuration changes while the server runs.

use super::schema::Effect;
use super::{Config, OVERRIDES};

/// The keys that differ between two configurations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reload {
    /// Those that hold at once, for what begins afterwards.
    pub applied: Vec<String>,
    /// Those that hold when the server is started again.
    pub needs_restart: Vec<String>,
}

impl Reload {
    /// Compares key by key.
    pub(super) fn between(old: &Config, new: &Config) -> Self {
        let (before, after) = (old.to_table(), new.to_table());
        let mut reload = Self::default();
        for section in Config::SECTIONS {
            for key in section.keys {
                let value = |table: &toml::Table| table.get(section.name)?.get(key.name).cloned();
                if value(&before) != value(&after) {
                    let path = format!("{}.{}", section.name, key.name);
                    match key.effect {
                        Effect::Live => reload.applied.push(path),
                        Effect::Restart => reload.needs_restart.push(path),
                    }
                }
            }
        }
        if old.stream_override != new.stream_override {
            reload.applied.push(OVERRIDES.to_owned());
        }
        reload
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.needs_restart.is_empty()
    }
}
