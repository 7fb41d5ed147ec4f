//! IRC (RFC 1459, RFC 2812): what clients and servers say line by line.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | command | in upper case | parameters as sent | PASS, OPER, NickServ's IDENTIFY, AUTHENTICATE: user, password |
//! | of a server: a command that it passes on | in upper case | parameters as sent | detail `from` |
//! | reply | | parameters as sent | status: the number; detail `from` |

use serde::{Deserialize, Serialize};

use crate::lines::{Lines, bare, end_of_line, word};
use crate::message::{Kind, Match, Message, Parser, Side};
use crate::sasl::Sasl;

/// Where it usually is.
pub const PORTS: &[u16] = &[6667, 6660, 6661, 6662, 6663, 6664, 6665, 6666, 6668, 6669, 7000];

/// Commands that nothing else begins with.
const OWN: [&[u8]; 5] = [b"NICK", b"JOIN", b"PRIVMSG", b"CAP", b"NOTICE"];

/// A client begins with a name, which FTP does too, but says more about itself there.
pub fn client(bytes: &[u8]) -> Match {
    let end = end_of_line(bytes);
    let (first, rest) = word(bare(&bytes[..end.unwrap_or(bytes.len())]));
    let first = first.to_ascii_uppercase();
    let whole = bytes.iter().any(|b| matches!(b, b' ' | b'\n'));
    if !whole {
        return match [&OWN[..], &[b"USER", b"PASS"]].concat().iter().any(|c| c.starts_with(&first)) {
            true => Match::Maybe,
            false => Match::No,
        };
    }
    match first.as_slice() {
        b"USER" if rest.split(|b| *b == b' ').count() >= 4 && rest.contains(&b':') => Match::Yes,
        b"USER" | b"PASS" => Match::Maybe,
        _ if OWN.contains(&first.as_slice()) && !rest.is_empty() => Match::Yes,
        _ if OWN.contains(&first.as_slice()) && end.is_none() => Match::Maybe,
        _ => Match::No,
    }
}

/// A server begins with its name before a number or a command, or with a notice.
pub fn server(bytes: &[u8]) -> Match {
    let fixed = [&b"NOTICE AUTH "[..], b"NOTICE * ", b"ERROR :", b"PING :"];
    let fixed = fixed.iter().fold(Match::No, |m, p| m.or(Match::prefix(bytes, p)));
    let Some(prefixed) = bytes.strip_prefix(b":") else { return fixed };
    let line = prefixed.split(|b| *b == b'\n').next().unwrap_or_default();
    let (name, rest) = word(line);
    let (verb, _) = word(rest);
    let named = name.iter().all(|b| b.is_ascii_graphic());
    let number = verb.len() == 3 && verb.iter().all(u8::is_ascii_digit);
    let command = [&b"NOTICE"[..], b"PRIVMSG", b"MODE", b"JOIN", b"PING"].contains(&verb);
    match named && (line.is_empty() || !name.is_empty()) {
        false => Match::No,
        true if (number || command) && verb.len() < rest.len() => Match::Yes,
        true if prefixed.contains(&b'\n') => Match::No,
        true => Match::Maybe,
    }
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Irc {
    lines: Lines,
    sasl: Sasl,
    nick: Option<String>,
}

impl Parser for Irc {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while let Some(line) = self.lines.next(side, input, &mut at) {
            let message = self.line(side, line.text);
            out.extend(message.map(|m| Message { cut: m.cut || line.cut, ..m }));
        }
        at
    }

    fn gap(&mut self, side: Side) {
        self.lines.gap(side);
    }

    fn end(&mut self, side: Side, rest: &[u8], out: &mut Vec<Message>) {
        if !rest.is_empty() {
            out.extend(self.line(side, bare(rest)));
        }
    }
}

