//! Configurations: TOML of ours and JSON of lal's, from a file as `serve -c` reads it.
//!
//! Law: what is accepted renders to a file that is accepted, and means the same.

#![no_main]

use std::fs;

use config::load;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, text)) = data.split_first() else { return };
    let extension = if first % 2 == 0 { "toml" } else { "json" };
    let name = format!("headwater-fuzz-{}.{extension}", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, text).expect("a temporary file");
    let loaded = load(&path);
    if let Ok(loaded) = &loaded
        && extension == "toml"
    {
        fs::write(&path, loaded.render()).expect("a temporary file");
        let again = load(&path).expect("what was rendered is a configuration");
        assert_eq!(again.config, loaded.config);
    }
    let _ = fs::remove_file(&path);
});
