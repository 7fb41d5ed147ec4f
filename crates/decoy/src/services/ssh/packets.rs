//! How SSH's packets are kept secret (RFC 4253 6, 4344) and its values written (RFC 4251 5).

use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// The hash that an exchange uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    /// The hash of all of these.
    pub fn of(self, parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Hash::Sha1 => parts.iter().fold(Sha1::new(), Sha1::chain_update).finalize().to_vec(),
            Hash::Sha256 => parts.iter().fold(Sha256::new(), Sha256::chain_update).finalize().to_vec(),
        }
    }

    /// That many bytes for the purpose of this letter, from the shared `number`, the exchange's `hash`, which is the session's name
    /// too: a session here has one exchange (RFC 4253 7.2).
    pub fn derived(self, number: &[u8], hash: &[u8], letter: u8, length: usize) -> Vec<u8> {
        let mut key = self.of(&[number, hash, &[letter], hash]);
        while key.len() < length {
            let more = self.of(&[number, hash, &key]);
            key.extend(more);
        }
        key.truncate(length);
        key
    }
}

/// Ciphers that both a server's face and we know.
const CIPHERS: [(&str, usize); 8] = [
    ("aes128-ctr", 16),
    ("aes192-ctr", 24),
    ("aes256-ctr", 32),
    ("aes128-cbc", 16),
    ("aes192-cbc", 24),
    ("aes256-cbc", 32),
    ("rijndael-cbc@lysator.liu.se", 32),
    ("3des-cbc", 24),
];

/// Enciphers or deciphers whole blocks.
type Apply = Box<dyn FnMut(&mut [u8]) + Send>;

/// A cipher of this name for one direction.
fn cipher(name: &str, key: &[u8], iv: &[u8], outwards: bool) -> Option<Apply> {
    fn counter<C: KeyIvInit + StreamCipher + Send + 'static>(key: &[u8], iv: &[u8]) -> Option<Apply> {
        let mut cipher = C::new_from_slices(key, iv).ok()?;
        Some(Box::new(move |bytes| cipher.apply_keystream(bytes)))
    }
    fn out<C: KeyIvInit + BlockEncryptMut + Send + 'static>(key: &[u8], iv: &[u8]) -> Option<Apply> {
        let mut cipher = C::new_from_slices(key, iv).ok()?;
        let size = C::block_size();
        Some(Box::new(move |bytes| {
            bytes.chunks_exact_mut(size).for_each(|block| cipher.encrypt_block_mut(block.into()));
        }))
    }
    fn come<C: KeyIvInit + BlockDecryptMut + Send + 'static>(key: &[u8], iv: &[u8]) -> Option<Apply> {
        let mut cipher = C::new_from_slices(key, iv).ok()?;
        let size = C::block_size();
        Some(Box::new(move |bytes| {
            bytes.chunks_exact_mut(size).for_each(|block| cipher.decrypt_block_mut(block.into()));
        }))
    }
    use aes::{Aes128, Aes192, Aes256};
    use cbc::{Decryptor, Encryptor};
    use des::TdesEde3;
    match (name, outwards) {
        ("aes128-ctr", _) => counter::<ctr::Ctr128BE<Aes128>>(key, iv),
        ("aes192-ctr", _) => counter::<ctr::Ctr128BE<Aes192>>(key, iv),
        ("aes256-ctr", _) => counter::<ctr::Ctr128BE<Aes256>>(key, iv),
        ("aes128-cbc", true) => out::<Encryptor<Aes128>>(key, iv),
        ("aes128-cbc", false) => come::<Decryptor<Aes128>>(key, iv),
        ("aes192-cbc", true) => out::<Encryptor<Aes192>>(key, iv),
        ("aes192-cbc", false) => come::<Decryptor<Aes192>>(key, iv),
        ("aes256-cbc" | "rijndael-cbc@lysator.liu.se", true) => out::<Encryptor<Aes256>>(key, iv),
        ("aes256-cbc" | "rijndael-cbc@lysator.liu.se", false) => come::<Decryptor<Aes256>>(key, iv),
        ("3des-cbc", true) => out::<Encryptor<TdesEde3>>(key, iv),
        ("3des-cbc", false) => come::<Decryptor<TdesEde3>>(key, iv),
        _ => None,
    }
}

/// Keys of one direction.
pub(super) struct Keys {
    apply: Apply,
    /// Bytes of a block.
    pub block: usize,
    code: String,
    code_key: Vec<u8>,
    /// Whether the code is over what is encrypted.
    pub encrypted_first: bool,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Keys")
    }
}

/// The letters of RFC 4253 7.2 for one direction: initial vector, key, key of the code.
pub(super) type Letters = [u8; 3];

impl Keys {
    /// Keys for algorithms of these names; nothing where we do not know one of them.
    pub fn new(
        (name, code): (&str, &str),
        outwards: bool,
        letters: Letters,
        derived: impl Fn(u8, usize) -> Vec<u8>,
    ) -> Option<Keys> {
        let (_, length) = CIPHERS.iter().find(|(known, _)| *known == name)?;
        let block = if name == "3des-cbc" { 8 } else { 16 };
        let [iv, key, code_key] = letters;
        let apply = cipher(name, &derived(key, *length), &derived(iv, block), outwards)?;
        let code_key_length = match code {
            "hmac-md5" | "hmac-md5-96" => 16,
            "hmac-sha1" | "hmac-sha1-96" => 20,
            "hmac-sha2-256" | "hmac-sha2-256-etm@openssh.com" => 32,
            _ => return None,
        };
        Some(Keys {
            apply,
            block,
            code: code.to_owned(),
            code_key: derived(code_key, code_key_length),
            encrypted_first: code.ends_with("-etm@openssh.com"),
        })
    }

    pub fn apply(&mut self, bytes: &mut [u8]) {
        (self.apply)(bytes);
    }

    /// Bytes of a code.
    pub fn code_length(&self) -> usize {
        match self.code.as_str() {
            "hmac-md5" => 16,
            "hmac-sha1" => 20,
            "hmac-md5-96" | "hmac-sha1-96" => 12,
            _ => 32,
        }
    }

    pub fn code(&self, sequence: u32, packet: &[u8]) -> Vec<u8> {
        fn of<M: KeyInit + Mac>(key: &[u8], parts: [&[u8]; 2]) -> Vec<u8> {
            // Any length of key is right for these codes.
            let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        }
        let parts = [&sequence.to_be_bytes()[..], packet];
        let mut code = match self.code.as_str() {
            "hmac-md5" | "hmac-md5-96" => of::<Hmac<Md5>>(&self.code_key, parts),
            "hmac-sha1" | "hmac-sha1-96" => of::<Hmac<Sha1>>(&self.code_key, parts),
            _ => of::<Hmac<Sha256>>(&self.code_key, parts),
        };
        code.truncate(self.code_length());
        code
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
