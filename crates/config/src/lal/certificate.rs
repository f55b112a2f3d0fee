//! lal's certificates, one for each listener, of which one serves for all here.

use std::path::Path;

use toml::Value;

use super::{Conf, Served, Translation, on};

/// What is served with TLS.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tls {
    pub(super) rtmps: bool,
    pub(super) rtsps: bool,
    /// As [`Conf::served`] has them.
    pub(super) https: [bool; 3],
}

/// A listener with TLS that is wanted.
struct Wanted<'a> {
    name: &'static str,
    key: &'static str,
    cert: &'a str,
    private: &'a str,
}

impl<'a> Wanted<'a> {
    fn new(
        enabled: Option<bool>,
        [name, key]: [&'static str; 2],
        cert: Option<&'a str>,
        private: Option<&'a str>,
    ) -> Option<Self> {
        let (cert, private) = (cert.unwrap_or_default(), private.unwrap_or_default());
        on(enabled).then_some(Self { name, key, cert, private })
    }

    fn files(&self) -> [&'a str; 2] {
        [self.cert, self.private]
    }
}

impl Translation<'_> {
    /// Takes the first certificate of those that are wanted and there. Listeners whose own is not
    /// there are left out, as lal does.
    pub(super) fn certificate(&mut self, conf: &Conf, exists: &dyn Fn(&Path) -> bool) -> Tls {
        let Conf { rtmp, rtsp, .. } = conf;
        let [flv, ts, hls] = conf.served();
        let of_rtmps = (rtmp.rtmps_cert_file.as_deref(), rtmp.rtmps_key_file.as_deref());
        let of_rtsps = (rtsp.rtsps_cert_file.as_deref(), rtsp.rtsps_key_file.as_deref());
        let all = [
            https(conf, flv, ["HTTPS of httpflv", "httpflv.https_cert_file"]),
            https(conf, ts, ["HTTPS of httpts", "httpts.https_cert_file"]),
            https(conf, hls, ["HTTPS of hls", "hls.https_cert_file"]),
            Wanted::new(
                rtmp.rtmps_enable,
                ["RTMPS", "rtmp.rtmps_cert_file"],
                of_rtmps.0,
                of_rtmps.1,
            ),
            Wanted::new(
                rtsp.rtsps_enable,
                ["RTSPS", "rtsp.rtsps_cert_file"],
                of_rtsps.0,
                of_rtsps.1,
            ),
        ];
        let is_there =
            |wanted: &Wanted<'_>| wanted.files().iter().all(|file| exists(Path::new(file)));
        let chosen = all.iter().flatten().find(|wanted| is_there(wanted));
        let mut said = Vec::new();
        for wanted in all.iter().flatten() {
            let Wanted { name, key, cert, private } = wanted;
            let warning = match chosen {
                _ if !is_there(wanted) => {
                    format!(
                        "{key}: {cert:?} or its key {private:?} is not there; {name} is left out"
                    )
                }
                Some(chosen) if chosen.files() != wanted.files() => format!(
                    "{key} and its key are not those of {}; there is one certificate for all \
                     listeners, and that of {0} is taken",
                    chosen.name
                ),
                _ => continue,
            };
            // Several may have one certificate.
            if !said.contains(&warning) {
                said.push(warning);
            }
        }
        self.warnings.append(&mut said);
        if let Some(Wanted { key, cert, private, .. }) = chosen {
            self.put("tls.cert", Value::from(*cert), key);
            self.put("tls.key", Value::from(*private), key);
        }
        let [flv, ts, hls, rtmps, rtsps] =
            all.map(|wanted| wanted.is_some_and(|wanted| is_there(&wanted)));
        Tls { rtmps, rtsps, https: [flv, ts, hls] }
    }
}

/// HTTPS of one protocol, by its own name if it has files of its own.
fn https<'a>(conf: &'a Conf, served: &'a Served, own: [&'static str; 2]) -> Option<Wanted<'a>> {
    let all = &conf.default_http;
    let has_own = served.https_cert_file.is_some() || served.https_key_file.is_some();
    let names = if has_own { own } else { ["HTTPS", "default_http.https_cert_file"] };
    let cert = served.https_cert_file.as_deref().or(all.https_cert_file.as_deref());
    let private = served.https_key_file.as_deref().or(all.https_key_file.as_deref());
    Wanted::new(served.enable_https, names, cert, private)
}
