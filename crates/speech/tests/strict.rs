//! Readers of datagrams are strict: chance is no protocol, because every unknown datagram is offered to all of them; and what is
//! nearly one breaks nothing.

use trapline_speech::exercise::exercise;
use trapline_speech::protocols::DATAGRAMS;
use trapline_speech::{Side, datagram};

/// A port that is usual for nothing.
const PORT: u16 = 40_404;

/// A datagram of each protocol that has one short enough to be typed.
const SEEDS: [(&str, &[u8]); 9] = [
    ("dns", b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x03isc\x03org\0\0\xff\0\x01\0\0\x29\x23\x28\0\0\0\0\0\0"),
    ("snmp", b"\x30\x25\x02\x01\x01\x04\x06public\xa5\x18\x02\x02\x5a\x01\x02\x01\0\x02\x02\x08\xca\x30\x0b\x30\x09\x06\x05\x2b\x06\x01\x02\x01\x05\0"),
    ("ldap", b"\x30\x25\x02\x01\x01\x63\x20\x04\0\x0a\x01\0\x0a\x01\0\x02\x01\0\x02\x01\0\x01\x01\0\x87\x0bobjectclass\x30\0"),
    ("isakmp", b"\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\0\0\0\0\x0d\x10\x02\0\0\0\0\0\0\0\0\x24\0\0\0\x08vend"),
    ("quic", b"\x80\0\0\0\0\0\x01\x09\0\0\0\x01\x6b\x33\x43\xcf"),
    ("sunrpc", b"\x2d\x6f\x12\x34\0\0\0\0\0\0\0\x02\0\x01\x86\xa0\0\0\0\x02\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    ("memcached", b"\0\0\0\0\0\x01\0\0stats\r\n"),
    ("tftp", b"\0\x01msblast.exe\0octet\0"),
    ("ntp", b"\x17\0\x03\x2a\0\0\0\0"),
];

/// Numbers of xorshift64*, so that they never change.
fn numbers() -> impl FnMut() -> usize {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as usize
    }
}

#[test]
fn chance_speaks_no_protocol() {
    assert!(DATAGRAMS.iter().all(|(_, ports, _)| !ports.contains(&PORT)));
    let mut next = numbers();
    let mut taken = std::collections::BTreeMap::new();
    for i in 0..200_000 {
        let length = 1 + next() % 600;
        let bytes: Vec<u8> = (0..length).map(|_| next() as u8).collect();
        let side = if i % 2 == 0 { Side::Client } else { Side::Server };
        if let Some((name, _)) = datagram(side, PORT, &bytes) {
            *taken.entry(name).or_insert(0) += 1;
        }
    }
    assert!(taken.values().sum::<u32>() < 20, "taken for something: {taken:?}");
}

#[test]
fn what_is_nearly_a_datagram_breaks_nothing() {
    let mut next = numbers();
    for (name, seed) in SEEDS {
        assert_eq!(datagram(Side::Client, PORT, seed).map(|(name, _)| name), Some(name));
        for _ in 0..5_000 {
            let mut bytes = seed.to_vec();
            for _ in 0..1 + next() % 4 {
                let at = next() % bytes.len().max(1);
                match next() % 4 {
                    0 if !bytes.is_empty() => bytes[at] = [0, 0x7f, 0x80, 0xff, next() as u8][next() % 5],
                    1 => bytes.truncate(at),
                    2 => bytes.insert(at.min(bytes.len()), next() as u8),
                    _ => bytes.extend_from_within(at.min(bytes.len())..),
                }
            }
            exercise(name, &bytes);
        }
    }
}
