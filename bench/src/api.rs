//! Orders to the server under test, and questions, over its HTTP API.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A server that answers nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the server says at `path`.
///
/// # Errors
/// When it does not answer, or refuses.
pub fn ask(api: SocketAddr, path: &str) -> Result<Value> {
    exchange(api, &format!("GET {path} HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\r\n"))
}

/// Orders something at `path`; what the server answers.
///
/// # Errors
/// As [`ask`].
pub fn order(api: SocketAddr, path: &str, what: &Value) -> Result<Value> {
    let body = what.to_string();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    exchange(api, &request).with_context(|| format!("ordering {body} at {path}"))
}

/// The items of a list that the server gives at `path`.
///
/// # Errors
/// As [`ask`].
pub fn items(api: SocketAddr, path: &str) -> Result<Vec<Value>> {
    let answer = ask(api, path)?;
    let items = answer.get("items").and_then(Value::as_array);
    items.cloned().with_context(|| format!("no items at {path}"))
}

fn exchange(api: SocketAddr, request: &str) -> Result<Value> {
    let mut socket = TcpStream::connect(api)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(request.as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    read(&answer)
}

/// The body of an answer that says yes.
fn read(answer: &str) -> Result<Value> {
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    if head.split(' ').nth(1) != Some("200") {
        bail!("refused by the server: {} {body}", head.lines().next().unwrap_or_default());
    }
    Ok(serde_json::from_str(body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_from_answers() {
        let answer = read("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{\"port\":1}").unwrap();
        assert_eq!(answer.get("port").and_then(Value::as_u64), Some(1));
        let refusal = read("HTTP/1.1 409 Conflict\r\n\r\n{\"error\":\"taken\"}").unwrap_err();
        assert!(refusal.to_string().contains("taken"), "{refusal}");
        assert!(read("").is_err());
    }
}
