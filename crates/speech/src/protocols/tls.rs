//! TLS 1.0 to 1.3 and SSL 3 and 2 (RFC 8446, RFC 5246, RFC 6101): what is said before the encryption.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | client hello | client_hello | server name (SNI) | ja3, ja4; details version (highest offered), alpn, ciphers (how many) |
//! | server hello | server_hello | | ja3 (JA3S); details version, cipher (four hexadecimal digits), alpn |
//! | the server wants another one | hello_retry_request | | as server hello |
//! | certificate, up to TLS 1.2 | certificate | common name of its subject | details sha256, issuer (common name) |
//! | alert in the clear | alert | fatal or warning | status: its number |
//!
//! Hellos in the format of SSL 2 have no ja3 and no ja4: their authors define none. Neither has a hello that is malformed.
//! After the first encrypted record of a side nothing of it is read.

use serde::{Deserialize, Serialize};

use crate::binary::{Fields, hex};
use crate::fingerprint::{ALPN, Offer, SERVER_NAME, ja3s};
use crate::hash::Hash;
use crate::limits::ELEMENTS;
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where it usually is: HTTPS, mail and LDAP over TLS, and alternatives.
pub const PORTS: &[u16] = &[443, 465, 636, 989, 990, 992, 993, 995, 5061, 8443];

/// Bytes of a handshake message that are read. Hellos with post-quantum keys have under 2 KB, a certificate usually under 3 KB.
const HANDSHAKE: usize = 12 * 1024;

const CHANGE_CIPHER: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKES: u8 = 22;
const APPLICATION: u8 = 23;

const RETRY: &str = "hello_retry_request";

/// The random of a server's hello that asks for another hello (RFC 8446, 4.1.3): SHA-256 of `HelloRetryRequest`.
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// A client begins with a hello, in a record or, before 2010, in the format of SSL 2.
pub fn client(bytes: &[u8]) -> Match {
    record_with(bytes, HANDSHAKES, &[1]).or(old_hello(bytes))
}

/// A server begins with a hello or, displeased, with an alert.
pub fn server(bytes: &[u8]) -> Match {
    record_with(bytes, HANDSHAKES, &[2]).or(record_with(bytes, ALERT, &[1, 2]))
}

/// Whether a record of that sort begins whose content begins with one of these bytes.
fn record_with(bytes: &[u8], sort: u8, first: &[u8]) -> Match {
    let fits = |at: usize, b: u8| match at {
        0 => b == sort,
        1 => b == 3,
        2 => b <= 4,
        3 => b <= 0x40,
        4 => sort != ALERT || b == 2,
        _ => first.contains(&b),
    };
    match bytes.iter().take(6).enumerate().all(|(at, b)| fits(at, *b)) {
        _ if bytes.is_empty() => Match::No,
        true if bytes.len() >= 6 => Match::Yes,
        true => Match::Maybe,
        false => Match::No,
    }
}

/// Whether a client's hello of SSL 2 begins: its lengths must add up.
fn old_hello(bytes: &[u8]) -> Match {
    let begins = |at: usize, b: u8| match at {
        0 => b & 0x80 != 0,
        2 => b == 1,
        3 => matches!(b, 0 | 3),
        4 => b <= 4,
        _ => true,
    };
    if bytes.is_empty() || !bytes.iter().take(5).enumerate().all(|(at, b)| begins(at, *b)) {
        return Match::No;
    }
    let Some(head) = bytes.get(..11) else { return Match::Maybe };
    let number = |at: usize| usize::from(u16::from_be_bytes([head[at], head[at + 1]]));
    let (ciphers, session, challenge) = (number(5), number(7), number(9));
    let adds_up = (number(0) & 0x7fff) == 9 + ciphers + session + challenge;
    if adds_up && ciphers % 3 == 0 && ciphers > 0 && challenge >= 16 { Match::Yes } else { Match::No }
}

