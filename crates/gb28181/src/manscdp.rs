//! MANSCDP: the XML in the bodies of `MESSAGE`, `SUBSCRIBE` and `NOTIFY` (GB/T 28181-2016 and
//! 2022 Annex A).
//!
//! Only what a platform is told is read, and only what it asks is written. Of items without an
//! identifier nothing can be asked: they are left out and counted.

use crate::Error;
use crate::id::Id;
use crate::ptz;
use crate::xml::{Element, escape};

/// Characters of names and the like, and of addresses and descriptions; real ones have some dozens.
/// Whoever keeps many of them can count on it.
const MAX_NAME: usize = 64;
const MAX_DESCRIPTION: usize = 256;

/// What a device says.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What it answers to, or its own number.
    pub sn: Option<u32>,
    /// The device or channel that it is about.
    pub device: Id,
    /// Whether it answers a question (`Response`), or came by itself (`Notify`).
    pub is_response: bool,
    /// What it is.
    pub content: Content,
}

/// What a report says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// The device is there.
    Keepalive {
        /// Whether it says that it is well.
        ok: bool,
    },
    /// A part of a catalogue, or changes of it.
    Catalog {
        /// Items of the whole catalogue.
        total: Option<usize>,
        /// Those of this part.
        channels: Vec<Channel>,
        /// Items that cannot be used.
        bad: usize,
    },
    /// A part of a list of recordings.
    RecordInfo {
        /// Recordings of the whole list.
        total: Option<usize>,
        /// Those of this part.
        records: Vec<Record>,
        /// Items without a time.
        bad: usize,
    },
    /// What the device is.
    DeviceInfo(DeviceInfo),
    /// How the device is.
    DeviceStatus(DeviceStatus),
    /// Something has happened.
    Alarm(Alarm),
    /// Where the device is.
    Position(Position),
    /// A file has been sent to its end (121), or another note on media.
    MediaStatus {
        /// `NotifyType`.
        kind: u32,
    },
    /// The answer to a command.
    Result {
        /// `CmdType`.
        command: String,
        /// Whether it was done.
        ok: bool,
    },
    /// Something that a platform has no use for.
    Other {
        /// `CmdType`.
        command: String,
    },
}

/// An item of a catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Its identifier.
    pub id: Id,
    /// What people call it.
    pub name: String,
    /// Who made it.
    pub manufacturer: String,
    /// What it is called by its maker.
    pub model: String,
    /// Whose it is.
    pub owner: String,
    /// The administrative division.
    pub civil_code: String,
    /// Where it stands.
    pub address: String,
    /// Whether there are others in it.
    pub parental: bool,
    /// In what it is; several with slashes between them.
    pub parent: String,
    /// Whether it says that it can be used; `None` if it does not say.
    pub online: Option<bool>,
    /// Degrees to the east.
    pub longitude: Option<f64>,
    /// Degrees to the north.
    pub latitude: Option<f64>,
    /// What has happened to it, in a notification: `ON`, `OFF`, `ADD`, `DEL`, `UPDATE`, ….
    pub event: Option<String>,
}

/// A recording that a device has. Times are as the device writes them: local, without a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is called.
    pub name: String,
    /// When it begins.
    pub start: String,
    /// When it ends.
    pub end: String,
    /// Why it was made: `time`, `alarm`, `manual`.
    pub kind: String,
    /// How many bytes it has.
    pub bytes: Option<u64>,
}

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)] // the names say it
pub struct DeviceInfo {
    pub name: String,
    pub manufacturer: String,
    pub model: String,
    pub firmware: String,
    /// How many channels it has.
    pub channels: Option<u32>,
}

/// How a device is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceStatus {
    /// Whether it is in use.
    pub online: Option<bool>,
    /// Whether it works.
    pub ok: Option<bool>,
    /// Whether it encodes.
    pub encoding: Option<bool>,
    /// Whether it records.
    pub recording: Option<bool>,
    /// Its clock, as it writes it.
    pub time: String,
}

