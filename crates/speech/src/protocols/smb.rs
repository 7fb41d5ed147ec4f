//! SMB 1 (MS-CIFS, MS-SMB), 2 and 3 (MS-SMB2), on 445 and inside NetBIOS sessions on 139.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | negotiation | negotiate | dialects, with commas | reply: detail dialect (its place, or its version) |
//! | login | session_setup | | user, details domain and workstation (NTLM's too), anonymous; software: native OS; detail lanman |
//! | share | tree_connect | path | detail service |
//! | file or pipe | create, open | name | |
//! | other names (delete, mkdir …) | the command | name | |
//! | transaction | trans | name | |
//! | Trans2 | trans2 | `SESSION_SETUP` (which only DoublePulsar uses) or `subcommand 0x..` | detail timeout; reply: detail multiplex |
//! | NT transaction | nt_trans | `function 0x..` | |
//! | compressed message (SMB 3.1.1) | compressed | | details original_size and offset (CVE-2020-0796 overflows them) |
//! | reply to one of these | the same | | status: NT status; detail nt_status in hexadecimal, where not 0 |
//!
//! What is written to a pipe, or comes out of it, goes to [`super::dcerpc`]; its messages stand among these. Reads,
//! writes and closes are not told. Frames of the session: [`super::netbios_session`].

use serde::{Deserialize, Serialize};

use super::dcerpc::Dcerpc;
use super::netbios_session::{self, MESSAGE};
use crate::binary::{Fields, utf16le};
use crate::limits::ELEMENTS;
use crate::message::{Kind, Match, Message, Parser, Side, text};
use crate::ntlm;

/// Where it usually is.
pub const PORTS: &[u16] = &[445, 139];

/// Bytes of a frame that are read; a longer one is cut. Requests that name something have some hundred; the longest
/// fragment of DCE-RPC that Windows offers has 4,280 (MS-RPCE).
const FRAME: usize = 16 * 1024;

/// Pipes that are remembered; a Windows client has one or two open.
const PIPES: usize = 8;

/// Commands that are chained in one message, of which servers allow about as many.
const CHAIN: usize = 16;

/// Flags of a reply.
const REPLY_1: u8 = 0x80;
const REPLY_2: u8 = 1;

/// A client begins with a negotiation, in a session or without.
pub fn client(bytes: &[u8]) -> Match {
    Match::prefix(bytes, &[0x81, 0, 0, 68, 32]).or(frame_of(bytes, false))
}

/// A server answers one.
pub fn server(bytes: &[u8]) -> Match {
    Match::prefix(bytes, &[0x82, 0, 0, 0]).or(Match::prefix(bytes, &[0x83, 0, 0, 1])).or(frame_of(bytes, true))
}

/// Whether a frame of SMB begins that is a reply, or none.
fn frame_of(bytes: &[u8], reply: bool) -> Match {
    let is = |magic: &[u8]| {
        bytes.iter().take(8).enumerate().all(|(at, b)| match at {
            0 => *b == 0,
            1..4 => true,
            _ => *b == magic[at - 4],
        })
    };
    let (one, two) = (is(b"\xffSMB"), is(b"\xfeSMB"));
    let flag = if one { bytes.get(13).map(|f| f & REPLY_1 != 0) } else { bytes.get(20).map(|f| f & REPLY_2 != 0) };
    match flag {
        _ if bytes.is_empty() || !(one || two) => Match::No,
        Some(flag) if flag == reply => Match::Yes,
        Some(_) => Match::No,
        None => Match::Maybe,
    }
}

/// A connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Smb {
    /// Bytes to pass over.
    over: [u32; 2],
    /// Whether nothing can be read any more: bytes are missing, or it is something else.
    closed: [bool; 2],
    /// Pipes by the number of their file, the last one used at the end.
    pipes: Vec<(u64, Dcerpc)>,
}

impl Parser for Smb {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let mut at = 0;
        while at < input.len() {
            let taken = self.step(side, &input[at..], out);
            at += taken;
            if taken == 0 {
                break;
            }
        }
        at
    }

    fn gap(&mut self, side: Side) {
        self.closed[side.index()] = true;
    }

    fn end(&mut self, side: Side, _rest: &[u8], out: &mut Vec<Message>) {
        self.pipes.iter_mut().for_each(|(_, pipe)| pipe.end(side, &[], out));
    }
}

