//! The manifest of a segment: what is in it, counted, hashed, chained and signed.
//!
//! Its text has one form: fields in this order, indented by two spaces. Whatever reads back to the same values and is written
//! differently is refused, so that hash, signature and meaning are one.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use trapline_wire::Time;

/// The version of the form.
pub const FORMAT: u32 = 1;
/// Bytes that a manifest has at most.
pub const LONGEST: u64 = 65_536;

/// A BLAKE3 hash in hexadecimal digits.
pub type Hash = String;

/// The hash of bytes.
pub fn hash(bytes: &[u8]) -> Hash {
    blake3::hash(bytes).to_hex().to_string()
}

/// Packets of a segment: `seen = dropped + written`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packets {
    /// Seen on the wire by the kernel or sent by a host.
    pub seen: u64,
    /// Dropped, by the kernel where we were too slow, or by us where the disk gave no room.
    pub dropped: u64,
    /// In the capture.
    pub written: u64,
    /// Of these, cut to their headers for lack of room.
    pub cut: u64,
}

/// One of the two parts of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Length of the file, in bytes, as it is kept: compressed.
    pub bytes: u64,
    /// BLAKE3 of the file as it is kept.
    pub blake3: Hash,
    /// Length of what it holds, in bytes.
    pub plain_bytes: u64,
}

/// What a segment is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The sensor's name.
    pub sensor: String,
    /// Which of its segments: 1, 2, 3, ….
    pub sequence: u64,
    /// When the segment was begun, in nanoseconds since 1970.
    pub begun_ns: Time,
    /// When it was sealed.
    pub sealed_ns: Time,
    /// The time of its first packet; nothing where it has none.
    pub first_ns: Option<Time>,
    /// The time of its last packet.
    pub last_ns: Option<Time>,
    /// Its packets.
    pub packets: Packets,
    /// Bytes of these packets on the wire.
    pub wire_bytes: u64,
    /// Lines of its records.
    pub records: u64,
    /// Lines that found no room.
    pub records_dropped: u64,
    /// Whether the segment was not closed by its sensor but found at its next start, and cut to whole blocks and lines. Packets that
    /// were on their way into it then are counted by nobody.
    pub recovered: bool,
    /// The capture, `.pcapng.zst`.
    pub capture: Part,
    /// The records, `.jsonl.zst`.
    pub lines: Part,
    /// Hash of the manifest before; nothing in the first.
    pub before: Option<Hash>,
    /// The sensor's public key, in hexadecimal digits.
    pub key: String,
    /// Its signature over the text with this field empty.
    pub signature: String,
}

/// Why a manifest is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It cannot be read.
    #[error("it is no manifest: {0}")]
    Form(String),
    /// It is of another form.
    #[error("it has form {0}, and this program reads form {FORMAT}")]
    Format(u32),
    /// It is not written as it was signed.
    #[error("it is not written in the one form that manifests have")]
    NotCanonical,
    /// Its counts contradict each other.
    #[error(
        "its packets do not add up: {seen} seen, {dropped} dropped, {written} written, {cut} of them cut"
    )]
    Counts {
        /// As it says.
        seen: u64,
        /// As it says.
        dropped: u64,
        /// As it says.
        written: u64,
        /// As it says.
        cut: u64,
    },
    /// Nobody with that key signed it.
    #[error("its signature is not right")]
    Signature,
    /// Somebody else signed it.
    #[error("it is signed by another key than this sensor's")]
    Key,
}

impl Manifest {
    /// The text of the manifest.
    pub fn text(&self) -> String {
        // Numbers and text: nothing here can fail to be JSON.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    fn unsigned(&self) -> String {
        Manifest { signature: String::new(), ..self.clone() }.text()
    }

    /// Signs it.
    pub fn signed(mut self, key: &SigningKey) -> Manifest {
        self.key = hex(key.verifying_key().as_bytes());
        self.signature = hex(&key.sign(self.unsigned().as_bytes()).to_bytes());
        self
    }

    /// Reads a manifest and checks all that it says of itself: its form, its counts, its signature by the key that it names.
    ///
    /// # Errors
    /// Says what is not right.
    pub fn read(text: &[u8]) -> Result<Manifest, Refused> {
        let manifest = Manifest::read_own(text)?;
        let right = (|| {
            let key = VerifyingKey::from_bytes(&unhex(&manifest.key)?).ok()?;
            let signature = Signature::from_bytes(&unhex(&manifest.signature)?);
            key.verify_strict(manifest.unsigned().as_bytes(), &signature).ok()
        })();
        right.map(|()| manifest).ok_or(Refused::Signature)
    }

    /// Reads a manifest that was checked when it came, or that is one's own: its signature is not looked at again.
    ///
    /// # Errors
    /// Says what is not right.
    pub fn read_own(text: &[u8]) -> Result<Manifest, Refused> {
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let form: Form = serde_json::from_slice(text).map_err(|e| Refused::Form(e.to_string()))?;
        if form.format != FORMAT {
            return Err(Refused::Format(form.format));
        }
        let manifest: Manifest = serde_json::from_slice(text).map_err(|e| Refused::Form(e.to_string()))?;
        if manifest.text().as_bytes() != text {
            return Err(Refused::NotCanonical);
        }
        let Packets { seen, dropped, written, cut } = manifest.packets;
        if dropped.checked_add(written) != Some(seen) || cut > written {
            return Err(Refused::Counts { seen, dropped, written, cut });
        }
        Ok(manifest)
    }

