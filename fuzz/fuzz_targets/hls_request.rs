//! Addresses of HLS: delivery directives and names of files.
//!
//! Laws: nothing panics; what is found in a window has the name that was asked for; what a name is
//! escaped to is a reference.

#![no_main]

use hls::{Directives, Rendition, Settings, name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let window = Rendition::new("cam", Settings::default()).window().clone();
    if let Ok(directives) = Directives::parse(&text) {
        let _ = directives.answer(&window);
    }
    let _ = window.find(&text);
    if let Some(stem) = name::stem(&text) {
        assert!(text.starts_with(stem) && !stem.is_empty());
    }
    let escaped = name::escape(&text);
    assert!(escaped.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
});
