//! The truth as planned: what each question must answer of a study, computed from the plan alone.
//!
//! A small arithmetic over planned sources, written from the definitions and sharing nothing with the
//! product's own intake or SQL: when both arrive at the same numbers, that says something. Rows have the
//! columns and the order that the questions declare.

mod answers;
mod attackers;
mod kinds;
mod words;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use crate::clock::Day;
use crate::plan::{Act, Plan, Source};
use crate::scenario::Scenario;
use crate::study::Response;
use crate::target::{Sequence, Target};

/// Leurre.com's rule: a source ends when more than this passes between two packets.
const GAP_US: i64 = 25 * 3_600_000_000;

/// The text of `truth.json`: an object with `day` and `gap`, each question's rows by its name.
pub fn text(scenario: &Scenario, plan: &Plan, scale: f64, seed: u64) -> String {
    let value = json!({
        "scenario": scenario.name,
        "scale": scale,
        "seed": seed,
        "day": answers(scenario, plan, Rule::Day),
        "gap": answers(scenario, plan, Rule::Gap),
    });
    // One row on a line: short enough to read, and a diff names the row.
    let mut out = String::from("{\n");
    for (key, value) in value.as_object().into_iter().flatten() {
        let comma = if key == "gap" { "" } else { "," };
        match value.as_object() {
            None => out.push_str(&format!("\"{key}\": {value},\n")),
            Some(questions) => out.push_str(&format!("\"{key}\": {{\n{}\n}}{comma}\n", lines(questions))),
        }
    }
    out.push_str("}\n");
    out
}

fn lines(questions: &Map<String, Value>) -> String {
    let question = |(name, rows): (&String, &Value)| {
        let rows: Vec<String> = rows.as_array().into_iter().flatten().map(Value::to_string).collect();
        if rows.is_empty() {
            format!("\"{name}\": []")
        } else {
            format!("\"{name}\": [\n{}\n]", rows.join(",\n"))
        }
    };
    questions.iter().map(question).collect::<Vec<_>>().join(",\n")
}

/// What makes a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// One address on one UTC day.
    Day,
    /// One address until more than 25 hours pass.
    Gap,
}

/// All questions' rows under a rule, by name.
pub fn answers(scenario: &Scenario, plan: &Plan, rule: Rule) -> Map<String, Value> {
    let days = day_rows(plan);
    let rows = match rule {
        Rule::Day => days.clone(),
        Rule::Gap => gap_rows(&days),
    };
    let kinds = kinds::of(scenario, &rows);
    let mut all = Map::new();
    let mut put = |name: &str, rows: Vec<Value>| all.insert(name.to_owned(), Value::Array(rows));
    put("overview", answers::overview(scenario, plan, &rows));
    put("sources-per-month", answers::sources_per_month(&rows));
    put("hosts-reached", answers::hosts_reached(&rows));
    put("returning-ips", answers::returning_ips(&days, &rows));
    put("ports", answers::ports(&rows));
    put("sequences", answers::sequences(&rows));
    put("kinds", kinds::table(&rows, &kinds));
    put("host-order", answers::host_order(scenario, &rows));
    put("backscatter", answers::backscatter(&rows));
    put("focused", kinds::focused(scenario, &rows, &kinds));
    put("first-contact", kinds::first_contact(scenario, &rows));
    put("sequence-orders", answers::sequence_orders(&rows));
    put("ftp-commands", words::ftp_commands(plan, &rows));
    put("logins", words::logins(plan, &rows));
    put("http-requests", words::http_requests(plan, &rows));
    if let Some(study) = &scenario.study {
        put("countries", attackers::countries(study, &rows));
        put("local-hours", attackers::local_hours(study, &rows));
        put("processes", attackers::processes(study, &rows));
    }
    put("os", attackers::os(scenario, plan));
    all
}

/// One source under some rule.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    ip: Ipv4Addr,
    first_us: i64,
    last_us: i64,
    /// Index of its address's place.
    place: Option<u16>,
    /// The planned day sources that it is made of.
    members: Vec<usize>,
    /// Each host and target once, in order of first packets.
    visits: Vec<Visit>,
}

/// What one source sent to one target of one host.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    host: u8,
    target: Target,
    first_us: i64,
    packets: u64,
    response: Option<Response>,
}

impl Row {
    fn day(&self) -> Day {
        Day::at(self.first_us)
    }

    fn sequence(&self) -> Sequence {
        Sequence::of(self.visits.iter().map(|v| v.target))
    }

    /// The session's own sequence.
    fn session(&self, host: u8) -> Sequence {
        Sequence::of(self.visits.iter().filter(|v| v.host == host).map(|v| v.target))
    }

    /// Hosts in order of first packets.
    fn hosts(&self) -> Vec<u8> {
        let mut hosts = Vec::new();
        for visit in &self.visits {
            if !hosts.contains(&visit.host) {
                hosts.push(visit.host);
            }
        }
        hosts
    }

    fn is_backscatter(&self) -> bool {
        self.visits.iter().all(|v| v.response.is_some())
    }

    fn add(&mut self, visit: Visit) {
        let same =
            |v: &&mut Visit| (v.host, v.target, v.response) == (visit.host, visit.target, visit.response);
        match self.visits.iter_mut().find(same) {
            Some(known) => known.packets += visit.packets,
            None => self.visits.push(visit),
        }
    }
}

/// Day sources by address and day.
pub(crate) fn day_rows(plan: &Plan) -> Vec<Row> {
    let row = |(slot, source): (usize, &Source)| {
        let time = |tick| plan.clock.time_us(slot as u32, tick);
        let last = source.steps.last().map_or(0, |s| s.tick(s.packets - 1));
        let first_us = time(source.steps[0].start);
        let (place, members) = (source.place, vec![slot]);
        let mut row =
            Row { ip: source.ip, first_us, last_us: time(last), place, members, visits: Vec::new() };
        for step in &source.steps {
            let response = if let Act::Answer(response) = step.act { Some(response) } else { None };
            let (host, target, packets) = (step.host, step.target, u64::from(step.packets));
            row.add(Visit { host, target, first_us: time(step.start), packets, response });
        }
        row
    };
    let mut rows: Vec<Row> = plan.sources.iter().enumerate().map(row).collect();
    rows.sort_by_key(|r| (r.ip, r.first_us));
    rows
}

/// Gap sources: day sources of one address joined where no more than 25 hours lie between.
fn gap_rows(days: &[Row]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::with_capacity(days.len());
    for day in days {
        match rows.last_mut() {
            Some(open) if open.ip == day.ip && day.first_us - open.last_us <= GAP_US => {
                open.last_us = day.last_us;
                open.members.extend(&day.members);
                day.visits.iter().for_each(|v| open.add(v.clone()));
            }
            _ => rows.push(day.clone()),
        }
    }
    rows
}

/// How often each key comes.
pub(crate) fn tally<K: Ord>(keys: impl IntoIterator<Item = K>) -> BTreeMap<K, u64> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

/// Largest count first; equal ones in the order of their keys.
pub(crate) fn ranked<K: Ord>(counts: BTreeMap<K, u64>) -> Vec<(K, u64)> {
    let mut ranked: Vec<(K, u64)> = counts.into_iter().collect();
    ranked.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    ranked
}

pub(crate) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}
