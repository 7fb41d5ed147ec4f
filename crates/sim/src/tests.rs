//! The whole way: a scenario to captures on disk, read back byte by byte.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::path::PathBuf;

use maxminddb::path;
use trapline_wire::tcp::flags;
use trapline_wire::{Frame, Framing, Packet, Reading, Step, Transport, decode};

use super::*;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("trapline-sim-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn run(name: &str, scenario: &str, scale: f64, seed: Option<u64>) -> (Folder, Summary) {
    let folder = Folder::new(name);
    let scenario = Scenario::load(scenario).unwrap();
    let mut told = (0, 0);
    let summary =
        simulate(&scenario, Some(scale), seed, &folder.0, &mut |done, all| told = (done, all)).unwrap();
    assert_eq!(told, (summary.packets, summary.packets), "what was planned was written");
    (folder, summary)
}

fn hash(summary: &Summary) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in
        summary.captures.iter().chain(&summary.truth).chain(&summary.places).chain([&summary.platform])
    {
        hasher.write(&std::fs::read(path).unwrap());
    }
    hasher.finish()
}

/// Reads every capture; each packet must decode, and time must move on.
fn read_back(summary: &Summary, mut see: impl FnMut(&str, i64, Packet<'_>)) -> u64 {
    read(summary, |month, frame, packet| see(month, frame.time, packet))
}

fn read(summary: &Summary, mut see: impl FnMut(&str, &Frame<'_>, Packet<'_>)) -> u64 {
    let (mut last, mut packets) = (i64::MIN, 0);
    for path in &summary.captures {
        let bytes = std::fs::read(path).unwrap();
        let mut framing = Framing::detect(bytes[..4].try_into().unwrap()).unwrap();
        let mut at = 0;
        while at < bytes.len() {
            match framing.step(&bytes[at..]) {
                Step::Skip { consumed, .. } => at += consumed,
                Step::Frame { consumed, frame } => {
                    at += consumed;
                    assert!(frame.time >= last + 1_000, "time moves by a microsecond at least");
                    last = frame.time;
                    packets += 1;
                    match decode(&frame) {
                        Reading::Ip(packet) => {
                            see(path.file_stem().unwrap().to_str().unwrap(), &frame, packet)
                        }
                        other => panic!("{other:?}"),
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
    packets
}

#[test]
fn a_tenth_of_the_paper_on_disk() {
    let (_folder, summary) = run("tenth", "paper2003", 0.1, None);
    assert_eq!((summary.captures.len(), summary.sources), (10, 1_808));
    let mut sources = std::collections::BTreeSet::new();
    let mut inbound = 0u64;
    let packets = read_back(&summary, |month, time, packet| {
        assert_eq!(clock::Day::at(time / 1_000).month(), month);
        let std::net::IpAddr::V4(dst) = packet.dst else { panic!("IPv4 only") };
        if dst.octets()[..3] == [192, 0, 2] {
            inbound += 1;
            sources.insert((packet.src, clock::Day::at(time / 1_000)));
        }
    });
    assert_eq!((packets, inbound), (summary.packets, 302_832));
    // The resolver and the refusing router only reply, so they are no sources.
    sources.retain(|(ip, _)| !ip.to_string().starts_with("198.51.100."));
    assert_eq!(sources.len() as u64, summary.sources);
    let size: u64 = summary.captures.iter().map(|p| std::fs::metadata(p).unwrap().len()).sum();
    assert_eq!(size, summary.bytes);
}

#[test]
fn one_seed_one_capture() {
    let hashes: Vec<u64> = [("a", None), ("b", Some(2003)), ("c", Some(7))]
        .map(|(name, seed)| {
            let (_folder, summary) = run(name, "paper2003", 0.03, seed);
            hash(&summary)
        })
        .to_vec();
    assert_eq!(hashes[0], hashes[1], "2003 is the scenario's own seed");
    assert_ne!(hashes[0], hashes[2]);
}

#[test]
fn truth_is_json_with_both_rules() {
    let (_folder, summary) = run("truth", "paper2003", 0.02, None);
    let text = std::fs::read_to_string(summary.truth.unwrap()).unwrap();
    let truth: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (day, gap) = (&truth["day"]["overview"][0], &truth["gap"]["overview"][0]);
    assert_eq!(day["packets"], gap["packets"]);
    assert!(day["sources"].as_u64() > gap["sources"].as_u64(), "midnights join under the gap rule");
}

#[test]
fn the_place_database_holds_the_sources_and_nobody_else() {
    let (_folder, summary) = run("places", "paper2003", 0.1, None);
    let database = maxminddb::Reader::open_readfile(summary.places.as_ref().unwrap()).unwrap();
    database.verify().unwrap();
    let text = |ip, path: &[maxminddb::PathElement<'_>]| {
        database.lookup(ip).unwrap().decode_path::<String>(path).unwrap()
    };
    let mut ips = std::collections::BTreeSet::new();
    read_back(&summary, |_, _, packet| {
        ips.extend([packet.src].into_iter().filter(|ip| !is_ours(*ip)));
    });
    let mut countries = std::collections::BTreeMap::<String, usize>::new();
    for ip in &ips {
        let country = text(*ip, &path!["country", "iso_code"]);
        let zone = text(*ip, &path!["location", "time_zone"]);
        let region = text(*ip, &path!["subdivisions", 0, "iso_code"]);
        assert_eq!(country.is_some(), zone.is_some(), "{ip}");
        assert_eq!(country.as_deref() == Some("US"), region.is_some(), "{ip} {country:?} {region:?}");
        *countries.entry(country.unwrap_or("??".into())).or_default() += 1;
    }
    assert_eq!(countries.len(), 22, "{countries:?}");
    let held = database.networks(Default::default()).unwrap().count();
    assert_eq!(held, ips.len() - countries["??"]);
}

/// The hosts, the resolver and the router, which are no sources.
fn is_ours(ip: std::net::IpAddr) -> bool {
    let ip = ip.to_string();
    ip.starts_with("192.0.2.") || ip.starts_with("198.51.100.")
}

#[test]
fn every_syn_of_an_address_says_the_same() {
    let (_folder, summary) = run("systems", "paper2003", 0.1, None);
    let systems = Scenario::load("paper2003").unwrap().systems();
    let mut seen = std::collections::BTreeMap::new();
    read(&summary, |_, frame, packet| {
        let Transport::Tcp(tcp) = packet.transport else { return };
        if tcp.flags() != Some(flags::SYN) {
            return;
        }
        let (df, zero_id) = (frame.data[20] & 0x40 != 0, packet.ip_id == 0);
        let mut options = tcp.options().to_vec();
        if let Some(at) = options.windows(2).position(|w| w == [8, 10]) {
            assert_ne!(options[at + 2..at + 6], [0; 4], "a stamp counts");
            options[at + 2..at + 6].fill(0);
        }
        let facts = (packet.ttl, tcp.window().unwrap(), options, df, zero_id);
        let known = seen.entry(packet.src).or_insert_with(|| facts.clone());
        assert_eq!(*known, facts, "{}", packet.src);
    });
    for (ttl, window, options, df, zero_id) in seen.values() {
        let fits = |s: &&system::System| {
            let syn = &s.syn;
            (syn.window, &syn.options, syn.df, !syn.id) == (*window, options, *df, *zero_id)
        };
        let system = systems.iter().find(fits).expect("every SYN is one of the scenario's systems");
        assert!((6..24).contains(&(system.syn.ttl - ttl)), "{} has TTL {ttl}", system.name);
    }
    assert!(seen.len() > 1_000);
}

#[test]
fn flat_captures_have_exactly_the_packets_asked_for() {
    for packets in [1, 10, 1_000, 54_321] {
        let folder = Folder::new(&format!("flat{packets}"));
        let scenario = with_packets(Scenario::load("bench").unwrap(), packets);
        let summary = simulate(&scenario, None, None, &folder.0, &mut |_, _| ()).unwrap();
        assert_eq!(read_back(&summary, |_, _, _| ()), packets);
        assert_eq!((summary.packets, summary.truth, summary.places), (packets, None, None));
    }
}
