//! SIP (RFC 3261) on TCP and UDP: requests and responses.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | request | method | URI as sent | software: User-Agent; user: Digest's; body |
//! | reply | | reason | status; software: Server, User-Agent; body |
//!
//! Details: `version`, the headers below under their long names, `authorization` as the scheme, Digest's `realm` and `response`.

use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::headed::{Framing, Manner, Only, request};
use crate::headers::{Head, credentials, end_of_head, status};
use crate::lines::word;
use crate::message::{Kind, Match, Message, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[5060, 5061];

/// Where it usually is on UDP.
pub const UDP_PORTS: &[u16] = &[5060];

/// RFC 3261, 3262, 3265, 3311, 3428, 3515, 3903, 6086.
const METHODS: [&[u8]; 14] = [
    b"REGISTER", b"INVITE", b"ACK", b"BYE", b"CANCEL", b"OPTIONS", b"SUBSCRIBE", b"NOTIFY", b"MESSAGE", b"INFO", b"PRACK",
    b"UPDATE", b"REFER", b"PUBLISH",
];

/// Headers that are told, and their short forms (RFC 3261, 7.3.3).
const FIELDS: [(&str, &str); 8] = [
    ("from", "f"),
    ("to", "t"),
    ("call-id", "i"),
    ("cseq", ""),
    ("via", "v"),
    ("contact", "m"),
    ("content-type", "c"),
    ("www-authenticate", ""),
];

/// A client begins with a request.
pub fn client(bytes: &[u8]) -> Match {
    request(bytes, &METHODS, |line, rest| {
        let version = line.windows(7).any(|w| w.eq_ignore_ascii_case(b" SIP/2."));
        version || [&b"sip:"[..], b"sips:", b"tel:"].iter().any(|scheme| rest.starts_with(scheme))
    })
}

/// A server begins with a response.
pub fn server(bytes: &[u8]) -> Match {
    Match::prefix(bytes.trim_ascii_start(), b"SIP/2.0 ")
}

/// A datagram is one message.
pub fn datagram(side: Side, bytes: &[u8]) -> Option<Message> {
    if Sip1::begins(side, bytes) != Match::Yes {
        return None;
    }
    let bytes = bytes.trim_ascii_start();
    let (head, body) = bytes.split_at(end_of_head(bytes).unwrap_or(bytes.len()));
    let mut message = Sip1::message(side, head);
    message.body = (!body.is_empty()).then(|| Hash::of(body));
    Some(message)
}

/// A connection.
pub type Sip = Only<Sip1>;

/// What is its own in heads and bodies.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sip1;

impl Manner for Sip1 {
    /// Either side asks and answers.
    fn begins(_side: Side, bytes: &[u8]) -> Match {
        client(bytes).or(server(bytes))
    }

    fn message(_side: Side, bytes: &[u8]) -> Message {
        let head = Head::of(bytes);
        let mut message = if server(head.line) == Match::Yes {
            let mut message = Message::of(Kind::Reply);
            status(head.line, &mut message);
            message
        } else {
            let (method, rest) = word(head.line);
            let at = rest.iter().rposition(|b| *b == b' ').unwrap_or(rest.len());
            let mut message = Message::request(method, &rest[..at]);
            message.detail("version", rest.get(at + 1..).unwrap_or_default());
            message
        };
        let software = head.get("user-agent").or(head.get("server"));
        message.software = software.map(|s| message.keep(s));
        for (name, value) in head.fields() {
            let is = |wanted: &str| !wanted.is_empty() && name.eq_ignore_ascii_case(wanted.as_bytes());
            if let Some((name, _)) = FIELDS.iter().find(|(long, short)| is(long) || is(short)) {
                message.detail(name, value);
            } else if message.user.is_none() && (is("authorization") || is("proxy-authorization")) {
                credentials("authorization", value, &mut message);
            }
        }
        message
    }

    fn framing(&mut self, _side: Side, head: &[u8]) -> Framing {
        let head = Head::of(head);
        let short = || std::str::from_utf8(head.get("l")?).ok()?.parse().ok();
        head.content_length().or_else(short).map_or(Framing::Nothing, Framing::Length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::talk;

    /// After RFC 3665, 2.1, F3: a folded line, a short name, and without what is not read.
    const REGISTER: &[u8] = b"REGISTER sips:ss2.biloxi.example.com SIP/2.0\r\n\
        Via: SIP/2.0/TLS client.biloxi.example.com:5061;branch=z9hG4bKnashd92\r\n\
        From: Bob <sips:bob@biloxi.example.com>;tag=ja743ks76zlflH\r\nt: Bob <sips:bob@biloxi.example.com>\r\n\
        Call-ID: 1j9FpLxk3uxtm8tn@biloxi.example.com\r\nCSeq: 2 REGISTER\r\nAuthorization: Digest username=\"bob\", \
        realm=\"atlanta.example.com\",\r\n response=\"dfe56131d1958046689d83306477ecc\"\r\nContent-Length: 0\r\n\r\n";

    fn detail<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
        message.details.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    #[test]
    fn a_registration_tells_its_user() {
        let talk = talk("sip", &[(Side::Client, REGISTER), (Side::Server, b"SIP/2.0 401 Unauthorized\r\nServer: A\r\n\r\n")]);
        let asked = &talk[0].1;
        assert_eq!((asked.verb.as_deref(), asked.user.as_deref()), (Some("REGISTER"), Some("bob")));
        assert_eq!(asked.object.as_deref(), Some("sips:ss2.biloxi.example.com"));
        assert_eq!(detail(asked, "to"), Some("Bob <sips:bob@biloxi.example.com>"));
        assert_eq!(detail(asked, "response"), Some("dfe56131d1958046689d83306477ecc"));
        assert_eq!((talk[1].1.status, talk[1].1.software.as_deref()), (Some(401), Some("A")));
        assert_eq!(datagram(Side::Client, REGISTER).as_ref(), Some(asked));
    }

    #[test]
    fn bodies_are_hashed_on_either_way() {
        let invite = b"INVITE sip:100@192.0.2.1 SIP/2.0\r\nUser-Agent: friendly-scanner\r\nl: 3\r\n\r\nv=0";
        let message = &talk("sip", &[(Side::Client, invite)])[0].1;
        assert_eq!((message.body.clone(), message.software.as_deref()), (Some(Hash::of(b"v=0")), Some("friendly-scanner")));
        assert_eq!(datagram(Side::Client, invite).as_ref(), Some(message));
    }

    #[test]
    fn others_are_not_sip() {
        assert_eq!([client(b"OPTIONS / HTTP/1.0\r\n"), client(b"INFO\r\n"), client(b"OPT")], [Match::No, Match::No, Match::Maybe]);
        assert_eq!(datagram(Side::Client, b"OPTIONS"), None);
    }
}
