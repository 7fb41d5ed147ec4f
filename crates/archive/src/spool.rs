//! The spool: the segment that is being written, those that wait to be sealed, those that wait to be shipped.
//!
//! A segment is written as two plain files in `.open/`, and closed by a third that holds its counts. Sealing compresses, hashes,
//! chains and signs it, in an order in which the plug may be pulled anywhere:
//!
//! 1. the counts are written: the segment is closed;
//! 2. the plain files are synced; what is shorter then than the counts say was lost with the power, and the segment is a recovered one;
//! 3. the compressed parts are written, synced, put in place;
//! 4. the manifest is put in place: the segment exists;
//! 5. the plain files go.
//!
//! Who writes does the first step and never waits for the disk: syncing, now and then ([`sync_open`]) and at the end, is the business of
//! who seals.
//!
//! Whoever starts on a spool does again what was not done: see [`Spool::open`].

use std::collections::BTreeSet;
use std::io;

use serde::{Deserialize, Serialize};
use trapline_wire::pcapng::Writer;
use trapline_wire::{LinkType, Time};

use crate::disk::{Disk, Reading, UNFINISHED};
use crate::manifest::{self, CAPTURE, FORMAT, Identity, LINES, Manifest, Packets, Refused, hash, part_name};
use crate::segment::{Tally, compress, lines, tally};

/// How large and how old a segment becomes, and how much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a capture from which on it is closed.
    pub segment_bytes: u64,
    /// Time after which a segment is closed.
    pub segment_ns: Time,
    /// Bytes of all files together. From [`CUTS_FROM`] on payloads are not kept, beyond it no packets.
    pub spool_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { segment_bytes: 64 << 20, segment_ns: 900 * 1_000_000_000, spool_bytes: 8 << 30 }
    }
}

/// The part of the spool's room, in percent, from which on it says that it becomes narrow.
pub const WARNS_FROM: u64 = 75;
/// The part from which on only headers are kept.
pub const CUTS_FROM: u64 = 90;
/// Bytes of a packet that are kept then: Ethernet, IPv6 and TCP with all their options.
pub const HEADERS: usize = 128;

/// How narrow the spool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// There is room.
    #[default]
    Enough,
    /// It becomes narrow.
    Narrow,
    /// Only headers are kept.
    Headers,
    /// Nothing is kept.
    None,
}

/// Why a spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk.
    #[error("{name}: {cause}")]
    Disk {
        /// Which file.
        name: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The vault's chain is another one than the spool's.
    #[error(
        "the vault has segment {sequence} of {sensor}, and it is not the one of this spool: is it another sensor's, or a new spool? give the sensor another --name"
    )]
    OtherChain {
        /// Whose.
        sensor: String,
        /// Up to where the vault is.
        sequence: u64,
    },
    /// A manifest that is not right.
    #[error("{name}: {cause}")]
    Manifest {
        /// Which.
        name: String,
        /// Why.
        cause: Refused,
    },
}

fn disk_error(name: &str) -> impl FnOnce(io::Error) -> SpoolError {
    let name = name.to_owned();
    move |cause| SpoolError::Disk { name, cause }
}

/// What is known of a segment when it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Closed {
    begun_ns: Time,
    closed_ns: Time,
    dropped: u64,
    records_dropped: u64,
    /// Bytes of its capture and its records.
    bytes: [u64; 2],
    /// Whether nobody closed it: it was found at a start.
    recovered: bool,
}

/// The names of a segment's files while it is open.
fn open_names(sequence: u64) -> [String; 3] {
    ["pcapng", "jsonl", "closed.json"].map(|end| format!("{OPEN}/{sequence:010}.{end}"))
}

const OPEN: &str = ".open";

