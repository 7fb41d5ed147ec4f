//! POP3 (RFC 1939, RFC 5034): commands and replies; what of a mailbox is shown is passed over.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | command | in upper case | argument as sent | PASS: user (the last USER), password; APOP: user, detail `digest`; AUTH: user, password |
//! | answer to AUTH's questions | AUTH | line as sent | user, password |
//! | reply | | `+OK` or `-ERR` and text, as sent | the first one is a hello, its text the software |

use serde::{Deserialize, Serialize};

use crate::lines::{Lines, bare, word};
use crate::message::{Kind, Match, Message, Parser, Side};
use crate::sasl::Sasl;

/// Where it usually is.
pub const PORTS: &[u16] = &[110];

const OWN: [&[u8]; 4] = [b"APOP", b"CAPA", b"UIDL", b"STLS"];

const SHARED: [&[u8]; 6] = [b"USER", b"PASS", b"AUTH", b"QUIT", b"NOOP", b"STAT"];

/// A client begins with a command.
pub fn client(bytes: &[u8]) -> Match {
    let (first, _) = word(bare(bytes.split(|b| *b == b'\n').next().unwrap_or_default()));
    let first = first.to_ascii_uppercase();
    let whole = bytes.iter().any(|b| matches!(b, b' ' | b'\n'));
    let is = |list: &[&[u8]]| list.iter().any(|c| if whole { *c == first } else { c.starts_with(&first) });
    match (is(&OWN), is(&SHARED)) {
        (true, _) if whole => Match::Yes,
        (false, false) => Match::No,
        _ => Match::Maybe,
    }
}

/// A server says `+OK` and some words; alone it is what Redis says too.
pub fn server(bytes: &[u8]) -> Match {
    match bytes {
        [b'+', b'O', b'K', b' ', word, ..] if !matches!(word, b'\r' | b'\n') => Match::Yes,
        _ => [&b"+OK "[..], b"+OK\r\n", b"-ERR"].iter().fold(Match::No, |m, p| match Match::prefix(bytes, p) {
            Match::No => m,
            _ => Match::Maybe,
        }),
    }
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pop3 {
    lines: Lines,
    sasl: Sasl,
    user: Option<String>,
    greeted: bool,
}

impl Parser for Pop3 {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while let Some(line) = self.lines.next(side, input, &mut at) {
            let message = match side {
                Side::Client => self.command(line.text),
                Side::Server => self.reply(line.text),
            };
            out.extend(message.map(|m| Message { cut: m.cut || line.cut, ..m }));
        }
        at
    }

    fn gap(&mut self, side: Side) {
        self.lines.gap(side);
    }

    fn end(&mut self, side: Side, rest: &[u8], out: &mut Vec<Message>) {
        if side == Side::Client && !rest.is_empty() {
            out.extend(self.command(bare(rest)));
        }
    }
}

impl Pop3 {
    fn command(&mut self, line: &[u8]) -> Option<Message> {
        if self.sasl.is_open() {
            let mut message = Message::request(b"AUTH", line);
            self.sasl.answer(line, &mut message);
            return Some(message);
        }
        let (verb, argument) = word(line);
        if verb.is_empty() {
            return None;
        }
        let mut message = Message::request(&verb.to_ascii_uppercase(), argument);
        match message.verb.as_deref()? {
            "USER" => self.user = message.object.clone(),
            "PASS" => (message.user, message.password) = (self.user.clone(), message.object.clone()),
            "APOP" => {
                let (user, digest) = word(argument);
                message.user = Some(message.keep(user));
                message.detail("digest", digest);
            }
            "AUTH" => self.sasl.begin(argument, &mut message),
            _ => {}
        }
        Some(message)
    }

    fn reply(&mut self, line: &[u8]) -> Option<Message> {
        if line.starts_with(b"+ ") || line == b"+" {
            return None;
        }
        let (status, text) = word(line);
        if !matches!(status, b"+OK" | b"-ERR") {
            return None;
        }
        self.sasl.close();
        let greets = !std::mem::replace(&mut self.greeted, true);
        let mut message = Message::of(if greets { Kind::Hello } else { Kind::Reply });
        if greets {
            message.software = Some(message.keep(text));
        } else {
            message.object = Some(message.keep(line));
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    #[test]
    fn logins_of_three_sorts() {
        let messages = talk(
            "pop3",
            &[
                (Side::Server, b"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n"),
                // RFC 1939, 7.
                (Side::Client, b"APOP mrose c4c9334bac560ecc979e58001b3e22fb\r\n"),
                (Side::Server, b"-ERR no\r\n"),
                (Side::Client, b"user mrose\r\npass tan staaf\r\n"),
                (Side::Server, b"+OK\r\n-ERR no\r\n"),
                (Side::Client, b"AUTH PLAIN\r\n"),
                (Side::Server, b"+ \r\n"),
                (Side::Client, b"AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n"),
                (Side::Server, b"+OK\r\nmail\r\n.\r\n"),
            ],
        );
        let asked = by(Side::Client, &messages);
        assert_eq!((asked[0].user.as_deref(), asked[0].details.len()), (Some("mrose"), 1));
        let logins: Vec<_> =
            asked.iter().filter_map(|m| Some((m.user.as_deref()?, m.password.as_deref()?))).collect();
        assert_eq!(logins, [("mrose", "tan staaf"), ("tim", "tanstaaftanstaaf")]);
        let said: Vec<_> = by(Side::Server, &messages).iter().map(|m| m.object.as_deref()).collect();
        assert_eq!(said, [None, Some("-ERR no"), Some("+OK"), Some("-ERR no"), Some("+OK")]);
    }
}
