//! Observations: what a header tells, and that its text loses nothing.

use proptest::prelude::*;
use trapline_wire::observation::{Marks, kind};
use trapline_wire::{Frame, LinkType, Observation, Packet, Reading, decode};

/// Decodes a raw IP packet and hands it on.
fn with<T>(bytes: &[u8], look: impl FnOnce(&Packet<'_>) -> T) -> Option<T> {
    let frame = Frame { link: LinkType::RAW, time: 0, wire_len: bytes.len() as u32, data: bytes };
    match decode(&frame) {
        Reading::Ip(packet) => Some(look(&packet)),
        _ => None,
    }
}

/// An IPv4 packet around a TCP header typed by hand; addresses are documentation's.
fn ipv4(ttl: u8, id: u16, df: bool, tcp: &[u8]) -> Vec<u8> {
    let mut out = vec![0x45, 0];
    out.extend_from_slice(&((20 + tcp.len()) as u16).to_be_bytes());
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&[if df { 0x40 } else { 0 }, 0, ttl, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2]);
    out.extend_from_slice(tcp);
    out
}

/// A TCP header: sequence number 1, acknowledgement number `ack`, ports 1025 and 445.
fn tcp(flags: u8, ack: u32, window: u16, options: &[u8]) -> Vec<u8> {
    let mut out = vec![4, 1, 1, 189, 0, 0, 0, 1];
    out.extend_from_slice(&ack.to_be_bytes());
    out.push(((20 + options.len()) / 4 * 16) as u8);
    out.push(flags);
    out.extend_from_slice(&window.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(options);
    out
}

const WINDOWS: [u8; 8] = [2, 4, 5, 0xb4, 1, 1, 4, 2];

fn check(bytes: &[u8], expected: &str) {
    let seen = with(bytes, Observation::of).flatten().expect("the packet gives an observation");
    assert_eq!(seen.text(), expected);
    assert_eq!(Observation::parse(expected), Ok(seen));
}

#[test]
fn a_syn_of_windows_2000() {
    let bytes = ipv4(116, 7, true, &tcp(2, 0, 16384, &WINDOWS));
    check(&bytes, "syn | ttl 116 | len 48 | win 16384 | mss 1460 | opts mss nop nop sack | df");
}

#[test]
fn an_answer_says_only_what_is_odd() {
    let bytes = ipv4(60, 0, true, &tcp(0x12, 2, 5840, &[2, 4, 5, 0xb4]));
    check(&bytes, "syn ack | ttl 60 | len 44 | win 5840 | mss 1460 | opts mss | df | id zero");
    let bytes = ipv4(60, 1, false, &tcp(0x14, 0, 0, &[]));
    check(&bytes, "rst ack | ttl 60 | len 40 | win 0 | ack zero");
    let bytes = ipv4(60, 1, false, &tcp(4, 1, 0, &[]));
    check(&bytes, "rst | ttl 60 | len 40 | win 0 | ack not zero | seq is ack");
}

#[test]
fn options_end_with_their_padding() {
    // macOS: mss nop scale nop nop stamp sack eol and one byte.
    let options = [2, 4, 5, 0xb4, 1, 3, 3, 6, 1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 4, 2, 0, 0];
    check(
        &ipv4(64, 0, true, &tcp(0xc2, 0, 65535, &options)),
        "syn ece cwr | ttl 64 | len 64 | win 65535 | mss 1460 | scale 6 | opts mss nop scale nop nop stamp sack eol \
         | pad 1 | df | id zero",
    );
    let mut dirty = options;
    dirty[23] = 7;
    let seen = with(&ipv4(64, 0, true, &tcp(2, 0, 65535, &dirty)), Observation::of).flatten().unwrap();
    assert!(seen.has(Marks::PADDING_NOT_ZERO));
}

#[test]
fn broken_options_are_facts() {
    // An mss option of wrong size is read as if it were right; a timestamp without room ends the reading.
    let seen =
        with(&ipv4(64, 1, false, &tcp(2, 0, 1, &[2, 5, 5, 0xb4, 8, 10, 0, 0])), Observation::of).flatten();
    let seen = seen.unwrap();
    assert_eq!((seen.mss, seen.kinds()), (Some(1460), &[kind::MSS, kind::STAMP][..]));
    assert!(seen.has(Marks::OPTION_SIZE) && seen.has(Marks::BROKEN));
    // An unknown option of size 0 would be read for ever.
    let seen = with(&ipv4(64, 1, false, &tcp(2, 0, 1, &[99, 0, 1, 1])), Observation::of).flatten().unwrap();
    assert_eq!(seen.kinds(), [99]);
    assert!(seen.has(Marks::BROKEN));
}

#[test]
fn ipv6_has_its_own_facts() {
    let segment = tcp(2, 0, 64800, &[2, 4, 5, 0xa0]);
    let mut bytes = vec![0x60, 0x20, 0, 5, 0, segment.len() as u8, 6, 57];
    bytes.extend_from_slice(&[0x20; 32]);
    bytes.extend_from_slice(&segment);
    check(&bytes, "syn | ip6 | ttl 57 | tos 2 | len 64 | win 64800 | mss 1440 | opts mss | flow");
}

#[test]
fn an_observation_is_small() {
    // Tables of distinct ones are kept in memory.
    assert!(size_of::<Observation>() <= 72);
}

#[test]
fn packets_that_tell_nothing_give_none() {
    let ack = ipv4(64, 1, false, &tcp(0x10, 5, 1, &[]));
    assert_eq!(with(&ack, Observation::of), Some(None));
    assert!(with(&ack, Observation::of_any).flatten().is_some());
    // Cut inside the options; a header shorter than a header; a first fragment.
    let syn = ipv4(64, 1, false, &tcp(2, 0, 1, &WINDOWS));
    assert_eq!(with(&syn[..44], Observation::of), Some(None));
    let mut short = syn.clone();
    short[32] = 0x40;
    assert_eq!(with(&short, Observation::of), Some(None));
    let mut fragment = syn;
    fragment[6] = 0x20;
    assert_eq!(with(&fragment, Observation::of), Some(None));
}

#[test]
fn what_is_no_observation_is_refused() {
    for text in [
        "",
        "syn",
        "syn | ttl 64 | len 40",
        "syn | ttl 300 | len 40 | win 0",
        "syn | ttl 6 | len 4 | win 0 | x",
    ] {
        assert!(Observation::parse(text).is_err(), "{text}");
    }
    let many = format!("syn | ttl 1 | len 1 | win 1 | opts{}", " nop".repeat(41));
    assert!(Observation::parse(&many).is_err());
}

proptest! {
    #[test]
    fn text_loses_nothing(
        tos in any::<u8>(), id in 0u16..3, place in 0u8..8, ttl in any::<u8>(), words in 5u8..=15,
        seq in 0u32..3, ack in 0u32..3, flags in any::<u8>(), reserved in 0u8..16, window in any::<u16>(),
        urgent in 0u16..2, options in prop::collection::vec(prop_oneof![0u8..11, any::<u8>()], 40), extra in 0usize..4,
    ) {
        let mut segment = vec![4, 1, 1, 189];
        segment.extend_from_slice(&seq.to_be_bytes());
        segment.extend_from_slice(&ack.to_be_bytes());
        segment.extend_from_slice(&[words << 4 | reserved, flags]);
        segment.extend_from_slice(&window.to_be_bytes());
        segment.extend_from_slice(&[0, 0]);
        segment.extend_from_slice(&urgent.to_be_bytes());
        segment.extend_from_slice(&options[..usize::from(words) * 4 - 20]);
        segment.resize(segment.len() + extra, 7);
        let mut bytes = ipv4(ttl, id, false, &segment);
        bytes[1] = tos;
        bytes[6] = (place << 5) & !0x20;
        let seen = with(&bytes, Observation::of_any).flatten().expect("a whole header");
        let text = seen.text();
        prop_assert_eq!(Observation::parse(&text), Ok(seen));
        prop_assert_eq!(Observation::parse(&text).unwrap().text(), text);
    }
}
