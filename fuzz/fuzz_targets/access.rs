//! Credentials in the query of an address: passwords, tokens, lal's secrets, tickets.
//!
//! Law: nobody comes in who does not know a secret. Nothing that a fuzzer makes up is one.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use access::{Access, Rules};
use config::Config;
use config::values::{Guarded, LalGuard};
use hub::gate::{Action, Credentials, Gate, Request};
use hub::{Address, Identity, Kind, Protocol, Role, Sessions, StreamName};
use libfuzzer_sys::fuzz_target;
use outgoing::Client;

static ACCESS: LazyLock<Arc<Access>> = LazyLock::new(|| {
    let mut config = Config::default();
    config.auth.required = [Guarded::Publish, Guarded::Play].into_iter().collect();
    config.auth.lal_for = [LalGuard::SubHttpts].into_iter().collect();
    config.auth.lal_key = "key-that-nobody-guesses".to_owned();
    config.auth.lal_override = "override-that-nobody-guesses".to_owned();
    config.auth.jwt_secret = "a secret of more than thirty-two bytes".to_owned();
    let client = Client::new().expect("a client");
    Access::new(Rules::from_config(&config), client, [7; 32])
});

fuzz_target!(|data: &[u8]| {
    let Some((first, text)) = data.split_first() else { return };
    let Ok(query) = std::str::from_utf8(text) else { return };
    let (protocol, action) = match first % 4 {
        0 => (Protocol::Rtmp, Action::Publish),
        1 => (Protocol::Ts, Action::Play),
        2 => (Protocol::Flv, Action::Play),
        _ => (Protocol::Rtsp, Action::Publish),
    };
    let role = if action == Action::Play { Role::Sub } else { Role::Pub };
    let session = Sessions::default().open(Kind { protocol, role }, None, SystemTime::UNIX_EPOCH);
    let address = Address { raw_query: query.to_owned(), ..Address::default() };
    session.assume(role, address);
    let stream = StreamName::new("live", "it", Identity::AppAndName).expect("a name");
    let credentials = Credentials::default();
    let request = Request { action, session, stream: Some(stream), credentials };
    let mut answer = ACCESS.ask(request);
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => assert!(answer.is_err(), "{query} opened the door"),
        Poll::Pending => panic!("nobody else has to be asked"),
    }
});
