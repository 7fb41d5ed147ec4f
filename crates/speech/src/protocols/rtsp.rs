//! RTSP (RFC 2326, RFC 7826): requests and responses; the media between them is passed over.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | request | method | URI as sent | software: User-Agent; user, password: Basic credentials, user: Digest's; body |
//! | reply | | reason | status; software: Server; body |
//!
//! Details: `version`, the headers below, `authorization` as the scheme alone.

use serde::{Deserialize, Serialize};

use crate::headed::{Framing, Manner, Only, request};
use crate::headers::{Head, credentials, status};
use crate::lines::word;
use crate::message::{Kind, Match, Message, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[554, 8554];

const METHODS: [&[u8]; 12] = [
    b"OPTIONS", b"DESCRIBE", b"ANNOUNCE", b"SETUP", b"PLAY", b"PAUSE", b"TEARDOWN", b"GET_PARAMETER", b"SET_PARAMETER",
    b"REDIRECT", b"RECORD", b"PLAY_NOTIFY",
];

const FIELDS: [&str; 10] = [
    "cseq", "host", "accept", "transport", "session", "range", "require", "public", "www-authenticate", "content-type",
];

/// A client begins with a request.
pub fn client(bytes: &[u8]) -> Match {
    request(bytes, &METHODS, |line, rest| line.windows(6).any(|w| w == b" RTSP/") || rest.starts_with(b"rtsp"))
}

/// A server begins with a response.
pub fn server(bytes: &[u8]) -> Match {
    Match::prefix(bytes, b"RTSP/")
}

/// A connection.
pub type Rtsp = Only<Rtsp1>;

/// What is its own in heads and bodies.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Rtsp1;

impl Manner for Rtsp1 {
    /// Either side asks and answers.
    fn begins(_side: Side, bytes: &[u8]) -> Match {
        client(bytes).or(server(bytes))
    }

    fn message(_side: Side, head: &[u8]) -> Message {
        let head = Head::of(head);
        let mut message = if server(head.line) == Match::Yes {
            let mut message = Message::of(Kind::Reply);
            status(head.line, &mut message);
            message
        } else {
            let (method, rest) = word(head.line);
            let version = rest.windows(6).rposition(|w| w == b" RTSP/").unwrap_or(rest.len());
            let mut message = Message::request(method, &rest[..version]);
            message.detail("version", rest.get(version + 1..).unwrap_or_default());
            message
        };
        let software = head.get("user-agent").or(head.get("server"));
        message.software = software.map(|s| message.keep(s));
        if let Some(value) = head.get("authorization") {
            credentials("authorization", value, &mut message);
        }
        head.details(&FIELDS, &mut message);
        message
    }

    fn framing(&mut self, _side: Side, head: &[u8]) -> Framing {
        Head::of(head).content_length().map_or(Framing::Nothing, Framing::Length)
    }

    /// Media in the middle of the talk (RFC 2326, 10.12): `$`, a channel, a length of two bytes.
    fn other(input: &[u8]) -> Option<usize> {
        match input {
            [b'$', _, high, low, ..] => Some(4 + usize::from(u16::from_be_bytes([*high, *low]))),
            [b'$', ..] => Some(0),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hash;
    use crate::testing::{by, talk};

    #[test]
    fn a_camera_is_asked() {
        let messages = talk(
            "rtsp",
            &[
                (Side::Client, b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
                (Side::Server, b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nServer: Dahua Rtsp Server\r\n\r\n"),
                (
                    Side::Client,
                    b"DESCRIBE rtsp://192.0.2.1/live RTSP/1.0\r\nCSeq: 2\r\nUser-Agent: Lavf58\r\n\
                      Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n",
                ),
                (Side::Server, b"RTSP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nv=0$\x00\x00\x03\r\n\rRTSP/1.0 404 No\r\n\r\n"),
            ],
        );
        let asked = by(Side::Client, &messages)[1];
        assert_eq!((asked.verb.as_deref(), asked.object.as_deref()), (Some("DESCRIBE"), Some("rtsp://192.0.2.1/live")));
        assert_eq!((asked.user.as_deref(), asked.password.as_deref()), (Some("Aladdin"), Some("open sesame")));
        assert_eq!(asked.software.as_deref(), Some("Lavf58"));
        let answers = by(Side::Server, &messages);
        assert_eq!(answers[0].software.as_deref(), Some("Dahua Rtsp Server"));
        assert_eq!(answers[1].body, Some(Hash::of(b"v=0")));
        assert_eq!(answers[2].status, Some(404));
    }
}
