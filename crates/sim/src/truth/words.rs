//! What was said: FTP commands and logins, from the planned talks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::percent;
use crate::plan::{Act, Plan};
use crate::study::Style;
use crate::talk::Talk;

/// Planned FTP talks with the index of their source.
fn talks(plan: &Plan) -> impl Iterator<Item = (usize, &Talk)> {
    plan.sources.iter().enumerate().flat_map(|(n, source)| {
        source.steps.iter().filter_map(move |step| match &step.act {
            Act::Talk(talk) if talk.style.is_some() => Some((n, &**talk)),
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

pub(super) fn ftp_commands(plan: &Plan) -> Vec<Value> {
    let mut counts = BTreeMap::new();
    for (who, talk) in talks(plan) {
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

pub(super) fn logins(plan: &Plan) -> Vec<Value> {
    let mut counts = BTreeMap::new();
    for (who, talk) in talks(plan) {
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
