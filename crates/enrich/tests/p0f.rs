//! p0f 3.09b as the oracle: over every capture we have, our labels, distances and raw signatures of SYNs and
//! SYN/ACKs are p0f's, line by line and in its order.
//!
//! p0f remembers connections and speaks of one SYN and one SYN/ACK of each, so the test remembers them
//! as it does (`flow_dispatch` in its process.c). What differs must be in the list of [`reason`].

mod captures;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

use trapline_enrich::os::{Database, Kind, Matched, Quality};
use trapline_testing::random::Random;
use trapline_testing::{shared, skipped};
use trapline_wire::observation::Marks;
use trapline_wire::pcap::Writer;
use trapline_wire::tcp::flags::{ACK, FIN, RST, SYN};
use trapline_wire::{Frame, LinkType, Observation, Packet, Reading, Transport, decode};

use captures::{captures, frames};

const P0F: &str = "/usr/sbin/p0f";
const DATABASE: &str = "/etc/p0f/p0f.fp";
/// The longest life of a connection that p0f can be given, in seconds.
const LIFE_S: i64 = 1_000_000;
/// p0f calls a distance above this excessive (MAX_DIST).
const MAX_HOPS: u8 = 35;

/// One line of p0f's log, without its time.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    module: String,
    client: String,
    server: String,
    fields: Vec<(String, String)>,
}

impl Line {
    /// `None` for what is no SYN, SYN/ACK or MTU.
    fn parse(text: &str) -> Option<Line> {
        let (_, text) = text.split_once("] ")?;
        let mut fields = text.split('|').map(|field| field.split_once('=').unwrap_or((field, "")));
        let mut value = || fields.next().map(|(_, value)| value.to_owned());
        let (module, client, server, _) = (value()?, value()?, value()?, value()?);
        let fields = fields.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        matches!(module.as_str(), "syn" | "syn+ack" | "mtu").then_some(Line {
            module,
            client,
            server,
            fields,
        })
    }

    fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// What p0f remembers of a connection.
struct Flow {
    client: SocketAddr,
    next_seq: u32,
    mss: u16,
    answered: bool,
    begun_s: i64,
}

/// p0f's view of a capture, as far as it decides which packets get a line.
struct Oracle {
    database: Database,
    flows: HashMap<[SocketAddr; 2], Flow>,
    lines: Vec<(Line, Observation)>,
}

/// Packets that p0f looks at: IP whole in the capture, TCP whole in IP, no fragments, no silly flags, no
/// VLAN.
fn reads(frame: &Frame<'_>, packet: &Packet<'_>) -> bool {
    let plain =
        frame.link != LinkType::ETHERNET || matches!(frame.data.get(12..14), Some([8, 0] | [0x86, 0xdd]));
    let Transport::Tcp(tcp) = packet.transport else { return false };
    let start = packet.header.as_ptr() as usize - frame.data.as_ptr() as usize;
    let whole = (frame.data.len() - start) as u64 >= u64::from(packet.ip_len);
    let flags = tcp.flags().unwrap_or(0);
    let silly = flags & SYN != 0 && flags & (FIN | RST) != 0
        || flags & FIN != 0 && flags & RST != 0
        || flags & (SYN | ACK | FIN | RST) == 0;
    let extended = packet.dst.is_ipv6() && packet.ip_header_len > 40;
    plain && whole && !silly && !extended && packet.fragment.is_none() && tcp.header().is_some()
}

impl Oracle {
    fn frame(&mut self, frame: &Frame<'_>) {
        let Reading::Ip(packet) = decode(frame) else { return };
        if !reads(frame, &packet) {
            return;
        }
        let Transport::Tcp(tcp) = packet.transport else { return };
        let (src, dst) =
            (SocketAddr::new(packet.src, tcp.src_port()), SocketAddr::new(packet.dst, tcp.dst_port()));
        let key = if src < dst { [src, dst] } else { [dst, src] };
        let seq = tcp.seq().unwrap();
        let now_s = frame.time / 1_000_000_000;
        if self.flows.get(&key).is_some_and(|flow| now_s - flow.begun_s > LIFE_S) {
            self.flows.remove(&key);
        }
        let flow = self.flows.get_mut(&key);
        match tcp.flags().unwrap() & (SYN | ACK | FIN | RST) {
            SYN => {
                if flow.is_some_and(|flow| flow.client == src && flow.next_seq.wrapping_sub(1) == seq) {
                    return;
                }
                let seen = Observation::of(&packet).expect("a whole header");
                let flow = Flow {
                    client: src,
                    next_seq: seq.wrapping_add(1),
                    mss: seen.mss.unwrap_or(0),
                    answered: false,
                    begun_s: now_s,
                };
                self.flows.insert(key, flow);
                let matched = self.database.matches(&seen);
                self.say("syn", src, dst, &seen, &matched, key);
            }
            flags if flags == SYN | ACK => {
                let Some(flow) = flow.filter(|flow| flow.client != src && !flow.answered) else { return };
                flow.answered = true;
                let seen = Observation::of(&packet).expect("a whole header");
                let matched = self.database.matches_answer(&seen, flow.mss);
                self.say("syn+ack", dst, src, &seen, &matched, key);
            }
            ACK => {
                if flow.is_some_and(|flow| !flow.answered) {
                    self.flows.remove(&key);
                }
            }
            _ => {
                self.flows.remove(&key);
            }
        }
    }

