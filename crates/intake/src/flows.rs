//! What was said in one shard: TCP connections put in order and read, datagrams read, payloads that stand alone counted.
//!
//! A connection is followed from its SYN/ACK on, or from the first payload where that was not seen: half-open floods cost
//! nothing. What a message is, and in which protocol, is `trapline_speech`'s; here are only memory and time. All of it is
//! bounded in [`crate::limits`], and what finds no room is counted.

mod alone;
mod announced;

use std::borrow::Cow;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use trapline_speech::protocols::Speaker;
use trapline_speech::stream::{Piece, Stream};
use trapline_speech::{Channel, Dialogue, End, Heard};
use trapline_wire::tcp::flags::{ACK, FIN, RST, SYN};
use trapline_wire::{Time, protocol};

use crate::classify::{Direction, Event};
use crate::limits::{FLOW_IDLE_NS, FLOW_LINGER_NS, MAX_FLOWS, MAX_HELD, MAX_REQUESTS};
use crate::lone::LonePayloads;
use crate::recorded;
use crate::rows::{Day, Place, day_of};
use crate::said::{FlowKey, Request, RequestKey, Starter};

pub(crate) use announced::{Announced, AnnouncedKey};
use announced::{Announcements, Announcing};

/// A connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Flow {
    /// What is said in it; `None` once it has ended.
    dialogue: Option<Dialogue>,
    /// One for what each end sends.
    streams: [Stream; 2],
    /// The numbers that the handshake began with, by which a repeated one is known.
    begins: [u32; 2],
    starter: Starter,
    /// The last packet.
    last: (Time, u64, u64),
    /// Whether somebody said something.
    spoken: bool,
}

impl Flow {
    fn place(&self) -> Place {
        Place { time: self.last.0, capture: self.last.1, frame: self.last.2 }
    }

    fn held(&self) -> usize {
        let waiting = self.streams.iter().map(Stream::held).sum::<usize>();
        waiting + self.dialogue.as_ref().map_or(0, Dialogue::held)
    }

    /// Forgets in which capture its last packet lay.
    pub fn forget_capture(&mut self) {
        (self.last.1, self.last.2) = (0, 0);
    }

    /// Whether a packet at `now` may belong to it.
    pub fn alive(&self, now: Time) -> bool {
        let idle = if self.dialogue.is_some() { FLOW_IDLE_NS } else { FLOW_LINGER_NS };
        now.saturating_sub(self.last.0) <= idle
    }
}

/// One shard's connections.
pub(crate) struct Flows {
    flows: HashMap<FlowKey, Flow>,
    announced: Announcements,
    lone: LonePayloads,
    rows: Vec<Request>,
    /// Connections that an earlier run has told as open on the day that it ended on.
    told_open: Vec<(FlowKey, Place)>,
    heard: Vec<Heard>,
    held: usize,
    max_flows: usize,
    max_held: usize,
    max_rows: usize,
    sweep_at: usize,
    /// Messages and connections that found no room.
    pub untold: u64,
}

/// What a shard hands over at the end of a day.
#[derive(Debug, Default)]
pub(crate) struct SaidRows {
    pub requests: Vec<Request>,
    pub told_open: Vec<(FlowKey, Place)>,
}

/// Below this a walk over all connections is not worth it.
const MIN_SWEEP: usize = 1_024;

/// Places of messages that are told before their connection ended lie behind those that the same packet completed.
const OPEN_INDEX: u16 = 0x8000;
/// So do those that a decoy recorded with the packet, before them.
const TOLD_INDEX: u16 = 0x4000;

fn sender(event: &Event) -> End {
    match event.direction {
        Direction::In => End::Peer,
        Direction::Out => End::Host,
    }
}

fn flow_key(event: &Event) -> FlowKey {
    FlowKey { peer: event.peer, host: event.host, port: event.port, peer_port: event.peer_port }
}

fn place(event: &Event) -> Place {
    Place { time: event.time, capture: event.capture, frame: event.frame }
}

impl Flows {
    /// An empty shard, one of `shards`.
    pub fn new(shards: usize) -> Flows {
        let shards = shards.max(1);
        Flows {
            flows: HashMap::new(),
            announced: Announcements::default(),
            lone: LonePayloads::default(),
            rows: Vec::new(),
            told_open: Vec::new(),
            heard: Vec::new(),
            held: 0,
            max_flows: MAX_FLOWS / shards,
            max_held: MAX_HELD / shards,
            max_rows: MAX_REQUESTS / shards,
            sweep_at: MIN_SWEEP,
            untold: 0,
        }
    }