impl Smb {
    fn step(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        let i = side.index();
        if self.over[i] > 0 {
            let taken = input.len().min(self.over[i] as usize);
            self.over[i] -= taken as u32;
            return taken;
        }
        if input.len() < 4 && !self.closed[i] {
            return 0;
        }
        let Some((sort, length)) = netbios_session::header(input).filter(|_| !self.closed[i]) else {
            self.closed[i] = true;
            return input.len();
        };
        let wanted = length.min(FRAME);
        let Some(content) = input.get(4..4 + wanted) else { return 0 };
        self.over[i] = (length - wanted) as u32;
        let before = out.len();
        match sort {
            MESSAGE => self.frame(side, content, out),
            _ => out.extend(netbios_session::session(sort, content)),
        }
        if wanted < length {
            out[before..].iter_mut().for_each(|m| m.cut = true);
        }
        4 + wanted
    }

    fn frame(&mut self, side: Side, frame: &[u8], out: &mut Vec<Message>) {
        match frame.get(..4) {
            Some(b"\xffSMB") => {
                self.first(side, frame, out);
            }
            Some(b"\xfeSMB") => self.second(side, frame, out),
            Some(b"\xfcSMB") => out.extend(compressed(side, frame)),
            // Encrypted, or nothing of SMB.
            _ => {}
        }
    }

    /// What goes through a pipe; `None` where its number does not stand beside it, which is so in replies.
    fn pipe(&mut self, side: Side, number: Option<u64>, bytes: &[u8], out: &mut Vec<Message>) {
        let known = match number {
            Some(number) => self.pipes.iter().position(|(n, _)| *n == number),
            None => self.pipes.len().checked_sub(1),
        };
        let amid = known.is_some_and(|at| self.pipes[at].1.amid(side));
        // Files are written and read in the same way.
        if !amid && !matches!(bytes, [5, 0 | 1, ..]) {
            return;
        }
        let mut pipe = match (known, number) {
            (Some(at), _) => self.pipes.remove(at),
            (None, Some(number)) => (number, Dcerpc::default()),
            (None, None) => return,
        };
        pipe.1.read(side, bytes, out);
        if self.pipes.len() >= PIPES {
            self.pipes.remove(0);
        }
        self.pipes.push(pipe);
    }

    /// A message of SMB 1 and the commands that are chained in it.
    fn first(&mut self, side: Side, frame: &[u8], out: &mut Vec<Message>) -> Option<()> {
        let mut command = *frame.get(4)?;
        let mut fields = Fields(frame.get(5..32)?);
        let status = fields.le32()?;
        let (flags, flags2) = (fields.byte()?, fields.le16()?);
        let multiplex = Fields(&frame[30..]).le16()?;
        let reply = flags & REPLY_1 != 0;
        if reply != (side == Side::Server) {
            return None;
        }
        let mut at = 32;
        for _ in 0..CHAIN {
            let mut rest = Fields(frame.get(at..)?);
            let count = usize::from(rest.byte()?);
            let words = rest.take(count * 2)?;
            let length = usize::from(rest.le16()?);
            let start = frame.len() - rest.0.len();
            let strings = Strings { frame, at: start, end: (start + length).min(frame.len()), unicode: flags2 & 0x8000 != 0 };
            let block = Block { command, frame, words, strings };
            if reply {
                self.answer(&block, status, multiplex, out);
            } else {
                self.request(&block, out);
            }
            if !AND_X.contains(&command) || words.len() < 4 || words[0] == 0xff {
                return None;
            }
            let next = usize::from(u16::from_le_bytes([words[2], words[3]]));
            if next <= at {
                return None;
            }
            (command, at) = (words[0], next);
        }
        None
    }

    fn request(&mut self, block: &Block, out: &mut Vec<Message>) {
        match block.command {
            0x2f => {
                if let Some((file, bytes)) = block.written() {
                    self.pipe(Side::Client, Some(file), bytes, out);
                }
            }
            0x25 => {
                out.extend(block.transaction());
                if let Some((file, bytes)) = block.through_pipe() {
                    self.pipe(Side::Client, Some(file), bytes, out);
                }
            }
            _ => out.extend(block.request()),
        }
    }

