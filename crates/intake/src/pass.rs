//! The pass: frames in time order go in, the tables of one day after the other come out.
//!
//! The calling thread classifies frames and deals events out in batches, by the peer's address, to
//! shards; with more than one thread each shard has its own. At midnight all shards hand over their
//! rows. A day is given out when the next one is closed too, because a host's answer may come after
//! midnight and belongs to the probe before. The rows are sorted and joined by key, so any number of
//! shards gives the same tables.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use hashbrown::HashMap;
use trapline_wire::{Frame, Observation, Time};

use crate::DAY_NS;
use crate::address::Address;
use crate::classify::{Classified, Classifier, Counts, Event, Kind, Quoted};
use crate::limits::MAX_FRAGMENTS;
use crate::platform::Platform;
use crate::rows::{Day, Place, Probe, Reply, Response, day_of, fold};
use crate::said::{FlowKey, Request, fold_requests};
use crate::sightings::{Sighting, fold_sightings};
use crate::state::State;
use crate::survey::CaptureId;
use crate::track::{LateAnswer, ShardRows, Tracker};

/// Events dealt out at once: enough to make a channel's cost vanish, few enough for the cache.
const BATCH: usize = 1024;
/// Batches that may wait for a shard.
const QUEUE: usize = 4;

/// How far long work has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Bytes of capture read.
    pub bytes: u64,
    /// Packets read.
    pub packets: u64,
}

/// The rows of one UTC day, sorted by key.
#[derive(Clone, Debug, Default)]
pub struct DayTables {
    /// The day.
    pub day: Day,
    /// Probes.
    pub probes: Vec<Probe>,
    /// Responses.
    pub responses: Vec<Response>,
    /// Replies.
    pub replies: Vec<Reply>,
    /// Answers to probes of this day that an earlier run has counted.
    pub late_answers: Vec<LateAnswer>,
    /// What the headers of sources looked like.
    pub sightings: Vec<Sighting>,
    /// What was said.
    pub requests: Vec<Request>,
    /// Connections that an earlier run has told as open, and with which packet: it is told anew here.
    pub told_open: Vec<(FlowKey, Place)>,
}

/// What comes out of a pass, in order.
#[derive(Debug)]
pub enum Output {
    /// A finished day.
    Day(DayTables),
    /// What must be remembered at the end of a day that has packets.
    Boundary {
        /// The day that ended.
        day: Day,
        /// [`State::to_bytes`].
        state: Vec<u8>,
    },
}

/// What a pass leaves behind.
#[derive(Debug)]
pub struct Finished {
    /// The last days.
    pub outputs: Vec<Output>,
    /// Time of the last packet, and what must be remembered after it.
    pub head: Option<(Time, Vec<u8>)>,
    /// Packets of each capture, by what they are.
    pub counts: Vec<Counts>,
    /// Packets that found no room in memory; see [`crate::limits`].
    pub over_limit: u64,
    /// Messages, connections and pieces of datagrams beyond a limit: counted as packets, and not read.
    pub untold: u64,
}

/// The pass over frames in time order.
pub struct Pass {
    classifier: Classifier,
    hosts: Vec<String>,
    shards: Shards,
    batches: Vec<Batch>,
    counts: Vec<Counts>,
    /// Shard of an ICMP error's first fragment, which is that of the peer it quotes: later fragments follow it.
    fragment_routes: HashMap<(Address, u16, u32), usize>,
    now: Option<Time>,
    /// First nanosecond of the next day.
    midnight: Time,
    waiting: Option<DayTables>,
    outputs: VecDeque<Output>,
    over_limit: u64,
    untold: u64,
}

impl Pass {
    /// A pass for `platform` over `captures` captures in `threads` threads (0 counts as 1), from `state` on.
    pub fn new(platform: &Platform, captures: usize, threads: usize, state: Option<State>) -> Pass {
        let shards = threads.max(1);
        let mut trackers: Vec<Tracker> = (0..shards).map(|_| Tracker::new(shards)).collect();
        if let Some(state) = state {
            state.deal(&mut trackers, |peer| shard_of(peer, shards));
        }
        Pass {
            classifier: Classifier::new(platform),
            hosts: platform.hosts.iter().map(|h| h.name.clone()).collect(),
            shards: Shards::start(trackers),
            batches: (0..shards).map(|_| Batch::default()).collect(),
            counts: vec![Counts::default(); captures],
            fragment_routes: HashMap::new(),
            now: None,
            midnight: Time::MIN,
            waiting: None,
            outputs: VecDeque::new(),
            over_limit: 0,
            untold: 0,
        }
    }

