//! One shard's memory: conversations of the last 24 hours, and the rows of the current day.
//!
//! Events arrive in time order. Each finds its conversation, is told reply from response from probe
//! as words.md says, and is added to its row. All packets of one peer meet in one shard.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use trapline_speech::End;
use trapline_wire::icmp::request_of;
use trapline_wire::tcp::flags::{ACK, FIN, RST, SYN};
use trapline_wire::{Observation, Time, protocol};

use crate::address::Address;
use crate::classify::{Direction, Event, Kind, Quoted, is_syn};
use crate::flows::Flows;
use crate::fragments::{Fragments, Piece, WholeKey};
use crate::limits::{FRAGMENT_NS, MAX_ASKED, MAX_FRAGMENTS, MAX_LIVE, REMEMBER_NS};
use crate::rows::{
    Day, Place, Probe, ProbeKey, Reply, ReplyKey, Response, ResponseKey, ResponseKind, day_of,
};
use crate::said::{FlowKey, Request, Starter};
use crate::sightings::{self, Sighting, Sightings};
use crate::udp_services;

/// One peer and one port of one host, or one ICMP identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub peer: Address,
    pub host: u16,
    pub protocol: u8,
    /// Rows of packets without ports are kept apart from conversations: an ICMP identifier is no port.
    pub portless: bool,
    pub port: u16,
}

/// What is remembered of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Time of the conversation's last packet.
    pub last: Time,
    pub starter: Starter,
    /// Index of its row, valid on `row_day` only, or [`NO_ROW`].
    row: u32,
    /// Day of its last row.
    pub row_day: Day,
    /// Day of the last row that the host answered.
    pub answered_day: Day,
}

const NO_ROW: u32 = u32::MAX;
pub(crate) const NEVER: Day = Day::MIN;

impl Memory {
    pub(crate) fn new() -> Self {
        Memory { last: Time::MIN, starter: Starter::Nobody, row: NO_ROW, row_day: NEVER, answered_day: NEVER }
    }

    /// Who started the conversation that is alive at `now`, a silence of exactly 24 h included.
    fn alive(&self, now: Time) -> Starter {
        if now.saturating_sub(self.last) <= REMEMBER_NS { self.starter } else { Starter::Nobody }
    }
}

/// A datagram in pieces: later ones of a reply are replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FragmentKey {
    pub peer: Address,
    pub host: u16,
    pub protocol: u8,
    pub id: u32,
}

/// An answer that came after its probe's day was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateAnswer {
    /// Day of the probe.
    pub day: Day,
    /// The probe.
    pub key: ProbeKey,
    /// When the answer came.
    pub time: Time,
}

/// What a shard hands over when a day ends.
#[derive(Debug, Default)]
pub struct ShardRows {
    /// Probes, unsorted.
    pub probes: Vec<Probe>,
    /// Responses, unsorted.
    pub responses: Vec<Response>,
    /// Replies, unsorted.
    pub replies: Vec<Reply>,
    /// Answers to probes of earlier days.
    pub late_answers: Vec<LateAnswer>,
    /// What the headers of sources looked like, unsorted.
    pub sightings: Vec<Sighting>,
    /// What was said.
    pub requests: Vec<Request>,
    /// Connections that an earlier run has told as open.
    pub told_open: Vec<(FlowKey, Place)>,
    /// Packets whose conversation or row found no room.
    pub over_limit: u64,
    /// Messages, connections and pieces of datagrams beyond a limit: counted as packets, and not read.
    pub untold: u64,
}

/// What is kept of the header of a datagram that comes in pieces.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    port: u16,
    peer_port: u16,
    seq: u32,
    ack: u32,
    flags: u8,
}

/// One shard.
pub struct Tracker {
    pub(crate) memory: HashMap<Key, Memory>,
    pub(crate) asked: HashMap<Key, Vec<(u8, u16)>>,
    pub(crate) fragments: HashMap<FragmentKey, Time>,
    pub(crate) flows: Flows,
    pub(crate) pieces: Fragments<Head>,
    sightings: Sightings,
    /// For each probe, where its last observation was counted.
    last_seen: Vec<u32>,
    rows: ShardRows,
    responses: HashMap<ResponseKey, Response>,
    replies: HashMap<ReplyKey, Reply>,
    max_live: usize,
    /// Live keys at which forgetting is worth a walk over all of them.
    sweep_at: usize,
}

