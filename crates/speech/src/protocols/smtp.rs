//! SMTP (RFC 5321): commands, replies, mails.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | command | in upper case | argument as sent: `FROM:<a@b>` | AUTH: user, password |
//! | answer to AUTH's questions | AUTH | line as sent | user, password; CRAM-MD5: the digest as a detail |
//! | reply | | text of its last line | status; the first one is a hello, its text the software |
//! | transfer | DATA, BDAT | the last recipient | body: the mail without the dots that were put before dots |

use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::lines::{Lines, bare, end_of_line, is_text, word};
use crate::message::{Kind, Match, Message, Parser, Side};
use crate::sasl::Sasl;

/// Where it usually is.
pub const PORTS: &[u16] = &[25, 587, 2525];

/// Commands that only mail has.
const OWN: [&[u8]; 9] =
    [b"EHLO", b"HELO", b"LHLO", b"MAIL", b"RCPT", b"VRFY", b"EXPN", b"BDAT", b"STARTTLS"];

/// Commands that FTP and POP3 have too.
const SHARED: [&[u8]; 6] = [b"AUTH", b"QUIT", b"NOOP", b"RSET", b"HELP", b"DATA"];

/// A client begins with a command.
pub fn client(bytes: &[u8]) -> Match {
    let end = end_of_line(bytes);
    let (first, _) = word(bare(&bytes[..end.unwrap_or(bytes.len())]));
    let first = first.to_ascii_uppercase();
    let whole = bytes.iter().any(|b| matches!(b, b' ' | b'\n'));
    let is = |list: &[&[u8]]| list.iter().any(|c| if whole { *c == first } else { c.starts_with(&first) });
    match (is(&OWN), is(&SHARED)) {
        (true, _) if whole => Match::Yes,
        (false, false) => Match::No,
        _ => Match::Maybe,
    }
}

/// A server greets with 220, as one of FTP does, or refuses with 554; one that says SMTP is one.
pub fn server(bytes: &[u8]) -> Match {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let greets = [&b"220 "[..], b"220-", b"554 "].iter().fold(Match::No, |m, p| m.or(Match::prefix(bytes, p)));
    if greets != Match::Yes || !is_text(&line[..line.len().min(64)]) {
        return if greets == Match::Maybe { Match::Maybe } else { Match::No };
    }
    let says = |word: &[u8]| line.to_ascii_uppercase().windows(word.len()).any(|w| w == word);
    if says(b"SMTP") { Match::Yes } else { Match::Maybe }
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Smtp {
    lines: Lines,
    sasl: Sasl,
    mode: Mode,
    greeted: bool,
    /// Commands without a reply.
    open: u32,
    recipient: Option<String>,
    mail: Hash,
    torn: bool,
}

/// What the client's next bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Mode {
    #[default]
    Commands,
    /// A mail, unless the server refuses: who does not wait for its answer sends one.
    Asked,
    /// A mail; whether a line of it begins here.
    Mail(bool),
    /// So many bytes of a mail (RFC 3030).
    Piece(u64),
}

impl Parser for Smtp {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            if side == Side::Client && self.mode == Mode::Asked {
                self.mode = Mode::Mail(true);
            }
            let taken = match (side, self.mode) {
                (Side::Client, Mode::Mail(start)) => self.mail(start, rest, out),
                (Side::Client, Mode::Piece(left)) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    self.mail.add(&rest[..taken]);
                    self.mode = Mode::Piece(left - taken as u64);
                    if left == taken as u64 {
                        self.deliver("BDAT", out);
                    }
                    taken
                }
                _ => {
                    let Some(line) = self.lines.next(side, input, &mut at) else { break };
                    let message = match side {
                        Side::Client => self.command(line.text),
                        Side::Server => self.reply(line.text),
                    };
                    out.extend(message.map(|m| Message { cut: m.cut || line.cut, ..m }));
                    continue;
                }
            };
            if taken == 0 {
                break;
            }
            at += taken;
        }
        at
    }

    fn gap(&mut self, side: Side) {
        match (side, self.mode) {
            // The end of the mail may still come.
            (Side::Client, Mode::Mail(_) | Mode::Asked) => (self.mode, self.torn) = (Mode::Mail(false), true),
            (Side::Client, Mode::Piece(_)) => {
                (self.mode, self.mail) = (Mode::Commands, Hash::default());
                self.lines.gap(side);
            }
            _ => self.lines.gap(side),
        }
    }

    fn end(&mut self, side: Side, rest: &[u8], out: &mut Vec<Message>) {
        if side == Side::Server {
            return;
        }
        match self.mode {
            Mode::Mail(_) if self.mail.bytes() > 0 => self.deliver("DATA", out),
            Mode::Piece(_) if self.mail.bytes() > 0 => self.deliver("BDAT", out),
            Mode::Commands if !rest.is_empty() => out.extend(self.command(bare(rest))),
            _ => {}
        }
    }
}

