//! A host: its persona, its counters, and what it says to packets that need no connection.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use trapline_wire::Time;
use trapline_wire::build::{self, Ip, Tcp};
use trapline_wire::checksum;
use trapline_wire::icmp::IcmpView;
use trapline_wire::tcp::{TcpView, flags};

use crate::fragments;
use crate::frames::{ARP, Frames, IPV4, IPV6, Mac};
use crate::layout::{self, Item, Offer};
use crate::numbers::{Ids, Isns, Random, StampClock};
use crate::options;
use crate::persona::{ArpOddity, ByteOrder, Number, Odd, Persona, Quoted, Reaction, Taken, Unreachable};
use crate::services::Kind;
use crate::site::Site;
use crate::tcp::half_open::{Completed, HalfOpen};
use crate::tcp::{Agreed, Flow, Key, Segment};

/// What a port does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Port {
    /// A service answers.
    Service(Kind),
    /// It accepts, records what is said, and says nothing.
    Record,
    /// It refuses.
    #[default]
    Closed,
    /// It says nothing at all.
    Silent,
    /// It accepts and never takes a byte: a window of zero keeps who came (LaBrea, Liston 2001).
    Tarpit,
}

/// What the ports of a host do.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    /// TCP ports.
    pub tcp: BTreeMap<u16, Port>,
    /// UDP ports.
    pub udp: BTreeMap<u16, Port>,
    /// What all others do.
    pub others: Port,
}

impl Ports {
    /// What a TCP port does.
    pub fn tcp(&self, port: u16) -> Port {
        self.tcp.get(&port).copied().unwrap_or(self.others)
    }

    /// What a UDP port does.
    pub fn udp(&self, port: u16) -> Port {
        self.udp.get(&port).copied().unwrap_or(self.others)
    }
}

/// How a host is wired up.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its addresses. Those of IPv6 count where its persona has IPv6; it then has a link-local one too.
    pub addresses: Vec<IpAddr>,
    /// How many bits of the IPv4 ones name its network; 0 where that is not known: nobody is distant then, and its mask is said to be that
    /// of 256 addresses.
    pub prefix: u8,
    /// What its ports do; shared by hosts that are alike.
    pub ports: Arc<Ports>,
    /// Whether it gets a file by TFTP from the very peer that tells it to; it never asks anybody else.
    pub fetch: bool,
    /// From which everything random derives.
    pub seed: u64,
}

/// A decoy.
#[derive(Clone, Debug)]
pub struct Host {
    persona: Arc<Persona>,
    wiring: Wiring,
    random: Random,
    isns: Isns,
    stamps: StampClock,
    ids: [Ids; 3],
    next_port: u16,
    /// Unreachables that may go out now, and since when that is so.
    allowed: (f64, Time),
}

/// Which counter of identifications an answer takes from.
#[derive(Clone, Copy)]
pub(crate) enum Counter {
    Open,
    Closed,
    Icmp,
}

/// A packet for this host.
#[derive(Clone, Copy)]
pub(crate) struct Heard<'a> {
    pub now: Time,
    pub from_mac: Mac,
    pub src: IpAddr,
    pub dst: IpAddr,
    /// Bytes of its IP header with all that belongs to it.
    pub header: usize,
    /// The packet without the frame's padding.
    pub bytes: &'a [u8],
}

impl Heard<'_> {
    /// The options of its header; of IPv4.
    pub fn options(&self) -> &[u8] {
        self.bytes.get(20..self.header).unwrap_or_default()
    }

    /// Whether it must not be cut; of IPv4.
    fn dont_fragment(&self) -> bool {
        self.bytes.get(6).is_some_and(|flags| flags & 0x40 != 0)
    }

    /// Its hop limit; of IPv6.
    pub fn hop_limit(&self) -> u8 {
        self.bytes.get(7).copied().unwrap_or(0)
    }
}

