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

use std::io;

use serde::{Deserialize, Serialize};
use trapline_wire::pcapng::Writer;
use trapline_wire::{Frame, LinkType, Time};

use crate::disk::{Disk, UNFINISHED};
use crate::manifest::Refused;
pub use crate::room::{CUTS_FROM, HEADERS, Limits, Room, WARNS_FROM};
use crate::room::{RESERVE, hold_reserve, let_go_of_reserve};
pub use crate::seal::{forget, head, manifest, seal, sealed, sync_open, to_seal};
use crate::seal::{open_sequences, read_closed, recover, remove_open, remove_orphans};

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
    /// What is open was begun under another name.
    #[error(
        "segment {sequence} was begun here by a sensor of another name than {sensor}: start it once more under that name, so that it is sealed, or take a new folder"
    )]
    OtherName {
        /// Who opens the spool.
        sensor: String,
        /// What was begun.
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

pub(crate) fn disk_error(name: &str) -> impl FnOnce(io::Error) -> SpoolError {
    let name = name.to_owned();
    move |cause| SpoolError::Disk { name, cause }
}

/// What is known of a segment when it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closed {
    pub begun_ns: Time,
    pub closed_ns: Time,
    pub dropped: u64,
    pub records_dropped: u64,
    /// Bytes of its capture and its records.
    pub bytes: [u64; 2],
    /// Whether nobody closed it: it was found at a start.
    pub recovered: bool,
}

/// The names of a segment's files while it is open.
pub(crate) fn open_names(sequence: u64) -> [String; 3] {
    ["pcapng", "jsonl", "closed.json"].map(|end| format!("{OPEN}/{sequence:010}.{end}"))
}

pub(crate) const OPEN: &str = ".open";

/// The segment that is being written.
#[derive(Debug)]
struct Open {
    sequence: u64,
    /// From when on it tells all that came: where the one before was closed.
    begun_ns: Time,
    /// When something came, from which on it grows old.
    opened_ns: Time,
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
    /// Whether the disk did not take what it was given last.
    is_full: bool,
    found: Found,
    /// Up to when the segments that were closed tell all that came.
    covered: Option<Time>,
}

