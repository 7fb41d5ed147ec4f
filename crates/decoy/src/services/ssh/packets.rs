//! How SSH's packets are kept secret (RFC 4253 6, 4344) and its values written (RFC 4251 5).

use aes::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Keys of one direction.
pub(super) struct Keys {
    cipher: Cipher,
    mac: [u8; 32],
    /// Whether the code is over what is encrypted.
    pub encrypted_first: bool,
}

enum Cipher {
    Aes128(ctr::Ctr128BE<aes::Aes128>),
    Aes192(ctr::Ctr128BE<aes::Aes192>),
    Aes256(ctr::Ctr128BE<aes::Aes256>),
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Keys")
    }
}

impl Keys {
    pub fn new(
        cipher: &str,
        encrypted_first: bool,
        iv: &[u8; 32],
        key: &[u8; 32],
        mac: [u8; 32],
    ) -> Option<Keys> {
        let cipher = match cipher {
            "aes128-ctr" => Cipher::Aes128(ctr::Ctr128BE::new_from_slices(&key[..16], &iv[..16]).ok()?),
            "aes192-ctr" => Cipher::Aes192(ctr::Ctr128BE::new_from_slices(&key[..24], &iv[..16]).ok()?),
            _ => Cipher::Aes256(ctr::Ctr128BE::new_from_slices(key, &iv[..16]).ok()?),
        };
        Some(Keys { cipher, mac, encrypted_first })
    }

    pub fn apply(&mut self, bytes: &mut [u8]) {
        match &mut self.cipher {
            Cipher::Aes128(cipher) => cipher.apply_keystream(bytes),
            Cipher::Aes192(cipher) => cipher.apply_keystream(bytes),
            Cipher::Aes256(cipher) => cipher.apply_keystream(bytes),
        }
    }

    pub fn code(&self, sequence: u32, packet: &[u8]) -> [u8; 32] {
        // Any length of key is right for this code.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.mac) else { return [0; 32] };
        mac.update(&sequence.to_be_bytes());
        mac.update(packet);
        mac.finalize().into_bytes().into()
    }
}

/// Both directions, with the numbers of their packets.
#[derive(Debug, Default)]
pub(super) struct Directions {
    pub come: Option<Keys>,
    pub go: Option<Keys>,
    pub come_sequence: u32,
    pub go_sequence: u32,
}

/// The ten lists of names of a key exchange's first message.
pub(super) fn lists(init: &[u8]) -> Option<Vec<String>> {
    let mut rest = init.get(17..)?;
    (0..10)
        .map(|_| {
            let (list, after) = read_string(rest)?;
            rest = after;
            Some(String::from_utf8_lossy(list).into_owned())
        })
        .collect()
}

pub(super) fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

/// A positive number (RFC 4251 5): no zeros in front but the one that keeps it positive.
pub(super) fn mpint(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let sign = bytes.get(start).is_some_and(|byte| byte & 0x80 != 0);
    string(out, &[&[0][..usize::from(sign)], &bytes[start..]].concat());
}

pub(super) fn read_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = be32(bytes, 0)? as usize;
    let rest = bytes.get(4..)?;
    rest.split_at_checked(length)
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 4251 5.
    #[test]
    fn numbers_are_written_as_the_rfc_has_them() {
        let written = |bytes: &[u8]| {
            let mut out = Vec::new();
            mpint(&mut out, bytes);
            out
        };
        assert_eq!(written(&[0, 0]), [0, 0, 0, 0]);
        assert_eq!(written(&[0x09, 0xa3, 0x78]), [0, 0, 0, 3, 0x09, 0xa3, 0x78]);
        assert_eq!(written(&[0, 0x80]), [0, 0, 0, 2, 0, 0x80]);
    }
}