impl Host {
    /// A host that has just started.
    pub fn new(persona: Arc<Persona>, wiring: Wiring) -> Self {
        let mut random = Random::new(wiring.seed);
        let isns = Isns::new(persona.isn, &mut random);
        let stamps = StampClock { hz: persona.stamp_hz, start: random.below(1 << 24) };
        let [open, closed, icmp] = [persona.id_open, persona.id_closed, persona.id_icmp];
        // A system that is seen to count ICMP apart has higher numbers there than in TCP.
        let ids = [(open, 1), (closed, 2), (icmp, if persona.id_shared { 0 } else { 3 })];
        let ids = ids.map(|(policy, quarter)| Ids::new(policy, quarter, &mut random));
        let next_port = FIRST_EPHEMERAL + random.below(2_000) as u16;
        Host { persona, wiring, random, isns, stamps, ids, next_port, allowed: (f64::INFINITY, 0) }
    }

    /// Its persona.
    pub fn persona(&self) -> &Persona {
        &self.persona
    }

    /// Its wiring.
    pub fn wiring(&self) -> &Wiring {
        &self.wiring
    }

    /// From now on its ports do this; connections that there are go on.
    pub(crate) fn set_ports(&mut self, ports: Arc<Ports>) {
        self.wiring.ports = ports;
    }

    /// What identifies it, as its services show it.
    pub fn site(&self) -> Site {
        Site::new(self.wiring.seed, &self.persona.name)
    }

