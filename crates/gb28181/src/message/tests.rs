use proptest::prelude::*;
use testkit::split;

use super::*;

const REGISTER: &[u8] = b"REGISTER sip:34020000002000000001@3402000000 SIP/2.0\r\n\
    v: SIP/2.0/UDP 192.168.1.9:5060;rport;branch=z9hG4bK1, SIP/2.0/UDP 10.0.0.1;branch=x\r\n\
    VIA: SIP / 2.0 / UDP 10.0.0.2;branch=y\r\n\
    f: \"a <b>; c\" <sip:34020000001320000001@3402000000>;tag=77\r\n\
    t: sip:34020000001320000001@3402000000\r\n\
    i: one\r\n\
    CSeq:1 REGISTER\r\n\
    m: <sip:34020000001320000001@192.168.1.9:5060>;expires=60\r\n\
    Subject: two\r\n\tlines\r\n\
    l: 0\r\n\r\n";

fn request(bytes: &[u8]) -> Request {
    match datagram(bytes) {
        Ok(Some(Message::Request(request))) => request,
        other => panic!("{other:?}"),
    }
}

fn stream(pieces: &[&[u8]]) -> Result<Vec<Message>, Rejected> {
    let mut decoder = Decoder::new();
    let mut all = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Some(message) = decoder.poll()? {
            all.push(message);
        }
    }
    Ok(all)
}

#[test]
fn compact_folded_and_listed_fields_are_read() {
    let request = request(REGISTER);
    assert_eq!(request.check(), Ok(()));
    let via = request.fields.via().unwrap();
    assert_eq!((&*via.transport, &*via.sent_by), ("UDP", "192.168.1.9:5060"));
    assert_eq!(via.branch(), Some("z9hG4bK1"));
    let from = request.fields.address("from").unwrap();
    assert_eq!((from.user(), from.tag()), ("34020000001320000001", Some("77")));
    let to = request.fields.address("To").unwrap();
    assert_eq!((to.user(), to.tag()), ("34020000001320000001", None));
    assert_eq!(request.fields.expires(), Some(60));
    assert_eq!(request.fields.get("SUBJECT"), Some("two lines"));
}

#[test]
fn answers_go_back_the_way_that_requests_came() {
    let source = "198.51.100.7:9000".parse().unwrap();
    let answer = Response::to(&request(REGISTER), Status::OK, source, "mine");
    let vias: Vec<_> = answer.fields.all("Via").collect();
    let first = "SIP/2.0/UDP 192.168.1.9:5060;rport=9000;branch=z9hG4bK1;received=198.51.100.7, \
                 SIP/2.0/UDP 10.0.0.1;branch=x";
    assert_eq!(vias, [first, "SIP / 2.0 / UDP 10.0.0.2;branch=y"]);
    assert_eq!(answer.fields.address("To").unwrap().tag(), Some("mine"));
    assert_eq!(answer.fields.get("CSeq"), Some("1 REGISTER"));
    // Who does not ask for a port is told the address only when it is another.
    let plain =
        b"OPTIONS sip:x SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.7;branch=a\nTo: <sip:x>;tag=1\n\n";
    let answer = Response::to(&request(plain), Status::OK, source, "mine");
    assert_eq!(answer.fields.get("Via"), Some("SIP/2.0/UDP 198.51.100.7;branch=a"));
    assert_eq!(answer.fields.get("To"), Some("<sip:x>;tag=1"));
}

#[test]
fn what_is_missing_is_named() {
    let error = |text: &str| request(text.as_bytes()).check().unwrap_err().to_string();
    let head = "BYE sip:x SIP/2.0\r\n";
    assert_eq!(error(&format!("{head}\r\n")), "the header field From is missing");
    let rest = "From: a\r\nTo: b\r\nCall-ID: c\r\n";
    assert_eq!(error(&format!("{head}{rest}\r\n")), "the header field Via is missing");
    let via = "Via: SIP/2.0/UDP h;branch=z\r\n";
    assert_eq!(error(&format!("{head}{rest}{via}\r\n")), "the header field CSeq is missing");
    let other = format!("{head}{rest}{via}CSeq: 1 INVITE\r\n\r\n");
    assert_eq!(error(&other), "the header field CSeq names another method");
    let none = format!("{head}{rest}{via}CSeq: INVITE\r\n\r\n");
    assert_eq!(error(&none), "the header field CSeq is no number and method");
}

#[test]
fn datagrams_are_taken_with_their_flaws() {
    assert_eq!(datagram(b"\r\n\r\n"), Ok(None));
    assert_eq!(datagram(b"\0"), Ok(None));
    let short = request(b"MESSAGE sip:x SIP/2.0\r\nContent-Length: 9\r\n\r\nabc");
    assert_eq!(&short.body[..], b"abc");
    let long = request(b"MESSAGE sip:x SIP/2.0\r\nContent-Length: 2\r\n\r\nabc");
    assert_eq!(&long.body[..], b"ab");
    let none = request(b"MESSAGE sip:x SIP/2.0\r\n\r\nabc");
    assert_eq!(&none.body[..], b"abc");
    assert_eq!(request(b"BYE sip:x SIP/2.0\r\n").method, Method::Bye);
    let unknown = request(b"FROBNICATE sip:x SIP/2.0\r\n\r\n");
    assert_eq!(unknown.method, Method::Other("FROBNICATE".to_owned()));
}