/// The segment that is being written.
#[derive(Debug)]
struct Open {
    sequence: u64,
    begun_ns: Time,
    /// What the capture and the records have on the disk, in bytes.
    written: [u64; 2],
    /// What is to be added to them.
    waiting: [Vec<u8>; 2],
    /// Packets among what waits.
    packets_waiting: u64,
    writer: Writer,
    interfaces: Vec<String>,
    /// These two as they were when the disk last took what waited.
    taken: (Writer, usize),
    dropped: u64,
    records_dropped: u64,
    /// Whether it is being closed.
    is_ending: bool,
}

/// A spool.
#[derive(Debug)]
pub struct Spool<D> {
    disk: D,
    limits: Limits,
    open: Option<Open>,
    /// The segment that is being closed: everything of it is on the disk but its counts.
    closing: Option<(u64, Closed)>,
    next: u64,
    /// Bytes of all files.
    used: u64,
    room: Room,
}

/// Bytes that wait before they are given to the disk.
const BUFFER: usize = 1 << 18;
/// Bytes of lines that wait where the disk has no room.
const LINES_WAITING: usize = 4 << 20;

/// Adds bytes to a file that has `written`; where the disk does not take all, the file is as before.
fn put_behind<D: Disk>(disk: &mut D, name: &str, written: &mut u64, bytes: &[u8]) -> bool {
    if disk.append(name, bytes).is_ok() {
        *written += bytes.len() as u64;
        return true;
    }
    // Half of it may be there: what comes next must follow something whole.
    let _ = disk.truncate(name, *written);
    false
}

impl<D: Disk> Spool<D> {
    /// Opens a spool; what was being written when its last user ended is cut to whole blocks and lines, and closed: the segments that
    /// are to be sealed are those of [`to_seal`]. `recovered` is a line for the records of each segment that was found so.
    ///
    /// # Errors
    /// Where the disk fails, or a manifest is not right.
    pub fn open(
        mut disk: D,
        sensor: &str,
        limits: Limits,
        now: Time,
        recovered: &str,
    ) -> Result<Self, SpoolError> {
        for (name, _) in disk.list().map_err(disk_error("spool"))? {
            if name.ends_with(UNFINISHED) {
                disk.remove(&name).map_err(disk_error(&name))?;
            }
        }
        let sealed = head(&disk, sensor)?.map_or(0, |head| head.sequence);
        remove_orphans(&mut disk, sensor, sealed)?;
        let mut last = sealed;
        for sequence in open_sequences(&disk)? {
            last = last.max(sequence);
            let names = open_names(sequence);
            if sequence <= sealed {
                remove_open(&mut disk, sequence)?;
                continue;
            }
            // Counts that were written when the power went may be there in part.
            if read_closed(&disk, &names[2])?.is_some() {
                continue;
            }
            recover(&mut disk, &names, now, recovered)?;
        }
        disk.sync_names().map_err(disk_error("spool"))?;
        let mut spool =
            Spool { disk, limits, open: None, closing: None, next: last + 1, used: 0, room: Room::Enough };
        spool.measure()?;
        Ok(spool)
    }

    /// The disk.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// How much room there is.
    pub fn room(&self) -> Room {
        self.room
    }

