//! Counting questions: one function each, in the order of the paper.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Row, percent, ranked, tally};
use crate::clock::Day;
use crate::plan::{Own, Plan};
use crate::scenario::Scenario;
use crate::study::Response;
use crate::target::{Sequence, Target};

/// Rows of table 1 in each month.
const TOP: usize = 8;

pub(super) fn overview(scenario: &Scenario, plan: &Plan, rows: &[Row]) -> Vec<Value> {
    let mut by_protocol = [0u64; 4];
    for step in plan.sources.iter().flat_map(|s| &s.steps) {
        by_protocol[protocol(step.target)] += u64::from(step.packets);
    }
    for own in &plan.own {
        by_protocol[if matches!(own, Own::Query { .. }) { 1 } else { 2 }] += 1;
    }
    let packets: u64 = by_protocol.iter().sum();
    let share = by_protocol.map(|n| percent(n, packets));
    let first = rows.iter().map(|r| r.first_us).min().unwrap_or_default();
    let last = rows.iter().map(|r| r.last_us).max().unwrap_or_default();
    let ports: BTreeSet<Target> = rows.iter().flat_map(|r| &r.visits).map(|v| v.target).collect();
    vec![json!({
        "first_day": Day::at(first).to_string(),
        "last_day": Day::at(last).to_string(),
        "platforms": 1,
        "hosts": scenario.host.len(),
        "packets": packets,
        "replies": plan.own.len(),
        "tcp_percent": share[0],
        "udp_percent": share[1],
        "icmp_percent": share[2],
        "other_percent": share[3],
        "sources": rows.len(),
        "ips": rows.iter().map(|r| r.ip).collect::<BTreeSet<_>>().len(),
        "ports": ports.iter().filter(|t| t.is_port()).count(),
        "sequences": rows.iter().map(Row::sequence).collect::<BTreeSet<_>>().len(),
    })]
}

fn protocol(target: Target) -> usize {
    match target {
        Target::Tcp(_) => 0,
        Target::Udp(_) => 1,
        Target::Icmp => 2,
        Target::Proto(_) => 3,
    }
}

pub(super) fn sources_per_month(rows: &[Row]) -> Vec<Value> {
    let months = tally(rows.iter().map(|r| r.day().month()));
    months.into_iter().map(|(month, sources)| json!({ "month": month, "sources": sources })).collect()
}

pub(super) fn hosts_reached(rows: &[Row]) -> Vec<Value> {
    let counts = tally(rows.iter().map(|r| r.hosts().len()));
    let row = |(hosts, sources): (usize, u64)| json!({ "hosts": hosts, "sources": sources, "percent": percent(sources, rows.len() as u64) });
    counts.into_iter().rev().map(row).collect()
}

pub(super) fn returning_ips(days: &[Row], rows: &[Row]) -> Vec<Value> {
    let mut sequences: BTreeMap<_, BTreeSet<Sequence>> = BTreeMap::new();
    for row in rows {
        sequences.entry(row.ip).or_default().insert(row.sequence());
    }
    let mut seen: BTreeMap<_, Vec<Day>> = BTreeMap::new();
    for row in days {
        seen.entry(row.ip).or_default().push(row.day());
    }
    let mut back: Vec<_> = seen.into_iter().filter(|(_, days)| days.len() > 1).collect();
    back.sort_by_key(|(ip, days)| (std::cmp::Reverse(days.len()), ip.to_string()));
    let row = |(ip, days): (std::net::Ipv4Addr, Vec<Day>)| {
        json!({
            "ip": ip.to_string(),
            "days": days.len(),
            "first_day": days[0].to_string(),
            "last_day": days[days.len() - 1].to_string(),
            "sequences": sequences[&ip].len(),
        })
    };
    back.into_iter().map(row).collect()
}

pub(super) fn ports(rows: &[Row]) -> Vec<Value> {
    let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for row in rows {
        let mut seen = BTreeSet::new();
        for visit in row.visits.iter().filter(|v| v.target.is_port()) {
            let (sources, packets) = counts.entry(visit.target.to_string()).or_default();
            *sources += u64::from(seen.insert(visit.target));
            *packets += visit.packets;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, (sources, _))| std::cmp::Reverse(*sources));
    let row = |(port, (sources, packets)): (String, (u64, u64))| json!({ "port": port, "sources": sources, "packets": packets });
    counts.into_iter().map(row).collect()
}

