//! Rows of what was said: one for each message of a connection, one for each distinct payload that stands alone.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use trapline_speech::{End, Message};
use trapline_wire::Time;

use crate::address::Address;
use crate::limits::LONE_PAYLOADS;
use crate::rows::Place;

/// One TCP connection: remote address and port, host and its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FlowKey {
    /// The end that is no host.
    pub peer: Address,
    /// Host index.
    pub host: u16,
    /// The host's port.
    pub port: u16,
    /// The peer's port.
    pub peer_port: u16,
}

/// Who opened a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Starter {
    /// Nobody yet: packets without an opening one are in no conversation.
    Nobody,
    /// The end that is no host.
    Peer,
    /// The host.
    Host,
}

impl Starter {
    /// The end that it is, if any.
    pub fn end(self) -> Option<End> {
        match self {
            Starter::Nobody => None,
            Starter::Peer => Some(End::Peer),
            Starter::Host => Some(End::Host),
        }
    }
}

impl From<End> for Starter {
    fn from(end: End) -> Starter {
        match end {
            End::Peer => Starter::Peer,
            End::Host => Starter::Host,
        }
    }
}

/// What makes a message that message. Ordered by whom, then by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKey {
    /// The end that is no host.
    pub peer: Address,
    /// Host index.
    pub host: u16,
    /// IP protocol number: TCP, UDP, or ICMP of either family.
    pub protocol: u8,
    /// The host's port; 0 for ICMP.
    pub port: u16,
    /// The packet that completed it: its first copy, where there are several.
    pub at: Place,
    /// Its place among the messages that this packet completed.
    pub index: u16,
    /// The peer's port.
    pub peer_port: u16,
    /// Who said it.
    pub by: End,
}

impl RequestKey {
    /// The connection that it belongs to.
    pub fn flow(&self) -> FlowKey {
        FlowKey { peer: self.peer, host: self.host, port: self.port, peer_port: self.peer_port }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which.
    pub key: RequestKey,
    /// Who began the conversation in which it was said.
    pub started_by: Starter,
    /// Whether it was told although its connection had not ended, because the day or the data had: it may be told again, longer.
    pub open: bool,
    /// Whether it stands alone (a datagram, the data of a SYN); only such are counted in `times`.
    pub lone: bool,
    /// How often it was said.
    pub times: u64,
    /// When it was said last, in nanoseconds.
    pub last: Time,
    /// Name of the protocol; empty where nobody knows.
    pub service: Cow<'static, str>,
    /// What was said.
    pub message: Message,
}

/// What identical lone payloads share; messages of one payload are told apart by their index.
type LoneKey = (Address, u16, u8, u16, End, u16, Option<[u8; 32]>);

impl Request {
    fn lone_key(&self) -> LoneKey {
        let k = &self.key;
        let hash = self.message.body.as_ref().map(|body| body.sha256);
        (k.peer, k.host, k.protocol, k.port, k.by, k.index, hash)
    }

    /// Stands for lone payloads beyond the limit: how many there were.
    fn is_rest(&self) -> bool {
        self.lone && self.message.body.is_none()
    }

    fn absorb(&mut self, other: &Request) {
        self.times += other.times;
        self.last = self.last.max(other.last);
        if other.key.at < self.key.at {
            (self.key, self.started_by) = (other.key, other.started_by);
        }
    }
}

/// Sorts a day's rows; joins those of the same lone payload, and keeps no more of one speaker and port than there may be.
///
/// Two halves of a day that were read by themselves become what the whole day would have been: each half keeps its first
/// payloads up to the limit, and the first of both are among them.
pub fn fold_requests(mut rows: Vec<Request>) -> Vec<Request> {
    rows.sort_unstable_by_key(|r| (r.lone.then(|| r.lone_key()), r.key));
    rows.dedup_by(|later, kept| {
        let same = later.lone && kept.lone && later.lone_key() == kept.lone_key();
        if same {
            kept.absorb(later);
        }
        same
    });
    let mut folded: Vec<Request> = Vec::with_capacity(rows.len());
    let speaker = |r: &Request| (r.lone, r.key.peer, r.key.host, r.key.protocol, r.key.port, r.key.by);
    rows.sort_by_key(|r| (speaker(r), r.is_rest(), r.key));
    for same in rows.chunk_by_mut(|a, b| speaker(a) == speaker(b)) {
        if !same[0].lone {
            folded.extend(same.iter().cloned());
            continue;
        }
        let (mut payloads, mut rest) = (0, None::<Request>);
        for row in same.iter() {
            payloads += usize::from(row.key.index == 0 && !row.is_rest());
            if payloads <= LONE_PAYLOADS && !row.is_rest() {
                folded.push(row.clone());
            } else if row.key.index == 0 {
                let whole = rest.get_or_insert_with(|| row.as_rest());
                if whole.key != row.key {
                    whole.absorb(row);
                }
            }
        }
        folded.extend(rest);
    }
    folded.sort_unstable_by_key(|r| (r.key, r.is_rest()));
    folded
}

/// Joins what was told of a day with what is told of it now: connections that were told as open are told anew, longer.
pub fn join_requests(
    mut stored: Vec<Request>,
    new: Vec<Request>,
    told_open: &[(FlowKey, Place)],
) -> Vec<Request> {
    stored.retain(|r| !(r.open && told_open.contains(&(r.key.flow(), r.key.at))));
    stored.extend(new);
    fold_requests(stored)
}

impl Request {
    /// A row that stands for this one and others like it, without what they said.
    pub(crate) fn as_rest(&self) -> Request {
        let message = Message { cut: true, ..Message::of(trapline_speech::Kind::Data) };
        Request { service: Cow::Borrowed(""), message, ..self.clone() }
    }
}
