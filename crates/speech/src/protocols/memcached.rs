//! memcached (protocol.txt of its source): its lines on connections, and behind a header of eight bytes on datagrams, where it
//! was the largest amplifier of 2018. Its binary form is not read.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | command | `stats`, `get`, `set` … | its arguments | body: what is stored; comes after its data |
//! | answer | its first word: `VALUE`, `STORED`, `ERROR` … | what follows | body: the value; software: the version; lines of `STAT` other than the version are not told |

use serde::{Deserialize, Serialize};

use crate::binary::Fields;
use crate::hash::Hash;
use crate::lines::{Lines, bare, is_text, word};
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[11211];

/// Where it usually is.
pub const UDP_PORTS: &[u16] = &[11211];

/// Commands that carry data, whose length is the fourth argument.
const STORES: [&[u8]; 6] = [b"set", b"add", b"replace", b"append", b"prepend", b"cas"];

/// The others.
const COMMANDS: [&[u8]; 14] = [
    b"get", b"gets", b"gat", b"gats", b"delete", b"incr", b"decr", b"touch", b"stats", b"flush_all", b"version", b"verbosity",
    b"lru_crawler", b"quit",
];

/// First words of answers.
const ANSWERS: [&[u8]; 14] = [
    b"STAT", b"END", b"VALUE", b"VERSION", b"STORED", b"NOT_STORED", b"EXISTS", b"NOT_FOUND", b"DELETED", b"TOUCHED", b"OK",
    b"RESET", b"ERROR", b"CLIENT_ERROR",
];

/// A client begins with a command in lower case; a whole line of those that nobody else has is one.
pub fn client(bytes: &[u8]) -> Match {
    let (line, whole) = first_line(bytes);
    let (verb, arguments) = word(bare(line));
    let count = arguments.split(|b| *b == b' ').filter(|a| !a.is_empty()).count();
    if !is_text(line) || line.len() > 512 {
        return Match::No;
    }
    if !whole && verb.len() == bare(line).len() {
        let begun = STORES.iter().chain(&COMMANDS).any(|c| c.starts_with(verb) && !verb.is_empty());
        return if begun { Match::Maybe } else { Match::No };
    }
    match (verb, whole) {
        _ if !STORES.contains(&verb) && !COMMANDS.contains(&verb) => Match::No,
        (b"quit" | b"version" | b"get" | b"delete" | b"touch" | b"verbosity", _) => Match::Maybe,
        (_, false) => Match::Maybe,
        (verb, _) if STORES.contains(&verb) => if stored(arguments).is_some() { Match::Yes } else { Match::No },
        (b"stats", _) if count <= 2 => Match::Yes,
        (b"flush_all" | b"lru_crawler", _) => Match::Yes,
        (b"gets" | b"gat" | b"gats" | b"incr" | b"decr", _) if count >= 1 => Match::Yes,
        _ => Match::No,
    }
}

/// A server that is only heard.
pub fn server(bytes: &[u8]) -> Match {
    let (line, whole) = first_line(bytes);
    let (verb, rest) = word(bare(line));
    match whole {
        _ if !is_text(line) || verb.is_empty() => Match::No,
        true if matches!(verb, b"STAT" | b"STORED" | b"NOT_STORED" | b"CLIENT_ERROR") => Match::Yes,
        true if verb == b"VALUE" && value(rest).is_some() => Match::Yes,
        true if ANSWERS.contains(&verb) => Match::Maybe,
        false if ANSWERS.iter().any(|a| a.starts_with(verb)) => Match::Maybe,
        _ => Match::No,
    }
}

fn first_line(bytes: &[u8]) -> (&[u8], bool) {
    match bytes.iter().take(1024).position(|b| *b == b'\n') {
        Some(end) => (&bytes[..end], true),
        None => (&bytes[..bytes.len().min(1024)], false),
    }
}

/// Bytes that follow a command that stores: `key flags exptime bytes`.
fn stored(arguments: &[u8]) -> Option<u64> {
    let mut arguments = std::str::from_utf8(arguments).ok()?.split_ascii_whitespace().skip(1);
    arguments.next()?.parse::<u32>().ok()?;
    arguments.next()?.parse::<i64>().ok()?;
    arguments.next()?.parse::<u32>().ok().map(u64::from)
}

