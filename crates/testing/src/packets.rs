//! Packets typed by hand, one on a line, as a capture.
//!
//! ```text
//! # time               from                to             what
//! 2003-08-11 10:00:00  203.0.113.5:1025  > mach0:135      tcp S
//! 2003-08-11 10:00:01  mach0:135         > 203.0.113.5:1025  tcp SA
//! 2003-08-11 10:00:02  203.0.113.5:1025  > mach0:135      tcp PA "GET /"
//! 2003-08-11 10:00:03  203.0.113.6:53    > mach0:4096     udp "x"  x3
//! 2003-08-11 10:00:04  203.0.113.6       > mach0          icmp 8 id 7 seq 1
//! 2003-08-11 10:00:05  203.0.113.7       > mach0          icmp 3 about udp mach0:53 > 203.0.113.6:4096
//! 2003-08-11 10:00:06  203.0.113.6       > mach0          proto 47
//! 2003-08-11 10:00:07  203.0.113.6:53    > mach0:9        udp id 5 more
//! 2003-08-11 10:00:07  203.0.113.6       > mach0          fragment udp id 5
//! 2003-08-11 10:00:08  203.0.113.8:1025  > mach0:80       tcp S ttl 120 df id 7 win 16384 opts mss:1460,nop,nop,sok
//! ```
//!
//! `x3` at the end repeats a line three times, a second apart. Names stand for the addresses of a
//! platform file's hosts. IPv6 is written `[2001:db8::1]:80`. In payloads `\r`, `\n`, `\\` and `\xNN` are bytes.
//! TCP sequence and acknowledgement numbers follow from the lines before; `seq` and `ack` set them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use chrono::NaiveDateTime;
use trapline_wire::build::{self, Ip, Tcp};
use trapline_wire::tcp::flags;
use trapline_wire::{LinkType, Time, pcap, protocol};

/// Host names and their first addresses, from the text of a platform file.
///
/// Reads `name = "…"` and `addresses = ["…"` under `[[host]]` and nothing else: enough for tests, and no
/// dependency on the code under test.
pub fn names(platform: &str) -> BTreeMap<String, IpAddr> {
    let mut names = BTreeMap::new();
    for block in platform.split("[[host]]").skip(1) {
        let quoted = |key: &str| {
            let line = block.lines().find(|l| l.trim_start().starts_with(key))?;
            line.split('"').nth(1)
        };
        if let (Some(name), Some(address)) = (quoted("name"), quoted("addresses")) {
            names.insert(name.to_owned(), address.parse().expect("a host's address"));
        }
    }
    names
}

/// The packets of `text`: time and IP packet each, in the order of the lines.
///
/// # Panics
/// When a line cannot be understood; the message holds the line.
pub fn parse(text: &str, names: &BTreeMap<String, IpAddr>) -> Vec<(Time, Vec<u8>)> {
    let mut packets = Vec::new();
    let mut sequences = Sequences::new();
    for line in text.lines().map(|l| l.split('#').next().unwrap_or_default().trim()).filter(|l| !l.is_empty())
    {
        match one(line, names, &mut sequences) {
            Some((time, bytes, times)) => {
                packets.extend((0..times).map(|i| (time + i * 1_000_000_000, bytes.clone())));
            }
            None => panic!("cannot read the packet line: {line}"),
        }
    }
    packets
}

/// A capture of raw IP packets with nanosecond stamps.
pub fn pcap(packets: &[(Time, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let writer = pcap::Writer::new(&mut out, LinkType::RAW);
    packets.iter().for_each(|(time, bytes)| writer.frame(&mut out, *time, bytes.len() as u32, bytes));
    out
}

/// The next sequence number of each direction of each connection.
type Sequences = BTreeMap<(SocketAddr, SocketAddr), u32>;

/// Where a direction begins whose first packet is no SYN, and where its SYN stands.
const BEGIN: u32 = 1_000;

fn one(
    line: &str,
    names: &BTreeMap<String, IpAddr>,
    sequences: &mut Sequences,
) -> Option<(Time, Vec<u8>, i64)> {
    let (line, times) = match line.rsplit_once(" x").map(|(l, n)| (l, n.parse())) {
        Some((line, Ok(times))) => (line, times),
        _ => (line, 1),
    };
    let (line, payload) = match line.split_once('"') {
        Some((line, rest)) => (line, unescaped(rest.rsplit_once('"')?.0)?),
        None => (line, Vec::new()),
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    let [day, clock, src, ">", dst, rest @ ..] = words.as_slice() else { return None };
    let time = NaiveDateTime::parse_from_str(&format!("{day} {clock}"), "%Y-%m-%d %H:%M:%S%.f").ok()?;
    let time = time.and_utc().timestamp_nanos_opt()?;
    let (src, dst) = (end(src, names)?, end(dst, names)?);
    let mut words = rest.to_vec();
    let (seq, ack);
    if rest.first() == Some(&"tcp") && word(rest, "seq").is_none() {
        let flags = bits(rest.get(1)?)?;
        let next = *sequences.get(&(src, dst)).unwrap_or(&BEGIN);
        // A SYN begins anew where it began before.
        let at = if flags & flags::SYN != 0 { BEGIN } else { next };
        seq = at.to_string();
        words.extend(["seq", &seq]);
        let length = payload.len() as u32 + u32::from(flags & (flags::SYN | flags::FIN) != 0);
        sequences.insert((src, dst), at + length);
    }
    if rest.first() == Some(&"tcp") && word(rest, "ack").is_none() && rest.get(1)?.contains('A') {
        ack = sequences.get(&(dst, src)).unwrap_or(&BEGIN).to_string();
        words.extend(["ack", &ack]);
    }
    Some((time, packet(src, dst, &words, &payload, names)?, times))
}

/// A payload's bytes.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (code, after) = rest.split_first()?;
        rest = after;
        bytes.push(match code {
            b'r' => b'\r',
            b'n' => b'\n',
            b'\\' => b'\\',
            b'x' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).ok()?
            }
            _ => return None,
        });
    }
    Some(bytes)
}

