//! Redis (RESP 2 and 3): commands as arrays and in lines, and replies.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | command | in upper case | arguments with spaces between | AUTH, HELLO … AUTH: user, password |
//! | reply | | line as sent: `+OK`, `-NOAUTH …`, `*2` | body: a bulk string; what arrays hold is passed over |
//! | transfer | the command | its arguments before the large one | body: an argument too large to wait for |

use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::limits::{ELEMENTS, LINE};
use crate::lines::{Lines, bare, end_of_line, word};
use crate::message::{Kind, Match, Message, Parser, Side};

/// Where it usually is.
pub const PORTS: &[u16] = &[6379, 6380];

/// Commands that only Redis has.
const OWN: [&[u8]; 15] = [
    b"CONFIG", b"SLAVEOF", b"REPLICAOF", b"FLUSHALL", b"FLUSHDB", b"KEYS", b"DBSIZE", b"BGSAVE", b"BGREWRITEAOF", b"LPUSH",
    b"RPUSH", b"HGETALL", b"PSYNC", b"REPLCONF", b"SMEMBERS",
];

/// Commands that others have too.
const SHARED: [&[u8]; 14] = [
    b"PING", b"INFO", b"AUTH", b"SET", b"SAVE", b"MODULE", b"SELECT", b"CLIENT", b"SCAN", b"MONITOR", b"COMMAND", b"QUIT",
    b"HELLO", b"EVAL",
];

/// A client begins with an array of bulk strings, or with a line.
pub fn client(bytes: &[u8]) -> Match {
    let end = end_of_line(bytes);
    let line = bare(&bytes[..end.unwrap_or(bytes.len())]);
    if let Some(count) = line.strip_prefix(b"*") {
        return match end {
            _ if count.len() > 10 || !count.iter().all(u8::is_ascii_digit) => Match::No,
            Some(end) if !count.is_empty() => match bytes.get(end + 1) {
                Some(b'$') => Match::Yes,
                Some(_) => Match::No,
                None => Match::Maybe,
            },
            Some(_) => Match::No,
            None => Match::Maybe,
        };
    }
    let (first, _) = word(line);
    let first = first.to_ascii_uppercase();
    let whole = bytes.iter().any(|b| matches!(b, b' ' | b'\n'));
    let is = |list: &[&[u8]]| list.iter().any(|c| if whole { *c == first } else { c.starts_with(&first) });
    match (is(&OWN), is(&SHARED)) {
        (true, _) if whole => Match::Yes,
        (true, _) => Match::Maybe,
        (_, true) => Match::OnPort,
        _ => Match::No,
    }
}

/// A server answers in a way that few others do.
pub fn server(bytes: &[u8]) -> Match {
    const SAYS: [&[u8]; 6] = [b"+PONG\r\n", b"-NOAUTH ", b"-DENIED ", b"-WRONGPASS ", b"-MISCONF ", b"-WRONGTYPE "];
    let says = SAYS.iter().fold(Match::No, |m, p| m.or(Match::prefix(bytes, p)));
    let shared = match bytes {
        [b'$' | b'*' | b':', rest @ ..] => rest.iter().take_while(|b| **b != b'\r').take(10).all(|b| matches!(b, b'0'..=b'9' | b'-')),
        _ => [&b"+OK\r\n"[..], b"-ERR "].iter().any(|p| Match::prefix(bytes, p) != Match::No),
    };
    says.or(if shared { Match::Maybe } else { Match::No })
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Redis {
    lines: Lines,
    /// Whether bytes are missing, so that only what cannot be mistaken begins a message.
    lost: [bool; 2],
    /// Bytes of each side's bulk string that still come.
    left: [u64; 2],
    /// Elements of each side's array that are passed over.
    elements: [u64; 2],
    /// The body that comes, where it is one.
    hash: [Option<Box<Hash>>; 2],
    /// What the client's belongs to.
    command: [String; 2],
}

impl Parser for Redis {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let (mut at, i) = (0, side.index());
        while at < input.len() {
            if self.left[i] > 0 {
                let taken = usize::try_from(self.left[i]).unwrap_or(usize::MAX).min(input.len() - at);
                if let Some(hash) = &mut self.hash[i] {
                    hash.add(&input[at..at + taken]);
                }
                self.left[i] -= taken as u64;
                at += taken;
                if self.left[i] == 0 {
                    out.extend(self.body(side));
                }
                continue;
            }
            if side == Side::Client && self.elements[i] == 0 && input[at] == b'*' {
                match array(&input[at..]) {
                    Array::Open => break,
                    Array::Whole { arguments, taken, large } => {
                        at += taken;
                        self.lost[i] = false;
                        let message = command(&arguments);
                        if let Some((left, elements)) = large {
                            let told = message.as_ref().map(|m| [m.verb.clone(), m.object.clone()].map(Option::unwrap_or_default));
                            self.command = told.unwrap_or_default();
                            (self.left[i], self.elements[i]) = (left, elements);
                            self.hash[i] = (left > 0).then(Box::default);
                        }
                        out.extend(message.map(|m| Message { cut: m.cut || large.is_some(), ..m }));
                        continue;
                    }
                    Array::Bad => {}
                }
            }
            let Some(line) = self.lines.next(side, input, &mut at) else { break };
            let message = if self.elements[i] > 0 { self.element(side, line.text) } else { self.line(side, line.text) };
            out.extend(message.map(|m| Message { cut: m.cut || line.cut, ..m }));
        }
        at
    }

    fn gap(&mut self, side: Side) {
        let i = side.index();
        (self.left[i], self.elements[i], self.hash[i], self.lost[i]) = (0, 0, None, true);
        // An array is known by itself; what is left of a line is not.
        self.lines.gap(side);
    }

    fn end(&mut self, side: Side, rest: &[u8], out: &mut Vec<Message>) {
        out.extend(self.body(side));
        if side == Side::Client && !rest.is_empty() && !rest.starts_with(b"*") {
            out.extend(self.line(side, bare(rest)));
        }
    }
}

