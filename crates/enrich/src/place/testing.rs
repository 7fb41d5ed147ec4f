//! Writes small MaxMind DBs for tests: <https://maxmind.github.io/MaxMind-DB/>, format 2.0, records of 24 bits.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use super::Database;

/// A value of a record.
pub(super) enum Value {
    Text(String),
    Double(f64),
    Float(f32),
    Short(u16),
    Number(u32),
    Long(u64),
    Map(Vec<(&'static str, Value)>),
    List(Vec<Value>),
}

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A map with one key.
pub(super) fn under(key: &'static str, value: Value) -> Value {
    Value::Map(vec![(key, value)])
}

impl Value {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Text(text) => {
                control(out, 2, text.len());
                out.extend(text.as_bytes());
            }
            Value::Double(number) => {
                control(out, 3, 8);
                out.extend(number.to_be_bytes());
            }
            Value::Float(number) => {
                control(out, 15, 4);
                out.extend(number.to_be_bytes());
            }
            Value::Short(number) => {
                control(out, 5, 2);
                out.extend(number.to_be_bytes());
            }
            Value::Number(number) => {
                control(out, 6, 4);
                out.extend(number.to_be_bytes());
            }
            Value::Long(number) => {
                control(out, 9, 8);
                out.extend(number.to_be_bytes());
            }
            Value::Map(fields) => {
                control(out, 7, fields.len());
                for (key, value) in fields {
                    text(key).write(out);
                    value.write(out);
                }
            }
            Value::List(values) => {
                control(out, 11, values.len());
                values.iter().for_each(|value| value.write(out));
            }
        }
    }
}

/// Three bits of type, five of size; types from 8 on follow in a byte of their own, and so do sizes from 29 on.
fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    let (small, more) = match size {
        0..29 => (size as u8, vec![]),
        29..285 => (29, vec![(size - 29) as u8]),
        _ => (30, u16::try_from(size - 285).unwrap().to_be_bytes().to_vec()),
    };
    if kind < 8 {
        out.push(kind << 5 | small);
    } else {
        out.extend([small, kind - 7]);
    }
    out.extend(more);
}

#[derive(Clone, Copy)]
enum Child {
    Nothing,
    Node(usize),
    Data(usize),
}

/// A database in the making, of both families.
pub(super) struct Writer {
    called: &'static str,
    built_s: u64,
    nodes: Vec<[Child; 2]>,
    data: Vec<u8>,
}

impl Writer {
    /// One that calls itself `called`.
    pub(super) fn new(called: &'static str) -> Writer {
        // 2003-03-01 00:00 UTC
        Writer { called, built_s: 1_046_476_800, nodes: vec![[Child::Nothing; 2]], data: Vec::new() }
    }

    /// One whose nodes lead to the next one on both sides.
    pub(super) fn ladder(called: &'static str) -> Writer {
        let nodes = (1..128).map(|next| [Child::Node(next); 2]);
        Writer { nodes: nodes.chain([[Child::Nothing; 2]]).collect(), ..Writer::new(called) }
    }

    pub(super) fn built(mut self, built_s: u64) -> Writer {
        self.built_s = built_s;
        self
    }

    /// Adds a network; IPv4 lies at ::/96. Networks must not overlap.
    pub(super) fn with(mut self, network: &str, value: Value) -> Writer {
        let network: IpNet = network.parse().unwrap();
        let (bits, length) = match network.network() {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 96 + u32::from(network.prefix_len())),
            IpAddr::V6(v6) => (v6.to_bits(), u32::from(network.prefix_len())),
        };
        let mut at = 0;
        for depth in 0..length {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == length {
                self.nodes[at][side] = Child::Data(self.data.len());
            } else if let Child::Node(next) = self.nodes[at][side] {
                at = next;
            } else {
                self.nodes.push([Child::Nothing; 2]);
                let next = self.nodes.len() - 1;
                self.nodes[at][side] = Child::Node(next);
                at = next;
            }
        }
        value.write(&mut self.data);
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let count = self.nodes.len();
        for child in self.nodes.iter().flatten() {
            let record = match child {
                Child::Nothing => count,
                Child::Node(node) => *node,
                Child::Data(offset) => count + 16 + offset,
            };
            out.extend(&u32::try_from(record).unwrap().to_be_bytes()[1..]);
        }
        out.extend([0; 16]);
        out.extend(&self.data);
        out.extend(b"\xab\xcd\xefMaxMind.com");
        Value::Map(vec![
            ("binary_format_major_version", Value::Short(2)),
            ("binary_format_minor_version", Value::Short(0)),
            ("build_epoch", Value::Long(self.built_s)),
            ("database_type", text(self.called)),
            ("description", under("en", text("for tests"))),
            ("ip_version", Value::Short(6)),
            ("languages", Value::List(vec![text("en")])),
            ("node_count", Value::Number(count as u32)),
            ("record_size", Value::Short(24)),
        ])
        .write(&mut out);
        out
    }

    pub(super) fn database(&self, file: &str) -> Database {
        Database::from_bytes(Path::new(file), self.bytes()).unwrap()
    }
}

/// A record as GeoLite2-City has it.
pub(super) fn nested(country: &str, region: &str, zone: &str) -> Value {
    Value::Map(vec![
        ("city", under("names", under("en", text("Somewhere")))),
        ("country", Value::Map(vec![("iso_code", text(country)), ("names", under("en", text("A country")))])),
        (
            "location",
            Value::Map(vec![
                ("latitude", Value::Double(37.4)),
                ("longitude", Value::Double(-122.1)),
                ("time_zone", text(zone)),
            ]),
        ),
        ("subdivisions", Value::List(vec![Value::Map(vec![("iso_code", text(region))])])),
    ])
}

/// A record as ip-location-db's cities have it.
pub(super) fn flat(country: &str, state: &str, city: &str, latitude: f32, longitude: f32) -> Value {
    Value::Map(vec![
        ("city", text(city)),
        ("country_code", text(country)),
        ("latitude", Value::Float(latitude)),
        ("longitude", Value::Float(longitude)),
        ("postcode", text("")),
        ("state1", text(state)),
        ("state2", text("")),
        ("timezone", text("")),
    ])
}

/// A record of a network, as GeoLite2-ASN has it.
pub(super) fn network(number: u32, name: &str) -> Value {
    Value::Map(vec![
        ("autonomous_system_number", Value::Number(number)),
        ("autonomous_system_organization", text(name)),
    ])
}
