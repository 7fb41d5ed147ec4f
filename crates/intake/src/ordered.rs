//! All frames of several captures in time order, whatever their place in the files.
//!
//! Captures that follow each other are read one after the other; captures that overlap are merged. Within
//! one capture a frame may stand later than its time says: a small jump back is put right by holding
//! a window of frames, a larger one by sorting the capture on disk first. Equal times are ordered by
//! the captures' hashes, then by place in the capture (words.md).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use trapline_wire::{Frame, LinkType, Time};

use crate::limits::{REORDER_BYTES, REORDER_NS};
use crate::reader::CaptureReader;
use crate::survey::Survey;

/// A frame with its place.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// Index of the capture in the list that was given.
    pub capture: usize,
    /// Place of the frame in its capture, counted from 0.
    pub index: u64,
    /// The frame.
    pub frame: Frame<'a>,
    /// What a decoy recorded with it: [`CaptureReader::told`].
    pub told: &'a [u8],
}

/// A capture that no longer holds what its survey found.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// It cannot be opened or sorted.
    #[error("{name}: {cause}")]
    System {
        /// The capture.
        name: String,
        /// What the system said.
        cause: io::Error,
    },
    /// It was changed while it was read.
    #[error("{name}: changed while it was being read ({surveyed} packets before, {read} now)")]
    Changed {
        /// The capture.
        name: String,
        /// Packets at first reading.
        surveyed: u64,
        /// Packets at second reading.
        read: u64,
    },
}

/// Frames of many captures in order.
pub struct Ordered<'s> {
    surveys: &'s [Survey],
    /// Captures not yet begun, latest first.
    pending: Vec<usize>,
    active: Vec<Stream>,
    current: Option<usize>,
    from: Time,
}

impl<'s> Ordered<'s> {
    /// Frames of `surveys` from time `from` on.
    pub fn new(surveys: &'s [Survey], from: Time) -> Self {
        let mut pending: Vec<usize> =
            (0..surveys.len()).filter(|i| surveys[*i].span.is_some_and(|(_, last)| last >= from)).collect();
        pending.sort_by_key(|i| Reverse((surveys[*i].span.expect("kept above").0, surveys[*i].hash)));
        Ordered { surveys, pending, active: Vec::new(), current: None, from }
    }

    /// Moves to the next frame; `false` after the last.
    ///
    /// # Errors
    /// When a capture cannot be read again as it was surveyed.
    pub fn advance(&mut self) -> Result<bool, OrderError> {
        if let Some(i) = self.current.take() {
            self.step(i)?;
        }
        loop {
            let best = (0..self.active.len()).min_by_key(|i| {
                let stream = &self.active[*i];
                (stream.time, self.surveys[stream.capture].hash)
            });
            let next_start = self.pending.last().and_then(|i| self.surveys[*i].span).map(|(first, _)| first);
            match (best, next_start) {
                (None, None) => return Ok(false),
                (Some(i), None) => self.current = Some(i),
                (Some(i), Some(start)) if self.active[i].time < start => self.current = Some(i),
                _ => {
                    self.begin_next()?;
                    continue;
                }
            }
            return Ok(true);
        }
    }

    /// The frame that [`Ordered::advance`] moved to.
    pub fn frame(&self) -> Option<Placed<'_>> {
        let stream = &self.active[self.current?];
        let (index, frame) = stream.source.frame()?;
        Some(Placed { capture: stream.capture, index, frame, told: stream.source.told() })
    }

    /// Bytes of uncompressed capture read so far in captures that are being read.
    pub fn offset(&self) -> u64 {
        self.current.map_or(0, |i| self.active[i].source.offset())
    }

    fn begin_next(&mut self) -> Result<(), OrderError> {
        let capture = self.pending.pop().expect("the caller looked");
        let survey = &self.surveys[capture];
        let source = Source::open(survey)
            .map_err(|cause| OrderError::System { name: survey.input.name.clone(), cause })?;
        self.active.push(Stream { capture, source, time: Time::MIN, frames: 0 });
        let i = self.active.len() - 1;
        self.step(i)?;
        Ok(())
    }

    /// Moves stream `i` to its next frame at or after `from`, or takes it out.
    fn step(&mut self, i: usize) -> Result<(), OrderError> {
        let stream = &mut self.active[i];
        let survey = &self.surveys[stream.capture];
        loop {
            let more = stream.source.advance();
            let more = more.map_err(|cause| OrderError::System { name: survey.input.name.clone(), cause })?;
            if !more {
                if stream.frames != survey.frames {
                    let name = survey.input.name.clone();
                    return Err(OrderError::Changed { name, surveyed: survey.frames, read: stream.frames });
                }
                self.active.swap_remove(i);
                return Ok(());
            }
            stream.frames += 1;
            stream.time = stream.source.time();
            if stream.time >= self.from {
                return Ok(());
            }
        }
    }
}