#[test]
fn errors_say_what_is_wrong_and_whom_to_tell() {
    let rejected = |bytes: &[u8]| datagram(bytes).unwrap_err();
    let first = rejected(b"GET / HTTP/1.1\r\n\r\n");
    let text = "the first line \"GET / HTTP/1.1\" is no request and no status";
    assert_eq!((first.error.to_string().as_str(), first.request), (text, None));
    assert_eq!(rejected(b"BYE sip:x SIP/2.0").error, Error::HeadCut);
    assert_eq!(rejected(&[b'A'; MAX_HEAD + 1]).error, Error::HeadTooLong(MAX_HEAD));
    let many = format!("BYE sip:x SIP/2.0\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1));
    let many = rejected(many.as_bytes());
    assert_eq!(many.error, Error::TooManyFields(MAX_FIELDS));
    assert!(many.request.is_some());
    let length = rejected(b"BYE sip:x SIP/2.0\r\nCall-ID: c\r\nContent-Length: -1\r\n\r\n");
    assert_eq!(length.error, Error::ContentLength("-1".to_owned()));
    assert_eq!(length.request.unwrap().fields.get("Call-ID"), Some("c"));
    let large = stream(&[b"BYE sip:x SIP/2.0\r\nContent-Length: 999999999\r\n\r\n"]);
    assert_eq!(large.unwrap_err().error, Error::BodyTooLong(999_999_999));
    assert_eq!(stream(&[&[b'A'; MAX_HEAD + 1]]).unwrap_err().error, Error::HeadTooLong(MAX_HEAD));
    assert!(datagram(b"SIP/2.0 99 Odd\r\n\r\n").is_err());
}

#[test]
fn reads_may_end_anywhere() {
    let mut bytes = b"\r\n\r\n".to_vec();
    bytes.extend_from_slice(REGISTER);
    bytes.extend_from_slice(b"\r\n\r\nSIP/2.0 200 OK then\nc: a/b\ncontent-length: 3\n\nxyz\0");
    bytes.extend_from_slice(REGISTER);
    assert_eq!(stream(&[&bytes]).unwrap().len(), 3);
    split::everywhere(&bytes, stream);
}

#[test]
fn a_value_cannot_forge_a_field() {
    let mut request = Request::new(Method::Bye, "sip:x\r\nA: b");
    request.fields.push("Subject", "1\r\nVia: x");
    let bytes = request.to_bytes();
    assert_eq!(
        &bytes[..],
        b"BYE sip:xA:b SIP/2.0\r\nSubject: 1  Via: x\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn users_are_found_in_addresses() {
    for uri in ["sip:1@h", "SIP:1@h:5060;x", "1@h", "sip:1", "sip:1;a=b", "sips:1:5060"] {
        assert_eq!(user(uri), "1", "{uri}");
    }
}

fn messages() -> impl Strategy<Value = Message> {
    let names = prop::sample::select(vec!["Via", "From", "to", "Call-ID", "X-GB-Ver", "X"]);
    let field = (names, "([!-~]([ -~]{0,20}[!-~])?)?");
    let fields = prop::collection::vec(field, 0..8).prop_map(|pairs| {
        let mut fields = Fields::default();
        pairs.iter().for_each(|(name, value)| fields.push(name, value.as_str()));
        fields
    });
    let body = prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    (any::<bool>(), "[A-Z]{1,9}", 100u16..700, "([!-~]{1,9}( [!-~]{1,9})?)?", fields, body)
        .prop_map(|(is_request, method, status, reason, fields, body)| {
            if is_request {
                let (method, uri) = (Method::parse(&method), "sip:a@b".to_owned());
                Message::Request(Request { method, uri, fields, body })
            } else {
                Message::Response(Response { status: Status(status), reason, fields, body })
            }
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read(message in messages()) {
        let bytes = message.to_bytes();
        prop_assert_eq!(datagram(&bytes), Ok(Some(message.clone())));
        prop_assert_eq!(stream(&[&bytes, &bytes]), Ok(vec![message.clone(), message]));
    }

    #[test]
    fn any_split_gives_the_same(all in prop::collection::vec(messages(), 1..4), seed in any::<u64>()) {
        let bytes: Vec<u8> = all.iter().flat_map(|message| message.to_bytes().to_vec()).collect();
        split::randomly(&bytes, seed, 3, stream);
    }

    #[test]
    fn anything_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = datagram(&bytes);
        let _ = stream(&[&bytes]);
    }

    #[test]
    fn damaged_messages_are_survived(at in 0usize..600, with in any::<u8>()) {
        let mut bytes = REGISTER.to_vec();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = with;
        }
        if let Ok(Some(Message::Request(request))) = datagram(&bytes) {
            let source = "127.0.0.1:1".parse().unwrap();
            let answer = Response::to(&request, Status::BAD_REQUEST, source, "t").to_bytes();
            prop_assert!(matches!(datagram(&answer), Ok(Some(Message::Response(_)))));
        }
    }
}