/// Something has happened.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Alarm {
    /// 1 is the highest, 4 the lowest.
    pub priority: Option<u32>,
    /// How it was noticed: 1 telephone, 2 device, 3 message, 4 GPS, 5 video, 6 device failure,
    /// 7 other.
    pub method: Option<u32>,
    /// What was seen, if the method has kinds.
    pub kind: Option<u32>,
    /// When, by the device's clock.
    pub time: String,
    /// What people read.
    pub description: String,
    /// Degrees to the east.
    pub longitude: Option<f64>,
    /// Degrees to the north.
    pub latitude: Option<f64>,
}

/// Where a device is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Position {
    /// When, by the device's clock.
    pub time: String,
    /// Degrees to the east.
    pub longitude: f64,
    /// Degrees to the north.
    pub latitude: f64,
    /// Kilometres per hour.
    pub speed: Option<f64>,
    /// Degrees from the north, clockwise.
    pub direction: Option<f64>,
    /// Metres above the sea.
    pub altitude: Option<f64>,
}

impl Report {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Error`] when it is no XML, or lacks what every report has.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let root = Element::parse(body)?;
        let missing = |name| Error::Element { name, problem: "is missing" };
        let command = root.text_of("CmdType").ok_or_else(|| missing("CmdType"))?;
        let device = root.text_of("DeviceID").ok_or_else(|| missing("DeviceID"))?.parse()?;
        let is_response = root.name.eq_ignore_ascii_case("Response");
        let is = |name: &str| command.eq_ignore_ascii_case(name);
        let content = if is("Keepalive") {
            Content::Keepalive { ok: root.text_of("Status").and_then(yes).unwrap_or(true) }
        } else if is("Catalog") {
            catalog(&root)
        } else if is("RecordInfo") && is_response {
            record_info(&root)
        } else if is("DeviceInfo") {
            let text = |name| short_text(&root, name, MAX_NAME);
            Content::DeviceInfo(DeviceInfo {
                name: text("DeviceName"),
                manufacturer: text("Manufacturer"),
                model: text("Model"),
                firmware: text("Firmware"),
                channels: number(&root, "Channel"),
            })
        } else if is("DeviceStatus") {
            let flag = |name| root.text_of(name).and_then(yes);
            Content::DeviceStatus(DeviceStatus {
                online: flag("Online"),
                ok: flag("Status"),
                encoding: flag("Encode"),
                recording: flag("Record"),
                time: short_text(&root, "DeviceTime", MAX_NAME),
            })
        } else if is("Alarm") && !is_response {
            alarm(&root)
        } else if is("MobilePosition") && !is_response {
            position(&root)?
        } else if is("MediaStatus") {
            let kind = number(&root, "NotifyType").ok_or_else(|| missing("NotifyType"))?;
            Content::MediaStatus { kind }
        } else if let Some(result) = root.text_of("Result") {
            let ok = yes(result).unwrap_or(false);
            Content::Result { command: short(command), ok }
        } else {
            Content::Other { command: short(command) }
        };
        Ok(Self { sn: number(&root, "SN"), device, is_response, content })
    }
}

fn catalog(root: &Element) -> Content {
    let total = number(root, "SumNum").and_then(|total| usize::try_from(total).ok());
    let list = root.child("DeviceList").map_or(&[][..], |list| &list.children[..]);
    let items: Vec<_> = list.iter().filter(|e| e.name.eq_ignore_ascii_case("Item")).collect();
    let channels: Vec<_> = items.iter().filter_map(|item| channel(item)).collect();
    let bad = items.len() - channels.len();
    Content::Catalog { total, channels, bad }
}

fn record_info(root: &Element) -> Content {
    let total = number(root, "SumNum").and_then(|total| usize::try_from(total).ok());
    let list = root.child("RecordList").map_or(&[][..], |list| &list.children[..]);
    let items: Vec<_> = list.iter().filter(|e| e.name.eq_ignore_ascii_case("Item")).collect();
    let records: Vec<_> = items.iter().filter_map(|item| record(item)).collect();
    let bad = items.len() - records.len();
    Content::RecordInfo { total, records, bad }
}

fn record(item: &Element) -> Option<Record> {
    let text = |name| short_text(item, name, MAX_NAME);
    let (start, end) = (text("StartTime"), text("EndTime"));
    if start.is_empty() || end.is_empty() {
        return None;
    }
    let bytes = item.text_of("FileSize").and_then(|bytes| bytes.parse().ok());
    Some(Record { name: text("Name"), start, end, kind: text("Type"), bytes })
}

fn channel(item: &Element) -> Option<Channel> {
    let text = |name| short_text(item, name, MAX_NAME);
    Some(Channel {
        id: item.text_of("DeviceID")?.parse().ok()?,
        name: text("Name"),
        manufacturer: text("Manufacturer"),
        model: text("Model"),
        owner: text("Owner"),
        civil_code: text("CivilCode"),
        address: short_text(item, "Address", MAX_DESCRIPTION),
        parental: number(item, "Parental").is_some_and(|parental| parental != 0),
        parent: short_text(item, "ParentID", MAX_DESCRIPTION),
        online: item.text_of("Status").and_then(yes),
        longitude: degrees(item, "Longitude"),
        latitude: degrees(item, "Latitude"),
        event: item.text_of("Event").map(|event| short(event).to_ascii_uppercase()),
    })
}

fn alarm(root: &Element) -> Content {
    let text = |name, most| short_text(root, name, most);
    let info = root.child("Info").and_then(|info| number(info, "AlarmType"));
    Content::Alarm(Alarm {
        priority: number(root, "AlarmPriority"),
        method: number(root, "AlarmMethod"),
        kind: number(root, "AlarmType").or(info),
        time: text("AlarmTime", MAX_NAME),
        description: text("AlarmDescription", MAX_DESCRIPTION),
        longitude: degrees(root, "Longitude"),
        latitude: degrees(root, "Latitude"),
    })
}

fn position(root: &Element) -> Result<Content, Error> {
    let needed = |name| {
        degrees(root, name).ok_or(Error::Element { name, problem: "is no number of degrees" })
    };
    Ok(Content::Position(Position {
        time: short_text(root, "Time", MAX_NAME),
        longitude: needed("Longitude")?,
        latitude: needed("Latitude")?,
        speed: real(root, "Speed"),
        direction: real(root, "Direction"),
        altitude: real(root, "Altitude"),
    }))
}

/// The beginning of what stands in an element.
fn short_text(element: &Element, name: &str, most: usize) -> String {
    element.text_of(name).unwrap_or_default().chars().take(most).collect()
}

fn number(element: &Element, name: &str) -> Option<u32> {
    element.text_of(name)?.parse().ok()
}

fn real(element: &Element, name: &str) -> Option<f64> {
    element.text_of(name)?.parse().ok().filter(|value: &f64| value.is_finite())
}

fn degrees(element: &Element, name: &str) -> Option<f64> {
    real(element, name).filter(|value| value.abs() <= 180.0)
}

/// The many ways in which devices say yes and no.
fn yes(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match () {
        () if is(&["ON", "OK", "ONLINE", "1", "TRUE"]) => Some(true),
        () if is(&["OFF", "ERROR", "OFFLINE", "0", "FALSE", "OFFLNE", "NOTONLINE"]) => Some(false),
        () => None,
    }
}

/// A name that a device sent, for an event.
fn short(text: &str) -> String {
    text.chars().take(MAX_NAME).collect()
}

/// What a device is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Query {
    /// What is in it.
    Catalog,
    /// What it is.
    DeviceInfo,
    /// How it is.
    DeviceStatus,
}

impl Query {
    /// `CmdType`.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::Catalog => "Catalog",
            Self::DeviceInfo => "DeviceInfo",
            Self::DeviceStatus => "DeviceStatus",
        }
    }

    /// The body that asks.
    #[must_use]
    pub fn to_xml(self, sn: u32, device: Id) -> String {
        document("Query", self.command(), sn, device, "")
    }
}

/// The body that asks a channel for its recordings between two times, as devices write them.
pub(crate) fn records_xml(sn: u32, channel: Id, start: &str, end: &str) -> String {
    let (start, end) = (escape(start), escape(end));
    let rest = format!(
        "<StartTime>{start}</StartTime>\r\n<EndTime>{end}</EndTime>\r\n\
         <Secrecy>0</Secrecy>\r\n<Type>all</Type>\r\n"
    );
    document("Query", "RecordInfo", sn, channel, &rest)
}

/// What a device or channel is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// To move.
    Ptz(ptz::Command),
    /// To make the next picture a key frame.
    KeyFrame,
    /// To start anew.
    Reboot,
    /// To record, or to stop that.
    Record(bool),
}

impl Control {
    /// The body that tells. `is_2022` chooses between the names of the editions.
    #[must_use]
    pub fn to_xml(self, sn: u32, target: Id, is_2022: bool) -> String {
        let rest = match self {
            Self::Ptz(command) => {
                format!(
                    "<PTZCmd>{command}</PTZCmd>\r\n<Info>\r\n\
                     <ControlPriority>5</ControlPriority>\r\n</Info>\r\n"
                )
            }
            // The edition of 2016 has a slip of the pen, which devices follow.
            Self::KeyFrame if is_2022 => "<IFrameCmd>Send</IFrameCmd>\r\n".to_owned(),
            Self::KeyFrame => "<IFameCmd>Send</IFameCmd>\r\n".to_owned(),
            Self::Reboot => "<TeleBoot>Boot</TeleBoot>\r\n".to_owned(),
            Self::Record(true) => "<RecordCmd>Record</RecordCmd>\r\n".to_owned(),
            Self::Record(false) => "<RecordCmd>StopRecord</RecordCmd>\r\n".to_owned(),
        };
        document("Control", "DeviceControl", sn, target, &rest)
    }
}

/// What a device is to tell by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Changes of its catalogue.
    Catalog,
    /// Alarms of any kind.
    Alarm,
    /// Where it is, every five seconds.
    MobilePosition,
}

impl Topic {
    /// `CmdType`.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::Catalog => "Catalog",
            Self::Alarm => "Alarm",
            Self::MobilePosition => "MobilePosition",
        }
    }

    /// The body of the `SUBSCRIBE`.
    #[must_use]
    pub fn to_xml(self, sn: u32, device: Id) -> String {
        let rest = match self {
            Self::Catalog => "",
            Self::Alarm => {
                "<StartAlarmPriority>0</StartAlarmPriority>\r\n\
                 <EndAlarmPriority>0</EndAlarmPriority>\r\n<AlarmMethod>0</AlarmMethod>\r\n"
            }
            Self::MobilePosition => "<Interval>5</Interval>\r\n",
        };
        document("Query", self.command(), sn, device, rest)
    }
}

/// A document. It has ASCII alone, so that the encoding that all devices know is true of it.
fn document(root: &str, command: &str, sn: u32, device: Id, rest: &str) -> String {
    let device = escape(device.as_str());
    format!(
        "<?xml version=\"1.0\" encoding=\"GB2312\"?>\r\n<{root}>\r\n\
         <CmdType>{command}</CmdType>\r\n\
         <SN>{sn}</SN>\r\n<DeviceID>{device}</DeviceID>\r\n{rest}</{root}>\r\n"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "34020000001320000001";

    fn report(root: &str, rest: &str) -> Result<Report, Error> {
        Report::parse(format!("<{root}>{rest}<DeviceID>{ID}</DeviceID></{root}>").as_bytes())
    }

    fn content(root: &str, rest: &str) -> Content {
        report(root, rest).unwrap().content
    }

    #[test]
    fn keepalives_and_ends_of_files_are_read() {
        let keepalive =
            report("Notify", "<CmdType>keepalive</CmdType><SN>9</SN><Status>OK</Status>");
        let keepalive = keepalive.unwrap();
        assert_eq!((keepalive.sn, keepalive.is_response), (Some(9), false));
        assert_eq!(keepalive.content, Content::Keepalive { ok: true });
        let text = "<CmdType>Keepalive</CmdType><Status>ERROR</Status>";
        assert_eq!(content("Notify", text), Content::Keepalive { ok: false });
        let text = "<CmdType>MediaStatus</CmdType><NotifyType>121</NotifyType>";
        assert_eq!(content("Notify", text), Content::MediaStatus { kind: 121 });
        let none = report("Notify", "<CmdType>MediaStatus</CmdType>").unwrap_err();
        assert_eq!(none.to_string(), "the MANSCDP element NotifyType is missing");
        assert!(Report::parse(b"<Notify><CmdType>Keepalive</CmdType></Notify>").is_err());
        assert!(
            Report::parse(b"<N><CmdType>Keepalive</CmdType><DeviceID>1</DeviceID></N>").is_err()
        );
    }

    #[test]
    fn lists_of_recordings_are_read() {
        let item = |times: &str| {
            format!(
                "<Item><DeviceID>{ID}</DeviceID><Name>Gate</Name>{times}<Secrecy>0</Secrecy>\
                 <Type>time</Type><FileSize>42</FileSize></Item>"
            )
        };
        let times = "<StartTime>2025-01-01T00:00:00</StartTime><EndTime>2025-01-01T01:00:00\
                     </EndTime>";
        let text = format!(
            "<CmdType>RecordInfo</CmdType><SN>4</SN><SumNum>5</SumNum><RecordList Num=\"2\">{}{}\
             </RecordList>",
            item(times),
            item("")
        );
        let Content::RecordInfo { total, records, bad } = content("Response", &text) else {
            panic!()
        };
        assert_eq!((total, bad), (Some(5), 1));
        let expected = Record {
            name: "Gate".into(),
            start: "2025-01-01T00:00:00".into(),
            end: "2025-01-01T01:00:00".into(),
            kind: "time".into(),
            bytes: Some(42),
        };
        assert_eq!(records, [expected]);
        let text = records_xml(7, ID.parse().unwrap(), "2025-01-01T00:00:00", "b");
        assert!(text.contains("<CmdType>RecordInfo</CmdType>\r\n<SN>7</SN>"), "{text}");
        assert!(text.contains("<EndTime>b</EndTime>"), "{text}");
    }

    #[test]
    fn names_have_a_length() {
        let long = "长".repeat(1000);
        let text = format!(
            "<CmdType>Catalog</CmdType><DeviceList><Item><DeviceID>{ID}</DeviceID>\
             <Name>{long}</Name><Address>{long}</Address><Event>{long}</Event></Item></DeviceList>"
        );
        let Content::Catalog { channels, .. } = content("Response", &text) else { panic!() };
        let lengths =
            [&channels[0].name, &channels[0].address, channels[0].event.as_ref().unwrap()]
                .map(|text| text.chars().count());
        assert_eq!(lengths, [MAX_NAME, MAX_DESCRIPTION, MAX_NAME]);
    }

    #[test]
    fn catalogues_are_read_as_far_as_they_can_be() {
        let item = format!(
            "<Item><DeviceID>{ID}</DeviceID><Name>Gate &amp; yard</Name>\
             <Manufacturer>M</Manufacturer>\
             <Model>N</Model><Owner>O</Owner><CivilCode>340200</CivilCode><Address>A</Address>\
             <Parental>0</Parental><ParentID>34020000001180000001</ParentID><Status>ON</Status>\
             <Longitude>116.4</Longitude><Latitude>39.9</Latitude></Item>"
        );
        let text = format!(
            "<CmdType>Catalog</CmdType><SN>7</SN><SumNum>3</SumNum><DeviceList Num=\"2\">{item}\
             <Item><Name>nameless</Name></Item></DeviceList>"
        );
        let Content::Catalog { total, channels, bad } = content("Response", &text) else {
            panic!()
        };
        assert_eq!((total, bad), (Some(3), 1));
        let expected = Channel {
            id: ID.parse().unwrap(),
            name: "Gate & yard".to_owned(),
            manufacturer: "M".to_owned(),
            model: "N".to_owned(),
            owner: "O".to_owned(),
            civil_code: "340200".to_owned(),
            address: "A".to_owned(),
            parental: false,
            parent: "34020000001180000001".to_owned(),
            online: Some(true),
            longitude: Some(116.4),
            latitude: Some(39.9),
            event: None,
        };
        assert_eq!(channels, [expected]);
        let text = "<CmdType>Catalog</CmdType><SumNum>0</SumNum>";
        let none = Content::Catalog { total: Some(0), channels: Vec::new(), bad: 0 };
        assert_eq!(content("Response", text), none);
    }

    #[test]
    fn other_reports_are_read() {
        let text = "<CmdType>DeviceInfo</CmdType><Result>OK</Result><Manufacturer>M</Manufacturer>\
                    <Model>N</Model><Firmware>V1</Firmware><Channel>4</Channel>";
        let Content::DeviceInfo(info) = content("Response", text) else { panic!() };
        assert_eq!((&*info.model, &*info.firmware, info.channels), ("N", "V1", Some(4)));
        let text = "<CmdType>DeviceStatus</CmdType><Online>ONLINE</Online><Status>OK</Status>\
                    <Record>OFF</Record>";
        let Content::DeviceStatus(status) = content("Response", text) else { panic!() };
        assert_eq!((status.online, status.recording), (Some(true), Some(false)));
        let text = "<CmdType>Alarm</CmdType><AlarmPriority>1</AlarmPriority>\
                    <AlarmMethod>5</AlarmMethod>\
                    <AlarmTime>2026-01-01T00:00:00</AlarmTime>\
                    <Info><AlarmType>2</AlarmType></Info>";
        let Content::Alarm(alarm) = content("Notify", text) else { panic!() };
        assert_eq!((alarm.priority, alarm.method, alarm.kind), (Some(1), Some(5), Some(2)));
        let text = "<CmdType>MobilePosition</CmdType><Longitude>116.4</Longitude>\
                    <Latitude>39.9</Latitude><Speed>NaN</Speed>";
        let Content::Position(position) = content("Notify", text) else { panic!() };
        assert_eq!((position.longitude, position.speed), (116.4, None));
        let far = text.replace("116.4", "1e9");
        let problem = report("Notify", &far).unwrap_err().to_string();
        assert_eq!(problem, "the MANSCDP element Longitude is no number of degrees");
        let text = "<CmdType>DeviceControl</CmdType><Result>ERROR</Result>";
        let failed = Content::Result { command: "DeviceControl".to_owned(), ok: false };
        assert_eq!(content("Response", text), failed);
    }

    #[test]
    fn what_is_asked_is_xml_that_says_it() {
        let id: Id = ID.parse().unwrap();
        let read = |text: String| Element::parse(text.as_bytes()).unwrap();
        let query = read(Query::Catalog.to_xml(7, id));
        let told = |name| query.text_of(name).map(ToOwned::to_owned);
        assert_eq!(query.name, "Query");
        assert_eq!(told("CmdType").as_deref(), Some("Catalog"));
        assert_eq!((told("SN").as_deref(), told("DeviceID").as_deref()), (Some("7"), Some(ID)));
        let control = |control: Control, edition| read(control.to_xml(1, id, edition));
        let ptz = control(Control::Ptz(ptz::Command::STOP), false);
        assert_eq!(ptz.text_of("PTZCmd"), Some("A50F0100000000B5"));
        assert_eq!(control(Control::KeyFrame, false).text_of("IFameCmd"), Some("Send"));
        assert_eq!(control(Control::KeyFrame, true).text_of("IFrameCmd"), Some("Send"));
        assert_eq!(control(Control::Reboot, false).text_of("TeleBoot"), Some("Boot"));
        assert_eq!(control(Control::Record(false), false).text_of("RecordCmd"), Some("StopRecord"));
        let position = read(Topic::MobilePosition.to_xml(1, id));
        assert_eq!(position.text_of("Interval"), Some("5"));
    }

    proptest! {
        #[test]
        fn anything_is_survived(text in ".{0,80}", command in "[A-Za-z]{0,12}") {
            let _ = report("Notify", &format!("<CmdType>{command}</CmdType>{text}"));
        }
    }
}