/// What is known of one side.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Way {
    /// Bytes to pass over.
    over: u32,
    /// Bytes of the current record that hold handshake messages.
    left: u32,
    /// Bytes of a handshake message to pass over.
    rest: u32,
    /// Whether a record was there, so that SSL 2 is over.
    begun: bool,
    /// Whether the next change of the cipher is only for show: a server of TLS 1.3 has asked for another hello (RFC 8446, D.4).
    retried: bool,
    /// Whether nothing of it can be read any more.
    closed: bool,
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tls {
    ways: [Way; 2],
}

impl Parser for Tls {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while at < input.len() {
            let taken = self.ways[side.index()].step(&input[at..], out);
            at += taken;
            if out.last().is_some_and(|m| m.verb.as_deref() == Some(RETRY)) {
                self.ways.iter_mut().for_each(|way| way.retried |= !way.closed);
            }
            if taken == 0 {
                break;
            }
        }
        at
    }

    fn gap(&mut self, side: Side) {
        self.ways[side.index()].closed = true;
    }

    fn end(&mut self, _side: Side, _rest: &[u8], _out: &mut Vec<Message>) {}
}

impl Way {
    /// Takes one piece off the front of `input`, which is not empty.
    fn step(&mut self, input: &[u8], out: &mut Vec<Message>) -> usize {
        if self.closed {
            return input.len();
        }
        if self.over > 0 {
            let taken = input.len().min(self.over as usize);
            self.over -= taken as u32;
            return taken;
        }
        if self.left == 0 {
            return if self.begun { self.record(input, out) } else { self.beginning(input, out) };
        }
        if self.rest > 0 {
            let taken = input.len().min(self.left as usize).min(self.rest as usize);
            self.left -= taken as u32;
            self.rest -= taken as u32;
            return taken;
        }
        self.handshake(input, out)
    }

    /// The first bytes: a record, or a message of SSL 2.
    fn beginning(&mut self, input: &[u8], out: &mut Vec<Message>) -> usize {
        if input[0] & 0x80 == 0 {
            self.begun = true;
            return self.record(input, out);
        }
        let mut fields = Fields(input);
        let Some(length) = fields.be16() else { return 0 };
        let Some(mut body) = fields.take(usize::from(length & 0x7fff)).map(Fields) else { return 0 };
        self.begun = true;
        match body.byte() {
            Some(1) => out.extend(old_client(body)),
            Some(4) => {
                out.extend(old_server(body));
                self.closed = true;
            }
            _ => self.closed = true,
        }
        input.len() - fields.0.len()
    }

    /// A record's header, and its content where that is no handshake.
    fn record(&mut self, input: &[u8], out: &mut Vec<Message>) -> usize {
        let Some((sort, length)) = header(input) else {
            self.closed |= input.len() >= 5;
            return if self.closed { input.len() } else { 0 };
        };
        match sort {
            HANDSHAKES => self.left = length as u32,
            ALERT if length == 2 => {
                let Some(content) = input.get(5..7) else { return 0 };
                out.extend(alert(content));
                return 7;
            }
            _ => {
                let for_show = sort == CHANGE_CIPHER && std::mem::take(&mut self.retried);
                self.closed = matches!(sort, CHANGE_CIPHER | APPLICATION) && !for_show;
                self.over = length as u32;
            }
        }
        5
    }

    /// A handshake message, which may go on in the records behind.
    fn handshake(&mut self, input: &[u8], out: &mut Vec<Message>) -> usize {
        let Some((head, _, _)) = gather(input, self.left as usize, 4) else { return self.stuck(input) };
        let mut fields = Fields(&head);
        let (Some(sort), Some(length)) = (fields.byte(), fields.be24()) else { return 0 };
        let whole = 4 + length as usize;
        let wanted = match sort {
            1 | 2 | 11 => whole.min(HANDSHAKE),
            _ => 4,
        };
        let Some((message, taken, left)) = gather(input, self.left as usize, wanted) else {
            return self.stuck(input);
        };
        let body = Fields(&message[4..]);
        let said = match sort {
            1 => client_hello(body),
            2 => server_hello(body),
            11 => certificate(body),
            _ => None,
        };
        out.extend(said.map(|m| Message { cut: m.cut || wanted < whole, ..m }));
        (self.left, self.rest) = (left as u32, (whole - wanted) as u32);
        taken
    }

