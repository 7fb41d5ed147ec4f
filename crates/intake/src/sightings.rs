//! What the headers of a source's packets look like: each distinct observation once, with how often it was seen.

use hashbrown::HashMap;
use trapline_wire::{Observation, Time};

use crate::address::Address;
use crate::limits::SIGHTINGS;
use crate::rows::{Place, Row};

/// One observation of one source on one UTC day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The source's address.
    pub peer: Address,
    /// What its packets look like.
    pub observation: Observation,
    /// Packets that look so.
    pub packets: u64,
    /// The first of them.
    pub first: Place,
    /// Time of the last, in nanoseconds.
    pub last: Time,
}

impl Row for Sighting {
    type Key = (Address, Observation);
    fn key(&self) -> Self::Key {
        (self.peer, self.observation)
    }
    fn first(&self) -> Place {
        self.first
    }
    fn absorb(&mut self, later: &Self) {
        self.packets += later.packets;
        self.first = self.first.min(later.first);
        self.last = self.last.max(later.last);
    }
}

/// Joins sightings of one source and observation, and keeps of each source those that were seen first.
pub fn fold_sightings(rows: Vec<Sighting>) -> Vec<Sighting> {
    let mut rows = crate::rows::fold(rows);
    rows.sort_by_key(|s| (s.peer, s.first));
    let mut of_peer = (Address(0), 0);
    rows.retain(|s| {
        of_peer = if of_peer.0 == s.peer { (s.peer, of_peer.1 + 1) } else { (s.peer, 1) };
        of_peer.1 <= SIGHTINGS
    });
    rows.sort_unstable_by_key(Row::key);
    rows
}

/// One shard's sightings of a day.
#[derive(Debug, Default)]
pub(crate) struct Sightings {
    rows: Vec<Sighting>,
    of_peer: HashMap<Address, Vec<u32>>,
}

/// No sighting yet.
pub(crate) const NONE: u32 = u32::MAX;

impl Sightings {
    /// Counts one packet. `hint` is where the same source's last packet to the same port was counted, and is where this one is
    /// afterwards: nearly always the same.
    #[inline]
    pub fn add(&mut self, hint: &mut u32, peer: Address, observation: &Observation, at: Place) {
        if let Some(row) = self.rows.get_mut(*hint as usize)
            && row.peer == peer
            && row.observation == *observation
        {
            row.packets += 1;
            row.last = at.time;
            return;
        }
        *hint = self.look_up(peer, observation, at);
    }

    fn look_up(&mut self, peer: Address, observation: &Observation, at: Place) -> u32 {
        let known = self.of_peer.entry(peer).or_default();
        if let Some(i) = known.iter().find(|i| self.rows[**i as usize].observation == *observation) {
            let row = &mut self.rows[*i as usize];
            row.packets += 1;
            row.last = at.time;
            return *i;
        }
        if known.len() >= SIGHTINGS {
            return NONE;
        }
        let index = self.rows.len() as u32;
        known.push(index);
        self.rows.push(Sighting { peer, observation: *observation, packets: 1, first: at, last: at.time });
        index
    }

    /// Hands over the day's rows.
    pub fn take(&mut self) -> Vec<Sighting> {
        self.of_peer.clear();
        std::mem::take(&mut self.rows)
    }
}
