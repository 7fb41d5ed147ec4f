//! FTP (RFC 959): commands, replies, and the transfers that they announce.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | command | in upper case | argument as sent | PASS: user (the last USER), password |
//! | reply | | text of its last line | status; the first one is a hello, its text the software |
//! | transfer | RETR, STOR … | file | body; on its own connection |

use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::lines::{Lines, is_text, word};
use crate::message::{Channel, Kind, Match, Message, Parser, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[21, 2121];

/// Commands that only FTP has; those of mail and news are not among them.
const OWN: [&[u8]; 22] = [
    b"ABOR", b"ALLO", b"APPE", b"CDUP", b"CWD", b"EPRT", b"EPSV", b"LPRT", b"MDTM", b"MKD", b"MLSD", b"NLST", b"PASV",
    b"PORT", b"PWD", b"RNFR", b"RNTO", b"SITE", b"SMNT", b"STOR", b"STOU", b"TYPE",
];

/// Commands that other protocols have too.
const SHARED: [&[u8]; 9] =
    [b"USER", b"PASS", b"AUTH", b"FEAT", b"SYST", b"OPTS", b"HELP", b"NOOP", b"QUIT"];

/// Transfers go over a connection of their own.
const TRANSFERS: [&str; 8] = ["RETR", "STOR", "APPE", "STOU", "LIST", "NLST", "MLSD", "MLST"];

/// A client begins with a command. USER is also POP3's and IRC's first one, so it may be.
pub fn client(bytes: &[u8]) -> Match {
    let (first, _) = word(crate::lines::bare(bytes.split(|b| *b == b'\n').next().unwrap_or_default()));
    let first = first.to_ascii_uppercase();
    let whole = bytes.iter().any(|b| matches!(b, b' ' | b'\n'));
    let is = |list: &[&[u8]]| list.iter().any(|c| if whole { *c == first } else { c.starts_with(&first) });
    match (is(&OWN), is(&SHARED)) {
        (true, _) if whole => Match::Yes,
        (false, false) => Match::No,
        _ => Match::Maybe,
    }
}

/// A server greets with 220, as one of mail does; one that says FTP is one.
pub fn server(bytes: &[u8]) -> Match {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let greets = Match::prefix(bytes, b"220 ").or(Match::prefix(bytes, b"220-"));
    if greets != Match::Yes || !is_text(&line[..line.len().min(64)]) {
        return if greets == Match::Maybe { Match::Maybe } else { Match::No };
    }
    let says_ftp = line.to_ascii_uppercase().windows(3).any(|w| w == b"FTP");
    if says_ftp { Match::Yes } else { Match::Maybe }
}

/// A control connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ftp {
    lines: Lines,
    user: Option<String>,
    greeted: bool,
    /// Who will listen for the next transfer, and where.
    listener: Option<(Side, u16)>,
}