    /// A handshake message is not there whole: more will come, unless another sort of record stands in its middle.
    fn stuck(&mut self, input: &[u8]) -> usize {
        let mut at = self.left as usize;
        while let Some((HANDSHAKES, length)) = input.get(at..).and_then(header) {
            at += 5 + length;
        }
        self.closed = input.len() >= at + 5;
        if self.closed { input.len() } else { 0 }
    }
}

/// Sort and length of a record; `None` where there is none, or not the whole header.
fn header(input: &[u8]) -> Option<(u8, usize)> {
    let mut fields = Fields(input);
    let (sort, major, _) = (fields.byte()?, fields.byte()?, fields.byte()?);
    let length = usize::from(fields.be16()?);
    ((CHANGE_CIPHER..=APPLICATION + 1).contains(&sort) && major == 3 && length <= 0x4800).then_some((sort, length))
}

/// `wanted` bytes of handshake, the first `left` from this record, the others from those behind. With them: how much of the
/// input they took, and what is left of the last record.
fn gather(input: &[u8], left: usize, wanted: usize) -> Option<(Vec<u8>, usize, usize)> {
    // First only counted, so that one that comes byte by byte is not copied for every byte.
    let (mut at, mut left, mut missing) = (0, left, wanted);
    let mut pieces = Vec::new();
    loop {
        let take = left.min(missing);
        pieces.push(input.get(at..at + take)?);
        (at, left, missing) = (at + take, left - take, missing - take);
        if missing == 0 {
            return Some((pieces.concat(), at, left));
        }
        let (HANDSHAKES, length) = header(&input[at..])? else { return None };
        (at, left) = (at + 5, length);
    }
}

fn alert(content: &[u8]) -> Option<Message> {
    let level = match content[0] {
        1 => "warning",
        2 => "fatal",
        // An encrypted one of a TLS 1.3 in disguise, or nothing that makes sense.
        _ => return None,
    };
    let mut message = Message::of(Kind::Reply);
    (message.verb, message.object) = (Some("alert".to_owned()), Some(level.to_owned()));
    message.status = Some(i32::from(content[1]));
    Some(message)
}

/// Names of versions; others as four hexadecimal digits.
fn version_name(version: u16) -> String {
    match version {
        0x0304 => "TLS 1.3".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0301 => "TLS 1.0".to_owned(),
        0x0300 => "SSL 3.0".to_owned(),
        0x0002 => "SSL 2.0".to_owned(),
        other => format!("{other:04x}"),
    }
}

fn hello(verb: &str) -> Message {
    Message { verb: Some(verb.to_owned()), ..Message::of(Kind::Hello) }
}

fn client_hello(body: Fields) -> Option<Message> {
    let mut message = hello("client_hello");
    let mut offer = Offer::default();
    let mut name = None;
    let whole = read_offer(body, &mut offer, &mut name).is_some();
    message.object = name.map(|name| message.keep(name));
    message.detail("version", version_name(offer.highest()).as_bytes());
    message.detail("alpn", &offer.alpn.join(&b","[..]));
    message.detail("ciphers", offer.ciphers.len().to_string().as_bytes());
    if whole {
        (message.ja3, message.ja4) = (Some(offer.ja3()), Some(offer.ja4()));
    }
    Some(message)
}

