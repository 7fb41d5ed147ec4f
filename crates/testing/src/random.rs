//! Random traffic as packet lines: what fails can be read, cut down and kept as a case.
//!
//! Few addresses and few ports, so that conversations meet; pauses from nothing to more than a day, so that
//! midnight, 24 hours and 25 hours all matter; every kind of packet that the definitions tell apart.

use std::fmt::Write;

/// The platform that the traffic goes to.
pub const PLATFORM: &str = r#"
[platform]
name = "random"

[[host]]
name = "mach0"
addresses = ["192.0.2.10"]

[[host]]
name = "mach1"
addresses = ["192.0.2.11"]
open = ["80/tcp", "53/udp"]

[[host]]
name = "mach2"
addresses = ["2001:db8::12"]
"#;

/// A small generator (SplitMix64): the same seed gives the same traffic on every machine, for ever.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.number() % n
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// The same things in another order.
    pub fn shuffled<T>(&mut self, mut things: Vec<T>) -> Vec<T> {
        for i in (1..things.len()).rev() {
            things.swap(i, self.below(i as u64 + 1) as usize);
        }
        things
    }
}

const SECOND: i64 = 1_000_000_000;
/// Pauses between packets, in nanoseconds: often short, at times as long as a rule.
const PAUSES: [i64; 16] = [
    0,
    0,
    1,
    1_000,
    SECOND,
    SECOND,
    2 * SECOND,
    30 * SECOND,
    60 * SECOND,
    61 * SECOND,
    600 * SECOND,
    3_600 * SECOND,
    3_600 * SECOND,
    5 * 3_600 * SECOND,
    12 * 3_600 * SECOND,
    25 * 3_600 * SECOND,
];

/// `count` packet lines for [`PLATFORM`] in order of time, from 1 March 2004 on.
pub fn lines(seed: u64, count: usize) -> String {
    let mut random = Random::new(seed);
    let mut time = 1_078_099_200 * SECOND + random.below(86_400) as i64 * SECOND;
    let mut out = String::new();
    for _ in 0..count {
        time += random.pick(&PAUSES);
        let clock = chrono::DateTime::from_timestamp_nanos(time).format("%Y-%m-%d %H:%M:%S%.9f");
        writeln!(out, "{clock} {}", packet(&mut random)).expect("memory takes every line");
    }
    out
}

const IPV4_PEERS: [&str; 5] = ["203.0.113.5", "203.0.113.6", "203.0.113.7", "198.51.100.8", "198.51.100.9"];
const IPV6_PEERS: [&str; 2] = ["2001:db8:1::5", "2001:db8:2::6"];
const PORTS: [u16; 5] = [53, 80, 137, 445, 4096];

/// A host and a peer of one address family, as texts.
fn ends(random: &mut Random) -> (&'static str, String, bool) {
    let host = random.pick(&["mach0", "mach0", "mach1", "mach2"]);
    let ipv6 = host == "mach2";
    let peer = if ipv6 { random.pick(&IPV6_PEERS) } else { random.pick(&IPV4_PEERS) };
    (host, peer.to_owned(), ipv6)
}

fn with_port(address: &str, port: u16) -> String {
    if address.contains("::") { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

fn packet(random: &mut Random) -> String {
    let (host, peer, ipv6) = ends(random);
    let inbound = random.below(10) < 7;
    let way = |host: String, peer: String| {
        if inbound { format!("{peer} > {host}") } else { format!("{host} > {peer}") }
    };
    let ports = way(with_port(host, random.pick(&PORTS)), with_port(&peer, random.pick(&PORTS)));
    let bare = way(host.to_owned(), peer);
    let (request, reply, error) =
        if ipv6 { (128, 129, random.pick(&[1, 2, 3])) } else { (8, 0, random.pick(&[3, 11])) };
    match random.below(20) {
        0..=8 => {
            let flags =
                random.pick(&["S", "S", "S", "SA", "SA", "R", "RA", "RPA", "A", "PA", "FA", "SE", "-"]);
            let words =
                ["GET /", " HTTP/1.0\\r\\n\\r\\n", "USER bro\\r\\n", "PASS 1\\r\\nQU", "220 ftp\\r\\n"];
            let payload =
                if flags.contains('P') { format!(" \"{}\"", random.pick(&words)) } else { String::new() };
            format!("{ports} tcp {flags}{payload}")
        }
        9..=12 => format!("{ports} udp id {} \"{}\"", random.below(3), random.pick(&["a", "bb", ""])),
        13 => format!("{ports} udp id {} more \"long\"", random.below(3)),
        14 => format!("{bare} fragment udp id {}", random.below(3)),
        15 => format!("{bare} icmp {request} id {} seq {}", random.below(2), random.below(2)),
        16 => format!("{bare} icmp {reply} id {} seq {}", random.below(2), random.below(2)),
        17 | 18 => {
            let other = if ipv6 { random.pick(&IPV6_PEERS) } else { random.pick(&IPV4_PEERS) };
            let (from, to) = (with_port(host, random.pick(&PORTS)), with_port(other, random.pick(&PORTS)));
            format!("{bare} icmp {error} about {} {from} > {to}", random.pick(&["udp", "tcp"]))
        }
        _ => format!("{bare} {}", random.pick(&["proto 47", "short tcp", "short udp"])),
    }
}