    /// Answers who asks for one of its addresses (RFC 826), where its system would; `head` and `fields` are those of the request
    /// before its sender's and from there on.
    pub(crate) fn arp(&self, to: Mac, head: &[u8; 8], fields: &[u8; 20], wanted: Ipv4Addr, out: &mut Frames) {
        let [a, b, c, d, hardware_length, protocol_length, e, f] = *head;
        let [hardware, protocol, operation] = [[a, b], [c, d], [e, f]].map(u16::from_be_bytes);
        let sender = Ipv4Addr::new(fields[6], fields[7], fields[8], fields[9]);
        let mask = u32::MAX.checked_shl(32 - u32::from(self.wiring.prefix.min(32))).unwrap_or(0);
        let distant = (sender.to_bits() ^ wanted.to_bits()) & mask != 0;
        const REPLY: u16 = 2;
        const IPX: u16 = 0x8137;
        let odd = [
            (sender.is_loopback(), ArpOddity::Loopback),
            (sender.is_unspecified(), ArpOddity::Zero),
            (sender.is_broadcast(), ArpOddity::Broadcast),
            (
                distant && !sender.is_loopback() && !sender.is_unspecified() && !sender.is_broadcast(),
                ArpOddity::Distant,
            ),
            (operation != 1, ArpOddity::Operation),
            (hardware == 6, ArpOddity::Hardware6),
            (hardware != 1 && hardware != 6, ArpOddity::Hardware),
            (protocol == IPX, ArpOddity::Ipx),
            (protocol != IPV4 && protocol != IPX, ArpOddity::Protocol),
            (protocol_length != 4, ArpOddity::ProtocolLength),
            (hardware_length != 6, ArpOddity::HardwareLength),
        ];
        let refused = odd.iter().any(|(is, oddity)| *is && !self.persona.arp.contains(oddity));
        if refused || operation == REPLY || sender == wanted {
            return;
        }
        out.add(|bytes| {
            build::ethernet(bytes, to, self.wiring.mac, ARP);
            bytes.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, 2]);
            bytes.extend_from_slice(&self.wiring.mac);
            bytes.extend_from_slice(&wanted.octets());
            bytes.extend_from_slice(&fields[..10]);
        });
    }

    /// Answers a SYN at an open port and remembers the handshake; `place` is the host's among the decoys.
    pub(crate) fn opening(
        &mut self,
        heard: &Heard<'_>,
        tcp: &TcpView<'_>,
        key: Key,
        half_open: &mut HalfOpen,
        out: &mut Frames,
    ) {
        let (bits, irs) = (tcp.flags().unwrap_or(0), tcp.seq().unwrap_or(0));
        let offer = Offer::read(tcp.options(), bits & (flags::ECE | flags::CWR) == flags::ECE | flags::CWR);
        if let Some(frame) = half_open.repeated(&key, irs) {
            let frame = frame.to_vec();
            return self.again(frame, out);
        }
        let Some(answer) = self.answer_to_syn(&offer, key.local) else { return };
        let fresh = self.isns.take(heard.now, &mut self.random);
        let iss = half_open.cookie(heard.now, &key, irs, fresh, self.isns.room(), &offer);
        self.isns.taken(iss);
        let sent = out.len();
        self.react(heard, tcp, &answer, offer.stamp, iss, out);
        let answers = answer.flags & (flags::SYN | flags::ACK) == flags::SYN | flags::ACK
            && answer.ack == Number::Next
            && answer.seq == Number::Own;
        if let Some(frame) = out.get(sent).filter(|_| answers) {
            let handshake = Completed { iss, irs, agreed: Agreed::of(&offer, &answer) };
            let flow = Flow { key, mac: heard.from_mac };
            half_open.remember(heard.now, flow, handshake, frame, self.persona.syn_ack_again(0));
        }
    }

    /// The answer to a SYN that came to this address.
    fn answer_to_syn(&self, offer: &Offer, local: IpAddr) -> Option<Reaction> {
        if local.is_ipv6() { self.persona.answer_to_syn_v6(offer) } else { self.persona.answer_to_syn(offer) }
    }

    /// Sends a frame again, as a packet of its own.
    pub(crate) fn again(&mut self, mut frame: Vec<u8>, out: &mut Frames) {
        const IP: usize = 14;
        if frame.get(IP).is_some_and(|first| first >> 4 == 6) {
            return out.add(|bytes| bytes.extend_from_slice(&frame));
        }
        let id = self.ids[self.counter(Counter::Open)].take(&mut self.random);
        if let Some(header) = frame.get_mut(IP..IP + 20) {
            header[4..6].copy_from_slice(&id.to_be_bytes());
            header[10..12].fill(0);
            let good = checksum::of(header, 0);
            header[10..12].copy_from_slice(&good.to_be_bytes());
        }
        out.add(|bytes| bytes.extend_from_slice(&frame));
    }

    /// The handshake that an acknowledgement completes, by what is remembered, or by its cookie: true then.
    pub(crate) fn completed(
        &self,
        now: Time,
        key: &Key,
        segment: &Segment<'_>,
        half_open: &mut HalfOpen,
    ) -> Option<(Completed, bool)> {
        if let Some(completed) = half_open.complete(key, segment) {
            return Some((completed, false));
        }
        // Eight bits of proof are few: a scanner's stray acknowledgement must meet a reset while the table knows every handshake.
        if !half_open.crowded(now) {
            return None;
        }
        let (iss, irs) = (segment.ack.wrapping_sub(1), segment.seq.wrapping_sub(1));
        let offer = half_open.open_cookie(now, key, segment, self.isns.room()).or_else(|| {
            // Where the numbers have no room, one that was given not long ago has to do. What the peer offered is not known then: the
            // least is assumed.
            let plausible = self.isns.lately(iss);
            let stamps = segment.stamps.map(|_| trapline_wire::observation::kind::STAMP);
            plausible.then(|| Offer {
                kinds: stamps.into_iter().collect(),
                stamp: segment.stamps.map_or(0, |(stamp, _)| stamp),
                ..Offer::default()
            })
        })?;
        let answer = self.answer_to_syn(&offer, key.local)?;
        let agreed = Agreed::of(&offer, &answer);
        Some((Completed { iss, irs, agreed }, true))
    }

    /// The answer of a tarpit to what follows the handshake: that it has no room.
    pub(crate) fn tarpit(&mut self, heard: &Heard<'_>, segment: &Segment<'_>, key: Key, out: &mut Frames) {
        if segment.length() == 0 || segment.has(flags::RST | flags::SYN) {
            return;
        }
        let flow = Flow { key, mac: heard.from_mac };
        let echo = segment.stamps.map(|(stamp, _)| stamp);
        let mut wire = Wire { host: self, out, now: heard.now };
        wire.segment(&flow, segment.ack, segment.seq, flags::ACK, 0, echo, &[], &[]);
    }

    /// Answers a TCP packet that belongs to no connection and opens none.
    pub(crate) fn stray(&mut self, heard: &Heard<'_>, tcp: &TcpView<'_>, open: bool, out: &mut Frames) {
        let bits = tcp.flags().unwrap_or(0);
        let offer = Offer::read(tcp.options(), false);
        let reactions = if open { &self.persona.open } else { &self.persona.closed };
        if let Some(reaction) = reactions.to(odd(bits)).cloned() {
            let own = match reaction.seq {
                Number::Own => self.isns.take(heard.now, &mut self.random),
                _ => 0,
            };
            self.react(heard, tcp, &reaction, offer.stamp, own, out);
        }
    }

    /// Whether the persona opens at such flags, at an open port.
    pub(crate) fn opens(&self, bits: u8) -> bool {
        match odd(bits) {
            Odd::Syn => true,
            Odd::SynFin => self.persona.syn_fin_opens,
            _ => false,
        }
    }

    fn react(
        &mut self,
        heard: &Heard<'_>,
        tcp: &TcpView<'_>,
        reaction: &Reaction,
        their_stamp: u32,
        own_seq: u32,
        out: &mut Frames,
    ) {
        let (their_seq, their_ack) = (tcp.seq().unwrap_or(0), tcp.ack().unwrap_or(0));
        let seq = match reaction.seq {
            Number::Zero => 0,
            Number::Same => their_ack,
            Number::Next => their_ack.wrapping_add(1),
            Number::Own => own_seq,
        };
        let ack = match reaction.ack {
            Number::Zero => 0,
            Number::Same => their_seq,
            Number::Next => their_seq.wrapping_add(carried(tcp, reaction.flags)),
            Number::Own => self.random.bits() as u32,
        };
        let counter = if reaction.flags & flags::SYN != 0 { Counter::Open } else { Counter::Closed };
        let ports = (tcp.dst_port(), tcp.src_port());
        let ip = self.header(heard.dst, heard.src, reaction.ttl, reaction.df, counter);
        let mut options = Vec::with_capacity(40);
        layout::write(&mut options, &reaction.options, self.stamps.at(heard.now), their_stamp);
        options.truncate(40);
        let segment = Tcp {
            src_port: tcp.dst_port(),
            dst_port: tcp.src_port(),
            seq,
            ack,
            flags: reaction.flags,
            reserved: reaction.reserved,
            window: reaction.window,
            urgent: reaction.urgent,
            options: &options,
            payload: &reaction.data,
        };
        self.send_flow(heard.from_mac, &ip, ports, out, |bytes| build::tcp(bytes, &ip, &segment));
    }

    /// Answers a datagram to a closed port.
    pub(crate) fn unreachable(&mut self, heard: &Heard<'_>, out: &mut Frames) {
        if heard.dst.is_ipv6() {
            return self.port_unreachable_v6(heard, out);
        }
        let Some(unreachable) = self.persona.unreachable.clone() else { return };
        if !self.may_complain(heard.now) {
            return;
        }
        let ip = self.header(heard.dst, heard.src, unreachable.ttl, unreachable.df, Counter::Icmp);
        let quote = quoted(heard, &unreachable);
        let unused = unreachable.unused.to_be_bytes();
        const UNREACHABLE: u8 = 3;
        const PORT: u8 = 3;
        self.send(heard.from_mac, &ip, out, |bytes| {
            build::icmp(bytes, &ip, UNREACHABLE, PORT, unused, &quote)
        });
    }

    /// Whether the limit of its errors lets one more out: a bucket that fills by time (RFC 1812 4.3.2.8, RFC 4443 2.4).
    pub(crate) fn may_complain(&mut self, now: Time) -> bool {
        let Some((burst, per_s)) = self.persona.unreachable.as_ref().and_then(|u| u.limit) else {
            return true;
        };
        let (left, since) = self.allowed;
        let left = (left + (now - since) as f64 / 1e9 * per_s).min(burst);
        let may = left >= 1.0;
        self.allowed = (if may { left - 1.0 } else { left }, now);
        may
    }

    /// Sends a datagram.
    pub(crate) fn datagram(&mut self, flow: &Flow, payload: &[u8], out: &mut Frames) {
        let (ttl, _) = self.persona.connected();
        let ports @ (from, to) = (flow.key.port, flow.key.peer_port);
        let ip = self.header(flow.key.local, flow.key.peer, ttl, self.persona.udp_df, Counter::Icmp);
        self.send_flow(flow.mac, &ip, ports, out, |bytes| build::udp(bytes, &ip, from, to, payload));
    }

    pub(crate) fn icmp(&mut self, heard: &Heard<'_>, icmp: &IcmpView<'_>, out: &mut Frames) {
        const ECHO: u8 = 8;
        const ECHO_REPLY: u8 = 0;
        let (Some(id), Some(seq)) = (icmp.identifier(), icmp.sequence()) else { return };
        let body = heard.bytes.get(heard.header + 8..).unwrap_or_default();
        if let Some((kind, body)) = self.other_reply(heard.now, icmp.kind(), body) {
            let (ttl, df) = (self.persona.connected().0, self.persona.udp_df);
            let ip = self.header(heard.dst, heard.src, ttl, df, Counter::Icmp);
            let [[a, b], [c, d]] = [id.to_be_bytes(), seq.to_be_bytes()];
            let rest = [a, b, c, d];
            return self
                .send(heard.from_mac, &ip, out, |bytes| build::icmp(bytes, &ip, kind, 0, rest, &body));
        }
        let Some(echo) = self.persona.echo.clone().filter(|_| icmp.kind() == ECHO) else { return };
        let df = u8::from(heard.dont_fragment());
        let df = match echo.df {
            Taken::Always(df) => df == 1,
            Taken::Same => df == 1,
            Taken::Other => df == 0,
        };
        let code = match echo.code {
            Taken::Always(code) => code,
            Taken::Same => icmp.code(),
            Taken::Other => icmp.code() ^ 1,
        };
        let ip = self.header(heard.dst, heard.src, echo.ttl, df, Counter::Icmp);
        let [[a, b], [c, d]] = [id.to_be_bytes(), seq.to_be_bytes()];
        let rest = [a, b, c, d];
        let options = match heard.dst {
            IpAddr::V4(own) => options::reflected(heard.options(), own, heard.now),
            IpAddr::V6(_) => Vec::new(),
        };
        self.send(heard.from_mac, &ip, out, |bytes| {
            let start = bytes.len();
            build::icmp(bytes, &ip, ECHO_REPLY, code, rest, body);
            if !options.is_empty() {
                options::insert(bytes, start, &options);
            }
        });
    }

    /// The kind and body of a reply to a request for the time or the address mask (RFC 792, 950).
    fn other_reply(&self, now: Time, kind: u8, body: &[u8]) -> Option<(u8, Vec<u8>)> {
        const TIMESTAMP: u8 = 13;
        const MASK: u8 = 17;
        match kind {
            TIMESTAMP => {
                let order = self.persona.icmp_timestamp?;
                let sent = body.first_chunk::<4>()?;
                let of_day_ms = (now / 1_000_000).rem_euclid(86_400_000) as u32;
                let time = match order {
                    ByteOrder::Big => of_day_ms.to_be_bytes(),
                    ByteOrder::Little => of_day_ms.to_le_bytes(),
                };
                Some((TIMESTAMP + 1, [*sent, time, time].concat()))
            }
            MASK if self.persona.icmp_mask && body.len() >= 4 => {
                let prefix = if self.wiring.prefix == 0 { 24 } else { self.wiring.prefix.min(32) };
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                Some((MASK + 1, mask.to_be_bytes().to_vec()))
            }
            _ => None,
        }
    }

    /// A number for a connection that the host asks for.
    pub(crate) fn fresh_isn(&mut self, now: Time) -> u32 {
        self.isns.take(now, &mut self.random)
    }

    /// The ports that systems give to whoever asks for any, beginning with the next one.
    pub(crate) fn ephemeral_ports(&self) -> impl Iterator<Item = u16> + use<> {
        (self.next_port..=LAST_EPHEMERAL).chain(FIRST_EPHEMERAL..self.next_port)
    }

    /// This one of them is given.
    pub(crate) fn use_ephemeral_port(&mut self, port: u16) {
        self.next_port = if port >= LAST_EPHEMERAL { FIRST_EPHEMERAL } else { port + 1 };
    }

    /// The header of an answer: over IPv4 with this time to live and the next identification of its counter.
    pub(crate) fn header(&mut self, src: IpAddr, dst: IpAddr, ttl: u8, df: bool, counter: Counter) -> Ip {
        if src.is_ipv6() {
            let ttl = self.persona.ipv6.as_ref().map_or(ttl, |ipv6| ipv6.hop_limit);
            return Ip { src, dst, ttl, id: 0, df: false };
        }
        let counted = self.counter(counter);
        let id = self.ids[counted].take(&mut self.random);
        Ip { src, dst, ttl, id, df }
    }

    /// Of counters with one policy there is one, unless the system is known to count apart.
    fn counter(&self, counter: Counter) -> usize {
        let policies = [self.persona.id_open, self.persona.id_closed, self.persona.id_icmp];
        let of = match counter {
            Counter::Open => 0,
            Counter::Closed => 1,
            Counter::Icmp => 2,
        };
        let apart = of == 2 && !self.persona.id_shared;
        if apart { of } else { policies.iter().position(|p| *p == policies[of]).unwrap_or(of) }
    }

    /// Sends a packet that has this header and belongs to no flow.
    pub(crate) fn send(&mut self, to: Mac, ip: &Ip, out: &mut Frames, packet: impl FnOnce(&mut Vec<u8>)) {
        self.send_flow(to, ip, (0, 0), out, packet);
    }

    /// Sends a packet that has this header and belongs to the flow with these ports, in fragments where it fits no frame.
    fn send_flow(
        &mut self,
        to: Mac,
        ip: &Ip,
        ports: (u16, u16),
        out: &mut Frames,
        packet: impl FnOnce(&mut Vec<u8>),
    ) {
        const ETHERNET: usize = 14;
        let v6 = ip.src.is_ipv6();
        let ethertype = if v6 { IPV6 } else { IPV4 };
        let label = self.flow_label(ip, ports);
        out.add(|bytes| {
            let start = bytes.len() + ETHERNET;
            build::ethernet(bytes, to, self.wiring.mac, ethertype);
            packet(bytes);
            if v6 {
                bytes[start + 1..start + 4].copy_from_slice(&label.to_be_bytes()[1..]);
            }
        });
        let Some(whole) = out.get(out.len() - 1).filter(|frame| frame.len() > ETHERNET + MTU) else { return };
        let whole = &whole[ETHERNET..];
        let pieces = if v6 {
            fragments::cut_v6(whole, MTU, self.random.bits() as u32)
        } else {
            fragments::cut(whole, MTU)
        };
        out.take_back();
        for piece in pieces {
            out.add(|bytes| {
                build::ethernet(bytes, to, self.wiring.mac, ethertype);
                bytes.extend_from_slice(&piece);
            });
        }
    }
}

