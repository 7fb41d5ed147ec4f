//! MQTT 3.1, 3.1.1 and 5 (OASIS): who connects, what is subscribed to and published.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | connect | CONNECT | client identifier | user, password; details: version, will topic, will |
//! | answer | CONNACK, SUBACK | | status: 0, or why not; of several the first |
//! | subscribe | SUBSCRIBE, UNSUBSCRIBE | topics, with spaces between | |
//! | publish | PUBLISH | topic | body; of a server it is a reply |
//! | end | DISCONNECT | | |
//!
//! Acknowledgements and pings are not told.

use serde::{Deserialize, Serialize};

use crate::binary::Fields;
use crate::frames::{Frames, Length};
use crate::hash::Hash;
use crate::limits::ELEMENTS;
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[1883, 1884];

/// A client begins with CONNECT, which holds the protocol's name.
pub fn client(bytes: &[u8]) -> Match {
    let Some((0x10, rest)) = bytes.split_first().map(|(b, rest)| (*b, rest)) else { return Match::No };
    let Some((_, head)) = remaining(rest) else {
        return if rest.len() < 4 { Match::Maybe } else { Match::No };
    };
    let named = &rest[head..];
    if named.is_empty() {
        return Match::Maybe;
    }
    [&b"\0\x04MQTT\x03"[..], b"\0\x04MQTT\x04", b"\0\x04MQTT\x05", b"\0\x06MQIsdp\x03"]
        .iter()
        .fold(Match::No, |m, name| m.or(Match::prefix(named, name)))
}

/// A server answers it with CONNACK: so short that it may be anything.
pub fn server(bytes: &[u8]) -> Match {
    match bytes {
        [0x20] | [0x20, 2..=127] | [0x20, 2..=127, 0 | 1] => Match::Maybe,
        [0x20, 2, 0 | 1, 0..=5] => Match::Maybe,
        [0x20, length @ 3..=127, 0 | 1, 0 | 0x80..=0x9f, rest @ ..] if rest.len() <= usize::from(*length) - 2 => Match::Maybe,
        _ => Match::No,
    }
}

/// The length of what follows, in one to four bytes of seven bits, lowest first, and how many bytes it took.
fn remaining(bytes: &[u8]) -> Option<(usize, usize)> {
    let end = bytes.iter().take(4).position(|b| b & 0x80 == 0)?;
    Some((bytes[..=end].iter().rev().fold(0, |n, b| n << 7 | usize::from(b & 0x7f)), end + 1))
}

fn length(bytes: &[u8]) -> Length {
    match remaining(&bytes[1..]) {
        Some((length, head)) if bytes[0] >> 4 != 0 => Length::Of(1 + head + length),
        None if bytes.len() < 5 && bytes[0] >> 4 != 0 => Length::Short,
        _ => Length::Wrong,
    }
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Mqtt {
    frames: Frames,
    version: u8,
}

impl Parser for Mqtt {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while let Some(frame) = self.frames.next(side, input, &mut at, length) {
            let message = remaining(&frame.bytes[1..])
                .and_then(|(_, head)| self.packet(side, frame.bytes[0], Fields(&frame.bytes[1 + head..])));
            out.extend(message.map(|m| Message { cut: m.cut || frame.cut, ..m }));
        }
        at
    }

    fn gap(&mut self, side: Side) {
        self.frames.gap(side);
    }

    fn end(&mut self, _side: Side, _rest: &[u8], _out: &mut Vec<Message>) {}
}

impl Mqtt {
    fn packet(&mut self, side: Side, first: u8, mut fields: Fields) -> Option<Message> {
        let kind = if side == Side::Client { Kind::Request } else { Kind::Reply };
        let mut message = Message::of(kind);
        let verb = match first >> 4 {
            1 => {
                self.connect(fields, &mut message);
                "CONNECT"
            }
            2 => {
                fields.byte()?;
                message.status = Some(i32::from(fields.byte()?));
                "CONNACK"
            }
            3 => {
                let topic = fields.vec16()?.0;
                message.object = Some(message.keep(topic));
                if first & 6 != 0 {
                    fields.be16()?;
                }
                self.properties(&mut fields)?;
                message.body = Some(Hash::of(fields.0));
                "PUBLISH"
            }
            8 | 10 => {
                fields.be16()?;
                self.properties(&mut fields)?;
                let mut topics = Vec::new();
                while let Some(topic) = fields.vec16().filter(|_| topics.len() < ELEMENTS) {
                    topics.push(topic.0);
                    if first >> 4 == 8 {
                        let _ = fields.byte();
                    }
                }
                message.object = Some(message.keep(&topics.join(&b' ')));
                if first >> 4 == 8 { "SUBSCRIBE" } else { "UNSUBSCRIBE" }
            }
            9 => {
                fields.be16()?;
                self.properties(&mut fields)?;
                message.status = Some(i32::from(fields.byte()?));
                "SUBACK"
            }
            14 => "DISCONNECT",
            _ => return None,
        };
        message.verb = Some(verb.into());
        Some(message)
    }

