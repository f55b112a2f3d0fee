//! What an operator reads when a configuration is refused.

use std::path::Path;

use super::super::Sources;
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

#[test]
fn keys_in_the_wrong_section_are_led_home() {
    refused(
        "gops = 1\n[http]\ngrace = '1s'\n[rtmp]\nbananas = 1\n",
        &[
            "headwater.toml:1:1: gops: there is no such section; did you mean stream.gops?",
            "headwater.toml:3:1: http.grace: there is no such key; did you mean stream.grace?",
            "headwater.toml:5:1: rtmp.bananas: there is no such key; [rtmp] has enable, listen, \
             tls_listen, chunk_size, hevc_out, flush_after, handshake_timeout, setup_timeout, \
             publisher_idle, player_ping, max_message_size, max_chunk_streams",
        ],
    );
}

#[test]
fn wrong_values_are_all_named_with_what_they_should_be() {
    refused(
        "[rtmp]\nenable = \"yes\"\nlisten = [\":1935\", \"foo:12\"]\nchunk_size = -1\n\
         [flv]\nhevc_out = \"legcy\"\n[stream]\ngrace = \"10sec\"\nmax_cache = true\n",
        &[
            "headwater.toml:2:10: rtmp.enable: invalid type: string \"yes\", expected a boolean; \
             the default is enable = true",
            "headwater.toml:3:20: rtmp.listen[1]: \"foo:12\" is neither \":PORT\", for all \
             addresses, nor \"IP:PORT\"; host names are not looked up; the default is listen = \
             [\":1935\"]",
            "headwater.toml:4:14: rtmp.chunk_size: invalid value: integer `-1`, expected a whole \
             number; write chunk_size = 60000, or anything from 128 to 65535",
            "headwater.toml:6:12: flv.hevc_out: \"legcy\" is not one of \"auto\", \"enhanced\", \
             \"legacy\" (did you mean \"legacy\"?); the default is hevc_out = \"auto\"",
            "headwater.toml:8:9: stream.grace: \"sec\" is not a unit; use d, h, m, s or ms; write \
             grace = \"10s\", or anything from 0s to 1h",
            "headwater.toml:9:13: stream.max_cache: invalid type: boolean `true`, expected a size \
             such as \"8MiB\"; write max_cache = \"64MiB\", or anything from 1MiB to 1GiB",
        ],
    );
}

#[test]
fn text_that_is_no_toml_is_refused_where_it_breaks_off() {
    refused(
        "[rtmp]\nlisten = \n",
        &["headwater.toml:2:10: string values must be quoted, expected literal string"],
    );
    refused("a = 1\na = 2\n", &["headwater.toml:2:1: duplicate key"]);
}

#[test]
fn nesting_without_end_is_refused() {
    let nested = "[".repeat(100_000);
    let dotted = "a.".repeat(100_000);
    for text in [format!("a = {nested}"), nested.clone(), format!("{dotted}a = 1")] {
        assert!(read(&text).is_err());
    }
    for argument in [format!("rtmp.listen={nested}"), format!("{dotted}=1")] {
        let sources = Sources { arguments: vec![argument], ..Sources::default() };
        assert!(sources.combine(None).is_err());
    }
    let json = "{\"a\":".repeat(100_000);
    assert!(Sources::default().combine(Some((Path::new("a.json"), json))).is_err());
}

#[test]
fn a_wrong_file_does_not_fill_the_screen() {
    let text = (0..5000).map(|i| format!("key{i} = 1\n")).collect::<String>();
    let error = read(&text).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 21);
    assert!(error.ends_with("\nand 4980 more"));
}

#[test]
fn sections_have_the_right_form() {
    refused(
        "rtmp = 3\n[stream_override]\ngops = 1\n",
        &[
            "headwater.toml:1:1: rtmp: this is a section, not a key; write its keys in it, such as \
             rtmp.enable",
            "headwater.toml:2:2: stream_override: this is a list of tables; begin each with \
             [[stream_override]], in double brackets",
        ],
    );
    refused(
        "[[stream_override]]\nmatch = 'a'\n[[stream_override]]\ngop = 1\ngrace = '1s'\n",
        &[
            "headwater.toml:3:1: stream_override[1]: missing field `match`; each \
             [[stream_override]] needs a match, such as match = \"live/cam*\"",
            "headwater.toml:4:1: stream_override[1].gop: there is no such key; did you mean \
             stream_override[1].gops?",
        ],
    );
}

