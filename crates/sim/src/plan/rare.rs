//! What fills the rest of each month: many rare sequences, so that the totals of distinct ports and
//! distinct sequences come out exactly.
//!
//! The scenario's own rare sequences come first, then one sequence for each port that is still missing,
//! then made-up combinations. Each is placed once; what is left of the months is drawn among them by
//! weight. At a small scale there are fewer: at most a share of the room.

use std::collections::BTreeSet;

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::casting::Bag;
use super::counts::pick;
use super::{Draft, Planning, Role};
use crate::target::{Sequence, Target};

/// Below scale 1, so many percent of the others' sources may be the first of their sequence.
const NEW_PERCENT: u64 = 60;
/// How often the scenario's own sequences are drawn beside single ports and combinations.
const WEIGHTS: [f64; 3] = [9.0, 2.0, 1.0];
/// Tries to draw a sequence that its month has room for, before all are looked through.
const TRIES: usize = 50;
/// Draws of ports and combinations before the totals are out of reach.
const DRAWS: usize = 200_000;

struct Pool {
    /// Sequences that must each appear, with their weights.
    new: Vec<(Sequence, f64)>,
    /// Known sequences that may appear among the others too.
    familiar: Vec<(Sequence, f64)>,
}

/// Fills the bags' remaining others.
pub(crate) fn fill(planning: &Planning<'_>, bags: &mut [Bag], drafts: &mut Vec<Draft>) -> Result<(), String> {
    let mut rng = planning.rng(2);
    let room = bags.iter().map(|b| b.others).sum();
    let pool = pool(planning, &mut rng, drafts, room)?;
    for (sequence, _) in &pool.new {
        let mut order: Vec<usize> = (0..bags.len()).filter(|n| bags[*n].others > 0).collect();
        order.shuffle(&mut rng);
        order.sort_by_key(|n| std::cmp::Reverse(bags[*n].others / 8));
        let month = order.into_iter().find(|n| bags[*n].take_rare(sequence));
        let month = month.ok_or_else(|| format!("no month has room for the rare sequence {sequence}"))?;
        drafts.push(Draft::new(bags[month].any_day(&mut rng), sequence.clone(), Role::Scan));
    }
    let all: Vec<(Sequence, f64)> = pool.new.into_iter().chain(pool.familiar).collect();
    for bag in bags {
        while bag.others > 0 {
            let sequence = draw(&mut rng, bag, &all)?;
            drafts.push(Draft::new(bag.any_day(&mut rng), sequence, Role::Scan));
        }
    }
    Ok(())
}

fn draw(rng: &mut ChaCha8Rng, bag: &mut Bag, all: &[(Sequence, f64)]) -> Result<Sequence, String> {
    for _ in 0..TRIES {
        let (sequence, _) = &all[pick(rng, all.iter().map(|(_, w)| *w))];
        if bag.take_rare(sequence) {
            return Ok(sequence.clone());
        }
    }
    let any = all.iter().find(|(sequence, _)| bag.take_rare(sequence));
    any.map(|(s, _)| s.clone()).ok_or_else(|| "a month has more others than rare sequences can hold".into())
}

fn pool(planning: &Planning<'_>, rng: &mut ChaCha8Rng, drafts: &[Draft], room: u64) -> Result<Pool, String> {
    let totals = &planning.study.totals;
    let mut known: BTreeSet<Sequence> = drafts.iter().map(|d| d.sequence.clone()).collect();
    let mut ports = ports_of(&known);
    let (most_sequences, most_ports) = (totals.sequences as usize, totals.ports as usize);
    let missing = most_sequences.checked_sub(known.len());
    let missing =
        missing.ok_or_else(|| format!("{} sequences are in the table and cast already", known.len()))?;
    let limit = if planning.scale < 1.0 { room * NEW_PERCENT / 100 } else { room };
    let count = missing.min(limit as usize);
    let mut new: Vec<(Sequence, f64)> = Vec::with_capacity(count);
    let mut familiar = Vec::new();
    for sequence in &planning.study.rare.sequences {
        let added = ports_of([sequence]).difference(&ports).count();
        if known.contains(sequence) {
            familiar.push((sequence.clone(), WEIGHTS[0]));
        } else if new.len() < count && ports.len() + added <= most_ports {
            ports.extend(ports_of([sequence]));
            known.insert(sequence.clone());
            new.push((sequence.clone(), WEIGHTS[0]));
        }
    }
    let taken = taken(planning);
    let mut listed = planning.study.rare.ports.iter();
    let mut usable: Vec<Target> = ports.difference(&taken).copied().collect();
    for _ in 0..DRAWS {
        if new.len() == count || ports.len() >= most_ports {
            break;
        }
        let port = listed.next().copied().unwrap_or_else(|| Target::Tcp(rng.random_range(1_024..65_535)));
        if !taken.contains(&port) && ports.insert(port) {
            usable.push(port);
            let single = Sequence(vec![port]);
            known.insert(single.clone());
            new.push((single, WEIGHTS[1]));
        }
    }
    for _ in 0..DRAWS {
        if new.len() == count || usable.is_empty() {
            break;
        }
        let sequence = combination(rng, &usable, &new);
        if known.insert(sequence.clone()) {
            new.push((sequence, WEIGHTS[2]));
        }
    }
    if planning.scale >= 1.0 && (known.len() != most_sequences || ports.len() != most_ports) {
        let (sequences, ports) = (known.len(), ports.len());
        return Err(format!(
            "{sequences} sequences over {ports} ports fit, not {most_sequences} over {most_ports}"
        ));
    }
    Ok(Pool { new, familiar })
}

/// A few ports in some order; one in six is another order of what is there already.
fn combination(rng: &mut ChaCha8Rng, ports: &[Target], there: &[(Sequence, f64)]) -> Sequence {
    if rng.random_ratio(1, 6) && !there.is_empty() {
        let mut again = there[rng.random_range(0..there.len())].0.clone();
        if again.0.iter().all(|t| t.is_port() && ports.contains(t)) {
            again.0.shuffle(rng);
            return again;
        }
    }
    let length = [2, 3, 4, 5, 9, 14][pick(rng, [50.0, 25.0, 12.0, 7.0, 4.0, 2.0].into_iter())];
    Sequence::of((0..length).map(|_| ports[rng.random_range(0..ports.len())]))
}

/// Ports that made-up sequences leave alone: the second steps of worms, backscatter's, those of changes.
/// So a focused source's or a flood's sequence is never one that reached all hosts.
fn taken(planning: &Planning<'_>) -> BTreeSet<Target> {
    let study = planning.study;
    let worms = study.worm.iter().flat_map(|w| w.sequence.0.iter().skip(1));
    let floods = study.backscatter.flood.iter().flat_map(|f| f.sequences.iter().flat_map(|s| &s.0));
    let changes = planning.scenario.change.iter().flat_map(|c| &c.open);
    worms.chain(floods).chain(changes).copied().collect()
}

fn ports_of<'a>(sequences: impl IntoIterator<Item = &'a Sequence>) -> BTreeSet<Target> {
    sequences.into_iter().flat_map(|s| &s.0).copied().filter(|t| t.is_port()).collect()
}
