//! Headers: what is built is decoded again, behind every link layer, extension header and fragment.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use trapline_wire::build::{self, Ip, Tcp};
use trapline_wire::decode::quote;
use trapline_wire::{Frame, LinkType, Packet, Reading, Transport, decode, protocol};

const A4: &str = "203.0.113.5";
const B4: &str = "192.0.2.10";
const A6: &str = "2001:db8::5";
const B6: &str = "2001:db8::10";

fn ip(src: &str, dst: &str) -> Ip {
    Ip::new(src.parse().unwrap(), dst.parse().unwrap())
}

fn syn(ip: &Ip) -> Vec<u8> {
    let mut out = Vec::new();
    build::tcp(&mut out, ip, &Tcp { src_port: 1025, dst_port: 135, flags: 2, ..Tcp::default() });
    out
}

fn frame(link: LinkType, data: &[u8]) -> Frame<'_> {
    Frame { link, time: 0, wire_len: data.len() as u32, data }
}

fn packet(link: LinkType, data: &[u8]) -> Packet<'_> {
    match decode(&frame(link, data)) {
        Reading::Ip(packet) => packet,
        other => panic!("{other:?}"),
    }
}

fn ports(packet: &Packet<'_>) -> Option<(u16, u16)> {
    match packet.transport {
        Transport::Tcp(tcp) => Some((tcp.src_port(), tcp.dst_port())),
        Transport::Udp(udp) => Some((udp.src_port(), udp.dst_port())),
        _ => None,
    }
}

#[test]
fn a_packet_is_found_behind_every_link_layer() {
    let ethernet = |tags: &[u16], ethertype: u16| {
        let mut header = vec![2u8; 12];
        tags.iter().for_each(|tag| header.extend_from_slice(&[(tag >> 8) as u8, *tag as u8, 0, 7]));
        header.extend_from_slice(&ethertype.to_be_bytes());
        header
    };
    for (src, dst, ethertype, family) in [(A4, B4, 0x0800u16, 2u32), (A6, B6, 0x86dd, 30)] {
        let inner = syn(&ip(src, dst));
        let mut cooked = vec![0u8; 14];
        cooked.extend_from_slice(&ethertype.to_be_bytes());
        let mut cooked2 = ethertype.to_be_bytes().to_vec();
        cooked2.resize(20, 0);
        let raw = if ethertype == 0x0800 { LinkType::IPV4 } else { LinkType::IPV6 };
        for (link, header) in [
            (LinkType::ETHERNET, ethernet(&[], ethertype)),
            (LinkType::ETHERNET, ethernet(&[0x8100], ethertype)),
            (LinkType::ETHERNET, ethernet(&[0x88a8, 0x8100], ethertype)),
            (LinkType::RAW, vec![]),
            (LinkType(12), vec![]),
            (LinkType(14), vec![]),
            (raw, vec![]),
            (LinkType::LINUX_SLL, cooked),
            (LinkType::LINUX_SLL2, cooked2),
            (LinkType::NULL, family.to_le_bytes().to_vec()),
            (LinkType::NULL, family.to_be_bytes().to_vec()),
            (LinkType::LOOP, family.to_be_bytes().to_vec()),
        ] {
            let bytes = [header, inner.clone()].concat();
            let found = packet(link, &bytes);
            assert_eq!((found.src, found.dst), (src.parse().unwrap(), dst.parse().unwrap()), "{link:?}");
            assert_eq!(ports(&found), Some((1025, 135)), "{link:?}");
        }
    }
    assert!(matches!(decode(&frame(LinkType(147), &[0; 40])), Reading::UnknownLink));
    assert!(matches!(decode(&frame(LinkType::ETHERNET, &ethernet(&[], 0x0806))), Reading::Arp));
    assert!(matches!(decode(&frame(LinkType::ETHERNET, &[0; 5])), Reading::ShortFrame));
}

#[test]
fn ethernet_padding_is_cut_at_the_ip_length_and_a_length_of_0_means_to_the_end() {
    let mut bytes = syn(&ip(A4, B4));
    bytes.extend_from_slice(&[0xaa; 6]);
    assert_eq!(packet(LinkType::RAW, &bytes).payload(), (&[][..], 0));
    bytes[2..4].copy_from_slice(&[0, 0]);
    assert_eq!(packet(LinkType::RAW, &bytes).payload(), (&[0xaa; 6][..], 6));
}

