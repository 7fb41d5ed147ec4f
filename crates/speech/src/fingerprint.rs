//! Fingerprints of what a program offers in its first words: JA3 and JA4 of a TLS hello, and the MD5 they share with HASSH.
//!
//! Sources: salesforce/ja3 README; FoxIO-LLC/ja4 technical_details/JA4.md.

use std::fmt::Write;

use md5::{Digest, Md5};
use sha2::Sha256;

use crate::binary::hex;

/// What the fingerprints of a client hello are made of, all in the order of the wire, GREASE included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer<'a> {
    /// Version in the hello itself.
    pub version: u16,
    /// Versions of the extension for them.
    pub versions: Vec<u16>,
    /// Cipher suites.
    pub ciphers: Vec<u16>,
    /// Extensions by number.
    pub extensions: Vec<u16>,
    /// Groups, once named elliptic curves.
    pub groups: Vec<u16>,
    /// Formats of their points.
    pub formats: Vec<u16>,
    /// Signature algorithms.
    pub signatures: Vec<u16>,
    /// Application protocols.
    pub alpn: Vec<&'a [u8]>,
}

/// The number of the extension that names the server.
pub const SERVER_NAME: u16 = 0x0000;
/// The number of the extension for application protocols.
pub const ALPN: u16 = 0x0010;

impl Offer<'_> {
    /// The highest version offered.
    pub fn highest(&self) -> u16 {
        plain(&self.versions).max().unwrap_or(self.version)
    }

    /// JA3: MD5 of version, ciphers, extensions, groups and point formats in decimal.
    pub fn ja3(&self) -> String {
        let lists = [&self.ciphers, &self.extensions, &self.groups, &self.formats].map(|list| decimal(list));
        md5_hex(format!("{},{}", self.version, lists.join(",")).as_bytes())
    }

    /// JA4 of a hello over TCP.
    pub fn ja4(&self) -> String {
        let version = match self.highest() {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            0x0002 => "s2",
            _ => "00",
        };
        let named = if self.extensions.contains(&SERVER_NAME) { 'd' } else { 'i' };
        let count = |list: &[u16]| plain(list).count().min(99);
        let mut ciphers: Vec<u16> = plain(&self.ciphers).collect();
        ciphers.sort_unstable();
        let mut extensions: Vec<u16> =
            plain(&self.extensions).filter(|e| ![SERVER_NAME, ALPN].contains(e)).collect();
        extensions.sort_unstable();
        let mut rest = four_digits(extensions.iter().copied());
        if !rest.is_empty() && plain(&self.signatures).next().is_some() {
            rest = format!("{rest}_{}", four_digits(plain(&self.signatures)));
        }
        format!(
            "t{version}{named}{:02}{:02}{}_{}_{}",
            count(&self.ciphers),
            count(&self.extensions),
            ends(self.alpn.first().copied().unwrap_or_default()),
            short(&four_digits(ciphers.into_iter())),
            short(&rest),
        )
    }
}

/// JA3S: MD5 of the version, cipher and extensions of a server's hello.
pub fn ja3s(version: u16, cipher: u16, extensions: &[u16]) -> String {
    md5_hex(format!("{version},{cipher},{}", decimal(extensions)).as_bytes())
}

/// MD5 in 32 hexadecimal digits.
pub fn md5_hex(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

/// Values that mean nothing and are sent so that servers stay used to unknown ones (RFC 8701).
fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

fn plain(list: &[u16]) -> impl Iterator<Item = u16> {
    list.iter().copied().filter(|v| !is_grease(*v))
}

fn decimal(list: &[u16]) -> String {
    joined(plain(list), '-', |text, v| write!(text, "{v}"))
}

fn four_digits(list: impl Iterator<Item = u16>) -> String {
    joined(list, ',', |text, v| write!(text, "{v:04x}"))
}

fn joined(
    list: impl Iterator<Item = u16>,
    between: char,
    one: impl Fn(&mut String, u16) -> std::fmt::Result,
) -> String {
    list.fold(String::new(), |mut text, v| {
        if !text.is_empty() {
            text.push(between);
        }
        let _ = one(&mut text, v);
        text
    })
}

/// The first twelve digits of a SHA-256; zeros for an empty list, which has nothing to hash.
fn short(list: &str) -> String {
    if list.is_empty() { "0".repeat(12) } else { hex(&Sha256::digest(list)[..6]) }
}

/// First and last character of a protocol's name; where one of them is neither letter nor digit, of its hexadecimal form.
fn ends(name: &[u8]) -> String {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return "00".to_owned() };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(*first), char::from(*last)].iter().collect();
    }
    format!("{:x}{:x}", first >> 4, last & 0x0f)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The offer of FoxIO's example, with GREASE strewn in.
    fn example() -> Offer<'static> {
        Offer {
            version: 0x0303,
            versions: vec![0x3a3a, 0x0304, 0x0303],
            ciphers: vec![
                0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013,
                0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
            ],
            extensions: vec![
                0xfafa, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023,
                0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015,
            ],
            groups: Vec::new(),
            formats: Vec::new(),
            signatures: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0a0a],
            alpn: vec![b"h2", b"http/1.1"],
        }
    }

    #[test]
    fn ja4_is_that_of_its_authors() {
        assert_eq!(example().ja4(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        let unsigned = Offer { signatures: Vec::new(), ..example() };
        assert_eq!(unsigned.ja4(), "t13d1516h2_8daaf6152771_6d807ffa2a79");
    }

    #[test]
    fn what_is_empty_is_zeros() {
        let nothing = Offer { version: 0x0301, extensions: vec![ALPN], ..Offer::default() };
        assert_eq!(nothing.ja4(), "t10i000100_000000000000_000000000000");
        let many = Offer { version: 0x0305, ciphers: (0..200).collect(), ..Offer::default() };
        assert!(many.ja4().starts_with("t00i990000_"));
    }

    /// The examples of JA4.md.
    #[test]
    fn names_that_are_no_text_show_their_hexadecimal_ends() {
        let cases: [(&[u8], &str); 9] = [
            (b"h2", "h2"),
            (b"http/1.1", "h1"),
            (b"", "00"),
            (b"x", "xx"),
            (b"\xab", "ab"),
            (b"\xab\xcd", "ad"),
            (b"0\xab", "3b"),
            (b"01\xab\xcd", "3d"),
            (b"0\xab\xcd1", "01"),
        ];
        for (name, wanted) in cases {
            assert_eq!(ends(name), wanted, "{name:x?}");
        }
    }

    /// The examples of ja3's README.
    #[test]
    fn ja3_is_that_of_its_authors() {
        let mut offer = Offer {
            version: 769,
            ciphers: vec![47, 53, 5, 10, 0x2a2a, 49161, 49162, 49171, 49172, 50, 56, 19, 4],
            extensions: vec![0, 10, 11],
            groups: vec![23, 24, 25],
            formats: vec![0],
            ..Offer::default()
        };
        assert_eq!(offer.ja3(), "ada70206e40642a3e4461f35503241d5");
        offer =
            Offer { version: 769, ciphers: vec![4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99], ..Offer::default() };
        assert_eq!(offer.ja3(), "de350869b8c85de67a350c8d186f11e6");
    }
}
