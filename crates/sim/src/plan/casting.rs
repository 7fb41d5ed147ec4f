//! Who comes in which month: table 1's rows, the cast, and then what fills the rest.
//!
//! Every month is a bag of sources: so many for each listed sequence, so many for others. The cast takes
//! its members out of the bags (an FTP login counts as one of the month's `21`), the remaining rows are
//! scans, and the remaining others go to [`rare`]. So table 1 holds exactly, whatever the cast.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::counts::{apportion, pick};
use super::{Draft, Edge, Planning, Role, rare};
use crate::clock::{DAY_US, Day};
use crate::study::{Contact, Month};
use crate::target::{Sequence, Target};

/// Table 1 lists eight sequences; no other may reach the count of the eighth.
const LISTED: usize = 8;
/// A member of the cast that finds its month full tries so many other days.
const TRIES: usize = 400;

/// One month's sources that are not placed yet.
pub(crate) struct Bag {
    first: Day,
    end: Day,
    /// Listed sequences: sources left, first day.
    rows: BTreeMap<Sequence, (u64, Day)>,
    /// Sources of no listed sequence that are left.
    pub others: u64,
    /// Sources that each sequence among the others has already.
    used: BTreeMap<Sequence, u64>,
    /// No sequence among the others has more.
    cap: u64,
}

impl Bag {
    fn new(month: &Month, sources: u64) -> Self {
        let mut cells: Vec<f64> = month.row.iter().map(|r| r.percent).collect();
        let listed: f64 = cells.iter().sum();
        cells.push((month.adds_to - listed).max(0.0));
        let counts = apportion(sources, &cells);
        let mut largest = counts[..month.row.len()].to_vec();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        let eighth = largest.iter().take(LISTED).next_back().copied().unwrap_or(u64::MAX);
        let (first, end) = (month.month.first, month.month.end);
        let rows = month.row.iter().zip(&counts);
        let row = |(r, n): (&crate::study::Row, &u64)| (r.sequence.clone(), (*n, r.from.unwrap_or(first)));
        Bag {
            first,
            end,
            rows: rows.map(row).collect(),
            others: counts[month.row.len()],
            used: BTreeMap::new(),
            cap: eighth.saturating_sub(1).max(1),
        }
    }

    fn holds(&self, day: Day) -> bool {
        self.first <= day && day < self.end
    }

    /// Takes one source of a sequence out of the bag, if there is one.
    pub fn take(&mut self, sequence: &Sequence) -> bool {
        if let Some((left, _)) = self.rows.get_mut(sequence) {
            let there = *left > 0;
            *left -= u64::from(there);
            return there;
        }
        let used = self.used.get(sequence).copied().unwrap_or(0);
        if self.others == 0 || used >= self.cap {
            return false;
        }
        self.others -= 1;
        self.used.insert(sequence.clone(), used + 1);
        true
    }

    /// Likewise, but only among the others.
    pub fn take_rare(&mut self, sequence: &Sequence) -> bool {
        !self.rows.contains_key(sequence) && self.take(sequence)
    }

    /// A day of the month.
    pub fn any_day(&self, rng: &mut ChaCha8Rng) -> Day {
        Day(rng.random_range(self.first.0..self.end.0))
    }
}

impl Draft {
    pub fn new(day: Day, sequence: Sequence, role: Role) -> Self {
        Draft {
            day,
            sequence,
            role,
            hosts: Vec::new(),
            ip: Ipv4Addr::UNSPECIFIED,
            place: None,
            system: 0,
            edge: Edge::None,
        }
    }
}

/// All sources, without hosts, addresses and packets.
pub(crate) fn cast(planning: &Planning<'_>) -> Result<Vec<Draft>, String> {
    let mut rng = planning.rng(1);
    let study = planning.study;
    let total = (f64::from(study.totals.sources) * planning.scale).round() as u64;
    if total == 0 {
        return Err("at this scale no source is left".into());
    }
    let weights: Vec<f64> = study.month.iter().map(|m| f64::from(m.sources)).collect();
    let sizes = apportion(total, &weights);
    let mut bags: Vec<Bag> = study.month.iter().zip(&sizes).map(|(m, n)| Bag::new(m, *n)).collect();
    let mut drafts = Vec::with_capacity(total as usize);
    contacts(planning, &mut rng, &mut bags, &mut drafts)?;
    focused_and_logins(planning, &mut rng, &mut bags, &mut drafts)?;
    backscatter(planning, &mut rng, &mut bags, &mut drafts)?;
    for bag in &mut bags {
        for (sequence, (left, from)) in &mut bag.rows {
            for _ in 0..std::mem::take(left) {
                let day = Day(rng.random_range(from.0.max(bag.first.0)..bag.end.0));
                drafts.push(Draft::new(day, sequence.clone(), Role::Scan));
            }
        }
    }
    rare::fill(planning, &mut bags, &mut drafts)?;
    Ok(drafts)
}

