//! How long an observation and a label take, and how much each database knows: `cargo run --release -p trapline-enrich --example
//! speed`.

#[path = "../tests/captures/mod.rs"]
mod captures;

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use trapline_enrich::os::{Database, Quality};
use trapline_testing::shared;
use trapline_wire::build::{self, Ip, Tcp};
use trapline_wire::tcp::flags::SYN;
use trapline_wire::{Frame, LinkType, Observation, Reading, decode};

/// Linux, Windows 2000, Windows 10 and masscan, as they begin a connection.
const OPTIONS: [(&[u8], u16, u8); 4] = [
    (&[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7], 29200, 51),
    (&[2, 4, 5, 0xb4, 1, 1, 4, 2], 16384, 110),
    (&[2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2], 64240, 115),
    (&[], 1024, 241),
];

fn main() {
    speed();
    what_each_database_knows();
}

fn packets() -> Vec<Vec<u8>> {
    let packet = |(options, window, ttl): (&[u8], u16, u8)| {
        let mut out = Vec::new();
        let (src, dst) = ([192, 0, 2, 1].into(), [198, 51, 100, 2].into());
        let ip = Ip { ttl, id: 7, df: ttl < 200, ..Ip::new(src, dst) };
        build::tcp(&mut out, &ip, &Tcp { seq: 7, flags: 2, window, options, ..Tcp::default() });
        out
    };
    OPTIONS.map(packet).to_vec()
}

/// Nanoseconds for one call, the fastest of five rounds.
fn nanoseconds(calls: u32, mut call: impl FnMut(usize)) -> f64 {
    let round = |_| {
        let begin = Instant::now();
        (0..calls as usize).for_each(&mut call);
        begin.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    (0..5).map(round).fold(f64::INFINITY, f64::min)
}

fn speed() {
    let bytes = packets();
    let frame =
        |data: &'static [u8]| Frame { link: LinkType::RAW, time: 0, wire_len: data.len() as u32, data };
    let leaked: Vec<&'static [u8]> = bytes.into_iter().map(|b| &*Box::leak(b.into_boxed_slice())).collect();
    let packets: Vec<_> = leaked
        .iter()
        .map(|bytes| match decode(&frame(bytes)) {
            Reading::Ip(packet) => packet,
            other => panic!("{other:?}"),
        })
        .collect();
    let mut out = std::io::stdout();
    let of = nanoseconds(4_000_000, |n| {
        black_box(Observation::of(black_box(&packets[n % 4])));
    });
    writeln!(out, "Observation::of {of:.1} ns").unwrap();
    let seen: Vec<Observation> = packets.iter().map(|packet| Observation::of(packet).unwrap()).collect();
    let text = nanoseconds(400_000, |n| {
        black_box(black_box(&seen[n % 4]).text());
    });
    writeln!(out, "Observation::text {text:.0} ns").unwrap();
    for database in databases() {
        let time = nanoseconds(200_000, |n| {
            black_box(database.matches(black_box(&seen[n % 4])));
        });
        writeln!(out, "{} {time:.0} ns", database.name()).unwrap();
    }
}

/// Ours, and those of others that are here.
fn databases() -> Vec<Database> {
    let mut databases = vec![Database::own()];
    if let Some(place) = shared("speed of others' databases") {
        for name in [
            "p0f-3.09b.fp",
            "p0f-2.0.8-syn.fp",
            "p0f-1.8.3-syn.fp",
            "disco-1.2.fp",
            "etter.finger.os",
            "openbsd-pf.os",
            "satori-tcp.xml",
        ] {
            let bytes = std::fs::read(place.join("data/fingerprints").join(name)).unwrap();
            databases.push(Database::parse(name, &String::from_utf8_lossy(&bytes)).unwrap());
        }
    }
    databases
}

fn what_each_database_knows() {
    let Some(place) = shared("what each database knows") else { return };
    let mut seen = HashMap::<Observation, usize>::new();
    for capture in captures::captures(&place) {
        captures::frames(&capture, |frame| {
            if let Reading::Ip(packet) = decode(frame)
                && let Some(observation) = Observation::of(&packet)
                && observation.flags & SYN != 0
            {
                *seen.entry(observation).or_default() += 1;
            }
        });
    }
    let mut out = std::io::stdout();
    let packets: usize = seen.values().sum();
    writeln!(out, "{packets} packets with SYN, {} observations", seen.len()).unwrap();
    for database in databases() {
        let count = |quality| -> usize {
            let with =
                seen.iter().filter(|(observation, _)| database.matches(observation).quality == quality);
            with.map(|(_, packets)| packets).sum()
        };
        let counts = [Quality::Exact, Quality::Generic, Quality::Fuzzy].map(count);
        writeln!(out, "{} exact, generic, fuzzy {counts:?}", database.name()).unwrap();
    }
}
