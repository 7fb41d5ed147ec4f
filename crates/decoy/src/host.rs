//! A host: which packets are its own, and what its persona says to each.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use trapline_wire::build::{self, Ip, Tcp};
use trapline_wire::checksum;
use trapline_wire::icmp::IcmpView;
use trapline_wire::ipv4::Ipv4View;
use trapline_wire::tcp::{TcpView, flags};
use trapline_wire::udp::UdpView;
use trapline_wire::{Frame, LinkType, Packet, Reading, Time, Transport, decode};

use crate::layout::{self, Offer};
use crate::numbers::{Ids, Isns, Random, StampClock};
use crate::persona::{Number, Odd, Persona, Quoted, Reaction, Taken, Unreachable};

/// Ethernet addresses.
pub type Mac = [u8; 6];

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const BROADCAST: Mac = [0xff; 6];

/// Frames on their way out, in order.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Frames {
    /// Forgets them.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// The frames.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }
}

/// How a host is wired up.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its IPv4 addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// TCP ports that answer a SYN with a SYN/ACK.
    pub open: BTreeSet<u16>,
    /// TCP and UDP ports that say nothing at all.
    pub silent: BTreeSet<u16>,
    /// From which everything random derives.
    pub seed: u64,
}

/// A decoy.
#[derive(Clone, Debug)]
pub struct Host {
    persona: Persona,
    wiring: Wiring,
    random: Random,
    isns: Isns,
    stamps: StampClock,
    ids: [Ids; 3],
}

/// Which counter of identifications an answer takes from.
#[derive(Clone, Copy)]
enum Counter {
    Open,
    Closed,
    Icmp,
}

/// A packet for this host.
struct Heard<'a> {
    from_mac: Mac,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    ip: Ipv4View<'a>,
    /// The packet without the frame's padding.
    bytes: &'a [u8],
}

impl Host {
    /// A host that has just started.
    pub fn new(persona: Persona, wiring: Wiring) -> Self {
        let mut random = Random::new(wiring.seed);
        let isns = Isns::new(persona.isn, &mut random);
        let stamps = StampClock { hz: persona.stamp_hz, start: random.below(1 << 24) };
        let [open, closed, icmp] = [persona.id_open, persona.id_closed, persona.id_icmp];
        // A system that is seen to count ICMP apart has higher numbers there than in TCP.
        let ids = [(open, 1), (closed, 2), (icmp, if persona.id_shared { 0 } else { 3 })];
        let ids = ids.map(|(policy, quarter)| Ids::new(policy, quarter, &mut random));
        Host { persona, wiring, random, isns, stamps, ids }
    }

    /// Its persona.
    pub fn persona(&self) -> &Persona {
        &self.persona
    }

    /// Takes an Ethernet frame at `now`; what the host says to it is added to `out`.
    ///
    /// A frame for somebody else, a damaged one and one with a wrong checksum get no answer, as from any host.
    pub fn on_frame(&mut self, now: Time, frame: &[u8], out: &mut Frames) {
        let Some((to, from, ethertype, payload)) = ethernet(frame) else { return };
        // Nobody sends from a group address; an answer would go to everybody.
        if (to != self.wiring.mac && to != BROADCAST) || from[0] & 1 == 1 {
            return;
        }
        match ethertype {
            ARP => self.arp(from, payload, out),
            IPV4 if to != BROADCAST => self.ipv4(now, from, frame, payload, out),
            _ => {}
        }
    }