/// Bytes of a value: `key flags bytes`.
fn value(rest: &[u8]) -> Option<u64> {
    let mut rest = std::str::from_utf8(rest).ok()?.split_ascii_whitespace().skip(1);
    rest.next()?.parse::<u32>().ok()?;
    rest.next()?.parse::<u32>().ok().map(u64::from)
}

/// A line whose data come.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Block {
    verb: String,
    object: String,
    left: u64,
    hash: Hash,
    torn: bool,
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Memcached {
    lines: Lines,
    blocks: [Option<Block>; 2],
}

impl Parser for Memcached {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        loop {
            if let Some(block) = &mut self.blocks[side.index()] {
                let taken = usize::try_from(block.left).unwrap_or(usize::MAX).min(input.len() - at);
                block.hash.add(&input[at..at + taken]);
                block.left -= taken as u64;
                at += taken;
                if block.left > 0 {
                    return at;
                }
                out.extend(self.stored(side));
            }
            let Some(line) = self.lines.next(side, input, &mut at) else { return at };
            let message = self.line(side, line.text);
            out.extend(message.map(|m| Message { cut: m.cut || line.cut, ..m }));
        }
    }

    fn gap(&mut self, side: Side) {
        self.lines.gap(side);
        // Nobody knows how much of the data is missing: what follows is a line at the next line end.
        if let Some(block) = &mut self.blocks[side.index()] {
            (block.left, block.torn) = (0, true);
        }
    }

    fn end(&mut self, side: Side, _rest: &[u8], out: &mut Vec<Message>) {
        if let Some(block) = &mut self.blocks[side.index()] {
            block.torn = true;
            out.extend(self.stored(side));
        }
    }
}

impl Memcached {
    fn line(&mut self, side: Side, line: &[u8]) -> Option<Message> {
        let message = read(side, line)?;
        let (_, rest) = word(line);
        let verb = message.verb.as_deref().unwrap_or_default().as_bytes();
        let left = match side {
            Side::Client if STORES.contains(&verb) => stored(rest),
            Side::Server if verb == b"VALUE" => value(rest),
            _ => None,
        };
        let Some(left) = left else { return Some(message) };
        let (verb, object) = (message.verb?, message.object?);
        self.blocks[side.index()] = Some(Block { verb, object, left, hash: Hash::default(), torn: false });
        None
    }

    /// The line whose data are over.
    fn stored(&mut self, side: Side) -> Option<Message> {
        let block = self.blocks[side.index()].take()?;
        let mut message = Message::of(kind(side));
        (message.verb, message.object) = (Some(block.verb), Some(block.object));
        (message.body, message.cut) = (Some(block.hash.body()), block.torn);
        Some(message)
    }
}

fn kind(side: Side) -> Kind {
    if side == Side::Client { Kind::Request } else { Kind::Reply }
}

fn read(side: Side, line: &[u8]) -> Option<Message> {
    let (verb, rest) = word(line);
    let mut message = Message { kind: kind(side), ..Message::request(verb, rest) };
    match (side, verb) {
        (_, []) => return None,
        (Side::Server, b"VERSION") => (message.software, message.object) = (message.object.take(), None),
        (Side::Server, b"STAT") => {
            let version = rest.strip_prefix(b"version ")?;
            (message.software, message.object) = (Some(message.keep(version)), None);
        }
        _ => {}
    }
    Some(message)
}