impl Irc {
    fn line(&mut self, side: Side, line: &[u8]) -> Option<Message> {
        let (from, line) = match line.strip_prefix(b":") {
            Some(prefixed) => word(prefixed),
            None => (&[][..], line),
        };
        let (verb, parameters) = word(line);
        if verb.is_empty() {
            return None;
        }
        let number = verb.len() == 3 && verb.iter().all(u8::is_ascii_digit);
        let mut message = if number && side == Side::Server {
            let mut message = Message::of(Kind::Reply);
            message.status = std::str::from_utf8(verb).ok()?.parse().ok();
            message.object = Some(message.keep(parameters));
            message
        } else {
            Message::request(&verb.to_ascii_uppercase(), parameters)
        };
        message.detail("from", from);
        if side == Side::Client {
            self.login(parameters, &mut message);
        }
        Some(message)
    }

    fn login(&mut self, parameters: &[u8], message: &mut Message) {
        let plain = parameters.strip_prefix(b":").unwrap_or(parameters);
        match message.verb.as_deref().unwrap_or_default() {
            "NICK" => self.nick = Some(message.keep(plain)),
            "PASS" => (message.user, message.password) = (self.nick.clone(), Some(message.keep(plain))),
            "OPER" => {
                let (user, password) = word(plain);
                let password = password.strip_prefix(b":").unwrap_or(password);
                (message.user, message.password) = (Some(message.keep(user)), Some(message.keep(password)));
            }
            "AUTHENTICATE" if self.sasl.is_open() => self.sasl.answer(plain, message),
            "AUTHENTICATE" => self.sasl.begin(plain, message),
            "PRIVMSG" | "NICKSERV" | "NS" => {
                let words: Vec<&[u8]> = plain.split(|b| *b == b' ').take(5).collect();
                let is = |w: &[u8]| w.strip_prefix(b":").unwrap_or(w).eq_ignore_ascii_case(b"identify");
                match words.iter().position(|w| is(w)).map(|at| &words[at + 1..]) {
                    Some([password]) => {
                        (message.user, message.password) = (self.nick.clone(), Some(message.keep(password)));
                    }
                    Some([user, password, ..]) => {
                        (message.user, message.password) = (Some(message.keep(user)), Some(message.keep(password)));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    #[test]
    fn a_bot_reports_for_work() {
        let messages = talk(
            "irc",
            &[
                (Side::Client, b"PASS s3cret\r\nNICK USA|1234\r\nUSER x 0 * :x y\r\n"),
                (Side::Server, b":irc.example 001 USA|1234 :Welcome\r\nPING :42\r\n"),
                (Side::Client, b"PONG :42\r\nJOIN #rx key\r\nPRIVMSG NickServ :IDENTIFY hunter2\r\n"),
                (Side::Server, b":boss!u@h PRIVMSG #rx :.advscan lsass 150 5 0 -r\r\n"),
            ],
        );
        let said = by(Side::Server, &messages);
        assert_eq!((said[0].status, said[0].object.as_deref()), (Some(1), Some("USA|1234 :Welcome")));
        assert_eq!(said[2].object.as_deref(), Some("#rx :.advscan lsass 150 5 0 -r"));
        assert_eq!(said[2].details, [("from", "boss!u@h".to_owned())]);
        let logins: Vec<_> =
            messages.iter().filter_map(|(_, m)| Some((m.user.as_deref(), m.password.as_deref()?))).collect();
        assert_eq!(logins, [(None, "s3cret"), (Some("USA|1234"), "hunter2")]);
        assert_eq!(by(Side::Client, &messages)[4].object.as_deref(), Some("#rx key"));
    }

    #[test]
    fn operators_and_mechanisms() {
        let said = b"NICK a\r\nOPER root :toor\r\nAUTHENTICATE PLAIN\r\nAUTHENTICATE AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n";
        let messages = talk("irc", &[(Side::Client, said)]);
        let logins: Vec<_> =
            messages.iter().filter_map(|(_, m)| Some((m.user.as_deref()?, m.password.as_deref()?))).collect();
        assert_eq!(logins, [("root", "toor"), ("tim", "tanstaaftanstaaf")]);
    }

    #[test]
    fn others_are_not_irc() {
        assert_eq!([client(b"USER bro\r\n"), client(b"LIST\r\n"), client(b"USER x 0 * :x y")], [
            Match::Maybe,
            Match::No,
            Match::Yes
        ]);
        assert_eq!([server(b": x"), server(b":a"), server(b":a b c\n")], [Match::No, Match::Maybe, Match::No]);
    }
}
