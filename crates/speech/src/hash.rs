//! SHA-256 of a body as it comes, in a form that can be written down halfway.
//!
//! SHA-256 and not the BLAKE3 of captures, because malware is known by its SHA-256 everywhere.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest, Sha256};

use crate::limits::PAYLOAD;
use crate::message::Body;

/// A body so far: hash, length, beginning.
#[derive(Clone, Debug, Default)]
pub struct Hash {
    /// Boxed, because most parsers that have a hash never begin it.
    state: Box<Sha256>,
    bytes: u64,
    begin: Vec<u8>,
}

impl Hash {
    /// Adds bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.bytes += bytes.len() as u64;
        let room = PAYLOAD - self.begin.len().min(PAYLOAD);
        self.begin.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The body as far as it came.
    pub fn body(&self) -> Body {
        Body {
            bytes: self.bytes,
            sha256: Sha256::clone(&self.state).finalize().into(),
            begin: self.begin.clone(),
        }
    }

    /// The body of bytes that are all there.
    pub fn of(bytes: &[u8]) -> Body {
        let mut hash = Hash::default();
        hash.add(bytes);
        hash.body()
    }
}

/// What is written down: the library's own bytes, opaque to us.
#[derive(Serialize, Deserialize)]
struct Written {
    state: Vec<u8>,
    bytes: u64,
    begin: Vec<u8>,
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let state = self.state.serialize().to_vec();
        Written { state, bytes: self.bytes, begin: self.begin.clone() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let written = Written::deserialize(deserializer)?;
        let state =
            written.state.as_slice().try_into().map_err(|_| D::Error::custom("length of a hash state"))?;
        let state = Sha256::deserialize(state).map_err(|_| D::Error::custom("a hash state"))?;
        let mut begin = written.begin;
        begin.truncate(PAYLOAD);
        Ok(Hash { state: Box::new(state), bytes: written.bytes, begin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-2, B.1: SHA-256 of `abc`.
    const ABC: [u8; 4] = [0xba, 0x78, 0x16, 0xbf];

    #[test]
    fn written_down_halfway_it_goes_on() {
        let mut hash = Hash::default();
        hash.add(b"a");
        let written = postcard::to_stdvec(&hash).unwrap();
        let mut hash: Hash = postcard::from_bytes(&written).unwrap();
        hash.add(b"bc");
        let body = hash.body();
        assert_eq!((body.bytes, &body.sha256[..4], body.begin.as_slice()), (3, &ABC[..], &b"abc"[..]));
        assert_eq!(Hash::of(b"abc"), body);
    }
}