    /// Adds one frame: the `index`-th of capture number `capture`, whose name is `id`. Frames must come in
    /// the order of the definitions. Returns whether [`Pass::next_output`] has something.
    #[inline]
    pub fn add(&mut self, capture: usize, id: CaptureId, index: u64, frame: &Frame<'_>) -> bool {
        self.add_told(capture, id, index, frame, &[])
    }

    /// The same with what a decoy recorded with the frame ([`crate::reader::CaptureReader::told`]).
    #[inline]
    pub fn add_told(
        &mut self,
        capture: usize,
        id: CaptureId,
        index: u64,
        frame: &Frame<'_>,
        told: &[u8],
    ) -> bool {
        if frame.time >= self.midnight {
            self.begin_day(frame.time);
        }
        self.now = Some(frame.time);
        if let Some(classified) = self.classifier.classify(frame, &mut self.counts[capture]) {
            self.deal(classified, id, index, told);
        }
        !self.outputs.is_empty()
    }

    /// The next finished day or boundary.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Ends the pass. The last day is given out as far as it came.
    pub fn finish(mut self) -> Finished {
        let head = self.now.map(|now| {
            self.close_day(day_of(now));
            let state = self.shards.state(now);
            (now, state.to_bytes(&self.hosts))
        });
        if let Some(day) = self.waiting.take() {
            self.outputs.push_back(Output::Day(day));
        }
        Finished {
            outputs: self.outputs.into(),
            head,
            counts: self.counts,
            over_limit: self.over_limit,
            untold: self.untold,
        }
    }

    #[inline]
    fn deal(&mut self, classified: Classified<'_>, id: CaptureId, index: u64, told: &[u8]) {
        let Classified { mut event, payload, quoted, observation } = classified;
        (event.capture, event.frame) = (id.0, index);
        let shard = if self.batches.len() == 1 { 0 } else { self.route(&event, quoted.as_ref()) };
        let batch = &mut self.batches[shard];
        if !payload.is_empty() {
            let start = batch.bytes.len() as u32;
            batch.bytes.extend_from_slice(payload);
            event.payload = (start, batch.bytes.len() as u32);
        }
        if let Some(quoted) = quoted {
            batch.quotes.push(quoted);
            event.quoted = batch.quotes.len() as u32;
        }
        if let Some(observation) = observation {
            batch.observations.push(observation);
            event.observation = batch.observations.len() as u32;
        }
        if !told.is_empty() {
            batch.told.push(told.to_vec());
            event.told = batch.told.len() as u32;
        }
        batch.events.push(event);
        if batch.events.len() == BATCH {
            self.shards.send(shard, &mut self.batches[shard]);
        }
    }

    /// An ICMP error goes to the shard of the peer that it quotes, everything else to its sender's.
    fn route(&mut self, event: &Event, quoted: Option<&Quoted>) -> usize {
        let shards = self.batches.len();
        let own = shard_of(event.peer, shards);
        match (event.kind, quoted) {
            (Kind::IcmpError(_), Some(quoted)) => {
                let shard = shard_of(quoted.dst, shards);
                if event.first_fragment {
                    if self.fragment_routes.len() >= MAX_FRAGMENTS {
                        self.fragment_routes.clear();
                    }
                    self.fragment_routes.insert((event.peer, event.host, event.ip_id), shard);
                }
                shard
            }
            (Kind::IcmpReply(_) | Kind::IcmpRequest(_), _) if event.first_fragment => {
                // Of two datagrams with one identification the latest beginning decides.
                self.fragment_routes.remove(&(event.peer, event.host, event.ip_id));
                own
            }
            (Kind::LaterFragment, _) if !self.fragment_routes.is_empty() => {
                let route = self.fragment_routes.get(&(event.peer, event.host, event.ip_id));
                let icmp =
                    matches!(event.protocol, trapline_wire::protocol::ICMP | trapline_wire::protocol::ICMPV6);
                route.copied().filter(|_| icmp).unwrap_or(own)
            }
            _ => own,
        }
    }

