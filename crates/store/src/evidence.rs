//! The packets behind an answer: chosen sources' packets, copied out of the captures that they came from.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};
use std::path::Path;

use trapline_intake::address::Address;
use trapline_intake::platform::Platform;
use trapline_intake::reader::CaptureReader;
use trapline_intake::rows::{Day, day_of};
use trapline_intake::{Input, open};
use trapline_wire::pcapng::Writer;
use trapline_wire::{Frame, LinkType, Reading, decode};

use crate::plan::{Known, Stored};
use crate::{Snapshot, StoreError};

/// Sources by platform: addresses, and the days on which they are meant.
pub type Chosen = BTreeMap<String, HashSet<(Address, Day)>>;

/// What was copied.
#[derive(Clone, Debug, Default)]
pub struct EvidenceReport {
    /// Packets written.
    pub packets: u64,
    /// Captures that hold some of them.
    pub captures: usize,
    /// Captures that cannot be read any more, and damage; for people.
    pub findings: Vec<String>,
}

/// Copies every packet between a chosen source and a host of its platform, on the days that are meant, as pcapng. A comment at each
/// packet says from which capture and offset it came.
///
/// # Errors
/// When the tables cannot be read, `out` cannot be written, or `go_on` says no.
pub async fn copy(
    snapshot: &Snapshot,
    chosen: &Chosen,
    out: &mut (dyn Write + Send),
    mut go_on: impl FnMut(u64, u64) -> bool,
) -> Result<EvidenceReport, StoreError> {
    let mut report = EvidenceReport::default();
    let mut file = File::new(out)?;
    for (platform, sources) in chosen {
        let stored = Stored::read(Some(snapshot), platform).await?;
        let Some(known) = &stored.platform else { continue };
        let (Some(first), Some(last)) =
            (sources.iter().map(|(_, day)| *day).min(), sources.iter().map(|(_, day)| *day).max())
        else {
            continue;
        };
        let reaches =
            |c: &&Known| c.span.is_some_and(|(from, to)| day_of(from) <= last && day_of(to) >= first);
        let mut captures: Vec<&Known> = stored.captures.iter().filter(reaches).collect();
        captures.sort_by_key(|c| (c.span, c.hash.clone()));
        for (i, capture) in captures.iter().enumerate() {
            if !go_on(i as u64, captures.len() as u64) {
                return Err(StoreError::Stopped);
            }
            match input_of(capture).await {
                Ok(input) => {
                    let copied = file.copy(&input, capture, known, sources, &mut report.findings)?;
                    report.packets += copied;
                    report.captures += usize::from(copied > 0);
                }
                Err(why) => report.findings.push(format!("{}: cannot be read again: {why}", capture.place)),
            }
        }
    }
    file.out.flush().map_err(write_failed)?;
    Ok(report)
}

async fn input_of(capture: &Known) -> Result<Input, String> {
    if !capture.kept {
        return Err("it came from standard input".into());
    }
    if !capture.place.contains("://") {
        return Ok(Input::file(Path::new(&capture.place)));
    }
    let found = open::find(std::slice::from_ref(&capture.place)).await;
    let error = found.errors.first().map(ToString::to_string).unwrap_or_default();
    found.inputs.into_iter().next().ok_or(error)
}

fn write_failed(cause: io::Error) -> StoreError {
    StoreError::Capture(format!("cannot write the packets: {cause}"))
}

/// A pcapng file in the making.
struct File<'a> {
    out: &'a mut (dyn Write + Send),
    writer: Writer,
    interfaces: HashMap<u16, u32>,
    block: Vec<u8>,
}

impl<'a> File<'a> {
    fn new(out: &'a mut (dyn Write + Send)) -> Result<Self, StoreError> {
        let mut block = Vec::new();
        let writer = Writer::new(&mut block);
        out.write_all(&block).map_err(write_failed)?;
        Ok(File { out, writer, interfaces: HashMap::new(), block })
    }

    fn copy(
        &mut self,
        input: &Input,
        capture: &Known,
        platform: &Platform,
        sources: &HashSet<(Address, Day)>,
        findings: &mut Vec<String>,
    ) -> Result<u64, StoreError> {
        let hosts = trapline_intake::address::index(platform);
        let opened = match input.open() {
            Ok(opened) => opened,
            Err(cause) => {
                findings.push(format!("{}: cannot be read again: {cause}", capture.place));
                return Ok(0);
            }
        };
        let mut reader = CaptureReader::new(opened);
        let mut copied = 0;
        while reader.advance() {
            let (index, offset) = (reader.frames - 1, reader.offset());
            let Some(frame) = reader.frame() else { continue };
            let Reading::Ip(packet) = decode(&frame) else { continue };
            let (src, dst) = (Address::from(packet.src), Address::from(packet.dst));
            let day = day_of(frame.time);
            let chosen = (hosts.contains_key(&dst) && sources.contains(&(src, day)))
                || (hosts.contains_key(&src) && sources.contains(&(dst, day)));
            if chosen {
                let comment = format!("{} frame {} offset {offset}", capture.place, index + 1);
                self.frame(&frame, &comment)?;
                copied += 1;
            }
        }
        if let Some(stopped) = reader.stopped() {
            findings.push(format!("{}: {stopped}; the packets before were copied", capture.place));
        }
        Ok(copied)
    }

    fn frame(&mut self, frame: &Frame<'_>, comment: &str) -> Result<(), StoreError> {
        self.block.clear();
        let LinkType(link) = frame.link;
        let interface = match self.interfaces.get(&link) {
            Some(number) => *number,
            None => {
                let number = self.writer.interface(&mut self.block, frame.link);
                self.interfaces.insert(link, number);
                number
            }
        };
        self.writer.commented_frame(&mut self.block, interface, frame, comment);
        self.out.write_all(&self.block).map_err(write_failed)
    }
}