    /// A TCP packet. `before`: who had started its conversation.
    #[inline]
    pub fn tcp(&mut self, event: &Event, flags: u8, payload: &[u8], before: Starter) {
        if flags & SYN != 0 {
            if flags & ACK == 0 && flags & RST == 0 {
                self.opening(event, payload, before);
            } else if flags & (ACK | RST) == ACK {
                self.accepting(event, before);
            }
        } else if !payload.is_empty() || !self.flows.is_empty() {
            self.segment(event, flags, payload, before);
        }
    }

    /// A SYN: whatever was between these ports before is over. What it carries stands alone, as nobody may have accepted it.
    fn opening(&mut self, event: &Event, payload: &[u8], before: Starter) {
        let by = sender(event);
        let key = flow_key(event);
        if !self.flows.is_empty()
            && let Some(flow) = self.flows.get(&key)
            && flow.begins[by as usize] != event.seq
        {
            self.remove(&key, day_of(event.time));
        }
        if !payload.is_empty() {
            let starter = if before == Starter::Nobody { by.into() } else { before };
            self.alone(event, payload, starter, |out| {
                let mut dialogue = Dialogue::new(Some(by), [event.peer_port, event.port]);
                dialogue.hear(by, payload, out);
                dialogue.so_far(out);
            });
        }
    }

    /// A SYN/ACK that somebody asked for.
    fn accepting(&mut self, event: &Event, before: Starter) {
        let by = sender(event);
        let opener = by.other();
        // A SYN/ACK from outside that no host asked for is backscatter, not the beginning of anything.
        if by == End::Peer && before != Starter::Host {
            return;
        }
        let key = flow_key(event);
        let mut begins = [0; 2];
        begins[opener as usize] = event.ack.wrapping_sub(1);
        begins[by as usize] = event.seq;
        if let Some(flow) = self.flows.get(&key) {
            if flow.begins == begins && flow.alive(event.time) {
                return;
            }
            self.remove(&key, day_of(event.time));
        }
        let mut streams = [Stream::default(), Stream::default()];
        streams[opener as usize] = Stream::from(event.ack);
        streams[by as usize] = Stream::from(event.seq.wrapping_add(1));
        self.begin(
            key,
            event,
            Some(opener),
            streams,
            begins,
            if before == Starter::Nobody { opener.into() } else { before },
        );
    }

    /// Begins to follow a connection, if there is room.
    fn begin(
        &mut self,
        key: FlowKey,
        event: &Event,
        client: Option<End>,
        streams: [Stream; 2],
        begins: [u32; 2],
        starter: Starter,
    ) -> bool {
        if self.flows.len() >= self.max_flows.min(self.sweep_at) {
            self.sweep(event.time);
            if self.flows.len() >= self.max_flows {
                self.untold += 1;
                return false;
            }
        }
        let dialogue = self
            .announced
            .dialogue(&key, event.time)
            .unwrap_or_else(|| Dialogue::new(client, [event.peer_port, event.port]));
        let last = (event.time, event.capture, event.frame);
        let flow = Flow { dialogue: Some(dialogue), streams, begins, starter, last, spoken: false };
        self.flows.insert(key, flow);
        true
    }