    /// The names of its files in a spool or a vault: capture, records, manifest.
    pub fn names(&self) -> [String; 3] {
        let Manifest { sensor, sequence, capture, lines, .. } = self;
        [
            part_name(sensor, *sequence, &capture.blake3, CAPTURE),
            part_name(sensor, *sequence, &lines.blake3, LINES),
            manifest_name(sensor, *sequence),
        ]
    }
}

/// What the name of a capture ends with.
pub const CAPTURE: &str = "pcapng.zst";
/// What the name of records ends with.
pub const LINES: &str = "jsonl.zst";

/// The name of a part: its sensor, its number, the beginning of its hash, so that no two contents ever want one name.
pub fn part_name(sensor: &str, sequence: u64, blake3: &str, end: &str) -> String {
    format!("{sensor}/{sequence:010}-{}.{end}", blake3.get(..16).unwrap_or(blake3))
}

/// The name of a manifest.
pub fn manifest_name(sensor: &str, sequence: u64) -> String {
    format!("{sensor}/{sequence:010}.json")
}

/// Which file of a segment one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Its capture.
    Capture,
    /// Its records.
    Lines,
    /// Its manifest.
    Manifest,
}

/// Which file of which segment a file of this name is, without its folder; nothing where it is none.
pub fn of_file(name: &str) -> Option<(u64, FileKind)> {
    let (digits, rest) = name.split_at_checked(10)?;
    let sequence = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    if rest == ".json" {
        return Some((sequence, FileKind::Manifest));
    }
    let (hash, end) = rest.strip_prefix('-')?.split_at_checked(16)?;
    let kind = match end.strip_prefix('.')? {
        CAPTURE => FileKind::Capture,
        LINES => FileKind::Lines,
        _ => return None,
    };
    hash.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some((sequence, kind))
}

/// The sensor and number of a manifest of this name.
pub fn of_manifest(name: &str) -> Option<(&str, u64)> {
    let (sensor, file) = name.rsplit_once('/')?;
    let digits = file.strip_suffix(".json").filter(|digits| digits.len() == 10)?;
    Some((sensor, digits.parse().ok()?))
}

/// Whether a sensor may be called so: it becomes part of names of files and of web addresses.
pub fn is_sensor_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&name.len()) && name.chars().all(letter) && !name.starts_with('.')
}

/// Who seals: a sensor's name and key.
#[derive(Clone)]
pub struct Identity {
    /// See [`is_sensor_name`].
    pub sensor: String,
    /// Its key.
    pub key: SigningKey,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Identity({})", self.sensor)
    }
}

impl Identity {
    /// Its public key, in hexadecimal digits.
    pub fn public(&self) -> String {
        hex(self.key.verifying_key().as_bytes())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let part = Part { bytes: 10, blake3: hash(b"x"), plain_bytes: 20 };
        Manifest {
            format: FORMAT,
            sensor: "paris".into(),
            sequence: 7,
            begun_ns: 1,
            sealed_ns: 9,
            first_ns: Some(2),
            last_ns: Some(8),
            packets: Packets { seen: 5, dropped: 1, written: 4, cut: 0 },
            wire_bytes: 300,
            records: 2,
            records_dropped: 0,
            recovered: false,
            capture: part.clone(),
            lines: part,
            before: Some(hash(b"before")),
            key: String::new(),
            signature: String::new(),
        }
    }

    #[test]
    fn a_signed_manifest_is_read_and_nothing_in_it_can_be_changed() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let signed = manifest().signed(&key);
        let text = signed.text();
        assert_eq!(Manifest::read(text.as_bytes()), Ok(signed.clone()));
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            assert!(Manifest::read(&changed).is_err(), "byte {at}");
            assert!(Manifest::read(&text.as_bytes()[..at]).is_err(), "cut to {at}");
        }
        assert_eq!(Manifest::read(text.replace("  ", " ").as_bytes()), Err(Refused::NotCanonical));
        assert_eq!(Manifest::read(text.replace("\": 1,", "\": 2,").as_bytes()), Err(Refused::Format(2)));
        let unbalanced =
            Manifest { packets: Packets { seen: 6, ..signed.packets }, ..manifest() }.signed(&key);
        assert!(matches!(Manifest::read(unbalanced.text().as_bytes()), Err(Refused::Counts { seen: 6, .. })));
        let forged =
            Manifest { signature: signed.signature, ..manifest().signed(&SigningKey::from_bytes(&[4; 32])) };
        assert_eq!(Manifest::read(forged.text().as_bytes()), Err(Refused::Signature));
    }

    #[test]
    fn names_go_there_and_back() {
        assert_eq!(of_manifest(&manifest_name("paris", 12)), Some(("paris", 12)));
        assert_eq!(of_manifest("paris/0000000012-abc.pcapng.zst"), None);
        let [capture, lines, own] = manifest().names();
        let file = |name: &str| of_file(name.strip_prefix("paris/").unwrap());
        assert_eq!(file(&capture), Some((7, FileKind::Capture)));
        assert_eq!((file(&lines), file(&own)), (Some((7, FileKind::Lines)), Some((7, FileKind::Manifest))));
        for other in [
            "",
            "0000000007.pcap",
            "000000000é.json",
            "0000000007-0123456789abcdeX.pcapng.zst",
            "+000000007.json",
        ] {
            assert_eq!(of_file(other), None, "{other}");
        }
        assert!(is_sensor_name("site-1.example") && !is_sensor_name("../etc") && !is_sensor_name("a/b"));
        assert!(!is_sensor_name("") && !is_sensor_name(".hidden") && !is_sensor_name("Größe"));
    }
}
