//! SOCKS 4, 4a and 5 (RFC 1928, 1929): who looks for open proxies, and where they want to go.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | methods | methods | numbers, with spaces between | hello; the server's answer: status, the number taken |
//! | login | login | | user, password; the server's answer: status |
//! | request | CONNECT, BIND, UDP ASSOCIATE | address or name, and port | user of SOCKS 4; details: version; the server's answer: status, address |
//! | what goes through | | | transfer of either side with its body, when the connection ends |

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::binary::Fields;
use crate::hash::Hash;
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[1080, 1081, 4145, 9050, 10808];

/// A client begins with the methods that it knows, or with a whole request of version 4.
pub fn client(bytes: &[u8]) -> Match {
    match bytes {
        [4] | [5] => Match::Maybe,
        [5, count @ 1..=9, rest @ ..] => {
            let count = usize::from(*count);
            let methods = &rest[..rest.len().min(count)];
            let known = methods.iter().enumerate().all(|(i, m)| matches!(m, 0..=3 | 5..=9) && !methods[..i].contains(m));
            match rest.get(count) {
                // Who does not wait goes on with a login or a request.
                _ if !known => Match::No,
                Some(next) if !matches!(next, 1 | 5) => Match::No,
                _ if rest.len() >= count => Match::Yes,
                _ => Match::Maybe,
            }
        }
        [4, 1 | 2, rest @ ..] => old_client(rest),
        _ => Match::No,
    }
}

/// The request of version 4 behind its command. It must be whole, because its beginning says so little.
fn old_client(rest: &[u8]) -> Match {
    let mut fields = Fields(rest);
    let (Some(port), Some(address)) = (fields.be16(), fields.take(4)) else { return Match::Maybe };
    let named = address[..3] == [0; 3] && address[3] != 0;
    let printable = |text: &[u8]| text.iter().all(|b| matches!(b, b'!'..=b'~'));
    if port == 0 || (address[0] == 0 && !named) || address[0] >= 224 {
        return Match::No;
    }
    let Some(user) = fields.until_nul() else {
        return if printable(fields.0) && fields.0.len() < 256 { Match::Maybe } else { Match::No };
    };
    if !printable(user) {
        return Match::No;
    }
    if !named {
        return Match::Yes;
    }
    match fields.until_nul() {
        Some(name) if printable(name) && name.contains(&b'.') => Match::Yes,
        None if printable(fields.0) && fields.0.len() < 256 => Match::Maybe,
        _ => Match::No,
    }
}

/// A server answers in two bytes, or eight: both may be anything.
pub fn server(bytes: &[u8]) -> Match {
    match bytes {
        [5] | [5, 0 | 2 | 0xff] | [0] | [0, 0x5a..=0x5d] => Match::Maybe,
        [0, 0x5a..=0x5d, rest @ ..] if rest.len() <= 6 => Match::Maybe,
        _ => Match::No,
    }
}

/// What a side says next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Next {
    #[default]
    Begin,
    Login,
    Request,
    Through,
    /// Nothing that we read.
    Lost,
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Socks {
    next: [Next; 2],
    through: [Hash; 2],
    torn: bool,
}

impl Parser for Socks {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut fields = Fields(input);
        let i = side.index();
        while !fields.0.is_empty() {
            match self.next[i] {
                Next::Through => self.through[i].add(fields.rest()),
                Next::Lost => drop(fields.rest()),
                _ => {
                    let mut after = fields;
                    let message = match side {
                        Side::Client => self.ask(&mut after),
                        Side::Server => self.answer(&mut after),
                    };
                    let Some(message) = message else { break };
                    out.extend(message);
                    fields = after;
                }
            }
        }
        input.len() - fields.0.len()
    }

    fn gap(&mut self, side: Side) {
        self.torn = true;
        if self.next[side.index()] != Next::Through {
            self.next[side.index()] = Next::Lost;
        }
    }

    fn end(&mut self, side: Side, _rest: &[u8], out: &mut Vec<Message>) {
        let hash = std::mem::take(&mut self.through[side.index()]);
        if hash.bytes() > 0 {
            out.push(Message { body: Some(hash.body()), cut: self.torn, ..Message::of(Kind::Transfer) });
        }
    }
}

impl Socks {
    /// The client's next message if it is there whole; nothing inside where it is none.
    fn ask(&mut self, fields: &mut Fields) -> Option<Option<Message>> {
        let version = fields.byte()?;
        let next = self.next[0];
        let message = match (next, version) {
            (Next::Begin, 5) => {
                self.next[0] = Next::Login;
                let methods = fields.vec8()?.0;
                let names = methods.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
                let mut message = Message::request(b"methods", names.as_bytes());
                message.kind = Kind::Hello;
                message.detail("version", b"5");
                message
            }
            (Next::Begin, 4) => {
                self.next = [Next::Through, Next::Request];
                old_request(fields)?
            }
            (Next::Login, 1) => {
                let (user, password) = (fields.vec8()?.0, fields.vec8()?.0);
                self.next[0] = Next::Request;
                let mut message = Message::of(Kind::Request);
                message.verb = Some("login".into());
                message.user = Some(message.keep(user));
                message.password = Some(message.keep(password));
                message
            }
            (Next::Login | Next::Request, 5) => {
                let command = fields.byte()?;
                fields.byte()?;
                let Some(object) = address(fields)? else {
                    self.next[0] = Next::Lost;
                    return Some(None);
                };
                self.next[0] = Next::Through;
                let mut message = Message::request(command_name(command), object.as_bytes());
                message.detail("version", b"5");
                message
            }
            _ => {
                self.next[0] = Next::Lost;
                return Some(None);
            }
        };
        Some(Some(message))
    }