/// TCP options by their names, as p0f writes them: `mss:1460,nop,ws:8,sok,ts`.
fn options(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for option in text.split(',') {
        let (name, value) = option.split_once(':').unwrap_or((option, "0"));
        let value: u16 = value.parse().ok()?;
        match name {
            "mss" => bytes.extend([2, 4, (value >> 8) as u8, value as u8]),
            "nop" => bytes.push(1),
            "eol" => bytes.push(0),
            "ws" => bytes.extend([3, 3, value as u8]),
            "sok" => bytes.extend([4, 2]),
            "ts" => bytes.extend([8, 10, 0, 0, 0x30, 0x39, 0, 0, 0, 0]),
            _ => return None,
        }
    }
    Some(bytes)
}

/// An address with a port, 0 where none is written.
fn end(text: &str, names: &BTreeMap<String, IpAddr>) -> Option<SocketAddr> {
    if let Ok(socket) = text.parse() {
        return Some(socket);
    }
    if let Ok(address) = text.parse() {
        return Some(SocketAddr::new(address, 0));
    }
    let (name, port) = text.split_once(':').unwrap_or((text, "0"));
    Some(SocketAddr::new(*names.get(name)?, port.parse().ok()?))
}

/// What stands after a word.
fn word<'a>(words: &[&'a str], after: &str) -> Option<&'a str> {
    let at = words.iter().position(|w| *w == after)?;
    words.get(at + 1).copied()
}

/// The number after a word.
fn number<T: std::str::FromStr>(words: &[&str], after: &str) -> Option<T> {
    word(words, after)?.parse().ok()
}

fn packet(
    src: SocketAddr,
    dst: SocketAddr,
    words: &[&str],
    payload: &[u8],
    names: &BTreeMap<String, IpAddr>,
) -> Option<Vec<u8>> {
    let mut ip = Ip::new(src.ip(), dst.ip());
    ip.id = number(words, "id").unwrap_or(0);
    ip.ttl = number(words, "ttl").unwrap_or(ip.ttl);
    ip.df = words.contains(&"df");
    let mut out = Vec::new();
    match words {
        ["tcp", letters, ..] => {
            let options = word(words, "opts").map_or(Some(Vec::new()), options)?;
            let segment = Tcp {
                src_port: src.port(),
                dst_port: dst.port(),
                seq: number(words, "seq").unwrap_or(0),
                ack: number(words, "ack").unwrap_or(0),
                flags: bits(letters)?,
                window: number(words, "win").unwrap_or(0),
                options: &options,
                payload,
                ..Tcp::default()
            };
            build::tcp(&mut out, &ip, &segment);
        }
        ["udp", ..] => build::udp(&mut out, &ip, src.port(), dst.port(), payload),
        ["icmp", kind, "about", proto, from, ">", to] => {
            let (from, to) = (end(from, names)?, end(to, names)?);
            let quoted =
                packet(from, to, if *proto == "tcp" { &["tcp", "S"] } else { &["udp"] }, b"", names)?;
            build::icmp(&mut out, &ip, kind.parse().ok()?, 1, [0; 4], &quoted);
        }
        ["icmp", kind, ..] => {
            let (id, seq): (u16, u16) = (number(words, "id").unwrap_or(0), number(words, "seq").unwrap_or(0));
            let rest = u32::from(id) << 16 | u32::from(seq);
            ip.id = 0;
            build::icmp(&mut out, &ip, kind.parse().ok()?, 0, rest.to_be_bytes(), payload);
        }
        ["proto", protocol] => build::raw(&mut out, &ip, protocol.parse().ok()?, payload),
        ["fragment", proto, ..] => {
            let number = match *proto {
                "tcp" => protocol::TCP,
                "udp" => protocol::UDP,
                _ => protocol::ICMP,
            };
            build::raw(&mut out, &ip, number, &[0; 16]);
            // 100 units of eight bytes behind the datagram's beginning, the last piece.
            out[6..8].copy_from_slice(&100u16.to_be_bytes());
        }
        ["short", proto] => {
            let number = if *proto == "tcp" { protocol::TCP } else { protocol::UDP };
            build::raw(&mut out, &ip, number, &[0; 3]);
        }
        _ => return None,
    }
    if words.contains(&"more") {
        out[6] |= 0x20;
    }
    Some(out)
}

/// TCP flags by tcpdump's letters; `-` for none.
fn bits(letters: &str) -> Option<u8> {
    let bit = |letter| match letter {
        'F' => Some(flags::FIN),
        'S' => Some(flags::SYN),
        'R' => Some(flags::RST),
        'P' => Some(flags::PSH),
        'A' => Some(flags::ACK),
        'U' => Some(flags::URG),
        'E' => Some(flags::ECE),
        'W' => Some(flags::CWR),
        '-' => Some(0),
        _ => None,
    };
    letters.chars().map(bit).sum::<Option<u8>>()
}