    fn answer(&mut self, block: &Block, status: u32, multiplex: u16, out: &mut Vec<Message>) {
        let through = match block.command {
            0x2e => block.data(5, 6),
            0x25 => block.data(6, 7),
            _ => None,
        };
        if let Some(bytes) = through {
            self.pipe(Side::Server, None, bytes, out);
        }
        let Some(verb) = verb(block.command) else { return };
        if block.command == 0x25 && status == 0 {
            return;
        }
        let mut message = answer(verb, status);
        match block.command {
            0x72 => message.detail("dialect", block.word(0).unwrap_or(0xffff).to_string().as_bytes()),
            0x73 => block.logged_in(&mut message),
            // Where DoublePulsar answers whether it is there.
            0x32 => message.detail("multiplex", multiplex.to_string().as_bytes()),
            _ => {}
        }
        out.push(message);
    }
}

/// Commands of SMB 1 that another one may follow in the same message.
const AND_X: [u8; 8] = [0x24, 0x2d, 0x2e, 0x2f, 0x73, 0x74, 0x75, 0xa2];

/// Commands of SMB 1 that are told, by name.
fn verb(command: u8) -> Option<&'static str> {
    Some(match command {
        0x00 => "mkdir",
        0x01 => "rmdir",
        0x02 | 0x2d => "open",
        0x03 | 0xa2 => "create",
        0x06 => "delete",
        0x07 => "rename",
        0x10 => "check_directory",
        0x25 => "trans",
        0x32 => "trans2",
        0x70 | 0x75 => "tree_connect",
        0x72 => "negotiate",
        0x73 => "session_setup",
        0xa0 => "nt_trans",
        _ => return None,
    })
}

/// The name of the transaction that a message of SMB 1 is, for the mailslots of NetBIOS datagrams.
pub(super) fn transaction_name(frame: &[u8]) -> Option<String> {
    let mut fields = Fields(frame);
    (fields.take(4)? == b"\xffSMB" && fields.byte()? == 0x25).then_some(())?;
    fields.take(5)?;
    let flags2 = fields.le16()?;
    fields.take(20)?;
    let words = usize::from(fields.byte()?) * 2;
    fields.take(words)?;
    let length = usize::from(fields.le16()?);
    let at = frame.len() - fields.0.len();
    let end = (at + length).min(frame.len());
    Some(Strings { frame, at, end, unicode: flags2 & 0x8000 != 0 }.next())
}

/// Texts of a message of SMB 1, one behind the other.
#[derive(Clone, Copy)]
struct Strings<'a> {
    frame: &'a [u8],
    at: usize,
    end: usize,
    unicode: bool,
}

impl<'a> Strings<'a> {
    fn bytes(&self) -> &'a [u8] {
        self.frame.get(self.at..self.end).unwrap_or_default()
    }

    fn skip(&mut self, length: usize) -> &'a [u8] {
        let bytes = self.bytes();
        let skipped = &bytes[..length.min(bytes.len())];
        self.at += skipped.len();
        skipped
    }

    /// The next text; empty at the end. UTF-16 begins at even places of the message.
    fn next(&mut self) -> String {
        if !self.unicode {
            return self.next_bytes();
        }
        self.at += self.at % 2;
        let bytes = self.bytes();
        let units = bytes.chunks_exact(2).position(|unit| unit == [0, 0]);
        let length = units.map_or(bytes.len(), |n| n * 2);
        self.at += length + 2;
        utf16le(&bytes[..length])
    }

    fn next_bytes(&mut self) -> String {
        let bytes = self.bytes();
        let length = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        self.at += length + 1;
        text(&bytes[..length])
    }
}

/// One command of a message of SMB 1.
struct Block<'a> {
    command: u8,
    frame: &'a [u8],
    words: &'a [u8],
    strings: Strings<'a>,
}

impl<'a> Block<'a> {
    /// The parameter at a place, in words.
    fn word(&self, at: usize) -> Option<u16> {
        Fields(self.words.get(at * 2..)?).le16()
    }

