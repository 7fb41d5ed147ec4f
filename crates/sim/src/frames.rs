//! From a planned packet to bytes: whoever asks for packet `k` of a step always gets the same frame.
//!
//! Nothing is remembered between frames. Ports, sequence numbers and identifiers are drawn by mixing the
//! seed, the source and the step, so an answer can be built long after its request without keeping it.

mod unasked;

use std::net::{IpAddr, Ipv4Addr};

use trapline_wire::build::{self, Ip, Tcp};
use trapline_wire::link::ETHERTYPE_IPV4;
use trapline_wire::tcp::flags::{ACK, FIN, PSH, RST, SYN};

use crate::payload;
use crate::plan::{Act, Plan, Source, Step};
use crate::scenario::Scenario;
use crate::system::{self, Signature};
use crate::talk::{Part, Talk};
use crate::target::Target;

/// The site's router, as the capture sees it.
pub(crate) const ROUTER_MAC: [u8; 6] = [0x00, 0x00, 0x0c, 0x07, 0xac, 0x01];

/// Builds frames.
pub(crate) struct Frames<'a> {
    plan: &'a Plan,
    hosts: Vec<Ipv4Addr>,
    systems: Vec<Signature>,
    quoted: Vec<u8>,
}

/// SplitMix64's finisher: turns counters into noise.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl<'a> Frames<'a> {
    pub fn new(scenario: &Scenario, plan: &'a Plan) -> Self {
        Frames {
            plan,
            hosts: scenario.host.iter().map(|h| h.addresses[0]).collect(),
            systems: scenario.systems().into_iter().map(|s| s.syn).collect(),
            quoted: Vec::new(),
        }
    }

    /// A number that belongs to a step of a source.
    fn noise(&self, source: u32, step: u32, salt: u32) -> u64 {
        mix(self.plan.seed ^ mix(u64::from(source) << 32 | u64::from(step)) ^ u64::from(salt) << 17)
    }

    /// Packet `k` of a step, coming in.
    pub fn inbound(&self, out: &mut Vec<u8>, source: u32, step: u32, k: u32) {
        let (from, what) = self.at(source, step);
        build::ethernet(out, host_mac(what.host), ROUTER_MAC, ETHERTYPE_IPV4);
        self.inbound_ip(out, source, step, k, from, what);
    }

    fn at(&self, source: u32, step: u32) -> (&'a Source, &'a Step) {
        let from = &self.plan.sources[source as usize];
        (from, &from.steps[step as usize])
    }

    fn inbound_ip(&self, out: &mut Vec<u8>, source: u32, step: u32, k: u32, from: &Source, what: &Step) {
        let system = &self.systems[usize::from(from.system)];
        let number = (self.noise(source, step, 1) as u16).wrapping_add(k as u16);
        let ip = Ip {
            src: IpAddr::V4(from.ip),
            dst: IpAddr::V4(self.hosts[usize::from(what.host)]),
            ttl: system.ttl - system::hops(from.ip),
            // Zero, as one in 65,536 would be by chance, is another fingerprint.
            id: if system.id { number.max(1) } else { 0 },
            df: system.df,
        };
        let noise = self.noise(source, step, 0);
        match (&what.act, what.target) {
            (Act::Knock { open, payload }, Target::Tcp(port)) => {
                let connection = self.connection(source, step, k, *open);
                let data: &[u8] = if *payload { &payload::PROBE } else { &[] };
                let rst = *open && !k.is_multiple_of(2);
                let mut options = [0; 40];
                let base = Tcp { src_port: connection.port, dst_port: port, ..Tcp::default() };
                let segment = match rst {
                    true => {
                        Tcp { seq: connection.theirs.wrapping_add(1 + data.len() as u32), flags: RST, ..base }
                    }
                    false => Tcp {
                        seq: connection.theirs,
                        flags: SYN,
                        window: system.window,
                        options: self.options(&mut options, system, (source, step, k)),
                        payload: data,
                        ..base
                    },
                };
                build::tcp(out, &ip, &segment);
            }
            (Act::Talk(talk), Target::Tcp(port)) => self.say(out, &ip, talk, (source, step, k), port, system),
            (Act::Datagram { .. }, Target::Udp(port)) => {
                build::udp(out, &ip, sender_port(noise, port), port, payload::datagram(port));
            }
            (Act::Answer(response), target) => self.backscatter(out, &ip, *response, target, noise, k),
            (Act::Ping, _) => build::icmp(out, &ip, 8, 0, echo_rest(noise, k), payload::ping(noise)),
            (_, Target::Proto(number)) => build::raw(out, &ip, number, &[0, 0, 8, 0, 0, 0, 0, 0]),
            (act, target) => unreachable!("the planner never aims {act:?} at {target}"),
        }
    }

    /// The options of a SYN; a time stamp counts hundredths of a second since the sender was switched on.
    fn options<'b>(
        &self,
        room: &'b mut [u8; 40],
        system: &'b Signature,
        (source, step, k): (u32, u32, u32),
    ) -> &'b [u8] {
        let Some(stamp) = system.stamp else { return &system.options };
        let (from, what) = self.at(source, step);
        let hundredths = self.plan.clock.time_us(source, what.tick(k)) / 10_000;
        let switched_on = mix(u64::from(u32::from(from.ip)) ^ self.plan.seed) as u32;
        let options = &mut room[..system.options.len()];
        options.copy_from_slice(&system.options);
        let counted = (hundredths as u32).wrapping_add(switched_on).max(1);
        options[stamp..stamp + 4].copy_from_slice(&counted.to_be_bytes());
        options
    }

    /// The attacker's side of a talk.
    fn say(
        &self,
        out: &mut Vec<u8>,
        ip: &Ip,
        talk: &Talk,
        (source, step, k): (u32, u32, u32),
        port: u16,
        system: &Signature,
    ) {
        let mut options = [0; 40];
        let connection = self.connection(source, step, 0, false);
        let (flags, options, payload): (u8, &[u8], &[u8]) = match talk.part(k) {
            Part::Syn => (SYN, self.options(&mut options, system, (source, step, k)), &[]),
            Part::Ack => (ACK, &[], &[]),
            Part::Line(n) => (PSH | ACK, &[], &talk.lines[n].0),
            Part::Fin => (FIN | ACK, &[], &[]),
        };
        let ack = if k == 0 { 0 } else { connection.ours.wrapping_add(talk.replied_before(k)) };
        let seq = connection.theirs.wrapping_add(talk.said_before(k));
        let segment = Tcp {
            src_port: connection.port,
            dst_port: port,
            seq,
            ack,
            flags,
            window: system.window,
            options,
            payload,
            ..Tcp::default()
        };
        build::tcp(out, ip, &segment);
    }

    /// The host's answer to packet `k` of a step.
    pub fn answer(&mut self, out: &mut Vec<u8>, source: u32, step: u32, k: u32) {
        let (from, what) = self.at(source, step);
        build::ethernet(out, ROUTER_MAC, host_mac(what.host), ETHERTYPE_IPV4);
        let ip = Ip {
            src: IpAddr::V4(self.hosts[usize::from(what.host)]),
            dst: IpAddr::V4(from.ip),
            ttl: 64,
            id: self.noise(source, step, k + 7) as u16,
            df: false,
        };
        let noise = self.noise(source, step, 0);
        match (&what.act, what.target) {
            (Act::Knock { open, payload }, Target::Tcp(port)) => {
                let connection = self.connection(source, step, k, *open);
                let said = 1 + if *payload && !open { payload::PROBE.len() as u32 } else { 0 };
                let (seq, flags, window) =
                    if *open { (connection.ours, SYN | ACK, 5_840) } else { (0, RST | ACK, 0) };
                let ack = connection.theirs.wrapping_add(said);
                let segment = Tcp {
                    src_port: port,
                    dst_port: connection.port,
                    seq,
                    ack,
                    flags,
                    window,
                    ..Tcp::default()
                };
                build::tcp(out, &ip, &segment);
            }
            (Act::Talk(talk), Target::Tcp(port)) => self.reply(out, &ip, talk, (source, step, k), port),
            (Act::Datagram { open: true }, Target::Udp(port)) => {
                build::udp(out, &ip, port, sender_port(noise, port), &payload::DATAGRAM_REPLY);
            }
            (Act::Datagram { .. }, _) => {
                let mut quoted = std::mem::take(&mut self.quoted);
                quoted.clear();
                self.inbound_ip(&mut quoted, source, step, k, from, what);
                build::icmp(out, &ip, 3, 3, [0; 4], &quoted[..28]);
                self.quoted = quoted;
            }
            (Act::Ping, _) => build::icmp(out, &ip, 0, 0, echo_rest(noise, k), payload::ping(noise)),
            (act, target) => unreachable!("the planner lets no host answer {act:?} at {target}"),
        }
    }

    /// The host's side of a talk.
    fn reply(&self, out: &mut Vec<u8>, ip: &Ip, talk: &Talk, (source, step, k): (u32, u32, u32), port: u16) {
        let connection = self.connection(source, step, 0, false);
        let (flags, payload, heard): (u8, &[u8], u32) = match talk.part(k) {
            Part::Syn => (SYN | ACK, &[], 1),
            Part::Ack => (PSH | ACK, &talk.greeting, 0),
            Part::Line(n) if talk.lines[n].1.is_empty() => (ACK, &[], talk.lines[n].0.len() as u32),
            Part::Line(n) => (PSH | ACK, &talk.lines[n].1, talk.lines[n].0.len() as u32),
            Part::Fin => (FIN | ACK, &[], 1),
        };
        let segment = Tcp {
            src_port: port,
            dst_port: connection.port,
            seq: connection.ours.wrapping_add(talk.replied_before(k)),
            ack: connection.theirs.wrapping_add(talk.said_before(k) + heard),
            flags,
            window: 5_840,
            options: &[],
            payload,
            ..Tcp::default()
        };
        build::tcp(out, ip, &segment);
    }

    /// Which connection packet `k` belongs to: two packets each on an open port, else one.
    fn connection(&self, source: u32, step: u32, k: u32, open: bool) -> Connection {
        let number = if open { k / 2 } else { k };
        let first = self.noise(source, step, 2);
        let own = mix(first.wrapping_add(u64::from(number)));
        Connection {
            port: 1_025 + ((first as u32 % 3_900 + number) % 3_900) as u16,
            theirs: own as u32,
            ours: (own >> 32) as u32,
        }
    }
}

/// What both sides of a TCP connection start from.
struct Connection {
    port: u16,
    theirs: u32,
    ours: u32,
}

pub(crate) fn host_mac(host: u8) -> [u8; 6] {
    [0x00, 0x0c, 0x29, 0x13, 0x37, host]
}

/// Name service asks from its own port or another; others from ports that no service answers from,
/// so that no datagram looks like a response (words.md, Response packet).
fn sender_port(noise: u64, port: u16) -> u16 {
    if port == 137 && noise.is_multiple_of(2) { 137 } else { 2_100 + (noise >> 20) as u16 % 2_800 }
}

/// Identifier and sequence number of an echo.
fn echo_rest(noise: u64, k: u32) -> [u8; 4] {
    let (id, sequence) = ((noise as u16).to_be_bytes(), (k as u16).to_be_bytes());
    [id[0], id[1], sequence[0], sequence[1]]
}