    /// Adds the lines that p0f would write; a tool's connection is forgotten at once.
    fn say(
        &mut self,
        module: &str,
        client: SocketAddr,
        server: SocketAddr,
        seen: &Observation,
        matched: &Matched,
        key: [SocketAddr; 2],
    ) {
        let tool = matched.label.as_ref().is_some_and(|label| label.kind == Kind::Tool);
        let name = matched.label.as_ref().map_or("???", |label| &label.text);
        let distance = matched.distance.expect("p0f guesses always");
        let bound = if random_ttl(matched) { "<= " } else { "" };
        let fields = vec![
            ((if tool { "app" } else { "os" }).to_owned(), name.to_owned()),
            ("dist".to_owned(), format!("{bound}{distance}")),
            ("params".to_owned(), params(seen, matched)),
            ("raw_sig".to_owned(), matched.raw.clone()),
        ];
        let (client, server) = (end(client), end(server));
        let line = Line { module: module.to_owned(), client, server, fields };
        let (client, server) = (line.client.clone(), line.server.clone());
        self.lines.push((line, *seen));
        if tool {
            self.flows.remove(&key);
        } else if let Some((mtu, link)) = self.database.link(seen) {
            let link = link.unwrap_or("???").to_owned();
            let fields = vec![("link".to_owned(), link), ("raw_mtu".to_owned(), mtu.to_string())];
            self.lines.push((Line { module: "mtu".to_owned(), client, server, fields }, *seen));
        }
    }
}

fn random_ttl(matched: &Matched) -> bool {
    matched.label.as_ref().is_some_and(|label| label.random_ttl)
}

/// p0f's `params`.
fn params(seen: &Observation, matched: &Matched) -> String {
    let generic = matched.label.as_ref().is_some_and(|label| label.generic);
    let mut words = Vec::new();
    let mut add = |there: bool, word: &str| words.extend(there.then(|| word.to_owned()));
    add(generic, "generic");
    add(matched.quality == Quality::Fuzzy, "fuzzy");
    add(random_ttl(matched), "random_ttl");
    add(matched.distance.is_some_and(|hops| hops > MAX_HOPS), "excess_dist");
    add(seen.tos >> 2 != 0, &format!("tos:0x{:02x}", seen.tos >> 2));
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}

/// An address and port as p0f writes them.
fn end(end: SocketAddr) -> String {
    match end.ip() {
        IpAddr::V4(ip) => format!("{ip}/{}", end.port()),
        IpAddr::V6(ip) => {
            let groups: Vec<String> = ip.segments().iter().map(|group| format!("{group:x}")).collect();
            format!("{}/{}", groups.join(":"), end.port())
        }
    }
}

/// Runs p0f over a capture, with limits that no capture of ours reaches.
fn run_p0f(database: &Path, capture: &Path, log: &Path) -> Vec<Line> {
    let output = Command::new(P0F)
        .args(["-m", "100000,100000", "-t", &format!("{LIFE_S},{LIFE_S}"), "-f"])
        .arg(database)
        .arg("-r")
        .arg(capture)
        .arg("-o")
        .arg(log)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "p0f on {}: {}",
        capture.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::read_to_string(log).unwrap().lines().filter_map(Line::parse).collect()
}

/// Why a line may differ from p0f's, or nothing where it must not: where p0f does not do what its manual
/// says.
fn reason(ours: &Line, theirs: &Line, seen: &Observation) -> Option<&'static str> {
    let without = |line: &Line, quirks: &[&str]| {
        let mut fields: Vec<&str> = line.field("raw_sig").split(':').collect();
        let kept: Vec<&str> = fields[6].split(',').filter(|quirk| !quirks.contains(quirk)).collect();
        let kept = kept.join(",");
        fields[6] = &kept;
        fields.join(":")
    };
    let same_but = |quirks: &[&str]| without(ours, quirks) == without(theirs, quirks);
    let same_packet =
        ours.module == theirs.module && ours.client == theirs.client && ours.server == theirs.server;
    if !same_packet || ours.module == "mtu" {
        None
    } else if seen.ip_version == 6 && same_but(&[]) {
        Some("p0f does not compare the IP version of a signature with that of the packet")
    } else if same_but(&[])
        && [ours, theirs].iter().all(|l| l.field("os") == "???")
        && theirs.field("dist") == "0"
    {
        Some("p0f says 0 for the distance of a stranger whom a tool's signature fits nearly")
    } else if seen.has(Marks::PADDING_NOT_ZERO) && same_but(&["opt+"]) {
        Some("p0f does not see that padding is not zero where only its last byte is not")
    } else {
        None
    }
}

