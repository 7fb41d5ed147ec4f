//! A link with a time of its own: attackers whose frames were planned beforehand, before hosts that answer as they like.
//!
//! What an attacker planned was planned against a host that does not exist. So its segments are carried over as its own system would
//! have sent them: they acknowledge what the host really said, end where the host refused, and what the host says is acknowledged.
//! Time jumps from one event to the next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;

use trapline_archive::disk::Disk;
use trapline_wire::build::{self, Ip, Tcp};
use trapline_wire::tcp::{TcpView, flags};
use trapline_wire::{Frame, LinkType, Packet, Reading, Time, Transport, checksum, decode};

use crate::switch::Switch;

/// The Ethernet address of the router that attackers come through.
const ROUTER: [u8; 6] = [0x00, 0x00, 0x0c, 0x07, 0xac, 0x01];
/// How long an attacker's system takes to acknowledge.
const AWAY_NS: Time = 60_000_000;

/// One planned connection: attacker, its port, host, its port.
type Key = (IpAddr, u16, IpAddr, u16);

/// Where a connection stands, as its attacker sees it.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    /// The next number that the attacker sends.
    own: u32,
    /// The next number that it expects, once the host answered.
    expected: Option<u32>,
    /// The host refused, or all is said.
    over: bool,
    ttl: u8,
}

/// The link, with a switch on its other end.
#[derive(Debug)]
pub struct Link<D> {
    switch: Switch<D>,
    flows: HashMap<Key, Flow>,
    /// Acknowledgements that attackers' systems will send.
    due: BinaryHeap<Reverse<(Time, Key)>>,
    answers: Vec<Vec<u8>>,
    macs: HashMap<IpAddr, [u8; 6]>,
    /// Frames that attackers sent.
    pub sent: u64,
}

impl<D: Disk> Link<D> {
    /// A link to the hosts of a switch.
    pub fn new(switch: Switch<D>) -> Self {
        let hosts = switch.decoys().hosts().iter();
        let of = |host: &trapline_decoy::Host| {
            let (mac, addresses) = (host.wiring().mac, host.wiring().addresses.clone());
            addresses.into_iter().map(move |address| (address, mac))
        };
        let macs = hosts.flat_map(of).collect();
        Link { switch, flows: HashMap::new(), due: BinaryHeap::new(), answers: Vec::new(), macs, sent: 0 }
    }

    /// The switch.
    pub fn into_switch(self) -> Switch<D> {
        self.switch
    }

    /// Carries a frame over that was planned for `time`, which is not before that of the last one; one that is for no host is left out.
    pub fn frame(&mut self, time: Time, planned: &[u8]) {
        let whole = Frame { time, wire_len: planned.len() as u32, link: LinkType::ETHERNET, data: planned };
        let Reading::Ip(packet) = decode(&whole) else { return };
        let Some(mac) = self.macs.get(&packet.dst).copied() else { return };
        self.until(time);
        let mut frame = planned.to_vec();
        frame[..6].copy_from_slice(&mac);
        frame[6..12].copy_from_slice(&ROUTER);
        if let Transport::Tcp(tcp) = packet.transport
            && !self.carry(&packet, &tcp, &mut frame)
        {
            return;
        }
        self.send(time, &frame);
    }

    /// Lets time pass up to `time`.
    pub fn until(&mut self, time: Time) {
        loop {
            let acknowledgement = self.due.peek().map(|Reverse((at, _))| *at);
            let Some(next) = [acknowledgement, self.switch.due()].into_iter().flatten().min() else { break };
            if next > time {
                break;
            }
            if acknowledgement == Some(next)
                && let Some(Reverse((_, key))) = self.due.pop()
            {
                self.acknowledge(next, key);
                continue;
            }
            let answers = &mut self.answers;
            self.switch.on_time(next, || 0, |answer| answers.push(answer.to_vec()));
            self.take_answers(next);
        }
    }

    /// Makes of a planned segment what its attacker's system would send; false where it would send nothing any more.
    fn carry(&mut self, packet: &Packet<'_>, tcp: &TcpView<'_>, frame: &mut [u8]) -> bool {
        let (Some(bits), Some(seq)) = (tcp.flags(), tcp.seq()) else { return true };
        let key = (packet.src, tcp.src_port(), packet.dst, tcp.dst_port());
        let length = tcp.payload().len() as u32 + u32::from(bits & (flags::SYN | flags::FIN) != 0);
        if bits & (flags::SYN | flags::ACK) == flags::SYN {
            let flow = Flow { own: seq.wrapping_add(length), ttl: packet.ttl, ..Flow::default() };
            self.flows.insert(key, flow);
            return true;
        }
        // What belongs to no connection is sent as it was planned: probes, and what others' victims say.
        let Some(flow) = self.flows.get_mut(&key) else { return true };
        let Some(expected) = flow.expected.filter(|_| !flow.over) else { return false };
        flow.own = flow.own.max(seq.wrapping_add(length));
        flow.over = bits & flags::RST != 0;
        if bits & flags::ACK != 0 {
            let start = 14 + usize::from(packet.ip_header_len);
            frame[start + 8..start + 12].copy_from_slice(&expected.to_be_bytes());
            let end = (14 + packet.ip_len as usize).min(frame.len());
            frame[start + 16..start + 18].fill(0);
            let ip = Ip::new(packet.src, packet.dst);
            let seed = checksum::pseudo_header(&ip, packet.protocol, end - start);
            let good = checksum::of(&frame[start..end], seed);
            frame[start + 16..start + 18].copy_from_slice(&good.to_be_bytes());
        }
        true
    }