struct Stream {
    capture: usize,
    source: Source,
    /// Time of the current frame.
    time: Time,
    frames: u64,
}

/// One capture in time order.
enum Source {
    /// Its frames stand in order already.
    Direct(CaptureReader<Box<dyn Read + Send>>),
    /// Frames within `back_ns` of the latest are held back.
    Window(Window),
    /// It was sorted on disk.
    Sorted(Sorted),
}

/// About how many bytes of frames a busy stretch of `ns` nanoseconds holds, at ten times the mean rate.
fn bytes_within(survey: &Survey, ns: i64) -> u128 {
    let (first, last) = survey.span.unwrap_or_default();
    let length_ns = u128::from(last.abs_diff(first)).max(1);
    (u128::from(survey.bytes) * 10 * ns as u128 / length_ns).min(u128::from(survey.bytes))
}

impl Source {
    fn open(survey: &Survey) -> io::Result<Source> {
        let reader = CaptureReader::new(survey.input.open()?);
        if survey.back_ns == 0 {
            Ok(Source::Direct(reader))
        } else if survey.back_ns <= REORDER_NS
            && bytes_within(survey, survey.back_ns) <= REORDER_BYTES as u128
        {
            Ok(Source::Window(Window {
                reader,
                back_ns: survey.back_ns,
                held: BinaryHeap::new(),
                latest: Time::MIN,
                ended: false,
                current: None,
            }))
        } else {
            Ok(Source::Sorted(Sorted::new(reader, REORDER_BYTES)?))
        }
    }

    fn advance(&mut self) -> io::Result<bool> {
        match self {
            Source::Direct(reader) => Ok(reader.advance()),
            Source::Window(window) => Ok(window.advance()),
            Source::Sorted(sorted) => sorted.advance(),
        }
    }

    fn time(&self) -> Time {
        self.frame().map_or(Time::MIN, |(_, frame)| frame.time)
    }

    fn frame(&self) -> Option<(u64, Frame<'_>)> {
        match self {
            Source::Direct(reader) => Some((reader.frames - 1, reader.frame()?)),
            Source::Window(window) => window.current.as_ref().map(Held::frame),
            Source::Sorted(sorted) => sorted.current.as_ref().map(Held::frame),
        }
    }

    fn told(&self) -> &[u8] {
        let held = match self {
            Source::Direct(reader) => return reader.told(),
            Source::Window(window) => &window.current,
            Source::Sorted(sorted) => &sorted.current,
        };
        held.as_ref().map_or(&[], |held| &held.told)
    }

    fn offset(&self) -> u64 {
        match self {
            Source::Direct(reader) => reader.offset(),
            Source::Window(window) => window.reader.offset(),
            Source::Sorted(sorted) => sorted.read,
        }
    }
}

/// A frame taken out of the reader's window. Ordered by time, then place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    time: Time,
    index: u64,
    link: u16,
    wire_len: u32,
    data: Vec<u8>,
    told: Vec<u8>,
}

impl Held {
    fn of<R: Read>(reader: &CaptureReader<R>) -> Option<Held> {
        let frame = reader.frame()?;
        let (link, data, told) = (frame.link.0, frame.data.to_vec(), reader.told().to_vec());
        Some(Held { time: frame.time, index: reader.frames - 1, link, wire_len: frame.wire_len, data, told })
    }