/// A copy of a capture in which every TCP packet that was cut behind its header is filled up with zeros: p0f
/// reads whole packets only, and looks at headers only.
fn whole(capture: &Path) -> Vec<u8> {
    let (mut out, mut link) = (Vec::new(), None);
    frames(capture, |frame| {
        let (first, writer) = *link.get_or_insert_with(|| (frame.link, Writer::new(&mut out, frame.link)));
        assert_eq!(first, frame.link, "no capture of ours has several link types");
        let mut data = frame.data.to_vec();
        if let Reading::Ip(packet) = decode(frame) {
            let start = packet.header.as_ptr() as usize - frame.data.as_ptr() as usize;
            data.resize(data.len().max(start + packet.ip_len as usize), 0);
        }
        writer.frame(&mut out, frame.time, data.len() as u32, &data);
    });
    out
}

/// Counts, and the differences that nothing excuses.
#[derive(Default)]
struct Comparison {
    compared: usize,
    labelled: usize,
    excused: HashMap<&'static str, usize>,
    wrong: Vec<String>,
}

impl Comparison {
    fn add(&mut self, database: &Path, name: &str, bytes: &[u8]) {
        let folder = tempfile::tempdir().unwrap();
        let capture = folder.path().join("capture");
        std::fs::write(&capture, bytes).unwrap();
        let theirs = run_p0f(database, &capture, &folder.path().join("log"));
        let text = std::fs::read_to_string(database).unwrap();
        let database = Database::parse("p0f.fp", &text).unwrap();
        let mut oracle = Oracle { database, flows: HashMap::new(), lines: Vec::new() };
        frames(&capture, |frame| oracle.frame(frame));
        if oracle.lines.len() != theirs.len() {
            self.wrong.push(format!("{name}: {} lines, p0f has {}", oracle.lines.len(), theirs.len()));
        }
        for ((ours, seen), theirs) in oracle.lines.iter().zip(&theirs) {
            self.compared += 1;
            self.labelled += usize::from(!theirs.field("os").contains("???") && theirs.module != "mtu");
            match reason(ours, theirs, seen) {
                _ if ours == theirs => {}
                Some(why) => *self.excused.entry(why).or_default() += 1,
                None => self.wrong.push(format!("{name}: {seen:?}\n ours   {ours:?}\n theirs {theirs:?}")),
            }
        }
    }

