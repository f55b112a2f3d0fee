//! What devices are asked and told, and what they report.

use std::time::Duration;

use headwater_gb28181::manscdp::{Control, Topic};
use headwater_gb28181::message::{Method, Request, Status};
use headwater_gb28181::platform::{CommandError, CommandId, Event, Failure};
use headwater_gb28181::xml::Element;

use super::{CAMERA, World};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn part(world: &mut World, sn: u32, total: usize, serials: &[u32]) -> Status {
    let items: String = serials
        .iter()
        .map(|n| format!("<Item><DeviceID>3402000000132{n:07}</DeviceID><Name>c{n}</Name></Item>"))
        .collect();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"GB2312\"?><Response>\
         <CmdType>Catalog</CmdType><SN>{sn}</SN>\
         <DeviceID>{CAMERA}</DeviceID><SumNum>{total}</SumNum>\
         <DeviceList Num=\"{}\">{items}</DeviceList></Response>",
        serials.len()
    );
    world.report("MESSAGE", &body).status
}

fn names(events: Vec<Event>) -> Vec<(Vec<String>, bool)> {
    let each = events.into_iter().map(|event| match event {
        Event::Catalogue { channels, complete, .. } => {
            (channels.into_iter().map(|channel| channel.name).collect(), complete)
        }
        other => panic!("{other:?}"),
    });
    each.collect()
}

#[test]
fn a_catalogue_is_put_together_in_any_order() {
    let mut world = World::registered();
    let command = world.platform.catalog(world.id, world.now).unwrap();
    let question = world.hear_request(&Method::Message);
    let xml = Element::parse(&question.body).unwrap();
    assert_eq!(xml.text_of("SN"), Some(command.0.to_string().as_str()));
    assert_eq!(part(&mut world, command.0, 4, &[3]), Status::OK);
    world.respond(&question, 200, &[], "");
    assert_eq!(part(&mut world, command.0, 4, &[1, 3]), Status::OK);
    assert_eq!(world.events(), []);
    assert_eq!(part(&mut world, command.0, 4, &[4, 2]), Status::OK);
    let all = ["c1", "c2", "c3", "c4"].map(ToOwned::to_owned).to_vec();
    assert_eq!(names(world.events()), [(all, true)]);
    // Nobody asks any more.
    assert_eq!(part(&mut world, command.0, 4, &[1, 2, 3, 4]), Status::OK);
    assert_eq!(world.events(), []);
    assert_eq!(world.platform.poll_timeout().map(|at| at > world.now + seconds(60)), Some(true));
}

#[test]
fn what_is_there_of_a_catalogue_is_told_after_a_while() {
    let mut world = World::registered();
    world.platform.catalog(world.id, world.now).unwrap();
    let question = world.hear_request(&Method::Message);
    world.respond(&question, 200, &[], "");
    // A number that nobody gave.
    part(&mut world, 77, 4, &[1]);
    world.pass(seconds(14));
    part(&mut world, 77, 4, &[2]);
    world.pass(seconds(14));
    assert_eq!(world.events(), []);
    world.pass(seconds(1));
    let some = ["c1", "c2"].map(ToOwned::to_owned).to_vec();
    assert_eq!(names(world.events()), [(some, false)]);
    // Nothing comes.
    let command = world.platform.catalog(world.id, world.now).unwrap();
    let question = world.hear_request(&Method::Message);
    world.respond(&question, 200, &[], "");
    world.pass(seconds(32));
    let device = world.id;
    let none = Event::CommandFailed { device, command, why: Failure::NoAnswer };
    assert_eq!(world.events(), [none]);
}

#[test]
fn commands_are_done_refused_or_not_answered() {
    let mut world = World::registered();
    let device = world.id;
    let tell = |world: &mut World| -> (CommandId, Request) {
        let command = world.platform.control(device, device, Control::KeyFrame, world.now).unwrap();
        (command, world.hear_request(&Method::Message))
    };
    let (command, request) = tell(&mut world);
    let xml = Element::parse(&request.body).unwrap();
    assert_eq!(xml.text_of("IFameCmd"), Some("Send"));
    world.respond(&request, 200, &[], "");
    assert_eq!(world.events(), [Event::CommandDone { device, command }]);
    world.report(
        "MESSAGE",
        &format!(
            "<Response><CmdType>DeviceControl</CmdType><SN>{}</SN><DeviceID>{CAMERA}</DeviceID>\
         <Result>ERROR</Result></Response>",
            command.0
        ),
    );
    let why = Failure::NotDone;
    assert_eq!(world.events(), [Event::CommandFailed { device, command, why }]);
    let (command, request) = tell(&mut world);
    world.respond(&request, 403, &[], "");
    let why = Failure::Refused { status: Status::FORBIDDEN, reason: "Forbidden".to_owned() };
    assert_eq!(world.events(), [Event::CommandFailed { device, command, why }]);
    let (command, request) = tell(&mut world);
    world.pass(seconds(33));
    let why = Failure::NoAnswer;
    assert_eq!(world.events(), [Event::CommandFailed { device, command, why }]);
    let again = world.hear();
    assert_eq!(again.len(), 10);
    assert!(again.iter().all(|message| message.to_bytes() == request.to_bytes()));
    let other = "34020000001320000009".parse().unwrap();
    let error = world.platform.device_info(other, world.now);
    assert_eq!(error, Err(CommandError::NotOnline(other)));
}