/// Bytes of an IP packet that fit an Ethernet frame.
const MTU: usize = 1_500;

/// The ephemeral ports of the paper's systems: BSD's old range.
const FIRST_EPHEMERAL: u16 = 1_025;
const LAST_EPHEMERAL: u16 = 4_999;

/// A host at a moment, for connections to send through.
pub(crate) struct Wire<'a> {
    pub host: &'a mut Host,
    pub out: &'a mut Frames,
    pub now: Time,
}

impl Wire<'_> {
    /// Sends a segment of a connection as the persona sends it; `echo` is the peer's stamp where stamps were agreed on.
    #[expect(clippy::too_many_arguments, reason = "they are the fields of a segment")]
    pub fn segment(
        &mut self,
        flow: &Flow,
        seq: u32,
        ack: u32,
        bits: u8,
        window: u16,
        echo: Option<u32>,
        runs: &[(u32, u32)],
        payload: &[u8],
    ) {
        use trapline_wire::observation::kind::{NOP, SACK, STAMP};
        let mut options = [NOP; 40];
        let mut used = 0;
        let mut put = |bytes: &[u8]| {
            options[used..used + bytes.len()].copy_from_slice(bytes);
            used += bytes.len();
        };
        if let Some(echo) = echo {
            put(&[NOP, NOP, STAMP, 10]);
            put(&self.host.stamps.at(self.now).to_be_bytes());
            put(&echo.to_be_bytes());
        }
        if !runs.is_empty() {
            put(&[NOP, NOP, SACK, 2 + 8 * runs.len() as u8]);
            for (from, to) in runs {
                put(&from.to_be_bytes());
                put(&to.to_be_bytes());
            }
        }
        let options = &options[..used];
        self.send(flow, Tcp { seq, ack, flags: bits, window, options, payload, ..Tcp::default() });
    }

    /// Sends the SYN of a connection that the host asks for.
    pub fn syn(&mut self, flow: &Flow, seq: u32, ack: u32, bits: u8, window: u16, echo: u32) {
        let mut layout: Vec<Item> = self.host.persona.own_syn().to_vec();
        if flow.key.local.is_ipv6() {
            const LONGER: u16 = 20;
            for item in &mut layout {
                if let Item::Mss(mss) = item {
                    *mss = mss.saturating_sub(LONGER);
                }
            }
        }
        let mut options = Vec::with_capacity(40);
        layout::write(&mut options, &layout, self.host.stamps.at(self.now), echo);
        options.truncate(40);
        self.send(flow, Tcp { seq, ack, flags: bits, window, options: &options, ..Tcp::default() });
    }

    fn send(&mut self, flow: &Flow, segment: Tcp<'_>) {
        let Key { local, peer, port, peer_port, .. } = flow.key;
        let (ttl, df) = self.host.persona.connected();
        let ip = self.host.header(local, peer, ttl, df, Counter::Open);
        let segment = Tcp { src_port: port, dst_port: peer_port, ..segment };
        let ports = (port, peer_port);
        self.host.send_flow(flow.mac, &ip, ports, self.out, |bytes| build::tcp(bytes, &ip, &segment));
    }
}

