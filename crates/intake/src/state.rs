//! What intake must remember between two packets, as bytes: to stop and go on, to begin in the middle
//! of the data, and to tell whether two ways of reading led to the same place.
//!
//! The bytes are canonical: the same memory gives the same bytes, whatever the number of shards.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use trapline_wire::Time;

use crate::address::Address;
use crate::flows::{Announced, AnnouncedKey, Flow};
use crate::fragments::{Whole, WholeKey};
use crate::limits::{FRAGMENT_NS, REMEMBER_NS};
use crate::rows::day_of;
use crate::said::{FlowKey, Starter};
use crate::track::{FragmentKey, Head, Key, Memory, NEVER, Tracker};

/// Version of the byte format; another one is no state, and intake reads further back instead.
const VERSION: u8 = 2;

/// Conversations, asked ICMP questions and fragments, each sorted by key.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(crate) memory: Vec<(Key, Memory)>,
    pub(crate) asked: Vec<(Key, Vec<(u8, u16)>)>,
    pub(crate) fragments: Vec<(FragmentKey, Time)>,
    pub(crate) talks: Talks,
}

/// Connections in the middle of what they say.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Talks {
    /// Time of the last packet of all.
    head: Time,
    flows: Vec<(FlowKey, Flow)>,
    announced: Vec<(AnnouncedKey, Announced)>,
    pieces: Vec<(WholeKey, Whole<Head>)>,
}

impl State {
    /// What `tracker` holds that can matter to a packet at or after `now`.
    pub(crate) fn of(tracker: &Tracker, now: Time) -> State {
        let today = day_of(now);
        let mut state = State::default();
        for (key, memory) in &tracker.memory {
            let alive = memory.starter != Starter::Nobody && now.saturating_sub(memory.last) <= REMEMBER_NS;
            let answered = memory.answered_day == memory.row_day;
            // Only what has a port can still be answered. (Rows without one may stand in two shards, too: an ICMP
            // error goes where the peer is that it quotes.)
            let row_matters =
                !key.portless && memory.row_day >= today - 1 && (!answered || memory.row_day == today);
            if !alive && !row_matters {
                continue;
            }
            let mut kept = Memory::new();
            if alive {
                (kept.last, kept.starter) = (memory.last, memory.starter);
                if let Some(asked) = tracker.asked.get(key) {
                    state.asked.push((*key, asked.clone()));
                }
            }
            if row_matters {
                kept.row_day = memory.row_day;
                kept.answered_day = if answered { memory.row_day } else { NEVER };
            }
            state.memory.push((*key, kept));
        }
        let young = tracker.fragments.iter().filter(|(_, first)| now.saturating_sub(**first) <= FRAGMENT_NS);
        state.fragments = young.map(|(key, first)| (*key, *first)).collect();
        let Tracker { flows, pieces, .. } = tracker;
        state.talks = Talks {
            head: now,
            flows: flows.alive(now).map(|(key, flow)| (*key, flow.clone())).collect(),
            announced: flows.announced(now).map(|(key, a)| (*key, a.clone())).collect(),
            pieces: pieces.alive(now).map(|(key, whole)| (*key, whole.clone())).collect(),
        };
        state
    }

    /// Puts the states of several shards together.
    pub(crate) fn join(parts: impl IntoIterator<Item = State>) -> State {
        let mut whole = State::default();
        for part in parts {
            whole.memory.extend(part.memory);
            whole.asked.extend(part.asked);
            whole.fragments.extend(part.fragments);
            whole.talks.head = part.talks.head;
            whole.talks.flows.extend(part.talks.flows);
            whole.talks.announced.extend(part.talks.announced);
            whole.talks.pieces.extend(part.talks.pieces);
        }
        whole.talks.flows.sort_unstable_by_key(|(key, _)| *key);
        whole.talks.announced.sort_unstable_by_key(|(key, _)| *key);
        whole.talks.pieces.sort_unstable_by_key(|(key, _)| *key);
        whole.memory.sort_unstable_by_key(|(key, _)| *key);
        whole.asked.sort_unstable_by_key(|(key, _)| *key);
        whole.fragments.sort_unstable_by_key(|(key, _)| *key);
        whole
    }

    /// Deals the state out to shards; `shard` tells which one holds a peer.
    pub(crate) fn deal(self, trackers: &mut [Tracker], shard: impl Fn(Address) -> usize) {
        for (key, memory) in self.memory {
            trackers[shard(key.peer)].memory.insert(key, memory);
        }
        for (key, asked) in self.asked {
            trackers[shard(key.peer)].asked.insert(key, asked);
        }
        for (key, first) in self.fragments {
            trackers[shard(key.peer)].fragments.insert(key, first);
        }
        let Talks { head, flows, announced, pieces } = self.talks;
        for (key, flow) in flows {
            trackers[shard(key.peer)].flows.insert(key, flow, head);
        }
        for (key, one) in announced {
            trackers[shard(key.0)].flows.insert_announced(key, one);
        }
        for (key, whole) in pieces {
            trackers[shard(key.peer)].pieces.insert(key, whole);
        }
    }