impl Redis {
    /// A bulk string is over.
    fn body(&mut self, side: Side) -> Option<Message> {
        let hash = self.hash[side.index()].take()?;
        let mut message = Message::of(if side == Side::Client { Kind::Transfer } else { Kind::Reply });
        if side == Side::Client {
            [message.verb, message.object] = self.command.clone().map(Some);
        }
        message.body = (hash.bytes() > 0).then(|| hash.body());
        Some(message)
    }

    /// An element that is passed over.
    fn element(&mut self, side: Side, line: &[u8]) -> Option<Message> {
        let i = side.index();
        if line.is_empty() {
            return None;
        }
        self.elements[i] -= 1;
        match (line[0], number(&line[1..])) {
            (b'$' | b'=' | b'!', Some(length)) => self.left[i] = length,
            (b'*' | b'~' | b'>', Some(count)) => self.elements[i] = self.elements[i].saturating_add(count),
            (b'%', Some(count)) => self.elements[i] = self.elements[i].saturating_add(count.saturating_mul(2)),
            _ => {}
        }
        None
    }

    fn line(&mut self, side: Side, line: &[u8]) -> Option<Message> {
        let i = side.index();
        if line.is_empty() || (self.lost[i] && side == Side::Client) {
            return None;
        }
        if side == Side::Client {
            let words: Vec<&[u8]> = line.split(|b| *b == b' ').filter(|w| !w.is_empty()).take(ELEMENTS).collect();
            let told = command(&words)?;
            return Some(Message { object: Message::request(b"", word(line.trim_ascii()).1).object, ..told });
        }
        let mut message = Message::of(Kind::Reply);
        match (line[0], number(&line[1..])) {
            (b'$' | b'=' | b'!', Some(length)) if length > 0 => {
                (self.left[i], self.hash[i]) = (length, Some(Box::default()));
                return None;
            }
            (b'*' | b'~' | b'>', Some(count)) => self.elements[i] = count,
            (b'%', Some(count)) => self.elements[i] = count.saturating_mul(2),
            (b'+' | b'-' | b':' | b'$' | b'_' | b'#' | b',' | b'(', _) => {}
            _ => return None,
        }
        message.object = Some(message.keep(line));
        Some(message)
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

/// A command of words.
fn command(words: &[&[u8]]) -> Option<Message> {
    let (verb, arguments) = words.split_first()?;
    let mut message = Message::request(&verb.to_ascii_uppercase(), &arguments.join(&b' '));
    let login = match message.verb.as_deref()? {
        "AUTH" => arguments,
        "HELLO" => {
            let at = arguments.iter().position(|a| a.eq_ignore_ascii_case(b"auth"));
            at.map_or(&[][..], |at| &arguments[at + 1..])
        }
        _ => &[],
    };
    match login {
        [password] => message.password = Some(message.keep(password)),
        [user, password, ..] => {
            (message.user, message.password) = (Some(message.keep(user)), Some(message.keep(password)));
        }
        [] => {}
    }
    Some(message)
}

/// An array of bulk strings at the front of what a client says.
enum Array<'a> {
    /// It is not there whole.
    Open,
    /// Its strings, and how long they are together; where it is longer than [`LINE`], the bytes of the string and the number of
    /// elements behind it that come then.
    Whole { arguments: Vec<&'a [u8]>, taken: usize, large: Option<(u64, u64)> },
    /// It is none.
    Bad,
}

fn array(input: &[u8]) -> Array<'_> {
    /// Bytes of a line with a number.
    const HEADER: usize = 32;
    let header = |at: usize, sign: u8| -> Result<(u64, usize), Array<'_>> {
        let rest = &input[at.min(input.len())..];
        let end = rest.iter().take(HEADER).position(|b| *b == b'\n');
        let Some(end) = end else { return Err(if rest.len() < HEADER { Array::Open } else { Array::Bad }) };
        match bare(&rest[..end]).strip_prefix(&[sign]).and_then(number) {
            Some(number) => Ok((number, at + end + 1)),
            None => Err(Array::Bad),
        }
    };
    let (count, mut at) = match header(0, b'*') {
        Ok(found) => found,
        Err(other) => return other,
    };
    let mut arguments = Vec::new();
    for done in 0..count {
        if at + HEADER > LINE {
            return Array::Whole { arguments, taken: at, large: Some((0, count - done)) };
        }
        let (length, begin) = match header(at, b'$') {
            Ok(found) => found,
            Err(other) => return other,
        };
        if length > (LINE - begin.min(LINE)) as u64 {
            return Array::Whole { arguments, taken: begin, large: Some((length, count - done - 1)) };
        }
        let end = begin + length as usize;
        let Some(argument) = input.get(begin..end) else { return Array::Open };
        let behind = match &input[end..] {
            [b'\r', b'\n', ..] => 2,
            [] | [b'\r'] => return Array::Open,
            _ => return Array::Bad,
        };
        if arguments.len() < ELEMENTS {
            arguments.push(argument);
        }
        at = end + behind;
    }
    Array::Whole { arguments, taken: at, large: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by, talk};