    /// Counts what the files take anew; sealing and shipping change it.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn measure(&mut self) -> Result<Room, SpoolError> {
        let files = self.disk.list().map_err(disk_error("spool"))?;
        self.used = files.iter().map(|(_, length)| length).sum();
        let percent = self.used.saturating_mul(100) / self.limits.spool_bytes.max(1);
        self.room = match percent {
            100.. => Room::None,
            CUTS_FROM.. => Room::Headers,
            WARNS_FROM.. => Room::Narrow,
            _ => Room::Enough,
        };
        Ok(self.room)
    }

    fn current(&mut self, now: Time) -> &mut Open {
        let sequence = self.next;
        let next = &mut self.next;
        self.open.get_or_insert_with(|| {
            *next += 1;
            let mut capture = Vec::with_capacity(2 * BUFFER);
            let writer = Writer::new(&mut capture);
            Open {
                sequence,
                begun_ns: now,
                written: [0, 0],
                waiting: [capture, Vec::new()],
                packets_waiting: 0,
                writer,
                interfaces: Vec::new(),
                taken: (writer, 0),
                dropped: 0,
                records_dropped: 0,
                is_ending: false,
            }
        })
    }

    /// Takes a frame of the interface of this name, with its length on the wire.
    ///
    /// What finds no room is counted, never an error: the wire does not wait.
    pub fn frame(&mut self, interface: &str, time: Time, wire_len: u32, data: &[u8]) {
        let room = self.room;
        let open = self.current(time);
        if room == Room::None {
            open.dropped += 1;
            return;
        }
        let kept = if room == Room::Headers { &data[..data.len().min(HEADERS)] } else { data };
        let place = open.interfaces.iter().position(|known| known == interface);
        let place = place.map_or_else(
            || {
                open.interfaces.push(interface.to_owned());
                open.writer.named_interface(&mut open.waiting[0], LinkType::ETHERNET, interface)
            },
            |place| place as u32,
        );
        open.writer.frame(&mut open.waiting[0], place, time, wire_len, kept);
        open.packets_waiting += 1;
        if open.waiting[0].len() >= BUFFER {
            self.flush();
        }
    }

    /// Takes a line of the records, without its end.
    pub fn record(&mut self, now: Time, line: &str) {
        let room = self.room;
        let open = self.current(now);
        if room == Room::None {
            open.records_dropped += 1;
            return;
        }
        open.waiting[1].extend_from_slice(line.as_bytes());
        open.waiting[1].push(b'\n');
        if open.waiting[1].len() >= BUFFER {
            self.flush();
        }
    }

    /// Gives what waits to the disk. What it does not take is counted: of packets at once, of lines when too many wait.
    pub fn flush(&mut self) {
        let Some(open) = &mut self.open else { return };
        let [capture, records, _] = open_names(open.sequence);
        let [packets, lines] = &mut open.waiting;
        // A capture that has nothing but its first block waits for a packet.
        if open.packets_waiting > 0 || open.is_ending && open.written[0] == 0 {
            if put_behind(&mut self.disk, &capture, &mut open.written[0], packets) {
                self.used += packets.len() as u64;
                open.taken = (open.writer, open.interfaces.len());
                packets.clear();
            } else {
                self.room = Room::None;
                open.dropped += open.packets_waiting;
                open.writer = open.taken.0;
                open.interfaces.truncate(open.taken.1);
                packets.clear();
                if open.written[0] == 0 {
                    open.writer = Writer::new(packets);
                }
            }
            open.packets_waiting = 0;
        }
        if !lines.is_empty() {
            if put_behind(&mut self.disk, &records, &mut open.written[1], lines) {
                self.used += lines.len() as u64;
                lines.clear();
            } else if lines.len() > LINES_WAITING {
                open.records_dropped += lines.iter().filter(|byte| **byte == b'\n').count() as u64;
                lines.clear();
            }
        }
    }

    /// The number of the segment that is open.
    pub fn open_sequence(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.sequence)
    }

    /// Whether it is time to close the segment.
    pub fn is_due(&self, now: Time) -> bool {
        self.open.as_ref().is_some_and(|open| {
            let bytes =
                open.written.iter().sum::<u64>() + open.waiting.iter().map(|w| w.len() as u64).sum::<u64>();
            // A clock that steps back makes a new segment too.
            bytes >= self.limits.segment_bytes || (now - open.begun_ns).abs() >= self.limits.segment_ns
        })
    }

    /// When a segment that is open is to be closed at the latest.
    pub fn due(&self) -> Option<Time> {
        self.open.as_ref().map(|open| open.begun_ns + self.limits.segment_ns)
    }

    /// So many packets came that the kernel dropped.
    pub fn lost(&mut self, now: Time, packets: u64) {
        if packets > 0 {
            self.current(now).dropped += packets;
        }
    }

    /// Closes the segment: the numbers of those that are closed now, in order.
    ///
    /// # Errors
    /// Where the disk fails. What was to be closed is closed by the next call, or found at the next start.
    pub fn close(&mut self, now: Time) -> Result<Vec<u64>, SpoolError> {
        let mut done = self.finish_closing()?;
        if let Some(open) = &mut self.open {
            // A capture without a packet is one still: its first block.
            open.is_ending = true;
        }
        self.flush();
        let Some(open) = self.open.take() else { return Ok(done) };
        let Open { sequence, begun_ns, mut dropped, mut records_dropped, written: bytes, .. } = open;
        // Lines that still wait find no room any more; packets were counted already.
        records_dropped += open.waiting[1].iter().filter(|byte| **byte == b'\n').count() as u64;
        dropped += open.packets_waiting;
        let counts = Closed { begun_ns, closed_ns: now, dropped, records_dropped, bytes, recovered: false };
        // From here on nothing is added to it, whether the disk takes the next step or not.
        self.closing = Some((sequence, counts));
        done.extend(self.finish_closing()?);
        Ok(done)
    }

    /// Puts the counts of the segment in place that is being closed.
    fn finish_closing(&mut self) -> Result<Vec<u64>, SpoolError> {
        let Some((sequence, counts)) = self.closing else { return Ok(Vec::new()) };
        let [capture, records, closed] = open_names(sequence);
        for name in [&capture, &records] {
            // Both exist, even where nothing was in one of them.
            self.disk.append(name, b"").map_err(disk_error(name))?;
        }
        let unfinished = format!("{closed}{UNFINISHED}");
        let text = serde_json::to_string(&counts).unwrap_or_default();
        self.disk.remove(&unfinished).map_err(disk_error(&closed))?;
        self.disk.append(&unfinished, text.as_bytes()).map_err(disk_error(&closed))?;
        self.disk.rename(&unfinished, &closed).map_err(disk_error(&closed))?;
        self.closing = None;
        Ok(vec![sequence])
    }
}

