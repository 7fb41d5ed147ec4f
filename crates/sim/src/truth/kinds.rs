//! What kind each source is (words.md, Kind of a source), and the questions that hang on it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Row, percent, ranked, tally};
use crate::clock::{DAY_US, rfc3339};
use crate::scenario::Scenario;
use crate::target::Sequence;

/// The kind of every row.
pub(super) fn of(scenario: &Scenario, rows: &[Row]) -> Vec<&'static str> {
    let hosts = scenario.host.len();
    let everywhere = rows.iter().filter(|r| r.hosts().len() == hosts);
    let known: BTreeSet<Sequence> = everywhere.map(Row::sequence).collect();
    let kind = |row: &Row| match row.hosts().len() {
        _ if hosts == 1 && row.is_backscatter() => "backscatter",
        _ if hosts == 1 => "single-host",
        reached if reached == hosts => "all-hosts",
        _ if known.contains(&row.sequence()) => "partial",
        _ if row.is_backscatter() => "backscatter",
        1 if knows_what_is_open(scenario, row) => "focused",
        _ => "other",
    };
    rows.iter().map(kind).collect()
}

/// Every port was open when it was first targeted, and there is one.
fn knows_what_is_open(scenario: &Scenario, row: &Row) -> bool {
    let mut ports = row.visits.iter().filter(|v| v.target.is_port()).peekable();
    ports.peek().is_some() && ports.all(|v| scenario.is_open(v.host, v.target, v.first_us))
}

pub(super) fn table(rows: &[Row], kinds: &[&'static str]) -> Vec<Value> {
    let reached: Vec<usize> = rows.iter().map(|r| r.hosts().len()).collect();
    let whole = tally(reached.iter().copied());
    let counts = tally(reached.iter().zip(kinds).map(|(hosts, kind)| (std::cmp::Reverse(*hosts), *kind)));
    let row = |((hosts, kind), sources): ((std::cmp::Reverse<usize>, &str), u64)| {
        let percent = percent(sources, whole[&hosts.0]);
        json!({ "hosts": hosts.0, "kind": kind, "sources": sources, "percent": percent })
    };
    counts.into_iter().map(row).collect()
}

pub(super) fn focused(scenario: &Scenario, rows: &[Row], kinds: &[&'static str]) -> Vec<Value> {
    let focused = rows.iter().zip(kinds).filter(|(_, kind)| **kind == "focused");
    let name = |row: &Row| scenario.host[usize::from(row.visits[0].host)].name.clone();
    let counts = tally(focused.map(|(row, _)| (name(row), row.sequence().to_string())));
    let row = |((host, sequence), sources)| json!({ "host": host, "sequence": sequence, "sources": sources });
    ranked(counts).into_iter().map(row).collect()
}

/// Figure 8: who came precisely for a port that a change opened.
pub(super) fn first_contact(scenario: &Scenario, rows: &[Row]) -> Vec<Value> {
    let changes = scenario.change.iter().filter_map(|c| Some((c.at_us()?, c)));
    let opened =
        changes.flat_map(|(at, c)| c.open.iter().map(move |port| (at, &c.host, port.to_string(), *port)));
    let mut opened: Vec<_> = opened.collect();
    opened.sort();
    let row = |(at, host, text, port): (i64, &String, String, crate::target::Target)| {
        let index = scenario.host_index(host);
        let precise = |r: &&Row| {
            let alone = r.hosts().iter().all(|h| Some(*h) == index);
            alone && r.sequence().0 == [port] && !r.is_backscatter() && r.first_us >= at
        };
        let hits: Vec<i64> = rows.iter().filter(precise).map(|r| r.first_us).collect();
        let first = hits.iter().min();
        json!({
            "host": host, "port": text, "opened": rfc3339(at),
            "first_hit": first.map(|t| rfc3339(*t)),
            "days": first.map(|t| (t - at) / DAY_US),
            "sources": hits.len(),
        })
    };
    opened.into_iter().map(row).collect()
}