    /// A packet of a connection that is open, or of one whose beginning was not seen.
    fn segment(&mut self, event: &Event, flags: u8, payload: &[u8], before: Starter) {
        let key = flow_key(event);
        let known = self.flows.get(&key).map(|flow| flow.alive(event.time));
        if known != Some(true) {
            if known.is_some() {
                self.remove(&key, day_of(event.time));
            }
            let streams = [Stream::default(), Stream::default()];
            if payload.is_empty() || !self.begin(key, event, before.end(), streams, [event.seq; 2], before) {
                return;
            }
        }
        let by = sender(event);
        let Some(flow) = self.flows.get_mut(&key) else { return };
        flow.last = (event.time, event.capture, event.frame);
        let Flow { dialogue: Some(dialogue), streams, spoken, .. } = flow else { return };
        let waited = dialogue.held() + streams[0].held() + streams[1].held();
        let heard = &mut self.heard;
        if flags & ACK != 0 && streams[by.other() as usize].held() > 0 {
            streams[by.other() as usize]
                .acknowledged(event.ack, |piece| hear(dialogue, by.other(), piece, heard));
        }
        let missing = event.payload_len.saturating_sub(payload.len() as u32);
        if flags & RST == 0 {
            *spoken |= !payload.is_empty();
            let fin = flags & FIN != 0;
            streams[by as usize]
                .segment(event.seq, payload, missing, fin, |piece| hear(dialogue, by, piece, heard));
        }
        let over = flags & RST != 0 || streams.iter().all(Stream::is_ended);
        if over {
            for end in [End::Peer, End::Host] {
                let was_ended = streams[end as usize].is_ended();
                streams[end as usize].give_up(|piece| hear(dialogue, end, piece, heard));
                if !was_ended {
                    hear(dialogue, end, Piece::End, heard);
                }
            }
            dialogue.decide(heard);
        }
        let held = dialogue.held() + streams[0].held() + streams[1].held();
        self.held = (self.held + held).saturating_sub(waited);
        if self.held > self.max_held && held > 0 {
            streams.iter_mut().zip([End::Peer, End::Host]).for_each(|(stream, end)| {
                stream.give_up(|piece| hear(dialogue, end, piece, heard));
            });
            dialogue.forget();
            self.held -= held;
            self.untold += 1;
        }
        self.untold += dialogue.take_untold();
        let (starter, client, was_spoken) = (flow.starter, dialogue.client(), flow.spoken);
        if over {
            let left = flow.held();
            self.held = self.held.saturating_sub(left);
            flow.dialogue = None;
            flow.streams = [Stream::default(), Stream::default()];
            // Where nothing was said nothing can be said once more.
            if !was_spoken {
                self.flows.remove(&key);
            }
        }
        if !self.heard.is_empty() {
            self.tell(key, starter, client, place(event), 0, false);
        }
    }

    /// What a decoy recorded of the connection of a packet, because the packet's bytes do not show it.
    pub fn told(&mut self, event: &Event, lines: &[u8]) {
        let key = flow_key(event);
        let started_by = self.flows.get(&key).map_or(Starter::Nobody, |flow| flow.starter);
        for (i, line) in lines.split(|byte| *byte == b'\n').enumerate() {
            let Some((service, message)) = recorded::message(line) else {
                self.untold += 1;
                continue;
            };
            let index = TOLD_INDEX.saturating_add(i.min(0x3fff) as u16);
            let FlowKey { peer, host, port, peer_port } = key;
            let (protocol, by, at) = (event.protocol, End::Peer, place(event));
            let key = RequestKey { peer, host, protocol, port, at, index, peer_port, by };
            let last = event.time;
            self.push(Request {
                key,
                started_by,
                open: false,
                lone: false,
                times: 1,
                last,
                service,
                message,
            });
        }
    }

    /// Makes rows of what was heard.
    fn tell(
        &mut self,
        key: FlowKey,
        starter: Starter,
        client: Option<End>,
        at: Place,
        index: u16,
        open: bool,
    ) {
        let heard = std::mem::take(&mut self.heard);
        for (i, Heard { by, service, mut message }) in heard.iter().cloned().enumerate() {
            if let (Some(channel), false) = (message.channel.take(), open) {
                self.announce(&key, client, channel, at.time);
            }
            let key = RequestKey {
                peer: key.peer,
                host: key.host,
                protocol: protocol::TCP,
                port: key.port,
                at,
                index: index.saturating_add(i.min(0x7fff) as u16),
                peer_port: key.peer_port,
                by,
            };
            self.push(Request {
                key,
                started_by: starter,
                open,
                lone: false,
                times: 1,
                last: at.time,
                service: Cow::Borrowed(service),
                message,
            });
        }
        self.heard = heard;
        self.heard.clear();
    }