#[test]
fn options_and_extension_headers_are_walked_over() {
    let plain = syn(&ip(A4, B4));
    // Internet header of 6 words: one word of options (NOP).
    let mut options = plain.clone();
    options[0] = 0x46;
    options.splice(20..20, [1, 1, 1, 1]);
    let length = options.len() as u16;
    options[2..4].copy_from_slice(&length.to_be_bytes());
    assert_eq!(ports(&packet(LinkType::RAW, &options)), Some((1025, 135)));
    let inner = syn(&ip(A6, B6));
    for number in [0, 43, 60, 135, 139, 140] {
        let mut extended = inner.clone();
        extended[6] = number;
        extended.splice(40..40, [6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let length = (extended.len() - 40) as u16;
        extended[4..6].copy_from_slice(&length.to_be_bytes());
        let found = packet(LinkType::RAW, &extended);
        assert_eq!((found.protocol, ports(&found)), (protocol::TCP, Some((1025, 135))), "header {number}");
    }
}

#[test]
fn only_the_first_fragment_holds_ports() {
    let mut first = syn(&ip(A4, B4));
    first[6] = 0x20;
    let found = packet(LinkType::RAW, &first);
    assert!(found.fragment.is_some_and(|f| f.more && f.offset == 0) && ports(&found).is_some());
    let mut later = first;
    later[7] = 3;
    let found = packet(LinkType::RAW, &later);
    assert_eq!(found.fragment.map(|f| f.offset), Some(24));
    assert!(matches!(found.transport, Transport::LaterFragment(_)));
    let mut later6 = syn(&ip(A6, B6));
    later6[6] = 44;
    later6.splice(40..40, [6, 0, 0, 0x18, 0, 0, 0, 9]);
    let found = packet(LinkType::RAW, &later6);
    assert_eq!(found.fragment.map(|f| (f.id, f.offset, f.more)), Some((9, 24, false)));
    assert!(matches!(found.transport, Transport::LaterFragment(_)));
}

#[test]
fn an_error_tells_which_packet_it_quotes() {
    for (router, host, peer, number) in [(A4, B4, "198.51.100.9", 1), (A6, B6, "2001:db8::9", 58)] {
        let mut quoted = Vec::new();
        build::udp(&mut quoted, &ip(host, peer), 4096, 53, b"?");
        let mut out = Vec::new();
        build::icmp(&mut out, &ip(router, host), 3, 1, [0; 4], &quoted);
        let found = packet(LinkType::RAW, &out);
        let Transport::Icmp(icmp) = found.transport else { panic!("{found:?}") };
        let read = quote(number, icmp.body()).unwrap();
        assert_eq!((read.src.to_string(), read.dst.to_string()), (host.to_owned(), peer.to_owned()));
        assert_eq!((read.protocol, read.src_port), (protocol::UDP, Some(4096)));
        // A header and two bytes hold the port, a header alone does not.
        let header = if number == 1 { 20 } else { 40 };
        assert_eq!(quote(number, &icmp.body()[..header]).unwrap().src_port, None);
        assert_eq!(quote(number, &icmp.body()[..header - 1]), None);
    }
}

proptest! {
    #[test]
    fn tcp_decodes_as_it_was_built(
        v6 in any::<bool>(), src_port in any::<u16>(), dst_port in any::<u16>(), seq in any::<u32>(), ack in any::<u32>(),
        flags in any::<u8>(), window in any::<u16>(), words in 0..=10usize, payload in vec(any::<u8>(), 0..100),
    ) {
        let ip = if v6 { ip(A6, B6) } else { ip(A4, B4) };
        let options = vec![1; words * 4];
        let segment = Tcp { src_port, dst_port, seq, ack, flags, window, options: &options, payload: &payload, ..Tcp::default() };
        let mut out = Vec::new();
        build::tcp(&mut out, &ip, &segment);
        let found = packet(LinkType::RAW, &out);
        let Transport::Tcp(tcp) = found.transport else { panic!("{found:?}") };
        prop_assert_eq!((tcp.src_port(), tcp.dst_port(), tcp.seq(), tcp.ack()), (src_port, dst_port, Some(seq), Some(ack)));
        prop_assert_eq!((tcp.flags(), tcp.window()), (Some(flags), Some(window)));
        prop_assert_eq!((tcp.options(), tcp.payload()), (&options[..], &payload[..]));
        prop_assert_eq!((found.src, found.dst), (ip.src, ip.dst));
        prop_assert_eq!(found.payload().1 as usize, payload.len());
    }

    #[test]
    fn checksums_add_up(v6 in any::<bool>(), payload in vec(any::<u8>(), 0..60)) {
        let ip = if v6 { ip(A6, B6) } else { ip(A4, B4) };
        let mut out = Vec::new();
        build::udp(&mut out, &ip, 1, 2, &payload);
        let header = if v6 { 40 } else { 20 };
        let addresses: Vec<u8> = [ip.src, ip.dst].iter().flat_map(|a| match a {
            IpAddr::V4(a) => a.octets().to_vec(),
            IpAddr::V6(a) => a.octets().to_vec(),
        }).collect();
        let length = (out.len() - header) as u16;
        let whole = [&addresses[..], &[0, 17], &length.to_be_bytes(), &out[header..]].concat();
        prop_assert_eq!(sum(&whole), 0xffff);
        if !v6 {
            prop_assert_eq!(sum(&out[..20]), 0xffff);
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(link in prop::sample::select(vec![0u16, 1, 12, 101, 108, 113, 228, 229, 276]), mut bytes in vec(any::<u8>(), 0..120), version in 0..3u8) {
        // Half of the time the first nibble says IP, so that the inside is reached.
        if let (Some(first), 1..) = (bytes.first_mut(), version) {
            *first = *first & 0xf | if version == 1 { 0x40 } else { 0x60 };
        }
        if let Reading::Ip(packet) = decode(&frame(LinkType(link), &bytes)) {
            let (payload, declared) = packet.payload();
            prop_assert!(payload.len() as u32 <= declared);
            let _ = quote(packet.protocol, payload);
            let _ = format!("{packet:?}");
        }
    }
}

/// One's complement sum of 16-bit words (RFC 1071).
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0)));
    words.fold(0, |sum, word| {
        let sum = sum + word;
        (sum & 0xffff) + (sum >> 16)
    })
}