    /// Answers who asks for one of its addresses (RFC 826).
    fn arp(&self, from: Mac, request: &[u8], out: &mut Frames) {
        const ETHERNET_IPV4_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
        let Some((head, body)) = request.split_first_chunk::<8>() else { return };
        let Some((fields, _)) = body.split_first_chunk::<20>() else { return };
        let wanted = Ipv4Addr::new(fields[16], fields[17], fields[18], fields[19]);
        if *head != ETHERNET_IPV4_REQUEST || !self.wiring.addresses.contains(&wanted) {
            return;
        }
        out.add(|bytes| {
            build::ethernet(bytes, from, self.wiring.mac, ARP);
            bytes.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, 2]);
            bytes.extend_from_slice(&self.wiring.mac);
            bytes.extend_from_slice(&wanted.octets());
            bytes.extend_from_slice(&fields[..10]);
        });
    }

    fn ipv4(&mut self, now: Time, from_mac: Mac, frame: &[u8], payload: &[u8], out: &mut Frames) {
        let frame = Frame { time: now, wire_len: frame.len() as u32, link: LinkType::ETHERNET, data: frame };
        let Reading::Ip(packet) = decode(&frame) else { return };
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (packet.src, packet.dst) else { return };
        let Some(ip) = Ipv4View::checked(payload) else { return };
        let Some(bytes) = payload.get(..packet.ip_len as usize) else { return };
        let stranger = src.is_unspecified() || src.is_broadcast() || src.is_multicast() || src == dst;
        if stranger || !self.wiring.addresses.contains(&dst) || packet.fragment.is_some() {
            return;
        }
        if checksum::of(packet.header, 0) != 0 || !transport_checksum_is_right(&packet, bytes) {
            return;
        }
        let heard = Heard { from_mac, src, dst, ip, bytes };
        match packet.transport {
            Transport::Tcp(tcp) => self.tcp(now, &heard, &tcp, out),
            Transport::Udp(udp) => self.udp(&heard, &udp, out),
            Transport::Icmp(icmp) => self.icmp(&heard, &icmp, out),
            _ => {}
        }
    }

    fn tcp(&mut self, now: Time, heard: &Heard<'_>, tcp: &TcpView<'_>, out: &mut Frames) {
        let (Some(bits), Some(_)) = (tcp.flags(), tcp.header()) else { return };
        let port = tcp.dst_port();
        if bits & flags::RST != 0 || self.wiring.silent.contains(&port) {
            return;
        }
        let open = self.wiring.open.contains(&port);
        let odd = odd(bits);
        let offer = Offer::read(tcp.options(), bits & (flags::ECE | flags::CWR) == flags::ECE | flags::CWR);
        let reaction = match (open, odd) {
            (true, Odd::SynFin) if self.persona.syn_fin_opens => self.persona.answer_to_syn(&offer),
            (true, Odd::Syn) => self.persona.answer_to_syn(&offer),
            (true, _) => self.persona.open.to(odd).cloned(),
            (false, _) => self.persona.closed.to(odd).cloned(),
        };
        if let Some(reaction) = reaction {
            self.react(now, heard, tcp, &reaction, offer.stamp, out);
        }
    }

    fn react(
        &mut self,
        now: Time,
        heard: &Heard<'_>,
        tcp: &TcpView<'_>,
        reaction: &Reaction,
        their_stamp: u32,
        out: &mut Frames,
    ) {
        let (their_seq, their_ack) = (tcp.seq().unwrap_or(0), tcp.ack().unwrap_or(0));
        let seq = match reaction.seq {
            Number::Zero => 0,
            Number::Same => their_ack,
            Number::Next => their_ack.wrapping_add(1),
            Number::Own => self.isns.take(now, &mut self.random),
        };
        let ack = match reaction.ack {
            Number::Zero => 0,
            Number::Same => their_seq,
            Number::Next => their_seq.wrapping_add(carried(tcp, reaction.flags)),
            Number::Own => self.random.bits() as u32,
        };
        let counter = if reaction.flags & flags::SYN != 0 { Counter::Open } else { Counter::Closed };
        let ip = self.header(heard, reaction.ttl, reaction.df, counter);
        let mut options = Vec::with_capacity(40);
        layout::write(&mut options, &reaction.options, self.stamps.at(now), their_stamp);
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
        self.send(heard.from_mac, out, |bytes| build::tcp(bytes, &ip, &segment));
    }

    fn udp(&mut self, heard: &Heard<'_>, udp: &UdpView<'_>, out: &mut Frames) {
        if self.wiring.silent.contains(&udp.dst_port()) {
            return;
        }
        let Some(unreachable) = self.persona.unreachable.clone() else { return };
        let ip = self.header(heard, unreachable.ttl, unreachable.df, Counter::Icmp);
        let quote = quoted(heard, &unreachable);
        let unused = unreachable.unused.to_be_bytes();
        const UNREACHABLE: u8 = 3;
        const PORT: u8 = 3;
        self.send(heard.from_mac, out, |bytes| build::icmp(bytes, &ip, UNREACHABLE, PORT, unused, &quote));
    }

    fn icmp(&mut self, heard: &Heard<'_>, icmp: &IcmpView<'_>, out: &mut Frames) {
        const ECHO: u8 = 8;
        const ECHO_REPLY: u8 = 0;
        let (Some(id), Some(seq)) = (icmp.identifier(), icmp.sequence()) else { return };
        let Some(echo) = self.persona.echo.clone().filter(|_| icmp.kind() == ECHO) else { return };
        let df = u8::from(heard.ip.dont_fragment());
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
        let ip = self.header(heard, echo.ttl, df, Counter::Icmp);
        let [[a, b], [c, d]] = [id.to_be_bytes(), seq.to_be_bytes()];
        let body = heard.bytes.get(heard.ip.header_len() + 8..).unwrap_or_default();
        self.send(heard.from_mac, out, |bytes| build::icmp(bytes, &ip, ECHO_REPLY, code, [a, b, c, d], body));
    }

    /// The header of an answer, with the next identification of its counter.
    fn header(&mut self, heard: &Heard<'_>, ttl: u8, df: bool, counter: Counter) -> Ip {
        let policies = [self.persona.id_open, self.persona.id_closed, self.persona.id_icmp];
        let of = match counter {
            Counter::Open => 0,
            Counter::Closed => 1,
            Counter::Icmp => 2,
        };
        // Of counters with one policy there is one, unless the system is known to count apart.
        let apart = of == 2 && !self.persona.id_shared;
        let counted = if apart { of } else { policies.iter().position(|p| *p == policies[of]).unwrap_or(of) };
        let id = self.ids[counted].take(&mut self.random);
        Ip { src: heard.dst.into(), dst: heard.src.into(), ttl, id, df }
    }

    fn send(&self, to: Mac, out: &mut Frames, packet: impl FnOnce(&mut Vec<u8>)) {
        out.add(|bytes| {
            build::ethernet(bytes, to, self.wiring.mac, IPV4);
            packet(bytes);
        });
    }
}