    /// What lies behind an offset and a length that two words tell.
    fn data(&self, length: usize, offset: usize) -> Option<&'a [u8]> {
        let (length, offset) = (usize::from(self.word(length)?), usize::from(self.word(offset)?));
        let rest = self.frame.get(offset..)?;
        Some(&rest[..length.min(rest.len())])
    }

    /// A WRITE_ANDX: its file, and what is written.
    fn written(&self) -> Option<(u64, &'a [u8])> {
        let bytes = self.data(10, 11)?;
        // In raw mode the first write of a message has its length in front (MS-CIFS 2.2.4.43.1).
        let raw = self.word(7)? & 0x000c == 0x000c;
        Some((u64::from(self.word(2)?), if raw { bytes.get(2..)? } else { bytes }))
    }

    /// A transaction on a named pipe (function 0x26): its file, and what goes through.
    fn through_pipe(&self) -> Option<(u64, &'a [u8])> {
        (self.word(14)? == 0x26).then_some(())?;
        Some((u64::from(self.word(15)?), self.data(11, 12)?))
    }

    fn message(&self, object: String) -> Option<Message> {
        Some(Message { verb: Some(verb(self.command)?.to_owned()), object: Some(object), ..Message::of(Kind::Request) })
    }

    fn transaction(&self) -> Option<Message> {
        self.message({ self.strings }.next())
    }

    fn request(&self) -> Option<Message> {
        let mut strings = self.strings;
        match self.command {
            0x72 => {
                let dialects = strings.bytes().split(|b| *b == 0).filter_map(|d| d.strip_prefix(b"\x02"));
                let dialects: Vec<&[u8]> = dialects.take(ELEMENTS).collect();
                self.message(text(&dialects.join(&b','))).map(|m| Message { kind: Kind::Hello, ..m })
            }
            0x73 => self.login(),
            0x75 => {
                strings.skip(usize::from(self.word(3)?));
                let mut message = self.message(strings.next())?;
                message.detail("service", strings.next_bytes().as_bytes());
                Some(message)
            }
            0xa2 => {
                // Its length stands among the parameters, behind one byte: not every client ends it.
                let length = usize::from(Fields(self.words.get(5..)?).le16()?);
                let name = strings.next();
                let most = if strings.unicode { length / 2 } else { length };
                self.message(name.chars().take(most.max(1)).collect())
            }
            0x32 => {
                let subcommand = self.word(14)?;
                let named = match subcommand {
                    0x0e => "SESSION_SETUP".to_owned(),
                    other => format!("subcommand 0x{other:02x}"),
                };
                let mut message = self.message(named)?;
                let timeout = Fields(self.words.get(12..)?).le32()?;
                message.detail("timeout", format!("{timeout:08x}").as_bytes());
                Some(message)
            }
            0xa0 => {
                let function = Fields(self.words.get(36..)?).le16()?;
                self.message(format!("function 0x{function:02x}"))
            }
            0x2d => self.message(strings.next()),
            // Texts of the oldest commands have a byte before them that says so.
            0x00..=0x03 | 0x06 | 0x07 | 0x10 | 0x70 => {
                strings.skip(1);
                self.message(strings.next())
            }
            _ => None,
        }
    }

    /// SESSION_SETUP_ANDX in its three forms: of LAN Manager, of NT, and with a token.
    fn login(&self) -> Option<Message> {
        let mut strings = self.strings;
        let mut message = self.message(String::new())?;
        message.object = None;
        match self.words.len() / 2 {
            12 => {
                let token = strings.skip(usize::from(self.word(7)?));
                ntlm::note(token, &mut message);
            }
            count @ (10 | 13) => {
                let first = strings.skip(usize::from(self.word(7)?));
                let second = if count == 13 { strings.skip(usize::from(self.word(8)?)) } else { &[] };
                let user = strings.next();
                message.detail("domain", strings.next().as_bytes());
                if user.is_empty() && second.is_empty() {
                    message.detail("anonymous", b"yes");
                }
                // Where it is no hash (24 bytes) it is the password itself.
                let plain = crate::lines::bare(first);
                if !user.is_empty() && first.len() != 24 && !plain.is_empty() && crate::lines::is_text(plain) {
                    message.password = Some(message.keep(plain));
                }
                message.user = Some(user);
            }
            _ => return None,
        }
        let (system, manager) = (strings.next(), strings.next());
        message.software = (!system.is_empty()).then_some(system);
        message.detail("lanman", manager.as_bytes());
        Some(message)
    }

    /// What a server says of itself in the answer to a login.
    fn logged_in(&self, message: &mut Message) {
        let mut strings = self.strings;
        if self.words.len() == 8 {
            strings.skip(usize::from(self.word(3).unwrap_or_default()));
        }
        let (system, manager) = (strings.next(), strings.next());
        message.software = (!system.is_empty()).then_some(system);
        message.detail("lanman", manager.as_bytes());
        message.detail("domain", strings.next().as_bytes());
    }
}

