//! Hosts over IPv6, packet by packet: neighbours, groups, errors, fragments, and what systems do differently.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use trapline_decoy::services::Kind;
use trapline_decoy::{Decoys, Frames, Host, Port, Ports, Wiring, text};
use trapline_wire::build::{self, Ip, Tcp};
use trapline_wire::tcp::flags;
use trapline_wire::{Frame, LinkType, Packet, Reading, Transport, checksum, decode};

const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x12, 0x3456);
const HOST_GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff12, 0x3456);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const PEER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5);
const NEAR_PEER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 5);
const HOST_MAC: [u8; 6] = [0, 0x50, 0x56, 1, 2, 3];
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 5];
const SECOND: i64 = 1_000_000_000;

fn host(persona: &str) -> Decoys {
    let (_, text) = text::BUILT_IN.iter().find(|(name, _)| *name == persona).unwrap();
    let tcp = [(80, Port::Record)].into();
    let udp = [(7, Port::Service(Kind::Echo))].into();
    let (addresses, ports) = (vec![IpAddr::V6(HOST)], Arc::new(Ports { tcp, udp, ..Ports::default() }));
    let wiring = Wiring { mac: HOST_MAC, addresses, prefix: 24, ports, fetch: false, seed: 5 };
    Decoys::new(vec![Host::new(Arc::new(text::read(text).unwrap()), wiring)], 5)
}

fn framed(dst: Ipv6Addr, packet: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let [.., a, b, c, d] = dst.octets();
    let to = if dst.is_multicast() { [0x33, 0x33, a, b, c, d] } else { HOST_MAC };
    let mut frame = Vec::new();
    build::ethernet(&mut frame, to, PEER_MAC, 0x86dd);
    packet(&mut frame);
    frame
}

fn icmp(src: Ipv6Addr, dst: Ipv6Addr, ttl: u8, kind: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let ip = Ip { ttl, ..Ip::new(src.into(), dst.into()) };
    framed(dst, |out| build::icmp(out, &ip, kind, 0, rest, body))
}

fn answers(host: &mut Decoys, frame: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Frames::default();
    host.on_frame(SECOND, frame, &mut out);
    out.iter().map(<[u8]>::to_vec).collect()
}

/// An answer's sender and receiver, what it is, and its message; its checksum is right.
fn seen(frame: &[u8]) -> (Ipv6Addr, Ipv6Addr, Packet<'_>, &[u8]) {
    assert_eq!((&frame[6..12], &frame[12..14]), (&HOST_MAC[..], &[0x86, 0xdd][..]));
    let whole = Frame { time: 0, wire_len: frame.len() as u32, link: LinkType::ETHERNET, data: frame };
    let Reading::Ip(packet) = decode(&whole) else { panic!("no packet: {frame:02x?}") };
    let message = &frame[14 + usize::from(packet.ip_header_len)..];
    let ip = Ip::new(packet.src, packet.dst);
    assert_eq!(
        checksum::of(message, checksum::pseudo_header(&ip, packet.protocol, message.len())),
        0,
        "checksum"
    );
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (packet.src, packet.dst) else { panic!("no IPv6") };
    (src, dst, packet, message)
}

#[test]
fn neighbours_are_told_the_ethernet_address() {
    let solicited = |src, dst, ttl| icmp(src, dst, ttl, 135, [0; 4], &HOST.octets());
    let own = [&[2, 1][..], &HOST_MAC].concat();

    let told = answers(&mut host("linux-6"), &solicited(PEER, HOST_GROUP, 255));
    let (src, dst, packet, message) = seen(&told[0]);
    assert_eq!((src, dst, packet.ttl, &told[0][..6]), (HOST, PEER, 255, &PEER_MAC[..]));
    assert_eq!((message[0], message[4], &message[8..24]), (136, 0x60, &HOST.octets()[..]));
    assert_eq!(message[24..], own);

    let alone = |persona| answers(&mut host(persona), &solicited(PEER, HOST, 255)).remove(0);
    assert_eq!(seen(&alone("linux-6")).3.len(), 24, "who asks it alone knows its address");
    assert_eq!(seen(&alone("windows-10")).3[24..], own);

    // Is this address free? No: everybody is told.
    let taken = answers(&mut host("linux-6"), &solicited(Ipv6Addr::UNSPECIFIED, HOST_GROUP, 255));
    assert_eq!(taken[0][..6], [0x33, 0x33, 0, 0, 0, 1]);
    assert_eq!((seen(&taken[0]).1, seen(&taken[0]).3[4]), (ALL_NODES, 0x20));

    for frame in [
        solicited(PEER, HOST_GROUP, 254),
        solicited(Ipv6Addr::UNSPECIFIED, HOST, 255),
        icmp(PEER, HOST_GROUP, 255, 135, [0; 4], &PEER.octets()),
    ] {
        assert!(answers(&mut host("linux-6"), &frame).is_empty());
    }
}

