//! Datagrams of chance are no protocol: every unknown one is offered to all readers.

use trapline_speech::protocols::DATAGRAMS;
use trapline_speech::{Side, datagram};

/// A port that is usual for nothing.
const PORT: u16 = 40_404;

#[test]
fn chance_speaks_no_protocol() {
    assert!(DATAGRAMS.iter().all(|(_, ports, _)| !ports.contains(&PORT)));
    // xorshift64*, so that the numbers never change.
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    };
    let mut taken = std::collections::BTreeMap::new();
    for i in 0..200_000 {
        let length = 1 + next() as usize % 600;
        let bytes: Vec<u8> = (0..length).map(|_| next() as u8).collect();
        let side = if i % 2 == 0 { Side::Client } else { Side::Server };
        if let Some((name, _)) = datagram(side, PORT, &bytes) {
            *taken.entry(name).or_insert(0) += 1;
        }
    }
    assert!(taken.values().sum::<u32>() < 20, "taken for something: {taken:?}");
}

/// The reader is asked at all: the test above would pass without any.
#[test]
fn a_datagram_of_a_protocol_is_found_on_any_port() {
    let monlist = b"\x17\0\x03\x2a\0\0\0\0";
    assert_eq!(datagram(Side::Client, PORT, monlist).map(|(name, _)| name), Some("ntp"));
}