    /// Enough must have been compared, and labelled, for the test to mean something.
    fn check(&self, lines: usize, labels: usize) {
        let Comparison { compared, labelled, excused, wrong } = self;
        let first = wrong[..wrong.len().min(20)].join("\n");
        assert!(wrong.is_empty(), "{} of {compared} differ, {excused:?}\n{first}", wrong.len());
        assert!(*compared >= lines, "only {compared} lines compared, {excused:?}");
        assert!(*labelled >= labels, "only {labelled} lines of {compared} with a label");
    }
}

/// Whether p0f and its database are here.
fn installed() -> bool {
    let there = Path::new(P0F).exists() && Path::new(DATABASE).exists();
    if !there {
        skipped("comparison with p0f", "p0f 3.09b is not installed");
    }
    there
}

/// Over all captures: so many labels at least, so many excuses at most.
fn compare_real(database: &Path, labels: usize, excused: usize) {
    let Some(place) = shared("comparison with p0f") else { return };
    if !installed() {
        return;
    }
    let mut comparison = Comparison::default();
    for capture in captures(&place) {
        comparison.add(database, &capture.display().to_string(), &whole(&capture));
    }
    let sum: usize = comparison.excused.values().sum();
    assert!(sum <= excused, "more excuses than real packets need: {:?}", comparison.excused);
    comparison.check(50_000, labels);
}

#[test]
fn labels_of_real_packets_are_those_of_p0f() {
    compare_real(Path::new(DATABASE), 10_000, 0);
}

#[test]
fn p0f_reads_our_own_database_as_we_do() {
    compare_real(&trapline_testing::project().join("fingerprints/trapline.fp"), 10_000, 2);
}

#[test]
fn labels_of_simulated_attackers_are_those_of_p0f() {
    if !installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let scenario = trapline_sim::Scenario::load("paper2003").unwrap();
    let played = trapline_sim::simulate(&scenario, Some(0.03), None, folder.path(), &mut |_, _| {}).unwrap();
    let own = trapline_testing::project().join("fingerprints/trapline.fp");
    for database in [Path::new(DATABASE), &own] {
        let mut comparison = Comparison::default();
        for capture in &played.captures {
            comparison.add(database, &capture.display().to_string(), &whole(capture));
        }
        assert!(comparison.excused.is_empty(), "{:?}", comparison.excused);
        comparison.check(10_000, 3_000);
    }
}

