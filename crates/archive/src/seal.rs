//! From a closed segment to a sealed one, and what a start does again that was not done.
//!
//! The steps, and where the plug may be pulled, are those of [`crate::spool`].

use std::collections::BTreeSet;
use std::io;

use trapline_wire::Time;
use trapline_wire::pcapng::Writer;

use crate::disk::{Disk, Reading, UNFINISHED};
use crate::manifest::{self, CAPTURE, FORMAT, Identity, LINES, Manifest, Packets, hash, part_name};
use crate::segment::{Tally, compress, lines, tally};
use crate::spool::{Closed, OPEN, SpoolError, disk_error, open_names};

/// The counts of a segment; nothing where they are not there, or not whole.
pub(crate) fn read_closed<D: Disk>(disk: &D, name: &str) -> Result<Option<Closed>, SpoolError> {
    if !exists(disk, name)? {
        return Ok(None);
    }
    let text = disk.read(name, manifest::LONGEST).map_err(disk_error(name))?;
    Ok(serde_json::from_slice(&text).ok())
}

/// Makes what was written so far last, of all segments that are not sealed.
///
/// # Errors
/// Where the disk fails.
pub fn sync_open<D: Disk>(disk: &mut D) -> Result<(), SpoolError> {
    for (name, _) in disk.list().map_err(disk_error(OPEN))? {
        if name.starts_with(OPEN) && !name.ends_with(UNFINISHED) {
            disk.sync(&name).map_err(disk_error(&name))?;
        }
    }
    disk.sync_names().map_err(disk_error(OPEN))
}

/// Removes parts whose manifest went before them ([`forget`]). Parts behind the last manifest are sealed again.
pub(crate) fn remove_orphans<D: Disk>(disk: &mut D, sensor: &str, last: u64) -> Result<(), SpoolError> {
    let there: BTreeSet<u64> = sealed(disk, sensor)?.into_iter().collect();
    for (name, _) in disk.list().map_err(disk_error(sensor))? {
        let file = name.strip_prefix(sensor).and_then(|rest| rest.strip_prefix('/'));
        let number = file.and_then(|file| file.get(..10)?.parse::<u64>().ok());
        if number.is_some_and(|number| number <= last && !there.contains(&number)) {
            disk.remove(&name).map_err(disk_error(&name))?;
        }
    }
    Ok(())
}

fn exists<D: Disk>(disk: &D, name: &str) -> Result<bool, SpoolError> {
    Ok(disk.list().map_err(disk_error(name))?.iter().any(|(there, _)| there == name))
}

/// Numbers of the segments that have files in `.open/`.
pub(crate) fn open_sequences<D: Disk>(disk: &D) -> Result<BTreeSet<u64>, SpoolError> {
    let files = disk.list().map_err(disk_error(OPEN))?;
    let numbers = files.iter().filter_map(|(name, _)| {
        let file = name.strip_prefix(OPEN)?.strip_prefix('/')?;
        file.split('.').next()?.parse().ok()
    });
    Ok(numbers.collect())
}

/// Cuts the files of a segment that nobody closed to what is whole, says so in its records, and closes it.
pub(crate) fn recover<D: Disk>(
    disk: &mut D,
    names: &[String; 3],
    now: Time,
    recovered: &str,
) -> Result<(), SpoolError> {
    let [capture, records, closed] = names;
    let counted = cut_to_whole(disk, capture, records)?;
    let line = format!("{recovered}\n");
    disk.append(records, line.as_bytes()).map_err(disk_error(records))?;
    disk.sync(records).map_err(disk_error(records))?;
    let begun_ns = counted.first_ns.unwrap_or(now);
    let counts =
        Closed { begun_ns, closed_ns: now, dropped: 0, records_dropped: 0, bytes: [0, 0], recovered: true };
    let text = serde_json::to_string(&counts).unwrap_or_default();
    disk.put(closed, text.as_bytes()).map_err(disk_error(closed))
}