fn answer(verb: &str, status: u32) -> Message {
    let mut message = Message { verb: Some(verb.to_owned()), ..Message::of(Kind::Reply) };
    message.status = Some(status as i32);
    if status != 0 {
        message.detail("nt_status", format!("{status:08x}").as_bytes());
    }
    message
}

/// A compression header (MS-SMB2 2.2.42); its sizes are given as they stand, CVE-2020-0796 makes their sum overflow.
fn compressed(side: Side, frame: &[u8]) -> Option<Message> {
    let mut fields = Fields(frame.get(4..)?);
    let (size, _, offset) = (fields.le32()?, fields.le32()?, fields.le32()?);
    let mut message = Message::of(if side == Side::Client { Kind::Request } else { Kind::Reply });
    message.verb = Some("compressed".to_owned());
    message.detail("original_size", size.to_string().as_bytes());
    message.detail("offset", offset.to_string().as_bytes());
    Some(message)
}

impl Smb {
    /// A frame of SMB 2 and 3: commands one behind the other.
    fn second(&mut self, side: Side, frame: &[u8], out: &mut Vec<Message>) {
        let mut rest = frame;
        for _ in 0..CHAIN {
            let Some(header) = rest.get(..64) else { return };
            let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            let next = word(20) as usize;
            let command = Second {
                command: u16::from_le_bytes([header[12], header[13]]),
                whole: if next >= 64 { rest.get(..next).unwrap_or(rest) } else { rest },
            };
            match (side, header[16] & REPLY_2 != 0) {
                (Side::Client, false) => self.request_2(&command, out),
                (Side::Server, true) => self.answer_2(&command, word(8), out),
                _ => {}
            }
            match rest.get(next..) {
                Some(more) if next >= 64 => rest = more,
                _ => return,
            }
        }
    }

    fn request_2(&mut self, command: &Second, out: &mut Vec<Message>) {
        out.extend(command.request());
        let through = match command.command {
            9 => Some((16, command.pointed(2, 4))),
            11 => Some((8, command.pointed_long(24, 28))),
            _ => None,
        };
        if let Some((file, Some(bytes))) = through {
            self.pipe(Side::Client, command.file(file), bytes, out);
        }
    }

    fn answer_2(&mut self, command: &Second, status: u32, out: &mut Vec<Message>) {
        let through = match command.command {
            8 => command.at(2).and_then(|mut f| {
                let (offset, _, length) = (f.byte()?, f.byte()?, f.le32()?);
                command.slice(usize::from(offset), length as usize)
            }),
            11 => command.pointed_long(32, 36),
            _ => None,
        };
        if let Some(bytes) = through {
            self.pipe(Side::Server, None, bytes, out);
        }
        let Some(verb) = command.verb() else { return };
        let mut message = answer(verb, status);
        if command.command == 0 && status == 0 {
            let dialect = command.at(4).and_then(|mut f| f.le16()).unwrap_or_default();
            message.detail("dialect", dialect_name(dialect).as_bytes());
        }
        out.push(message);
    }
}

/// One command of SMB 2 with its header of 64 bytes.
struct Second<'a> {
    command: u16,
    whole: &'a [u8],
}

