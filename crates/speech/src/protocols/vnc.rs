//! VNC (RFB, RFC 6143): versions, how a login is made, its result, the screen. What is seen and typed after that is not read.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | version | | | hello; software: `RFB 003.008` |
//! | what the server accepts | security | names of the types, or why none | |
//! | what the client takes | security | name of the type | |
//! | answer to a challenge | login | | details: challenge, response (hexadecimal; DES with the password as key) |
//! | result | result | why not | status: 0 is right |
//! | begin | init | shared or exclusive; name of the desktop | details of the server's: size |
//!
//! A client that takes `none` where the server offered only `vnc` tries CVE-2006-2369.

use serde::{Deserialize, Serialize};

use crate::binary::{Fields, hex};
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[5900, 5901, 5902, 5903];

/// Both begin with their version.
pub fn client(bytes: &[u8]) -> Match {
    const FORM: &[u8; 12] = b"RFB 000.000\n";
    let fits = bytes.iter().zip(FORM).all(|(b, f)| if *f == b'0' { b.is_ascii_digit() } else { b == f });
    match (fits && !bytes.is_empty(), bytes.len() >= 12) {
        (false, _) => Match::No,
        (_, true) => Match::Yes,
        _ => Match::Maybe,
    }
}

/// As a client does.
pub fn server(bytes: &[u8]) -> Match {
    client(bytes)
}

/// What a side says next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Next {
    #[default]
    Version,
    Security,
    /// The server's challenge, the client's answer.
    Challenge,
    Result,
    Init,
    /// Nothing that we read.
    Screen,
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Vnc {
    next: [Next; 2],
    /// The minor version of each.
    minor: [Option<u16>; 2],
    /// The type that was taken.
    security: Option<u32>,
    challenge: Vec<u8>,
}

impl Parser for Vnc {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut fields = Fields(input);
        while !fields.0.is_empty() {
            self.turn(side);
            if self.next[side.index()] == Next::Screen {
                return input.len();
            }
            let mut after = fields;
            let Some(message) = self.message(side, &mut after) else { break };
            out.extend(message);
            fields = after;
        }
        input.len() - fields.0.len()
    }

    fn gap(&mut self, side: Side) {
        self.next[side.index()] = Next::Screen;
    }

    fn end(&mut self, side: Side, rest: &[u8], out: &mut Vec<Message>) {
        // Who refuses without the reason that its version has.
        if let (Side::Server, Next::Result, Some(status)) = (side, self.next[1], Fields(rest).be32()) {
            out.push(result(status, b""));
        }
    }
}

impl Vnc {
    /// The version that both speak; what is not known is read as 3.3 (RFC 6143, 7.1.1).
    fn minor(&self) -> u16 {
        let known = self.minor.iter().flatten().min().copied().unwrap_or(3);
        if known < 7 { 3 } else { known.min(8) }
    }

    /// Where the type that was taken decides what comes next.
    fn turn(&mut self, side: Side) {
        let (minor, next) = (self.minor(), &mut self.next[side.index()]);
        // In 3.3 a client takes what the server decided.
        if minor < 7 && (side, *next) == (Side::Client, Next::Security) {
            *next = Next::Challenge;
        }
        if *next == Next::Challenge {
            *next = match (self.security, side) {
                (Some(2), _) => Next::Challenge,
                (Some(1), Side::Server) if minor >= 8 => Next::Result,
                (Some(1), _) => Next::Init,
                _ => Next::Screen,
            };
        }
    }

    /// The next message, if it is there whole; some give nothing to tell.
    fn message(&mut self, side: Side, fields: &mut Fields) -> Option<Option<Message>> {
        let i = side.index();
        let message = match (self.next[i], side) {
            (Next::Version, _) => {
                let version = fields.take(12)?;
                if client(version) != Match::Yes {
                    self.next[i] = Next::Screen;
                    return Some(None);
                }
                let minor = version[8..11].iter().fold(0, |n, b| n * 10 + u16::from(b - b'0'));
                self.minor[i] = Some(minor);
                self.next[i] = Next::Security;
                let mut message = Message::of(Kind::Hello);
                message.software = Some(message.keep(&version[..11]));
                message
            }
            (Next::Security, Side::Server) => self.offer(fields)?,
            (Next::Security, Side::Client) => {
                let security = u32::from(fields.byte()?);
                self.security = Some(security);
                self.next[i] = Next::Challenge;
                Message::request(b"security", name(security).as_bytes())
            }
            (Next::Challenge, Side::Server) => {
                self.challenge = fields.take(16)?.to_vec();
                self.next[i] = Next::Result;
                return Some(None);
            }
            (Next::Challenge, Side::Client) => {
                let response = fields.take(16)?;
                self.next[i] = Next::Init;
                let mut message = Message::of(Kind::Request);
                message.verb = Some("login".into());
                message.detail("challenge", hex(&self.challenge).as_bytes());
                message.detail("response", hex(response).as_bytes());
                message
            }
            (Next::Result, _) => {
                let status = fields.be32()?;
                let reason = if status != 0 && self.minor() >= 8 { reason(fields)? } else { b"" };
                self.next[i] = if status == 0 { Next::Init } else { Next::Screen };
                result(status, reason)
            }
            (Next::Init, Side::Client) => {
                let shared = fields.byte()? != 0;
                self.next[i] = Next::Screen;
                Message::request(b"init", if shared { b"shared" } else { b"exclusive" })
            }
            (Next::Init, Side::Server) => {
                let size = (fields.be16()?, fields.be16()?);
                fields.take(16)?;
                let name = reason(fields)?;
                self.next[i] = Next::Screen;
                let mut message = Message::request(b"init", name);
                message.kind = Kind::Reply;
                message.detail("size", format!("{}x{}", size.0, size.1).as_bytes());
                message
            }
            (Next::Screen, _) => return None,
        };
        Some(Some(message))
    }

