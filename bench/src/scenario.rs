//! The scenarios of the bench: what is compared with what, and what is aimed at.

use crate::case::{Case, Protocol, Timing, Work};
use crate::goal::{Goal, Quantity};
use crate::server::Kind;
use crate::{devices, relays};

/// Cases that are compared with each other.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: String,
    /// What it is.
    pub title: String,
    /// What is special about it.
    pub about: &'static str,
    /// The shortest selection that it is part of.
    pub level: Level,
    /// How many viewers it has, where that is what it is about.
    pub viewers: Option<usize>,
    /// The first one is the floor, if there is one.
    pub cases: Vec<Case>,
    /// What is aimed at.
    pub goals: Vec<Goal>,
}

impl Scenario {
    /// About how long one round takes, in seconds.
    #[must_use]
    pub fn estimate(&self, timing: Timing) -> f64 {
        self.cases.iter().map(|case| case.estimate(timing)).sum()
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A look whether everything works.
    Quick,
    /// What matters most.
    Standard,
    /// Everything.
    Full,
}

/// How large the scenarios are.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// No scenario has more viewers.
    pub most_viewers: usize,
    /// No scenario has more publishers.
    pub most_publishers: usize,
    /// Seconds that viewers come and go.
    pub churn: f64,
}

const DEFAULT: Kind = Kind::Headwater { flush: None };
const MERGED: Kind = Kind::Headwater { flush: Some(350) };
const IMMEDIATE: Kind = Kind::Headwater { flush: Some(0) };
const FLOOR: Kind = Kind::Floor { cadence: 40 };

const OURS: &str = "headwater, RTMP";
const OURS_HTTP: &str = "headwater, HTTP-FLV";
const OURS_HTTPS: &str = "headwater, HTTPS-FLV";
const OURS_TS: &str = "headwater, HTTP-TS";
const OURS_RTSP_TCP: &str = "headwater, RTSP over TCP";
const OURS_RTSP_UDP: &str = "headwater, RTSP over UDP";
const NGINX: &str = "nginx-rtmp, RTMP";

/// How many seconds viewers of other servers come and go at most.
const PEER_CHURN: f64 = 60.0;
/// Who disturbs nobody: what a run of the same thing may differ by.
const UNCHANGED: f64 = 1.25;

/// All scenarios.
#[must_use]
pub fn all(scale: Scale) -> Vec<Scenario> {
    let mut all: Vec<Scenario> =
        [100, 500, 1000, 2000, 5000].map(|viewers| crowd(viewers, scale)).into();
    all.extend([bitrate(scale), sound(scale), publishers(200, scale), publishers(1000, scale)]);
    all.push(join(scale));
    all.extend([1, 10, 50].map(|percent| slow(percent, scale)));
    all.extend([stalled(scale), operators(scale), tls(scale), transport(scale), rtsp(scale)]);
    all.extend([relayed(scale), received(scale)]);
    all.extend([latency(), merged(scale)]);
    all.extend([start(), segments(), blocked(), churn(scale)]);
    all
}

/// Every server with every protocol that it has.
fn everyone(viewers: usize) -> Vec<Case> {
    let mut cases = vec![Case::new(FLOOR, Protocol::Raw, viewers)];
    for (kind, protocols) in [
        (DEFAULT, &[Protocol::Rtmp, Protocol::HttpFlv, Protocol::WsFlv][..]),
        (Kind::Nginx, &[Protocol::Rtmp]),
        (Kind::Xiu, &[Protocol::Rtmp, Protocol::HttpFlv]),
        (Kind::Node, &[Protocol::Rtmp, Protocol::HttpFlv, Protocol::WsFlv]),
    ] {
        cases.extend(protocols.iter().map(|&protocol| Case::new(kind, protocol, viewers)));
    }
    cases
}

/// Every server with RTMP.
fn rtmp_of_everyone(viewers: usize) -> Vec<Case> {
    let kinds = [DEFAULT, Kind::Nginx, Kind::Xiu, Kind::Node];
    kinds.map(|kind| Case::new(kind, Protocol::Rtmp, viewers)).into()
}