/// Table 1.
pub(super) fn sequences(rows: &[Row]) -> Vec<Value> {
    let mut months: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        months.entry(row.day().month()).or_default().push(row.sequence().to_string());
    }
    let mut table = Vec::new();
    for (month, sequences) in months {
        let total = sequences.len() as u64;
        let ranked = ranked(tally(sequences));
        let (top, others) = ranked.split_at(ranked.len().min(TOP));
        for (n, (sequence, sources)) in top.iter().enumerate() {
            table.push(json!({
                "month": month, "rank": n + 1, "sequence": sequence,
                "sources": sources, "percent": percent(*sources, total), "distinct": 1,
            }));
        }
        let rest: u64 = others.iter().map(|(_, n)| n).sum();
        table.push(json!({
            "month": month, "rank": null, "sequence": "others",
            "sources": rest, "percent": percent(rest, total), "distinct": others.len(),
        }));
    }
    table
}

pub(super) fn host_order(scenario: &Scenario, rows: &[Row]) -> Vec<Value> {
    let mut orders: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for row in rows {
        let hosts = row.hosts();
        if hosts.len() == scenario.host.len() {
            let names: Vec<&str> =
                hosts.iter().map(|h| scenario.host[usize::from(*h)].name.as_str()).collect();
            let first = row.session(hosts[0]);
            let same = hosts.iter().all(|h| row.session(*h) == first);
            let (sources, alike) = orders.entry(names.join(">")).or_default();
            *sources += 1;
            *alike += u64::from(same);
        }
    }
    let total = orders.values().map(|(n, _)| n).sum();
    let mut orders: Vec<_> = orders.into_iter().collect();
    orders.sort_by_key(|(_, (n, _))| std::cmp::Reverse(*n));
    let row = |(order, (sources, same)): (String, (u64, u64))| {
        json!({
            "order": order, "sources": sources, "percent": percent(sources, total),
            "same_sequence_percent": percent(same, sources),
        })
    };
    orders.into_iter().map(row).collect()
}

/// One row for each kind of response; its two columns of free names are left out.
pub(super) fn backscatter(rows: &[Row]) -> Vec<Value> {
    let mut counts: BTreeMap<Response, (u64, u64, BTreeSet<Target>)> = BTreeMap::new();
    for row in rows {
        let mut seen = BTreeSet::new();
        for visit in &row.visits {
            let Some(response) = visit.response else { continue };
            let (packets, sources, ports) = counts.entry(response).or_default();
            *packets += visit.packets;
            *sources += u64::from(seen.insert(response));
            ports.extend(Some(visit.target).filter(|t| t.is_port()));
        }
    }
    let mut counts: Vec<_> = counts.into_values().map(|(p, s, ports)| (p, s, ports.len())).collect();
    counts.sort_by(|a, b| b.cmp(a));
    let row = |(packets, sources, ports)| json!({ "packets": packets, "sources": sources, "ports": ports });
    counts.into_iter().map(row).collect()
}

pub(super) fn sequence_orders(rows: &[Row]) -> Vec<Value> {
    let mut sets: BTreeMap<String, (u64, BTreeSet<String>)> = BTreeMap::new();
    for sequence in rows.iter().map(Row::sequence) {
        if sequence.0.iter().all(|t| t.is_port()) {
            let mut sorted = sequence.clone();
            sorted.0.sort_by_key(|t| match t {
                Target::Tcp(port) => (*port, false),
                Target::Udp(port) => (*port, true),
                _ => (0, false),
            });
            let (sources, orders) = sets.entry(sorted.to_string()).or_default();
            *sources += 1;
            orders.insert(sequence.to_string());
        }
    }
    let mut sets: Vec<_> = sets.into_iter().filter(|(_, (_, orders))| orders.len() > 1).collect();
    sets.sort_by_key(|(_, (sources, _))| std::cmp::Reverse(*sources));
    let row = |(ports, (sources, sequences)): (String, (u64, BTreeSet<String>))| json!({ "ports": ports, "orders": sequences.len(), "sources": sources, "sequences": sequences });
    sets.into_iter().map(row).collect()
}