    #[cold]
    fn begin_day(&mut self, time: Time) {
        if let Some(now) = self.now {
            let ended = day_of(now);
            self.close_day(ended);
            let boundary = (i64::from(ended) + 1) * DAY_NS;
            let state = self.shards.state(boundary).to_bytes(&self.hosts);
            self.outputs.push_back(Output::Boundary { day: ended, state });
            self.shards.sweep(time);
        }
        self.midnight = (i64::from(day_of(time)) + 1).saturating_mul(DAY_NS);
    }

    /// Gathers the rows of `day` and gives out the day before, which no answer can reach any more.
    fn close_day(&mut self, day: Day) {
        for shard in 0..self.batches.len() {
            self.shards.send(shard, &mut self.batches[shard]);
        }
        let mut rows = ShardRows::default();
        for part in self.shards.take_rows(day) {
            gather(&mut rows.probes, part.probes);
            gather(&mut rows.responses, part.responses);
            gather(&mut rows.replies, part.replies);
            rows.late_answers.extend(part.late_answers);
            gather(&mut rows.sightings, part.sightings);
            rows.requests.extend(part.requests);
            rows.told_open.extend(part.told_open);
            self.over_limit += part.over_limit;
            self.untold += part.untold;
        }
        let (of_day, before): (Vec<LateAnswer>, Vec<_>) =
            rows.late_answers.into_iter().partition(|a| a.day == day);
        let mut closed = DayTables {
            day,
            probes: fold(rows.probes),
            responses: fold(rows.responses),
            replies: fold(rows.replies),
            late_answers: of_day,
            sightings: fold_sightings(rows.sightings),
            requests: fold_requests(rows.requests),
            told_open: rows.told_open,
        };
        closed.told_open.sort_unstable();
        closed.late_answers.sort_unstable_by_key(|a| (a.key, a.time));
        let mut previous = self.waiting.take();
        if previous.as_ref().is_none_or(|p| p.day != day - 1) && !before.is_empty() {
            self.outputs.extend(previous.take().map(Output::Day));
            previous = Some(DayTables { day: day - 1, ..DayTables::default() });
        }
        if let Some(mut previous) = previous {
            let answers = before.into_iter().chain(std::mem::take(&mut previous.late_answers));
            previous.late_answers = answer(&mut previous.probes, answers);
            self.outputs.push_back(Output::Day(previous));
        }
        let own = std::mem::take(&mut closed.late_answers);
        closed.late_answers = answer(&mut closed.probes, own.into_iter());
        self.waiting = Some(closed);
    }
}

/// Adds a shard's rows to those of the others; the first shard's are not copied.
fn gather<R>(all: &mut Vec<R>, part: Vec<R>) {
    if all.is_empty() {
        *all = part;
    } else {
        all.extend(part);
    }
}

/// Notes answers at their probes; returns those whose probe is not here but in the tables already.
fn answer(probes: &mut [Probe], answers: impl Iterator<Item = LateAnswer>) -> Vec<LateAnswer> {
    let mut left: Vec<LateAnswer> = answers
        .filter(|a| match probes.binary_search_by_key(&a.key, |p| p.key) {
            Ok(i) => {
                let first = probes[i].first_answer.get_or_insert(a.time);
                *first = a.time.min(*first);
                false
            }
            Err(_) => true,
        })
        .collect();
    left.sort_unstable_by_key(|a| (a.key, a.time));
    left
}

/// The shard of a peer: its address, well mixed (Fibonacci hashing).
#[inline]
fn shard_of(peer: Address, shards: usize) -> usize {
    let mixed = (peer.0 as u64 ^ (peer.0 >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 32) as usize) % shards
}

/// Events on their way to a shard, with the bytes they point into.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    bytes: Vec<u8>,
    quotes: Vec<Quoted>,
    observations: Vec<Observation>,
    told: Vec<Vec<u8>>,
}

impl Batch {
    fn clear(&mut self) {
        self.events.clear();
        self.bytes.clear();
        self.quotes.clear();
        self.observations.clear();
        self.told.clear();
    }