    /// The state as bytes; hosts are written by name, so that a reordered platform file changes nothing.
    pub fn to_bytes(&self, hosts: &[String]) -> Vec<u8> {
        let mut out = vec![VERSION];
        put(&mut out, hosts.len() as u64);
        for host in hosts {
            put(&mut out, host.len() as u64);
            out.extend_from_slice(host.as_bytes());
        }
        put(&mut out, self.memory.len() as u64);
        for (key, memory) in &self.memory {
            put_key(&mut out, key);
            out.push(memory.starter as u8);
            put(&mut out, memory.last as u64);
            put(&mut out, memory.row_day as u32 as u64);
            out.push(u8::from(memory.answered_day == memory.row_day && memory.row_day != NEVER));
        }
        put(&mut out, self.asked.len() as u64);
        for (key, asked) in &self.asked {
            put_key(&mut out, key);
            put(&mut out, asked.len() as u64);
            asked.iter().for_each(|(kind, seq)| put(&mut out, u64::from(*kind) << 16 | u64::from(*seq)));
        }
        put(&mut out, self.fragments.len() as u64);
        for (key, first) in &self.fragments {
            put_key(
                &mut out,
                &Key { peer: key.peer, host: key.host, protocol: key.protocol, portless: false, port: 0 },
            );
            put(&mut out, u64::from(key.id));
            put(&mut out, *first as u64);
        }
        out.extend(postcard::to_stdvec(&self.talks).expect("plain data"));
        out
    }

    /// Forgets in which captures packets lay: what is left is the same however the traffic was cut into captures.
    pub fn forget_captures(&mut self) {
        self.talks.flows.iter_mut().for_each(|(_, flow)| flow.forget_capture());
    }

    /// Reads [`State::to_bytes`] back for a platform whose hosts are `hosts`; what belongs to hosts that are
    /// no more is dropped. `None` where the bytes are of another version or damaged.
    pub fn from_bytes(bytes: &[u8], hosts: &[String]) -> Option<State> {
        let mut input = Input(bytes);
        if input.byte()? != VERSION {
            return None;
        }
        let now: HashMap<&str, u16> = hosts.iter().enumerate().map(|(i, h)| (h.as_str(), i as u16)).collect();
        let mut then = Vec::new();
        for _ in 0..input.count()? {
            let length = input.number()? as usize;
            then.push(now.get(std::str::from_utf8(input.take(length)?).ok()?).copied());
        }
        let mut state = State::default();
        for _ in 0..input.count()? {
            let key = input.key(&then)?;
            let mut memory = Memory::new();
            memory.starter =
                [Starter::Nobody, Starter::Peer, Starter::Host][usize::from(input.byte()?.min(2))];
            memory.last = input.number()? as i64;
            memory.row_day = input.number()? as u32 as i32;
            memory.answered_day = if input.byte()? == 1 { memory.row_day } else { NEVER };
            if let Some(key) = key {
                state.memory.push((key, memory));
            }
        }
        for _ in 0..input.count()? {
            let key = input.key(&then)?;
            let mut asked = Vec::new();
            for _ in 0..input.count()? {
                let both = input.number()?;
                asked.push(((both >> 16) as u8, both as u16));
            }
            state.asked.extend(key.map(|key| (key, asked)));
        }
        for _ in 0..input.count()? {
            let key = input.key(&then)?;
            let (id, first) = (input.number()? as u32, input.number()? as i64);
            let key = key.map(|k| FragmentKey { peer: k.peer, host: k.host, protocol: k.protocol, id });
            state.fragments.extend(key.map(|key| (key, first)));
        }
        state.talks = postcard::from_bytes(input.0).ok()?;
        state.talks.rename(&then);
        Some(state)
    }
}

impl Talks {
    /// Gives hosts their present index; what belongs to hosts that are no more is dropped.
    fn rename(&mut self, now: &[Option<u16>]) {
        let host = |then: u16| now.get(usize::from(then)).copied().flatten();
        self.flows.retain_mut(|(key, _)| host(key.host).map(|h| key.host = h).is_some());
        self.announced.retain_mut(|(key, one)| {
            let found = host(key.1);
            key.1 = found.unwrap_or_default();
            one.rename(key.1);
            found.is_some()
        });
        self.pieces.retain_mut(|(key, _)| host(key.host).map(|h| key.host = h).is_some());
    }
}

fn put(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_key(out: &mut Vec<u8>, key: &Key) {
    out.extend_from_slice(&key.peer.0.to_be_bytes());
    out.extend_from_slice(&key.host.to_le_bytes());
    out.extend_from_slice(&[key.protocol, u8::from(key.portless)]);
    out.extend_from_slice(&key.port.to_le_bytes());
}

/// Bytes to be read from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// A length of a list, no longer than the bytes that are left could hold.
    fn count(&mut self) -> Option<u64> {
        let count = self.number()?;
        (count <= self.0.len() as u64).then_some(count)
    }

    /// A key; the inner `None` where its host is no more.
    fn key(&mut self, hosts: &[Option<u16>]) -> Option<Option<Key>> {
        let peer = Address(u128::from_be_bytes(self.take(16)?.try_into().ok()?));
        let host = u16::from_le_bytes(self.take(2)?.try_into().ok()?);
        let (protocol, portless) = (self.byte()?, self.byte()? == 1);
        let port = u16::from_le_bytes(self.take(2)?.try_into().ok()?);
        let host = *hosts.get(usize::from(host))?;
        Some(host.map(|host| Key { peer, host, protocol, portless, port }))
    }
}