    #[test]
    fn an_intruder_writes_a_crontab() {
        let messages = talk(
            "redis",
            &[
                (Side::Client, b"*2\r\n$4\r\nauth\r\n$6\r\nfoo\r\n1\r\n*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$3\r\ndir\r\n$16\r\n/var/spool/cron/\r\n"),
                (Side::Server, b"-WRONGPASS no\r\n+OK\r\n"),
                (Side::Client, b"SLAVEOF 192.0.2.1 6379\r\nhello 3 AUTH a b\r\n"),
                (Side::Server, b"$8\r\n# Server\r\n*2\r\n$2\r\nab\r\n*1\r\n:1\r\n$-1\r\n"),
            ],
        );
        let said: Vec<_> = by(Side::Client, &messages)
            .iter()
            .map(|m| (m.verb.as_deref().unwrap(), m.object.as_deref().unwrap(), m.password.as_deref()))
            .collect();
        let wanted = [
            ("AUTH", "foo\r\n1", Some("foo\r\n1")),
            ("CONFIG", "SET dir /var/spool/cron/", None),
            ("SLAVEOF", "192.0.2.1 6379", None),
            ("HELLO", "3 AUTH a b", Some("b")),
        ];
        assert_eq!(said, wanted);
        let replies: Vec<_> = by(Side::Server, &messages).iter().map(|m| m.object.as_deref()).collect();
        assert_eq!(replies, [Some("-WRONGPASS no"), Some("+OK"), None, Some("*2"), Some("$-1")]);
        assert_eq!(by(Side::Server, &messages)[2].body, Some(Hash::of(b"# Server")));
    }

    #[test]
    fn a_large_argument_is_a_body() {
        let large = vec![b'\n'; 50_000];
        let said = [b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$50000\r\n", large.as_slice(), b"\r\n$2\r\nEX\r\nPING\r\n"].concat();
        let messages = talk("redis", &[(Side::Client, &said)]);
        let verbs: Vec<_> = messages.iter().map(|(_, m)| (m.verb.as_deref().unwrap(), m.cut)).collect();
        assert_eq!(verbs, [("SET", true), ("SET", false), ("PING", false)]);
        assert_eq!((messages[1].1.body.clone(), messages[1].1.object.as_deref()), (Some(Hash::of(&large)), Some("k")));
    }

    #[test]
    fn after_a_gap_an_array_begins_anew() {
        let (mut redis, mut out) = (Redis::default(), Vec::new());
        redis.gap(Side::Client);
        redis.read(Side::Client, b"dir\r\n$3\r\nabc\r\n*1\r\n$4\r\nPING\r\n", &mut out);
        assert_eq!(out.iter().map(|m| m.verb.as_deref().unwrap()).collect::<Vec<_>>(), ["PING"]);
    }

    #[test]
    fn others_are_not_redis() {
        assert_eq!([client(b"*1\r\nx"), client(b"* OK"), client(b"*1\r\n"), client(b"PING\r\n")], [
            Match::No,
            Match::No,
            Match::Maybe,
            Match::OnPort
        ]);
        assert_eq!([server(b"* OK"), server(b"+OK\r\n"), server(b"+PONG\r\n")], [Match::No, Match::Maybe, Match::Yes]);
    }
}
