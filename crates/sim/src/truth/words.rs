//! What was said: requests to web servers, FTP commands and logins, from the planned talks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Row, percent};
use crate::plan::{Act, Plan};
use crate::study::Style;
use crate::talk::{Language, Talk};

/// Planned talks in a language, with the index of the row whose they are and of the day source.
fn talks<'a>(
    plan: &'a Plan,
    rows: &'a [Row],
    language: Language,
) -> impl Iterator<Item = (usize, usize, &'a Talk)> {
    let members = rows.iter().enumerate().flat_map(|(n, row)| row.members.iter().map(move |slot| (n, *slot)));
    members.flat_map(move |(n, slot)| {
        plan.sources[slot].steps.iter().filter_map(move |step| match &step.act {
            Act::Talk(talk) if talk.language == language => Some((n, slot, &**talk)),
            _ => None,
        })
    })
}

/// Times, and the sources that did it.
type Count = (u64, BTreeSet<usize>);

fn rows<K: Ord + Clone>(counts: BTreeMap<K, Count>) -> Vec<(K, u64, usize)> {
    let mut rows: Vec<_> = counts.into_iter().map(|(key, (times, who))| (key, times, who.len())).collect();
    rows.sort_by_key(|(_, times, _)| std::cmp::Reverse(*times));
    rows
}

fn count<K: Ord>(counts: &mut BTreeMap<K, Count>, key: K, who: usize) {
    let (times, sources) = counts.entry(key).or_default();
    *times += 1;
    sources.insert(who);
}

pub(super) fn ftp_commands(plan: &Plan, sources: &[Row]) -> Vec<Value> {
    let mut counts = BTreeMap::new();
    for (who, _, talk) in talks(plan, sources, Language::Ftp) {
        for (said, _) in &talk.lines {
            let line = String::from_utf8_lossy(said).trim_end().to_owned();
            let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
            count(&mut counts, (command.to_uppercase(), argument.to_owned()), who);
        }
    }
    let total = counts.values().map(|(times, _)| times).sum();
    let row = |((command, argument), times, sources)| {
        json!({
            "command": command, "argument": argument, "times": times,
            "sources": sources, "percent": percent(times, total),
        })
    };
    rows(counts).into_iter().map(row).collect()
}

pub(super) fn logins(plan: &Plan, sources: &[Row]) -> Vec<Value> {
    let mut counts = BTreeMap::new();
    for (who, _, talk) in talks(plan, sources, Language::Ftp) {
        let style = match talk.style {
            Some(Style::Hand) => "hand",
            Some(Style::Dictionary) => "dictionary",
            _ => "robot",
        };
        for (user, password) in &talk.logins {
            count(&mut counts, (user.clone(), password.clone(), style), who);
        }
    }
    let row = |((user, password, style), times, sources)| {
        json!({
            "service": "ftp", "user": user, "password": password,
            "times": times, "sources": sources, "style": style,
        })
    };
    rows(counts).into_iter().map(row).collect()
}

/// Method and target up to `?`, month by month; percent of the month's requests.
pub(super) fn http_requests(plan: &Plan, sources: &[Row]) -> Vec<Value> {
    let mut months: BTreeMap<String, BTreeMap<String, Count>> = BTreeMap::new();
    for (who, slot, talk) in talks(plan, sources, Language::Http) {
        // A talk stays within its day, so the month of the request is the day's.
        let counts = months.entry(plan.sources[slot].day.month()).or_default();
        for (said, _) in &talk.lines {
            let line = String::from_utf8_lossy(said);
            let mut words = line.split([' ', '\r']);
            let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let path = target.split('?').next().unwrap_or_default();
            count(counts, format!("{method} {path}"), who);
        }
    }
    let mut table = Vec::new();
    for (month, counts) in months {
        let total = counts.values().map(|(times, _)| times).sum();
        table.extend(rows(counts).into_iter().map(|(request, requests, sources)| {
            json!({
                "month": month, "request": request, "requests": requests,
                "percent": percent(requests, total), "sources": sources,
            })
        }));
    }
    table
}
