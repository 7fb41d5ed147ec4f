//! PostgreSQL (its documentation, chapter Frontend/Backend Protocol, version 3): start, login, queries, errors.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | wish for TLS | ssl, gss | | answer: status 0 where granted; what follows is not read |
//! | start | startup | database | user; software: application_name; details: options, replication |
//! | login | login | | user; password where sent in clear; details: response, mechanism |
//! | query | query, parse | its text | |
//! | cancel, end | cancel, terminate | | |
//! | version | | | hello; software: server_version |
//! | answer | method that a login needs | text of an error, tag of a command | status 0 of a login that is right; details: sqlstate |

use serde::{Deserialize, Serialize};

use crate::binary::Fields;
use crate::frames::{Frames, Length};
use crate::lines::is_text;
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[5432, 5433];

/// First messages have no type but a number: 3.0, 3.2, cancel, TLS, GSS.
const FIRST: [(u32, &str); 5] = [
    (3 << 16, "startup"),
    (3 << 16 | 2, "startup"),
    (80_877_102, "cancel"),
    (80_877_103, "ssl"),
    (80_877_104, "gss"),
];

/// A first message may be so long (the server's own bound).
const FIRST_BYTES: usize = 10_000;

/// A client begins with a length and one of five numbers.
pub fn client(bytes: &[u8]) -> Match {
    if bytes.is_empty() || bytes.iter().take(2).any(|b| *b != 0) {
        return Match::No;
    }
    let Some((length, number)) = bytes.split_at_checked(4) else { return Match::Maybe };
    if !(8..=FIRST_BYTES).contains(&(Fields(length).be32().unwrap_or_default() as usize)) {
        return Match::No;
    }
    if number.is_empty() {
        return Match::Maybe;
    }
    FIRST.iter().fold(Match::No, |m, (n, _)| m.or(Match::prefix(number, &n.to_be_bytes())))
}

/// A server asks for a login or refuses; to a wish for TLS it answers one letter.
pub fn server(bytes: &[u8]) -> Match {
    match bytes {
        [b'S' | b'N' | b'R' | b'E'] => Match::Maybe,
        [b'R', rest @ ..] => Match::prefix(rest, &[0, 0, 0, 8, 0, 0, 0]).or(Match::prefix(rest, &[0, 0, 0, 12, 0, 0, 0, 5])),
        [b'E', rest @ ..] if rest.iter().take(2).all(|b| *b == 0) => match rest.get(4..) {
            None | Some([]) => Match::Maybe,
            Some([b'S', severity @ ..]) => [&b"FATAL"[..], b"ERROR", b"PANIC"]
                .iter()
                .fold(if severity.is_empty() { Match::Maybe } else { Match::No }, |m, s| m.or(Match::prefix(severity, s))),
            _ => Match::No,
        },
        _ => Match::No,
    }
}

fn untyped(bytes: &[u8]) -> Length {
    match Fields(bytes).be32().map(|n| n as usize) {
        Some(length @ 8..=FIRST_BYTES) => Length::Of(length),
        Some(_) => Length::Wrong,
        None => Length::Short,
    }
}

fn typed(bytes: &[u8]) -> Length {
    match Fields(bytes.get(1..).unwrap_or_default()).be32() {
        Some(length) if length >= 4 && bytes[0].is_ascii_alphanumeric() => Length::Of(1 + length as usize),
        Some(_) => Length::Wrong,
        None => Length::Short,
    }
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Postgresql {
    frames: Frames,
    started: bool,
    /// Wishes for TLS that have no answer.
    wishes: u8,
    /// Nothing that follows can be read.
    veiled: bool,
    user: Option<String>,
    /// What the server last asked the client to log in with.
    method: Option<u32>,
}

impl Parser for Postgresql {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while !self.veiled && at < input.len() {
            if side == Side::Server && self.wishes > 0 && matches!(input[at], b'S' | b'G' | b'N') {
                self.wishes -= 1;
                self.veiled = input[at] != b'N';
                out.push(Message { status: Some(i32::from(!self.veiled)), ..Message::of(Kind::Reply) });
                at += 1;
                continue;
            }
            // A client that was granted TLS says a TLS hello, also where the grant was not seen.
            self.veiled |= side == Side::Client && !self.started && input[at] == 0x16;
            let untyped_now = side == Side::Client && !self.started;
            let length = if untyped_now { untyped } else { typed };
            let Some(frame) = self.frames.next(side, input, &mut at, length) else { break };
            let message = match side {
                Side::Client if untyped_now => self.first(frame.bytes),
                Side::Client => self.ask(frame.bytes),
                Side::Server => self.answer(frame.bytes),
            };
            out.extend(message.map(|m| Message { cut: m.cut || frame.cut, ..m }));
        }
        if self.veiled { input.len() } else { at }
    }

    fn gap(&mut self, side: Side) {
        // A start that was lost is behind us.
        self.started |= side == Side::Client;
        self.frames.gap(side);
    }

    fn end(&mut self, _side: Side, _rest: &[u8], _out: &mut Vec<Message>) {}
}

