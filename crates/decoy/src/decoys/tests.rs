//! Packets that need no connection: who is answered what.

use std::sync::Arc;

use trapline_wire::build::{self, Tcp};

use super::*;
use crate::host::{Ports, Wiring};
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

fn host() -> Decoys {
    let persona = nmap::read(DATABASE).unwrap()[0].persona();
    let tcp = [(80, Port::Record), (7, Port::Service(Kind::Echo)), (23, Port::Tarpit), (99, Port::Silent)];
    let udp = [(7, Port::Service(Kind::Echo)), (99, Port::Silent)];
    let ports = Arc::new(Ports { tcp: tcp.into(), udp: udp.into(), ..Ports::default() });
    let wiring =
        Wiring { mac: HOST_MAC, addresses: vec![HOST.into()], prefix: 0, ports, fetch: false, seed: 5 };
    Decoys::new(vec![Host::new(persona.into(), wiring)], 5)
}

fn framed(to: Mac, ethertype: u16, packet: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = Vec::new();
    build::ethernet(&mut frame, to, PEER_MAC, ethertype);
    packet(&mut frame);
    frame
}

fn answers(host: &mut Decoys, frame: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Frames::default();
    host.on_frame(1_000_000_000, frame, &mut out);
    out.iter().map(<[u8]>::to_vec).collect()
}

fn segment(port: u16, bits: u8, options: &[u8]) -> Vec<u8> {
    let tcp =
        Tcp { src_port: 1025, dst_port: port, seq: 1000, ack: 77, flags: bits, options, ..Tcp::default() };
    framed(HOST_MAC, IPV4, |out| build::tcp(out, &Ip::new(PEER.into(), HOST.into()), &tcp))
}

/// Time to live, sequence, acknowledgement, flags, window, options.
type Seen = (u8, u32, u32, u8, u16, Vec<u8>);

fn seen(frame: &[u8]) -> Seen {
    assert_eq!(frame[..12], [PEER_MAC, HOST_MAC].concat());
    let frame = Frame { time: 0, wire_len: frame.len() as u32, link: LinkType::ETHERNET, data: frame };
    let Reading::Ip(packet) = decode(&frame) else { panic!("no packet") };
    assert!(transport_checksum_is_right(&packet, &frame.data[14..]) && checksum::of(packet.header, 0) == 0);
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
    // What this persona does not answer, and what it does: an operation that there is not, a hardware of another number.
    for (at, value, answered) in
        [(14 + 7, 255, false), (14 + 1, 6, true), (14 + 1, 255, false), (14 + 5, 6, false)]
    {
        let mut odd = ask(HOST);
        odd[at] = value;
        assert_eq!(!answers(&mut host(), &odd).is_empty(), answered, "byte {at} is {value}");
    }
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
        assert!(answers(&mut host(), &segment(port, bits, &[])).is_empty(), "port {port}, flags {bits:#x}");
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

/// Packets that ended Honeyd, by its issues' numbers (DataSoft/Honeyd): each has an answer, or none, and the next one too.
#[test]
fn packets_that_ended_honeyd_do_not_end_us() {
    let tcp = |from: Ipv4Addr, to: Ipv4Addr, bits: u8| {
        let segment = Tcp { src_port: 2_989, dst_port: 80, flags: bits, ..Tcp::default() };
        framed(HOST_MAC, IPV4, |out| build::tcp(out, &Ip::new(from.into(), to.into()), &segment))
    };
    let udp = |from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]| {
        framed(HOST_MAC, IPV4, |out| build::udp(out, &Ip::new(from.into(), to.into()), 137, 137, payload))
    };
    let request = |sender: &[u8; 10], wanted: Ipv4Addr| {
        framed(BROADCAST, ARP, |out| {
            out.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
            out.extend_from_slice(sender);
            out.extend_from_slice(&[0; 6]);
            out.extend_from_slice(&wanted.octets());
        })
    };
    let broadcast = Ipv4Addr::BROADCAST;
    let other = Ipv4Addr::new(192, 0, 2, 99);
    let to_all = |mut frame: Vec<u8>| {
        frame[..6].fill(0xff);
        frame
    };
    let cases: [(u32, Vec<u8>, usize); 12] = [
        (10, request(&[0; 10], HOST), 1),
        (10, request(&[0xff; 10], HOST), 0),
        (19, tcp(PEER, other, flags::ACK), 0),
        (19, tcp(PEER, HOST, flags::RST), 0),
        (33, udp(HOST, HOST, &[0; 140]), 0),
        (34, udp(PEER, HOST, &[0; 50]), 1),
        (35, to_all(udp(PEER, broadcast, &[0; 50])), 0),
        (35, to_all(tcp(PEER, broadcast, flags::SYN)), 0),
        (48, to_all(udp(Ipv4Addr::UNSPECIFIED, broadcast, &[1, 1, 6, 0])), 0),
        (74, tcp(PEER, HOST, 0), 0),
        (76, udp(PEER, other, &[0; 30]), 0),
        (
            81,
            framed(HOST_MAC, IPV4, |out| {
                build::icmp(out, &Ip::new(PEER.into(), other.into()), 8, 0, [0; 4], b"")
            }),
            0,
        ),
    ];
    let mut host = host();
    for (issue, frame, told) in cases {
        assert_eq!(answers(&mut host, &frame).len(), told, "issue {issue}");
        assert_eq!(answers(&mut host, &segment(80, flags::SYN, &[])).len(), 1, "after issue {issue}");
    }
}