impl Smtp {
    fn command(&mut self, line: &[u8]) -> Option<Message> {
        if self.sasl.is_open() {
            self.open = self.open.saturating_add(1);
            let mut message = Message::request(b"AUTH", line);
            self.sasl.answer(line, &mut message);
            return Some(message);
        }
        let (verb, argument) = word(line);
        if verb.is_empty() {
            return None;
        }
        self.open = self.open.saturating_add(1);
        let mut message = Message::request(&verb.to_ascii_uppercase(), argument);
        match message.verb.as_deref()? {
            "AUTH" => self.sasl.begin(argument, &mut message),
            "RCPT" => self.recipient = message.object.clone(),
            "DATA" => self.mode = Mode::Asked,
            "BDAT" => {
                let size = std::str::from_utf8(word(argument).0).ok().and_then(|n| n.parse().ok());
                self.mode = size.filter(|n| *n > 0).map_or(Mode::Commands, Mode::Piece);
            }
            _ => {}
        }
        Some(message)
    }

    fn reply(&mut self, line: &[u8]) -> Option<Message> {
        let digits = line.get(..3).filter(|d| d.iter().all(u8::is_ascii_digit))?;
        if line.get(3) == Some(&b'-') {
            return None;
        }
        let status: i32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let greets = !std::mem::replace(&mut self.greeted, true) && matches!(status, 220 | 554);
        if !greets {
            self.open = self.open.saturating_sub(1);
        }
        match status {
            354 if self.mode == Mode::Asked => self.mode = Mode::Mail(true),
            // A refusal of an earlier command in the same packet is none of DATA.
            400.. if self.mode == Mode::Asked && self.open == 0 => self.mode = Mode::Commands,
            _ if status != 334 && self.open == 0 => self.sasl.close(),
            _ => {}
        }
        let mut message = Message::of(if greets { Kind::Hello } else { Kind::Reply });
        let text = message.keep(line.get(4..).unwrap_or_default());
        message.status = Some(status);
        let place = if greets { &mut message.software } else { &mut message.object };
        *place = Some(text);
        Some(message)
    }

    /// Takes a piece of a mail as far as its line goes, or its end: a dot alone in a line.
    fn mail(&mut self, start: bool, input: &[u8], out: &mut Vec<Message>) -> usize {
        let end = match input {
            [b'.', b'\n', ..] if start => 2,
            [b'.', b'\r', b'\n', ..] if start => 3,
            [b'.'] | [b'.', b'\r'] if start => return 0,
            _ => 0,
        };
        if end > 0 {
            self.deliver("DATA", out);
            return end;
        }
        let dot = usize::from(start && input[0] == b'.');
        let line = end_of_line(input);
        let taken = line.map_or(input.len(), |at| at + 1);
        if !self.torn {
            self.mail.add(&input[dot..taken]);
        }
        self.mode = Mode::Mail(line.is_some());
        taken
    }