    fn frame(&self) -> (u64, Frame<'_>) {
        let frame =
            Frame { link: LinkType(self.link), time: self.time, wire_len: self.wire_len, data: &self.data };
        (self.index, frame)
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.time.to_le_bytes())?;
        out.write_all(&self.index.to_le_bytes())?;
        out.write_all(&self.link.to_le_bytes())?;
        out.write_all(&self.wire_len.to_le_bytes())?;
        out.write_all(&(self.data.len() as u32).to_le_bytes())?;
        out.write_all(&(self.told.len() as u32).to_le_bytes())?;
        out.write_all(&self.data)?;
        out.write_all(&self.told)
    }

    /// Reads one back; `None` at the end.
    fn read(input: &mut impl Read) -> io::Result<Option<Held>> {
        let mut head = [0; 30];
        match input.read_exact(&mut head) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let u64_at = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let u32_at = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let mut data = vec![0; u32_at(22) as usize];
        let mut told = vec![0; u32_at(26) as usize];
        input.read_exact(&mut data)?;
        input.read_exact(&mut told)?;
        let link = u16::from_le_bytes([head[16], head[17]]);
        Ok(Some(Held { time: u64_at(0) as i64, index: u64_at(8), link, wire_len: u32_at(18), data, told }))
    }
}

/// Puts right jumps of at most `back_ns`: no frame can come any more that is older than the latest minus that.
struct Window {
    reader: CaptureReader<Box<dyn Read + Send>>,
    back_ns: i64,
    held: BinaryHeap<Reverse<Held>>,
    latest: Time,
    ended: bool,
    current: Option<Held>,
}

impl Window {
    fn advance(&mut self) -> bool {
        while !self.ended {
            let safe = self.latest.saturating_sub(self.back_ns);
            if self.held.peek().is_some_and(|Reverse(oldest)| oldest.time < safe) {
                break;
            }
            self.ended = !self.reader.advance();
            if let Some(held) = Held::of(&self.reader) {
                self.latest = self.latest.max(held.time);
                self.held.push(Reverse(held));
            }
        }
        self.current = self.held.pop().map(|Reverse(held)| held);
        self.current.is_some()
    }
}

/// A capture sorted on disk: runs that fit into memory, sorted each, then merged.
struct Sorted {
    runs: Vec<BufReader<File>>,
    heads: BinaryHeap<Reverse<(Held, usize)>>,
    current: Option<Held>,
    read: u64,
}

impl Sorted {
    fn new<R: Read>(mut reader: CaptureReader<R>, run_bytes: usize) -> io::Result<Sorted> {
        let mut sorted = Sorted { runs: Vec::new(), heads: BinaryHeap::new(), current: None, read: 0 };
        let (mut run, mut bytes) = (VecDeque::new(), 0);
        loop {
            let held = if reader.advance() { Held::of(&reader) } else { None };
            let ended = held.is_none();
            if let Some(held) = held {
                bytes += held.data.len() + held.told.len() + std::mem::size_of::<Held>();
                run.push_back(held);
            }
            if bytes >= run_bytes || (ended && !run.is_empty()) {
                sorted.add_run(std::mem::take(&mut run).into())?;
                bytes = 0;
            }
            if ended {
                break;
            }
        }
        sorted.read = reader.offset();
        for i in 0..sorted.runs.len() {
            sorted.refill(i)?;
        }
        Ok(sorted)
    }

    fn add_run(&mut self, mut run: Vec<Held>) -> io::Result<()> {
        run.sort_unstable();
        let mut out = BufWriter::new(tempfile::tempfile()?);
        for held in &run {
            held.write(&mut out)?;
        }
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.runs.push(BufReader::new(file));
        Ok(())
    }

    fn refill(&mut self, i: usize) -> io::Result<()> {
        if let Some(held) = Held::read(&mut self.runs[i])? {
            self.heads.push(Reverse((held, i)));
        }
        Ok(())
    }

    fn advance(&mut self) -> io::Result<bool> {
        self.current = None;
        if let Some(Reverse((held, i))) = self.heads.pop() {
            self.refill(i)?;
            self.current = Some(held);
        }
        Ok(self.current.is_some())
    }
}