#[test]
fn the_time_and_the_mask_are_told_by_who_tells_them() {
    let ask = |persona: &str, kind: u8| {
        let (_, text) = crate::text::BUILT_IN.iter().find(|(name, _)| *name == persona).unwrap();
        let (ports, prefix) = (Arc::default(), 24);
        let wiring =
            Wiring { mac: HOST_MAC, addresses: vec![HOST.into()], prefix, ports, fetch: false, seed: 5 };
        let persona = Arc::new(crate::text::read(text).unwrap());
        let mut host = Decoys::new(vec![Host::new(persona, wiring)], 5);
        let ip = Ip::new(PEER.into(), HOST.into());
        let asked = framed(HOST_MAC, IPV4, |out| build::icmp(out, &ip, kind, 0, [1, 2, 3, 4], &[0; 12]));
        answers(&mut host, &asked).first().map(|frame| frame[34..].to_vec())
    };
    // One second after midnight.
    let linux = ask("linux-redhat-7.3", 13).unwrap();
    assert_eq!((linux[0], &linux[12..16]), (14, &1_000u32.to_be_bytes()[..]));
    let windows = ask("windows-98", 13).unwrap();
    assert_eq!((windows[0], &windows[12..16]), (14, &1_000u32.to_le_bytes()[..]));
    assert_eq!(ask("windows-nt4-server", 13), None);
    assert_eq!(ask("solaris-9", 17).unwrap()[8..], [255, 255, 255, 0]);
    assert_eq!(ask("linux-6", 17), None);
}

/// Linux says six times at once that a port is closed, then once each second: what makes a scan of its datagram ports so slow.
#[test]
fn unreachables_are_limited_as_their_system_limits_them() {
    let (_, text) = crate::text::BUILT_IN.iter().find(|(name, _)| *name == "linux-6").unwrap();
    let (ports, prefix) = (Arc::default(), 24);
    let wiring = Wiring { mac: HOST_MAC, addresses: vec![HOST.into()], prefix, ports, fetch: false, seed: 5 };
    let mut host = Decoys::new(vec![Host::new(Arc::new(crate::text::read(text).unwrap()), wiring)], 5);
    let mut told = |second: i64, count: usize| {
        let mut out = Frames::default();
        for port in 0..count as u16 {
            let ip = Ip::new(PEER.into(), HOST.into());
            let asked = framed(HOST_MAC, IPV4, |out| build::udp(out, &ip, 53, 1_000 + port, b"?"));
            host.on_frame(second * 1_000_000_000, &asked, &mut out);
        }
        out.len()
    };
    assert_eq!((told(10, 20), told(11, 20), told(13, 20), told(100, 20)), (6, 1, 2, 6));
}

#[test]
fn a_long_echo_comes_and_goes_in_fragments() {
    let body: Vec<u8> = (0..4_000u32).map(|i| i as u8).collect();
    let ip = Ip { id: 77, ..Ip::new(PEER.into(), HOST.into()) };
    let mut packet = Vec::new();
    build::icmp(&mut packet, &ip, 8, 0, [1, 2, 3, 4], &body);
    let mut host = host();
    let mut back = Vec::new();
    for piece in crate::fragments::cut(&packet, 1_500) {
        back.extend(answers(&mut host, &framed(HOST_MAC, IPV4, |out| out.extend_from_slice(&piece))));
    }
    assert_eq!(back.iter().map(Vec::len).collect::<Vec<_>>(), [1_514, 1_514, 14 + 20 + 1_048]);
    let told: Vec<u8> = back.iter().flat_map(|frame| frame[34..].to_vec()).collect();
    assert_eq!((&told[..2], &told[8..]), (&[0, 0][..], &body[..]));
}

#[test]
fn a_ping_that_asks_for_the_route_is_told() {
    let mut packet = Vec::new();
    let ip = Ip::new(PEER.into(), HOST.into());
    build::icmp(&mut packet, &ip, 8, 0, [1, 2, 3, 4], &[9; 2_000]);
    crate::options::insert(&mut packet, 0, &[7, 7, 4, 0, 0, 0, 0, 0]);
    let mut host = host();
    let mut back = Vec::new();
    for piece in crate::fragments::cut(&packet, 1_500) {
        back.extend(answers(&mut host, &framed(HOST_MAC, IPV4, |out| out.extend_from_slice(&piece))));
    }
    assert_eq!(back.iter().map(Vec::len).collect::<Vec<_>>(), [14 + 1_500, 14 + 20 + 536]);
    assert_eq!((back[0][14], &back[0][34..42]), (0x47, &[7, 7, 8, 192, 0, 2, 11, 0][..]));
    assert_eq!(checksum::of(&back[0][14..42], 0), 0);

    let mut routed = segment(80, flags::SYN, &[])[14..].to_vec();
    crate::options::insert(&mut routed, 0, &[131, 7, 8, 192, 0, 2, 11, 0]);
    let routed = framed(HOST_MAC, IPV4, |out| out.extend_from_slice(&routed));
    assert!(answers(&mut host, &routed).is_empty());
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