/// Cuts a capture and records to whole blocks and lines; both exist afterwards.
fn cut_to_whole<D: Disk>(disk: &mut D, capture: &str, records: &str) -> Result<Tally, SpoolError> {
    for name in [capture, records] {
        disk.append(name, b"").map_err(disk_error(name))?;
    }
    let counted = tally(Reading::of(disk, capture)).map_err(disk_error(capture))?;
    let (_, whole_lines) = lines(Reading::of(disk, records)).map_err(disk_error(records))?;
    disk.truncate(capture, counted.whole).map_err(disk_error(capture))?;
    disk.truncate(records, whole_lines).map_err(disk_error(records))?;
    begin_capture(disk, capture, &counted)?;
    for name in [capture, records] {
        disk.sync(name).map_err(disk_error(name))?;
    }
    Ok(counted)
}

/// A capture of nothing is one still: its first block.
fn begin_capture<D: Disk>(disk: &mut D, capture: &str, counted: &Tally) -> Result<(), SpoolError> {
    if counted.whole > 0 {
        return Ok(());
    }
    let mut first = Vec::new();
    Writer::new(&mut first);
    disk.append(capture, &first).map_err(disk_error(capture))
}

/// The last manifest of a sensor on a disk.
///
/// # Errors
/// Where the disk fails, or that manifest is not right.
pub fn head<D: Disk>(disk: &D, sensor: &str) -> Result<Option<Manifest>, SpoolError> {
    Ok(head_text(disk, sensor)?.map(|(manifest, _)| manifest))
}

/// The manifest of a segment.
///
/// # Errors
/// Where the disk fails, or it is not right.
pub fn manifest<D: Disk>(disk: &D, sensor: &str, sequence: u64) -> Result<Manifest, SpoolError> {
    let name = manifest::manifest_name(sensor, sequence);
    let text = disk.read(&name, manifest::LONGEST).map_err(disk_error(&name))?;
    Manifest::read_own(&text).map_err(|cause| SpoolError::Manifest { name, cause })
}

/// The last manifest with its text.
fn head_text<D: Disk>(disk: &D, sensor: &str) -> Result<Option<(Manifest, Vec<u8>)>, SpoolError> {
    let Some(sequence) = sealed(disk, sensor)?.last().copied() else { return Ok(None) };
    let name = manifest::manifest_name(sensor, sequence);
    let text = disk.read(&name, manifest::LONGEST).map_err(disk_error(&name))?;
    let read = Manifest::read_own(&text).map_err(|cause| SpoolError::Manifest { name, cause })?;
    Ok(Some((read, text)))
}

/// Numbers of the segments of a sensor that are sealed on a disk.
///
/// # Errors
/// Where the disk fails.
pub fn sealed<D: Disk>(disk: &D, sensor: &str) -> Result<Vec<u64>, SpoolError> {
    let files = disk.list_in(sensor).map_err(disk_error(sensor))?;
    let numbers = files.iter().filter_map(|(name, _)| {
        manifest::of_manifest(name).filter(|(whose, _)| *whose == sensor).map(|(_, sequence)| sequence)
    });
    Ok(numbers.collect())
}

/// The segments that are closed and not sealed, in order.
///
/// # Errors
/// Where the disk fails.
pub fn to_seal<D: Disk>(disk: &D) -> Result<Vec<u64>, SpoolError> {
    let mut closed = Vec::new();
    for sequence in open_sequences(disk)? {
        // One that is not closed yet comes before all after it.
        if read_closed(disk, &open_names(sequence)[2])?.is_none() {
            break;
        }
        closed.push(sequence);
    }
    Ok(closed)
}