/// Reads a client's hello as far as it makes sense; `None` where that is not its end.
fn read_offer<'a>(mut body: Fields<'a>, offer: &mut Offer<'a>, name: &mut Option<&'a [u8]>) -> Option<()> {
    offer.version = body.be16()?;
    body.take(32)?;
    body.vec8()?;
    offer.ciphers = numbers(body.vec16()?);
    body.vec8()?;
    // SSL 3 and early TLS end here.
    if body.0.is_empty() {
        return Some(());
    }
    let mut extensions = body.vec16()?;
    while !extensions.0.is_empty() {
        let number = extensions.be16()?;
        let mut content = extensions.vec16()?;
        offer.extensions.push(number);
        match number {
            SERVER_NAME if name.is_none() => *name = server_name(content),
            ALPN => offer.alpn = names(content),
            0x000a => offer.groups = content.vec16().map(numbers).unwrap_or_default(),
            0x000b => {
                let formats = content.vec8().map_or(&[][..], |f| f.0);
                offer.formats = formats.iter().map(|f| u16::from(*f)).collect();
            }
            0x000d => offer.signatures = content.vec16().map(numbers).unwrap_or_default(),
            0x002b => offer.versions = content.vec8().map(numbers).unwrap_or_default(),
            _ => {}
        }
    }
    Some(())
}

fn numbers(list: Fields) -> Vec<u16> {
    list.0.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect()
}

/// The name in the extension of RFC 6066; other sorts of names were never defined.
fn server_name(mut content: Fields<'_>) -> Option<&[u8]> {
    let mut list = content.vec16()?;
    (list.byte()? == 0).then_some(list.vec16()?.0)
}

/// Protocols in the extension of RFC 7301.
fn names(mut content: Fields<'_>) -> Vec<&[u8]> {
    let mut list = content.vec16().unwrap_or(Fields(&[]));
    std::iter::from_fn(|| list.vec8()).map(|name| name.0).take(ELEMENTS).collect()
}

fn server_hello(mut body: Fields) -> Option<Message> {
    let legacy = body.be16()?;
    let random = body.take(32)?;
    body.vec8()?;
    let cipher = body.be16()?;
    body.byte()?;
    let (mut version, mut extensions, mut alpn) = (legacy, Vec::new(), Vec::new());
    let mut rest = body.vec16().unwrap_or(Fields(&[]));
    while let (Some(number), Some(mut content)) = (rest.be16(), rest.vec16()) {
        extensions.push(number);
        match number {
            0x002b => version = content.be16().unwrap_or(legacy),
            ALPN => alpn = names(content),
            _ => {}
        }
    }
    let mut message = hello(if random == RETRY_RANDOM { RETRY } else { "server_hello" });
    message.ja3 = Some(ja3s(legacy, cipher, &extensions));
    message.detail("version", version_name(version).as_bytes());
    message.detail("cipher", format!("{cipher:04x}").as_bytes());
    message.detail("alpn", alpn.first().copied().unwrap_or_default());
    Some(message)
}

/// The first certificate of a chain.
fn certificate(mut body: Fields) -> Option<Message> {
    body.be24()?;
    let length = body.be24()? as usize;
    let certificate = body.take(length)?;
    let mut message = hello("certificate");
    message.detail("sha256", hex(&Hash::of(certificate).sha256).as_bytes());
    if let Some((issuer, subject)) = issuer_and_subject(certificate) {
        message.object = common_name(subject).map(|name| message.keep(name));
        message.detail("issuer", common_name(issuer).unwrap_or_default());
    }
    Some(message)
}

/// Tag and content of the next element in DER (X.690).
fn element<'a>(fields: &mut Fields<'a>) -> Option<(u8, Fields<'a>)> {
    let (tag, length) = (fields.byte()?, fields.byte()?);
    let length = match length {
        0..=0x7f => usize::from(length),
        0x81..=0x83 => {
            fields.take(usize::from(length & 0x7f))?.iter().fold(0, |sum, b| sum << 8 | usize::from(*b))
        }
        _ => return None,
    };
    Some((tag, Fields(fields.take(length)?)))
}

/// Both names of a certificate (RFC 5280, 4.1).
fn issuer_and_subject(certificate: &[u8]) -> Option<(Fields<'_>, Fields<'_>)> {
    let (_, mut whole) = element(&mut Fields(certificate))?;
    let (_, mut signed) = element(&mut whole)?;
    // The version stands in front of the serial number, except in those of version 1.
    if element(&mut signed)?.0 == 0xa0 {
        element(&mut signed)?;
    }
    element(&mut signed)?;
    let (_, issuer) = element(&mut signed)?;
    element(&mut signed)?;
    let (_, subject) = element(&mut signed)?;
    Some((issuer, subject))
}

