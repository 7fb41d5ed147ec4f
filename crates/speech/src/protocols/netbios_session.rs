//! NetBIOS sessions (RFC 1002, 4.3), under SMB on port 139; on 445 only their frames are left. No service of its own: [`super::smb`]
//! reads both.
//!
//! | message | verb | object | more |
//! |---|---|---|---|
//! | session request | session_request | called name with its suffix: `*SMBSERVER<20>` | detail calling |
//! | its answers | positive, negative, retarget | | status of a negative one: its reason |

use crate::binary::Fields;
use crate::message::{Kind, Message, text};

/// A frame of SMB.
pub const MESSAGE: u8 = 0x00;
const REQUEST: u8 = 0x81;
const POSITIVE: u8 = 0x82;
const NEGATIVE: u8 = 0x83;
const RETARGET: u8 = 0x84;
const KEEP_ALIVE: u8 = 0x85;

/// Sort and length of a frame; the length of 24 bits that 445 has, of which 139 uses 17. `None` where it is no frame.
pub fn header(input: &[u8]) -> Option<(u8, usize)> {
    let mut fields = Fields(input);
    let (sort, length) = (fields.byte()?, fields.be24()? as usize);
    matches!(sort, MESSAGE | REQUEST..=KEEP_ALIVE).then_some((sort, length))
}

/// What a frame of the session itself says.
pub fn session(sort: u8, content: &[u8]) -> Option<Message> {
    let mut fields = Fields(content);
    let mut message = Message::of(if sort == REQUEST { Kind::Hello } else { Kind::Reply });
    let verb = match sort {
        REQUEST => {
            message.object = Some(name(&mut fields)?);
            message.detail("calling", name(&mut fields)?.as_bytes());
            "session_request"
        }
        POSITIVE => "positive",
        NEGATIVE => {
            message.status = Some(i32::from(fields.byte()?));
            "negative"
        }
        RETARGET => "retarget",
        _ => return None,
    };
    message.verb = Some(verb.to_owned());
    Some(message)
}

/// A name of 32 letters, each half a byte (RFC 1001, 14.1), with the suffix that tells its sort: `WORKGROUP<00>`. A scope
/// behind it is passed over.
pub fn name(fields: &mut Fields) -> Option<String> {
    let letters = fields.vec8().filter(|n| n.0.len() == 32)?.0;
    // Scopes are labels up to an empty one; a name has at most 255 bytes.
    for _ in 0..128 {
        if fields.vec8()?.0.is_empty() {
            break;
        }
    }
    let half = |b: u8| b.checked_sub(b'A').filter(|h| *h < 16);
    let bytes: Option<Vec<u8>> =
        letters.chunks_exact(2).map(|p| Some(half(p[0])? << 4 | half(p[1])?)).collect();
    let bytes = bytes?;
    Some(with_suffix(&bytes))
}

/// Fifteen bytes of a name, padded, and its suffix.
pub fn with_suffix(bytes: &[u8]) -> String {
    let (suffix, name) = bytes.split_last().unwrap_or((&0, &[]));
    let end = name.iter().rposition(|b| !matches!(b, b' ' | 0)).map_or(0, |at| at + 1);
    format!("{}<{suffix:02x}>", text(&name[..end]))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A name in its letters.
    pub(crate) fn letters(name: &str, suffix: u8) -> Vec<u8> {
        let padded = format!("{name:15}");
        let halves = padded.bytes().chain([suffix]).flat_map(|b| [b'A' + (b >> 4), b'A' + (b & 15)]);
        [32].into_iter().chain(halves).chain([0]).collect()
    }

    /// The example of RFC 1001, 14.1, `The NetBIOS name` in a scope; the letter that the RFC misprints is put right.
    #[test]
    fn the_name_of_the_rfc() {
        let encoded = b"\x20FEGIGFCAEOGFHEECEJEPFDCAGOGBGNGF\x05SCOPE\x02ID\x03COM\x00";
        let mut fields = Fields(encoded);
        assert_eq!(name(&mut fields).as_deref(), Some("The NetBIOS nam<65>"));
        assert!(fields.0.is_empty());
        assert_eq!(name(&mut Fields(b"\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x00")), None);
        assert_eq!(name(&mut Fields(&letters("*SMBSERVER", 0x20))).as_deref(), Some("*SMBSERVER<20>"));
    }
}