fn nothing_lost(names: &[&str]) -> Vec<Goal> {
    names.iter().map(|name| Goal::at_most(Quantity::Lost, name, 0.0)).collect()
}

fn first_key(name: &str) -> [Goal; 2] {
    [
        Goal::at_most(Quantity::FirstKeyMedian, name, 2.0),
        Goal::at_most(Quantity::FirstKey, name, 20.0),
    ]
}

fn crowd(viewers: usize, scale: Scale) -> Scenario {
    let count = viewers.min(scale.most_viewers);
    let mut goals = nothing_lost(&[OURS, OURS_HTTP]);
    let both = [OURS, OURS_HTTP];
    match viewers {
        1000 => {
            for name in both {
                goals.push(Goal::ratio(Quantity::Cost, name, "floor, 40 ms", 1.25));
                goals.push(Goal::at_most(Quantity::Latency, name, 40.0));
                goals.push(Goal::at_most(Quantity::Memory, name, 4.0));
            }
            goals.push(Goal::ratio(Quantity::Cost, OURS, NGINX, 0.5));
        }
        2000 => goals.extend(both.into_iter().flat_map(|name| {
            let (latency, load) = (Quantity::Latency, Quantity::Load);
            [Goal::at_most(latency, name, 60.0), Goal::at_most(load, name, 60.0)]
        })),
        _ => {}
    }
    let (level, about) = match viewers {
        100 => (Level::Quick, ""),
        500 | 1000 => (Level::Standard, ""),
        2000 => (Level::Standard, "For most servers this is more than one core can do."),
        _ => (Level::Full, "More than one core can do: what gives, and how?"),
    };
    Scenario {
        name: format!("viewers-{viewers}"),
        title: format!("{count} viewers of 1 Mbit/s"),
        about,
        level,
        viewers: Some(count),
        cases: everyone(count),
        goals,
    }
}

fn bitrate(scale: Scale) -> Scenario {
    let count = 250.min(scale.most_viewers);
    let mut cases = everyone(count);
    cases.iter_mut().for_each(|case| case.bitrate = 4_000_000);
    Scenario {
        name: "4-mbit".to_owned(),
        title: format!("{count} viewers of 4 Mbit/s"),
        about: "",
        level: Level::Standard,
        viewers: None,
        cases,
        goals: nothing_lost(&[OURS, OURS_HTTP]),
    }
}

fn sound(scale: Scale) -> Scenario {
    let count = 5000.min(scale.most_viewers);
    let mut cases = rtmp_of_everyone(count);
    cases.insert(1, Case::new(DEFAULT, Protocol::HttpFlv, count));
    for case in &mut cases {
        case.bitrate = 64_000;
        case.sound_only = true;
    }
    Scenario {
        name: "sound".to_owned(),
        title: format!("{count} viewers of sound alone, 64 kbit/s"),
        about: "47 frames per second and nothing to merge them with; the first frame stands for \
                the first key frame.",
        level: Level::Quick,
        viewers: None,
        cases,
        goals: nothing_lost(&[OURS, OURS_HTTP]),
    }
}

fn publishers(publishers: usize, scale: Scale) -> Scenario {
    let count = publishers.min(scale.most_publishers);
    let mut cases = rtmp_of_everyone(count);
    for case in &mut cases {
        case.streams = count;
        case.bitrate = 200_000;
    }
    let mut goals = nothing_lost(&[OURS]);
    goals.push(Goal::ratio(Quantity::Load, OURS, NGINX, 1.0));
    Scenario {
        name: format!("publishers-{publishers}"),
        title: format!("{count} publishers of 200 kbit/s with one viewer each"),
        about: "",
        level: if publishers > 200 { Level::Full } else { Level::Quick },
        viewers: None,
        cases,
        goals,
    }
}