    fn send(&mut self, time: Time, frame: &[u8]) {
        self.sent += 1;
        let answers = &mut self.answers;
        self.switch.on_frame(time, frame.len() as u32, frame, |answer| answers.push(answer.to_vec()));
        self.switch.on_time(time, || 0, |answer| answers.push(answer.to_vec()));
        self.take_answers(time);
    }

    /// What hosts said: attackers expect more then, and acknowledge it.
    fn take_answers(&mut self, now: Time) {
        for answer in std::mem::take(&mut self.answers) {
            let whole =
                Frame { time: now, wire_len: answer.len() as u32, link: LinkType::ETHERNET, data: &answer };
            let Reading::Ip(packet) = decode(&whole) else { continue };
            let Transport::Tcp(tcp) = packet.transport else { continue };
            let (Some(bits), Some(seq)) = (tcp.flags(), tcp.seq()) else { continue };
            let key = (packet.dst, tcp.dst_port(), packet.src, tcp.src_port());
            let Some(flow) = self.flows.get_mut(&key) else { continue };
            let carries = !tcp.payload().is_empty() || bits & flags::FIN != 0;
            let length = tcp.payload().len() as u32 + u32::from(bits & (flags::SYN | flags::FIN) != 0);
            flow.expected = Some(seq.wrapping_add(length));
            if bits & flags::RST != 0 {
                flow.over = true;
            } else if carries && !flow.over {
                self.due.push(Reverse((now + AWAY_NS, key)));
            }
        }
    }

    /// An attacker's system acknowledges what came.
    fn acknowledge(&mut self, now: Time, key: Key) {
        let Some((flow, mac)) = self.flows.get(&key).copied().zip(self.macs.get(&key.2).copied()) else {
            return;
        };
        let Some(expected) = flow.expected.filter(|_| !flow.over) else { return };
        let (peer, src_port, host, dst_port) = key;
        let mut frame = Vec::new();
        build::ethernet(&mut frame, mac, ROUTER, if host.is_ipv4() { 0x0800 } else { 0x86dd });
        let ip = Ip { ttl: flow.ttl, id: now as u16, ..Ip::new(peer, host) };
        let segment = Tcp {
            src_port,
            dst_port,
            seq: flow.own,
            ack: expected,
            flags: flags::ACK,
            window: 16_384,
            ..Tcp::default()
        };
        build::tcp(&mut frame, &ip, &segment);
        self.send(now, &frame);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use trapline_archive::spool::Limits;
    use trapline_archive::{Folder, Spool};
    use trapline_platform::Platform;

    use super::*;
    use crate::setup::Setup;
    use crate::switch::Paces;

    const PLATFORM: &str = "[platform]\nname = \"one\"\n[[host]]\nname = \"mach0\"\naddresses = [\"192.0.2.10\"]\n\
        persona = \"linux-redhat-7.3\"\nopen = [\"80/tcp\"]\n";

    /// Planned against a host that numbers from zero and answers ten bytes.
    #[test]
    fn what_was_planned_becomes_a_real_conversation() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::at(temporary.path()).unwrap();
        let setup = Setup::new(Platform::parse(PLATFORM).unwrap(), 1, Path::new("")).unwrap();
        let decoys = setup.decoys(0).unwrap();
        let spool = Spool::open(folder, "one", Limits::default(), 0, "").unwrap();
        let mut link = Link::new(Switch::new(setup, decoys, spool, 0, Paces::NEVER));
        let ip = Ip::new("203.0.113.7".parse().unwrap(), "192.0.2.10".parse().unwrap());
        let mut planned = |second: Time, port: u16, seq: u32, ack: u32, bits: u8, payload: &[u8]| {
            let mut frame = Vec::new();
            build::ethernet(&mut frame, [9; 6], [8; 6], 0x0800);
            let tcp = Tcp {
                src_port: 1025,
                dst_port: port,
                seq,
                ack,
                flags: bits,
                window: 8_192,
                payload,
                ..Tcp::default()
            };
            build::tcp(&mut frame, &ip, &tcp);
            link.frame(second * 1_000_000_000, &frame);
        };
        planned(1, 80, 100, 0, flags::SYN, b"");
        planned(2, 80, 101, 1, flags::ACK, b"");
        planned(3, 80, 101, 1, flags::ACK | flags::PSH, b"GET / HTTP/1.0\r\n\r\n");
        planned(4, 80, 119, 11, flags::ACK | flags::FIN, b"");
        planned(90, 81, 500, 0, flags::SYN, b"");
        planned(91, 81, 501, 1, flags::ACK | flags::PSH, b"this is never sent: the port refused");
        planned(100, 80, 7, 7, flags::ACK | flags::SYN, b"");
        link.until(1_000_000_000_000);
        assert_eq!(link.switch.decoys().connections(), 0, "nothing waits for an acknowledgement");
        let sent = link.sent;
        link.into_switch().end(1_000_000_000_000, 0).unwrap();
        let records = std::fs::read_to_string(temporary.path().join(".open/0000000001.jsonl")).unwrap();
        let ended = records.lines().find(|line| line.contains("\"what\":\"ended\"")).unwrap();
        assert!(ended.contains("\"how\":\"closed\",\"heard\":18,"), "{ended}");
        // Five of the first connection, one SYN, one stray, and acknowledgements of a page and its end.
        assert!((7..12).contains(&sent), "{sent} frames");
    }
}
