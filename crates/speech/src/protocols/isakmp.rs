//! ISAKMP and IKE 1 and 2 (RFC 2408, 7296): how scanners of VPN gateways begin.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | any | exchange: main mode, aggressive, IKE_SA_INIT … | | details: version, vendor (each, hexadecimal), identity (of aggressive mode: the group's name) |
//!
//! It is a reply where the header says so (IKE 2), or the responder speaks.

use crate::binary::{Fields, hex};
use crate::lines::is_text;
use crate::message::{Kind, Message, Side};

/// Where it usually is; on 4500 behind four zeros.
pub const UDP_PORTS: &[u16] = &[500, 4500];

/// A datagram.
pub fn datagram(side: Side, bytes: &[u8]) -> Option<Message> {
    read(side, bytes).or_else(|| read(side, bytes.strip_prefix(&[0; 4])?))
}

fn read(side: Side, bytes: &[u8]) -> Option<Message> {
    let mut fields = Fields(bytes);
    let initiator = fields.take(8)?;
    fields.take(8)?;
    let (payload, version, exchange, flags) =
        (fields.byte()?, fields.byte()?, fields.byte()?, fields.byte()?);
    fields.be32()?;
    let length = fields.be32()? as usize;
    let verb = exchange_name(version, exchange)?;
    let allowed = if version >> 4 == 1 { 0x07 } else { 0x38 };
    // Windows refuses with a notification in which both cookies are zero.
    let nobody = initiator == [0; 8] && (version, exchange) != (0x10, 5);
    if nobody || length != bytes.len() || flags & !allowed != 0 {
        return None;
    }
    let answers = if version >> 4 == 2 { flags & 0x20 != 0 } else { side == Side::Server };
    let mut message = Message::of(if answers { Kind::Reply } else { Kind::Request });
    message.verb = Some(verb.into());
    message.detail("version", if version >> 4 == 1 { b"1" } else { b"2" });
    let encrypted = version >> 4 == 1 && flags & 1 != 0;
    (encrypted || payloads(payload, fields, &mut message)).then_some(message)
}

/// Goes along the payloads; whether they end where the datagram ends.
fn payloads(mut kind: u8, mut fields: Fields, message: &mut Message) -> bool {
    while kind != 0 {
        let (Some(next), Some(_), Some(length)) = (fields.byte(), fields.byte(), fields.be16()) else {
            return false;
        };
        let content = usize::from(length).checked_sub(4).and_then(|length| fields.take(length));
        let Some(content) = content else { return false };
        match kind {
            13 | 43 => message.detail("vendor", hex(&content[..content.len().min(64)]).as_bytes()),
            // Kind of identity, protocol, port.
            5 => {
                let name = content.get(4..).unwrap_or_default();
                let shown =
                    if is_text(name) { name.to_vec() } else { hex(&name[..name.len().min(64)]).into_bytes() };
                message.detail("identity", &shown);
            }
            // What is encrypted is last, and names what is in it.
            46 | 53 => return fields.0.is_empty(),
            _ => {}
        }
        kind = next;
    }
    fields.0.is_empty()
}

fn exchange_name(version: u8, exchange: u8) -> Option<&'static str> {
    let name = match (version, exchange) {
        (0x10, 1) => "base",
        (0x10, 2) => "main mode",
        (0x10, 3) => "authentication only",
        (0x10, 4) => "aggressive",
        (0x10, 5) => "informational",
        (0x10, 6) => "transaction",
        (0x10, 32) => "quick mode",
        (0x10, 33) => "new group",
        (0x20, 34) => "IKE_SA_INIT",
        (0x20, 35) => "IKE_AUTH",
        (0x20, 36) => "CREATE_CHILD_SA",
        (0x20, 37) => "INFORMATIONAL",
        _ => return None,
    };
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(version: u8, exchange: u8, flags: u8, payloads: &[(u8, &[u8])]) -> Vec<u8> {
        let mut content = Vec::new();
        for (i, (_, bytes)) in payloads.iter().enumerate() {
            content.extend([payloads.get(i + 1).map_or(0, |p| p.0), 0, 0, bytes.len() as u8 + 4]);
            content.extend_from_slice(bytes);
        }
        let first = payloads.first().map_or(0, |p| p.0);
        let mut bytes = b"\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\0\0\0\0".to_vec();
        bytes.extend([first, version, exchange, flags, 0, 0, 0, 0, 0, 0, 0, 28 + content.len() as u8]);
        bytes.extend(content);
        bytes
    }

    #[test]
    fn vendors_and_identities() {
        // Dead peer detection's vendor (RFC 3706).
        const DPD: &[u8] = b"\xaf\xca\xd7\x13\x68\xa1\xf1\xc9\x6b\x86\x96\xfc\x77\x57\x01\0";
        let bytes = message(0x10, 4, 0, &[(1, &[0; 8]), (5, b"\x0b\x11\x01\xf4vpn"), (13, DPD)]);
        let found = datagram(Side::Client, &bytes).unwrap();
        assert_eq!((found.kind, found.verb.as_deref()), (Kind::Request, Some("aggressive")));
        let details = [("version", "1"), ("identity", "vpn"), ("vendor", "afcad71368a1f1c96b8696fc77570100")];
        assert_eq!(found.details, details.map(|(n, v)| (n, v.to_owned())));
        assert_eq!(datagram(Side::Client, &[&[0; 4], &bytes[..]].concat()), Some(found));
        assert!(datagram(Side::Client, &bytes[..bytes.len() - 1]).is_none());
        // Nobody's cookies, in a notification only.
        let mut nobody = message(0x10, 5, 0, &[(11, &[0; 8])]);
        nobody[..8].fill(0);
        assert!(datagram(Side::Client, &nobody).is_some());
        nobody[18] = 2;
        assert!(datagram(Side::Client, &nobody).is_none());
    }

    #[test]
    fn version_2_and_what_is_encrypted() {
        let answer = message(0x20, 34, 0x20, &[(33, &[0; 8]), (40, &[7; 16])]);
        assert_eq!(datagram(Side::Client, &answer).unwrap().kind, Kind::Reply);
        let mut secret = message(0x20, 35, 0x08, &[(46, &[9; 20])]);
        secret[28] = 35;
        assert_eq!(datagram(Side::Client, &secret).unwrap().verb.as_deref(), Some("IKE_AUTH"));
        assert!(datagram(Side::Client, &message(0x20, 2, 0, &[])).is_none());
        assert!(datagram(Side::Client, &message(0x20, 34, 1, &[])).is_none());
    }
}
