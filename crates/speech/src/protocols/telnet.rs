//! Telnet (RFC 854): what is typed, line by line, and what comes back, with the negotiation taken out.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | answer to `login:` | `login` | the line | |
//! | answer to `Password:` | `password` | | user (the last answer to `login:`), password |
//! | other line that is typed | first word as sent | rest of the line as sent | |
//! | first line of the server | | | a hello, the text its software |
//! | other line of the server | | the line | |
//!
//! Detail `negotiation`: what was negotiated before the message: `WILL ECHO, SB NEW-ENVIRON ..USER.-froot`. A hello with nothing
//! else carries what was negotiated where nothing was said after it.
//!
//! A client to whom the server says nothing types blindly, as the loaders of bots do: its first two lines are taken as name and
//! password unless they are what such a loader types to get a shell.

use serde::{Deserialize, Serialize};

use crate::limits::LINE;
use crate::message::{Kind, Match, Message, Parser, Side};
use crate::protocols::shell::command;

/// Where it usually is.
pub const PORTS: &[u16] = &[23, 2323, 26, 23231];

/// Bytes in which a subnegotiation must end; a terminal's name and a few variables fit.
const SUBNEGOTIATION: usize = 512;

/// Bytes of a negotiation's summary.
const SUMMARY: usize = 512;

/// What bots type to get from a restricted shell to a real one (Mirai's loader, and those after it).
const OPENERS: [&[u8]; 10] =
    [b"enable", b"system", b"shell", b"sh", b"linuxshell", b"su", b"bash", b"start", b"development", b"ping"];

/// A client begins with negotiation, or with any text, so that only the port tells.
pub fn client(bytes: &[u8]) -> Match {
    begins(bytes)
}

/// A server begins with negotiation, or with text in which it asks who is there.
pub fn server(bytes: &[u8]) -> Match {
    if begins(bytes) == Match::OnPort && prompt(bytes) != Prompt::None { Match::Yes } else { begins(bytes) }
}

fn begins(bytes: &[u8]) -> Match {
    let text = |b: &u8| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n' | 0 | 8 | 0x1b | 0x80..);
    match bytes {
        [0xff] | [0xff, 0xfa..=0xfe] => Match::Maybe,
        // No option above these is known (IANA's list ends at 49, then 138 to 140 and 255).
        [0xff, 0xfa..=0xfe, 0..=49 | 138..=140 | 255, ..] => Match::Yes,
        [first, ..] if *first < 0x80 && *first > 0 && bytes.iter().all(text) => Match::OnPort,
        _ => Match::No,
    }
}

/// What the server wants to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Prompt {
    #[default]
    None,
    Name,
    Password,
}

/// The question with which a text ends.
fn prompt(text: &[u8]) -> Prompt {
    let text = text.trim_ascii_end();
    let end = text[text.len().saturating_sub(16)..].to_ascii_lowercase();
    let ends = |words: &[&[u8]]| words.iter().any(|w| end.ends_with(w));
    match () {
        () if ends(&[b"login:", b"username:", b"user name:", b"user:", b"account:", b"login name:"]) => Prompt::Name,
        () if ends(&[b"password:", b"passwd:", b"passcode:"]) => Prompt::Password,
        () => Prompt::None,
    }
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Telnet {
    prompt: Prompt,
    /// How much of the server's line was looked at when it asked: it asks once, though the line grows.
    asked: usize,
    /// Whether the server said anything.
    spoke: bool,
    /// Whether a line of it was told.
    greeted: bool,
    /// Lines typed blindly.
    typed: u32,
    user: Option<String>,
    /// Negotiation that no message has told yet.
    negotiated: [String; 2],
    passing_over: [bool; 2],
}

impl Parser for Telnet {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while at < input.len() {
            let piece = piece(&input[at..]);
            if side == Side::Server && !piece.text.is_empty() {
                self.spoke = true;
                self.ask(&piece);
            }
            let passing_over = &mut self.passing_over[side.index()];
            match piece.end {
                End::Line | End::Cut => {
                    at += piece.taken;
                    self.note(side, piece.negotiated);
                    let rest_of_line = std::mem::replace(&mut self.passing_over[side.index()], piece.end == End::Cut);
                    if !rest_of_line {
                        let mut messages = Vec::new();
                        self.line(side, &piece.text, &mut messages);
                        messages.iter_mut().for_each(|m| m.cut |= piece.end == End::Cut);
                        out.append(&mut messages);
                    }
                }
                // What belongs to no line, or to one that is passed over, need not wait for its end.
                End::Open if (piece.text.is_empty() || *passing_over) && piece.taken > 0 => {
                    at += piece.taken;
                    self.note(side, piece.negotiated);
                }
                End::Open => break,
            }
        }
        at
    }

    fn gap(&mut self, side: Side) {
        self.passing_over[side.index()] = true;
        if side == Side::Server {
            self.asked = 0;
        }
    }

    fn end(&mut self, side: Side, rest: &[u8], out: &mut Vec<Message>) {
        let piece = piece(rest);
        self.note(side, piece.negotiated);
        if !piece.text.is_empty() && !self.passing_over[side.index()] {
            self.line(side, &piece.text, out);
        }
        if !self.negotiated[side.index()].is_empty() {
            let mut message = Message::of(Kind::Hello);
            self.tell(side, &mut message);
            out.push(message);
        }
    }
}