impl Postgresql {
    fn first(&mut self, frame: &[u8]) -> Option<Message> {
        let mut fields = Fields(frame);
        fields.be32()?;
        let number = fields.be32()?;
        let (_, verb) = FIRST.iter().find(|(n, _)| *n == number)?;
        let mut message = Message::request(verb.as_bytes(), b"");
        match *verb {
            "ssl" | "gss" => self.wishes = self.wishes.saturating_add(1),
            "startup" => {
                self.started = true;
                while let (Some(name @ [_, ..]), Some(value)) = (fields.until_nul(), fields.until_nul()) {
                    match name {
                        b"user" => message.user = Some(message.keep(value)),
                        b"database" => message.object = Some(message.keep(value)),
                        b"application_name" => message.software = Some(message.keep(value)),
                        b"options" => message.detail("options", value),
                        b"replication" => message.detail("replication", value),
                        _ => {}
                    }
                }
                self.user = message.user.clone();
            }
            _ => {}
        }
        Some(message)
    }

    fn ask(&mut self, frame: &[u8]) -> Option<Message> {
        let mut fields = Fields(frame.get(5..)?);
        match frame[0] {
            b'p' => Some(self.login(fields)),
            b'Q' => Some(Message::request(b"query", fields.until_nul().unwrap_or(fields.0))),
            b'P' => {
                fields.until_nul()?;
                Some(Message::request(b"parse", fields.until_nul().unwrap_or(fields.0)))
            }
            b'X' => Some(Message::request(b"terminate", b"")),
            _ => None,
        }
    }

    /// A password, or what proves that the client knows it; where the server was not heard its form tells.
    fn login(&mut self, mut fields: Fields) -> Message {
        let mut message = Message::of(Kind::Request);
        message.verb = Some("login".into());
        message.user = self.user.clone();
        let text = fields.0.strip_suffix(&[0]);
        match (self.method, text) {
            (None, Some(text)) if text.starts_with(b"md5") && text.len() == 35 => message.detail("response", text),
            (None | Some(3), Some(text)) if !text.contains(&0) => message.password = Some(message.keep(text)),
            (Some(5), Some(text)) => message.detail("response", text),
            (None | Some(10), _) if fields.0.starts_with(b"SCRAM-") => {
                message.detail("mechanism", fields.until_nul().unwrap_or_default());
                message.detail("response", fields.0.get(4..).unwrap_or_default());
            }
            (_, _) if is_text(fields.0) => message.detail("response", fields.0),
            _ => {}
        }
        message
    }