impl<'a> Second<'a> {
    fn verb(&self) -> Option<&'static str> {
        Some(match self.command {
            0 => "negotiate",
            1 => "session_setup",
            3 => "tree_connect",
            5 => "create",
            _ => return None,
        })
    }

    /// From a place of its body on.
    fn at(&self, place: usize) -> Option<Fields<'a>> {
        self.whole.get(64 + place..).map(Fields)
    }

    /// A file's number has two halves of eight bytes; their lower four tell files apart.
    fn file(&self, place: usize) -> Option<u64> {
        let (lasting, passing) = (self.at(place)?.le32()?, self.at(place + 8)?.le32()?);
        Some(u64::from(lasting) << 32 | u64::from(passing))
    }

    /// What lies at an offset from the header; as far as it is there.
    fn slice(&self, offset: usize, length: usize) -> Option<&'a [u8]> {
        let rest = self.whole.get(offset..)?;
        Some(&rest[..length.min(rest.len())])
    }

    /// What an offset of two bytes and a length of four point at.
    fn pointed(&self, offset: usize, length: usize) -> Option<&'a [u8]> {
        self.slice(usize::from(self.at(offset)?.le16()?), self.at(length)?.le32()? as usize)
    }

    /// What an offset and a length of four bytes each point at.
    fn pointed_long(&self, offset: usize, length: usize) -> Option<&'a [u8]> {
        self.slice(self.at(offset)?.le32()? as usize, self.at(length)?.le32()? as usize)
    }

    /// What an offset and a length of two bytes each, beside each other, point at.
    fn pointed_short(&self, place: usize) -> Option<&'a [u8]> {
        let mut fields = self.at(place)?;
        self.slice(usize::from(fields.le16()?), usize::from(fields.le16()?))
    }

    fn request(&self) -> Option<Message> {
        let mut message = Message { verb: Some(self.verb()?.to_owned()), ..Message::of(Kind::Request) };
        match self.command {
            0 => {
                let count = usize::from(self.at(2)?.le16()?).min(ELEMENTS);
                let mut list = self.at(36)?;
                let names: Vec<String> = std::iter::from_fn(|| list.le16()).take(count).map(dialect_name).collect();
                message.kind = Kind::Hello;
                message.object = Some(message.keep(names.join(",").as_bytes()));
            }
            1 => ntlm::note(self.pointed_short(12).unwrap_or_default(), &mut message),
            3 => message.object = Some(utf16le(self.pointed_short(4)?)),
            _ => message.object = Some(utf16le(self.pointed_short(44)?)),
        }
        Some(message)
    }
}

