//! NTP (RFC 5905, 9327) with ntpd's private mode, whose monlist amplifies.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | time | client, server, symmetric active, symmetric passive, broadcast | | details: version, stratum, reference |
//! | control (mode 6) | control | readstat, readvar … | status: error of an answer; software: the version of ntpd in it; details: version, system |
//! | private (mode 7) | private | monlist … or the request's number | status: error of an answer; details: version, items |

use crate::binary::Fields;
use crate::hash::Hash;
use crate::lines::is_text;
use crate::message::{Kind, Message, Side};

/// Where it usually is.
pub const UDP_PORTS: &[u16] = &[123];

/// A datagram.
pub fn datagram(_side: Side, bytes: &[u8]) -> Option<Message> {
    let first = *bytes.first()?;
    let version = first >> 3 & 7;
    if !(1..=4).contains(&version) {
        return None;
    }
    match first & 7 {
        6 => control(first, bytes),
        7 => private(first, bytes),
        mode @ 1..=5 => time(mode, version, bytes),
        _ => None,
    }
}

fn with_version(kind: Kind, verb: &str, version: u8) -> Message {
    let mut message = Message::of(kind);
    message.verb = Some(verb.into());
    message.detail("version", version.to_string().as_bytes());
    message
}

/// 48 bytes, and what proves who sent them: a key's number alone (a refusal), with 16 or with 20 bytes.
fn time(mode: u8, version: u8, bytes: &[u8]) -> Option<Message> {
    if !matches!(bytes.len(), 48 | 52 | 68 | 72) {
        return None;
    }
    let mut fields = Fields(&bytes[1..]);
    let (stratum, poll, precision) = (fields.byte()?, fields.byte()?, fields.byte()?.cast_signed());
    let (delay, dispersion) = (fields.be32()? >> 16, fields.be32()? >> 16);
    // Seconds: nobody is a minute away; an unset clock says 16 and more.
    let likely =
        stratum <= 16 && poll <= 17 && (-40..=0).contains(&precision) && delay < 64 && dispersion < 256;
    let reference = fields.take(4)?;
    if !likely {
        return None;
    }
    let (kind, verb) = match mode {
        1 => (Kind::Request, "symmetric active"),
        2 => (Kind::Reply, "symmetric passive"),
        3 => (Kind::Request, "client"),
        4 => (Kind::Reply, "server"),
        _ => (Kind::Reply, "broadcast"),
    };
    let mut message = with_version(kind, verb, version);
    message.detail("stratum", stratum.to_string().as_bytes());
    let letters = reference.iter().all(|b| matches!(b, b' '..=b'~' | 0)) && reference[0] != 0;
    if stratum <= 1 && letters {
        message.detail("reference", crate::lines::bare(reference));
    } else if stratum > 1 {
        let [a, b, c, d] = [reference[0], reference[1], reference[2], reference[3]];
        message.detail("reference", format!("{a}.{b}.{c}.{d}").as_bytes());
    }
    Some(message)
}

/// Header of 12 bytes, data padded to four, perhaps a key's number and its 16 or 20 bytes.
fn control(first: u8, bytes: &[u8]) -> Option<Message> {
    let mut fields = Fields(&bytes[1..]);
    let flags = fields.byte()?;
    let (answers, failed, more, code) =
        (flags & 0x80 != 0, flags & 0x40 != 0, flags & 0x20 != 0, flags & 0x1f);
    fields.be16()?;
    let (status, _, offset) = (fields.be16()?, fields.be16()?, fields.be16()?);
    let count = usize::from(fields.be16()?);
    let data = fields.take(count)?;
    let padding = count.wrapping_neg() % 4;
    let padding = fields.take(padding.min(fields.0.len()))?;
    let fits = padding.iter().all(|b| *b == 0)
        && matches!(fields.0.len(), 0 | 20 | 24)
        && is_text(crate::lines::bare(data));
    if !fits
        || first >> 6 != 0 && !answers
        || !answers && (offset != 0 || failed || more || status != 0)
        || code > 12
    {
        return None;
    }
    let object = match code {
        1 => "readstat",
        2 => "readvar",
        3 => "writevar",
        4 => "readclock",
        5 => "writeclock",
        6 => "settrap",
        7 => "asyncmsg",
        8 => "configure",
        9 => "saveconfig",
        10 => "read_mru",
        11 => "read_ordlist_a",
        12 => "req_nonce",
        _ => return None,
    };
    let mut message =
        with_version(if answers { Kind::Reply } else { Kind::Request }, "control", first >> 3 & 7);
    message.object = Some(object.into());
    if answers {
        message.status = Some(if failed { i32::from(status >> 8) } else { 0 });
        message.software = variable(data, b"version=\"").map(|value| message.keep(value));
        message.detail("system", variable(data, b"system=\"").unwrap_or_default());
    }
    if !data.is_empty() {
        message.body = Some(Hash::of(data));
    }
    Some(message)
}