/// Below this a walk over all keys is not worth it.
const MIN_SWEEP: usize = 16_384;

impl Tracker {
    /// An empty shard, one of `shards`.
    pub fn new(shards: usize) -> Self {
        Tracker {
            memory: HashMap::new(),
            asked: HashMap::new(),
            fragments: HashMap::new(),
            flows: Flows::new(shards),
            pieces: Fragments::default(),
            sightings: Sightings::default(),
            last_seen: Vec::new(),
            rows: ShardRows::default(),
            responses: HashMap::new(),
            replies: HashMap::new(),
            max_live: MAX_LIVE / shards.max(1),
            sweep_at: MIN_SWEEP,
        }
    }

    /// Adds one packet.
    #[inline]
    pub fn add(
        &mut self,
        event: &Event,
        payload: &[u8],
        quoted: Option<&Quoted>,
        seen: Option<&Observation>,
    ) {
        match event.direction {
            Direction::In => self.inbound(event, payload, quoted, seen),
            Direction::Out => self.outbound(event, payload),
        }
        if event.piece.is_some() {
            self.piece(event, payload);
        }
    }

    /// What a decoy recorded with the packet that was added last.
    #[cold]
    pub fn told(&mut self, event: &Event, lines: &[u8]) {
        self.flows.told(event, lines);
    }

    /// A piece of a datagram: what it says is heard when it is whole.
    #[cold]
    fn piece(&mut self, event: &Event, payload: &[u8]) {
        let Some(fragment) = event.piece else { return };
        if !matches!(event.protocol, protocol::TCP | protocol::UDP) || payload.is_empty() {
            return;
        }
        let from = match event.direction {
            Direction::In => End::Peer,
            Direction::Out => End::Host,
        };
        let key =
            WholeKey { peer: event.peer, host: event.host, from, protocol: event.protocol, id: event.ip_id };
        let head = match event.kind {
            Kind::Tcp(Some(flags)) => Some(flags),
            Kind::Udp => Some(0),
            _ => None,
        };
        let Event { port, peer_port, seq, ack, .. } = *event;
        let head = head.map(|flags| Head { port, peer_port, seq, ack, flags });
        let piece = Piece {
            offset: fragment.offset,
            more: fragment.more,
            bytes: payload,
            header: u32::from(event.header),
        };
        let Some((head, whole)) = self.pieces.add(event.time, key, head, piece) else { return };
        let Head { port, peer_port, seq, ack, flags } = head;
        let kind = if event.protocol == protocol::TCP { Kind::Tcp(Some(flags)) } else { Kind::Udp };
        let payload_len = whole.len() as u32;
        let event = Event { port, peer_port, seq, ack, kind, payload_len, piece: None, ..*event };
        let memory = self.memory.get(&conversation_key(&event));
        let before = memory.map_or(Starter::Nobody, |m| m.alive(event.time));
        self.said(&event, &whole, before);
    }

    /// What a packet says goes to its connection; `before`: who had started its conversation.
    #[inline]
    fn said(&mut self, event: &Event, payload: &[u8], before: Starter) {
        match event.kind {
            Kind::Tcp(Some(flags)) if event.piece.is_none() => self.flows.tcp(event, flags, payload, before),
            Kind::Udp if event.piece.is_none() => self.flows.udp(event, payload, before),
            _ => {}
        }
    }

    fn inbound(
        &mut self,
        event: &Event,
        payload: &[u8],
        quoted: Option<&Quoted>,
        seen: Option<&Observation>,
    ) {
        let verdict = match event.kind {
            Kind::Tcp(flags) => self.tcp(event, flags, payload),
            Kind::Udp => self.udp(event, payload),
            Kind::IcmpRequest(_) => {
                self.enter_icmp(event, Starter::Peer);
                if event.piece.is_none() {
                    self.flows.ping(event, payload);
                }
                Verdict::Probe
            }
            Kind::IcmpReply(kind) => self.icmp_reply(event, kind),
            Kind::IcmpError(kind) => self.icmp_error(event, kind, quoted),
            Kind::LaterFragment if self.is_reply_fragment(event) => Verdict::Reply,
            Kind::IcmpOther | Kind::LaterFragment | Kind::Short | Kind::Other => Verdict::Probe,
        };
        match verdict {
            Verdict::Reply => self.add_reply(event),
            Verdict::Probe => self.add_probe(event, payload, false, seen),
            Verdict::Response { kind, solicited, victim } => {
                // A RST that ends a connection says nothing that its SYN has not said.
                self.add_probe(event, payload, !solicited, seen.filter(|_| !solicited));
                self.add_response(event, kind, solicited, victim);
            }
        }
    }