/// Seals the segment of this number, which is closed; earlier ones are sealed already.
///
/// # Errors
/// Where the disk fails; nothing is lost then, and it can be tried again.
pub fn seal<D: Disk>(
    disk: &mut D,
    identity: &Identity,
    sequence: u64,
    now: Time,
) -> Result<Manifest, SpoolError> {
    let sensor = identity.sensor.as_str();
    let [capture, records, closed] = open_names(sequence);
    let last = head_text(disk, sensor)?;
    if let Some((last, _)) = last.as_ref().filter(|(last, _)| last.sequence >= sequence) {
        // It was sealed, and its plain files did not go.
        let last = last.clone();
        remove_open(disk, sequence)?;
        return Ok(last);
    }
    let counts = read_closed(disk, &closed)?
        .ok_or_else(|| disk_error(&closed)(io::Error::other("the segment is not closed")))?;
    for name in [&capture, &records] {
        // Of what was not synced the name may be gone, though the counts are there.
        disk.append(name, b"").map_err(disk_error(name))?;
    }
    sync_open(disk)?;
    let length = |name: &str| -> Result<u64, SpoolError> {
        let files = disk.list().map_err(disk_error(name))?;
        Ok(files.iter().find(|(there, _)| there == name).map_or(0, |(_, length)| *length))
    };
    let lost = length(&capture)? < counts.bytes[0] || length(&records)? < counts.bytes[1];
    let mut counted = tally(Reading::of(disk, &capture)).map_err(disk_error(&capture))?;
    // Of what was not synced when the power went, the middle may be missing too.
    let torn = counted.whole < counts.bytes[0];
    if lost || torn {
        counted = cut_to_whole(disk, &capture, &records)?;
    }
    // The disk was full from the first byte on.
    begin_capture(disk, &capture, &counted)?;
    let (line_count, _) = lines(Reading::of(disk, &records)).map_err(disk_error(&records))?;
    let before = last.map(|(_, text)| hash(&text));

    let mut part = |from: &str, end: &str| {
        let unfinished = format!("{sensor}/{sequence:010}.{end}{UNFINISHED}");
        let part = compress(disk, from, &unfinished).map_err(|cause| {
            // Half of it takes room that is wanted.
            let _ = disk.remove(&unfinished);
            disk_error(&unfinished)(cause)
        })?;
        let name = part_name(sensor, sequence, &part.blake3, end);
        disk.rename(&unfinished, &name).map_err(disk_error(&name))?;
        Ok::<_, SpoolError>(part)
    };
    let (capture_part, lines_part) = (part(&capture, CAPTURE)?, part(&records, LINES)?);
    disk.sync_names().map_err(disk_error(sensor))?;
    let manifest = Manifest {
        format: FORMAT,
        sensor: sensor.to_owned(),
        sequence,
        begun_ns: counts.begun_ns,
        sealed_ns: now,
        first_ns: counted.first_ns,
        last_ns: counted.last_ns,
        packets: Packets {
            seen: counts.dropped + counted.packets,
            dropped: counts.dropped,
            written: counted.packets,
            cut: counted.cut,
        },
        wire_bytes: counted.wire_bytes,
        records: line_count,
        records_dropped: counts.records_dropped,
        recovered: counts.recovered || lost || torn,
        capture: capture_part,
        lines: lines_part,
        before,
        key: String::new(),
        signature: String::new(),
    };
    let manifest = manifest.signed(&identity.key);
    let name = manifest::manifest_name(sensor, sequence);
    disk.put(&name, manifest.text().as_bytes()).map_err(disk_error(&name))?;
    remove_open(disk, sequence)?;
    Ok(manifest)
}

/// Removes the plain files of a segment.
pub(crate) fn remove_open<D: Disk>(disk: &mut D, sequence: u64) -> Result<(), SpoolError> {
    for name in open_names(sequence) {
        disk.remove(&name).map_err(disk_error(&name))?;
    }
    disk.sync_names().map_err(disk_error(OPEN))
}

/// Removes a segment from a spool, its manifest first; the last one stays, because the next one is chained to it.
///
/// # Errors
/// Where the disk fails.
pub fn forget<D: Disk>(disk: &mut D, manifest: &Manifest) -> Result<bool, SpoolError> {
    if sealed(disk, &manifest.sensor)?.last() == Some(&manifest.sequence) {
        return Ok(false);
    }
    let [capture, lines, own] = manifest.names();
    for name in [own, capture, lines] {
        disk.remove(&name).map_err(disk_error(&name))?;
        disk.sync_names().map_err(disk_error(&name))?;
    }
    Ok(true)
}