impl Telnet {
    fn ask(&mut self, piece: &Piece) {
        let text = piece.text.trim_ascii_end();
        match prompt(text) {
            asked if asked != Prompt::None && text.len() > self.asked => {
                (self.prompt, self.asked) = (asked, text.len());
            }
            _ => {}
        }
        if piece.end != End::Open {
            self.asked = 0;
        }
    }

    fn note(&mut self, side: Side, negotiated: Vec<String>) {
        let summary = &mut self.negotiated[side.index()];
        for text in negotiated {
            if summary.len() + text.len() + 2 <= SUMMARY {
                summary.push_str(if summary.is_empty() { "" } else { ", " });
                summary.push_str(&text);
            }
        }
    }

    fn tell(&mut self, side: Side, message: &mut Message) {
        let summary = std::mem::take(&mut self.negotiated[side.index()]);
        message.detail("negotiation", summary.as_bytes());
    }

    fn line(&mut self, side: Side, line: &[u8], out: &mut Vec<Message>) {
        let message = match side {
            Side::Client => self.typed(line),
            Side::Server => self.reply(line.trim_ascii_end()),
        };
        if let Some(mut message) = message {
            self.tell(side, &mut message);
            out.push(message);
        }
    }

    fn reply(&mut self, line: &[u8]) -> Option<Message> {
        if line.is_empty() {
            return None;
        }
        let greets = !std::mem::replace(&mut self.greeted, true);
        let mut message = Message::of(if greets { Kind::Hello } else { Kind::Reply });
        let text = Some(message.keep(line));
        *(if greets { &mut message.software } else { &mut message.object }) = text;
        Some(message)
    }

    fn typed(&mut self, line: &[u8]) -> Option<Message> {
        let prompt = std::mem::take(&mut self.prompt);
        self.typed = self.typed.saturating_add(1);
        let plain = !line.contains(&b' ') && !line.contains(&b'/') && !OPENERS.contains(&line);
        let prompt = match (prompt, self.spoke, self.typed) {
            (Prompt::None, false, 1) if plain && !line.is_empty() => Prompt::Name,
            (Prompt::None, false, 2) if plain && self.user.is_some() => Prompt::Password,
            (asked, _, _) => asked,
        };
        match prompt {
            Prompt::None => command(line),
            Prompt::Name if line.is_empty() => None,
            Prompt::Name => {
                let message = Message::request(b"login", line);
                self.user = message.object.clone();
                Some(message)
            }
            Prompt::Password => {
                let mut message = Message::of(Kind::Request);
                message.verb = Some("password".into());
                (message.user, message.password) = (self.user.clone(), Some(message.keep(line)));
                Some(message)
            }
        }
    }
}

/// How a piece of a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With a line.
    Line,
    /// With a line that is longer than [`LINE`].
    Cut,
    /// In the middle of a line, or of a negotiation.
    Open,
}

/// The line at the front of a connection, as far as it is there.
struct Piece {
    taken: usize,
    text: Vec<u8>,
    negotiated: Vec<String>,
    end: End,
}

fn piece(input: &[u8]) -> Piece {
    let mut piece = Piece { taken: 0, text: Vec::new(), negotiated: Vec::new(), end: End::Open };
    while piece.end == End::Open {
        let rest = &input[piece.taken..];
        piece.taken += match rest {
            [] | [0xff] | [b'\r'] | [0xff, 0xfa..=0xfe] => break,
            [0xff, 0xff, ..] => {
                piece.text.push(0xff);
                2
            }
            [0xff, 0xfa, option, content @ ..] => {
                let within = &content[..content.len().min(SUBNEGOTIATION)];
                match within.windows(2).position(|w| w == [0xff, 0xf0]) {
                    Some(length) => {
                        piece.negotiated.push(subnegotiation(*option, &within[..length]));
                        length + 5
                    }
                    None if content.len() < SUBNEGOTIATION => break,
                    // It has no end: what follows is text like any other.
                    None => 3,
                }
            }
            [0xff, verb @ 0xfb..=0xfe, option, ..] => {
                let verb = ["WILL", "WONT", "DO", "DONT"][usize::from(verb - 0xfb)];
                piece.negotiated.push(format!("{verb} {}", name(*option)));
                3
            }
            [0xff, 0xf0..=0xf9, ..] => 2,
            // An IAC that is none.
            [0xff, ..] => 1,
            [b'\r', b'\n' | 0, ..] => {
                piece.end = End::Line;
                2
            }
            [b'\r' | b'\n', ..] => {
                piece.end = End::Line;
                1
            }
            _ => {
                let plain = rest.iter().take(LINE - piece.text.len()).take_while(|b| !matches!(b, 0xff | b'\r' | b'\n'));
                let plain = plain.count();
                piece.text.extend_from_slice(&rest[..plain]);
                plain
            }
        };
        if piece.text.len() >= LINE && piece.end == End::Open {
            piece.end = End::Cut;
        }
    }
    piece
}

