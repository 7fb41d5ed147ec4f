//! The first reading of a capture: its hash, its times, its damage, and who spoke with whom.
//!
//! A second reading does the counting. Two are needed because files may come in any order, may run
//! backwards inside, and may be known already; only a whole reading tells.

use std::io::{self, Read};

use trapline_wire::Time;

use crate::infer::Pairs;
use crate::open::Input;
use crate::reader::{CaptureReader, Stopped};

/// A capture's name in the tables: the first 64 bits of the BLAKE3 hash of its uncompressed content.
///
/// Two of a million captures share one with a chance of 3e-8; whole hashes decide what is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaptureId(pub u64);

impl std::fmt::Display for CaptureId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a whole reading of a capture shows.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Where it lies.
    pub input: Input,
    /// BLAKE3 of its uncompressed content.
    pub hash: [u8; 32],
    /// Its uncompressed length in bytes.
    pub bytes: u64,
    /// Frames that carry a time.
    pub frames: u64,
    /// pcapng simple packet blocks.
    pub simple: u64,
    /// Frames without a usable time.
    pub bad_time: u64,
    /// Earliest and latest frame.
    pub span: Option<(Time, Time)>,
    /// How far its time jumps back at most, in nanoseconds; 0 where it never does.
    pub back_ns: i64,
    /// Where and why it cannot be read to its end.
    pub stopped: Option<Stopped>,
}

impl Survey {
    /// The name for the tables.
    pub fn id(&self) -> CaptureId {
        CaptureId(u64::from_be_bytes(self.hash[..8].try_into().expect("eight of 32 bytes")))
    }

    /// The whole hash, hexadecimal.
    pub fn hash_text(&self) -> String {
        blake3::Hash::from_bytes(self.hash).to_hex().to_string()
    }

    /// Whether anything in it can be kept: a capture header was there.
    pub fn is_capture(&self) -> bool {
        self.frames + self.simple + self.bad_time > 0 || self.stopped.is_none()
    }
}

/// Reads a capture whole.
///
/// `pairs` collects conversations for host inference where hosts are not known. `progress` is told
/// bytes and frames every few thousand frames and may end the reading by returning `false`.
///
/// # Errors
/// When the file cannot be opened, or `progress` said so (`Interrupted`). Damage inside is no error: it is in [`Survey::stopped`].
pub fn survey(
    input: &Input,
    mut pairs: Option<&mut Pairs>,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> io::Result<Survey> {
    let mut reader =
        CaptureReader::new(Hashing { inner: input.open()?, hasher: blake3::Hasher::new(), bytes: 0 });
    let (mut first, mut last, mut back_ns) = (Time::MAX, Time::MIN, 0);
    while reader.advance() {
        let frame = reader.frame().expect("advanced");
        back_ns = back_ns.max(last.saturating_sub(frame.time));
        (first, last) = (first.min(frame.time), last.max(frame.time));
        if let Some(pairs) = pairs.as_deref_mut() {
            pairs.see(&frame);
        }
        if reader.frames % 8192 == 0 && !progress(reader.offset(), reader.frames) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    let stopped = reader.stopped().cloned();
    let (frames, simple, bad_time) = (reader.frames, reader.simple, reader.bad_time);
    let mut hashing = reader.into_input();
    // What lies behind damage belongs to the content too. A stream that fails again ends here.
    let _ = io::copy(&mut hashing, &mut io::sink());
    Ok(Survey {
        input: input.clone(),
        hash: *hashing.hasher.finalize().as_bytes(),
        bytes: hashing.bytes,
        frames,
        simple,
        bad_time,
        span: (frames > 0).then_some((first, last)),
        back_ns: if frames > 0 { back_ns } else { 0 },
        stopped,
    })
}

/// Hashes and counts what passes through.
struct Hashing<R> {
    inner: R,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
}
