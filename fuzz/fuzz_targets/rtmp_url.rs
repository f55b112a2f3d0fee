//! RTMP URLs, and the stream addresses of applications and names.
//!
//! Laws: a URL that was read and written reads the same again; an address is its own address.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmp::url::{Target, normalise};

fuzz_target!(|text: &str| {
    if let Ok(target) = Target::parse(text) {
        let again = Target::parse(&target.to_string()).expect("what was written is well-formed");
        assert_eq!(again, Target { credentials: None, ..target.clone() });
        let _ = normalise(&target.app, &target.name);
    }
    let (app, name) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(address) = normalise(app, name) {
        assert!(!address.name.is_empty());
        assert!(!address.path().split('/').any(|part| matches!(part, "" | "." | "..")));
        let again = normalise(&address.app, &format!("{}?{}", address.name, address.query));
        assert_eq!(again, Ok(address));
    }
});
