//! What an ingest has to read: only the new captures, or earlier days again.
//!
//! Captures that begin after everything known go on from the remembered state. One that arrives late makes
//! its days and the following ones be read again from the captures that `captures` knows, from the state at the
//! end of an earlier day until a day's end finds the same state as before: from there on nothing can differ.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{Int16Type, Int64Type, TimestampMicrosecondType};
use trapline_intake::platform::{Host, Opening, Platform, Port};
use trapline_intake::rows::{Day, day_of};
use trapline_intake::survey::Survey;
use trapline_intake::{DAY_NS, Input, open, survey};

use crate::commits::{Snapshot, read_file};
use crate::delta::{DataFile, Files};
use crate::schema::{
    CAPTURES, FINGERPRINTS, HOSTS, OPENINGS, PLACES, PROBES, REPLIES, REQUESTS, RESPONSES, SESSIONS, SOURCES,
    STATE, Table,
};
use crate::{Data, StoreError};

/// The tables that hold one file for each platform and day.
pub const DAY_TABLES: [&Table; 8] =
    [&PROBES, &RESPONSES, &REPLIES, &SESSIONS, &SOURCES, &REQUESTS, &FINGERPRINTS, &PLACES];

/// A capture that was taken in before.
#[derive(Clone, Debug)]
pub struct Known {
    /// Hash of its content, hexadecimal.
    pub hash: String,
    /// Where it was read from.
    pub place: String,
    /// Whether it can be read there again.
    pub kept: bool,
    /// Earliest and latest packet, in nanoseconds (to the microsecond).
    pub span: Option<(i64, i64)>,
}

/// What is stored of one platform.
#[derive(Debug, Default)]
pub struct Stored {
    /// The platform as it was at the last commit; `None` where it is new.
    pub platform: Option<Platform>,
    /// Its captures.
    pub captures: Vec<Known>,
    /// Data files of every table.
    pub files: HashMap<&'static str, Files>,
    /// Time of the last packet in nanoseconds, and the state after it.
    pub head: Option<(i64, Vec<u8>)>,
    /// State at the end of days, as files.
    boundaries: BTreeMap<Day, DataFile>,
}

impl Stored {
    /// Reads what `snapshot` holds of `platform`.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn read(snapshot: Option<&Snapshot>, platform: &str) -> Result<Stored, StoreError> {
        let Some(snapshot) = snapshot else { return Ok(Stored::default()) };
        let mut stored = Stored::default();
        for table in DAY_TABLES.into_iter().chain([&HOSTS, &OPENINGS, &CAPTURES, &STATE]) {
            stored.files.insert(table.name, snapshot.files(table).await?);
        }
        stored.platform = read_platform(&snapshot.data, &stored.files, platform).await?;
        stored.captures = read_captures(&snapshot.data, &stored.files["captures"], platform).await?;
        let of_platform = |file: &&DataFile| file.partition.as_ref().is_some_and(|(p, _)| p == platform);
        for file in stored.files["state"].0.values().filter(of_platform) {
            let day = file.partition.as_ref().expect("filtered").1;
            stored.boundaries.insert(day, file.clone());
        }
        if let Some((_, newest)) = stored.boundaries.pop_last() {
            let (head, at, state) = read_state(&snapshot.data, &newest.path).await?;
            if head {
                stored.head = Some((at, state));
            }
        }
        Ok(stored)
    }

    /// The state at the end of a day, where it is still kept.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub async fn boundary(&self, data: &Data, day: Day) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(file) = self.boundaries.get(&day) else { return Ok(None) };
        Ok(Some(read_state(data, &file.path).await?.2))
    }

    /// Hosts of `platform` that another platform has already, as findings: somebody forgot to name the platform.
    ///
    /// # Errors
    /// When the hosts cannot be read.
    pub async fn known_elsewhere(&self, data: &Data, platform: &Platform) -> Result<Vec<String>, StoreError> {
        let ours = platform.index_by_name();
        let mut findings = Vec::new();
        for path in self.files.get(HOSTS.name).into_iter().flat_map(|files| files.0.keys()) {
            let rows = read_file(data, &HOSTS, path).await?;
            let text = |column: usize, row: usize| rows.column(column).as_string::<i32>().value(row);
            let taken = (0..rows.num_rows()).filter(|row| {
                text(0, *row) != platform.name && text(2, *row).parse().is_ok_and(|a| ours.contains_key(&a))
            });
            findings.extend(taken.map(|row| {
                let (other, host, address) = (text(0, row), text(1, row), text(2, row));
                format!("{address} is host {host} of platform {other} already; to add to that one: --platform-name {other}")
            }));
        }
        Ok(findings)
    }

    /// Days whose end state is kept.
    pub fn boundary_days(&self) -> impl DoubleEndedIterator<Item = Day> + '_ {
        self.boundaries.keys().copied()
    }

    /// The stored file of a table for one platform and day.
    pub fn day_file(&self, table: &'static Table, platform: &str, day: Day) -> Option<&DataFile> {
        let files = self.files.get(table.name)?;
        files.0.values().find(|f| f.partition.as_ref().is_some_and(|(p, d)| p == platform && *d == day))
    }
}