/// Places one member of the cast on some day from `from` to `to`.
fn place(
    rng: &mut ChaCha8Rng,
    bags: &mut [Bag],
    (from, to): (Day, Day),
    sequence: &Sequence,
    role: Role,
) -> Result<Draft, String> {
    for _ in 0..TRIES {
        let day = Day(rng.random_range(from.0..=to.0.max(from.0)));
        let Some(bag) = bags.iter_mut().find(|b| b.holds(day)) else { continue };
        if bag.take(sequence) {
            return Ok(Draft::new(day, sequence.clone(), role));
        }
    }
    Err(format!("no room for another source of {sequence} from {from} to {to}"))
}

/// The first precise source of an opened port on its day, and the later ones.
fn contacts(
    planning: &Planning<'_>,
    rng: &mut ChaCha8Rng,
    bags: &mut [Bag],
    drafts: &mut Vec<Draft>,
) -> Result<(), String> {
    let last = Day(bags.last().map_or(0, |b| b.end.0 - 1));
    for contact in &planning.study.contact {
        let host = planning.scenario.host_index(&contact.host).unwrap_or_default();
        let first = Day(opened(planning, contact)?.0 + contact.days as i32);
        let sequence = Sequence(vec![contact.port]);
        drafts.push(place(rng, bags, (first, first), &sequence, Role::Contact(host))?);
        for _ in 0..planning.scaled(contact.later) {
            drafts.push(place(rng, bags, (Day(first.0 + 1), last), &sequence, Role::Contact(host))?);
        }
    }
    Ok(())
}

/// The day at whose beginning a contact's port was opened.
fn opened(planning: &Planning<'_>, contact: &Contact) -> Result<Day, String> {
    let changes = planning.scenario.change.iter().filter(|c| c.host == contact.host);
    let at_us = changes.filter(|c| c.open.contains(&contact.port)).find_map(|c| c.at_us());
    match at_us {
        Some(at_us) if at_us % DAY_US == 0 => Ok(Day::at(at_us)),
        Some(_) => Err(format!("port {} is opened during a day: a contact needs midnight", contact.port)),
        None => Err(format!("no change opens port {} on {}", contact.port, contact.host)),
    }
}

fn focused_and_logins(
    planning: &Planning<'_>,
    rng: &mut ChaCha8Rng,
    bags: &mut [Bag],
    drafts: &mut Vec<Draft>,
) -> Result<(), String> {
    for focused in &planning.study.focused {
        let host = planning.scenario.host_index(&focused.host).unwrap_or_default();
        if !focused.sequence.0.iter().all(|t| planning.is_open(host, *t, focused.from)) {
            return Err(format!("{} is not open on {} on {}", focused.sequence, focused.host, focused.from));
        }
        for _ in 0..planning.scaled(focused.sources) {
            let span = (focused.from, focused.to);
            drafts.push(place(rng, bags, span, &focused.sequence, Role::Focused(host))?);
        }
    }
    let ftp = Sequence(vec![Target::Tcp(21)]);
    for (n, login) in planning.study.login.iter().enumerate() {
        let host = planning.scenario.host_index(&login.host).unwrap_or_default();
        if !planning.is_open(host, Target::Tcp(21), login.from) {
            return Err(format!("21 is not open on {} on {}, so nobody logs in", login.host, login.from));
        }
        for _ in 0..planning.scaled(login.sources) {
            drafts.push(place(rng, bags, (login.from, login.to), &ftp, Role::Login(n))?);
        }
    }
    Ok(())
}

fn backscatter(
    planning: &Planning<'_>,
    rng: &mut ChaCha8Rng,
    bags: &mut [Bag],
    drafts: &mut Vec<Draft>,
) -> Result<(), String> {
    let floods = &planning.study.backscatter.flood;
    let (first, last) = (bags[0].first, Day(bags[bags.len() - 1].end.0 - 1));
    for _ in 0..planning.scaled(planning.study.backscatter.sources) {
        let flood = &floods[pick(rng, floods.iter().map(|f| f.weight))];
        let sequence = &flood.sequences[rng.random_range(0..flood.sequences.len())];
        drafts.push(place(rng, bags, (first, last), sequence, Role::Backscatter(flood.response))?);
    }
    Ok(())
}
