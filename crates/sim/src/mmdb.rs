//! Writes MaxMind databases (MaxMind DB File Format Specification 2.0) of single IPv4 addresses.
//!
//! A file is a binary search tree over the bits of an address, sixteen zero bytes, the data that its leaves point to,
//! and a map of metadata behind a marker.

use std::net::Ipv4Addr;

/// What stands before the metadata.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// A leaf in the tree in memory: this bit and the number of its record.
const LEAF: u32 = 1 << 31;
/// The zeros between tree and data; pointers count them.
const SEPARATOR: u32 = 16;

/// A value of the data section.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Double(f64),
    U16(u16),
    U32(u32),
    U64(u64),
    Array(Vec<Value>),
    Map(Vec<(&'static str, Value)>),
}

/// The bytes of a database: each address with the index of its record. `built_at` is in seconds since 1970.
pub(crate) fn database(
    kind: &str,
    about: &str,
    built_at: u64,
    addresses: &[(Ipv4Addr, usize)],
    records: &[Value],
) -> Vec<u8> {
    let mut data = Vec::new();
    let mut offsets = Vec::with_capacity(records.len());
    for record in records {
        offsets.push(data.len() as u32);
        encode(&mut data, record);
    }
    let tree = tree(addresses);
    let count = tree.len() as u32;
    let wide = count as usize + SEPARATOR as usize + data.len() >= 1 << 24;
    let mut out = Vec::with_capacity(tree.len() * if wide { 8 } else { 6 } + data.len() + 512);
    for branch in tree.iter().flatten() {
        let pointer = match *branch {
            // The root is nobody's child, so 0 stands for nothing here, and the count of nodes in the file.
            0 => count,
            leaf if leaf & LEAF != 0 => count + SEPARATOR + offsets[(leaf ^ LEAF) as usize],
            node => node,
        };
        out.extend_from_slice(&pointer.to_be_bytes()[if wide { 0 } else { 1 }..]);
    }
    out.resize(out.len() + SEPARATOR as usize, 0);
    out.extend_from_slice(&data);
    out.extend_from_slice(MARKER);
    let text = |text: &str| Value::Text(text.to_owned());
    let metadata = vec![
        ("binary_format_major_version", Value::U16(2)),
        ("binary_format_minor_version", Value::U16(0)),
        ("build_epoch", Value::U64(built_at)),
        ("database_type", text(kind)),
        ("description", Value::Map(vec![("en", text(about))])),
        ("ip_version", Value::U16(4)),
        ("languages", Value::Array(vec![text("en")])),
        ("node_count", Value::U32(count)),
        ("record_size", Value::U16(if wide { 32 } else { 24 })),
    ];
    encode(&mut out, &Value::Map(metadata));
    out
}

/// Nodes with a branch for 0 and one for 1.
fn tree(addresses: &[(Ipv4Addr, usize)]) -> Vec<[u32; 2]> {
    let mut nodes = vec![[0; 2]];
    for (address, record) in addresses {
        let bits = u32::from(*address);
        let mut at = 0;
        for depth in (1..32).rev() {
            let side = (bits >> depth & 1) as usize;
            if nodes[at][side] == 0 {
                nodes[at][side] = nodes.len() as u32;
                nodes.push([0; 2]);
            }
            at = nodes[at][side] as usize;
        }
        nodes[at][(bits & 1) as usize] = LEAF | *record as u32;
    }
    nodes
}

/// Appends a value: a control byte with its type and length, then its bytes.
fn encode(out: &mut Vec<u8>, value: &Value) {
    let number = |out: &mut Vec<u8>, kind: u8, bytes: &[u8]| {
        // Leading zeros are left out.
        let bytes = &bytes[bytes.iter().take_while(|b| **b == 0).count()..];
        control(out, kind, bytes.len());
        out.extend_from_slice(bytes);
    };
    match value {
        Value::Text(text) => {
            control(out, 2, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        Value::Double(double) => {
            control(out, 3, 8);
            out.extend_from_slice(&double.to_be_bytes());
        }
        Value::U16(n) => number(out, 5, &n.to_be_bytes()),
        Value::U32(n) => number(out, 6, &n.to_be_bytes()),
        Value::U64(n) => number(out, 9, &n.to_be_bytes()),
        Value::Array(values) => {
            control(out, 11, values.len());
            values.iter().for_each(|v| encode(out, v));
        }
        Value::Map(pairs) => {
            control(out, 7, pairs.len());
            for (key, value) in pairs {
                control(out, 2, key.len());
                out.extend_from_slice(key.as_bytes());
                encode(out, value);
            }
        }
    }
}

/// The control byte: three bits of type, five of length. Types above 7 stand in a byte of their own, and lengths from
/// 29 on in one or more.
fn control(out: &mut Vec<u8>, kind: u8, length: usize) {
    let (short, more): (u8, &[u8]) = match length {
        0..29 => (length as u8, &[]),
        29..285 => (29, &[(length - 29) as u8]),
        285..65_821 => (30, &((length - 285) as u16).to_be_bytes()),
        _ => (31, &((length - 65_821) as u32).to_be_bytes()[1..]),
    };
    match kind {
        0..=7 => out.push(kind << 5 | short),
        _ => out.extend([short, kind - 7]),
    }
    out.extend_from_slice(more);
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use maxminddb::{Reader, path};

    use super::*;

    #[test]
    fn control_bytes_are_the_specifications() {
        let check = |kind, length, expected: &[u8]| {
            let mut out = Vec::new();
            control(&mut out, kind, length);
            assert_eq!(out, expected, "type {kind}, length {length}");
        };
        // The specification's own examples, in "Payload Size" and "Control Byte".
        check(2, 28, &[0b0101_1100]);
        check(2, 29, &[0b0101_1101, 0]);
        check(2, 51 + 29, &[0b0101_1101, 0b0011_0011]);
        check(2, 285 + 0x3333, &[0b0101_1110, 0b0011_0011, 0b0011_0011]);
        check(2, 65_821 + 0x33_33_33, &[0b0101_1111, 0x33, 0x33, 0x33]);
        check(9, 3, &[0b0000_0011, 2]);
    }

    #[test]
    fn a_reader_finds_every_address_and_no_other() {
        let long = "x".repeat(300);
        let records = [
            Value::Map(vec![("code", Value::Text("AU".into())), ("at", Value::Double(-33.5))]),
            Value::Map(vec![("code", Value::Text(long.clone())), ("n", Value::U32(64_512))]),
        ];
        let addresses: Vec<(Ipv4Addr, usize)> = (0..2_000u32)
            .map(|n| (Ipv4Addr::from(n.wrapping_mul(2_654_435_761)), (n % 2) as usize))
            .collect();
        let bytes = database("Test", "a test", 1_072_915_200, &addresses, &records);
        let reader = Reader::from_source(bytes).unwrap();
        reader.verify().unwrap();
        assert_eq!(reader.metadata().build_epoch, 1_072_915_200);
        for (address, record) in &addresses {
            let found = reader.lookup(IpAddr::V4(*address)).unwrap();
            assert_eq!(found.network().unwrap().to_string(), format!("{address}/32"));
            let code: Option<&str> = found.decode_path(&path!["code"]).unwrap();
            assert_eq!(code, Some(if *record == 0 { "AU" } else { long.as_str() }));
            let beside = Ipv4Addr::from(u32::from(*address) ^ 1);
            if !addresses.iter().any(|(a, _)| *a == beside) {
                assert!(!reader.lookup(IpAddr::V4(beside)).unwrap().has_data(), "{beside}");
            }
        }
        let place = reader.lookup(IpAddr::V4(addresses[0].0)).unwrap();
        assert_eq!(place.decode_path::<f64>(&path!["at"]).unwrap(), Some(-33.5));
        let network = reader.lookup(IpAddr::V4(addresses[1].0)).unwrap();
        assert_eq!(network.decode_path::<u32>(&path!["n"]).unwrap(), Some(64_512));
    }
}
