//! Places of connections: a slab, and a list through it by when each was last used.

use trapline_wire::Time;

use super::{Decoys, NOBODY, Owner, Slot, Talk};
use crate::frames::Frames;
use crate::limits;
use crate::services::Kind;
use crate::tcp::connection::Connection;

impl Decoys {
    /// Gives a connection a place.
    pub(super) fn add(
        &mut self,
        connection: Connection,
        kind: Option<Kind>,
        owner: Owner,
        out: &mut Frames,
    ) -> u32 {
        let key = connection.flow.key;
        let spared = if let Owner::Another(id) = owner { id } else { NOBODY };
        let of_source = self.of_source.get(&(key.host, key.peer)).copied().unwrap_or(0);
        if of_source as usize >= limits::CONNECTIONS_OF_A_SOURCE {
            let same = |c: &Connection| (c.flow.key.host, c.flow.key.peer) == (key.host, key.peer);
            self.push_out(|slot| slot.connection.as_ref().is_some_and(same), spared, out);
        }
        if self.by_key.len() >= limits::CONNECTIONS || self.held > limits::HELD_BYTES {
            self.push_out(|_| true, spared, out);
        }
        let talk =
            kind.map(|kind| Talk { kind, service: kind.start(), site: self.hosts[key.host as usize].site() });
        let slot = Slot {
            connection: Some(connection),
            talk,
            owner,
            data: NOBODY,
            heard: 0,
            said: 0,
            used: self.now,
            idle_for: limits::IDLE_FOR,
            wake: None,
            queued: Time::MAX,
            held: 0,
            ended: false,
            said_told: false,
            over: false,
            older: NOBODY,
            newer: NOBODY,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        };
        self.by_key.insert(key, id);
        *self.of_source.entry((key.host, key.peer)).or_default() += 1;
        self.link(id);
        id
    }

    /// Breaks off the connection of these that was idle longest, but not `spared`.
    /// False where there is none.
    pub(super) fn push_out(&mut self, among: impl Fn(&Slot) -> bool, spared: u32, out: &mut Frames) -> bool {
        let mut id = self.oldest;
        while id != NOBODY && (id == spared || !among(&self.slots[id as usize])) {
            id = self.slots[id as usize].newer;
        }
        if id != NOBODY {
            self.counts.pushed_out += 1;
            self.break_off(id, out);
        }
        id != NOBODY
    }

    /// Frees the place of a connection.
    pub(super) fn remove(&mut self, id: u32) {
        self.unlink(id);
        let slot = &mut self.slots[id as usize];
        self.held -= std::mem::take(&mut slot.held);
        slot.talk = None;
        slot.queued = Time::MAX;
        let Some(connection) = slot.connection.take() else { return };
        let key = connection.flow.key;
        self.by_key.remove(&key);
        let source = (key.host, key.peer);
        if let Some(count) = self.of_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.of_source.remove(&source);
            }
        }
        self.free.push(id);
    }

    pub(super) fn link(&mut self, id: u32) {
        let latest = std::mem::replace(&mut self.latest, id);
        (self.slots[id as usize].older, self.slots[id as usize].newer) = (latest, NOBODY);
        match latest {
            NOBODY => self.oldest = id,
            _ => self.slots[latest as usize].newer = id,
        }
    }

    pub(super) fn unlink(&mut self, id: u32) {
        let Slot { older, newer, .. } = self.slots[id as usize];
        match older {
            NOBODY => self.oldest = newer,
            _ => self.slots[older as usize].newer = newer,
        }
        match newer {
            NOBODY => self.latest = older,
            _ => self.slots[newer as usize].older = older,
        }
    }

    pub(super) fn touch(&mut self, id: u32) {
        if self.latest != id {
            self.unlink(id);
            self.link(id);
        }
    }
}