fn join(scale: Scale) -> Scenario {
    let count = 1000.min(scale.most_viewers);
    let mut cases = everyone(count);
    // Nobody waits for the next key frame whom the server could have given one.
    cases.retain(|case| case.kind != FLOOR);
    Scenario {
        name: "join".to_owned(),
        title: format!("{count} viewers join at 200 per second"),
        about: "Compare the time to the first key frame; nginx-rtmp keeps none, so that its \
                viewers wait for the next one.",
        level: Level::Quick,
        viewers: None,
        cases,
        goals: [OURS, OURS_HTTP].into_iter().flat_map(first_key).collect(),
    }
}

fn slow(percent: usize, scale: Scale) -> Scenario {
    let count = 1000.min(scale.most_viewers);
    let mut cases = vec![Case::new(DEFAULT, Protocol::Rtmp, count)];
    let mut disturbed = cases.clone();
    disturbed.extend([
        Case::new(DEFAULT, Protocol::HttpFlv, count),
        Case::new(Kind::Nginx, Protocol::Rtmp, count),
        Case::new(Kind::Xiu, Protocol::Rtmp, count),
        Case::new(Kind::Node, Protocol::Rtmp, count),
    ]);
    for case in &mut disturbed {
        case.slow = (count * percent / 100).max(1);
        case.name = format!("{}, {percent} % slow", case.name);
    }
    cases.extend(disturbed);
    let ours = format!("{OURS}, {percent} % slow");
    let mut goals = nothing_lost(&[&ours]);
    goals.push(Goal::ratio(Quantity::Latency, &ours, OURS, UNCHANGED));
    goals.push(Goal::at_most(Quantity::Memory, &ours, 4.0));
    Scenario {
        name: format!("slow-{percent}"),
        title: format!("{count} viewers, of which {percent} % read at a fifth of the rate"),
        about: "Frames, latency and drops are those of the others. The first row has no slow \
                viewers.",
        level: if percent == 10 { Level::Quick } else { Level::Full },
        viewers: None,
        cases,
        goals,
    }
}

fn stalled(scale: Scale) -> Scenario {
    let count = 1000.min(scale.most_viewers);
    let mut cases = Vec::new();
    for kind in [DEFAULT, Kind::Nginx, Kind::Xiu, Kind::Node] {
        let calm = Case::new(kind, Protocol::Rtmp, count);
        let name = format!("{}, 1 stalled", calm.name);
        cases.extend([calm.clone(), Case { stalled: 1, name, ..calm }]);
    }
    let ours = format!("{OURS}, 1 stalled");
    let mut goals = nothing_lost(&[&ours]);
    goals.push(Goal::ratio(Quantity::Latency, &ours, OURS, UNCHANGED));
    Scenario {
        name: "stalled".to_owned(),
        title: format!("{count} viewers, and one more that reads nothing"),
        about: "Frames, latency and drops are those of the others.",
        level: Level::Quick,
        viewers: None,
        cases,
        goals,
    }
}

fn operators(scale: Scale) -> Scenario {
    let count = 1000.min(scale.most_viewers);
    let calm = Case::new(DEFAULT, Protocol::HttpFlv, count);
    let name = format!("{OURS_HTTP}, 10 operators");
    let watched = Case { operators: 10, name: name.clone(), ..calm.clone() };
    let mut goals = nothing_lost(&[&name]);
    goals.push(Goal::ratio(Quantity::Latency, &name, OURS_HTTP, UNCHANGED));
    Scenario {
        name: "operators".to_owned(),
        title: format!("{count} viewers, and ten operators"),
        about: "Once a second each operator asks for the server's figures, all streams, all \
                sessions (ours and lal's list) and the metrics.",
        level: Level::Quick,
        viewers: None,
        cases: vec![calm, watched],
        goals,
    }
}

