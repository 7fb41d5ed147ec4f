//! A message, and what every protocol's parser has in common.

use serde::{Deserialize, Serialize};

use crate::limits::{DETAILS, TEXT};

/// Who speaks in a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// Who asks: opened the connection, or sent the question.
    Client,
    /// Who is asked.
    Server,
}

impl Side {
    /// The other side.
    pub fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }

    /// 0 for the client, 1 for the server: an index into pairs.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// What sort of message it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// How a side introduces itself: a banner, a version, a TLS hello.
    Hello,
    /// A command, a request, a query.
    #[default]
    Request,
    /// An answer to one.
    Reply,
    /// A file or another body that was carried by itself.
    Transfer,
    /// Bytes that no protocol understands.
    Data,
}

impl Kind {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Hello => "hello",
            Kind::Request => "request",
            Kind::Reply => "reply",
            Kind::Transfer => "transfer",
            Kind::Data => "data",
        }
    }
}

/// One message of an application protocol. Fields that a protocol does not have stay `None`; which field holds what is said in
/// the protocol's own file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Sort.
    pub kind: Kind,
    /// Command, method, operation: `GET`, `USER`, `bind`.
    pub verb: Option<String>,
    /// What it is about: target, argument, file, name asked for.
    pub object: Option<String>,
    /// User name of a login, also of one whose name came earlier.
    pub user: Option<String>,
    /// Password of a login, as sent, decoded where the protocol only disguises it. A message with one is a login.
    pub password: Option<String>,
    /// Software that the speaker says it is: banner, user agent, version.
    pub software: Option<String>,
    /// Numeric status of a reply.
    pub status: Option<i32>,
    /// JA3 of a TLS client hello (32 hexadecimal digits); JA3S of a server's.
    pub ja3: Option<String>,
    /// JA4 of a TLS client hello.
    pub ja4: Option<String>,
    /// HASSH of an SSH client's key exchange; HASSH server of a server's.
    pub hassh: Option<String>,
    /// What it carries beside its header.
    pub body: Option<Body>,
    /// Further facts, name and text, in the order in which they stand in the message.
    pub details: Vec<(&'static str, String)>,
    /// Whether something of it was left out because of a limit.
    pub cut: bool,
    /// A connection of its own on which a transfer that belongs to this message will come.
    pub channel: Option<Channel>,
}

impl Kind {
    /// The kind of that name; data where there is none.
    pub fn named(name: &str) -> Kind {
        let all = [Kind::Hello, Kind::Request, Kind::Reply, Kind::Transfer];
        all.into_iter().find(|kind| kind.name() == name).unwrap_or(Kind::Data)
    }
}

impl Message {
    /// A message of that kind.
    pub fn of(kind: Kind) -> Message {
        Message { kind, ..Message::default() }
    }

    /// A request with verb and object; an empty object stays `Some("")`.
    pub fn request(verb: &[u8], object: &[u8]) -> Message {
        let mut message = Message::of(Kind::Request);
        message.verb = Some(message.keep(verb));
        message.object = Some(message.keep(object));
        message
    }

    /// Text of bytes from the wire, as [`text`], noting in [`Message::cut`] where they were too long.
    pub fn keep(&mut self, bytes: &[u8]) -> String {
        self.cut |= bytes.len() > TEXT;
        text(bytes)
    }

    /// Adds a fact, as long as there is room; empty ones are left out.
    pub fn detail(&mut self, name: &'static str, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        if self.details.len() >= DETAILS {
            self.cut = true;
            return;
        }
        let value = self.keep(value);
        self.details.push((name, value));
    }
}

/// A body: its length, its hash, how it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// Bytes that were seen.
    pub bytes: u64,
    /// SHA-256 of them.
    pub sha256: [u8; 32],
    /// The first [`crate::limits::PAYLOAD`] of them.
    pub begin: Vec<u8>,
}

