//! Writes a plan as captures: one pass over all packets in order of time, nothing held in memory.
//!
//! Every active source has one cursor in a heap, its next packet; an answer has one of its own until it is
//! written. Sources join when their first packet is due. Times are unique (see [`crate::clock`]), so the
//! heap's order is the only order there is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use trapline_wire::LinkType;
use trapline_wire::pcap::Writer;

use crate::error::SimError;
use crate::frames::Frames;
use crate::plan::{Own, Plan};
use crate::scenario::Scenario;

/// Progress is told this often, in packets.
const TELL_EVERY: u64 = 1 << 16;
/// Output is collected to blocks of this size, in bytes.
const BLOCK: usize = 1 << 20;

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The captures, in order of time.
    pub captures: Vec<PathBuf>,
    /// The platform file.
    pub platform: PathBuf,
    /// The truth as planned; flat captures have none.
    pub truth: Option<PathBuf>,
    /// Where the sources sit, as a MaxMind database of exactly their addresses; studies with places have one.
    pub places: Option<PathBuf>,
    /// All packets, the hosts' own and their answers included.
    pub packets: u64,
    /// Those that came in.
    pub inbound: u64,
    /// Planned sources.
    pub sources: u64,
    /// Size of the captures, in bytes.
    pub bytes: u64,
}

/// A packet that is due: of a source, or (index beyond the sources) of a host's own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    time_us: i64,
    who: u32,
    step: u32,
    k: u32,
    /// Whether it answers.
    answer: bool,
}

/// Writes all captures of a plan into a folder.
pub(crate) fn captures(
    scenario: &Scenario,
    plan: &Plan,
    dir: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Summary, SimError> {
    let planned = plan.packets();
    let mut summary = Summary { sources: plan.sources.len() as u64, ..Summary::default() };
    let mut frames = Frames::new(scenario, plan);
    let mut files = Files { plan, dir, next: 0, open: None };
    let mut queue = Queue::new(plan);
    let (mut frame, mut record) = (Vec::new(), Vec::new());
    while let Some(due) = queue.next() {
        frame.clear();
        record.clear();
        summary.inbound += u64::from(build(plan, &mut frames, &mut frame, due));
        summary.bytes += files.put(&mut summary.captures, &mut record, due.time_us, &frame)?;
        summary.packets += 1;
        if summary.packets.is_multiple_of(TELL_EVERY) {
            progress(summary.packets, planned);
        }
    }
    summary.bytes += files.finish(&mut summary.captures)?;
    progress(summary.packets, planned);
    Ok(summary)
}

/// Builds a frame; tells whether it comes in.
fn build(plan: &Plan, frames: &mut Frames<'_>, frame: &mut Vec<u8>, due: Due) -> bool {
    match plan.own.get((due.who as usize).wrapping_sub(plan.sources.len())) {
        Some(own) => {
            frames.own(frame, own, due.answer);
            due.answer || matches!(own, Own::Refusal { .. })
        }
        None if due.answer => {
            frames.answer(frame, due.who, due.step, due.k);
            false
        }
        None => {
            frames.inbound(frame, due.who, due.step, due.k);
            true
        }
    }
}

struct Queue<'a> {
    plan: &'a Plan,
    /// First packets of everybody, in order of time, latest first: the end is the next to come.
    waiting: Vec<Due>,
    active: BinaryHeap<Reverse<Due>>,
}

impl<'a> Queue<'a> {
    fn new(plan: &'a Plan) -> Self {
        let ticks = plan.sources.iter().map(|s| s.steps[0].start).chain(plan.own.iter().map(Own::tick));
        let first = |(who, tick): (usize, u64)| {
            let who = who as u32;
            Due { time_us: plan.clock.time_us(who, tick), who, step: 0, k: 0, answer: false }
        };
        let mut waiting: Vec<Due> = ticks.enumerate().map(first).collect();
        waiting.sort_unstable_by(|a, b| b.cmp(a));
        Queue { plan, waiting, active: BinaryHeap::new() }
    }

