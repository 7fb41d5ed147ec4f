//! Where each address sits and what it runs, so that the shares come out as the scenario says.
//!
//! An address keeps both for good. Shares of places are kept month by month over sources, those of systems over all
//! addresses that knock at TCP ports: nobody can tell what the others run.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::counts::{apportion, pick};
use super::{Draft, Planning, Role};
use crate::target::Target;

/// Each address with its drafts, in order of addresses.
type ByAddress = BTreeMap<Ipv4Addr, Vec<usize>>;

/// Gives every draft its place and its system.
pub(crate) fn assign(planning: &Planning<'_>, drafts: &mut [Draft]) {
    let mut by_address = ByAddress::new();
    for (n, draft) in drafts.iter().enumerate() {
        by_address.entry(draft.ip).or_default().push(n);
    }
    if !planning.study.place.is_empty() {
        places(planning, &mut planning.rng(8), &by_address, drafts);
    }
    systems(planning, &mut planning.rng(9), &by_address, drafts);
}

/// Addresses that come back choose first, while there is room everywhere; the others fill what is left of each month.
fn places(planning: &Planning<'_>, rng: &mut ChaCha8Rng, by_address: &ByAddress, drafts: &mut [Draft]) {
    let study = planning.study;
    let month_of = |draft: &Draft| study.month.iter().position(|m| draft.day < m.month.end).unwrap_or(0);
    let months: Vec<usize> = drafts.iter().map(month_of).collect();
    let quota = |(n, month): (usize, &crate::study::Month)| {
        let name = month.month.first.month();
        let shares: Vec<f64> = study.place.iter().map(|p| p.percent_in(&name)).collect();
        apportion(months.iter().filter(|m| **m == n).count() as u64, &shares)
    };
    let mut left: Vec<Vec<u64>> = study.month.iter().enumerate().map(quota).collect();
    for members in by_address.values().filter(|m| m.len() > 1) {
        let place = pick_left(rng, &left[months[members[0]]], |n| study.place[n].percent);
        for n in members {
            drafts[*n].place = Some(place as u16);
            let left = &mut left[months[*n]][place];
            *left = left.saturating_sub(1);
        }
    }
    let mut decks: Vec<_> = left.iter().map(|left| deck(rng, left)).collect();
    for members in by_address.values().filter(|m| m.len() == 1) {
        drafts[members[0]].place = decks[months[members[0]]].pop().map(|place| place as u16);
    }
}

/// Worms choose first, for they live on few systems.
fn systems(planning: &Planning<'_>, rng: &mut ChaCha8Rng, by_address: &ByAddress, drafts: &mut [Draft]) {
    let systems = planning.scenario.systems();
    let percent = |n: usize| systems[n].percent;
    let knocks = |members: &Vec<usize>| members.iter().any(|n| drafts[*n].knocks());
    let (visible, hidden): (Vec<&Vec<usize>>, Vec<_>) = by_address.values().partition(|m| knocks(m));
    let shares: Vec<f64> = systems.iter().map(|s| s.percent).collect();
    let mut left = apportion(visible.len() as u64, &shares);
    let mut free = Vec::with_capacity(visible.len());
    for members in visible {
        let worm = members.iter().find_map(|n| planning.worm(&drafts[*n].sequence));
        let hosts: Vec<usize> = (0..systems.len())
            .filter(|n| worm.is_some_and(|w| w.systems.contains(&systems[*n].name)))
            .collect();
        if hosts.is_empty() {
            free.push(members);
            continue;
        }
        let rest: Vec<u64> = hosts.iter().map(|n| left[*n]).collect();
        let system = hosts[pick_left(rng, &rest, |at| percent(hosts[at]))];
        left[system] = left[system].saturating_sub(1);
        members.iter().for_each(|n| drafts[*n].system = system as u8);
    }
    let mut deck = deck(rng, &left);
    for members in free {
        let system = deck.pop().unwrap_or_default();
        members.iter().for_each(|n| drafts[*n].system = system as u8);
    }
    for members in hidden {
        let system = pick(rng, shares.iter().copied());
        members.iter().for_each(|n| drafts[*n].system = system as u8);
    }
}

impl Draft {
    /// Whether it sends a SYN.
    fn knocks(&self) -> bool {
        !matches!(self.role, Role::Backscatter(_))
            && self.sequence.0.iter().any(|t| matches!(t, Target::Tcp(_)))
    }
}

/// An index by what is left of each, or by its share where nothing is left of any.
fn pick_left(rng: &mut ChaCha8Rng, left: &[u64], share: impl Fn(usize) -> f64 + Clone) -> usize {
    match left.iter().any(|n| *n > 0) {
        true => pick(rng, left.iter().map(|n| *n as f64)),
        false => pick(rng, (0..left.len()).map(share)),
    }
}

/// Every index as often as it is left, shuffled.
fn deck(rng: &mut ChaCha8Rng, left: &[u64]) -> Vec<usize> {
    let times = |(n, left): (usize, &u64)| std::iter::repeat_n(n, *left as usize);
    let mut deck: Vec<usize> = left.iter().enumerate().flat_map(times).collect();
    deck.shuffle(rng);
    deck
}