/// Segments that nobody closed, found at the start.
#[derive(Debug)]
struct Found {
    /// Those that are still to be closed: there was no room for it.
    unrecovered: Vec<u64>,
    /// The line for their records, and the time of the start.
    line: String,
    now: Time,
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
        if let (0, Some(sequence @ 2..)) = (sealed, open_sequences(&disk)?.first().copied()) {
            return Err(SpoolError::OtherName { sensor: sensor.to_owned(), sequence });
        }
        remove_orphans(&mut disk, sensor, sealed)?;
        let (mut last, mut unrecovered) = (sealed, Vec::new());
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
            unrecovered.push(sequence);
        }
        disk.sync_names().map_err(disk_error("spool"))?;
        let found = Found { unrecovered, line: recovered.to_owned(), now };
        let mut spool = Spool {
            disk,
            limits,
            open: None,
            closing: None,
            next: last + 1,
            used: 0,
            room: Room::Enough,
            is_full: false,
            found,
            covered: None,
        };
        // A disk that is full keeps nobody from answering.
        let _ = spool.recover_found();
        let _ = spool.measure();
        Ok(spool)
    }

    /// The disk.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// Bytes of all files, as they were counted last, and with what was written since.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// How much room there is.
    pub fn room(&self) -> Room {
        self.room
    }

    /// Whether the disk did not take what it was given last: packets are counted then, and not kept.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Closes what was found at the start, as far as there is room.
    fn recover_found(&mut self) -> Result<(), SpoolError> {
        while let Some(sequence) = self.found.unrecovered.first() {
            let (names, Found { line, now, .. }) = (open_names(*sequence), &self.found);
            let mut done = recover(&mut self.disk, &names, *now, line);
            if done.is_err() && let_go_of_reserve(&mut self.disk) {
                done = recover(&mut self.disk, &names, *now, line);
            }
            done?;
            self.found.unrecovered.remove(0);
        }
        Ok(())
    }

    /// Counts what the files take anew; sealing and shipping change it.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn measure(&mut self) -> Result<Room, SpoolError> {
        self.recover_found()?;
        if std::mem::take(&mut self.is_full) {
            // Lines wait for room: whether there is any is found out with them.
            self.flush();
        }
        if !self.is_full {
            hold_reserve(&mut self.disk).map_err(disk_error("spool"))?;
        }
        let mut files = self.disk.list().map_err(disk_error("spool"))?;
        files.retain(|(name, _)| name != RESERVE);
        self.used = files.iter().map(|(_, length)| length).sum();
        self.room = if self.is_full { Room::None } else { self.limits.room(self.used) };
        Ok(self.room)
    }

    fn current(&mut self, now: Time) -> &mut Open {
        let sequence = self.next;
        let (next, covered) = (&mut self.next, &self.covered);
        self.open.get_or_insert_with(|| {
            *next += 1;
            let mut capture = Vec::with_capacity(2 * BUFFER);
            let writer = Writer::new(&mut capture);
            Open {
                sequence,
                // Nothing came in between, which is not the same as nobody listening.
                begun_ns: (*covered).filter(|covered| *covered <= now).unwrap_or(now),
                opened_ns: now,
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
        self.commented_frame(interface, time, wire_len, data, "");
    }

    /// The same with a comment, where that is not empty.
    pub fn commented_frame(
        &mut self,
        interface: &str,
        time: Time,
        wire_len: u32,
        data: &[u8],
        comment: &str,
    ) {
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
        let frame = Frame { link: LinkType::ETHERNET, time, wire_len, data: kept };
        open.writer.commented_frame(&mut open.waiting[0], place, &frame, comment);
        open.packets_waiting += 1;
        if open.waiting[0].len() >= BUFFER {
            self.flush();
        }
    }

    /// Takes a line of the records, without its end. Where the disk is full, lines wait, up to a limit.
    pub fn record(&mut self, now: Time, line: &str) {
        if self.room == Room::None && !self.is_full {
            self.current(now).records_dropped += 1;
            return;
        }
        self.note(now, line);
    }

    /// Takes a line about the sensor itself, of which there are few: there is always room for it.
    pub fn note(&mut self, now: Time, line: &str) {
        let open = self.current(now);
        if open.waiting[1].len() > LINES_WAITING {
            open.records_dropped += 1;
            return;
        }
        open.waiting[1].extend_from_slice(line.as_bytes());
        open.waiting[1].push(b'\n');
        // Where the disk is full it is tried each second, not with every line.
        if open.waiting[1].len() >= BUFFER && !self.is_full {
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
                (self.room, self.is_full) = (Room::None, true);
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
            } else {
                (self.room, self.is_full) = (Room::None, true);
                if lines.len() > LINES_WAITING {
                    open.records_dropped += lines.iter().filter(|byte| **byte == b'\n').count() as u64;
                    lines.clear();
                }
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
            bytes >= self.limits.segment_bytes || (now - open.opened_ns).abs() >= self.limits.segment_ns
        })
    }

    /// When a segment that is open is to be closed at the latest.
    pub fn due(&self) -> Option<Time> {
        self.open.as_ref().map(|open| open.opened_ns + self.limits.segment_ns)
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
        self.covered = Some(now);
        let counts = Closed { begun_ns, closed_ns: now, dropped, records_dropped, bytes, recovered: false };
        // From here on nothing is added to it, whether the disk takes the next step or not.
        self.closing = Some((sequence, counts));
        done.extend(self.finish_closing()?);
        Ok(done)
    }

    /// Puts the counts of the segment in place that is being closed.
    fn finish_closing(&mut self) -> Result<Vec<u64>, SpoolError> {
        match self.put_counts() {
            Err(_) if let_go_of_reserve(&mut self.disk) => self.put_counts(),
            done => done,
        }
    }

    fn put_counts(&mut self) -> Result<Vec<u64>, SpoolError> {
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

#[cfg(test)]
mod tests;
