//! Packets until the totals are exact: heavy tails, as everywhere on the Internet.
//!
//! What the first steps and the hosts' own replies leave of each protocol's total is divided among the
//! sources that use the protocol, by weights with a heavy tail, and appended as further rounds. Crossers of
//! midnight, logins and precise sources get none: their times are the point of them.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::counts::{apportion, heavy_tail};
use super::{Act, Draft, Edge, Planning, Role, Step};
use crate::clock::Clock;
use crate::target::Target;

/// The heaviest source weighs this many times the lightest.
const HEAVIEST: f64 = 4_000.0;
/// Protocols that are counted: TCP, UDP, ICMP.
const PROTOCOLS: usize = 3;

/// Which total a target belongs to; other protocols share TCP's, they are a handful of packets.
fn protocol(target: Target) -> usize {
    match target {
        Target::Tcp(_) | Target::Proto(_) => 0,
        Target::Udp(_) => 1,
        Target::Icmp => 2,
    }
}

/// Appends rounds to the steps until every protocol has its total.
pub(crate) fn fill(
    planning: &Planning<'_>,
    clock: &Clock,
    drafts: &[Draft],
    steps: &mut [Vec<Step>],
) -> Result<(), String> {
    let mut rng = planning.rng(6);
    let left = left(planning, steps)?;
    let mut extra = vec![[0u64; PROTOCOLS]; steps.len()];
    for (which, packets) in left.into_iter().enumerate() {
        let weight =
            |n: usize| if takes(&drafts[n], &steps[n], which) { heavy_tail(&mut rng, HEAVIEST) } else { 0.0 };
        let weights: Vec<f64> = (0..steps.len()).map(weight).collect();
        if packets > 0 && weights.iter().all(|w| *w == 0.0) {
            return Err("no source can take the packets that are left of a protocol".into());
        }
        for (n, part) in apportion(packets, &weights).into_iter().enumerate() {
            extra[n][which] = part;
        }
    }
    let day_ticks = clock.last_tick(drafts[0].day) - clock.first_tick(drafts[0].day);
    for (steps, extra) in steps.iter_mut().zip(extra) {
        append(planning, clock, &mut rng, steps, extra)?;
        squeeze(steps, day_ticks)?;
    }
    Ok(())
}

/// Each protocol's packets that are not yet planned.
fn left(planning: &Planning<'_>, steps: &[Vec<Step>]) -> Result<[u64; PROTOCOLS], String> {
    let totals = &planning.study.totals;
    let packets = (totals.packets as f64 * planning.scale).round() as u64;
    let shares = apportion(packets, &[totals.tcp_percent, totals.udp_percent, totals.icmp_percent]);
    let mut planned =
        [0, planning.scaled(planning.study.own.dns_queries), planning.scaled(planning.study.own.refusals)];
    for step in steps.iter().flatten() {
        planned[protocol(step.target)] += u64::from(step.packets);
    }
    let mut left = [0; PROTOCOLS];
    for which in 0..PROTOCOLS {
        let missing = shares[which].checked_sub(planned[which]);
        left[which] = missing.ok_or_else(|| {
            format!("{} packets are fewer than the sources' {}", shares[which], planned[which])
        })?;
    }
    Ok(left)
}

/// Whether a step can be repeated: a talk is said once.
fn repeats(step: &Step, which: usize) -> bool {
    protocol(step.target) == which && !matches!(step.act, Act::Talk(_) | Act::Raw)
}

fn takes(draft: &Draft, steps: &[Step], which: usize) -> bool {
    let timed = draft.edge != Edge::None || matches!(draft.role, Role::Login(_) | Role::Contact(_));
    !timed && steps.iter().any(|s| repeats(s, which))
}

/// Further rounds over the steps of each protocol.
fn append(
    planning: &Planning<'_>,
    clock: &Clock,
    rng: &mut ChaCha8Rng,
    steps: &mut Vec<Step>,
    extra: [u64; PROTOCOLS],
) -> Result<(), String> {
    for (which, packets) in extra.into_iter().enumerate() {
        let again: Vec<usize> = (0..steps.len()).filter(|n| repeats(&steps[*n], which)).collect();
        for (place, n) in again.iter().enumerate() {
            let count =
                packets / again.len() as u64 + u64::from((place as u64) < packets % again.len() as u64);
            if count == 0 {
                continue;
            }
            let mut round = steps[*n].clone();
            round.answer_limit = planning.study.answers_per_probe.saturating_sub(round.packets);
            round.packets = u32::try_from(count).map_err(|_| "one source has billions of packets")?;
            let calm = if count < 50 { 8_000 } else { 400 };
            round.spacing = clock.ticks(rng.random_range(60..calm)) as u32;
            round.start = end(steps) + clock.ticks(rng.random_range(500..90_000));
            steps.push(round);
        }
    }
    Ok(())
}

/// The last tick in use.
fn end(steps: &[Step]) -> u64 {
    steps.last().map_or(0, |s| s.tick(s.packets - 1))
}

/// Shortens rounds that do not fit into one day: a flood is then simply faster.
fn squeeze(steps: &mut [Step], day_ticks: u64) -> Result<(), String> {
    if end(steps) < day_ticks {
        return Ok(());
    }
    let mut start = 0;
    for step in steps.iter_mut() {
        step.start = start;
        step.spacing = 1;
        start = step.tick(step.packets - 1) + 1;
    }
    match end(steps) < day_ticks {
        true => Ok(()),
        false => Err("one source has more packets than its day has room for".into()),
    }
}