/// Options that clients are told by (IANA, Telnet Options); the others are numbers.
fn name(option: u8) -> String {
    let name = match option {
        0 => "BINARY",
        1 => "ECHO",
        3 => "SGA",
        5 => "STATUS",
        24 => "TTYPE",
        31 => "NAWS",
        32 => "TSPEED",
        33 => "LFLOW",
        34 => "LINEMODE",
        35 => "XDISPLOC",
        36 => "ENVIRON",
        37 => "AUTHENTICATION",
        38 => "ENCRYPT",
        39 => "NEW-ENVIRON",
        n => return n.to_string(),
    };
    name.to_owned()
}

fn subnegotiation(option: u8, content: &[u8]) -> String {
    let text = content.iter().take(64).map(|b| if b.is_ascii_graphic() { char::from(*b) } else { '.' });
    format!("SB {} {}", name(option), text.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::{Dialogue, End as Who, Heard};
    use crate::testing::{by, talk};

    #[test]
    fn prompts_tell_who_logs_in() {
        let messages = talk(
            "telnet",
            &[
                (Side::Server, b"\xff\xfd\x18\xff\xfb\x01\xff\xfb\x03BusyBox 1.1\r\nrouter login: "),
                (Side::Client, b"\xff\xfb\x18\xff\xfa\x27\x00\x00USER\x01-froot\xff\xf0\xff\xfa\x1f\x00\x50\x00\x0a\xff\xf0root\r\n"),
                (Side::Server, b"root\r\nPassword: "),
                (Side::Client, b"xc3511\r\x00"),
                (Side::Server, b"\r\nLogin incorrect\r\nrouter login: "),
                (Side::Client, b"admin\r\n"),
                (Side::Server, b"Password: "),
                (Side::Client, b"\r\n"),
                (Side::Server, b"\r\n# "),
                (Side::Client, b"/bin/busybox MIRAI\n"),
            ],
        );
        let typed = by(Side::Client, &messages);
        let logins: Vec<_> =
            typed.iter().filter_map(|m| Some((m.user.as_deref()?, m.password.as_deref()?))).collect();
        assert_eq!(logins, [("root", "xc3511"), ("admin", "")]);
        let negotiation = "WILL TTYPE, SB NEW-ENVIRON ..USER.-froot, SB NAWS .P..";
        assert_eq!(typed[0].details, [("negotiation", negotiation.to_owned())]);
        let last = typed.last().unwrap();
        assert_eq!((last.verb.as_deref(), last.object.as_deref()), (Some("/bin/busybox"), Some("MIRAI")));
        let said = by(Side::Server, &messages);
        assert_eq!((said[0].kind, said[0].software.as_deref()), (Kind::Hello, Some("BusyBox 1.1")));
        assert_eq!(said[0].details, [("negotiation", "DO TTYPE, WILL ECHO, WILL SGA".to_owned())]);
        assert_eq!(said[1].object.as_deref(), Some("router login: root"));
    }

    fn blind(port: u16, lines: &str) -> Vec<Heard> {
        let mut dialogue = Dialogue::new(Some(Who::Peer), [1028, port]);
        let mut heard = Vec::new();
        dialogue.hear(Who::Peer, lines.as_bytes(), &mut heard);
        dialogue.decide(&mut heard);
        dialogue.end(Who::Peer, &mut heard);
        heard
    }

    #[test]
    fn who_types_blindly_is_read_on_the_usual_port() {
        let heard = blind(2323, "root\r\nxc3511\r\nenable\r\nsystem\r\nshell\r\nsh\r\n/bin/busybox ECCHI\r\n");
        assert!(heard.iter().all(|h| h.service == "telnet"));
        let login = &heard[1].message;
        assert_eq!((login.user.as_deref(), login.password.as_deref()), (Some("root"), Some("xc3511")));
        let verbs: Vec<_> = heard.iter().map(|h| h.message.verb.as_deref().unwrap()).collect();
        assert_eq!(verbs, ["login", "password", "enable", "system", "shell", "sh", "/bin/busybox"]);
        assert_eq!(blind(2323, "enable\r\nsh\r\n")[0].message.verb.as_deref(), Some("enable"));
        assert_eq!(blind(60_666, "root\r\nxc3511\r\n")[0].service, "");
    }

    #[test]
    fn negotiation_alone_is_a_hello() {
        let messages = talk("telnet", &[(Side::Server, b"\xff\xfb\x01\xff\xfd\x63")]);
        assert_eq!(messages[0].1.details, [("negotiation", "WILL ECHO, DO 99".to_owned())]);
    }
}