fn tls(scale: Scale) -> Scenario {
    let count = 1000.min(scale.most_viewers);
    let mut goals = nothing_lost(&[OURS_HTTPS]);
    goals.push(Goal::ratio(Quantity::Cost, OURS_HTTPS, OURS_HTTP, 1.6));
    let mut cases = Vec::new();
    for kind in [DEFAULT, Kind::Node] {
        let protocols = [Protocol::HttpFlv, Protocol::HttpsFlv];
        cases.extend(protocols.map(|protocol| Case::new(kind, protocol, count)));
    }
    Scenario {
        name: "tls".to_owned(),
        title: format!("{count} viewers with and without TLS"),
        about: "The time to the first key frame includes the handshakes.",
        level: Level::Quick,
        viewers: None,
        cases,
        goals,
    }
}

fn transport(scale: Scale) -> Scenario {
    let count = 2000.min(scale.most_viewers);
    let ours = [Protocol::HttpFlv, Protocol::HttpTs].map(|p| Case::new(DEFAULT, p, count));
    let mut goals = nothing_lost(&[OURS_HTTP, OURS_TS]);
    goals.push(Goal::ratio(Quantity::Load, OURS_TS, OURS_HTTP, 1.2));
    Scenario {
        name: "transport".to_owned(),
        title: format!("{count} viewers of MPEG-TS and of FLV"),
        about: "Transport packets are some 7 % larger than FLV's at this bit rate.",
        level: Level::Quick,
        viewers: None,
        cases: ours.into(),
        goals,
    }
}

fn rtsp(scale: Scale) -> Scenario {
    let count = 1000.min(scale.most_viewers);
    let protocols = [Protocol::HttpFlv, Protocol::RtspTcp, Protocol::RtspUdp];
    let mut goals = nothing_lost(&[OURS_HTTP, OURS_RTSP_TCP]);
    goals.extend([
        Goal::ratio(Quantity::Cost, OURS_RTSP_TCP, OURS_HTTP, 1.5),
        Goal::at_most(Quantity::Missing, OURS_RTSP_UDP, 0.1),
        Goal::at_most(Quantity::PacketsLost, OURS_RTSP_UDP, 0.1),
        // The server is held on one core: at 100 % it could not keep up.
        Goal::at_most(Quantity::Load, OURS_RTSP_UDP, 95.0),
    ]);
    Scenario {
        name: "rtsp".to_owned(),
        title: format!("{count} viewers of RTSP and of FLV"),
        about: "Packets of at most 1200 bytes, on the connection or as datagrams; each viewer of \
                datagrams has two pairs of ports on either side, begins at the next key frame, and \
                all viewers report every 5 s.",
        level: Level::Quick,
        viewers: None,
        cases: protocols.map(|protocol| Case::new(DEFAULT, protocol, count)).into(),
        goals,
    }
}

/// What one core is to carry: at 100 % it could not keep up.
fn on_one_core(name: &str) -> [Goal; 2] {
    [Goal::at_most(Quantity::Lost, name, 0.0), Goal::at_most(Quantity::Load, name, 95.0)]
}

fn relayed(scale: Scale) -> Scenario {
    use relays::Over;
    let count = 250.min(scale.most_publishers);
    let cases = [Over::Rtmp, Over::Rtsp, Over::Both].map(|over| {
        let case = Case::of_relays(DEFAULT, over, count);
        Case { bitrate: 500_000, join_rate: 100, ..case }
    });
    let goals = cases.iter().flat_map(|case| on_one_core(&case.name)).collect();
    Scenario {
        name: "relays".to_owned(),
        title: format!("{} relays of 500 kbit/s: {count} in, and {count} out", 2 * count),
        about: "Each stream is pulled from a second process of this server, which shares the other \
                core with its publishers and with what the streams are pushed to: latency is that of two \
                servers in a row, the first with `flush_after` 0. In the last row half of the \
                streams are RTMP and half RTSP over TCP. A relay that was called more than once \
                counts as lost. KB are those of a pull and a push together.",
        level: Level::Quick,
        viewers: None,
        cases: cases.into(),
        goals,
    }
}

