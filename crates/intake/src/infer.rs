//! Which addresses are the hosts, where nobody says: the smallest set that covers all conversations.
//!
//! Greedy vertex cover over address pairs (words.md): the address with most distinct peers first; a
//! tie goes to the one that received the first packet. On a honeynet every conversation has a decoy
//! at one end, and decoys have far more peers than their visitors.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use trapline_wire::{Frame, Reading, Time, decode};

use crate::address::Address;
use crate::limits::MAX_PAIRS;
use crate::rows::Place;
use crate::survey::CaptureId;

/// Address pairs that spoke, and when each address first received a packet.
#[derive(Debug, Default)]
pub struct Pairs {
    pairs: HashMap<(Address, Address), ()>,
    /// Earliest packet received.
    received: HashMap<Address, Place>,
    /// Addresses that the link layer treats as everybody's: a subnet's broadcast address.
    groups: HashMap<Address, ()>,
    seen: u64,
    /// Pairs that found no room.
    pub overflow: u64,
}

impl Pairs {
    /// Notes who sends this frame to whom.
    pub fn see(&mut self, frame: &Frame<'_>) {
        self.seen += 1;
        let Reading::Ip(packet) = decode(frame) else { return };
        let (src, dst) = (Address::from(packet.src), Address::from(packet.dst));
        if packet.to_group {
            self.groups.insert(dst, ());
        }
        if src == dst || packet.to_group || src.is_group() || dst.is_group() || is_discovery(&packet) {
            return;
        }
        let now = Place { time: frame.time, capture: 0, frame: self.seen };
        let earliest = self.received.entry(dst).or_insert(now);
        *earliest = now.min(*earliest);
        let pair = (src.min(dst), src.max(dst));
        if self.pairs.len() < MAX_PAIRS {
            self.pairs.insert(pair, ());
        } else if !self.pairs.contains_key(&pair) {
            self.overflow += 1;
        }
    }

    /// Adds what another capture, `id`, showed.
    pub fn absorb(&mut self, other: Pairs, id: CaptureId) {
        for (pair, ()) in other.pairs {
            if self.pairs.len() < MAX_PAIRS {
                self.pairs.insert(pair, ());
            } else if !self.pairs.contains_key(&pair) {
                self.overflow += 1;
            }
        }
        for (address, place) in other.received {
            let place = Place { capture: id.0, ..place };
            let earliest = self.received.entry(address).or_insert(place);
            *earliest = place.min(*earliest);
        }
        self.groups.extend(other.groups);
        self.overflow += other.overflow;
    }

    /// The smallest set of addresses that covers every pair, in order of address; `known` hosts cover theirs first.
    pub fn cover(&self, known: &[Address]) -> Vec<Address> {
        let mut graph = Graph::new(self, known);
        let mut hosts = Vec::new();
        while let Some(address) = graph.take_busiest() {
            hosts.push(address);
        }
        hosts.sort_unstable();
        hosts
    }
}

fn is_discovery(packet: &trapline_wire::Packet<'_>) -> bool {
    use trapline_wire::icmp::{IcmpRole, role};
    match packet.transport {
        trapline_wire::Transport::Icmp(icmp) => {
            role(packet.protocol, icmp.kind()) == IcmpRole::NeighbourDiscovery
        }
        _ => false,
    }
}

/// Rank of an address: most peers first, then who received a packet first, then the smaller address.
type Rank = (Reverse<usize>, Place, Address);

/// The pairs not yet covered, with the addresses in the order in which they would be taken.
struct Graph {
    peers: BTreeMap<Address, BTreeSet<Address>>,
    received: HashMap<Address, Place>,
    queue: BTreeSet<Rank>,
}

impl Graph {
    fn new(seen: &Pairs, known: &[Address]) -> Self {
        let mut peers: BTreeMap<Address, BTreeSet<Address>> = BTreeMap::new();
        let usable = |a: &Address| !known.contains(a) && !seen.groups.contains_key(a);
        for (a, b) in seen.pairs.keys().filter(|(a, b)| usable(a) && usable(b)) {
            peers.entry(*a).or_default().insert(*b);
            peers.entry(*b).or_default().insert(*a);
        }
        let mut graph = Graph { peers, received: seen.received.clone(), queue: BTreeSet::new() };
        graph.queue = graph.peers.keys().map(|a| graph.rank(*a)).collect();
        graph
    }

    fn rank(&self, address: Address) -> Rank {
        let never = Place { time: Time::MAX, capture: u64::MAX, frame: u64::MAX };
        let received = *self.received.get(&address).unwrap_or(&never);
        (Reverse(self.peers[&address].len()), received, address)
    }

    /// Takes the first address of the queue and all its pairs out of the graph.
    fn take_busiest(&mut self) -> Option<Address> {
        let (_, _, address) = self.queue.pop_first()?;
        for peer in self.peers.remove(&address).expect("queued addresses have peers") {
            self.queue.remove(&self.rank(peer));
            let left = self.peers.get_mut(&peer).expect("pairs stand on both sides");
            left.remove(&address);
            if left.is_empty() {
                self.peers.remove(&peer);
            } else {
                self.queue.insert(self.rank(peer));
            }
        }
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u128) -> Address {
        Address(0xffff_0000_0000 | n)
    }

    /// `talks` lists sender and receiver of one packet each, in time order.
    fn check(talks: &[(u128, u128)], hosts: &[u128]) {
        let mut pairs = Pairs::default();
        for (time, (src, dst)) in talks.iter().enumerate() {
            let (src, dst) = (address(*src), address(*dst));
            pairs.received.entry(dst).or_insert(Place { time: time as i64, capture: 0, frame: 0 });
            pairs.pairs.insert((src.min(dst), src.max(dst)), ());
        }
        assert_eq!(pairs.cover(&[]), hosts.iter().map(|h| address(*h)).collect::<Vec<_>>());
    }

    #[test]
    fn the_address_with_most_peers_is_the_host() {
        check(&[(1, 9), (2, 9), (3, 9), (9, 1)], &[9]);
    }

    #[test]
    fn a_lone_pair_goes_to_the_receiver_of_the_first_packet() {
        check(&[(5, 6), (6, 5)], &[6]);
        check(&[(6, 5), (5, 6)], &[5]);
    }

    #[test]
    fn covered_pairs_do_not_count_any_more() {
        // 9 covers all of 1, 2, 3; what 1 did besides is a pair of its own.
        check(&[(1, 9), (2, 9), (3, 9), (1, 8)], &[8, 9]);
    }

    #[test]
    fn known_hosts_cover_first() {
        let mut pairs = Pairs::default();
        pairs.pairs.insert((address(1), address(2)), ());
        assert_eq!(pairs.cover(&[address(1)]), vec![]);
    }
}
