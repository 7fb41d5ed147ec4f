//! Commands of SMB 2 and 3 (MS-SMB2 2.2).

use super::{CHAIN, REPLY_2, Smb, answer};
use crate::binary::{Fields, utf16le};
use crate::limits::ELEMENTS;
use crate::message::{Kind, Message, Side};
use crate::ntlm;

impl Smb {
    /// A frame of SMB 2 and 3: commands one behind the other.
    pub(super) fn second(&mut self, side: Side, frame: &[u8], out: &mut Vec<Message>) {
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