fn received(scale: Scale) -> Scenario {
    use devices::Over;
    let count = 500.min(scale.most_publishers);
    let mut cases = vec![Case { streams: count, ..Case::new(DEFAULT, Protocol::Rtmp, count) }];
    let overs = [Over::Udp, Over::Tcp, Over::Both];
    cases.extend(overs.map(|over| Case::of_devices(DEFAULT, over, count)));
    for case in &mut cases {
        case.bitrate = 500_000;
        case.counts_publishers = true;
    }
    let mut goals: Vec<Goal> = cases.iter().flat_map(|case| on_one_core(&case.name)).collect();
    let devices = cases.iter().filter(|case| case.devices.is_some());
    goals.extend(devices.map(|case| Goal::at_most(Quantity::PacketsLost, &case.name, 0.0)));
    Scenario {
        name: "devices".to_owned(),
        title: format!("{count} devices of GB/T 28181, 500 kbit/s each"),
        about: "Program streams over RTP, packets of at most 1412 bytes, half of the streams as \
                datagrams and half on connections in the last row. Each stream has one viewer over \
                RTMP, who sees whether every frame was taken; the first row has the same programme \
                from encoders that publish over RTMP. Packets lost are those that the server \
                misses. KB are those of a device and its viewer together.",
        level: Level::Quick,
        viewers: None,
        cases,
        goals,
    }
}

/// Requests per second that a core answers are compared by what one costs.
fn segments() -> Scenario {
    let case = |kind: Kind| Case {
        name: if kind == Kind::Nginx { "nginx, files" } else { kind.name() }.to_owned(),
        work: Work::Requests,
        ..Case::new(kind, Protocol::Hls, 64)
    };
    Scenario {
        name: "hls".to_owned(),
        title: "HLS: playlists and segments over 64 kept connections".to_owned(),
        about: "Three playlists to one segment of 2 s at 1 Mbit/s, as fast as answers come; nginx \
                serves the same bytes as files.",
        level: Level::Quick,
        viewers: None,
        cases: vec![case(DEFAULT), case(Kind::Nginx)],
        goals: vec![
            // 5000 answers a second are what a core has then.
            Goal::at_most(Quantity::AnswerCost, "headwater", 200.0),
            Goal::at_most(Quantity::BadAnswers, "headwater", 0.0),
        ],
    }
}

fn blocked() -> Scenario {
    let kind = DEFAULT;
    let case = Case {
        name: kind.name().to_owned(),
        work: Work::Blocked,
        ..Case::new(kind, Protocol::Hls, 2000)
    };
    Scenario {
        name: "ll-hls".to_owned(),
        title: "Low-latency HLS: 2000 players wait for the same part".to_owned(),
        about: "From the first answer to the last, again and again.",
        level: Level::Quick,
        viewers: None,
        cases: vec![case],
        goals: vec![
            Goal::at_most(Quantity::LastAnswer, "headwater", 60.0),
            Goal::at_most(Quantity::BadAnswers, "headwater", 0.0),
        ],
    }
}

fn latency() -> Scenario {
    let ours = [Protocol::Rtmp, Protocol::HttpFlv].map(|p| Case::new(IMMEDIATE, p, 100));
    let peers = [Kind::Nginx, Kind::Xiu, Kind::Node];
    let peers = peers.map(|kind| Case::new(kind, Protocol::Rtmp, 100));
    let mut cases: Vec<Case> = ours.into_iter().chain(peers).collect();
    cases.iter_mut().for_each(|case| case.sweep = Some(0.001));
    let mut goals = nothing_lost(&[OURS, OURS_HTTP]);
    goals.extend([OURS, OURS_HTTP].map(|name| Goal::at_most(Quantity::Latency, name, 3.0)));
    Scenario {
        name: "latency".to_owned(),
        title: "Lowest latency, 100 viewers of 1 Mbit/s".to_owned(),
        about: "Headwater with `flush_after` 0; viewers read every millisecond.",
        level: Level::Quick,
        viewers: None,
        cases,
        goals,
    }
}

