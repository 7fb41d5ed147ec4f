//! QUIC (RFC 8999, 9000): what its long header says in clear.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | beginning | Initial, 0-RTT, Handshake, Retry; empty in versions that we do not know | version, hexadecimal | hello; details: destination, source (bytes of the connection identifiers) |
//! | other versions are offered | versions | those, with spaces between | reply |

use crate::binary::Fields;
use crate::limits::ELEMENTS;
use crate::message::{Kind, Message, Side};

/// Where it usually is.
pub const UDP_PORTS: &[u16] = &[443];

/// Long connection identifiers end here in all versions that there are (RFC 9000, 17.2).
const IDENTIFIER: usize = 20;

/// A datagram. Only versions that somebody speaks count, and those that are reserved to be refused (RFC 9000, 15).
pub fn datagram(_side: Side, bytes: &[u8]) -> Option<Message> {
    let mut fields = Fields(bytes);
    let first = fields.byte().filter(|first| first & 0x80 != 0)?;
    let version = fields.be32()?;
    let identifiers = [fields.vec8()?.0.len(), fields.vec8()?.0.len()];
    if identifiers.iter().any(|n| *n > IDENTIFIER) {
        return None;
    }
    let mut message = if version == 0 { offers(fields)? } else { begins(first, version, fields)? };
    message.detail("destination", identifiers[0].to_string().as_bytes());
    message.detail("source", identifiers[1].to_string().as_bytes());
    Some(message)
}

fn is_reserved(version: u32) -> bool {
    version & 0x0f0f_0f0f == 0x0a0a_0a0a
}

fn is_spoken(version: u32) -> bool {
    // 1, 2, drafts of the IETF and of version 2, and Google's and Facebook's own.
    let google = [b"Q050", b"T050", b"T051"].map(|v| u32::from_be_bytes(*v));
    matches!(version, 1 | 0x6b33_43cf | 0x709a_50c4 | 0xff00_0000..=0xff00_00ff | 0xface_b000..=0xface_b00f)
        || google.contains(&version)
}

fn offers(mut fields: Fields) -> Option<Message> {
    if fields.0.is_empty() || !fields.0.len().is_multiple_of(4) || fields.0.len() > 4 * ELEMENTS {
        return None;
    }
    let versions = std::iter::from_fn(|| fields.be32()).collect::<Vec<_>>();
    if !versions.iter().any(|v| is_spoken(*v)) {
        return None;
    }
    let names = versions.iter().map(|v| format!("{v:08x}")).collect::<Vec<_>>().join(" ");
    Some(Message { kind: Kind::Reply, ..Message::request(b"versions", names.as_bytes()) })
}

fn begins(first: u8, version: u32, mut fields: Fields) -> Option<Message> {
    let verb: &[u8] = if is_spoken(version) {
        if first & 0x40 == 0 {
            return None;
        }
        let number = first >> 4 & 3;
        // Version 2 counts from one further (RFC 9369, 3.2).
        match if version == 0x6b33_43cf { number.wrapping_sub(1) & 3 } else { number } {
            0 => {
                let token = usize::try_from(variable(&mut fields)?).ok()?;
                fields.take(token)?;
                carries(&mut fields)?;
                b"Initial"
            }
            1 => {
                carries(&mut fields)?;
                b"0-RTT"
            }
            2 => {
                carries(&mut fields)?;
                b"Handshake"
            }
            _ => {
                fields.take(16)?;
                b"Retry"
            }
        }
    } else if is_reserved(version) && !fields.0.is_empty() {
        b""
    } else {
        return None;
    };
    let mut message = Message::request(verb, format!("{version:08x}").as_bytes());
    message.kind = Kind::Hello;
    Some(message)
}

/// A length, and at least that much: number, and 16 bytes of proof.
fn carries(fields: &mut Fields) -> Option<()> {
    let length = usize::try_from(variable(fields)?).ok().filter(|length| *length > 16)?;
    fields.take(length).map(drop)
}

/// A number of one, two, four or eight bytes (RFC 9000, 16).
fn variable(fields: &mut Fields) -> Option<u64> {
    let first = fields.byte()?;
    let more = (1usize << (first >> 6)) - 1;
    Some(fields.take(more)?.iter().fold(u64::from(first & 0x3f), |n, b| n << 8 | u64::from(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of RFC 9001, A.2, and as many bytes behind it as it says.
    fn initial() -> Vec<u8> {
        let mut bytes = b"\xc3\0\0\0\x01\x08\x83\x94\xc8\xf0\x3e\x51\x57\x08\0\0\x44\x9e".to_vec();
        bytes.resize(1200, 7);
        bytes
    }

    #[test]
    fn a_beginning() {
        let message = datagram(Side::Client, &initial()).unwrap();
        assert_eq!((message.verb.as_deref(), message.object.as_deref()), (Some("Initial"), Some("00000001")));
        assert_eq!(message.details, [("destination", "8".to_owned()), ("source", "0".to_owned())]);
        assert!(datagram(Side::Client, &initial()[..1199]).is_none());
        let mut unknown = initial();
        unknown[1] = 7;
        assert!(datagram(Side::Client, &unknown).is_none());
        unknown[1..5].copy_from_slice(b"\x1a\x2a\x3a\x4a");
        assert_eq!(datagram(Side::Client, &unknown).unwrap().object.as_deref(), Some("1a2a3a4a"));
    }

    #[test]
    fn numbers_and_offers() {
        // RFC 9000, A.1.
        for (bytes, number) in [
            (&b"\xc2\x19\x7c\x5e\xff\x14\xe8\x8c"[..], 151_288_809_941_952_652),
            (b"\x9d\x7f\x3e\x7d", 494_878_333),
            (b"\x7b\xbd", 15_293),
            (b"\x25", 37),
        ] {
            assert_eq!(variable(&mut Fields(bytes)), Some(number));
        }
        let offer = b"\x80\0\0\0\0\0\x01\x09\0\0\0\x01\x6b\x33\x43\xcf";
        let message = datagram(Side::Server, offer).unwrap();
        assert_eq!((message.kind, message.object.as_deref()), (Kind::Reply, Some("00000001 6b3343cf")));
    }
}
