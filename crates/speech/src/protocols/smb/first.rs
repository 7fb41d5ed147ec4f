//! Commands of SMB 1 (MS-CIFS 2.2.4, MS-SMB 2.2.4).

use super::{CHAIN, REPLY_1, Smb, answer};
use crate::binary::{Fields, utf16le};
use crate::limits::ELEMENTS;
use crate::message::{Kind, Message, Side, text};
use crate::ntlm;

impl Smb {
    /// A message of SMB 1 and the commands that are chained in it.
    pub(super) fn first(&mut self, side: Side, frame: &[u8], out: &mut Vec<Message>) -> Option<()> {
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
pub(in crate::protocols) fn transaction_name(frame: &[u8]) -> Option<String> {
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
