//! DNS (RFC 1035, 6891) on datagrams and connections, multicast DNS included.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | question | type asked for: A, ANY, AXFR … | name | details: class unless IN, operation unless a query, edns (bytes that the client takes), questions where there are several |
//! | answer | the same | the same | status: code; details: answers (how many), answer (first addresses, names and texts), truncated |
//!
//! NetBIOS names have the same form and are another protocol.

use serde::{Deserialize, Serialize};

use crate::binary::Fields;
use crate::frames::{Frames, Length};
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[53];

/// Where it usually is; 5353 is multicast.
pub const UDP_PORTS: &[u16] = &[53, 5353, 5355];

/// Answers that are told in words.
const TOLD: usize = 4;

/// A client's first message is behind its length, is a question and asks one thing.
pub fn client(bytes: &[u8]) -> Match {
    begins(bytes, false)
}

/// A server's is an answer to one.
pub fn server(bytes: &[u8]) -> Match {
    begins(bytes, true)
}

fn begins(bytes: &[u8], answers: bool) -> Match {
    let mut fields = Fields(bytes);
    let short = if bytes.len() < 2 + 12 + 5 + 255 { Match::Maybe } else { Match::No };
    match fields.be16() {
        None => return if bytes.is_empty() { Match::No } else { Match::Maybe },
        Some(length) if length < 17 => return Match::No,
        Some(length) => fields.0 = &fields.0[..fields.0.len().min(usize::from(length))],
    }
    // Each byte of the header as far as it is there: operation, flags that must not be, one question.
    let fits = fields.0.iter().enumerate().take(12).all(|(at, byte)| match at {
        2 => (byte & 0x80 != 0) == answers && matches!(byte >> 3 & 15, 0 | 4 | 5) && (answers || byte & 2 == 0),
        3 => byte & 0x40 == 0 && (answers || byte & 0x0f == 0),
        4 => *byte == 0,
        5 => *byte == 1,
        6 | 7 if !answers => *byte == 0,
        8 | 10 => *byte == 0,
        _ => true,
    });
    let mut at = 12;
    match (fits, fields.0.len() > 12) {
        (false, _) => Match::No,
        (_, false) => Match::Maybe,
        _ => match question(fields.0, &mut at) {
            Some(question) if question.is_likely() => Match::Yes,
            Some(_) => Match::No,
            None if labels_are_wrong(&fields.0[12..]) => Match::No,
            None => short,
        },
    }
}

/// Whether the labels that are there break a rule already.
fn labels_are_wrong(mut bytes: &[u8]) -> bool {
    while let Some((length, rest)) = bytes.split_first() {
        if *length == 0 || *length > 63 {
            return *length != 0;
        }
        bytes = rest.get(usize::from(*length)..).unwrap_or_default();
    }
    false
}

fn length(bytes: &[u8]) -> Length {
    match Fields(bytes).be16() {
        Some(length) if length >= 12 => Length::Of(2 + usize::from(length)),
        Some(_) => Length::Wrong,
        None => Length::Short,
    }
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Dns {
    frames: Frames,
}

impl Parser for Dns {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while let Some(frame) = self.frames.next(side, input, &mut at, length) {
            let message = message(&frame.bytes[2..], frame.cut);
            out.extend(message.map(|m| Message { cut: m.cut || frame.cut, ..m }));
        }
        at
    }

    fn gap(&mut self, side: Side) {
        self.frames.gap(side);
    }

    fn end(&mut self, _side: Side, _rest: &[u8], _out: &mut Vec<Message>) {}
}

/// A datagram. Of an answer that came in pieces the first one is enough.
pub fn datagram(_side: Side, bytes: &[u8]) -> Option<Message> {
    message(bytes, bytes.len() >= 512)
}

