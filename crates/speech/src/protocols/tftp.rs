//! TFTP (RFC 1350, 2347): which file is asked for, by worms above all (Blaster and Nachi fetched themselves by it).
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | request | RRQ, WRQ | file | details: mode, option (each with its value) |
//! | error | | text | status: its number |
//!
//! Data and acknowledgements are not read: their form says too little to be told from chance.

use crate::binary::Fields;
use crate::message::{Kind, Message, Side};

/// Where it usually is.
pub const UDP_PORTS: &[u16] = &[69];

/// A datagram.
pub fn datagram(_side: Side, bytes: &[u8]) -> Option<Message> {
    let mut fields = Fields(bytes);
    match fields.be16()? {
        1 => request(b"RRQ", fields),
        2 => request(b"WRQ", fields),
        5 => error(fields),
        _ => None,
    }
}

fn printable<'a>(fields: &mut Fields<'a>) -> Option<&'a [u8]> {
    fields.until_nul().filter(|text| text.iter().all(|b| matches!(b, b' '..=b'~')))
}

fn request(verb: &[u8], mut fields: Fields) -> Option<Message> {
    let file = printable(&mut fields).filter(|f| !f.is_empty())?;
    let mode = printable(&mut fields)?.to_ascii_lowercase();
    if !matches!(mode.as_slice(), b"netascii" | b"octet" | b"mail") {
        return None;
    }
    let mut message = Message::request(verb, file);
    message.detail("mode", &mode);
    while !fields.0.is_empty() {
        let (name, value) = (printable(&mut fields)?, printable(&mut fields)?);
        message.detail("option", &[name, value].join(&b' '));
    }
    Some(message)
}

fn error(mut fields: Fields) -> Option<Message> {
    let code = fields.be16().filter(|code| *code <= 8)?;
    let text = printable(&mut fields)?;
    let mut message = Message::of(Kind::Reply);
    message.status = Some(i32::from(code));
    message.object = Some(message.keep(text));
    fields.0.is_empty().then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worm_is_fetched() {
        let message = datagram(Side::Client, b"\0\x01msblast.exe\0octet\0").unwrap();
        assert_eq!((message.verb.as_deref(), message.object.as_deref()), (Some("RRQ"), Some("msblast.exe")));
        let options = datagram(Side::Client, b"\0\x02up\0OCTET\0blksize\x00512\0tsize\x000\0").unwrap();
        let details = [("mode", "octet"), ("option", "blksize 512"), ("option", "tsize 0")];
        assert_eq!(options.details, details.map(|(n, v)| (n, v.to_owned())));
        let error = datagram(Side::Server, b"\0\x05\0\x01File not found\0").unwrap();
        assert_eq!((error.status, error.object.as_deref()), (Some(1), Some("File not found")));
    }

    #[test]
    fn alike_and_not_it() {
        for bytes in [
            &b"\0\x01a\0octet"[..],
            b"\0\x01\0octet\0",
            b"\0\x01a\0rot13\0",
            b"\0\x01a\0octet\0x",
            b"\0\x05\0\x09x\0",
        ] {
            assert!(datagram(Side::Client, bytes).is_none(), "{bytes:?}");
        }
    }
}