    #[inline]
    fn tcp(&mut self, event: &Event, flags: Option<u8>, payload: &[u8]) -> Verdict {
        let opens = flags.is_some_and(is_syn);
        let before = self.enter(event, opens, Starter::Peer);
        self.said(event, payload, before);
        if before == Starter::Host && !opens {
            return Verdict::Reply;
        }
        let kind = match flags.map(|f| f & (FIN | SYN | RST | ACK)) {
            Some(f) if f == SYN | ACK => ResponseKind::SynAck,
            Some(f) if f == RST => ResponseKind::Rst,
            Some(f) if f == RST | ACK => ResponseKind::RstAck,
            _ => return Verdict::Probe,
        };
        Verdict::Response { kind, solicited: before != Starter::Nobody, victim: event.peer }
    }

    #[inline]
    fn udp(&mut self, event: &Event, payload: &[u8]) -> Verdict {
        let before = self.enter(event, true, Starter::Peer);
        self.said(event, payload, before);
        if before == Starter::Host {
            return Verdict::Reply;
        }
        if udp_services::answers(event.peer_port, event.port) {
            let kind = ResponseKind::Udp(event.peer_port);
            return Verdict::Response { kind, solicited: false, victim: event.peer };
        }
        Verdict::Probe
    }

    fn icmp_reply(&mut self, event: &Event, kind: u8) -> Verdict {
        let before = self.enter(event, false, Starter::Peer);
        if before == Starter::Host {
            return Verdict::Reply;
        }
        let question = request_of(event.protocol, kind).map(|asked| (asked, event.peer_port));
        let asked = self.asked.get(&conversation_key(event)).filter(|_| before != Starter::Nobody);
        let solicited = asked.is_some_and(|list| question.is_some_and(|q| list.contains(&q)));
        Verdict::Response { kind: icmp_kind(event.protocol, kind), solicited, victim: event.peer }
    }

    /// A report on a packet of one of the host's conversations, whoever started it, is a reply.
    fn icmp_error(&self, event: &Event, kind: u8, quoted: Option<&Quoted>) -> Verdict {
        let key = quoted.and_then(|q| {
            let port = q.host_port?;
            Some(Key { peer: q.dst, host: event.host, protocol: q.protocol, portless: false, port })
        });
        let memory = key.and_then(|key| self.memory.get(&key));
        if memory.is_some_and(|m| m.alive(event.time) != Starter::Nobody) {
            return Verdict::Reply;
        }
        let victim = quoted.map_or(event.peer, |q| q.dst);
        Verdict::Response { kind: icmp_kind(event.protocol, kind), solicited: false, victim }
    }

    fn is_reply_fragment(&self, event: &Event) -> bool {
        let first = self.fragments.get(&fragment_key(event));
        first.is_some_and(|first| event.time.saturating_sub(*first) <= FRAGMENT_NS)
    }

    fn outbound(&mut self, event: &Event, payload: &[u8]) {
        match event.kind {
            Kind::Tcp(flags) => {
                let opens = flags.is_some_and(is_syn);
                let before = self.enter(event, opens, Starter::Host);
                self.said(event, payload, before);
                if flags.is_some_and(|f| f & (SYN | ACK | RST) == SYN | ACK) {
                    self.answered(event);
                }
            }
            Kind::Udp => {
                let before = self.enter(event, true, Starter::Host);
                self.said(event, payload, before);
                if before == Starter::Peer {
                    self.answered(event);
                }
            }
            Kind::IcmpRequest(kind) => {
                self.enter_icmp(event, Starter::Host);
                let asked = self.asked.entry(conversation_key(event)).or_default();
                let question = (kind, event.peer_port);
                if !asked.contains(&question) {
                    if asked.len() == MAX_ASKED {
                        asked.remove(0);
                    }
                    asked.push(question);
                }
            }
            Kind::IcmpReply(_) => {
                self.enter(event, false, Starter::Host);
            }
            _ => {}
        }
    }

