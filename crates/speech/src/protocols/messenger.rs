//! Windows' messenger service (MS-MSRP), whose pop-ups were spam from 2002 on: connectionless DCE RPC 4 to its interface,
//! procedure 0, which takes three strings.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | pop-up | NetrSendMessage | | details: from, to, text; body: the text |

use crate::binary::Fields;
use crate::hash::Hash;
use crate::message::{Kind, Message, Side};

/// Where spammers sent it: the port that the service usually got, past the end point mapper's 135.
pub const UDP_PORTS: &[u16] = &[1026, 1027, 1028, 1025];

/// 5a7b91f8-ff00-11d0-a9b2-00c04fb6e6fc, with the bytes of its first three numbers in order.
const INTERFACE: [u8; 16] = *b"\x5a\x7b\x91\xf8\xff\x00\x11\xd0\xa9\xb2\x00\xc0\x4f\xb6\xe6\xfc";

/// Bytes of a header (C706, 12.5.2.1).
const HEADER: usize = 80;

/// A datagram: a request to that interface, of one fragment or the first of several.
pub fn datagram(_side: Side, bytes: &[u8]) -> Option<Message> {
    let (header, body) = bytes.split_at_checked(HEADER)?;
    if header[0] != 4 || header[1] != 0 || header[4] & 0xef != 0 {
        return None;
    }
    let low_first = header[4] == 0x10;
    let mut interface = [0; 16];
    interface.copy_from_slice(&header[24..40]);
    if low_first {
        interface[0..4].reverse();
        interface[4..6].reverse();
        interface[6..8].reverse();
    }
    let number = |at: usize| {
        let pair = [header[at], header[at + 1]];
        if low_first { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }
    };
    let (procedure, length, fragment) = (number(68), number(74), number(76));
    let body = body.get(..usize::from(length))?;
    if interface != INTERFACE || procedure != 0 || fragment != 0 {
        return None;
    }
    let mut fields = Fields(body);
    let mut message = Message::of(Kind::Request);
    message.verb = Some("NetrSendMessage".into());
    for name in ["from", "to", "text"] {
        // What a fragment cuts off is told as far as it is there.
        let Some(text) = string(&mut fields, low_first) else {
            message.cut = true;
            break;
        };
        message.detail(name, text);
        if name == "text" {
            message.body = Some(Hash::of(text));
        }
    }
    Some(message)
}

/// A string of NDR: room, offset, bytes, the bytes with their NUL, padded to four.
fn string<'a>(fields: &mut Fields<'a>, low_first: bool) -> Option<&'a [u8]> {
    let mut number = || if low_first { fields.le32() } else { fields.be32() };
    let (_, _, length) = (number()?, number()?, number()? as usize);
    let text = fields.take(length.min(fields.0.len()))?;
    fields.take((length.wrapping_neg() % 4).min(fields.0.len()))?;
    (!text.is_empty()).then(|| text.strip_suffix(&[0]).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop_up(texts: &[&str], low_first: bool) -> Vec<u8> {
        let number = |n: u32| if low_first { n.to_le_bytes() } else { n.to_be_bytes() };
        let mut body = Vec::new();
        for text in texts {
            let length = text.len() as u32 + 1;
            body.extend([number(length), number(0), number(length)].concat());
            body.extend_from_slice(text.as_bytes());
            body.resize((body.len() + 1).next_multiple_of(4), 0);
        }
        let mut bytes = vec![0; HEADER];
        (bytes[0], bytes[2], bytes[4]) = (4, 0x28, if low_first { 0x10 } else { 0 });
        bytes[24..40].copy_from_slice(&INTERFACE);
        let length = body.len() as u16;
        bytes[74..76].copy_from_slice(&if low_first { length.to_le_bytes() } else { length.to_be_bytes() });
        if low_first {
            bytes[24..28].reverse();
            bytes[28..30].reverse();
            bytes[30..32].reverse();
        }
        [bytes, body].concat()
    }

    #[test]
    fn a_pop_up() {
        for low_first in [true, false] {
            let bytes = pop_up(&["SYSTEM", "ALERT", "STOP! Visit example.com"], low_first);
            let message = datagram(Side::Client, &bytes).unwrap();
            let details = [("from", "SYSTEM"), ("to", "ALERT"), ("text", "STOP! Visit example.com")];
            assert_eq!(message.details, details.map(|(n, v)| (n, v.to_owned())));
            assert_eq!((message.cut, message.body), (false, Some(Hash::of(b"STOP! Visit example.com"))));
        }
    }

    #[test]
    fn another_interface_is_another_protocol() {
        let mut bytes = pop_up(&["a", "b", "c"], true);
        assert!(datagram(Side::Client, &bytes[..bytes.len() - 1]).is_none());
        bytes[30] ^= 1;
        assert!(datagram(Side::Client, &bytes).is_none());
        assert!(datagram(Side::Client, &pop_up(&["a"], true)).unwrap().cut);
    }
}