    /// The next packet, which leaves its successor and its answer in the queue.
    fn next(&mut self) -> Option<Due> {
        let joins = match (self.waiting.last(), self.active.peek()) {
            (Some(first), Some(Reverse(active))) => first < active,
            (first, _) => first.is_some(),
        };
        if joins {
            let due = self.waiting.pop()?;
            let answer = self.answer(due);
            self.active.extend(self.successor(due).map(Reverse));
            self.active.extend(answer.map(Reverse));
            return Some(due);
        }
        let due = self.active.peek()?.0;
        let answer = self.answer(due);
        // Replacing the top in place is one sift where pop and push are two.
        match self.successor(due) {
            Some(next) => {
                if let Some(mut top) = self.active.peek_mut() {
                    *top = Reverse(next);
                }
            }
            None => drop(self.active.pop()),
        }
        self.active.extend(answer.map(Reverse));
        Some(due)
    }

    fn own(&self, due: Due) -> Option<&Own> {
        self.plan.own.get((due.who as usize).wrapping_sub(self.plan.sources.len()))
    }

    fn successor(&self, due: Due) -> Option<Due> {
        if due.answer || self.own(due).is_some() {
            return None;
        }
        let steps = &self.plan.sources[due.who as usize].steps;
        let (step, k) = if due.k + 1 < steps[due.step as usize].packets {
            (due.step, due.k + 1)
        } else {
            (due.step + 1, 0)
        };
        let tick = steps.get(step as usize)?.tick(k);
        Some(Due { time_us: self.plan.clock.time_us(due.who, tick), step, k, ..due })
    }

    fn answer(&self, due: Due) -> Option<Due> {
        let answered = match self.own(due) {
            _ if due.answer => false,
            Some(own) => matches!(own, Own::Query { .. }),
            None => self.plan.sources[due.who as usize].steps[due.step as usize].is_answered(due.k),
        };
        let time_us = self.plan.clock.answer_us(due.time_us);
        answered.then_some(Due { time_us, answer: true, ..due })
    }
}

/// The captures, one after the other.
struct Files<'a> {
    plan: &'a Plan,
    dir: &'a Path,
    next: usize,
    open: Option<Open>,
}

struct Open {
    path: PathBuf,
    out: BufWriter<File>,
    writer: Writer,
    until_us: i64,
}

impl Files<'_> {
    /// Writes one frame into the capture that its time belongs to; returns the bytes written.
    fn put(
        &mut self,
        done: &mut Vec<PathBuf>,
        record: &mut Vec<u8>,
        time_us: i64,
        frame: &[u8],
    ) -> Result<u64, SimError> {
        let mut bytes = 0;
        loop {
            let last = self.next == self.plan.files.len();
            match &mut self.open {
                Some(open) if time_us < open.until_us || last => {
                    open.writer.frame(record, time_us * 1_000, frame.len() as u32, frame);
                    open.out.write_all(record).map_err(|source| failed(&open.path, source))?;
                    return Ok(bytes + record.len() as u64);
                }
                _ => bytes += self.turn(done)?,
            }
        }
    }

    /// Closes the open capture and opens the next; returns the bytes of its header.
    fn turn(&mut self, done: &mut Vec<PathBuf>) -> Result<u64, SimError> {
        self.close(done)?;
        let (name, until_us) = &self.plan.files[self.next];
        self.next += 1;
        let path = self.dir.join(format!("{name}.pcap"));
        let file = File::create(&path).map_err(|source| failed(&path, source))?;
        let mut out = BufWriter::with_capacity(BLOCK, file);
        let mut header = Vec::new();
        let writer = Writer::microseconds(&mut header, LinkType::ETHERNET);
        out.write_all(&header).map_err(|source| failed(&path, source))?;
        self.open = Some(Open { path, out, writer, until_us: *until_us });
        Ok(header.len() as u64)
    }

    fn close(&mut self, done: &mut Vec<PathBuf>) -> Result<(), SimError> {
        if let Some(mut open) = self.open.take() {
            open.out.flush().map_err(|source| failed(&open.path, source))?;
            done.push(open.path);
        }
        Ok(())
    }

    /// Months without a packet get their empty capture too.
    fn finish(mut self, done: &mut Vec<PathBuf>) -> Result<u64, SimError> {
        let mut bytes = 0;
        while self.next < self.plan.files.len() {
            bytes += self.turn(done)?;
        }
        self.close(done)?;
        Ok(bytes)
    }
}

pub(crate) fn failed(path: &Path, source: std::io::Error) -> SimError {
    SimError::Write { path: path.to_owned(), source }
}