fn merged(scale: Scale) -> Scenario {
    let count = 1000.min(scale.most_viewers);
    let floor = "floor, 350 ms";
    let ours = [Protocol::Rtmp, Protocol::HttpFlv].map(|p| Case::new(MERGED, p, count));
    let mut cases = vec![Case::new(Kind::Floor { cadence: 350 }, Protocol::Raw, count)];
    cases.extend(ours);
    let mut goals = nothing_lost(&[OURS, OURS_HTTP]);
    goals.extend([OURS, OURS_HTTP].map(|name| Goal::ratio(Quantity::Cost, name, floor, 1.3)));
    Scenario {
        name: "merged".to_owned(),
        title: format!("Merged over 350 ms, {count} viewers of 1 Mbit/s"),
        about: "Headwater with `flush_after` 350 ms.",
        level: Level::Quick,
        viewers: None,
        cases,
        goals,
    }
}

fn start() -> Scenario {
    let case = |kind: Kind| {
        let case = Case::new(kind, Protocol::Rtmp, 0);
        Case { name: kind.name().to_owned(), work: Work::Start, ..case }
    };
    Scenario {
        name: "start".to_owned(),
        title: "Start and idle".to_owned(),
        about: "",
        level: Level::Quick,
        viewers: None,
        cases: [DEFAULT, Kind::Nginx, Kind::Xiu, Kind::Node].map(case).into(),
        goals: vec![
            Goal::at_most(Quantity::Ready, "headwater", 50.0),
            Goal::at_most(Quantity::IdleMemory, "headwater", 10.0),
            // One tick of the kernel's clock within the window.
            Goal::at_most(Quantity::IdleLoad, "headwater", 0.2),
        ],
    }
}

fn churn(scale: Scale) -> Scenario {
    let count = 200.min(scale.most_viewers);
    let case = |kind, protocol| {
        // Hours are for our own memory; a minute shows what others do.
        let seconds = if kind == DEFAULT { scale.churn } else { scale.churn.min(PEER_CHURN) };
        Case { work: Work::Churn(seconds), ..Case::new(kind, protocol, count) }
    };
    Scenario {
        name: "churn".to_owned(),
        title: format!("{count} viewers come and go for {:.0} s", scale.churn),
        about: "Each stays up to ten seconds, chosen at random; with others for a minute at most.",
        level: Level::Quick,
        viewers: None,
        cases: vec![
            case(DEFAULT, Protocol::Rtmp),
            case(DEFAULT, Protocol::HttpFlv),
            case(Kind::Nginx, Protocol::Rtmp),
            case(Kind::Xiu, Protocol::Rtmp),
            case(Kind::Node, Protocol::Rtmp),
        ],
        goals: [OURS, OURS_HTTP]
            .into_iter()
            .flat_map(|name| {
                let quantities = [Quantity::ChurnLost, Quantity::Leaked];
                quantities.map(|quantity| Goal::at_most(quantity, name, 0.0))
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::record::{Row, Section};

    #[test]
    fn names_are_unique_and_goals_are_about_cases() {
        let scale = Scale { most_viewers: 5000, most_publishers: 1000, churn: 60.0 };
        let all = all(scale);
        let names: BTreeSet<&str> = all.iter().map(|scenario| &scenario.name[..]).collect();
        assert_eq!(names.len(), all.len());
        for scenario in &all {
            let rows =
                scenario.cases.iter().map(|case| Row { name: case.name.clone(), runs: Vec::new() });
            let section = Section {
                name: scenario.name.clone(),
                title: String::new(),
                about: String::new(),
                viewers: None,
                rows: rows.collect(),
                verdicts: Vec::new(),
            };
            let names: BTreeSet<&str> = section.rows.iter().map(|row| &row.name[..]).collect();
            assert_eq!(names.len(), section.rows.len(), "{}", scenario.name);
            for goal in &scenario.goals {
                assert!(goal.names().all(|name| section.row(name).is_some()), "{goal:?}");
            }
        }
    }
}