#[test]
fn a_system_without_ipv6_is_silent() {
    for persona in ["windows-98", "linux-redhat-7.3"] {
        for frame in [
            icmp(PEER, HOST_GROUP, 255, 135, [0; 4], &HOST.octets()),
            icmp(PEER, HOST, 64, 128, [0, 1, 0, 2], b"abc"),
            icmp(PEER, ALL_NODES, 64, 128, [0, 1, 0, 2], b"abc"),
        ] {
            assert!(answers(&mut host(persona), &frame).is_empty(), "{persona}");
        }
    }
}

#[test]
fn echoes_come_back_and_some_systems_answer_all_nodes() {
    let told = answers(&mut host("freebsd"), &icmp(PEER, HOST, 64, 128, [0, 1, 0, 2], b"abc"));
    let (src, dst, packet, message) = seen(&told[0]);
    assert_eq!((src, dst, packet.ttl), (HOST, PEER, 64));
    assert_eq!((message[0], &message[4..]), (129, &[0, 1, 0, 2, b'a', b'b', b'c'][..]));

    let all = |persona, src| answers(&mut host(persona), &icmp(src, ALL_NODES, 64, 128, [0; 4], b""));
    assert_eq!(seen(&all("linux-6", PEER)[0]).0, HOST);
    let near: Ipv6Addr = "fe80::250:56ff:fe01:203".parse().unwrap();
    assert_eq!(seen(&all("linux-6", NEAR_PEER)[0]).0, near, "the address of RFC 4291's appendix A");
    assert!(all("windows-10", NEAR_PEER).is_empty());
}

#[test]
fn what_cannot_be_delivered_is_quoted() {
    let ip = Ip::new(PEER.into(), HOST.into());
    let asked = framed(HOST, |out| build::udp(out, &ip, 53, 99, &[7; 1_400]));
    let told = answers(&mut host("linux-6"), &asked);
    let (_, _, packet, message) = seen(&told[0]);
    assert_eq!((packet.ip_len, &message[..8]), (1_280, &[1, 4, message[2], message[3], 0, 0, 0, 0][..]));
    assert_eq!(message[8..], asked[14..14 + 1_232]);

    // An option that nobody knows and that asks for an error, before a datagram for an open port.
    let mut odd = framed(HOST, |out| build::udp(out, &ip, 53, 7, b"question"));
    odd.splice(54..54, [17, 0, 0x9e, 4, 0, 0, 0, 0]);
    odd[14 + 6] = 60;
    odd[14 + 5] += 8;
    let told = answers(&mut host("linux-6"), &odd);
    assert_eq!(seen(&told[0]).3[..2], [4, 2]);
    assert_eq!(seen(&told[0]).3[4..8], [0, 0, 0, 42]);
    odd[14 + 40 + 2] = 0x1e;
    assert_eq!(seen(&answers(&mut host("linux-6"), &odd)[0]).3[8..], *b"question");

    // No checksum, no datagram.
    let mut bare = framed(HOST, |out| build::udp(out, &ip, 53, 7, b"question"));
    bare[14 + 40 + 6..14 + 40 + 8].fill(0);
    assert!(answers(&mut host("linux-6"), &bare).is_empty());
}