fn dialect_name(dialect: u16) -> String {
    match dialect {
        0x0202 => "2.0.2".to_owned(),
        0x0210 => "2.1".to_owned(),
        0x0300 => "3.0".to_owned(),
        0x0302 => "3.0.2".to_owned(),
        0x0311 => "3.1.1".to_owned(),
        other => format!("{other:04x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ntlm::tests::token;
    use crate::protocols::dcerpc::tests::{bind, call};
    use crate::protocols::netbios_session::tests::letters;
    use crate::testing::{by, talk};

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u32).to_be_bytes()[..], message].concat()
    }

    fn words(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    /// A block of parameters and bytes.
    fn block(parameters: &[u8], bytes: &[u8]) -> Vec<u8> {
        let length = (bytes.len() as u16).to_le_bytes();
        [&[(parameters.len() / 2) as u8], parameters, &length, bytes].concat()
    }

    /// The header of a message of SMB 1.
    fn header(command: u8, status: u32, flags: u8, flags2: u16) -> Vec<u8> {
        let status = status.to_le_bytes();
        let rest = [&[0; 12][..], &words(&[1, 2, 3, 81])].concat();
        [b"\xffSMB", &[command][..], &status, &[flags], &flags2.to_le_bytes(), &rest].concat()
    }

    fn one(command: u8, flags2: u16, parameters: &[u8], bytes: &[u8]) -> Vec<u8> {
        framed(&[header(command, 0, 0x18, flags2), block(parameters, bytes)].concat())
    }

    fn reply(command: u8, status: u32, parameters: &[u8], bytes: &[u8]) -> Vec<u8> {
        framed(&[header(command, status, 0x98, 0xc001), block(parameters, bytes)].concat())
    }

    fn detail<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
        message.details.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    fn verbs<'a>(messages: &[&'a Message]) -> Vec<(&'a str, &'a str)> {
        let text = |t: &'a Option<String>| t.as_deref().unwrap_or("-");
        messages.iter().map(|m| (text(&m.verb), text(&m.object))).collect()
    }

    #[test]
    fn a_session_a_chained_login_and_a_share() {
        let session = [&[0x81, 0, 0, 68][..], &letters("*SMBSERVER", 0x20), &letters("PC-1", 0)].concat();
        let dialects = one(0x72, 0, &[], b"\x02PC NETWORK PROGRAM 1.0\0\x02NT LM 0.12\0");
        // Behind the login in the same message: the share. The login's block begins at 32.
        let login = [&[0; 24][..], &[0], &wide("bob"), &wide("HOME"), &wide("Windows 2000 2195"), &wide("5.0")].concat();
        let at = (32 + 1 + 26 + 2 + login.len()) as u16;
        let login = block(&words(&[0x75, at, 4356, 50, 0, 0, 0, 24, 0, 0, 0, 0, 0]), &login);
        let pad = if at.is_multiple_of(2) { &[0][..] } else { &[0, 0] };
        let share = block(&words(&[0xff, 0, 0, 1]), &[pad, &wide("\\\\10.0.0.1\\IPC$"), b"IPC\0"].concat());
        let login = framed(&[header(0x73, 0, 0x18, 0xc001), login, share].concat());
        let refused = reply(0x73, 0xc000_006d, &[], &[]);
        let messages = talk(
            "smb",
            &[
                (Side::Client, &session),
                (Side::Server, &[0x82, 0, 0, 0]),
                (Side::Client, &dialects),
                (Side::Client, &login),
                (Side::Server, &refused),
            ],
        );
        let ours = by(Side::Client, &messages);
        let wanted = [
            ("session_request", "*SMBSERVER<20>"),
            ("negotiate", "PC NETWORK PROGRAM 1.0,NT LM 0.12"),
            ("session_setup", "-"),
            ("tree_connect", "\\\\10.0.0.1\\IPC$"),
        ];
        assert_eq!(verbs(&ours), wanted);
        assert_eq!(detail(ours[0], "calling"), Some("PC-1<00>"));
        assert_eq!((ours[2].user.as_deref(), ours[2].password.as_deref()), (Some("bob"), None));
        assert_eq!(ours[2].software.as_deref(), Some("Windows 2000 2195"));
        assert_eq!((detail(ours[2], "domain"), detail(ours[2], "lanman")), (Some("HOME"), Some("5.0")));
        assert_eq!(detail(ours[3], "service"), Some("IPC"));
        let theirs = by(Side::Server, &messages);
        assert_eq!((theirs[1].status, detail(theirs[1], "nt_status")), (Some(0xc000_006du32 as i32), Some("c000006d")));
    }

    #[test]
    fn a_password_of_the_oldest_clients() {
        let login = one(0x73, 0, &words(&[0xff, 0, 4356, 50, 0, 0, 0, 7, 0, 0]), b"secret\0BOB\0HOME\0Unix\0Samba\0");
        let messages = talk("smb", &[(Side::Client, &login)]);
        let login = &messages[0].1;
        assert_eq!((login.user.as_deref(), login.password.as_deref()), (Some("BOB"), Some("secret")));
        assert_eq!(login.software.as_deref(), Some("Unix"));
    }

    #[test]
    fn calls_through_a_pipe_are_told() {
        let mut create = vec![0xff, 0, 0, 0, 0, 14, 0];
        create.resize(48, 0);
        let create = one(0xa2, 0xc001, &create, &[&[0][..], &wide("\\lsarpc")].concat());
        let write = |bytes: &[u8]| {
            let parameters = words(&[0xff, 0, 0x4000, 0, 0, 0, 0, 8, 0, 0, bytes.len() as u16, 32 + 1 + 28 + 2, 0, 0]);
            one(0x2f, 0xc001, &parameters, bytes)
        };
        // 32 + 1 + 32 + 2 is the place of the name, at an even place; what goes through the pipe is behind it.
        let transact = |bytes: &[u8]| {
            let name = [&[0][..], &wide("\\PIPE\\")].concat();
            let place = (67 + name.len()) as u16;
            let mut parameters = vec![0; 16];
            (parameters[11], parameters[12], parameters[13]) = (bytes.len() as u16, place, 2);
            (parameters[14], parameters[15]) = (0x26, 0x4000);
            one(0x25, 0xc001, &words(&parameters), &[&name, bytes].concat())
        };
        let said = [create, write(&bind()), transact(&call(3, b"0123456789"))].concat();
        let messages = talk("smb", &[(Side::Client, &said)]);
        let wanted = [
            ("create", "\\lsarpc"),
            ("bind", "000001a0-0000-0000-c000-000000000046 v0.0"),
            ("trans", "\\PIPE\\"),
            ("request", "opnum 4"),
        ];
        assert_eq!(verbs(&by(Side::Client, &messages)), wanted);
    }

    #[test]
    fn doublepulsar_is_recognised() {
        let mut parameters = words(&[12, 0, 1, 0, 0, 0, 0xee16, 0x00a6, 0, 12, 66, 0, 78, 1, 0x0e]);
        parameters.truncate(30);
        let ping = one(0x32, 0xc007, &parameters, &[0; 13]);
        let answered = reply(0x32, 0xc000_0002, &[], &[]);
        let messages = talk("smb", &[(Side::Client, &ping), (Side::Server, &answered)]);
        assert_eq!(verbs(&[&messages[0].1]), [("trans2", "SESSION_SETUP")]);
        assert_eq!(detail(&messages[0].1, "timeout"), Some("00a6ee16"));
        assert_eq!(detail(&messages[1].1, "multiplex"), Some("81"));
    }

    /// The header of SMB 2 and a body.
    fn two(command: u16, flags: u8, status: u32, body: &[u8]) -> Vec<u8> {
        let mut header = b"\xfeSMB\x40\0\0\0".to_vec();
        header.extend(status.to_le_bytes());
        header.extend(words(&[command, 1]));
        header.push(flags);
        header.resize(64, 0);
        framed(&[&header, body].concat())
    }

    #[test]
    fn smb_2_says_the_same_things() {
        let negotiate = [&words(&[36, 2, 1, 0])[..], &[0; 28], &words(&[0x0202, 0x0311])].concat();
        let token = token("HOME", "bob", "PC-1");
        let login = [&[25, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..], &words(&[88, token.len() as u16]), &[0; 8], &token].concat();
        let path: Vec<u8> = "\\\\h\\IPC$".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let tree = [&words(&[9, 0, 72, path.len() as u16])[..], &path].concat();
        let create = [&[57, 0][..], &[0; 42], &words(&[64 + 56, 12]), &[0; 8], &wide("srvsvc")[..12]].concat();
        let write = [&words(&[49, 64 + 48, bind().len() as u16, 0])[..], &[0; 8], &[7; 16], &[0; 16], &bind()].concat();
        let said = [
            two(0, 0, 0, &negotiate),
            two(1, 0, 0, &login),
            two(3, 0, 0, &tree),
            two(5, 0, 0, &create),
            two(9, 0, 0, &write),
        ];
        let answers = [
            two(0, 1, 0, &words(&[65, 1, 0x0311, 0])),
            two(1, 1, 0xc000_006d, &[9, 0, 0, 0, 0, 0, 0, 0, 0]),
        ];
        let messages = talk("smb", &[(Side::Client, &said.concat()), (Side::Server, &answers.concat())]);
        let ours = by(Side::Client, &messages);
        let wanted = [
            ("negotiate", "2.0.2,3.1.1"),
            ("session_setup", "-"),
            ("tree_connect", "\\\\h\\IPC$"),
            ("create", "srvsvc"),
            ("bind", "000001a0-0000-0000-c000-000000000046 v0.0"),
        ];
        assert_eq!(verbs(&ours), wanted);
        assert_eq!((ours[1].user.as_deref(), detail(ours[1], "workstation")), (Some("bob"), Some("PC-1")));
        let theirs = by(Side::Server, &messages);
        assert_eq!(detail(theirs[0], "dialect"), Some("3.1.1"));
        assert_eq!(theirs[1].status, Some(0xc000_006du32 as i32));
    }

    #[test]
    fn a_frame_that_is_too_long_is_cut_and_passed_over() {
        let mut long = one(0x25, 0, &words(&[0; 16]), &[&b"\\PIPE\\x\0"[..], &[b'A'; 40_000]].concat());
        long.extend(one(0x06, 0, &words(&[0]), b"\x04\\file.txt\0"));
        let mut dialogue = crate::Dialogue::new(None, [1028, 445]);
        let mut heard = Vec::new();
        dialogue.hear(crate::End::Peer, &long, &mut heard);
        let messages: Vec<&Message> = heard.iter().map(|h| &h.message).collect();
        assert_eq!(verbs(&messages), [("trans", "\\PIPE\\x"), ("delete", "\\file.txt")]);
        assert_eq!((messages[0].cut, messages[1].cut), (true, false));
    }
}
