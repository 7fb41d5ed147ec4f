//! NTLMSSP (MS-NLMP 2.2.1) inside other protocols: who logs in.

use crate::binary::{Fields, utf16le};
use crate::lines::bare;
use crate::message::{Message, text};

const SIGNATURE: &[u8] = b"NTLMSSP\0";

/// Bytes of a token in which the signature is looked for: SPNEGO puts some dozen bytes before it.
const WRAPPING: usize = 256;

/// Text is UTF-16 (NTLMSSP_NEGOTIATE_UNICODE).
const UNICODE: u32 = 1;
/// A version is there (NTLMSSP_NEGOTIATE_VERSION).
const VERSION: u32 = 0x0200_0000;

/// Notes what a token says: `user` and the details domain and workstation of an AUTHENTICATE, anonymous where it has no
/// user; of a NEGOTIATE the details workstation, domain and os_version. Challenges say nothing about who comes.
pub fn note(token: &[u8], message: &mut Message) {
    let head = &token[..token.len().min(WRAPPING)];
    let Some(start) = head.windows(SIGNATURE.len()).position(|w| w == SIGNATURE) else { return };
    let token = &token[start..];
    let _ = match token.get(8) {
        Some(1) => negotiate(token, message),
        Some(3) => authenticate(token, message),
        _ => None,
    };
}

fn authenticate(token: &[u8], message: &mut Message) -> Option<()> {
    let flags = Fields(token.get(60..).unwrap_or_default()).le32();
    // The oldest clients leave the flags out, and write OEM text.
    let unicode = flags.is_some_and(|f| f & UNICODE != 0);
    let read = |at| Some(words(field(token, at)?, unicode));
    let (domain, user, workstation) = (read(28)?, read(36)?, read(44)?);
    message.detail("domain", domain.as_bytes());
    message.detail("workstation", workstation.as_bytes());
    if user.is_empty() {
        message.detail("anonymous", b"yes");
    }
    message.user = Some(user);
    Some(())
}

fn negotiate(token: &[u8], message: &mut Message) -> Option<()> {
    let flags = Fields(token.get(12..)?).le32()?;
    message.detail("domain", field(token, 16).unwrap_or_default());
    message.detail("workstation", field(token, 24).unwrap_or_default());
    if flags & VERSION != 0 {
        let mut version = Fields(token.get(32..)?);
        let (major, minor, build) = (version.byte()?, version.byte()?, version.le16()?);
        message.detail("os_version", format!("{major}.{minor}.{build}").as_bytes());
    }
    Some(())
}

/// What a field of length, room and offset points at.
fn field(token: &[u8], at: usize) -> Option<&[u8]> {
    let mut fields = Fields(token.get(at..)?);
    let (length, _, offset) = (fields.le16()?, fields.le16()?, fields.le32()?);
    if length == 0 {
        return Some(&[]);
    }
    token.get(offset as usize..)?.get(..usize::from(length))
}

fn words(bytes: &[u8], unicode: bool) -> String {
    if unicode { utf16le(bytes) } else { text(bare(bytes)) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::message::Kind;

    /// An AUTHENTICATE message.
    pub(crate) fn token(domain: &str, user: &str, workstation: &str) -> Vec<u8> {
        let mut token = [SIGNATURE, &[3, 0, 0, 0]].concat();
        let mut payload = Vec::new();
        for text in ["", "", domain, user, workstation, ""] {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let length = (bytes.len() as u16).to_le_bytes();
            token.extend([&length[..], &length, &(64 + payload.len() as u32).to_le_bytes()].concat());
            payload.extend(bytes);
        }
        token.extend(UNICODE.to_le_bytes());
        [token, payload].concat()
    }

    #[test]
    fn who_logs_in() {
        let wrapped = [&[0xa1, 0x81, 0x90][..], &token("WORKGROUP", "Müller", "PC-1")].concat();
        let mut message = Message::of(Kind::Request);
        note(&wrapped, &mut message);
        assert_eq!(message.user.as_deref(), Some("Müller"));
        assert_eq!(message.details, [("domain", "WORKGROUP".into()), ("workstation", "PC-1".into())]);
        let mut message = Message::of(Kind::Request);
        note(&token("", "", ""), &mut message);
        assert_eq!(
            (message.user.as_deref(), message.details),
            (Some(""), vec![("anonymous", "yes".to_owned())])
        );
    }

    #[test]
    fn with_which_windows() {
        let mut token = [SIGNATURE, &[1, 0, 0, 0], &VERSION.to_le_bytes(), &[0; 16]].concat();
        token.extend([6, 1, 0xb1, 0x1d, 0, 0, 0, 15]);
        let mut message = Message::of(Kind::Request);
        note(&token, &mut message);
        assert_eq!(message.details, [("os_version", "6.1.7601".to_owned())]);
    }
}