impl Parser for Ftp {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while let Some(line) = self.lines.next(side, input, &mut at) {
            let message = match side {
                Side::Client => self.command(without_telnet(line.text)),
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
        // Who hangs up in the middle of a command has said it all the same.
        if side == Side::Client && !rest.is_empty() {
            out.extend(self.command(without_telnet(crate::lines::bare(rest))));
        }
    }
}

impl Ftp {
    fn command(&mut self, line: &[u8]) -> Option<Message> {
        let (verb, argument) = word(line);
        if verb.is_empty() {
            return None;
        }
        let mut message = Message::request(&verb.to_ascii_uppercase(), argument);
        let (verb, argument) = (message.verb.clone()?, message.object.clone()?);
        match verb.as_str() {
            "USER" => self.user = Some(argument),
            "PASS" => (message.user, message.password) = (self.user.clone(), Some(argument)),
            "PORT" => self.listener = port_of(&argument).map(|port| (Side::Client, port)),
            "EPRT" => self.listener = extended_port(&argument).map(|port| (Side::Client, port)),
            _ if TRANSFERS.contains(&verb.as_str()) => {
                message.channel =
                    self.listener.map(|(listener, port)| Channel { listener, port, verb, object: argument });
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
        let greets = !std::mem::replace(&mut self.greeted, true) && status == 220;
        let mut message = Message::of(if greets { Kind::Hello } else { Kind::Reply });
        let text = message.keep(line.get(4..).unwrap_or_default());
        if let (227 | 229, Some(inner)) = (status, text.split(['(', ')']).nth(1)) {
            let port = if status == 227 { port_of(inner) } else { extended_port(inner) };
            self.listener = port.map(|port| (Side::Server, port));
            // The client may connect before it says what for.
            let unnamed = |port| Channel { listener: Side::Server, port, verb: String::new(), object: String::new() };
            message.channel = port.map(unnamed);
        }
        message.status = Some(status);
        let place = if greets { &mut message.software } else { &mut message.object };
        *place = Some(text);
        Some(message)
    }
}

/// Clients that stop a transfer send telnet's interrupt before the command (RFC 959, 4.1.3).
fn without_telnet(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|b| *b < 0xf0).unwrap_or(line.len());
    &line[start..]
}

/// The port in `h1,h2,h3,h4,p1,p2`.
fn port_of(argument: &str) -> Option<u16> {
    let numbers: Vec<u8> = argument.trim().split(',').map_while(|n| n.trim().parse().ok()).collect();
    let [.., high, low] = numbers[..] else { return None };
    (numbers.len() == 6).then(|| u16::from_be_bytes([high, low]))
}

/// The port in `|1|132.235.1.2|6275|` or `|||6446|` (RFC 2428).
fn extended_port(argument: &str) -> Option<u16> {
    let delimiter = argument.chars().next()?;
    argument.split(delimiter).nth(3)?.parse().ok()
}

/// A data connection: its whole content is one body.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FtpData {
    verb: String,
    object: String,
    hash: [Hash; 2],
    torn: bool,
}

impl FtpData {
    /// For what was asked for: verb and file; both empty where that is still to come.
    pub fn new(verb: &str, object: &str) -> FtpData {
        FtpData { verb: verb.into(), object: object.into(), ..FtpData::default() }
    }

    /// Says what it carries.
    pub fn name(&mut self, verb: &str, object: &str) {
        (self.verb, self.object) = (verb.into(), object.into());
    }
}

impl Parser for FtpData {
    fn read(&mut self, side: Side, input: &[u8], _out: &mut Vec<Message>) -> usize {
        self.hash[side.index()].add(input);
        input.len()
    }

    fn gap(&mut self, _side: Side) {
        self.torn = true;
    }

    fn end(&mut self, side: Side, _rest: &[u8], out: &mut Vec<Message>) {
        let hash = std::mem::take(&mut self.hash[side.index()]);
        if hash.bytes() > 0 {
            let mut message = Message::of(Kind::Transfer);
            (message.verb, message.object) = (Some(self.verb.clone()), Some(self.object.clone()));
            (message.body, message.cut) = (Some(hash.body()), self.torn);
            out.push(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    #[test]
    fn a_password_belongs_to_the_last_user() {
        let messages = talk(
            "ftp",
            &[
                (Side::Server, b"220-Welcome\r\n220 Microsoft FTP Service\r\n"),
                (Side::Client, b"user anonymous\r\npass guest@here there\r\n"),
            ],
        );
        assert_eq!(by(Side::Server, &messages)[0].software.as_deref(), Some("Microsoft FTP Service"));
        let login = by(Side::Client, &messages)[1];
        assert_eq!(login.verb.as_deref(), Some("PASS"));
        assert_eq!((login.user.as_deref(), login.password.as_deref()), (Some("anonymous"), Some("guest@here there")));
    }

    #[test]
    fn transfers_are_announced_by_either_side() {
        let messages = talk("ftp", &[(Side::Client, b"PORT 192,150,11,111,4,56\r\nRETR ssms.exe\r\n")]);
        let wanted = Channel { listener: Side::Client, port: 1080, verb: "RETR".into(), object: "ssms.exe".into() };
        assert_eq!(messages[1].1.channel, Some(wanted));
        let messages = talk(
            "ftp",
            &[
                (Side::Server, b"220 FTP\r\n229 Entering Extended Passive Mode (|||6446|)\r\n"),
                (Side::Client, b"STOR x\r\n"),
            ],
        );
        let channel = messages[2].1.channel.as_ref().unwrap();
        assert_eq!((channel.listener, channel.port), (Side::Server, 6446));
    }

    #[test]
    fn mail_is_not_ftp() {
        assert_eq!(server(b"220 mail.example ESMTP ready\r\n"), Match::Maybe);
        assert_eq!(client(b"EHLO there\r\n"), Match::No);
        assert_eq!(client(b"CWD AAAAAAAA"), Match::Yes);
        assert_eq!(client(b"US"), Match::Maybe);
    }
}
