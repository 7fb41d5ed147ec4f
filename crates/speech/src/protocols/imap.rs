//! IMAP (RFC 3501, RFC 9051): commands with their tags, literals, replies.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | command | in upper case | arguments as sent, small literals with them | LOGIN: user, password; AUTHENTICATE: user, password; detail `tag` |
//! | answer to AUTHENTICATE's questions | AUTHENTICATE | line as sent | user, password |
//! | reply | | text behind the status | detail `status`: OK, NO, BAD, BYE …; the first one is a hello, its text the software |
//! | transfer | the command | its arguments | body: a literal too large to wait for |

use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::limits::LINE;
use crate::lines::{Lines, bare, word};
use crate::message::{Kind, Match, Message, Parser, Side};
use crate::sasl::Sasl;

/// Where it usually is.
pub const PORTS: &[u16] = &[143];

/// Literals up to this belong to the command's text; user names and passwords are shorter.
const LITERAL: u64 = 1024;

/// Commands that begin a talk.
const OWN: [&[u8]; 14] = [
    b"LOGIN", b"CAPABILITY", b"AUTHENTICATE", b"STARTTLS", b"LOGOUT", b"NOOP", b"ID", b"SELECT", b"EXAMINE", b"NAMESPACE",
    b"LIST", b"LSUB", b"APPEND", b"ENABLE",
];

/// A client begins with a tag and a command; a tag is a number, a letter, or has a digit in it.
pub fn client(bytes: &[u8]) -> Match {
    let (tag, rest) = word(bare(bytes.split(|b| *b == b'\n').next().unwrap_or_default()));
    let whole_tag = bytes.contains(&b' ');
    let tagged = (1..=16).contains(&tag.len())
        && tag.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'.')
        && (!whole_tag || tag.len() == 1 || tag.iter().any(u8::is_ascii_digit));
    let (verb, _) = word(rest);
    let whole = verb.len() < rest.len() || bytes.contains(&b'\n');
    let verb = verb.to_ascii_uppercase();
    match OWN.iter().any(|c| if whole { *c == verb } else { c.starts_with(&verb) }) {
        true if tagged && whole_tag && whole => Match::Yes,
        true if tagged && !whole => Match::Maybe,
        _ => Match::No,
    }
}

/// A server greets with `* OK` (RFC 3501, 7.1).
pub fn server(bytes: &[u8]) -> Match {
    [&b"* OK"[..], b"* PREAUTH", b"* BYE"].iter().fold(Match::No, |m, p| m.or(Match::prefix(bytes, p)))
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Imap {
    lines: Lines,
    sasl: Sasl,
    greeted: bool,
    /// Bytes of each side's literal that still come.
    literal: [u64; 2],
    /// What the client's belongs to.
    command: [String; 2],
    hash: Hash,
}

impl Parser for Imap {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while at < input.len() {
            let left = &mut self.literal[side.index()];
            if *left > 0 {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len() - at);
                *left -= taken as u64;
                let over = *left == 0;
                if side == Side::Client {
                    self.hash.add(&input[at..at + taken]);
                }
                at += taken;
                if over {
                    self.transfer(side, out);
                    // The end of the command behind its literal.
                    self.lines.gap(side);
                }
                continue;
            }
            let end = match side {
                Side::Client if !self.sasl.is_open() => command_end(&input[at..]),
                _ => None,
            };
            let message = match end {
                // Literals and all.
                Some(end) if end > 0 => {
                    let command = &input[at..at + end];
                    at += end;
                    self.command(bare(command.strip_suffix(b"\n").unwrap_or(command)))
                }
                Some(_) => break,
                None => {
                    let Some(line) = self.lines.next(side, input, &mut at) else { break };
                    self.literal[side.index()] = literal(line.text).map_or(0, |(n, _)| n);
                    let message = match side {
                        Side::Client => self.command(line.text),
                        Side::Server => self.reply(line.text),
                    };
                    message.map(|m| Message { cut: m.cut || line.cut, ..m })
                }
            };
            out.extend(message);
        }
        at
    }

    fn gap(&mut self, side: Side) {
        self.literal[side.index()] = 0;
        self.hash = Hash::default();
        self.lines.gap(side);
    }

    fn end(&mut self, side: Side, rest: &[u8], out: &mut Vec<Message>) {
        self.transfer(side, out);
        if side == Side::Client && !rest.is_empty() {
            out.extend(self.command(bare(rest)));
        }
    }
}

impl Imap {
    fn command(&mut self, line: &[u8]) -> Option<Message> {
        if self.sasl.is_open() {
            let mut message = Message::request(b"AUTHENTICATE", line);
            self.sasl.answer(line, &mut message);
            return Some(message);
        }
        let (tag, rest) = word(line);
        let (verb, arguments) = word(rest);
        if tag.is_empty() {
            return None;
        }
        let mut message = Message::request(&verb.to_ascii_uppercase(), arguments);
        message.detail("tag", tag);
        match message.verb.as_deref()? {
            "LOGIN" => {
                let (user, rest) = string(arguments);
                message.user = user.map(|u| message.keep(&u));
                message.password = string(rest).0.map(|p| message.keep(&p));
            }
            "AUTHENTICATE" => self.sasl.begin(arguments, &mut message),
            _ => {}
        }
        self.command = [message.verb.clone()?, message.object.clone()?];
        Some(message)
    }

    fn reply(&mut self, line: &[u8]) -> Option<Message> {
        let (tag, rest) = word(line);
        let (status, text) = word(rest);
        if !matches!(status, b"OK" | b"NO" | b"BAD" | b"BYE" | b"PREAUTH") {
            return None;
        }
        if tag != b"*" {
            self.sasl.close();
        }
        let greets = !std::mem::replace(&mut self.greeted, true) && tag == b"*";
        let mut message = Message::of(if greets { Kind::Hello } else { Kind::Reply });
        let text = Some(message.keep(text));
        *(if greets { &mut message.software } else { &mut message.object }) = text;
        message.detail("status", status);
        Some(message)
    }