/// How to read.
#[derive(Debug, Default)]
pub struct Plan {
    /// Captures to read: the new ones first, then earlier ones again.
    pub surveys: Vec<Survey>,
    /// How many of them are new.
    pub new: usize,
    /// Packets before this time are not looked at.
    pub from: i64,
    /// The state to begin with.
    pub state: Option<Vec<u8>>,
    /// Days from here on are made anew; earlier ones are added to, or left alone when `None`.
    pub replace_from: Option<Day>,
    /// Whether reading may end at a day whose end state is as it was.
    pub until_same: Option<Day>,
    /// Whether the state found at the end is the platform's state.
    pub keeps_state: bool,
    /// What could not be done as it should.
    pub findings: Vec<String>,
}

/// Plans the reading of `new` captures for `platform`, which replaces what `stored` knows of it.
///
/// # Errors
/// When stored state cannot be read.
pub async fn plan(
    data: &Data,
    stored: &Stored,
    platform: &Platform,
    new: Vec<Survey>,
) -> Result<Plan, StoreError> {
    let changed = stored.platform.as_ref().is_some_and(|old| old.index_by_name() != platform.index_by_name());
    let first = new.iter().filter_map(|s| s.span.map(|s| s.0)).min();
    let Some(head) = &stored.head else {
        return Ok(Plan {
            new: new.len(),
            surveys: new,
            from: i64::MIN,
            keeps_state: true,
            ..Plan::default()
        });
    };
    let in_order = first.is_none_or(|first| first > head.0);
    if !changed && in_order {
        let state = Some(head.1.clone());
        return Ok(Plan {
            new: new.len(),
            surveys: new,
            from: i64::MIN,
            state,
            keeps_state: true,
            ..Plan::default()
        });
    }
    let late_day = if changed { Day::MIN } else { day_of(first.unwrap_or(i64::MIN)) };
    // An answer after midnight belongs to the probe of the day before, so that day is made anew too.
    let replace_from = late_day.saturating_sub(1);
    let base = stored.boundary_days().rfind(|day| !changed && *day < replace_from);
    let from = base.map_or(i64::MIN, |day| (i64::from(day) + 1) * DAY_NS);
    let mut findings = Vec::new();
    let again = survey_again(stored, from, &mut findings).await;
    if !findings.is_empty() {
        findings.push(if changed {
            "the hosts changed and not every capture could be counted anew: its rows are as they were counted before".into()
        } else {
            "late captures were counted by themselves; conversations that they share with captures that cannot be read any more are not joined".into()
        });
        return additive(data, stored, new, late_day, findings).await;
    }
    let last = new.iter().filter_map(|s| s.span.map(|s| s.1)).max().map(day_of);
    let state = match base {
        Some(day) => stored.boundary(data, day).await?,
        None => None,
    };
    Ok(Plan {
        new: new.len(),
        surveys: new.into_iter().chain(again).collect(),
        from,
        state,
        replace_from: Some(if changed { Day::MIN } else { replace_from }),
        until_same: if changed { None } else { last },
        keeps_state: true,
        findings,
    })
}

/// Earlier captures are gone: the late ones are counted by themselves and added, which is exact but for
/// conversations that run through both. Better that than losing either.
async fn additive(
    data: &Data,
    stored: &Stored,
    new: Vec<Survey>,
    late_day: Day,
    findings: Vec<String>,
) -> Result<Plan, StoreError> {
    let base = stored.boundary_days().rfind(|day| *day < late_day);
    let state = match base {
        Some(day) => stored.boundary(data, day).await?,
        None => None,
    };
    Ok(Plan { new: new.len(), surveys: new, from: i64::MIN, state, findings, ..Plan::default() })
}

/// Surveys the known captures that reach into the time from `from` on; names those that cannot be read any more.
async fn survey_again(stored: &Stored, from: i64, findings: &mut Vec<String>) -> Vec<Survey> {
    let mut again = Vec::new();
    // A capture without packets reaches nowhere, but its row is made anew where all are.
    let reaches = |c: &&Known| c.span.map_or(from == i64::MIN, |(_, last)| last + 999 >= from);
    for known in stored.captures.iter().filter(reaches) {
        match read_again(known).await {
            Ok(survey) => again.push(survey),
            Err(why) => findings.push(format!("{}: cannot be read again: {why}", known.place)),
        }
    }
    again
}