/// Reads a message; `torn` says that an answer's end may be missing.
fn message(bytes: &[u8], torn: bool) -> Option<Message> {
    let mut fields = Fields(bytes);
    fields.be16()?;
    let flags = fields.be16()?;
    let counts = [fields.be16()?, fields.be16()?, fields.be16()?, fields.be16()?];
    let (answers, operation, code) = (flags & 0x8000 != 0, flags >> 11 & 15, flags & 15);
    let operation: &[u8] = match operation {
        0 => b"",
        1 => b"IQUERY",
        2 => b"STATUS",
        4 => b"NOTIFY",
        5 => b"UPDATE",
        _ => return None,
    };
    if flags & 0x40 != 0 || counts[0] > 64 || (counts[0] == 0 && (!answers || counts[1] == 0)) || (!answers && code != 0) {
        return None;
    }
    let mut at = 12;
    let mut first = None;
    for _ in 0..counts[0] {
        let question = question(bytes, &mut at).filter(Question::is_likely)?;
        first.get_or_insert(question);
    }
    let mut message = Message::of(if answers { Kind::Reply } else { Kind::Request });
    if let Some(question) = &first {
        question.tell(&mut message);
    }
    message.detail("operation", operation);
    if counts[0] > 1 {
        message.detail("questions", counts[0].to_string().as_bytes());
    }
    if answers {
        message.status = Some(i32::from(code));
        message.detail("answers", counts[1].to_string().as_bytes());
        if flags & 0x0200 != 0 {
            message.detail("truncated", b"yes");
        }
    }
    let records = counts[1..].iter().map(|n| usize::from(*n)).sum::<usize>();
    for i in 0..records {
        let Some(record) = record(bytes, &mut at) else {
            message.cut = torn && answers && i > 0;
            return message.cut.then_some(message);
        };
        if first.is_none() {
            let (name, kind, class) = (record.name.clone(), record.kind, record.class);
            let question = Question { name, kind, class };
            if !question.is_likely() {
                return None;
            }
            first.insert(question).tell(&mut message);
        }
        match record.kind {
            41 => message.detail("edns", record.class.to_string().as_bytes()),
            _ if answers && i < usize::from(counts[1]).min(TOLD) => {
                message.detail("answer", record.text(bytes).as_bytes());
            }
            _ => {}
        }
    }
    (at == bytes.len()).then_some(message)
}

struct Question {
    name: String,
    kind: u16,
    class: u16,
}

impl Question {
    /// Whether the class is one that there is, and the name not one of NetBIOS.
    fn is_likely(&self) -> bool {
        // The top bit is multicast DNS's.
        let class = matches!(self.class & 0x7fff, 1 | 3 | 4 | 254 | 255);
        let first = self.name.split('.').next().unwrap_or_default();
        let netbios = matches!(self.kind, 32 | 33) && first.len() == 32 && first.bytes().all(|b| matches!(b, b'A'..=b'P'));
        class && !netbios
    }

    fn tell(&self, message: &mut Message) {
        message.verb = Some(type_name(self.kind));
        message.object = Some(self.name.clone());
        match self.class & 0x7fff {
            3 => message.detail("class", b"CH"),
            4 => message.detail("class", b"HS"),
            254 => message.detail("class", b"NONE"),
            255 => message.detail("class", b"ANY"),
            _ => {}
        }
    }
}

fn question(bytes: &[u8], at: &mut usize) -> Option<Question> {
    let name = name(bytes, at)?;
    let mut fields = Fields(bytes.get(*at..)?);
    let question = Question { name, kind: fields.be16()?, class: fields.be16()? };
    *at += 4;
    Some(question)
}

struct Record {
    name: String,
    kind: u16,
    class: u16,
    /// Where its data lie.
    data: std::ops::Range<usize>,
}

impl Record {
    /// An address, a name or a text; else the type.
    fn text(&self, bytes: &[u8]) -> String {
        let data = bytes.get(self.data.clone()).unwrap_or_default();
        let text = match (self.kind, data.len()) {
            (1, 4) => <[u8; 4]>::try_from(data).ok().map(|a| std::net::Ipv4Addr::from(a).to_string()),
            (28, 16) => <[u8; 16]>::try_from(data).ok().map(|a| std::net::Ipv6Addr::from(a).to_string()),
            (2 | 5 | 12, _) => name(bytes, &mut self.data.start.clone()),
            (16, _) => Fields(data).vec8().map(|f| crate::message::text(f.0)),
            _ => None,
        };
        text.unwrap_or_else(|| type_name(self.kind))
    }
}

fn record(bytes: &[u8], at: &mut usize) -> Option<Record> {
    let mut after = *at;
    let name = name(bytes, &mut after)?;
    let mut fields = Fields(bytes.get(after..)?);
    let (kind, class) = (fields.be16()?, fields.be16()?);
    fields.be32()?;
    let length = usize::from(fields.be16()?);
    fields.take(length)?;
    let start = after + 10;
    *at = start + length;
    Some(Record { name, kind, class, data: start..start + length })
}