    fn run(&self, tracker: &mut Tracker) {
        for event in &self.events {
            let payload = &self.bytes[event.payload.0 as usize..event.payload.1 as usize];
            let quoted = (event.quoted as usize).checked_sub(1).map(|i| &self.quotes[i]);
            let observation = (event.observation as usize).checked_sub(1).map(|i| &self.observations[i]);
            tracker.add(event, payload, quoted, observation);
            if let Some(told) = (event.told as usize).checked_sub(1).map(|i| &self.told[i]) {
                tracker.told(event, told);
            }
        }
        if let Some(last) = self.events.last() {
            tracker.sweep(last.time);
        }
    }
}

enum Order {
    Run(Batch),
    TakeRows(Day),
    State(Time),
    Sweep(Time),
}

enum Done {
    Rows(ShardRows),
    State(State),
}

/// Shards: one in place, or several in threads of their own.
enum Shards {
    Here(Box<Tracker>),
    Threads(Vec<Worker>),
}

struct Worker {
    orders: Option<SyncSender<Order>>,
    done: Receiver<Done>,
    empty: Receiver<Batch>,
    thread: Option<JoinHandle<()>>,
}

impl Shards {
    fn start(mut trackers: Vec<Tracker>) -> Shards {
        match trackers.len() {
            1 => Shards::Here(Box::new(trackers.remove(0))),
            _ => Shards::Threads(trackers.into_iter().map(Worker::start).collect()),
        }
    }

    /// Hands a batch over and leaves an empty one.
    fn send(&mut self, shard: usize, batch: &mut Batch) {
        match self {
            Shards::Here(tracker) => {
                batch.run(tracker);
                batch.clear();
            }
            Shards::Threads(workers) => {
                let empty = workers[shard].empty.try_recv().unwrap_or_default();
                workers[shard].order(Order::Run(std::mem::replace(batch, empty)));
            }
        }
    }

    fn take_rows(&mut self, day: Day) -> Vec<ShardRows> {
        match self {
            Shards::Here(tracker) => vec![tracker.take_rows(day)],
            Shards::Threads(workers) => {
                workers.iter().for_each(|w| w.order(Order::TakeRows(day)));
                let rows = workers.iter().map(|w| match w.done.recv() {
                    Ok(Done::Rows(rows)) => rows,
                    _ => unreachable!("a shard answers every order in turn"),
                });
                rows.collect()
            }
        }
    }

    fn state(&mut self, now: Time) -> State {
        match self {
            Shards::Here(tracker) => State::join([State::of(tracker, now)]),
            Shards::Threads(workers) => {
                workers.iter().for_each(|w| w.order(Order::State(now)));
                State::join(workers.iter().map(|w| match w.done.recv() {
                    Ok(Done::State(state)) => state,
                    _ => unreachable!("a shard answers every order in turn"),
                }))
            }
        }
    }

    fn sweep(&mut self, now: Time) {
        match self {
            Shards::Here(tracker) => tracker.sweep(now),
            Shards::Threads(workers) => workers.iter().for_each(|w| w.order(Order::Sweep(now))),
        }
    }
}

impl Worker {
    fn start(mut tracker: Tracker) -> Worker {
        let (orders, inbox) = sync_channel(QUEUE);
        let (outbox, done) = sync_channel(1);
        let (recycle, empty) = sync_channel(QUEUE);
        let thread = std::thread::spawn(move || {
            for order in inbox {
                let answer = match order {
                    Order::Run(mut batch) => {
                        batch.run(&mut tracker);
                        batch.clear();
                        // A full recycling channel only means that one batch is allocated anew.
                        let _ = recycle.try_send(batch);
                        None
                    }
                    Order::TakeRows(day) => Some(Done::Rows(tracker.take_rows(day))),
                    Order::State(now) => Some(Done::State(State::of(&tracker, now))),
                    Order::Sweep(now) => {
                        tracker.sweep(now);
                        None
                    }
                };
                if answer.is_some_and(|a| outbox.send(a).is_err()) {
                    return;
                }
            }
        });
        Worker { orders: Some(orders), done, empty, thread: Some(thread) }
    }

    fn order(&self, order: Order) {
        let orders = self.orders.as_ref().expect("present until dropped");
        orders.send(order).expect("a shard runs until the pass ends");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A shard that panicked has failed its order already, loudly.
            let _ = thread.join();
        }
    }
}