    fn deliver(&mut self, verb: &str, out: &mut Vec<Message>) {
        let mut message = Message::of(Kind::Transfer);
        (message.verb, message.object) = (Some(verb.into()), self.recipient.clone());
        (message.body, message.cut) = (Some(std::mem::take(&mut self.mail).body()), self.torn);
        (self.mode, self.torn) = (Mode::Commands, false);
        out.push(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    fn verbs<'a>(messages: &[&'a Message]) -> Vec<&'a str> {
        messages.iter().map(|m| m.verb.as_deref().unwrap()).collect()
    }

    #[test]
    fn a_mail_is_a_body_without_its_dots() {
        let messages = talk(
            "smtp",
            &[
                (Side::Server, b"220 foo.com Simple Mail Transfer Service Ready\r\n"),
                (Side::Client, b"EHLO bar.com\r\n"),
                (Side::Server, b"250-foo.com greets bar.com\r\n250 HELP\r\n"),
                (Side::Client, b"MAIL FROM:<Smith@bar.com>\r\nRCPT TO:<Green@foo.com>\r\nRCPT TO:<J@foo.com>\r\nDATA\r\n"),
                (Side::Server, b"250 OK\r\n550 No such user here\r\n250 OK\r\n354 Start\r\n"),
                (Side::Client, b"Blah\r\n..dot\r\n.x\r\n.\r\nQUIT\r\n"),
                (Side::Server, b"250 OK\r\n221 bye\r\n"),
            ],
        );
        let asked = by(Side::Client, &messages);
        assert_eq!(verbs(&asked), ["EHLO", "MAIL", "RCPT", "RCPT", "DATA", "DATA", "QUIT"]);
        let wanted = Message {
            verb: Some("DATA".into()),
            object: Some("TO:<J@foo.com>".into()),
            body: Some(Hash::of(b"Blah\r\n.dot\r\nx\r\n")),
            ..Message::of(Kind::Transfer)
        };
        assert_eq!(asked[5], &wanted);
        let said = by(Side::Server, &messages);
        assert_eq!(said[0].software.as_deref(), Some("foo.com Simple Mail Transfer Service Ready"));
        assert_eq!(said.iter().filter_map(|m| m.status).sum::<i32>(), 220 + 4 * 250 + 550 + 354 + 221);
    }

    #[test]
    fn who_is_refused_goes_on_with_commands_and_who_does_not_wait_sends() {
        let refused = talk(
            "smtp",
            &[
                (Side::Server, b"220 ESMTP\r\n"),
                (Side::Client, b"DATA\r\n"),
                (Side::Server, b"503 Bad sequence\r\n"),
                (Side::Client, b"RSET\r\nBDAT 4 LAST\r\nabc\nNOOP\r\n"),
            ],
        );
        let asked = by(Side::Client, &refused);
        assert_eq!(verbs(&asked), ["DATA", "RSET", "BDAT", "BDAT", "NOOP"]);
        assert_eq!(asked[3].body, Some(Hash::of(b"abc\n")));
        let blind = talk("smtp", &[(Side::Client, b"HELO x\r\nDATA\r\nbuy\n.\nQUIT")]);
        assert_eq!(verbs(&by(Side::Client, &blind)), ["HELO", "DATA", "DATA", "QUIT"]);
        assert_eq!(blind[2].1.body, Some(Hash::of(b"buy\n")));
    }

    #[test]
    fn logins_are_decoded() {
        let messages = talk(
            "smtp",
            &[
                (Side::Server, b"220 x ESMTP\r\n"),
                (Side::Client, b"EHLO x\r\nAUTH LOGIN\r\n"),
                (Side::Server, b"250 AUTH LOGIN\r\n334 VXNlcm5hbWU6\r\n"),
                (Side::Client, b"dGlt\r\n"),
                (Side::Server, b"334 UGFzc3dvcmQ6\r\n"),
                (Side::Client, b"dGFuc3RhYWY=\r\n"),
                (Side::Server, b"535 no\r\n"),
                (Side::Client, b"AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\nAUTH NTLM\r\n"),
                (Side::Server, b"535 no\r\n504 no\r\n"),
                (Side::Client, b"QUIT\r\n"),
            ],
        );
        let asked = by(Side::Client, &messages);
        assert_eq!(verbs(&asked), ["EHLO", "AUTH", "AUTH", "AUTH", "AUTH", "AUTH", "QUIT"]);
        let logins: Vec<_> =
            asked.iter().filter_map(|m| Some((m.user.as_deref()?, m.password.as_deref()?))).collect();
        assert_eq!(logins, [("tim", "tanstaaf"), ("tim", "tanstaaftanstaaf")]);
    }

    #[test]
    fn a_mail_with_a_hole_is_cut_and_ends_all_the_same() {
        let (mut smtp, mut out) = (Smtp::default(), Vec::new());
        smtp.read(Side::Client, b"DATA\r\nabc\r\n", &mut out);
        smtp.gap(Side::Client);
        smtp.read(Side::Client, b"MAIL\r\n.\r\nQUIT\r\n", &mut out);
        assert_eq!(verbs(&out.iter().collect::<Vec<_>>()), ["DATA", "DATA", "QUIT"]);
        assert_eq!((out[1].cut, out[1].body.clone()), (true, Some(Hash::of(b"abc\r\n"))));
    }
}