/// Destination, source, type and payload.
fn ethernet(frame: &[u8]) -> Option<(Mac, Mac, u16, &[u8])> {
    let (head, payload) = frame.split_first_chunk::<14>()?;
    let mac = |at: usize| -> Option<Mac> { head[at..at + 6].try_into().ok() };
    Some((mac(0)?, mac(6)?, u16::from_be_bytes([head[12], head[13]]), payload))
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

/// TCP, UDP (where it has one) and ICMP checksums, over the whole of an unfragmented packet.
fn transport_checksum_is_right(packet: &Packet<'_>, bytes: &[u8]) -> bool {
    let Some(body) = bytes.get(usize::from(packet.ip_header_len)..) else { return false };
    match packet.transport {
        Transport::Icmp(_) => checksum::of(body, 0) == 0,
        Transport::Udp(_) if body.get(6..8) == Some(&[0, 0]) => true,
        _ => {
            let ip = Ip::new(packet.src, packet.dst);
            checksum::of(body, checksum::pseudo_header(&ip, packet.protocol, body.len())) == 0
        }
    }
}

/// The packet as an unreachable quotes it.
fn quoted(heard: &Heard<'_>, how: &Unreachable) -> Vec<u8> {
    let header = heard.ip.header_len();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nmap;

    const DATABASE: &str = "Fingerprint Made Up\nSEQ(SP=10%GCD=1%ISR=50%TI=I%CI=I%II=I%SS=S%TS=7)\n\
        OPS(O1=M5B4ST11NW0%O2=M578ST11NW0%O3=M280NNT11NW0%O4=M5B4ST11NW0%O5=M218ST11NW0%O6=M109ST11)\n\
        WIN(W1=16A0%W2=16A0%W3=16A0%W4=16A0%W5=16A0%W6=16A0)\nECN(R=Y%DF=Y%T=40%W=16D0%O=M5B4NNSNW0%CC=N%Q=)\n\
        T1(R=Y%DF=Y%T=40%S=O%A=S+%F=AS%RD=0%Q=)\nT2(R=N)\nT3(R=N)\nT4(R=Y%DF=Y%T=40%W=0%S=A%A=Z%F=R%O=%RD=0%Q=)\n\
        T5(R=Y%DF=Y%T=FF%W=0%S=Z%A=S+%F=AR%O=%RD=0%Q=)\nT6(R=N)\nT7(R=N)\n\
        U1(DF=N%T=40%IPL=38%UN=0%RIPL=G%RID=G%RIPCK=G%RUCK=G%RUD=G)\nIE(DFI=S%T=40%CD=S)\n";
    const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);
    const PEER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
    const HOST_MAC: Mac = [0, 0x50, 0x56, 1, 2, 3];
    const PEER_MAC: Mac = [2, 0, 0, 0, 0, 5];

    fn host() -> Host {
        let persona = nmap::read(DATABASE).unwrap()[0].persona();
        let wiring =
            Wiring { mac: HOST_MAC, addresses: vec![HOST], open: [80].into(), silent: [99].into(), seed: 5 };
        Host::new(persona, wiring)
    }

    fn framed(to: Mac, ethertype: u16, packet: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut frame = Vec::new();
        build::ethernet(&mut frame, to, PEER_MAC, ethertype);
        packet(&mut frame);
        frame
    }

    fn answers(host: &mut Host, frame: &[u8]) -> Vec<Vec<u8>> {
        let mut out = Frames::default();
        host.on_frame(1_000_000_000, frame, &mut out);
        out.iter().map(<[u8]>::to_vec).collect()
    }

    fn segment(port: u16, bits: u8, options: &[u8]) -> Vec<u8> {
        let tcp = Tcp {
            src_port: 1025,
            dst_port: port,
            seq: 1000,
            ack: 77,
            flags: bits,
            options,
            ..Tcp::default()
        };
        framed(HOST_MAC, IPV4, |out| build::tcp(out, &Ip::new(PEER.into(), HOST.into()), &tcp))
    }

    /// Time to live, sequence, acknowledgement, flags, window, options.
    type Seen = (u8, u32, u32, u8, u16, Vec<u8>);

    fn seen(frame: &[u8]) -> Seen {
        assert_eq!(frame[..12], [PEER_MAC, HOST_MAC].concat());
        let frame = Frame { time: 0, wire_len: frame.len() as u32, link: LinkType::ETHERNET, data: frame };
        let Reading::Ip(packet) = decode(&frame) else { panic!("no packet") };
        assert!(
            transport_checksum_is_right(&packet, &frame.data[14..]) && checksum::of(packet.header, 0) == 0
        );
        let Transport::Tcp(tcp) = packet.transport else { panic!("no segment") };
        let [seq, ack] = [tcp.seq(), tcp.ack()].map(Option::unwrap);
        (packet.ttl, seq, ack, tcp.flags().unwrap(), tcp.window().unwrap(), tcp.options().to_vec())
    }

    #[test]
    fn who_asks_for_its_address_is_told() {
        let ask = |wanted: Ipv4Addr| {
            framed(BROADCAST, ARP, |out| {
                out.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
                out.extend_from_slice(&PEER_MAC);
                out.extend_from_slice(&PEER.octets());
                out.extend_from_slice(&[0; 6]);
                out.extend_from_slice(&wanted.octets());
            })
        };
        let told = answers(&mut host(), &ask(HOST));
        let expected =
            [&[0, 1, 8, 0, 6, 4, 0, 2][..], &HOST_MAC, &HOST.octets(), &PEER_MAC, &PEER.octets()].concat();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0][14..], expected);
        assert!(answers(&mut host(), &ask(Ipv4Addr::new(192, 0, 2, 12))).is_empty());
    }

    #[test]
    fn a_scanner_and_an_ordinary_client_see_one_system() {
        let linux_client = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
        let (ttl, _, ack, bits, window, options) =
            seen(&answers(&mut host(), &segment(80, flags::SYN, &linux_client))[0]);
        assert_eq!((ttl, ack, bits, window), (64, 1001, flags::SYN | flags::ACK, 0x16a0));
        assert_eq!(options[..8], [2, 4, 5, 0xb4, 4, 2, 8, 10]);
        assert_eq!(options[12..], [0, 0, 0, 9, 1, 3, 3, 0], "its stamp comes back");
        let old_client = seen(&answers(&mut host(), &segment(80, flags::SYN, &[2, 4, 5, 0xb4]))[0]);
        assert_eq!(old_client.5, [2, 4, 5, 0xb4], "what it did not offer is not answered");
        assert_eq!(old_client.4, 0x16d0, "four whole segments without stamps");
    }

    #[test]
    fn ports_answer_as_the_persona_says() {
        let closed = seen(&answers(&mut host(), &segment(81, flags::SYN, &[]))[0]);
        assert_eq!(closed, (255, 0, 1001, flags::RST | flags::ACK, 0, vec![]));
        let stray = seen(&answers(&mut host(), &segment(80, flags::ACK, &[]))[0]);
        assert_eq!(stray, (64, 77, 0, flags::RST, 0, vec![]));
        for (port, bits) in
            [(80, 0), (81, flags::ACK), (99, flags::SYN), (80, flags::RST), (81, flags::RST | flags::ACK)]
        {
            assert!(
                answers(&mut host(), &segment(port, bits, &[])).is_empty(),
                "port {port}, flags {bits:#x}"
            );
        }
    }

    #[test]
    fn a_closed_datagram_port_quotes_what_came() {
        let ip = Ip::new(PEER.into(), HOST.into());
        let asked = framed(HOST_MAC, IPV4, |out| build::udp(out, &ip, 53, 53, b"question"));
        let told = answers(&mut host(), &asked);
        assert_eq!(told[0].len(), 14 + 56, "the header and eight bytes are quoted");
        assert_eq!(told[0][14 + 20..14 + 22], [3, 3]);
        assert_eq!(told[0][14 + 28..], asked[14..14 + 28]);
        assert!(
            answers(&mut host(), &framed(HOST_MAC, IPV4, |out| build::udp(out, &ip, 53, 99, b""))).is_empty()
        );
    }

    #[test]
    fn an_echo_gives_back_what_it_was_sent() {
        let ip = Ip { df: true, ..Ip::new(PEER.into(), HOST.into()) };
        let asked = framed(HOST_MAC, IPV4, |out| build::icmp(out, &ip, 8, 9, [1, 2, 3, 4], b"abcdefgh"));
        let told = answers(&mut host(), &asked);
        assert_eq!(told[0][14 + 6..14 + 8], [0x40, 0], "DF as the request had it");
        assert_eq!(told[0][14 + 20..14 + 22], [0, 9]);
        assert_eq!(told[0][14 + 24..], *b"\x01\x02\x03\x04abcdefgh");
    }

    /// Every bit of a probe turned over in turn: nothing panics, and what is not right in itself gets no answer.
    #[test]
    fn damage_gets_no_answer() {
        let whole = segment(80, flags::SYN, &[2, 4, 5, 0xb4]);
        assert_eq!(answers(&mut host(), &whole).len(), 1);
        for bit in 14 * 8..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(answers(&mut host(), &damaged).is_empty(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(answers(&mut host(), &whole[..length]).is_empty(), "cut to {length} bytes");
        }
    }

    #[test]
    fn nobody_else_is_answered() {
        let ip = |src: Ipv4Addr, dst: Ipv4Addr| Ip::new(src.into(), dst.into());
        let syn = Tcp { src_port: 1, dst_port: 80, flags: flags::SYN, ..Tcp::default() };
        let cases = [
            (HOST_MAC, ip(PEER, Ipv4Addr::new(192, 0, 2, 12))),
            (HOST_MAC, ip(HOST, HOST)),
            (HOST_MAC, ip(Ipv4Addr::BROADCAST, HOST)),
            (HOST_MAC, ip(Ipv4Addr::new(224, 0, 0, 1), HOST)),
            (HOST_MAC, ip(Ipv4Addr::UNSPECIFIED, HOST)),
            (BROADCAST, ip(PEER, HOST)),
            ([2, 0, 0, 0, 0, 9], ip(PEER, HOST)),
        ];
        for (to, ip) in cases {
            let frame = framed(to, IPV4, |out| build::tcp(out, &ip, &syn));
            assert!(answers(&mut host(), &frame).is_empty(), "{ip:?} to {to:?}");
        }
    }
}