    /// The same of the server. Version 4 answers with a zero, 5 with its number, a login with one.
    fn answer(&mut self, fields: &mut Fields) -> Option<Option<Message>> {
        let version = fields.byte()?;
        let status = fields.byte()?;
        let mut message = Message::of(Kind::Reply);
        message.status = Some(i32::from(status));
        match (self.next[1], version) {
            (Next::Begin | Next::Request, 0) => {
                let (port, address) = (fields.be16()?, <[u8; 4]>::try_from(fields.take(4)?).ok()?);
                message.object = Some(format!("{}:{port}", Ipv4Addr::from(address)));
                self.next[1] = if status == 0x5a { Next::Through } else { Next::Lost };
            }
            (Next::Begin, 5) => {
                message.verb = Some("methods".into());
                self.next[1] = match status {
                    2 => Next::Login,
                    0xff => Next::Lost,
                    _ => Next::Request,
                };
            }
            (Next::Login, 1) => {
                message.verb = Some("login".into());
                self.next[1] = if status == 0 { Next::Request } else { Next::Lost };
            }
            (Next::Request, 5) => {
                fields.byte()?;
                message.object = address(fields)?;
                self.next[1] = if status == 0 { Next::Through } else { Next::Lost };
            }
            _ => {
                self.next[1] = Next::Lost;
                return Some(None);
            }
        }
        Some(Some(message))
    }
}

/// A request of version 4 or, with a name in place of the address 0.0.0.x, 4a.
fn old_request(fields: &mut Fields) -> Option<Message> {
    let (command, port) = (fields.byte()?, fields.be16()?);
    let address = <[u8; 4]>::try_from(fields.take(4)?).ok()?;
    let user = fields.until_nul()?;
    let named = address[..3] == [0; 3] && address[3] != 0;
    let host = if named { crate::message::text(fields.until_nul()?) } else { Ipv4Addr::from(address).to_string() };
    let mut message = Message::request(command_name(command), format!("{host}:{port}").as_bytes());
    message.user = (!user.is_empty()).then(|| message.keep(user));
    message.detail("version", if named { b"4a" } else { b"4" });
    Some(message)
}

/// Address and port, if they are there whole; nothing inside where the kind of address is none.
fn address(fields: &mut Fields) -> Option<Option<String>> {
    let host = match fields.byte()? {
        1 => Ipv4Addr::from(<[u8; 4]>::try_from(fields.take(4)?).ok()?).to_string(),
        3 => crate::message::text(fields.vec8()?.0),
        4 => format!("[{}]", Ipv6Addr::from(<[u8; 16]>::try_from(fields.take(16)?).ok()?)),
        _ => return Some(None),
    };
    let port = fields.be16()?;
    Some(Some(format!("{host}:{port}")))
}

fn command_name(command: u8) -> &'static [u8] {
    match command {
        1 => b"CONNECT",
        2 => b"BIND",
        3 => b"UDP ASSOCIATE",
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    #[test]
    fn a_login_and_what_goes_through() {
        let messages = talk(
            "socks",
            &[
                (Side::Client, b"\x05\x02\0\x02"),
                (Side::Server, b"\x05\x02"),
                (Side::Client, b"\x01\x05admin\x061 2345"),
                (Side::Server, b"\x01\0"),
                (Side::Client, b"\x05\x01\0\x03\x0bexample.com\0\x50"),
                (Side::Server, b"\x05\0\0\x01\xc0\0\x02\x07\x04\x38"),
                (Side::Client, b"GET / HTTP/1.0\r\n\r\n"),
                (Side::Server, b"HTTP/1.0 200 OK\r\n\r\n"),
            ],
        );
        let asked = by(Side::Client, &messages);
        assert_eq!((asked[0].kind, asked[0].object.as_deref()), (Kind::Hello, Some("0 2")));
        assert_eq!((asked[1].user.as_deref(), asked[1].password.as_deref()), (Some("admin"), Some("1 2345")));
        assert_eq!((asked[2].verb.as_deref(), asked[2].object.as_deref()), (Some("CONNECT"), Some("example.com:80")));
        assert_eq!(asked[3].body, Some(Hash::of(b"GET / HTTP/1.0\r\n\r\n")));
        let said = by(Side::Server, &messages);
        assert_eq!(said.iter().map(|m| m.status).collect::<Vec<_>>(), [Some(2), Some(0), Some(0), None]);
        assert_eq!(said[2].object.as_deref(), Some("192.0.2.7:1080"));
    }

    #[test]
    fn version_4_and_4a() {
        let messages = talk(
            "socks",
            &[(Side::Client, b"\x04\x01\0\x50\x42\x66\x07\x63Fred\0"), (Side::Server, b"\0\x5b\0\0\0\0\0\0")],
        );
        assert_eq!((messages[0].1.user.as_deref(), messages[0].1.object.as_deref()), (Some("Fred"), Some("66.102.7.99:80")));
        assert_eq!(messages[1].1.status, Some(0x5b));
        let named = talk("socks", &[(Side::Client, b"\x04\x01\0\x19\0\0\0\x01\0mail.example\0")]);
        assert_eq!(named[0].1.object.as_deref(), Some("mail.example:25"));
    }

    #[test]
    fn alike_and_not_it() {
        // The answer of an SQL server, an RPC bind.
        assert_eq!(client(b"\x04\x01\0\x2b\0\0\x01\0\0\0"), Match::No);
        assert_eq!(client(b"\x05\0\x0b\x03\x10\0\0\0"), Match::No);
        assert_eq!(client(b"\x05\x02\0\0"), Match::No);
        assert_eq!(client(b"\x05\x01\0GET"), Match::No);
    }
}