/// An echo request in pieces, the last one first: where they begin, how long they are, whether more follow.
fn pieces(host: &mut Decoys, pieces: &[(u16, usize, bool)]) -> Vec<Vec<u8>> {
    const ICMP: usize = 8;
    let mut packet = Vec::new();
    let end = pieces.iter().map(|(at, length, _)| usize::from(*at) + length).max().unwrap_or(0);
    let body: Vec<u8> = (ICMP..end).map(|i| i as u8).collect();
    build::icmp(&mut packet, &Ip::new(PEER.into(), HOST.into()), 128, 0, [0; 4], &body);
    let message = &packet[40..];
    let mut told = Vec::new();
    for (at, length, more) in pieces.iter().rev() {
        let from = usize::from(*at);
        let piece = &message[from..from + length];
        let frame = framed(HOST, |out| {
            out.extend([0x60, 0, 0, 0]);
            out.extend((8 + piece.len() as u16).to_be_bytes());
            out.extend([44, 64]);
            out.extend(PEER.octets());
            out.extend(HOST.octets());
            out.extend([58, 0]);
            out.extend((at | u16::from(*more)).to_be_bytes());
            out.extend([0, 0, 0, 9]);
            out.extend(piece);
        });
        told.extend(answers(host, &frame));
    }
    told
}

#[test]
fn fragments_are_put_together_and_overlaps_refused() {
    let mut one = host("linux-6");
    let told = pieces(&mut one, &[(0, 1_400, true), (1_400, 1_400, true), (2_800, 1_408, false)]);
    assert_eq!(told.len(), 3, "the answer fits no frame either");
    assert!(told.iter().all(|frame| frame.len() <= 1_514));
    let back: Vec<u8> = told.iter().flat_map(|frame| frame[14 + 48..].to_vec()).collect();
    assert_eq!((back[0], back.len()), (129, 4_208));
    assert!(pieces(&mut one, &[(0, 16, true), (8, 16, false)]).is_empty(), "RFC 5722");
    assert_eq!(pieces(&mut one, &[(0, 16, false)]).len(), 1, "an atomic fragment (RFC 6946)");
}

#[test]
fn groups_are_reported_to_who_asks() {
    let mut host = host("linux-6");
    let newer = answers(&mut host, &icmp(NEAR_PEER, ALL_NODES, 1, 130, [0; 4], &[0; 20]));
    let (_, dst, packet, message) = seen(&newer[0]);
    assert_eq!((dst, packet.ttl), ("ff02::16".parse().unwrap(), 1));
    assert_eq!(
        (message[0], &message[4..8]),
        (143, &[0, 0, 0, 2][..]),
        "its own address and the link-local one"
    );
    assert!(message.windows(16).any(|octets| octets == HOST_GROUP.octets()));
    let older = answers(&mut host, &icmp(NEAR_PEER, ALL_NODES, 1, 130, [0; 4], &[0; 16]));
    assert_eq!(older.len(), 2);
    assert!(older.iter().all(|frame| seen(frame).3[0] == 131));
    assert!(
        answers(&mut host, &icmp(PEER, ALL_NODES, 64, 130, [0; 4], &[0; 20])).is_empty(),
        "not of this link"
    );
}

#[test]
fn a_handshake_has_shorter_segments_and_a_label_of_its_own() {
    let mut host = host("linux-6");
    let linux_client = [2, 4, 5, 0xa0, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
    let mut opened = |src_port| {
        let syn = Tcp { src_port, dst_port: 80, flags: flags::SYN, options: &linux_client, ..Tcp::default() };
        let frame = framed(HOST, |out| build::tcp(out, &Ip::new(PEER.into(), HOST.into()), &syn));
        answers(&mut host, &frame).remove(0)
    };
    let (one, again, other) = (opened(1_025), opened(1_025), opened(1_026));
    let Transport::Tcp(tcp) = seen(&one).2.transport else { panic!("no segment") };
    assert_eq!((tcp.options()[..4].to_vec(), tcp.window()), (vec![2, 4, 5, 0xa0], Some(45 * 1_428)));
    let label = |frame: &[u8]| frame[15..18].to_vec();
    assert_eq!(label(&one), label(&again));
    assert_ne!(label(&one), label(&other));
    assert_ne!(label(&one), [0, 0, 0]);
}