    /// Which ways to log in there are: in 3.3 the server decides, later the client does.
    fn offer(&mut self, fields: &mut Fields) -> Option<Message> {
        let (types, why) = if self.minor() < 7 {
            match fields.be32()? {
                0 => (Vec::new(), reason(fields)?),
                security => {
                    self.security = Some(security);
                    (vec![name(security)], &b""[..])
                }
            }
        } else {
            let types = fields.vec8()?.0;
            let why = if types.is_empty() { reason(fields)? } else { b"" };
            (types.iter().map(|t| name(u32::from(*t))).collect(), why)
        };
        self.next[1] = if types.is_empty() { Next::Screen } else { Next::Challenge };
        let object = if types.is_empty() { why.to_vec() } else { types.join(" ").into_bytes() };
        Some(Message { kind: Kind::Reply, ..Message::request(b"security", &object) })
    }
}

fn result(status: u32, reason: &[u8]) -> Message {
    let mut message = Message::request(b"result", reason);
    (message.kind, message.status) = (Kind::Reply, Some(i32::try_from(status).unwrap_or(-1)));
    message
}

/// Text behind its length. What is longer than a frame never comes whole and ends the talk, as it should.
fn reason<'a>(fields: &mut Fields<'a>) -> Option<&'a [u8]> {
    let length = fields.be32()? as usize;
    fields.take(length)
}

fn name(security: u32) -> String {
    let name = match security {
        1 => "none",
        2 => "vnc",
        5 => "ra2",
        6 => "ra2ne",
        16 => "tight",
        17 => "ultra",
        18 => "tls",
        19 => "vencrypt",
        20 => "sasl",
        30 => "apple",
        _ => return security.to_string(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    const NEW: &[u8] = b"RFB 003.008\n";
    const OLD: &[u8] = b"RFB 003.003\n";

    #[test]
    fn a_login_that_fails() {
        let messages = talk(
            "vnc",
            &[
                (Side::Server, NEW),
                (Side::Client, NEW),
                (Side::Server, &[2, 2, 16]),
                (Side::Client, &[2]),
                (Side::Server, &[0xaa; 16]),
                (Side::Client, &[0xbb; 16]),
                (Side::Server, b"\0\0\0\x01\0\0\0\x0dunauthorised!"),
            ],
        );
        let said = by(Side::Server, &messages);
        assert_eq!(said[0].software.as_deref(), Some("RFB 003.008"));
        assert_eq!(said[1].object.as_deref(), Some("vnc tight"));
        assert_eq!((said[2].status, said[2].object.as_deref()), (Some(1), Some("unauthorised!")));
        let asked = by(Side::Client, &messages);
        assert_eq!(asked[1].object.as_deref(), Some("vnc"));
        assert_eq!(asked[2].details, [("challenge", "aa".repeat(16)), ("response", "bb".repeat(16))]);
    }

    #[test]
    fn no_login_and_a_screen() {
        let mut screen = vec![4, 0, 3, 0];
        screen.extend([0; 16]);
        screen.extend(b"\0\0\0\x03lab");
        let messages = talk(
            "vnc",
            &[
                (Side::Server, NEW),
                (Side::Client, NEW),
                (Side::Server, &[1, 1]),
                (Side::Client, &[1]),
                (Side::Server, &[0; 4]),
                (Side::Client, &[1]),
                (Side::Server, &screen),
                (Side::Client, b"\x04\x01\0\0\0\0\0\x72"),
            ],
        );
        let said = by(Side::Server, &messages);
        assert_eq!((said[2].status, said[3].object.as_deref()), (Some(0), Some("lab")));
        assert_eq!(said[3].details, [("size", "1024x768".to_owned())]);
        let asked = by(Side::Client, &messages);
        assert_eq!((asked.len(), asked[2].object.as_deref()), (3, Some("shared")));
    }

    #[test]
    fn in_the_old_version_the_server_decides() {
        let messages = talk(
            "vnc",
            &[
                (Side::Server, NEW),
                (Side::Client, OLD),
                (Side::Server, &[0, 0, 0, 2]),
                (Side::Server, &[1; 16]),
                (Side::Client, &[2; 16]),
                (Side::Server, &[0, 0, 0, 1]),
            ],
        );
        let last = &messages.last().unwrap().1;
        assert_eq!((last.verb.as_deref(), last.status), (Some("result"), Some(1)));
        assert_eq!(by(Side::Client, &messages)[1].verb.as_deref(), Some("login"));
        assert_eq!(client(b"RFB x"), Match::No);
    }
}
