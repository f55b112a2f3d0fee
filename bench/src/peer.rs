//! How the peers from registries are configured: their defaults, on the given ports, without logs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::server::{Ports, Programs};

/// Where Debian puts the module.
const NGINX_MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";
/// What to do about a peer that is not there.
const INSTALL: &str = "not installed; `scripts/setup bench` does that";

/// A program and its arguments.
pub type Invocation = (PathBuf, Vec<String>);

/// nginx with its RTMP module: one process, no log of accesses.
///
/// # Errors
/// When it is not installed.
pub fn nginx(ports: Ports, directory: &Path) -> Result<Invocation> {
    if !Path::new(NGINX_MODULE).exists() {
        bail!(INSTALL);
    }
    let (port, shown) = (ports.rtmp, directory.display());
    let config = format!(
        "load_module {NGINX_MODULE};\n\
         daemon off; master_process off; pid {shown}/nginx.pid; error_log {shown}/error.log warn;\n\
         worker_rlimit_nofile 65536;\n\
         events {{ worker_connections 16384; }}\n\
         rtmp {{ access_log off; server {{ listen 127.0.0.1:{port};\n\
         application live {{ live on; }} }} }}\n"
    );
    let path = directory.join("nginx.conf");
    fs::write(&path, config)?;
    let arguments = ["-p", &shown.to_string(), "-c", &path.display().to_string()];
    Ok((PathBuf::from("nginx"), arguments.map(str::to_owned).to_vec()))
}

/// xiu, with its cache of one GOP, as its own examples have it.
///
/// # Errors
/// When it is not installed.
pub fn xiu(ports: Ports, programs: &Programs, directory: &Path) -> Result<Invocation> {
    let program = xiu_program(programs);
    if !program.exists() {
        bail!(INSTALL);
    }
    let Ports { rtmp, http, other, .. } = ports;
    let config = format!(
        "[rtmp]\nenabled = true\nport = {rtmp}\ngop_num = 1\n\n\
         [httpflv]\nenabled = true\nport = {http}\n\n\
         [httpapi]\nport = {other}\n\n\
         [authsecret]\nkey = \"\"\npassword = \"\"\npush_password = \"\"\n\n\
         [log]\nlevel = \"error\"\n"
    );
    let path = directory.join("xiu.toml");
    fs::write(&path, config)?;
    Ok((program, vec!["--config".to_owned(), path.display().to_string()]))
}

/// node-media-server, with the certificate that it brings along.
///
/// # Errors
/// When it is not installed.
pub fn node(ports: Ports, tls: bool, programs: &Programs, directory: &Path) -> Result<Invocation> {
    let package = node_package(programs);
    let program = package.join("bin/app.js");
    if !program.exists() {
        bail!(INSTALL);
    }
    let mut config = json!({
        "bind": "127.0.0.1",
        "store": { "path": directory.join("store") },
        "rtmp": { "port": ports.rtmp },
        "http": { "port": ports.http },
        "webadmin": { "enable": false },
    });
    if let (true, Some(config)) = (tls, config.as_object_mut()) {
        let file = |name: &str| package.join("bin").join(name);
        let https =
            json!({ "port": ports.other, "key": file("key.pem"), "cert": file("cert.pem") });
        config.insert("https".to_owned(), https);
    }
    let path = directory.join("node.json");
    fs::write(&path, config.to_string())?;
    let arguments = [program, PathBuf::from("--config"), path];
    Ok((PathBuf::from("node"), arguments.map(|part| part.display().to_string()).to_vec()))
}

/// The names of all programs that are measured, with their versions.
#[must_use]
pub fn versions(programs: &Programs) -> Vec<(String, String)> {
    let missing = |found: Result<String>| found.unwrap_or_else(|why| format!("{why:#}"));
    let headwater = said(&programs.headwater, &["--version"], "headwater ");
    let nginx = said(Path::new("nginx"), &["-v"], "nginx version: ");
    let package = "libnginx-mod-rtmp";
    let module = said(Path::new("dpkg-query"), &["-W", package], package);
    let nginx = nginx.and_then(|nginx| Ok(format!("{nginx}, {package} {}", module?)));
    let node = said(Path::new("node"), &["--version"], "v");
    let node = node.and_then(|node| Ok(format!("{} on Node.js {node}", node_version(programs)?)));
    [("headwater", headwater), ("nginx-rtmp", nginx), ("xiu", xiu_version(programs))]
        .into_iter()
        .chain([("node-media-server", node)])
        .map(|(name, version)| (name.to_owned(), missing(version)))
        .collect()
}

fn xiu_program(programs: &Programs) -> PathBuf {
    programs.peers.join("bin/xiu")
}

fn node_package(programs: &Programs) -> PathBuf {
    programs.peers.join("node_modules/node-media-server")
}

/// As cargo has noted it: the program itself says another one.
fn xiu_version(programs: &Programs) -> Result<String> {
    let text = fs::read_to_string(programs.peers.join(".crates2.json")).context(INSTALL)?;
    let installed: serde_json::Value = serde_json::from_str(&text)?;
    let crates = installed.get("installs").and_then(serde_json::Value::as_object);
    // The keys are "name version (source)".
    let mut names = crates.into_iter().flat_map(|crates| crates.keys());
    let version = names.find_map(|name| name.strip_prefix("xiu ")?.split(' ').next());
    version.map(str::to_owned).context(INSTALL)
}

fn node_version(programs: &Programs) -> Result<String> {
    let text = fs::read_to_string(node_package(programs).join("package.json")).context(INSTALL)?;
    let package: serde_json::Value = serde_json::from_str(&text)?;
    let version = package.get("version").and_then(serde_json::Value::as_str);
    version.map(str::to_owned).context("a package without a version")
}

/// The first line that the program says, without what it always begins with.
fn said(program: &Path, arguments: &[&str], prefix: &str) -> Result<String> {
    let output = Command::new(program).args(arguments).output().context(INSTALL)?;
    if !output.status.success() {
        bail!(INSTALL);
    }
    // nginx speaks to standard error.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default();
    Ok(line.strip_prefix(prefix).unwrap_or(line).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_installers_noted() {
        let folder = tempfile::tempdir().unwrap();
        let peers = folder.path().to_owned();
        let programs = Programs { bench: peers.clone(), headwater: peers.clone(), peers };
        assert!(xiu_version(&programs).unwrap_err().to_string().contains("scripts/setup bench"));
        let noted = json!({ "installs": { "xiu 1.2.3 (registry+x)": {} } });
        fs::write(folder.path().join(".crates2.json"), noted.to_string()).unwrap();
        assert_eq!(xiu_version(&programs).unwrap(), "1.2.3");
        fs::create_dir_all(node_package(&programs)).unwrap();
        fs::write(node_package(&programs).join("package.json"), r#"{"version": "4.5.6"}"#).unwrap();
        assert_eq!(node_version(&programs).unwrap(), "4.5.6");
    }
}