async fn read_again(known: &Known) -> Result<Survey, String> {
    if !known.kept {
        return Err("it came from standard input".into());
    }
    let input = if known.place.contains("://") {
        let found = open::find(std::slice::from_ref(&known.place)).await;
        let error = found.errors.first().map(ToString::to_string).unwrap_or_default();
        found.inputs.into_iter().next().ok_or(error)?
    } else {
        Input::file(Path::new(&known.place))
    };
    let hash = known.hash.clone();
    let survey = tokio::task::spawn_blocking(move || survey::survey(&input, None, &mut |_, _| true))
        .await
        .map_err(|e| e.to_string())?
        .map_err(|e| e.to_string())?;
    if survey.hash_text() == hash { Ok(survey) } else { Err("it was changed since".into()) }
}

async fn read_state(data: &Data, path: &str) -> Result<(bool, i64, Vec<u8>), StoreError> {
    let rows = read_file(data, &STATE, path).await?;
    let broken = || StoreError::Columns(format!("state file {path} cannot be read"));
    if rows.num_rows() == 0 {
        return Err(broken());
    }
    let at = rows.column(1).as_primitive::<Int64Type>().value(0) * 1000
        + i64::from(rows.column(2).as_primitive::<Int16Type>().value(0));
    let packed = rows.column(3).as_binary::<i32>().value(0);
    let state = zstd::decode_all(packed).map_err(|_| broken())?;
    Ok((rows.column(0).as_boolean().value(0), at, state))
}

async fn read_captures(data: &Data, files: &Files, platform: &str) -> Result<Vec<Known>, StoreError> {
    let mut known = Vec::new();
    for path in files.0.keys() {
        let rows = read_file(data, &CAPTURES, path).await?;
        let text = |name: &str, row: usize| {
            rows.column_by_name(name).expect("declared").as_string::<i32>().value(row).to_owned()
        };
        let time = |name: &str, row: usize| {
            let column =
                rows.column_by_name(name).expect("declared").as_primitive::<TimestampMicrosecondType>();
            (!column.is_null(row)).then(|| column.value(row) * 1000)
        };
        for row in (0..rows.num_rows()).filter(|row| text("platform", *row) == platform) {
            known.push(Known {
                hash: text("hash", row),
                place: text("name", row),
                kept: rows.column_by_name("kept").expect("declared").as_boolean().value(row),
                span: time("first_seen", row).zip(time("last_seen", row)),
            });
        }
    }
    Ok(known)
}

async fn read_platform(
    data: &Data,
    files: &HashMap<&'static str, Files>,
    name: &str,
) -> Result<Option<Platform>, StoreError> {
    let mut hosts: BTreeMap<i32, Host> = BTreeMap::new();
    let (mut inferred, mut country) = (false, None);
    for path in files["hosts"].0.keys() {
        let rows = read_file(data, &HOSTS, path).await?;
        let text = |column: usize, row: usize| {
            let column = rows.column(column).as_string::<i32>();
            (!column.is_null(row)).then(|| column.value(row).to_owned())
        };
        for row in (0..rows.num_rows()).filter(|row| text(0, *row).as_deref() == Some(name)) {
            let position =
                rows.column(3).as_primitive::<datafusion::arrow::datatypes::Int32Type>().value(row);
            let host = hosts
                .entry(position)
                .or_insert_with(|| Host::at(text(1, row).unwrap_or_default(), Vec::new()));
            host.addresses.extend(text(2, row).and_then(|a| a.parse::<std::net::IpAddr>().ok()));
            host.persona = text(4, row);
            host.has_history = rows.column(5).as_boolean().value(row);
            inferred = rows.column(6).as_boolean().value(row);
            country = text(7, row);
        }
    }
    if hosts.is_empty() {
        return Ok(None);
    }
    let mut platform = Platform { country, ..Platform::new(name, hosts.into_values().collect(), inferred) };
    for path in files["openings"].0.keys() {
        let rows = read_file(data, &OPENINGS, path).await?;
        let text = |column: usize, row: usize| rows.column(column).as_string::<i32>().value(row);
        let time = |column: usize, row: usize| {
            let column = rows.column(column).as_primitive::<TimestampMicrosecondType>();
            (!column.is_null(row)).then(|| column.value(row) * 1000)
        };
        for row in (0..rows.num_rows()).filter(|row| text(0, *row) == name) {
            let Some(host) = platform.hosts.iter_mut().find(|h| h.name == text(1, row)) else { continue };
            if let Ok(port) = text(4, row).parse::<Port>() {
                host.openings.push(Opening { port, opened: time(5, row), closed: time(6, row) });
            }
        }
    }
    Ok(Some(platform))
}
