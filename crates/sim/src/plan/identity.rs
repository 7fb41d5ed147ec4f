//! Addresses: most come once, some on many days, some across a midnight.
//!
//! Only scanners share an address between days, never with a flood's victim: else an answer to nothing
//! would meet a conversation of the day before and be no backscatter.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Draft, Edge, Planning, Role};
use crate::target::Sequence;

/// First octets that were in use by customers and universities in 2003; none is reserved or private.
const FIRST_OCTETS: [u8; 26] = [
    12, 24, 61, 62, 63, 64, 65, 66, 67, 68, 80, 81, 82, 128, 130, 141, 151, 193, 194, 200, 203, 210, 211,
    212, 217, 218,
];

/// Draws addresses that were not drawn before.
#[derive(Default)]
pub(crate) struct Addresses(BTreeSet<Ipv4Addr>);

impl Addresses {
    pub fn fresh(&mut self, rng: &mut ChaCha8Rng) -> Ipv4Addr {
        loop {
            let first = FIRST_OCTETS[rng.random_range(0..FIRST_OCTETS.len())];
            let ip = Ipv4Addr::new(first, rng.random(), rng.random(), rng.random_range(1..255));
            if self.0.insert(ip) {
                return ip;
            }
        }
    }
}

/// Gives every draft its address.
pub(crate) fn assign(planning: &Planning<'_>, drafts: &mut [Draft]) {
    let mut rng = planning.rng(4);
    let mut addresses = Addresses::default();
    cross_midnights(planning, &mut rng, &mut addresses, drafts);
    come_back(planning, &mut rng, &mut addresses, drafts);
    for draft in drafts.iter_mut().filter(|d| d.ip.is_unspecified()) {
        draft.ip = addresses.fresh(&mut rng);
    }
}

/// Indices of scanners without an address, shuffled.
fn available(rng: &mut ChaCha8Rng, drafts: &[Draft]) -> Vec<usize> {
    let scans = |d: &Draft| d.role == Role::Scan && d.ip.is_unspecified();
    let mut found: Vec<usize> = (0..drafts.len()).filter(|n| scans(&drafts[*n])).collect();
    found.shuffle(rng);
    found
}

/// Pairs of scanners of one sequence on two days in a row become one address around that midnight.
fn cross_midnights(
    planning: &Planning<'_>,
    rng: &mut ChaCha8Rng,
    addresses: &mut Addresses,
    drafts: &mut [Draft],
) {
    let mut by_day: BTreeMap<(i32, Sequence), Vec<usize>> = BTreeMap::new();
    let found = available(rng, drafts);
    for n in &found {
        by_day.entry((drafts[*n].day.0, drafts[*n].sequence.clone())).or_default().push(*n);
    }
    let mut left = planning.scaled(planning.study.midnight_crossers);
    for evening in found {
        if left == 0 {
            break;
        }
        let key = (drafts[evening].day.0 + 1, drafts[evening].sequence.clone());
        let next = by_day.get_mut(&key).and_then(|v| v.pop_if(|n| drafts[*n].ip.is_unspecified()));
        let Some(morning) = next.filter(|_| drafts[evening].ip.is_unspecified()) else { continue };
        let ip = addresses.fresh(rng);
        (drafts[evening].ip, drafts[evening].edge) = (ip, Edge::Evening);
        (drafts[morning].ip, drafts[morning].edge) = (ip, Edge::Morning);
        left -= 1;
    }
}

/// Addresses that are seen on several days, each time with the same sequence or with any.
fn come_back(planning: &Planning<'_>, rng: &mut ChaCha8Rng, addresses: &mut Addresses, drafts: &mut [Draft]) {
    let mut groups: Vec<_> = planning.study.returning.iter().collect();
    groups.sort_by_key(|g| std::cmp::Reverse(g.days));
    for group in groups {
        let found = available(rng, drafts);
        let mut at = 0;
        for _ in 0..planning.scaled(group.ips) {
            let Some(leader) = found[at..].iter().position(|n| drafts[*n].ip.is_unspecified()) else {
                return;
            };
            at += leader;
            let sequence = drafts[found[at]].sequence.clone();
            let ip = addresses.fresh(rng);
            let mut days = BTreeSet::new();
            for n in &found[at..] {
                let draft = &mut drafts[*n];
                let fits = draft.ip.is_unspecified() && (group.mixed || draft.sequence == sequence);
                if fits && days.len() < group.days as usize && days.insert(draft.day) {
                    draft.ip = ip;
                }
            }
        }
    }
}