    /// Finds the event's conversation and puts the event into it, beginning it where the event opens one;
    /// returns who had started it before the event.
    #[inline]
    fn enter(&mut self, event: &Event, opens: bool, sender: Starter) -> Starter {
        let key = conversation_key(event);
        if !opens {
            let Some(memory) = self.memory.get_mut(&key) else { return Starter::Nobody };
            let before = memory.alive(event.time);
            if before != Starter::Nobody {
                memory.last = event.time;
            } else {
                memory.starter = Starter::Nobody;
            }
            return before;
        }
        let Some(memory) = recall(&mut self.memory, key, self.max_live) else {
            self.rows.over_limit += 1;
            return Starter::Nobody;
        };
        let before = memory.alive(event.time);
        memory.last = event.time;
        if before == Starter::Nobody {
            memory.starter = sender;
        }
        before
    }

    /// Enters a conversation by an ICMP request. One that begins anew knows nothing of what the host asked before.
    fn enter_icmp(&mut self, event: &Event, sender: Starter) {
        if self.enter(event, true, sender) == Starter::Nobody {
            self.asked.remove(&conversation_key(event));
        }
    }

    /// The host answered: that is noted at the peer's latest probe, of today or of yesterday.
    fn answered(&mut self, event: &Event) {
        let key = conversation_key(event);
        let Some(memory) = self.memory.get_mut(&key) else { return };
        let today = day_of(event.time);
        if memory.row_day < today - 1 || memory.answered_day == memory.row_day {
            return;
        }
        memory.answered_day = memory.row_day;
        if memory.row_day == today && memory.row != NO_ROW {
            let row = &mut self.rows.probes[memory.row as usize];
            row.first_answer.get_or_insert(event.time);
        } else {
            self.rows.late_answers.push(LateAnswer {
                day: memory.row_day,
                key: probe_key(event),
                time: event.time,
            });
        }
    }

    #[inline]
    fn add_probe(&mut self, event: &Event, payload: &[u8], backscatter: bool, seen: Option<&Observation>) {
        let key = row_key(event);
        let Some(memory) = recall(&mut self.memory, key, self.max_live) else {
            self.rows.over_limit += 1;
            return;
        };
        let today = day_of(event.time);
        let place = Place { time: event.time, capture: event.capture, frame: event.frame };
        if memory.row_day != today || memory.row == NO_ROW {
            memory.row = self.rows.probes.len() as u32;
            if memory.row_day != today {
                memory.row_day = today;
            }
            self.rows.probes.push(Probe::empty(probe_key(event), place));
            self.last_seen.push(sightings::NONE);
        }
        if let Some(seen) = seen {
            self.sightings.add(&mut self.last_seen[memory.row as usize], event.peer, seen, place);
        }
        let row = &mut self.rows.probes[memory.row as usize];
        row.last = event.time;
        row.packets += 1;
        row.bytes += u64::from(event.ip_len);
        row.backscatter += u64::from(backscatter);
        if let Kind::Tcp(Some(flags)) = event.kind {
            row.first_flags.push(flags);
            if is_syn(flags) {
                row.marks.add(event.marks, event.unicorn, event.seq);
            }
            for (bit, count) in row.flag_counts.iter_mut().enumerate() {
                *count = count.saturating_add(u32::from(flags >> bit & 1));
            }
        }
        if event.payload_len > 0 && matches!(event.kind, Kind::Tcp(_) | Kind::Udp) {
            row.payload_packets += 1;
            row.payload_bytes += u64::from(event.payload_len);
            if row.first_payload.is_none() && !payload.is_empty() {
                row.first_payload = Some((place, short_hash(payload)));
            }
        }
    }