/// The name at `*at`, with dots and without the last one, moving `*at` behind it. A pointer must lead before every place where
/// this name was read, so none is followed twice.
fn name(bytes: &[u8], at: &mut usize) -> Option<String> {
    let (mut here, mut before, mut end) = (*at, *at, None);
    let mut name: Vec<u8> = Vec::new();
    loop {
        let length = *bytes.get(here)?;
        match length {
            0 => break,
            1..=63 => {
                let label = bytes.get(here + 1..here + 1 + usize::from(length))?;
                if name.len() + label.len() > 255 {
                    return None;
                }
                if !name.is_empty() {
                    name.push(b'.');
                }
                name.extend_from_slice(label);
                here += 1 + label.len();
            }
            0xc0.. => {
                let to = usize::from(length & 0x3f) << 8 | usize::from(*bytes.get(here + 1)?);
                if to >= before {
                    return None;
                }
                end.get_or_insert(here + 2);
                (here, before) = (to, to);
            }
            _ => return None,
        }
    }
    *at = end.unwrap_or(here + 1);
    Some(if name.is_empty() { ".".into() } else { crate::message::text(&name) })
}

fn type_name(kind: u16) -> String {
    let name = match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        10 => "NULL",
        12 => "PTR",
        13 => "HINFO",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        41 => "OPT",
        43 => "DS",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        64 => "SVCB",
        65 => "HTTPS",
        99 => "SPF",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        257 => "CAA",
        // RFC 3597, 5.
        _ => return format!("TYPE{kind}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::talk;

    /// `ANY isc.org` with EDNS of 9000 bytes, as amplifiers are asked.
    const ANY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x03isc\x03org\0\0\xff\0\x01\0\0\x29\x23\x28\0\0\0\0\0\0";

    /// The answer: an address and a name that points into the question.
    const ANSWER: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\0\x03isc\x03org\0\0\xff\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x07\xc0\x0c\0\x02\0\x01\0\0\0\x3c\0\x05\x02ns\xc0\x0c";

    #[test]
    fn a_question_and_its_answer() {
        let asked = datagram(Side::Client, ANY).unwrap();
        assert_eq!((asked.kind, asked.verb.as_deref(), asked.object.as_deref()), (Kind::Request, Some("ANY"), Some("isc.org")));
        assert_eq!(asked.details, [("edns", "9000".to_owned())]);
        let answer = datagram(Side::Server, ANSWER).unwrap();
        assert_eq!((answer.kind, answer.status), (Kind::Reply, Some(0)));
        let details = [("answers", "2"), ("answer", "192.0.2.7"), ("answer", "ns.isc.org")];
        assert_eq!(answer.details, details.map(|(n, v)| (n, v.to_owned())));
    }

    #[test]
    fn a_datagram_is_whole() {
        for cut in 0..ANY.len() {
            assert!(datagram(Side::Client, &ANY[..cut]).is_none(), "{cut}");
        }
        assert!(datagram(Side::Client, &[ANY, &[0]].concat()).is_none());
        // NBSTAT of `*`, as Windows asks.
        let netbios = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x20CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0\0\x21\0\x01";
        assert!(datagram(Side::Client, netbios).is_none());
        let netbios = b"\x12\x34\x84\0\0\0\0\x01\0\0\0\0\x20CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0\0\x21\0\x01\0\0\0\0\0\x01\0";
        assert!(datagram(Side::Server, netbios).is_none());
    }

    #[test]
    fn the_first_piece_of_a_long_answer() {
        let mut long = ANSWER.to_vec();
        long[7] = 200;
        for _ in 0..60 {
            long.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x09");
        }
        let answer = datagram(Side::Server, &long[..long.len() - 3]).unwrap();
        assert!(answer.cut && answer.details.contains(&("answers", "200".to_owned())));
    }

    #[test]
    fn pointers_lead_back_or_nowhere() {
        let to_itself = b"\0\0\0\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x01\0\x01";
        assert!(datagram(Side::Client, to_itself).is_none());
        let mut at = 4;
        assert_eq!(name(b"\x01a\xc0\0\xc0\0", &mut at), None);
        assert_eq!(name(b"\x01a\0\x01b\xc0\0", &mut 3).as_deref(), Some("b.a"));
    }

    #[test]
    fn a_transfer_of_a_zone() {
        let asked = b"\0\x1d\x00\x07\0\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\xfc\0\x01";
        let refused = b"\0\x1d\x00\x07\x80\x05\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\xfc\0\x01";
        let messages = talk("dns", &[(Side::Client, asked), (Side::Server, refused)]);
        assert_eq!((messages[0].1.verb.as_deref(), messages[0].1.object.as_deref()), (Some("AXFR"), Some("example.com")));
        assert_eq!(messages[1].1.status, Some(5));
        assert_eq!(client(b"\0\0\0\x2f\xffSMB"), Match::No);
        assert_eq!(client(b"GET / HTTP/1.0\r\n\r\n"), Match::No);
    }
}
