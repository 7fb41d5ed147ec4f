//! Rows of `requests` to Arrow columns and back.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{Int32Type, Int64Type};
use trapline_intake::community::{community_id, icmp_ports};
use trapline_intake::platform::Platform;
use trapline_intake::rows::{Place, PortText};
use trapline_intake::said::{Request, RequestKey, Starter};
use trapline_intake::survey::CaptureId;
use trapline_speech::{Body, End, Kind, Message};
use trapline_wire::protocol;

use crate::StoreError;
use crate::convert::{
    Columns, Hex, batch, bools, ints, longs, maybe_shown, maybe_text, shorts, shown, span, text,
};
use crate::schema::REQUESTS;

fn end_text(end: End) -> &'static str {
    match end {
        End::Peer => "source",
        End::Host => "host",
    }
}

fn end_of(text: &str) -> End {
    if text == "host" { End::Host } else { End::Peer }
}

/// Bytes as text: printable ASCII as it is, everything else, and the backslash, as `\xNN`.
pub fn escaped(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\x5c"),
            b' '..=b'~' => text.push(char::from(*byte)),
            other => {
                let _ = write!(text, "\\x{other:02x}");
            }
        }
    }
    text
}

/// Reads [`escaped`] back.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.strip_prefix(b"x").and_then(|a| a.get(..2)).filter(|_| *first == b'\\');
        match code.and_then(|c| u8::from_str_radix(std::str::from_utf8(c).ok()?, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

/// Details as lines; line ends inside a value are written as `\n`, and the backslash doubled.
fn lines(details: &[(&'static str, String)]) -> Option<String> {
    let line = |(name, value): &(&'static str, String)| {
        format!("{name}: {}", value.replace('\\', "\\\\").replace('\r', "\\r").replace('\n', "\\n"))
    };
    (!details.is_empty()).then(|| details.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// Reads [`lines`] back.
fn details(text: &str) -> Vec<(&'static str, String)> {
    let plain = |value: &str| {
        let (mut out, mut characters) = (String::with_capacity(value.len()), value.chars());
        while let Some(c) = characters.next() {
            match (c, if c == '\\' { characters.next() } else { None }) {
                ('\\', Some('n')) => out.push('\n'),
                ('\\', Some('r')) => out.push('\r'),
                ('\\', Some(other)) => out.push(other),
                (c, _) => out.push(c),
            }
        }
        out
    };
    text.split('\n')
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (known_name(name), plain(value)))
        .collect()
}

/// The name of a fact as the parsers have it: they know a few hundred, and each is kept once for as long as the program runs.
fn known_name(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().expect("no panic while it is held");
    if let Some(known) = names.get(name) {
        return known;
    }
    let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(kept);
    kept
}

fn has_ports(key: &RequestKey) -> bool {
    matches!(key.protocol, protocol::TCP | protocol::UDP)
}

fn ports(values: impl Iterator<Item = Option<u16>>) -> ArrayRef {
    Arc::new(values.map(|port| port.map(i32::from)).collect::<Int32Array>())
}

/// Columns of `requests`.
pub fn requests(platform: &Platform, rows: &[Request]) -> Result<RecordBatch, StoreError> {
    let host = |r: &Request| platform.hosts[usize::from(r.key.host)].name.as_str();
    let keys = || rows.iter().map(|r| &r.key);
    let messages = || rows.iter().map(|r| &r.message);
    let said = |of: fn(&Message) -> Option<&String>| maybe_text(messages().map(of));
    let community = |r: &Request| {
        let host = &platform.hosts[usize::from(r.key.host)];
        let peer = r.key.peer.ip();
        // A host with several addresses has one of the peer's family, if it was reached.
        let own = host.addresses.iter().find(|a| a.is_ipv4() == peer.is_ipv4()).copied().unwrap_or(peer);
        // What stands alone and has no ports is a ping.
        let ping = if peer.is_ipv4() { 8 } else { 128 };
        let ports = if has_ports(&r.key) {
            (r.key.peer_port, r.key.port)
        } else {
            icmp_ports(r.key.protocol, ping, 0)
        };
        community_id(r.key.protocol, peer, own, Some(ports))
    };
    let mut columns = vec![
        shown(keys().map(|k| k.peer)),
        text(rows.iter().map(host)),
        shorts(keys().map(|k| i16::from(k.protocol))),
        ports(keys().map(|k| has_ports(k).then_some(k.port))),
        shown(keys().map(|k| PortText(k.protocol, has_ports(k).then_some(k.port)))),
        ports(keys().map(|k| has_ports(k).then_some(k.peer_port))),
    ];
    columns.extend(span(rows.iter().map(|r| (r.key.at.time, r.last))));
    columns.extend([
        longs(rows.iter().map(|r| r.times)),
        shown(keys().map(|k| CaptureId(k.at.capture))),
        longs(keys().map(|k| k.at.frame)),
        ints(keys().map(|k| i32::from(k.index))),
        text(keys().map(|k| end_text(k.by))),
        maybe_text(rows.iter().map(|r| r.started_by.end().map(end_text))),
        bools(rows.iter().map(|r| r.open)),
        bools(rows.iter().map(|r| r.lone)),
        maybe_text(rows.iter().map(|r| Some(r.service.as_ref()).filter(|s| !s.is_empty()))),
        text(messages().map(|m| m.kind.name())),
        said(|m| m.verb.as_ref()),
        said(|m| m.object.as_ref()),
        said(|m| m.user.as_ref()),
        said(|m| m.password.as_ref()),
        said(|m| m.software.as_ref()),
        Arc::new(messages().map(|m| m.status).collect::<Int32Array>()),
        said(|m| m.ja3.as_ref()),
        said(|m| m.ja4.as_ref()),
        said(|m| m.hassh.as_ref()),
        Arc::new(messages().map(|m| m.body.as_ref().map(|b| b.bytes as i64)).collect::<Int64Array>()),
        maybe_shown(messages().map(|m| m.body.as_ref().map(|b| Hex(b.sha256)))),
        maybe_text(messages().map(|m| m.body.as_ref().map(|b| escaped(&b.begin)))),
        maybe_text(messages().map(|m| lines(&m.details))),
        bools(messages().map(|m| m.cut)),
        text(rows.iter().map(community)),
    ]);
    batch(&REQUESTS, columns)
}

/// Reads columns of `requests` back.
pub fn read_requests(platform: &Platform, rows: &RecordBatch) -> Vec<Request> {
    let columns = Columns(rows);
    let int = |name: &str, row: usize| columns.get(name).as_primitive::<Int32Type>().value(row);
    let bool = |name: &str, row: usize| columns.get(name).as_boolean().value(row);
    let owned = |name: &str, row: usize| columns.maybe_text(name, row).map(str::to_owned);
    let one = |row: usize| {
        let at = Place {
            time: columns.time("at", row),
            capture: u64::from_str_radix(columns.text("capture", row), 16).ok()?,
            frame: columns.long("frame", row),
        };
        let key = RequestKey {
            peer: columns.text("ip", row).parse::<IpAddr>().ok()?.into(),
            host: columns.host(platform, row)?,
            protocol: columns.protocol(row),
            port: int("number", row) as u16,
            at,
            index: int("place", row) as u16,
            peer_port: int("peer_port", row) as u16,
            by: end_of(columns.text("said_by", row)),
        };
        let status = columns.get("status").as_primitive::<Int32Type>();
        let body_bytes = columns.get("body_bytes").as_primitive::<Int64Type>();
        let body = columns.maybe_text("body_sha256", row).and_then(unhex32).map(|sha256| Body {
            bytes: body_bytes.value(row) as u64,
            sha256,
            begin: columns.maybe_text("body_begin", row).map(unescaped).unwrap_or_default(),
        });
        let message = Message {
            kind: Kind::named(columns.text("kind", row)),
            verb: owned("verb", row),
            object: owned("object", row),
            user: owned("user", row),
            password: owned("password", row),
            software: owned("software", row),
            status: (!status.is_null(row)).then(|| status.value(row)),
            ja3: owned("ja3", row),
            ja4: owned("ja4", row),
            hassh: owned("hassh", row),
            body,
            details: columns.maybe_text("details", row).map(details).unwrap_or_default(),
            cut: bool("cut", row),
            channel: None,
        };
        Some(Request {
            key,
            started_by: columns.maybe_text("started_by", row).map_or(Starter::Nobody, |t| end_of(t).into()),
            open: bool("open", row),
            lone: bool("lone", row),
            times: columns.long("times", row),
            last: columns.time("last_seen", row),
            service: Cow::Owned(columns.maybe_text("service", row).unwrap_or_default().to_owned()),
            message,
        })
    };
    (0..rows.num_rows()).filter_map(one).collect()
}

fn unhex32(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    (text.len() == 64).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use trapline_speech::Hash;

    use super::*;

    #[test]
    fn bytes_come_back_from_their_text() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescaped(&escaped(&all)), all);
        assert_eq!(escaped(b"\x04\x01a\\"), "\\x04\\x01a\\x5c");
    }

    #[test]
    fn rows_come_back() {
        let platform =
            Platform::parse("[platform]\nname='p'\n[[host]]\nname='h'\naddresses=['192.0.2.1']").unwrap();
        let message = Message {
            verb: Some("GET".into()),
            body: Some(Hash::of(b"\0\\x41")),
            details: vec![("host", "a: b".into()), ("odd", "one\ntwo\\n\r".into())],
            status: Some(-4),
            ..Message::of(Kind::Hello)
        };
        let key = RequestKey {
            peer: "198.51.100.7".parse::<IpAddr>().unwrap().into(),
            host: 0,
            protocol: 6,
            port: 80,
            at: Place { time: -1_234_567_891, capture: u64::MAX, frame: 3 },
            index: 0x8001,
            peer_port: 65_535,
            by: End::Host,
        };
        let row = Request {
            key,
            started_by: Starter::Peer,
            open: true,
            lone: false,
            times: 2,
            last: 9,
            service: "http".into(),
            message,
        };
        let rows = [Request { started_by: Starter::Nobody, service: "".into(), ..row.clone() }, row];
        assert_eq!(read_requests(&platform, &requests(&platform, &rows).unwrap()), rows);
    }
}
