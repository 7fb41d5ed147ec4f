//! Where attackers sit, when they strike, what they run: figures 2 to 4, and the processes of 5.3.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Row, percent, ranked, tally};
use crate::clock::{local_hour, rfc3339};
use crate::plan::{Act, Plan};
use crate::scenario::Scenario;
use crate::study::{Place, Study};

/// What our own fingerprint database is called.
const TOOL: &str = "trapline";
/// What a fingerprint database says of a signature that it does not have.
const UNKNOWN: &str = "unknown";

fn place<'a>(study: &'a Study, row: &Row) -> Option<&'a Place> {
    row.place.map(|n| &study.place[usize::from(n)])
}

/// Each month's countries; `??` where no database has the address.
pub(super) fn countries(study: &Study, rows: &[Row]) -> Vec<Value> {
    let mut months: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for row in rows {
        let country = place(study, row).map_or(Place::UNKNOWN, |p| &p.country);
        months.entry(row.day().month()).or_default().push(country);
    }
    let mut table = Vec::new();
    for (month, countries) in months {
        let total = countries.len() as u64;
        table.extend(ranked(tally(countries)).into_iter().map(|(country, sources)| {
            json!({ "month": month, "country": country, "sources": sources, "percent": percent(sources, total) })
        }));
    }
    table
}

/// The local hour of each source's first packet; percent of its place's sources. Hours without sources have no row, nor
/// have places whose clock nobody knows.
pub(super) fn local_hours(study: &Study, rows: &[Row]) -> Vec<Value> {
    let hour = |row: &Row| {
        let place = place(study, row)?;
        Some((place.name(), local_hour(row.first_us, place.time_zone?)))
    };
    let hours: Vec<(String, usize)> = rows.iter().filter_map(hour).collect();
    let places = tally(hours.iter().map(|(place, _)| place.clone()));
    let row = |((place, hour), sources): ((String, usize), u64)| {
        let percent = percent(sources, places[&place]);
        json!({ "place": place, "hour": hour, "sources": sources, "percent": percent })
    };
    tally(hours).into_iter().map(row).collect()
}

/// What addresses that sent a SYN run, as our own database names it; percent of these addresses.
pub(super) fn os(scenario: &Scenario, plan: &Plan) -> Vec<Value> {
    let systems = scenario.systems();
    let knocks = |act: &Act| matches!(act, Act::Knock { .. } | Act::Talk(_));
    let seen = plan.sources.iter().filter(|s| s.steps.iter().any(|step| knocks(&step.act)));
    let label = |system: u8| systems[usize::from(system)].label.as_deref().unwrap_or(UNKNOWN);
    let labels: BTreeSet<_> = seen.map(|s| (s.ip, label(s.system))).collect();
    let total = labels.len() as u64;
    let row = |(os, ips): (&str, u64)| json!({ "tool": TOOL, "os": os, "ips": ips, "percent": percent(ips, total) });
    ranked(tally(labels.iter().map(|(_, label)| *label))).into_iter().map(row).collect()
}

/// The worms that have a name, by their sequences; percent of all sources.
pub(super) fn processes(study: &Study, rows: &[Row]) -> Vec<Value> {
    let process = |worm: &crate::study::Worm| {
        let name = worm.process.clone()?;
        let of: Vec<&Row> = rows.iter().filter(|r| r.sequence() == worm.sequence).collect();
        let first = of.iter().map(|r| r.first_us).min()?;
        let last = of.iter().map(|r| r.last_us).max()?;
        Some((of.len() as u64, name, first, last))
    };
    let mut processes: Vec<_> = study.worm.iter().filter_map(process).collect();
    processes.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let row = |(sources, process, first, last)| {
        json!({
            "process": process, "sources": sources, "percent": percent(sources, rows.len() as u64),
            "first_seen": rfc3339(first), "last_seen": rfc3339(last),
        })
    };
    processes.into_iter().map(row).collect()
}