    fn answer(&mut self, frame: &[u8]) -> Option<Message> {
        let mut fields = Fields(frame.get(5..)?);
        let mut message = Message::of(Kind::Reply);
        match frame[0] {
            b'R' => {
                let method = fields.be32()?;
                self.method = Some(method);
                let verb = match method {
                    0 => {
                        message.status = Some(0);
                        return Some(message);
                    }
                    2 => "kerberos",
                    3 => "password",
                    5 => "md5",
                    7 => "gss",
                    9 => "sspi",
                    10 => "sasl",
                    _ => return None,
                };
                message.verb = Some(verb.into());
                if method == 5 {
                    message.detail("challenge", crate::binary::hex(fields.take(4)?).as_bytes());
                }
            }
            b'E' => {
                while let Some([kind, value @ ..]) = fields.until_nul() {
                    match kind {
                        b'M' => message.object = Some(message.keep(value)),
                        b'C' => message.detail("sqlstate", value),
                        _ => {}
                    }
                }
            }
            b'S' => {
                let version = fields.until_nul()? == b"server_version";
                let value = fields.until_nul().filter(|_| version)?;
                message.kind = Kind::Hello;
                message.software = Some(message.keep(value));
            }
            b'C' => message.object = Some(message.keep(fields.until_nul()?)),
            _ => return None,
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    fn typed(kind: u8, content: &[u8]) -> Vec<u8> {
        [&[kind][..], &(content.len() as u32 + 4).to_be_bytes(), content].concat()
    }

    fn startup() -> Vec<u8> {
        let content = b"\0\x03\0\0user\0postgres\0database\0template1\0application_name\0psql\0\0";
        [&(content.len() as u32 + 4).to_be_bytes()[..], content].concat()
    }

    const SSL: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";

    #[test]
    fn a_password_in_clear_and_a_query() {
        let program = b"COPY t FROM PROGRAM 'id'\0";
        let messages = talk(
            "postgresql",
            &[
                (Side::Client, SSL),
                (Side::Server, b"N"),
                (Side::Client, &startup()),
                (Side::Server, b"R\0\0\0\x08\0\0\0\x03"),
                (Side::Client, &typed(b'p', b"123456\0")),
                (Side::Server, b"R\0\0\0\x08\0\0\0\0"),
                (Side::Server, &typed(b'S', b"server_version\09.6.1\0")),
                (Side::Server, &typed(b'S', b"TimeZone\0UTC\0")),
                (Side::Client, &typed(b'Q', program)),
                (Side::Server, &typed(b'C', b"COPY 1\0")),
                (Side::Client, &typed(b'P', b"name\0select 1\0\0\0")),
                (Side::Client, &typed(b'X', b"")),
            ],
        );
        let asked = by(Side::Client, &messages);
        let verbs: Vec<_> = asked.iter().filter_map(|m| m.verb.as_deref()).collect();
        assert_eq!(verbs, ["ssl", "startup", "login", "query", "parse", "terminate"]);
        assert_eq!((asked[1].object.as_deref(), asked[1].software.as_deref()), (Some("template1"), Some("psql")));
        assert_eq!((asked[2].user.as_deref(), asked[2].password.as_deref()), (Some("postgres"), Some("123456")));
        assert_eq!(asked[3].object.as_deref(), Some("COPY t FROM PROGRAM 'id'"));
        assert_eq!(asked[4].object.as_deref(), Some("select 1"));
        let said = by(Side::Server, &messages);
        assert_eq!((said[0].status, said[1].verb.as_deref()), (Some(1), Some("password")));
        assert_eq!((said[2].status, said[3].software.as_deref()), (Some(0), Some("9.6.1")));
        assert_eq!((said.len(), said[4].object.as_deref()), (5, Some("COPY 1")));
    }

    #[test]
    fn a_hashed_password_and_an_error() {
        let error = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"postgres\"\0\0";
        let hash = b"md53175bce1d3201d16594cebf9d7eb3f9d\0";
        let messages = talk(
            "postgresql",
            &[
                (Side::Client, &startup()),
                (Side::Server, b"R\0\0\0\x0c\0\0\0\x05\x93\x8a\x12\x01"),
                (Side::Client, &typed(b'p', hash)),
                (Side::Server, &typed(b'E', error)),
            ],
        );
        let login = by(Side::Client, &messages)[1];
        assert_eq!((login.password.as_deref(), login.details[0].1.as_bytes()), (None, &hash[..35]));
        let refused = by(Side::Server, &messages)[1];
        assert_eq!(refused.details, [("sqlstate", "28P01".to_owned())]);
        assert!(refused.object.as_ref().unwrap().starts_with("password authentication failed"));
        // Without the server's words the form of the answer tells.
        let alone = talk("postgresql", &[(Side::Client, &startup()), (Side::Client, &typed(b'p', hash))]);
        assert_eq!(alone[1].1.password, None);
    }

    #[test]
    fn behind_tls_nothing_is_read() {
        let messages = talk(
            "postgresql",
            &[(Side::Client, SSL), (Side::Server, b"S"), (Side::Client, b"\x16\x03\x01\x02\0\x01\0\x01\xfc")],
        );
        assert_eq!((messages.len(), messages[1].1.status), (2, Some(0)));
        assert_eq!(server(b"R\0\0\0\x08\0\0\0\x03"), Match::Yes);
        assert_eq!(server(b"SSH-2.0-x\r\n"), Match::No);
        assert_eq!(client(b"\0\0\0\x2f\xffSMB"), Match::No);
    }
}