    fn connect(&mut self, mut fields: Fields, message: &mut Message) -> Option<()> {
        fields.vec16()?;
        self.version = fields.byte()?;
        let flags = fields.byte()?;
        fields.be16()?;
        self.properties(&mut fields)?;
        let version: &[u8] = match self.version {
            3 => b"3.1",
            4 => b"3.1.1",
            5 => b"5",
            _ => b"",
        };
        message.detail("version", version);
        let identifier = fields.vec16()?.0;
        message.object = Some(message.keep(identifier));
        if flags & 4 != 0 {
            self.properties(&mut fields)?;
            message.detail("will topic", fields.vec16()?.0);
            message.detail("will", fields.vec16()?.0);
        }
        if flags & 0x80 != 0 {
            let user = fields.vec16()?.0;
            message.user = Some(message.keep(user));
        }
        if flags & 0x40 != 0 {
            let password = fields.vec16()?.0;
            message.password = Some(message.keep(password));
        }
        Some(())
    }

    /// Passes over the properties that version 5 has in many places.
    fn properties(&self, fields: &mut Fields) -> Option<()> {
        if self.version == 5 {
            let (length, head) = remaining(fields.0)?;
            fields.take(head + length)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    fn packet(first: u8, content: &[u8]) -> Vec<u8> {
        assert!(content.len() < 128);
        [&[first, content.len() as u8], content].concat()
    }

    /// The variable header of the specification's figure 3.6 (3.1.1), with all of its fields behind it.
    const CONNECT: &[u8] = b"\0\x04MQTT\x04\xce\0\x0a\0\x04lamp\0\x04last\0\x03bye\0\x05admin\0\x06public";

    #[test]
    fn a_login_and_everything_that_is_said() {
        let messages = talk(
            "mqtt",
            &[
                (Side::Client, &packet(0x10, CONNECT)),
                (Side::Server, &[0x20, 2, 0, 5]),
                (Side::Client, &packet(0x82, b"\0\x0a\0\x03a/b\x01\0\x01#\x02")),
                (Side::Server, &packet(0x90, b"\0\x0a\x01\x80")),
                (Side::Client, &packet(0x32, b"\0\x03a/b\0\x0ahello")),
                (Side::Server, &packet(0x30, b"\0\x03c/dworld")),
                (Side::Client, &[0xc0, 0]),
                (Side::Client, &[0xe0, 0]),
            ],
        );
        let asked = by(Side::Client, &messages);
        assert_eq!((asked[0].object.as_deref(), asked[0].user.as_deref()), (Some("lamp"), Some("admin")));
        assert_eq!(asked[0].password.as_deref(), Some("public"));
        let details = [("version", "3.1.1"), ("will topic", "last"), ("will", "bye")];
        assert_eq!(asked[0].details, details.map(|(n, v)| (n, v.to_owned())));
        assert_eq!((asked[1].verb.as_deref(), asked[1].object.as_deref()), (Some("SUBSCRIBE"), Some("a/b #")));
        assert_eq!((asked[2].object.as_deref(), asked[2].body.clone()), (Some("a/b"), Some(Hash::of(b"hello"))));
        assert_eq!((asked.len(), asked[3].verb.as_deref()), (4, Some("DISCONNECT")));
        let said = by(Side::Server, &messages);
        assert_eq!((said[0].status, said[1].status), (Some(5), Some(1)));
        assert_eq!((said[2].object.as_deref(), said[2].body.clone()), (Some("c/d"), Some(Hash::of(b"world"))));
    }

    #[test]
    fn version_5_has_properties() {
        // Session expiry 10 s (3.1.2.11.2); then a client identifier of no bytes.
        let connect = packet(0x10, b"\0\x04MQTT\x05\x02\0\x3c\x05\x11\0\0\0\x0a\0\0");
        let messages = talk(
            "mqtt",
            &[
                (Side::Client, &connect),
                (Side::Server, &[0x20, 3, 0, 0x87, 0]),
                (Side::Client, &packet(0x82, b"\0\x01\0\0\x05$SYS/\0")),
            ],
        );
        assert_eq!(messages[0].1.object.as_deref(), Some(""));
        assert_eq!((messages[1].1.status, messages[2].1.object.as_deref()), (Some(0x87), Some("$SYS/")));
    }

    #[test]
    fn what_begins_otherwise_is_something_else() {
        assert_eq!(client(b"\x10\x0c\0\x04MQ"), Match::Maybe);
        assert_eq!(client(b"\x10\xff\xff\xff\xff\0"), Match::No);
        assert_eq!(client(b"\x16\x03\x01"), Match::No);
        assert_eq!(server(b"\x20\x02\0\x09"), Match::No);
    }
}
