//! What is in the parts of a segment: packets counted, lines counted, hashes.

use std::io::{self, Read, Write};

use trapline_wire::Time;
use trapline_wire::capture::Step;
use trapline_wire::pcapng::Reader;

use crate::disk::{Disk, Reading};
use crate::manifest::Part;

/// How a comment on a packet begins that holds records of it, one line of JSON each: those that the packet's bytes do not show.
pub const COMMENT: &str = "trapline-record ";

/// What a capture holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets.
    pub packets: u64,
    /// Of these, cut.
    pub cut: u64,
    /// Bytes of these on the wire.
    pub wire_bytes: u64,
    /// The earliest time of a packet.
    pub first_ns: Option<Time>,
    /// The latest.
    pub last_ns: Option<Time>,
    /// Bytes up to the end of the last whole block.
    pub whole: u64,
}

/// Counts a capture as far as its blocks are whole.
///
/// # Errors
/// As reading says.
pub fn tally(mut capture: impl Read) -> io::Result<Tally> {
    const CHUNK: u64 = 1 << 18;
    let mut tally = Tally::default();
    let mut reader = Reader::default();
    let (mut window, mut at, mut wanted) = (Vec::new(), 0, 0);
    loop {
        if window.len() < at + wanted || window.len() == at {
            window.drain(..at);
            at = 0;
            let more = CHUNK.max(wanted as u64);
            if capture.by_ref().take(more).read_to_end(&mut window)? == 0 {
                return Ok(tally);
            }
        }
        match reader.step(&window[at..]) {
            Step::Frame { consumed, frame } => {
                tally.packets += 1;
                tally.cut += u64::from(frame.wire_len as usize > frame.data.len());
                tally.wire_bytes += u64::from(frame.wire_len);
                tally.first_ns = Some(tally.first_ns.map_or(frame.time, |first| first.min(frame.time)));
                tally.last_ns = Some(tally.last_ns.map_or(frame.time, |last| last.max(frame.time)));
                at += consumed;
                tally.whole += consumed as u64;
                wanted = 0;
            }
            Step::Skip { consumed, .. } if consumed > window.len() - at => wanted = consumed,
            Step::Skip { consumed, .. } => {
                at += consumed;
                tally.whole += consumed as u64;
                wanted = 0;
            }
            Step::Need(count) => {
                if wanted == count {
                    return Ok(tally);
                }
                wanted = count;
            }
            Step::Damaged(_) => return Ok(tally),
        }
    }
}

/// Lines of records, and bytes up to the end of the last whole one.
///
/// # Errors
/// As reading says.
pub fn lines(mut records: impl Read) -> io::Result<(u64, u64)> {
    let mut chunk = vec![0; 1 << 16];
    let (mut count, mut read, mut whole) = (0, 0, 0);
    loop {
        let length = records.read(&mut chunk)?;
        if length == 0 {
            return Ok((count, whole));
        }
        count += chunk[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
        if let Some(end) = chunk[..length].iter().rposition(|byte| *byte == b'\n') {
            whole = read + end as u64 + 1;
        }
        read += length as u64;
    }
}

/// What a compressed part holds.
///
/// # Errors
/// Where it is not there or is no zstd.
pub fn plain<'a, D: Disk + ?Sized>(disk: &'a D, name: &'a str) -> io::Result<impl Read + use<'a, D>> {
    zstd::Decoder::new(Reading::of(disk, name))
}

/// The hash and length of a file.
///
/// # Errors
/// As the disk says.
pub fn hash_of<D: Disk + ?Sized>(disk: &D, name: &str) -> io::Result<(String, u64)> {
    let mut hasher = blake3::Hasher::new();
    let length = io::copy(&mut Reading::of(disk, name), &mut hasher)?;
    Ok((hasher.finalize().to_hex().to_string(), length))
}

/// Compresses the file `from` into the file `to` and says what that is.
///
/// # Errors
/// As the disk says.
pub(crate) fn compress<D: Disk>(disk: &mut D, from: &str, to: &str) -> io::Result<Part> {
    /// The level that zstd takes for the ordinary one: a capture becomes a quarter, at some hundred megabytes each second.
    const LEVEL: i32 = 3;
    const CHUNK: usize = 1 << 18;
    disk.remove(to)?;
    let mut encoder = zstd::Encoder::new(Vec::with_capacity(CHUNK), LEVEL)?;
    encoder.include_checksum(true)?;
    let mut hasher = blake3::Hasher::new();
    let (mut plain_bytes, mut bytes) = (0, 0);
    let mut keep = |disk: &mut D, compressed: &mut Vec<u8>| {
        hasher.update(compressed);
        bytes += compressed.len() as u64;
        disk.append(to, compressed)?;
        compressed.clear();
        io::Result::Ok(())
    };
    loop {
        let chunk = disk.read_at(from, plain_bytes, CHUNK)?;
        if chunk.is_empty() {
            break;
        }
        encoder.write_all(&chunk)?;
        plain_bytes += chunk.len() as u64;
        keep(disk, encoder.get_mut())?;
    }
    keep(disk, &mut encoder.finish()?)?;
    disk.sync(to)?;
    Ok(Part { bytes, blake3: hasher.finalize().to_hex().to_string(), plain_bytes })
}

#[cfg(test)]
mod tests {
    use trapline_wire::LinkType;
    use trapline_wire::pcapng::Writer;

    use super::*;

    #[test]
    fn a_capture_is_counted_up_to_its_last_whole_block() {
        let mut capture = Vec::new();
        let mut writer = Writer::new(&mut capture);
        let uplink = writer.interface(&mut capture, LinkType::ETHERNET);
        let mut ends = vec![];
        for (time, length) in [(50, 60), (30, 1_514), (70, 100)] {
            writer.frame(&mut capture, uplink, time, 1_514, &vec![7; length]);
            ends.push(capture.len());
        }
        let whole = tally(&capture[..]).unwrap();
        assert_eq!((whole.packets, whole.cut, whole.wire_bytes), (3, 2, 3 * 1_514));
        assert_eq!((whole.first_ns, whole.last_ns, whole.whole), (Some(30), Some(70), capture.len() as u64));
        for length in 0..capture.len() {
            let cut = tally(&capture[..length]).unwrap();
            let expected = ends.iter().filter(|end| **end <= length).count();
            assert_eq!(cut.packets, expected as u64, "{length} bytes");
            assert!(
                cut.whole <= length as u64 && length as u64 - cut.whole < 1_600,
                "{length} bytes: {cut:?}"
            );
        }
        assert_eq!(lines(&b"one\ntwo\nthr"[..]).unwrap(), (2, 8));
        assert_eq!(lines(&b""[..]).unwrap(), (0, 0));
    }
}