    /// A connection is announced, or an announced one that is there already gets its name.
    fn announce(&mut self, key: &FlowKey, client: Option<End>, channel: Channel, now: Time) {
        match self.announced.announce(key, client, channel, now) {
            Announcing::Expected => {}
            Announcing::NoRoom => self.untold += 1,
            Announcing::Named { flow, verb, object } => {
                let flow = flow.and_then(|key| self.flows.get_mut(&key)).and_then(|f| f.dialogue.as_mut());
                if let Some(Speaker::FtpData(data)) = flow.and_then(Dialogue::speaker) {
                    data.name(&verb, &object);
                }
            }
        }
    }

    fn push(&mut self, row: Request) -> bool {
        let room = self.rows.len() < self.max_rows;
        match room {
            true => self.rows.push(row),
            false => self.untold += 1,
        }
        room
    }

    /// Ends a connection that nothing can be added to any more. What it said on an earlier day was told when that day ended.
    fn remove(&mut self, key: &FlowKey, today: Day) {
        let Some(mut flow) = self.flows.remove(key) else { return };
        self.held = self.held.saturating_sub(flow.held());
        let at = flow.place();
        let Some(mut dialogue) = flow.dialogue.take() else { return };
        if !flow.spoken || day_of(at.time) != today {
            return;
        }
        for end in [End::Peer, End::Host] {
            flow.streams[end as usize].give_up(|piece| hear(&mut dialogue, end, piece, &mut self.heard));
        }
        dialogue.so_far(&mut self.heard);
        self.tell(*key, flow.starter, dialogue.client(), at, OPEN_INDEX, true);
    }

    /// Forgets connections that nothing can be added to at or after `now`.
    pub fn sweep(&mut self, now: Time) {
        let mut over: Vec<FlowKey> =
            self.flows.iter().filter(|(_, flow)| !flow.alive(now)).map(|(key, _)| *key).collect();
        over.sort_unstable();
        over.iter().for_each(|key| self.remove(key, day_of(now)));
        self.announced.forget(now);
        self.sweep_at = (self.flows.len() * 2).max(MIN_SWEEP);
    }

    /// Hands over the rows of `day`; what connections have said so far that is no whole message is among them.
    pub fn take_rows(&mut self, day: Day) -> SaidRows {
        let mut open: Vec<FlowKey> = self
            .flows
            .iter()
            .filter(|(_, flow)| flow.spoken && flow.dialogue.is_some() && day_of(flow.last.0) == day)
            .map(|(key, _)| *key)
            .collect();
        open.sort_unstable();
        for key in open {
            let flow = &self.flows[&key];
            let mut streams = flow.streams.clone();
            let Some(mut dialogue) = flow.dialogue.clone() else { continue };
            let (starter, at) = (flow.starter, flow.place());
            for end in [End::Peer, End::Host] {
                streams[end as usize].give_up(|piece| hear(&mut dialogue, end, piece, &mut self.heard));
            }
            dialogue.so_far(&mut self.heard);
            self.tell(key, starter, dialogue.client(), at, OPEN_INDEX, true);
        }
        self.lone.clear();
        SaidRows { requests: std::mem::take(&mut self.rows), told_open: std::mem::take(&mut self.told_open) }
    }

    /// Connections that a packet at or after `now` may belong to.
    pub fn alive(&self, now: Time) -> impl Iterator<Item = (&FlowKey, &Flow)> {
        self.flows.iter().filter(move |(_, flow)| flow.alive(now))
    }

    /// Connections that are announced at `now`.
    pub fn announced(&self, now: Time) -> impl Iterator<Item = (&AnnouncedKey, &Announced)> {
        self.announced.at(now)
    }

    /// Takes in a connection that an earlier run has followed up to `head`, the time of its last packet.
    pub fn insert(&mut self, key: FlowKey, flow: Flow, head: Time) {
        self.held += flow.held();
        if flow.spoken && flow.dialogue.is_some() && day_of(flow.last.0) == day_of(head) {
            self.told_open.push((key, flow.place()));
        }
        self.flows.insert(key, flow);
    }

    /// Takes in an announced connection.
    pub fn insert_announced(&mut self, key: AnnouncedKey, announced: Announced) {
        self.announced.insert(key, announced);
    }
}

fn hear(dialogue: &mut Dialogue, by: End, piece: Piece<'_>, heard: &mut Vec<Heard>) {
    match piece {
        Piece::Bytes(bytes) => dialogue.hear(by, bytes, heard),
        Piece::Gap(_) => dialogue.gap(by),
        Piece::End => dialogue.end(by, heard),
    }
}