/// A datagram: request number, place, count, zero; then whole lines of a command, or the beginning of an answer. The later
/// datagrams of an answer say nothing that could be told from chance.
pub fn datagram(_side: Side, bytes: &[u8]) -> Option<Message> {
    let mut fields = Fields(bytes);
    let (_, place, count, zero) = (fields.be16()?, fields.be16()?, fields.be16()?, fields.be16()?);
    let (line, whole) = first_line(fields.0);
    if place != 0 || count == 0 || zero != 0 || !whole || !line.ends_with(b"\r") || !is_text(line) {
        return None;
    }
    let (verb, rest) = word(bare(line));
    let asks = STORES.contains(&verb) || COMMANDS.contains(&verb);
    if asks && count == 1 && fields.0.ends_with(b"\r\n") {
        let mut message = read(Side::Client, bare(line))?;
        let length = stored(rest).filter(|_| STORES.contains(&verb));
        let data = fields.0.get(line.len() + 1..).unwrap_or_default();
        message.body = length.and_then(|n| data.get(..usize::try_from(n).ok()?)).map(Hash::of);
        return Some(message);
    }
    if !ANSWERS.contains(&verb) {
        return None;
    }
    // Of the statistics only the version is told.
    let lines = || fields.0.split(|b| *b == b'\n').map(bare).filter(|l| !l.is_empty()).take(64);
    let mut message = lines().find_map(|line| read(Side::Server, line).filter(|m| m.software.is_some()));
    if message.is_none() {
        message = Some(Message { kind: Kind::Reply, ..Message::request(verb, rest) });
    }
    message.map(|m| Message { cut: m.cut || count > 1, ..m })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    #[test]
    fn what_is_stored_and_fetched() {
        let messages = talk(
            "memcached",
            &[
                (Side::Client, b"set a 0 3600 7\r\nx\r\nset \r\nversion\r\nget a\r\n"),
                (Side::Server, b"STORED\r\nVERSION 1.4.25\r\nVALUE a 0 7\r\nx\r\nset \r\nEND\r\n"),
                (Side::Client, b"stats\r\n"),
                (Side::Server, b"STAT pid 1\r\nSTAT version 1.4.25\r\nEND\r\n"),
            ],
        );
        let asked = by(Side::Client, &messages);
        assert_eq!((asked[0].verb.as_deref(), asked[0].object.as_deref()), (Some("set"), Some("a 0 3600 7")));
        assert_eq!(asked[0].body, Some(Hash::of(b"x\r\nset ")));
        let verbs: Vec<_> = asked.iter().filter_map(|m| m.verb.as_deref()).collect();
        assert_eq!(verbs, ["set", "version", "get", "stats"]);
        let said = by(Side::Server, &messages);
        let verbs: Vec<_> = said.iter().filter_map(|m| m.verb.as_deref()).collect();
        assert_eq!(verbs, ["STORED", "VERSION", "VALUE", "END", "STAT", "END"]);
        assert_eq!((said[1].software.as_deref(), said[4].software.as_deref()), (Some("1.4.25"), Some("1.4.25")));
        assert_eq!(said[2].body, asked[0].body);
    }

    #[test]
    fn datagrams_of_an_amplification() {
        // The request of the attacks of 2018.
        let asked = datagram(Side::Client, b"\0\0\0\0\0\x01\0\0stats\r\n").unwrap();
        assert_eq!((asked.kind, asked.verb.as_deref(), asked.object.as_deref()), (Kind::Request, Some("stats"), Some("")));
        let answer = datagram(Side::Server, b"\0\0\0\0\0\x02\0\0STAT pid 1\r\nSTAT version 1.4.25\r\nSTAT po").unwrap();
        assert_eq!((answer.kind, answer.software.as_deref(), answer.cut), (Kind::Reply, Some("1.4.25"), true));
        let value = datagram(Side::Server, b"\0\0\0\0\x05\x02\0\0VALUE a 0 1000000\r\nxxxx").unwrap();
        assert_eq!((value.verb.as_deref(), value.object.as_deref()), (Some("VALUE"), Some("a 0 1000000")));
        let set = datagram(Side::Client, b"\0\x01\0\0\0\x01\0\0set a 0 0 3\r\nabc\r\n").unwrap();
        assert_eq!(set.body, Some(Hash::of(b"abc")));
        assert!(datagram(Side::Client, b"\0\0\0\0\0\x01\0\0stats").is_none());
        assert!(datagram(Side::Client, b"\0\0\0\0\0\x01\0\x01stats\r\n").is_none());
    }

    #[test]
    fn others_have_commands_too() {
        assert_eq!(client(b"GET / HTTP/1.0\r\n"), Match::No);
        assert_eq!(client(b"get a\r\n"), Match::Maybe);
        assert_eq!(client(b"sta"), Match::Maybe);
        assert_eq!(client(b"set -e; id\r\n"), Match::No);
        assert_eq!(server(b"ERROR\r\n"), Match::Maybe);
    }
}
