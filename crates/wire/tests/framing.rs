//! Capture formats: what is written is read again, whatever the byte order, the resolution and the blocks around it.

use proptest::collection::vec;
use proptest::prelude::*;
use trapline_wire::capture::Skipped;
use trapline_wire::{Damage, Frame, Framing, LinkType, Step, Time, pcap, pcapng};

/// A frame that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    link: LinkType,
    time: Time,
    wire_len: u32,
    data: Vec<u8>,
}

impl From<Frame<'_>> for Owned {
    fn from(f: Frame<'_>) -> Self {
        Owned { link: f.link, time: f.time, wire_len: f.wire_len, data: f.data.to_vec() }
    }
}

/// Everything that a reader makes of a capture, shown it in windows that grow only when it asks.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    frames: Vec<Owned>,
    simple: u32,
    bad_time: u32,
    damage: Option<Damage>,
}

fn read(bytes: &[u8]) -> Read {
    let mut read = Read::default();
    let Some(mut framing) = bytes.first_chunk().and_then(|first| Framing::detect(*first)) else {
        read.damage = Some(Damage::NotACapture);
        return read;
    };
    let (mut at, mut window) = (0, 1);
    while at < bytes.len() {
        match framing.step(&bytes[at..(at + window).min(bytes.len())]) {
            Step::Frame { consumed, frame } => {
                read.frames.push(frame.into());
                (at, window) = (at + consumed, 1);
            }
            Step::Skip { consumed, why } => {
                read.simple += u32::from(why == Skipped::SimplePacket);
                read.bad_time += u32::from(why == Skipped::BadTime);
                (at, window) = (at + consumed, 1);
            }
            Step::Need(more) if more > bytes.len() - at => break,
            Step::Need(more) => {
                assert!(more > window, "a reader that has {window} bytes asks for {more}");
                window = more;
            }
            Step::Damaged(damage) => {
                read.damage = Some(damage);
                break;
            }
        }
    }
    read
}

fn frames(latest: Time) -> impl Strategy<Value = Vec<(Time, u32, Vec<u8>)>> {
    vec((0..latest, 0..2000u32, vec(any::<u8>(), 0..200)), 0..20)
}

/// 2106-02-07, where pcap's seconds end, in nanoseconds.
const PCAP_END: Time = (1 << 32) * 1_000_000_000;

proptest! {
    #[test]
    fn pcap_reads_what_it_writes(frames in frames(PCAP_END), link in any::<u16>()) {
        let mut out = Vec::new();
        let writer = pcap::Writer::new(&mut out, LinkType(link));
        frames.iter().for_each(|(time, len, data)| writer.frame(&mut out, *time, *len, data));
        let expected: Vec<Owned> = frames.into_iter()
            .map(|(time, wire_len, data)| Owned { link: LinkType(link), time, wire_len, data }).collect();
        prop_assert_eq!(read(&out), Read { frames: expected, ..Read::default() });
    }

    #[test]
    fn pcap_of_microseconds_loses_only_nanoseconds(frames in frames(PCAP_END)) {
        let mut out = Vec::new();
        let writer = pcap::Writer::microseconds(&mut out, LinkType::ETHERNET);
        frames.iter().for_each(|(time, len, data)| writer.frame(&mut out, *time, *len, data));
        let times: Vec<Time> = read(&out).frames.iter().map(|f| f.time).collect();
        prop_assert_eq!(times, frames.iter().map(|f| f.0 / 1000 * 1000).collect::<Vec<_>>());
    }

    #[test]
    fn pcap_reads_the_same_in_the_other_byte_order(frames in frames(PCAP_END)) {
        let mut little = Vec::new();
        let writer = pcap::Writer::new(&mut little, LinkType::RAW);
        frames.iter().for_each(|(time, len, data)| writer.frame(&mut little, *time, *len, data));
        let mut big = little.clone();
        swap_words(&mut big[..4]);
        big[4..8].copy_from_slice(&[0, 2, 0, 4]);
        swap_words(&mut big[8..24]);
        let mut at = 24;
        for (_, _, data) in &frames {
            swap_words(&mut big[at..at + 16]);
            at += 16 + data.len();
        }
        prop_assert_eq!(read(&big), read(&little));
    }

    #[test]
    fn pcapng_reads_what_it_writes(frames in frames(i64::MAX), links in vec(any::<u16>(), 1..4)) {
        let mut out = Vec::new();
        let mut writer = pcapng::Writer::new(&mut out);
        let numbers: Vec<u32> = links.iter().map(|l| writer.interface(&mut out, LinkType(*l))).collect();
        let mut expected = Vec::new();
        for (i, (time, wire_len, data)) in frames.into_iter().enumerate() {
            let interface = i % links.len();
            writer.frame(&mut out, numbers[interface], time, wire_len, &data);
            expected.push(Owned { link: LinkType(links[interface]), time, wire_len, data });
        }
        prop_assert_eq!(read(&out), Read { frames: expected, ..Read::default() });
    }

    #[test]
    fn no_bytes_make_a_reader_panic_or_hang(start in 0..3usize, bytes in vec(any::<u8>(), 0..400)) {
        let magic: [&[u8]; 3] = [&[0xd4, 0xc3, 0xb2, 0xa1], &[0x0a, 0x0d, 0x0d, 0x0a], &[0xa1, 0xb2, 0x3c, 0x4d]];
        read(&[magic[start], &bytes].concat());
    }

    #[test]
    fn no_flipped_bit_makes_a_reader_panic(frames in frames(PCAP_END), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut out = Vec::new();
        let mut writer = pcapng::Writer::new(&mut out);
        let interface = writer.interface(&mut out, LinkType::ETHERNET);
        frames.iter().for_each(|(time, len, data)| writer.frame(&mut out, interface, *time, *len, data));
        let at = at.index(out.len());
        out[at] ^= 1 << bit;
        read(&out);
    }
}

