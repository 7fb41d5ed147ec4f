//! Frames out of a byte stream: the window that [`trapline_wire::Framing`] looks through.

use std::io::{self, Read};

use trapline_wire::capture::Skipped;
use trapline_wire::{Frame, Framing, LinkType, Step, Time};

use trapline_archive::segment::COMMENT;

use crate::limits::READ_AHEAD;

/// Bytes of a pcapng block with a comment of ours beside its frame, at least.
const FEWEST_OPTIONS: usize = 32 + 4 + COMMENT.len();

/// Where and why reading a capture stopped before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Offset in the uncompressed capture, in bytes.
    pub offset: u64,
    /// Why.
    pub why: String,
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.why)
    }
}

/// A capture being read, one frame at a time. The window holds a read-ahead, never the capture.
pub struct CaptureReader<R> {
    input: R,
    framing: Option<Framing>,
    window: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset of `window[0]` in the capture.
    base: u64,
    /// Bytes still to skip that are not in the window yet.
    to_skip: u64,
    ended: bool,
    current: Option<Current>,
    stopped: Option<Stopped>,
    /// Frames given so far.
    pub frames: u64,
    /// pcapng simple packet blocks: packets without a time.
    pub simple: u64,
    /// Frames whose time no calendar of ours holds.
    pub bad_time: u64,
}

#[derive(Clone, Copy)]
struct Current {
    at: usize,
    len: usize,
    link: LinkType,
    time: Time,
    wire_len: u32,
    offset: u64,
    /// Length of all that was consumed with it, from `block` in the window on.
    block: usize,
    block_len: usize,
}

impl<R: Read> CaptureReader<R> {
    /// A reader at the beginning of `input`.
    pub fn new(input: R) -> Self {
        CaptureReader {
            input,
            framing: None,
            window: vec![0; READ_AHEAD],
            start: 0,
            end: 0,
            base: 0,
            to_skip: 0,
            ended: false,
            current: None,
            stopped: None,
            frames: 0,
            simple: 0,
            bad_time: 0,
        }
    }

    /// Moves to the next frame; `false` at the end, or where reading had to stop.
    pub fn advance(&mut self) -> bool {
        self.current = None;
        while self.stopped.is_none() {
            if self.framing.is_none() && !self.detect() {
                return false;
            }
            if self.to_skip > 0 && !self.skip() {
                return false;
            }
            let framing = self.framing.as_mut().expect("detected above");
            let window = &self.window[self.start..self.end];
            match framing.step(window) {
                Step::Frame { consumed, frame } => {
                    let at = self.start + (frame.data.as_ptr() as usize - window.as_ptr() as usize);
                    self.current = Some(Current {
                        at,
                        len: frame.data.len(),
                        link: frame.link,
                        time: frame.time,
                        wire_len: frame.wire_len,
                        offset: self.base + self.start as u64,
                        block: self.start,
                        block_len: consumed,
                    });
                    self.start += consumed;
                    self.frames += 1;
                    return true;
                }
                Step::Skip { consumed, why } => {
                    self.simple += u64::from(why == Skipped::SimplePacket);
                    self.bad_time += u64::from(why == Skipped::BadTime);
                    self.to_skip = consumed as u64;
                }
                Step::Need(bytes) => {
                    if !self.fill(bytes) {
                        return self.at_end(bytes);
                    }
                }
                Step::Damaged(damage) => self.stop(damage.to_string()),
            }
        }
        false
    }

    /// The frame that [`CaptureReader::advance`] moved to.
    pub fn frame(&self) -> Option<Frame<'_>> {
        let c = self.current?;
        let data = &self.window[c.at..c.at + c.len];
        Some(Frame { link: c.link, time: c.time, wire_len: c.wire_len, data })
    }

    /// What a decoy recorded with the current frame because its bytes do not show it: lines of JSON; empty where there is nothing.
    #[inline]
    pub fn told(&self) -> &[u8] {
        let (Some(c), Some(framing)) = (self.current, self.framing.as_ref()) else { return &[] };
        // The options of a block are behind its frame; nearly always there are none.
        if c.block_len < c.len + FEWEST_OPTIONS {
            return &[];
        }
        let comments = framing.comments(&self.window[c.block..c.block + c.block_len]);
        comments.into_iter().find_map(|text| text.strip_prefix(COMMENT.as_bytes())).unwrap_or_default()
    }

    /// The current frame's offset in the uncompressed capture, in bytes.
    pub fn offset(&self) -> u64 {
        self.current.map_or(self.base + self.start as u64, |c| c.offset)
    }

    /// Where and why reading stopped early, if it did.
    pub fn stopped(&self) -> Option<&Stopped> {
        self.stopped.as_ref()
    }

    /// The input, to read on past damage or to ask what it saw.
    pub fn into_input(self) -> R {
        self.input
    }

    fn detect(&mut self) -> bool {
        if !self.fill(4) {
            if self.stopped.is_none() {
                let why = if self.end == 0 { "the file is empty" } else { "too short to be a capture" };
                self.stop(why.into());
            }
            return false;
        }
        let first: [u8; 4] = self.window[..4].try_into().expect("four bytes");
        self.framing = Framing::detect(first);
        if self.framing.is_none() {
            self.stop(trapline_wire::Damage::NotACapture.to_string());
        }
        self.framing.is_some()
    }

    /// Passes over `to_skip` bytes.
    fn skip(&mut self) -> bool {
        while self.to_skip > 0 {
            if self.start == self.end && !self.fill(1) {
                if self.stopped.is_none() {
                    self.stop(format!("the file ends {} bytes early, inside a block", self.to_skip));
                }
                return false;
            }
            let step = self.to_skip.min((self.end - self.start) as u64);
            self.start += step as usize;
            self.to_skip -= step;
        }
        true
    }

    /// The input ended while `wanted` bytes were needed: fine between frames, damage inside one.
    fn at_end(&mut self, wanted: usize) -> bool {
        let left = self.end - self.start;
        if left > 0 && self.stopped.is_none() {
            self.stop(format!("the file ends {} bytes early, inside a packet", wanted - left));
        }
        false
    }

    fn stop(&mut self, why: String) {
        self.stopped = Some(Stopped { offset: self.base + self.start as u64, why });
    }

    /// Makes the window hold `bytes` from `start` on; `false` where the input ends or fails before.
    fn fill(&mut self, bytes: usize) -> bool {
        if self.start > 0 {
            self.window.copy_within(self.start..self.end, 0);
            self.base += self.start as u64;
            self.end -= self.start;
            self.start = 0;
        }
        if self.window.len() < bytes {
            self.window.resize(bytes, 0);
        }
        while self.end < bytes && !self.ended {
            match self.input.read(&mut self.window[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.ended = true;
                    self.stopped = Some(Stopped { offset: self.base + self.end as u64, why: e.to_string() });
                }
            }
        }
        self.end >= bytes
    }
}