    fn add_response(&mut self, event: &Event, kind: ResponseKind, solicited: bool, victim: Address) {
        let key = ResponseKey { probe: probe_key(event), kind, solicited, victim };
        let span = (event.time, event.time);
        let row = self.responses.entry(key).or_insert(Response { key, span, packets: 0 });
        row.span.1 = event.time;
        row.packets += 1;
    }

    fn add_reply(&mut self, event: &Event) {
        let key = ReplyKey { peer: event.peer, host: event.host, protocol: event.protocol };
        let span = (event.time, event.time);
        let row = self.replies.entry(key).or_insert(Reply { key, span, packets: 0 });
        row.span.1 = event.time;
        row.packets += 1;
        if event.first_fragment {
            if self.fragments.len() >= MAX_FRAGMENTS {
                self.fragments.retain(|_, first| event.time.saturating_sub(*first) <= FRAGMENT_NS);
            }
            if self.fragments.len() < MAX_FRAGMENTS {
                self.fragments.insert(fragment_key(event), event.time);
            } else {
                self.rows.over_limit += 1;
            }
        }
    }

    /// Hands over the rows gathered so far, which are those of `day`.
    pub fn take_rows(&mut self, day: Day) -> ShardRows {
        let mut rows = std::mem::take(&mut self.rows);
        let said = self.flows.take_rows(day);
        (rows.requests, rows.told_open) = (said.requests, said.told_open);
        rows.sightings = self.sightings.take();
        self.last_seen.clear();
        rows.untold += std::mem::take(&mut self.flows.untold) + std::mem::take(&mut self.pieces.untold);
        rows.responses = std::mem::take(&mut self.responses).into_values().collect();
        rows.replies = std::mem::take(&mut self.replies).into_values().collect();
        self.memory.values_mut().for_each(|m| m.row = NO_ROW);
        rows
    }

    /// Forgets conversations that no packet at or after `now` can be in any more, once enough are live.
    pub fn sweep(&mut self, now: Time) {
        if !self.pieces.is_empty() {
            self.pieces.sweep(now);
        }
        if self.memory.len() < self.sweep_at {
            return;
        }
        let today = day_of(now);
        self.memory.retain(|_, m| m.row_day >= today - 1 || m.alive(now) != Starter::Nobody);
        let memory = &self.memory;
        self.asked.retain(|key, _| memory.contains_key(key));
        self.fragments.retain(|_, first| now.saturating_sub(*first) <= FRAGMENT_NS);
        self.sweep_at = (self.memory.len() * 2).max(MIN_SWEEP);
    }
}

/// What becomes of an inbound packet.
enum Verdict {
    Reply,
    Probe,
    Response { kind: ResponseKind, solicited: bool, victim: Address },
}

#[inline]
fn recall(memory: &mut HashMap<Key, Memory>, key: Key, max_live: usize) -> Option<&mut Memory> {
    if memory.len() >= max_live && !memory.contains_key(&key) {
        return None;
    }
    Some(memory.entry(key).or_insert_with(Memory::new))
}

#[inline]
fn conversation_key(event: &Event) -> Key {
    Key { peer: event.peer, host: event.host, protocol: event.protocol, portless: false, port: event.port }
}

/// The key under which the row stands: TCP and UDP share it with their conversation.
#[inline]
fn row_key(event: &Event) -> Key {
    match event.kind {
        Kind::Tcp(_) | Kind::Udp => conversation_key(event),
        _ => Key { peer: event.peer, host: event.host, protocol: event.protocol, portless: true, port: 0 },
    }
}

#[inline]
fn probe_key(event: &Event) -> ProbeKey {
    let number = matches!(event.kind, Kind::Tcp(_) | Kind::Udp).then_some(event.port);
    ProbeKey { peer: event.peer, host: event.host, protocol: event.protocol, number }
}

fn fragment_key(event: &Event) -> FragmentKey {
    FragmentKey { peer: event.peer, host: event.host, protocol: event.protocol, id: event.ip_id }
}

fn icmp_kind(number: u8, kind: u8) -> ResponseKind {
    if number == protocol::ICMP { ResponseKind::Icmp(kind) } else { ResponseKind::Icmpv6(kind) }
}

fn short_hash(payload: &[u8]) -> [u8; 16] {
    blake3::hash(payload).as_bytes()[..16].try_into().expect("16 of 32 bytes")
}