/// The last common name (2.5.4.3) of a name: the most particular one.
fn common_name(mut name: Fields<'_>) -> Option<&[u8]> {
    let mut found = None;
    while let Some((_, mut set)) = element(&mut name) {
        while let Some((_, mut pair)) = element(&mut set) {
            let (Some((_, kind)), Some((_, value))) = (element(&mut pair), element(&mut pair)) else { continue };
            if kind.0 == [0x55, 0x04, 0x03] {
                found = Some(value.0);
            }
        }
    }
    found
}

/// A client's hello of SSL 2, behind its sort; ciphers of three bytes each.
fn old_client(mut body: Fields) -> Option<Message> {
    let (version, ciphers) = (body.be16()?, body.be16()?);
    let mut message = hello("client_hello");
    message.detail("version", version_name(version).as_bytes());
    message.detail("ciphers", (ciphers / 3).to_string().as_bytes());
    Some(message)
}

/// A server's hello of SSL 2, behind its sort.
fn old_server(mut body: Fields) -> Option<Message> {
    let (_, _, version) = (body.byte()?, body.byte()?, body.be16()?);
    let mut message = hello("server_hello");
    message.detail("version", version_name(version).as_bytes());
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    fn vec16(content: &[u8]) -> Vec<u8> {
        [&(content.len() as u16).to_be_bytes(), content].concat()
    }

    fn message(sort: u8, body: &[u8]) -> Vec<u8> {
        [&[sort, 0], &vec16(body)[..]].concat()
    }

    fn record(sort: u8, content: &[u8]) -> Vec<u8> {
        [&[sort, 3, 1], &vec16(content)[..]].concat()
    }

    fn pairs(numbers: &[u16]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    /// The hello whose JA3 stands in ja3's README.
    fn example() -> Vec<u8> {
        let ciphers = pairs(&[47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4]);
        let extensions = [
            &[0, 0][..],
            &vec16(&vec16(&[&[0], &vec16(b"example.org")[..]].concat())),
            &[0, 10],
            &vec16(&vec16(&pairs(&[23, 24, 25]))),
            &[0, 11, 0, 2, 1, 0],
        ]
        .concat();
        let body = [&[3, 1], &[7; 32][..], &[0], &vec16(&ciphers), &[1, 0], &vec16(&extensions)].concat();
        message(1, &body)
    }

    fn server_hello(random: u8, extensions: &[u8]) -> Vec<u8> {
        let body = [&[3, 3], &[random; 32][..], &[0, 0xc0, 0x2f, 0], &vec16(extensions)].concat();
        message(2, &body)
    }

    fn detail<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
        message.details.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    #[test]
    fn a_hello_is_read_however_it_is_cut_into_records() {
        let hello = example();
        let whole = record(22, &hello);
        let pieces: Vec<u8> = hello.chunks(9).flat_map(|piece| record(22, piece)).collect();
        for bytes in [whole, pieces] {
            let messages = talk("tls", &[(Side::Client, &bytes)]);
            assert_eq!(messages.len(), 1);
            let hello = &messages[0].1;
            assert_eq!((hello.kind, hello.object.as_deref()), (Kind::Hello, Some("example.org")));
            assert_eq!(hello.ja3.as_deref(), Some("ada70206e40642a3e4461f35503241d5"));
            // python: sha256 of "0004,0005,000a,0013,002f,0032,0035,0038,c009,c00a,c013,c014" and of "000a,000b".
            assert_eq!(hello.ja4.as_deref(), Some("t10d120300_d94e65cdb899_33a13ba74d1c"));
            assert_eq!((detail(hello, "version"), detail(hello, "ciphers")), (Some("TLS 1.0"), Some("12")));
        }
    }

    #[test]
    fn a_server_shows_its_certificate_and_then_falls_silent() {
        let name = |text: &[u8]| {
            let pair = [&[0x06, 3, 0x55, 4, 3, 0x0c, text.len() as u8], text].concat();
            let pair = [&[0x30, pair.len() as u8], &pair[..]].concat();
            let set = [&[0x31, pair.len() as u8], &pair[..]].concat();
            [&[0x30, set.len() as u8], &set[..]].concat()
        };
        // Version, serial number, algorithm, issuer, validity, subject.
        let signed = [&[0xa0, 3, 2, 1, 2, 2, 1, 1, 0x30, 0][..], &name(b"ca"), &[0x30, 0], &name(b"decoy")].concat();
        let signed = [&[0x30, 0x81, signed.len() as u8], &signed[..]].concat();
        let certificate = [&[0x30, 0x81, signed.len() as u8], &signed[..]].concat();
        let one = [&[0], &vec16(&certificate)[..]].concat();
        let chain = message(11, &[&[0], &vec16(&one)[..]].concat());
        let flight = [server_hello(9, &[0xff, 1, 0, 1, 0, 0, 23, 0, 0]), chain].concat();
        let said = [record(22, &flight), record(20, &[1]), record(22, &[0x5a; 40]), record(23, &[2; 99])].concat();
        let messages = talk("tls", &[(Side::Client, &record(22, &example())), (Side::Server, &said)]);
        let [hello, shown] = by(Side::Server, &messages)[..] else { panic!("{messages:?}") };
        // python: md5 of "771,49199,65281-23".
        assert_eq!(hello.ja3.as_deref(), Some("394441ab65754e2207b1e1b457b3641d"));
        assert_eq!((detail(hello, "version"), detail(hello, "cipher")), (Some("TLS 1.2"), Some("c02f")));
        assert_eq!((shown.object.as_deref(), detail(shown, "issuer")), (Some("decoy"), Some("ca")));
        assert_eq!(detail(shown, "sha256"), Some(hex(&Hash::of(&certificate).sha256).as_str()));
    }

    #[test]
    fn whoever_is_asked_for_another_hello_gives_it() {
        let mut retry = record(22, &server_hello(9, &[0, 0x2b, 0, 2, 3, 4]));
        retry[5 + 4 + 2..][..32].copy_from_slice(&RETRY_RANDOM);
        let change = record(20, &[1]);
        let again = [&change[..], &record(22, &example()), &record(23, &[0; 50])].concat();
        let hello = [&change[..], &record(22, &server_hello(9, &[0, 0x2b, 0, 2, 3, 4])), &record(23, &[1])].concat();
        let messages = talk(
            "tls",
            &[
                (Side::Client, &record(22, &example())),
                (Side::Server, &retry),
                (Side::Client, &again),
                (Side::Server, &hello),
            ],
        );
        let verbs: Vec<_> = messages.iter().filter_map(|(_, m)| m.verb.as_deref()).collect();
        assert_eq!(verbs, ["client_hello", RETRY, "client_hello", "server_hello"]);
        assert_eq!(detail(&messages[3].1, "version"), Some("TLS 1.3"));
    }

    #[test]
    fn the_hello_of_ssl_2_and_an_alert() {
        let body = [&[1, 3, 1, 0, 6, 0, 0, 0, 16, 1, 0, 0x80, 0, 0, 5], &[7; 16][..]].concat();
        let hello = [&[0x80, body.len() as u8], &body[..]].concat();
        let messages = talk("tls", &[(Side::Client, &hello), (Side::Server, &record(21, &[2, 40]))]);
        assert_eq!((detail(&messages[0].1, "version"), detail(&messages[0].1, "ciphers")), (Some("TLS 1.0"), Some("2")));
        assert_eq!((messages[1].1.status, messages[1].1.object.as_deref()), (Some(40), Some("fatal")));
    }

    #[test]
    fn a_hello_without_its_end_has_no_fingerprint() {
        let mut bytes = example();
        bytes.truncate(bytes.len() - 3);
        let length = bytes.len() - 4;
        bytes[3] = length as u8;
        let messages = talk("tls", &[(Side::Client, &record(22, &bytes))]);
        assert_eq!((messages[0].1.ja3.as_deref(), messages[0].1.ja4.as_deref()), (None, None));
    }
}
