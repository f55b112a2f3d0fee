//! `in_session`: silent audio for streams without any.
//!
//! Here it gives way to the publisher's own, however late that comes. It is wanted under `rtmp`, too,
//! where its keys were before lal 0.32; the wait is our default where none is set.

use serde::Deserialize;
use toml::Value;

use super::{Translation, on};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DummyAudio {
    add_dummy_audio_enable: Option<bool>,
    add_dummy_audio_wait_audio_ms: Option<i64>,
}

impl DummyAudio {
    /// `once` is what stands in the old place.
    pub(super) fn translate(&self, once: &Self, translation: &mut Translation<'_>) {
        let enabled = on(self.add_dummy_audio_enable.or(once.add_dummy_audio_enable));
        let key = "in_session.add_dummy_audio_enable";
        translation.put("stream.silent_audio", Value::from(enabled), key);
        let wait = self.add_dummy_audio_wait_audio_ms.or(once.add_dummy_audio_wait_audio_ms);
        if let Some(wait) = wait.filter(|_| enabled) {
            let key = "in_session.add_dummy_audio_wait_audio_ms";
            translation.put_within("stream.silent_audio_after", wait, key);
        }
    }
}