/// Option lists that systems send, and some that they should not.
const LAYOUTS: [&[u8]; 16] = [
    &[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7],
    &[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 9, 1, 3, 3, 15],
    &[2, 4, 5, 0xb4, 1, 1, 4, 2],
    &[2, 4, 5, 0xac, 1, 3, 3, 8, 1, 1, 4, 2],
    &[2, 4, 5, 0xb4, 1, 3, 3, 6, 1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 4, 2, 0, 0],
    &[2, 4, 5, 0xb4, 1, 3, 3, 6, 1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 4, 2, 0, 1],
    &[2, 4, 5, 0xb4, 1, 3, 3, 6, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0],
    &[2, 4, 5, 0xb4],
    &[],
    &[2, 4, 1, 9, 4, 2, 8, 10, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
    &[3, 3, 10, 1, 2, 4, 5, 0xb4, 8, 10, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 4, 2],
    &[1, 3, 3, 0, 2, 4, 2, 24],
    &[2, 5, 5, 0xb4, 8, 10, 0, 0],
    &[99, 0, 1, 1],
    &[254, 4, 1, 2, 5, 9, 1, 1],
    &[2, 4, 5, 0xb4, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0],
];
const WINDOWS: [u16; 16] =
    [0, 1, 63, 512, 1024, 4096, 5840, 8192, 14600, 16384, 29200, 32768, 64240, 65535, 8688, 1337];

/// The parts of a packet that signatures speak of.
struct Parts {
    options: Vec<u8>,
    window: u16,
    ttl: u8,
    place: u8,
    id: u8,
}

impl Parts {
    /// Drawn, whatever comes of it.
    fn drawn(random: &mut Random) -> Parts {
        let mut options = random.pick(&LAYOUTS).to_vec();
        if random.below(4) == 0 && !options.is_empty() {
            let at = random.below(options.len() as u64) as usize;
            options[at] ^= 1 << random.below(8);
        }
        let multiple = 1460u16.wrapping_mul(random.below(45) as u16);
        Parts {
            options,
            window: if random.below(3) == 0 { multiple } else { random.pick(&WINDOWS) },
            ttl: random.pick(&[1, 29, 30, 55, 64, 64, 65, 92, 93, 110, 128, 128, 129, 219, 220, 255]),
            place: random.pick(&[0, 0x40, 0x40, 0x40, 0x80]),
            id: random.pick(&[0, 1]),
        }
    }

    /// Such that this signature of p0f's database fits, or nearly.
    fn fitting(signature: &str, random: &mut Random) -> Parts {
        let fields: Vec<&str> = signature.split(':').collect();
        let mss: u16 = fields[3].parse().unwrap_or_else(|_| random.pick(&[1460, 1452, 1380]));
        let (window, scale) = fields[4].split_once(',').unwrap();
        let scale = scale.parse().unwrap_or(5);
        let window = match (window.split_once('*'), window.parse()) {
            (_, Ok(window)) => window,
            (Some(("mss", times)), _) => mss.wrapping_mul(times.parse().unwrap()),
            (Some(("mtu", times)), _) => (mss + 40).wrapping_mul(times.parse().unwrap()),
            _ => 5000,
        };
        let mut options = Vec::new();
        for option in fields[5].split(',') {
            match option {
                "nop" => options.push(1),
                "mss" => options.extend([2, 4, (mss >> 8) as u8, mss as u8]),
                "ws" => options.extend([3, 3, scale]),
                "sok" => options.extend([4, 2]),
                "ts" => options.extend([8, 10, 0, 0, 0, 1, 0, 0, 0, 0]),
                _ => options.push(0),
            }
        }
        options.resize(options.len().next_multiple_of(4), 0);
        let ttl: u8 = fields[1].trim_end_matches('-').parse().unwrap();
        let quirk = |name| u8::from(fields[6].split(',').any(|quirk| quirk == name));
        let ttl = ttl - random.pick(&[0, 0, 1, 12, 35, 36]).min(ttl - 1);
        Parts { options, window, ttl, place: quirk("df") << 6, id: quirk("id+") }
    }
}

/// A SYN or, answering the one before, a SYN/ACK, with some of its parts drawn and a bit turned now and then.
fn drawn(random: &mut Random, parts: Parts, nth: u32, answers: bool, oddness: u64) -> Vec<u8> {
    let Parts { options, window, ttl, place, id } = parts;
    let ipv6 = random.below(8) == 0;
    let (mut client, mut server) = ([10, (nth >> 16) as u8, (nth >> 8) as u8, nth as u8], [192, 0, 2, 1]);
    if answers {
        std::mem::swap(&mut client, &mut server);
    }
    let odd = |random: &mut Random, values: &[u8]| {
        if random.below(100) < oddness { random.pick(values) } else { 0 }
    };
    let ports: [u8; 4] = if answers { [0, 80, 4, 0] } else { [4, 0, 0, 80] };
    let mut segment = ports.to_vec();
    let seq = 1 - u32::from(odd(random, &[1]));
    // p0f writes & for && and sees only acknowledgement numbers whose first byte is odd; packets of real
    // tools that set one are known to it half of the time.
    let ack = if answers { 5 } else { 0 } ^ u32::from(odd(random, &[1, 5])) << 24;
    segment.extend_from_slice(&seq.to_be_bytes());
    segment.extend_from_slice(&(if answers && odd(random, &[1]) == 1 { 0 } else { ack }).to_be_bytes());
    segment.push(((20 + options.len()) * 4) as u8 | odd(random, &[1, 2, 4]));
    segment.push(if answers { 0x12 } else { 2 } | odd(random, &[8, 0x20, 0x40, 0xc0]));
    segment.extend_from_slice(&window.to_be_bytes());
    segment.extend_from_slice(&[0, 0, 0, odd(random, &[1])]);
    segment.extend_from_slice(&options);
    segment.resize(segment.len() + usize::from(odd(random, &[3])), 1);
    let mut out = Vec::new();
    if ipv6 {
        out.extend_from_slice(&[0x60, odd(random, &[0x10, 0x20, 0xb0]), 0, odd(random, &[1])]);
        out.extend_from_slice(&[0, segment.len() as u8, 6, ttl]);
        for address in [client, server] {
            out.extend_from_slice(&[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0]);
            out.extend_from_slice(&address);
        }
    } else {
        let ip_options = odd(random, &[4]);
        out.extend_from_slice(&[0x45 + ip_options / 4, odd(random, &[1, 2, 4, 0xb8])]);
        out.extend_from_slice(&(20 + u16::from(ip_options) + segment.len() as u16).to_be_bytes());
        let (id, place) = (id ^ odd(random, &[1]), place ^ odd(random, &[0x40, 0x80]));
        out.extend_from_slice(&[0, id, place, 0, ttl, 6, 0, 0]);
        out.extend_from_slice(&client);
        out.extend_from_slice(&server);
        out.resize(out.len() + usize::from(ip_options), 1);
    }
    out.extend_from_slice(&segment);
    out
}

/// The signatures of a section; without those of p0f's own prober, whose connections p0f treats in its own
/// way.
fn signatures<'a>(text: &'a str, section: &str) -> Vec<&'a str> {
    let begin = text.split_once(section).unwrap().1;
    let end = begin.split_once("\n[").unwrap().0;
    let all = end.lines().filter_map(|line| Some(line.strip_prefix("sig")?.split_once('=')?.1.trim()));
    all.filter(|signature| !signature.contains(":1337,")).collect()
}

#[test]
fn labels_of_drawn_packets_are_those_of_p0f() {
    if !installed() {
        return;
    }
    let text = std::fs::read_to_string(DATABASE).unwrap();
    let (requests, responses) = (signatures(&text, "[tcp:request]"), signatures(&text, "[tcp:response]"));
    let (mut random, mut out) = (Random::new(1), Vec::new());
    let writer = Writer::new(&mut out, LinkType::RAW);
    for nth in 0..60_000 {
        for answers in [false, true] {
            let signatures = if answers { &responses } else { &requests };
            let fitting = random.below(2) == 0;
            let parts = if fitting {
                let signature = random.pick(signatures);
                Parts::fitting(signature, &mut random)
            } else {
                Parts::drawn(&mut random)
            };
            let packet = drawn(&mut random, parts, nth, answers, if fitting { 2 } else { 12 });
            writer.frame(&mut out, i64::from(nth), packet.len() as u32, &packet);
        }
    }
    let mut comparison = Comparison::default();
    comparison.add(Path::new(DATABASE), "drawn", &out);
    comparison.check(150_000, 10_000);
}