/// A connection that a control connection announces (FTP's PORT and PASV).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// The side that listens.
    pub listener: Side,
    /// Its port. The address is that of the control connection's end: another one is not followed.
    pub port: u16,
    /// `RETR`, `STOR` and the like.
    pub verb: String,
    /// The file.
    pub object: String,
}

/// Whether bytes are how a protocol begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// They are: nothing else begins so.
    Yes,
    /// They may be: more bytes, the other side's, or the port must tell.
    Maybe,
    /// They may be, but so begins much else: they count as [`Match::Maybe`] on a usual port and as [`Match::No`] elsewhere.
    OnPort,
    /// They are not.
    No,
}

impl Match {
    /// Whether `bytes` begin with `wanted`, or could, being shorter: `Yes`, `Maybe` or `No`.
    pub fn prefix(bytes: &[u8], wanted: &[u8]) -> Match {
        match bytes.len() >= wanted.len() {
            true if bytes.starts_with(wanted) => Match::Yes,
            false if !bytes.is_empty() && wanted.starts_with(bytes) => Match::Maybe,
            _ => Match::No,
        }
    }

    /// The better of two.
    pub fn or(self, other: Match) -> Match {
        match (self, other) {
            (Match::Yes, _) | (_, Match::Yes) => Match::Yes,
            (Match::Maybe, _) | (_, Match::Maybe) => Match::Maybe,
            (Match::OnPort, _) | (_, Match::OnPort) => Match::OnPort,
            _ => Match::No,
        }
    }
}

/// A protocol on a TCP connection. One lives as long as its connection, is plain data, and holds no bytes itself but a head whose body
/// still comes: what it does not take stays with the dialogue and comes again, longer.
pub trait Parser {
    /// Takes whole messages off the front of `input`, what `side` said and is not yet taken, and returns how many bytes it
    /// took. 0 means that the first message is not there whole. The dialogue holds at most [`crate::limits::HELD`] bytes for it:
    /// where that many did not suffice they are dropped and [`Parser::gap`] is called.
    ///
    /// Never panics, whatever the bytes; never loops without taking bytes.
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize;

    /// Bytes of `side` are missing here: lost, never captured, or dropped. The next input begins anywhere.
    fn gap(&mut self, side: Side);

    /// `side` says no more; `rest` is what it said last and nobody took.
    fn end(&mut self, side: Side, rest: &[u8], out: &mut Vec<Message>);

    /// Bytes it keeps of a message whose head was taken and whose body still comes.
    fn held(&self) -> usize {
        0
    }
}

/// Text from the wire: UTF-8 where valid, else Latin-1 (words.md), at most [`TEXT`] bytes of it.
pub fn text(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(TEXT)];
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        // A character that the limit cut through does not make the rest Latin-1.
        Err(e) if e.error_len().is_none() && bytes.len() == TEXT => {
            String::from_utf8_lossy(&bytes[..e.valid_up_to()]).into_owned()
        }
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
    }
}

/// All bytes of a file as text: UTF-8 where valid, else Latin-1.
pub fn whole_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_utf8_or_latin1_and_bounded() {
        assert_eq!(text("grüß".as_bytes()), "grüß");
        assert_eq!(text(b"gr\xfc\xdf"), "gr\u{fc}\u{df}");
        assert_eq!(text(&vec![b'a'; TEXT + 9]).len(), TEXT);
        let mut long = vec![b'a'; TEXT - 1];
        long.extend("ü".as_bytes());
        assert_eq!(text(&long), "a".repeat(TEXT - 1));
    }

    #[test]
    fn a_prefix_may_still_come() {
        assert_eq!(Match::prefix(b"SSH-2.0", b"SSH-"), Match::Yes);
        assert_eq!(Match::prefix(b"SS", b"SSH-"), Match::Maybe);
        assert_eq!(Match::prefix(b"GET", b"SSH-"), Match::No);
        assert_eq!(Match::prefix(b"", b"SSH-"), Match::No);
    }
}