#[test]
fn values_are_in_range_and_agree() {
    refused(
        "rtmp.listen = [':8080', ':1']\nrtmp.chunk_size = 65536\ntls.cert = 'cert.pem'\n\
         stream.flush_after = '1s'\nserver.id = ''\nserver.default_app = 'a/../b'\n\
         flv.url_prefix = 'live'\nts.url_prefix = ['/a/', '/b']\nmp4.url_prefix = []\n[[stream_override]]\nmatch = ''\nskip_after = '1m30s'\n",
        &[
            "headwater.toml:1:15: rtmp.listen: :8080 is also in http.listen; use another port \
             or address",
            "headwater.toml:2:19: rtmp.chunk_size: 65536 is out of range; use 128 to 65535",
            "headwater.toml:3:12: tls.cert: there is no tls.key for it; set both, or neither for a \
             certificate that the server makes at start",
            "headwater.toml:4:22: stream.flush_after: 1s is out of range; use 0s to 350ms",
            "headwater.toml:5:13: server.id: \"\" is not a name; use 1 to 255 printable characters",
            "headwater.toml:6:22: server.default_app: \"a/../b\" cannot be part of a stream's \
             path; use a name such as \"live\"",
            "headwater.toml:7:18: flv.url_prefix: \"live\" does not begin and end with a slash; \
             write \"/\" for any address, or something like \"/live/\"",
            "headwater.toml:8:17: ts.url_prefix: \"/b\" does not begin and end with a slash; write \
             \"/\" for any address, or something like \"/live/\"",
            "headwater.toml:9:18: mp4.url_prefix: no address could be served; write \"/\" for any \
             address, or something like \"/live/\"",
            "headwater.toml:11:9: stream_override[0].match: the pattern has 0 bytes; use 1 to 255 \
             bytes, such as \"live/*\"",
            "headwater.toml:12:14: stream_override[0].skip_after: 1m30s is out of range; use 500ms \
             to 1m",
        ],
    );
}

#[test]
fn whoever_closes_a_door_must_have_a_key() {
    refused(
        "[auth]\nrequired = 'publish'\nlal_for = []\ncallback = 'auth.example/secret'\n\
         jwt_keys = 'ftp://x'\n[api]\ntoken_file = ''\n",
        &[
            "headwater.toml:4:12: auth.callback: it is not a URL of http or https with a host; \
             write something like \"https://auth.example/headwater\"",
            "headwater.toml:5:12: auth.jwt_keys: it is neither a file nor a URL of http or https \
             with a host; write something like \"https://auth.example/.well-known/jwks.json\"",
            "headwater.toml:7:14: api.token_file: it is empty, and so is api.token; name a file \
             for the token, or set api.token",
        ],
    );
    refused(
        "[auth]\nrequired = ['play']\nlal_for = 'pub_rtmp'\n",
        &[
            "headwater.toml:3:11: auth.lal_for: nobody could show a lal_secret; set auth.lal_key or \
           auth.lal_override",
        ],
    );
    refused(
        "[auth]\nrequired = ['play']\n",
        &["headwater.toml:2:12: auth.required: nobody could show any credentials; add \
           [[auth.users]], or set auth.jwt_secret or auth.jwt_keys"],
    );
    refused(
        "[auth]\njwt_secret = 'fifteen letters'\n[api]\nhosts = ['http://media.example', '*']\n",
        &[
            "headwater.toml:2:14: auth.jwt_secret: it has 15 bytes, and can be guessed from a token; \
             use 16 random characters or more",
            "headwater.toml:4:10: api.hosts[0]: \"http://media.example\" is not the name of a host; \
             write it without scheme and port, such as \"media.example\"",
        ],
    );
    refused(
        "[[auth.users]]\nname = 'a:b'\npassword = 'x'\n[[auth.users]]\nname = 'c'\npassword = ''\n\
         [[auth.users]]\nname = 'c'\npassword = 'y'\n",
        &[
            "headwater.toml:2:8: auth.users[0].name: \"a:b\" is not a name; use 1 to 255 \
             characters, and no colon",
            "headwater.toml:6:12: auth.users[1].password: it has 0 bytes; use 1 to 255 bytes",
            "headwater.toml:8:8: auth.users[2].name: there is another user \"c\"; give each user a \
             name of its own",
        ],
    );
}