/// What a packet is to a system without a connection; flags as nmap's probes have them decide.
fn odd(bits: u8) -> Odd {
    let has = |bit| bits & bit != 0;
    if has(flags::ACK) {
        Odd::Ack
    } else if has(flags::SYN) {
        if has(flags::FIN) { Odd::SynFin } else { Odd::Syn }
    } else if has(flags::FIN | flags::PSH | flags::URG) {
        Odd::Xmas
    } else {
        Odd::Null
    }
}

/// How far an acknowledgement of this segment goes: a SYN/ACK acknowledges the SYN, a reset all that the segment carried.
fn carried(tcp: &TcpView<'_>, answer: u8) -> u32 {
    let bits = tcp.flags().unwrap_or(0);
    if answer & flags::SYN != 0 || bits & flags::SYN != 0 {
        return 1;
    }
    (u32::from(bits & flags::FIN != 0) + tcp.payload().len() as u32).max(1)
}

/// The packet as an unreachable quotes it.
fn quoted(heard: &Heard<'_>, how: &Unreachable) -> Vec<u8> {
    let header = heard.header;
    let mut quote = heard.bytes[..heard.bytes.len().min(how.length.saturating_sub(28))].to_vec();
    set(&mut quote, 2, how.ip_length);
    set(&mut quote, 4, how.ip_id);
    if let Some(ttl) = quote.get_mut(8) {
        *ttl = ttl.saturating_sub(how.ttl_taken);
    }
    if let Some(head) = quote.get_mut(..header).filter(|_| how.ip_checksum != Quoted::Wrong) {
        // Of what it quotes, so that it is good where the fields before it were changed.
        head[10..12].fill(0);
        let good = checksum::of(head, 0);
        head[10..12].copy_from_slice(&good.to_be_bytes());
    }
    set(&mut quote, 10, how.ip_checksum);
    set(&mut quote, header + 6, how.udp_checksum);
    if !how.data_good
        && let Some(data) = quote.get_mut(header + 8..)
    {
        data.iter_mut().for_each(|byte| *byte = 0);
    }
    quote
}

/// Makes of the field at `at` what the system makes of it.
fn set(quote: &mut [u8], at: usize, what: Quoted) {
    let Some(field) = quote.get_mut(at..at + 2) else { return };
    match what {
        Quoted::Good => {}
        Quoted::Set(value) => field.copy_from_slice(&value.to_be_bytes()),
        Quoted::Wrong => field[1] ^= 0x55,
    }
}
