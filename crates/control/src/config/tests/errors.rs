//! What an operator reads when a configuration is refused.

use super::read;

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    let error = read(text).unwrap_err().to_string();
    assert_eq!(error.lines().collect::<Vec<_>>(), expected, "{error}");
}

#[test]
fn mistyped_keys_have_a_suggestion() {
    refused(
        "[rtmp]\nchunksize = 4096\n\n[strem]\ngops = 1\n",
        &[
            "headwater.toml:2:1: rtmp.chunksize: there is no such key; did you mean \
             rtmp.chunk_size?",
            "headwater.toml:4:2: strem: there is no such section; did you mean stream?",
        ],
    );
}