#[test]
fn receivers_are_urls_of_http_and_are_not_repeated() {
    refused(
        "[webhooks]\nurl = 'ftp://host/token'\non_update = 'host:80/token'\non_pub_start = \
         ''\non_pub_stop = 'https://u:p@hooks.example:9000/x?y'\n",
        &[
            "headwater.toml:2:7: webhooks.url: it is not a URL of http or https with a host; write \
             something like \"https://hooks.example/headwater\"",
            "headwater.toml:3:13: webhooks.on_update: it is not a URL of http or https with a \
             host; write something like \"https://hooks.example/headwater\"",
        ],
    );
    let long = format!("[webhooks]\nsecret = '{}'\n", "x".repeat(256));
    let expected = "headwater.toml:2:10: webhooks.secret: it has 256 bytes, more than 255; use a \
                    shorter one";
    refused(&long, &[expected]);
    let warnings = read("[webhooks]\nsecret = 'swordfish'\n").unwrap().warnings;
    let short = warnings.iter().find(|w| w.starts_with("webhooks.secret: it can be guessed"));
    assert!(short.is_some_and(|warning| !warning.contains("swordfish")), "{warnings:?}");
    let config = read("[webhooks]\nurl = 'https://u:token@hooks.example:9/token?token'\n");
    let shown = config.unwrap().config.without_secrets();
    assert_eq!(shown["webhooks"]["url"].as_str(), Some("https://hooks.example:9/***"));
    assert_eq!(shown["webhooks"]["on_update"].as_str(), Some(""));
}

#[test]
fn relays_have_addresses_that_can_be_called() {
    refused(
        "relay.retry_min = '1m'\nrelay.origins = ['origin:1935']\n\
         [[relay.pull]]\nstream = 'a/*'\nfrom = []\nstart = 'always'\n\
         [[relay.pull]]\nstream = 'a/b'\nfrom = ['rtsp://u:secret@{name}/x']\n\
         [[relay.push]]\nstream = ''\nto = ['http://h/x', 'rtmp://h/{nmae}', 'rtmp://h/secret{']\n",
        &[
            "headwater.toml:2:18: relay.origins[0]: it is no address; write something like \
             \"rtmp://origin.example\"",
            "headwater.toml:5:8: relay.pull[0].from: there are 0; write 1 to 32 addresses",
            "headwater.toml:6:9: relay.pull[0].start: a pattern does not say which streams there \
             are; write \"on_demand\", or the path of one stream",
            "headwater.toml:9:9: relay.pull[1].from[0]: the host must be written out; write \
             SCHEME://HOST/APP/NAME with rtmp, rtmps, rtsp, rtsps, http, https, ws, wss",
            "headwater.toml:11:10: relay.push[0].stream: it has 0 bytes; write a path such as \
             \"live/camera1\", or a pattern",
            "headwater.toml:12:7: relay.push[0].to[0]: http:// is not possible here; write \
             SCHEME://HOST/APP/NAME with rtmp, rtmps, rtsp, rtsps",
            "headwater.toml:12:21: relay.push[0].to[1]: {nmae} is not one of {path}, {app}, \
             {name}, {query}; write SCHEME://HOST/APP/NAME with rtmp, rtmps, rtsp, rtsps",
            "headwater.toml:12:40: relay.push[0].to[2]: a brace is not closed; write \
             SCHEME://HOST/APP/NAME with rtmp, rtmps, rtsp, rtsps",
            "default: relay.retry_max: 30s is less than relay.retry_min; use a longer time",
        ],
    );
}

#[test]
fn groups_are_where_groups_can_be() {
    for (network, what) in [
        ("192.0.2.0/24", "it is not within 224.0.0.0/4"),
        ("128.0.0.0/1", "it is not within 224.0.0.0/4"),
        ("224.0.0.0/24", "224.0.0.0/24 belongs to the protocols of routers"),
        ("239.255.0.0", "it is no network of IPv4"),
        ("ff15::/16", "it is no network of IPv4"),
    ] {
        let text = format!("[rtsp]\nmulticast_groups = \"{network}\"\n");
        let error = read(&text).unwrap_err().to_string();
        let remedy = "write something like \"239.255.0.0/16\"";
        let expected = format!("rtsp.multicast_groups: {network:?}: {what}; {remedy}");
        assert!(error.ends_with(&expected) && error.lines().count() == 1, "{error}");
    }
    refused(
        "[rtsp]\nmulticast_port_min = 5000\nmulticast_port_max = 5001\n\
         multicast_interface = \"eth0\"\nmulticast_ttl = 0\n",
        &[
            "headwater.toml:3:22: rtsp.multicast_port_max: there is no room for two pairs of ports \
             from 5000 to 5001; use a wider range, such as 20000 to 29999",
            "headwater.toml:4:23: rtsp.multicast_interface: \"eth0\" is no address of IPv4; write \
             the address of the interface, such as \"192.0.2.7\", or \"\"",
            "headwater.toml:5:17: rtsp.multicast_ttl: 0 is out of range; use 1 to 255",
        ],
    );
    assert!(read("[rtsp]\nmulticast_groups = \"232.1.2.3/32\"\n").is_ok());
    let warnings = read("[rtsp]\nudp = false\nmulticast = true\n").unwrap().warnings;
    assert!(warnings.iter().any(|warning| warning.starts_with("rtsp.multicast: ")), "{warnings:?}");
}
