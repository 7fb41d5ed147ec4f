//! Puts every source on its day, and the hosts' own doings between them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Act, Draft, Edge, Own, Plan, Planning, Role, Source, Step, hours};
use crate::clock::Clock;

/// A router refuses an answer so many ticks after the packet that it answered.
const REFUSED_AFTER: u64 = 3;
/// Packets on days that are further apart have more than 25 hours between them (words.md, Attack source).
const SOON_DAYS: i32 = 2;
/// Crossers of midnight are at most this far from it, on either side.
const NEAR_MIDNIGHT_MS: u64 = 120_000;

/// The finished plan.
pub(crate) fn schedule(
    planning: &Planning<'_>,
    clock: &Clock,
    drafts: Vec<Draft>,
    steps: Vec<Vec<Step>>,
) -> Result<Plan, String> {
    let mut rng = planning.rng(7);
    let free = free(&drafts);
    let mut sources: Vec<(Source, bool)> = drafts
        .into_iter()
        .zip(steps)
        .map(|(draft, steps)| on_its_day(&mut rng, clock, draft, steps))
        .zip(free)
        .collect();
    // Slots by day, as a capture has them; within a day some move once more.
    sources.sort_by_key(|(s, _)| (s.steps[0].start, s.ip));
    let (mut sources, free): (Vec<Source>, Vec<bool>) = sources.into_iter().unzip();
    hours::follow(planning, clock, &mut sources, &free);
    let own = own(planning, clock, &mut rng, &sources)?;
    let files =
        planning.study.month.iter().map(|m| (m.month.first.month(), m.month.end.start_us())).collect();
    Ok(Plan { clock: *clock, seed: planning.seed, sources, own, files })
}

/// Which sources may begin at any time of their day: neither those that straddle a midnight, nor first contacts, nor
/// addresses that come back so soon that the gap between their days decides whether they are one source.
fn free(drafts: &[Draft]) -> Vec<bool> {
    let mut days: BTreeMap<Ipv4Addr, BTreeSet<i32>> = BTreeMap::new();
    for draft in drafts {
        days.entry(draft.ip).or_default().insert(draft.day.0);
    }
    let alone = |d: &Draft| days[&d.ip].range(d.day.0 - SOON_DAYS..=d.day.0 + SOON_DAYS).count() == 1;
    let free = |d: &Draft| d.edge == Edge::None && !matches!(d.role, Role::Contact(_)) && alone(d);
    drafts.iter().map(free).collect()
}

fn on_its_day(rng: &mut ChaCha8Rng, clock: &Clock, draft: Draft, mut steps: Vec<Step>) -> Source {
    let first = clock.first_tick(draft.day);
    let length = steps.last().map_or(0, |s| s.tick(s.packets - 1));
    let latest = (clock.last_tick(draft.day) - length).max(first);
    let near = clock.ticks(NEAR_MIDNIGHT_MS).min(latest - first);
    let begin = match draft.edge {
        Edge::Evening => latest - rng.random_range(0..=near),
        Edge::Morning => first + rng.random_range(0..=near),
        Edge::None => rng.random_range(first..=latest),
    };
    steps.iter_mut().for_each(|s| s.start += begin);
    Source { ip: draft.ip, day: draft.day, place: draft.place, system: draft.system, steps }
}

/// Queries at any time, refusals after refused knocks.
fn own(
    planning: &Planning<'_>,
    clock: &Clock,
    rng: &mut ChaCha8Rng,
    sources: &[Source],
) -> Result<Vec<Own>, String> {
    let months = &planning.study.month;
    let hosts = planning.scenario.host.len() as u8;
    let mut own = Vec::new();
    for _ in 0..planning.scaled(planning.study.own.dns_queries) {
        let span = months[rng.random_range(0..months.len())].month;
        let last = clock.last_tick(crate::clock::Day(span.end.0 - 1));
        let tick = rng.random_range(clock.first_tick(span.first)..=last);
        own.push(Own::Query { host: rng.random_range(0..hosts), tick });
    }
    let refused = |s: &Step| matches!(s.act, Act::Knock { open: false, .. }) && s.answer_limit > 0;
    let refusable: Vec<(usize, usize)> = (0..sources.len())
        .filter_map(|n| sources[n].steps.iter().position(refused).map(|step| (n, step)))
        .collect();
    for _ in 0..planning.scaled(planning.study.own.refusals) {
        if refusable.is_empty() {
            return Err("no source is refused by a host, so none of its answers can be".into());
        }
        let (source, step) = refusable[rng.random_range(0..refusable.len())];
        let tick = sources[source].steps[step].start + REFUSED_AFTER;
        own.push(Own::Refusal { source: source as u32, step: step as u32, tick });
    }
    own.sort_by_key(Own::tick);
    Ok(own)
}