#[test]
fn reports_are_passed_on() {
    let mut world = World::registered();
    let report = |world: &mut World, method: &str, rest: &str| {
        let body = format!("<Notify>{rest}<DeviceID>{CAMERA}</DeviceID></Notify>");
        assert_eq!(world.report(method, &body).status, Status::OK);
        world.events()
    };
    let text = "<CmdType>Alarm</CmdType><AlarmPriority>2</AlarmPriority>";
    let [Event::Alarm { alarm, .. }] = &report(&mut world, "MESSAGE", text)[..] else { panic!() };
    assert_eq!(alarm.priority, Some(2));
    let text = "<CmdType>MobilePosition</CmdType><Longitude>1.5</Longitude><Latitude>2</Latitude>";
    let [Event::Position { position, .. }] = &report(&mut world, "NOTIFY", text)[..] else {
        panic!()
    };
    assert_eq!(position.longitude, 1.5);
    let text = format!(
        "<CmdType>Catalog</CmdType><DeviceList><Item><DeviceID>{CAMERA}</DeviceID>\
         <Event>off</Event></Item></DeviceList>"
    );
    let events = report(&mut world, "NOTIFY", &text);
    let [Event::CatalogueChanged { channels, .. }] = &events[..] else { panic!() };
    assert_eq!(channels[0].event.as_deref(), Some("OFF"));
}

#[test]
fn subscriptions_are_renewed_and_begun_anew() {
    let mut world = World::registered();
    let device = world.id;
    let command = world.platform.subscribe(device, Topic::Alarm, seconds(100), world.now).unwrap();
    let first = world.hear_request(&Method::Subscribe);
    assert_eq!(first.fields.get("Event"), Some("presence"));
    world.respond(&first, 200, &[("Expires", "50")], "");
    assert_eq!(world.events(), [Event::CommandDone { device, command }]);
    world.pass(seconds(40));
    let second = world.hear_request(&Method::Subscribe);
    assert_eq!(second.fields.get("Call-ID"), first.fields.get("Call-ID"));
    assert_eq!(second.fields.address("To").unwrap().tag(), Some("device"));
    assert_eq!(second.fields.cseq().unwrap().number, 2);
    world.respond(&second, 481, &[], "");
    let third = world.hear_request(&Method::Subscribe);
    assert_ne!(third.fields.get("Call-ID"), first.fields.get("Call-ID"));
    assert_eq!(third.fields.get("Expires"), Some("100"));
    world.respond(&third, 481, &[], "");
    let [Event::CommandFailed { .. }] = world.events()[..] else { panic!() };
    world.pass(seconds(100));
    assert!(world.hear().is_empty());
}

/// Says a part of a list of recordings that begin at these hours, by Beijing's clock.
fn recordings(world: &mut World, sn: u32, total: usize, hours: &[u32]) -> Status {
    let items: String = hours
        .iter()
        .map(|hour| {
            format!(
                "<Item><DeviceID>{CAMERA}</DeviceID><Name>r{hour}</Name>\
                 <StartTime>2025-01-02T{hour:02}:00:00</StartTime>\
                 <EndTime>2025-01-02T{hour:02}:30:00</EndTime><Type>time</Type></Item>"
            )
        })
        .collect();
    let body = format!(
        "<?xml version=\"1.0\"?><Response><CmdType>RecordInfo</CmdType><SN>{sn}</SN>\
         <DeviceID>{CAMERA}</DeviceID><SumNum>{total}</SumNum>\
         <RecordList Num=\"{}\">{items}</RecordList></Response>",
        hours.len()
    );
    world.report("MESSAGE", &body).status
}

#[test]
fn recordings_are_listed_by_time() {
    // Midnight of that day in Beijing.
    const DAY: u64 = 1_735_747_200;
    let mut world = World::registered();
    let ask = |world: &mut World| {
        let asked = world.platform.recordings(world.id, world.id, (DAY, DAY + 86_400), world.now);
        (asked.unwrap(), world.hear_request(&Method::Message))
    };
    let (command, question) = ask(&mut world);
    let xml = Element::parse(&question.body).unwrap();
    assert_eq!(xml.text_of("StartTime"), Some("2025-01-02T00:00:00"));
    assert_eq!(xml.text_of("EndTime"), Some("2025-01-03T00:00:00"));
    world.respond(&question, 200, &[], "");
    recordings(&mut world, command.0, 3, &[9]);
    assert_eq!(world.events(), []);
    // A number of the device's own.
    recordings(&mut world, 77, 3, &[7, 8]);
    let events = world.events();
    let [Event::Recordings { command: told, recordings: all, complete: true, .. }] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(*told, command);
    let all: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.start, one.end)).collect();
    let at = |hour: u64| (DAY + hour * 3600, DAY + hour * 3600 + 1800);
    assert_eq!(all, [(7, "r7"), (8, "r8"), (9, "r9")].map(|(h, name)| (name, at(h).0, at(h).1)));

    // A part that does not come, nothing at all, an empty list, and a refusal.
    let (command, question) = ask(&mut world);
    world.respond(&question, 200, &[], "");
    recordings(&mut world, command.0, 3, &[1]);
    world.pass(seconds(20));
    assert!(matches!(&world.events()[..], [Event::Recordings { complete: false, .. }]));
    let (command, question) = ask(&mut world);
    world.respond(&question, 200, &[], "");
    world.pass(seconds(40));
    let (device, why) = (world.id, Failure::NoAnswer);
    assert_eq!(world.events(), [Event::CommandFailed { device, command, why }]);
    let (command, question) = ask(&mut world);
    world.respond(&question, 200, &[], "");
    recordings(&mut world, command.0, 0, &[]);
    assert!(matches!(&world.events()[..], [Event::Recordings { complete: true, .. }]));
    let (command, question) = ask(&mut world);
    world.respond(&question, 404, &[], "");
    let events = world.events();
    let [Event::CommandFailed { command: told, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*told, command);
    assert_eq!(world.hear(), []);
}