fn swap_words(bytes: &mut [u8]) {
    bytes.chunks_exact_mut(4).for_each(<[u8]>::reverse);
}

/// One pcapng block in either byte order.
fn block(big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let word = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let length = 12 + body.len().next_multiple_of(4) as u32;
    let mut out = [word(kind), word(length)].concat();
    out.extend_from_slice(body);
    out.resize(length as usize - 4, 0);
    out.extend_from_slice(&word(length));
    out
}

fn section(big: bool) -> Vec<u8> {
    let short = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let magic = if big { 0x1a2b_3c4du32.to_be_bytes() } else { 0x1a2b_3c4du32.to_le_bytes() };
    block(big, pcapng::SECTION_HEADER, &[&magic[..], &short(1), &short(0), &[0xff; 8]].concat())
}

/// An interface of link type RAW with an `if_tsresol` byte, and an `if_tsoffset` in seconds where not 0.
fn interface(big: bool, resolution: u8, offset_s: i64) -> Vec<u8> {
    let short = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let mut body = [&short(101)[..], &[0; 6], &short(9), &short(1), &[resolution, 0, 0, 0]].concat();
    if offset_s != 0 {
        let offset = if big { offset_s.to_be_bytes() } else { offset_s.to_le_bytes() };
        body.extend_from_slice(&[&short(14)[..], &short(8), &offset].concat());
    }
    body.extend_from_slice(&[0; 4]);
    block(big, 1, &body)
}

/// An enhanced packet block with the payload `data` of interface `number`.
fn packet(big: bool, number: u32, ticks: u64, data: &[u8]) -> Vec<u8> {
    let word = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let words = [number, (ticks >> 32) as u32, ticks as u32, data.len() as u32, data.len() as u32];
    block(big, 6, &[&words.map(word).concat(), data].concat())
}

fn times(capture: &[u8]) -> Vec<Time> {
    let read = read(capture);
    assert_eq!(read.damage, None);
    read.frames.iter().map(|f| f.time).collect()
}

#[test]
fn pcapng_knows_every_resolution_in_both_byte_orders() {
    const SECOND: Time = 1_000_000_000;
    for big in [false, true] {
        for (resolution, ticks, expected) in [
            (0, 7, 7 * SECOND),
            (3, 7_005, 7 * SECOND + 5_000_000),
            (6, 7_000_001, 7 * SECOND + 1_000),
            (9, 7_000_000_001, 7 * SECOND + 1),
            (12, 7_000_000_001_999, 7 * SECOND + 1),
            (0x80, 7, 7 * SECOND),
            (0x80 | 10, 7 * 1024 + 512, 7 * SECOND + SECOND / 2),
        ] {
            let capture = [section(big), interface(big, resolution, 0), packet(big, 0, ticks, b"x")].concat();
            assert_eq!(times(&capture), [expected], "resolution {resolution:#x}, big endian {big}");
        }
    }
}

#[test]
fn pcapng_adds_the_offset_of_an_interface() {
    let capture = [section(false), interface(false, 0, 1_000_000_000), packet(false, 0, 5, b"x")].concat();
    assert_eq!(times(&capture), [1_000_000_005 * 1_000_000_000]);
}

#[test]
fn a_new_section_forgets_interfaces_and_may_turn_the_byte_order() {
    let first =
        [section(false), interface(false, 6, 0), interface(false, 0, 0), packet(false, 1, 1, b"a")].concat();
    let second = [section(true), interface(true, 0, 0), packet(true, 0, 2, b"b")].concat();
    assert_eq!(times(&[first.clone(), second].concat()), [1_000_000_000, 2_000_000_000]);
    let stale = [first, section(true), packet(true, 0, 2, b"b")].concat();
    assert_eq!(read(&stale).damage, Some(Damage::UnknownInterface(0)));
}

#[test]
fn simple_packets_are_counted_and_unknown_blocks_skipped() {
    let capture = [
        section(false),
        interface(false, 6, 0),
        block(false, 3, &[4, 0, 0, 0, 1, 2, 3, 4]),
        block(false, 0x0bad, b"a block of tomorrow"),
        block(false, 5, &[0; 12]),
        packet(false, 0, 9, b"x"),
    ]
    .concat();
    let read = read(&capture);
    assert_eq!((read.frames.len(), read.simple, read.damage), (1, 1, None));
}

#[test]
fn lengths_that_cannot_be_right_are_damage() {
    let mut out = Vec::new();
    let writer = pcap::Writer::new(&mut out, LinkType::RAW);
    writer.frame(&mut out, 0, 4, b"good");
    let before = out.len();
    writer.frame(&mut out, 0, 4, b"bad!");
    out[before + 8..before + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let damaged = read(&out);
    assert_eq!((damaged.frames.len(), damaged.damage), (1, Some(Damage::Length(u32::MAX))));
    let mut trailer = [section(false), interface(false, 6, 0)].concat();
    let end = trailer.len();
    trailer[end - 4] ^= 4;
    assert_eq!(read(&trailer).damage, Some(Damage::BlockTrailer));
}