/// The counts of a segment; nothing where they are not there, or not whole.
fn read_closed<D: Disk>(disk: &D, name: &str) -> Result<Option<Closed>, SpoolError> {
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
fn remove_orphans<D: Disk>(disk: &mut D, sensor: &str, last: u64) -> Result<(), SpoolError> {
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
fn open_sequences<D: Disk>(disk: &D) -> Result<BTreeSet<u64>, SpoolError> {
    let files = disk.list().map_err(disk_error(OPEN))?;
    let numbers = files.iter().filter_map(|(name, _)| {
        let file = name.strip_prefix(OPEN)?.strip_prefix('/')?;
        file.split('.').next()?.parse().ok()
    });
    Ok(numbers.collect())
}

/// Cuts the files of a segment that nobody closed to what is whole, says so in its records, and closes it.
fn recover<D: Disk>(disk: &mut D, names: &[String; 3], now: Time, recovered: &str) -> Result<(), SpoolError> {
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
    if counted.whole == 0 {
        let mut first = Vec::new();
        Writer::new(&mut first);
        disk.append(capture, &first).map_err(disk_error(capture))?;
    }
    for name in [capture, records] {
        disk.sync(name).map_err(disk_error(name))?;
    }
    Ok(counted)
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
    let files = disk.list().map_err(disk_error(sensor))?;
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
        if read_closed(disk, &open_names(sequence)[2])?.is_some() {
            closed.push(sequence);
        }
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
    let (line_count, _) = lines(Reading::of(disk, &records)).map_err(disk_error(&records))?;
    let before = last.map(|(_, text)| hash(&text));

    let mut part = |from: &str, end: &str| {
        let unfinished = format!("{sensor}/{sequence:010}.{end}{UNFINISHED}");
        let part = compress(disk, from, &unfinished).map_err(disk_error(&unfinished))?;
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
fn remove_open<D: Disk>(disk: &mut D, sequence: u64) -> Result<(), SpoolError> {
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