/// The value behind `name="`.
fn variable<'a>(data: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = data.windows(name.len()).position(|w| w == name)? + name.len();
    data[at..].split(|b| *b == b'"').next()
}

/// Header of 8 bytes and the items that it counts; a request may be padded with zeros, and then proven.
fn private(first: u8, bytes: &[u8]) -> Option<Message> {
    let mut fields = Fields(&bytes[1..]);
    fields.byte()?;
    let (implementation, code, items, size) =
        (fields.byte()?, fields.byte()?, fields.be16()?, fields.be16()?);
    let (answers, error) = (first & 0x80 != 0, items >> 12);
    let (items, size) = (usize::from(items & 0xfff), usize::from(size));
    if !matches!(implementation, 0 | 2 | 3) || size > 0xfff || code > 64 {
        return None;
    }
    let data = fields.take(items * size)?;
    let padded =
        fields.0.len() <= 220 && fields.0.len().is_multiple_of(4) && fields.0.iter().all(|b| *b == 0);
    let fits = if answers { fields.0.is_empty() } else { padded && error == 0 && first & 0x40 == 0 };
    if !fits || items > 0 && size == 0 {
        return None;
    }
    let mut message =
        with_version(if answers { Kind::Reply } else { Kind::Request }, "private", first >> 3 & 7);
    message.object = Some(match code {
        0 => "peer list".into(),
        1 => "peer list sum".into(),
        4 => "sysinfo".into(),
        5 => "sysstats".into(),
        16 => "reslist".into(),
        20 => "monlist (old)".into(),
        42 => "monlist".into(),
        n => n.to_string(),
    });
    if answers {
        message.status = Some(i32::from(error));
        message.detail("items", items.to_string().as_bytes());
    }
    if !data.is_empty() {
        message.body = Some(Hash::of(data));
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monlist_is_asked_for_in_two_lengths() {
        let short = datagram(Side::Client, b"\x17\0\x03\x2a\0\0\0\0").unwrap();
        assert_eq!((short.verb.as_deref(), short.object.as_deref()), (Some("private"), Some("monlist")));
        let mut long = b"\x17\0\x03\x2a".to_vec();
        long.resize(192, 0);
        assert_eq!(datagram(Side::Client, &long), Some(short));
        long[100] = 1;
        assert!(datagram(Side::Client, &long).is_none());
        // An answer of two items of 72 bytes.
        let mut answer = b"\xd7\0\x03\x2a\0\x02\0\x48".to_vec();
        answer.resize(8 + 144, 7);
        let answer = datagram(Side::Server, &answer).unwrap();
        assert_eq!((answer.kind, answer.status), (Kind::Reply, Some(0)));
        assert_eq!(answer.details[1], ("items", "2".to_owned()));
    }

    #[test]
    fn variables_name_the_software() {
        let asked = datagram(Side::Client, b"\x16\x02\0\x01\0\0\0\0\0\0\0\0").unwrap();
        assert_eq!((asked.verb.as_deref(), asked.object.as_deref()), (Some("control"), Some("readvar")));
        let text = b"version=\"ntpd 4.2.6p5@1.2349-o\", system=\"Linux/3.2.0\"";
        let head = [b"\xd6\x82\0\x01\x06\x15\0\0\0\0\0".as_slice(), &[text.len() as u8]].concat();
        let mut answer = [head, text.to_vec()].concat();
        answer.resize(answer.len().next_multiple_of(4), 0);
        let answer = datagram(Side::Server, &answer).unwrap();
        assert_eq!((answer.software.as_deref(), answer.status), (Some("ntpd 4.2.6p5@1.2349-o"), Some(0)));
        assert_eq!(answer.details[1], ("system", "Linux/3.2.0".to_owned()));
    }

    #[test]
    fn time_is_asked_and_told() {
        let mut asked = vec![0xe3, 0, 4, 0xfa, 0, 1, 0, 0, 0, 1, 0, 0];
        asked.resize(48, 0);
        let message = datagram(Side::Client, &asked).unwrap();
        assert_eq!((message.kind, message.verb.as_deref()), (Kind::Request, Some("client")));
        let mut told = vec![0x24, 1, 4, 0xe9, 0, 0, 0, 0, 0, 0, 0x11, 0, b'G', b'P', b'S', 0];
        told.resize(48, 9);
        let details = datagram(Side::Server, &told).unwrap().details;
        assert_eq!(
            details,
            [("version", "4"), ("stratum", "1"), ("reference", "GPS")].map(|(n, v)| (n, v.to_owned()))
        );
        assert!(datagram(Side::Client, &asked[..47]).is_none());
        asked[3] = 0x50;
        assert!(datagram(Side::Client, &asked).is_none());
    }
}
