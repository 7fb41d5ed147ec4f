//! The counting half of an ingest, which needs no tables: frames through the pass, days and states out.

use std::collections::{HashMap, VecDeque};

use trapline_intake::ordered::{OrderError, Ordered};
use trapline_intake::pass::{Finished, Output, Pass};
use trapline_intake::platform::Platform;
use trapline_intake::rows::{Day, day_of};
use trapline_intake::state::State;
use trapline_intake::survey::Survey;
use trapline_intake::{DayTables, Progress};

use crate::StoreError;
use crate::ingest::{Stage, Watch};

/// States at days' ends that are kept: a capture may arrive so many days late without everything before
/// it being read again.
pub(crate) const KEPT_BOUNDARIES: usize = 40;

/// The counting half of an ingest, which needs no tables.
pub(crate) struct Job {
    /// Captures to read.
    pub surveys: Vec<Survey>,
    /// Whose hosts.
    pub platform: Platform,
    /// The state to begin with.
    pub state: Option<Vec<u8>>,
    /// Packets before this time are not looked at, in nanoseconds.
    pub from: i64,
    /// Days before this one are counted and not given out.
    pub replace_from: Day,
    /// Threads.
    pub threads: usize,
    /// States at days' ends as they were.
    pub same: HashMap<Day, Vec<u8>>,
    /// From this day on, reading may end at a day whose end state is as it was.
    pub until_same: Option<Day>,
    /// Told how far it is.
    pub watch: Watch,
}

/// What counting left.
pub(crate) struct Counted {
    /// What the pass left.
    pub finished: Finished,
    /// Packed states at days' ends, newest last.
    pub boundaries: VecDeque<(Day, Vec<u8>)>,
    /// The day whose end found the state as it was: this day and those before are made anew, later ones stay.
    pub same_from: Option<Day>,
}

/// How many frames pass between two looks at the clock and at the wish to stop.
const LOOK_EVERY: u64 = 65_536;

impl Job {
    /// Counts; every finished day goes to `days`, in order.
    ///
    /// # Errors
    /// When a capture changed while it was read, or the user stopped it.
    pub fn run(self, days: &tokio::sync::mpsc::Sender<DayTables>) -> Result<Counted, StoreError> {
        let hosts: Vec<String> = self.platform.hosts.iter().map(|h| h.name.clone()).collect();
        let state = self.state.as_deref().and_then(|bytes| State::from_bytes(bytes, &hosts));
        let mut pass = Pass::new(&self.platform, self.surveys.len(), self.threads, state);
        let ids: Vec<_> = self.surveys.iter().map(Survey::id).collect();
        let total: u64 = self.surveys.iter().map(|s| s.bytes).sum();
        let mut out = Out { days, boundaries: VecDeque::new(), same_from: None, job: &self };
        let mut frames = Ordered::new(&self.surveys, self.from);
        let (mut packets, mut bytes) = (0u64, 0u64);
        while frames.advance().map_err(|e: OrderError| StoreError::Capture(e.to_string()))? {
            let placed = frames.frame().expect("advanced");
            if out.same_from.is_some_and(|day| day_of(placed.frame.time) > day + 1) {
                break;
            }
            packets += 1;
            bytes += placed.frame.data.len() as u64 + 16;
            if pass.add_told(placed.capture, ids[placed.capture], placed.index, &placed.frame, placed.told) {
                while let Some(output) = pass.next_output() {
                    out.take(output)?;
                }
            }
            if packets % LOOK_EVERY == 0 && !(self.watch)(Stage::Count, Progress { bytes, packets }, total) {
                return Err(StoreError::Stopped);
            }
        }
        let mut finished = pass.finish();
        for output in std::mem::take(&mut finished.outputs) {
            out.take(output)?;
        }
        let (boundaries, same_from) = (out.boundaries, out.same_from);
        Ok(Counted { finished, boundaries, same_from })
    }
}

/// Where outputs of the pass go.
struct Out<'a> {
    days: &'a tokio::sync::mpsc::Sender<DayTables>,
    boundaries: VecDeque<(Day, Vec<u8>)>,
    same_from: Option<Day>,
    job: &'a Job,
}

impl Out<'_> {
    fn take(&mut self, output: Output) -> Result<(), StoreError> {
        let past_same = |day: Day| self.same_from.is_some_and(|same| day > same);
        match output {
            Output::Day(tables) if tables.day >= self.job.replace_from && !past_same(tables.day) => {
                self.days.blocking_send(tables).map_err(|_| StoreError::Stopped)
            }
            Output::Boundary { day, state } if !past_same(day) => {
                if self.job.until_same.is_some_and(|last| day >= last)
                    && self.job.same.get(&day) == Some(&state)
                {
                    self.same_from = Some(day);
                }
                self.boundaries.push_back((day, pack(&state)));
                if self.boundaries.len() > KEPT_BOUNDARIES {
                    self.boundaries.pop_front();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// A state as it is kept: compressed.
pub(crate) fn pack(state: &[u8]) -> Vec<u8> {
    zstd::encode_all(state, 1).expect("memory to memory")
}
