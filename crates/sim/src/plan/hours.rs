//! Sources strike by their own clock: moves those that are free in time within their day, so that the local hours of
//! each place come out as its curve says.
//!
//! A source keeps its day, its steps and the distances between its packets; only its beginning moves. Whoever stays
//! where it is (crossers, returning addresses, first contacts) counts for its hour all the same.

use chrono_tz::Tz;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::counts::{apportion, pick};
use super::{Planning, Source};
use crate::clock::{Clock, Day, hour_of_day, local_hour, local_offset_us};

/// All zones of our time are whole quarters of an hour from UTC, and their clocks change on such a quarter.
const QUARTER_US: i64 = 15 * 60 * 1_000_000;
/// Quarters in a day.
const QUARTERS: usize = 96;

/// Moves the free sources.
pub(crate) fn follow(planning: &Planning<'_>, clock: &Clock, sources: &mut [Source], free: &[bool]) {
    let mut rng = planning.rng(10);
    for (n, place) in planning.study.place.iter().enumerate() {
        let Some((zone, curve)) = place.time_zone.zip(planning.study.curve(place)) else { continue };
        let (mut movable, fixed): (Vec<usize>, Vec<usize>) = (0..sources.len())
            .filter(|slot| sources[*slot].place == Some(n as u16))
            .partition(|slot| free[*slot]);
        let mut left = apportion((movable.len() + fixed.len()) as u64, curve);
        for slot in fixed {
            let time_us = clock.time_us(slot as u32, sources[slot].steps[0].start);
            let left = &mut left[local_hour(time_us, zone)];
            *left = left.saturating_sub(1);
        }
        // The longest have the fewest hours to begin in, so they choose first.
        movable.sort_by_cached_key(|slot| std::cmp::Reverse(sources[*slot].length()));
        for slot in movable {
            let quarters = quarters(clock, zone, slot as u32, &sources[slot]);
            begin(&mut rng, &mut sources[slot], &quarters, &mut left, curve);
        }
    }
}

/// A stretch of ticks in which the source may begin, and the local hour in which it lies.
struct Quarter {
    hour: usize,
    first: u64,
    last: u64,
}

/// The quarters of its day in which a source can begin and still end in time.
fn quarters(clock: &Clock, zone: Tz, slot: u32, source: &Source) -> Vec<Quarter> {
    let first = clock.first_tick(source.day);
    let latest = clock.last_tick(source.day).saturating_sub(source.length()).max(first);
    // The first tick at or after a time.
    let tick = |time_us: i64| ((time_us - i64::from(slot)) as u64).div_ceil(clock.tick_us as u64);
    let hours = hours(zone, source.day);
    let quarter = |n: usize| {
        let start_us = source.day.start_us() + n as i64 * QUARTER_US;
        let (from, until) = (tick(start_us).max(first), tick(start_us + QUARTER_US));
        Quarter { hour: hours[n], first: from, last: until.saturating_sub(1).min(latest) }
    };
    (0..QUARTERS).map(quarter).filter(|q| q.first <= q.last).collect()
}

/// The local hour of every quarter of a UTC day.
fn hours(zone: Tz, day: Day) -> [usize; QUARTERS] {
    let time = |n: usize| day.start_us() + n as i64 * QUARTER_US;
    let offset_us = local_offset_us(time(0), zone);
    if local_offset_us(time(QUARTERS - 1), zone) == offset_us {
        return std::array::from_fn(|n| hour_of_day(time(n) + offset_us));
    }
    std::array::from_fn(|n| local_hour(time(n), zone))
}

/// Moves one source into an hour of which most is left, or else into one that its curve likes.
fn begin(rng: &mut ChaCha8Rng, source: &mut Source, quarters: &[Quarter], left: &mut [u64], curve: &[f64]) {
    let wanted = quarters.iter().any(|q| left[q.hour] > 0);
    let liked = quarters.iter().any(|q| curve[q.hour] > 0.0);
    let weight = |q: &Quarter| match (wanted, liked) {
        (true, _) => left[q.hour] as f64,
        (false, true) => curve[q.hour],
        (false, false) => 1.0,
    };
    let Some(quarter) = quarters.get(pick(rng, quarters.iter().map(weight))) else { return };
    let start = rng.random_range(quarter.first..=quarter.last);
    let before = source.steps[0].start;
    source.steps.iter_mut().for_each(|s| s.start = s.start - before + start);
    left[quarter.hour] = left[quarter.hour].saturating_sub(1);
}