    fn transfer(&mut self, side: Side, out: &mut Vec<Message>) {
        if side == Side::Client && self.hash.bytes() > 0 {
            let mut message = Message::of(Kind::Transfer);
            [message.verb, message.object] = self.command.clone().map(Some);
            message.body = Some(std::mem::take(&mut self.hash).body());
            out.push(message);
        }
    }
}

/// The number in `{12}` or `{12+}` (RFC 7888) at the end of a line, and where the brace is.
fn literal(line: &[u8]) -> Option<(u64, usize)> {
    let inner = line.strip_suffix(b"}")?;
    let inner = inner.strip_suffix(b"+").unwrap_or(inner);
    let at = inner.iter().rposition(|b| *b == b'{')?;
    let digits = &inner[at + 1..];
    let number = digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok()?.parse().ok());
    Some((number??, at))
}

/// How long the command at the front is, with the small literals in it; 0 where it is not there whole, `None` where a line is all
/// that is to be read: one without a literal, or with a large one.
fn command_end(input: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = input.get(at..)?.iter().take(LINE).position(|b| *b == b'\n');
        let Some(line) = line else {
            // What is no whole line is the business of lines, if it is the first.
            return (at > 0 && input.len() < LINE).then_some(0);
        };
        let end = at + line + 1;
        match literal(bare(&input[at..end - 1])) {
            Some((n, _)) if n <= LITERAL && end + (n as usize) < LINE => at = end + n as usize,
            Some(_) => return None,
            None => return (at > 0).then_some(end),
        }
        if at > input.len() {
            return Some(0);
        }
    }
}

/// An atom, a quoted string or a literal (RFC 3501, 4.3), and what is behind it.
fn string(bytes: &[u8]) -> (Option<Vec<u8>>, &[u8]) {
    let bytes = bytes.trim_ascii_start();
    match bytes.first() {
        None => (None, bytes),
        Some(b'"') => {
            let (mut text, mut at) = (Vec::new(), 1);
            while let Some(byte) = bytes.get(at).filter(|b| **b != b'"') {
                let escaped = *byte == b'\\' && at + 1 < bytes.len();
                at += usize::from(escaped);
                text.push(bytes[at]);
                at += 1;
            }
            (Some(text), bytes.get(at + 1..).unwrap_or_default())
        }
        Some(b'{') => {
            let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
            let length = literal(bare(&bytes[..end])).map_or(0, |(n, _)| usize::try_from(n).unwrap_or(usize::MAX));
            let rest = bytes.get(end + 1..).unwrap_or_default();
            let (text, rest) = rest.split_at(length.min(rest.len()));
            (Some(text.to_vec()), rest)
        }
        Some(_) => {
            let (atom, rest) = word(bytes);
            (Some(atom.to_vec()), rest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    fn logins(messages: &[(Side, Message)]) -> Vec<(String, String)> {
        messages.iter().filter_map(|(_, m)| Some((m.user.clone()?, m.password.clone()?))).collect()
    }

    #[test]
    fn logins_in_every_form_of_string() {
        let messages = talk(
            "imap",
            &[
                (Side::Server, b"* OK [CAPABILITY IMAP4rev1] Dovecot ready.\r\n"),
                (Side::Client, b"a001 LOGIN SMITH SESAME\r\na2 login \"o \\\"x\" \"\"\r\n"),
                (Side::Server, b"a001 NO failed\r\n* 18 EXISTS\r\n+ Ready\r\n"),
                // RFC 3501, 6.2.3 and 7.5.
                (Side::Client, b"A001 LOGIN {11}\r\nFRED FOOBAR {7}\r\nfat man\r\n. AUTHENTICATE PLAIN\r\n"),
                (Side::Server, b"+\r\n"),
                (Side::Client, b"AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n9 LOGOUT"),
            ],
        );
        let wanted = [("SMITH", "SESAME"), ("o \"x", ""), ("FRED FOOBAR", "fat man"), ("tim", "tanstaaftanstaaf")];
        assert_eq!(logins(&messages), wanted.map(|(u, p)| (u.to_owned(), p.to_owned())));
        let verbs: Vec<_> = by(Side::Client, &messages).iter().map(|m| m.verb.clone().unwrap()).collect();
        assert_eq!(verbs, ["LOGIN", "LOGIN", "LOGIN", "AUTHENTICATE", "AUTHENTICATE", "LOGOUT"]);
        let said = by(Side::Server, &messages);
        assert_eq!((said.len(), said[0].software.as_deref()), (2, Some("[CAPABILITY IMAP4rev1] Dovecot ready.")));
    }

    #[test]
    fn a_large_literal_is_a_body() {
        let mail = vec![b'm'; 100_000];
        let said = [b"1 APPEND Sent {100000+}\r\n", mail.as_slice(), b"\r\n2 NOOP\r\n"].concat();
        let messages = talk("imap", &[(Side::Client, &said)]);
        let verbs: Vec<_> = messages.iter().map(|(_, m)| m.verb.as_deref().unwrap()).collect();
        assert_eq!(verbs, ["APPEND", "APPEND", "NOOP"]);
        assert_eq!(messages[1].1.body, Some(Hash::of(&mail)));
    }

    #[test]
    fn others_are_not_imap() {
        assert_eq!([client(b"GET LOGIN\r\n"), client(b"a l"), client(b"start x\n")], [Match::No, Match::Maybe, Match::No]);
    }
}
