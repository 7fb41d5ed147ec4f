//! Captures to one commit: survey, plan, count, write, commit; all or nothing.

use std::sync::Arc;
use std::time::Duration;

use trapline_intake::address::Address;
use trapline_intake::classify::Counts;
use trapline_intake::infer::Pairs;
use trapline_intake::platform::{Host, Platform};
use trapline_intake::survey::Survey;
use trapline_intake::{Input, Progress};

use crate::commits::{self, Commit, Snapshot};
use crate::enriching::Enrichers;
use crate::migrate::{STEPS, migrate};
use crate::plan::{Stored, plan};
use crate::schema::SCHEMA_VERSION;
use crate::surveying::{Surveyed, survey_all};
use crate::writer::{Staged, Writer, commit_tables};
use crate::{Data, StoreError};

/// How often an ingest begins again when another one was quicker.
const ATTEMPTS: u32 = 24;

/// Which hosts the captures were taken at.
#[derive(Clone, Debug)]
pub enum Hosts {
    /// As a platform file, or the command line, says.
    Given(Platform),
    /// To be inferred, for the platform of this name.
    Inferred(String),
}

impl Hosts {
    fn name(&self) -> &str {
        match self {
            Hosts::Given(platform) => &platform.name,
            Hosts::Inferred(name) => name,
        }
    }
}

/// What to take in.
#[derive(Clone, Debug)]
pub struct IngestRequest {
    /// Into which tables.
    pub data: Data,
    /// Captures.
    pub inputs: Vec<Input>,
    /// Where they were taken.
    pub hosts: Hosts,
    /// Threads that count.
    pub threads: usize,
    /// The command line, for the record.
    pub arguments: Vec<String>,
    /// Whether to read and count only, and write nothing.
    pub dry_run: bool,
    /// Databases of places and fingerprints.
    pub enrichers: Arc<Enrichers>,
}

/// Which part of the work is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// First reading: hashes and times.
    Survey,
    /// Second reading: counting.
    Count,
}

/// Told how far the work is, of how many bytes; answers whether to go on.
pub type Watch = Arc<dyn Fn(Stage, Progress, u64) -> bool + Send + Sync>;

/// What an ingest did.
#[derive(Clone, Debug, Default)]
pub struct IngestReport {
    /// Number of the commit; `None` where there was nothing new.
    pub commit: Option<i64>,
    /// Captures that were new.
    pub new: usize,
    /// Captures that were known already, by name.
    pub known: Vec<String>,
    /// Earlier captures that were read again because one arrived late.
    pub read_again: usize,
    /// Packets in the new captures.
    pub packets: u64,
    /// The platform as it is now.
    pub platform: Option<Platform>,
    /// Packets by what they are, over the new captures.
    pub counts: Counts,
    /// What changed besides the new captures; for people.
    pub notes: Vec<String>,
    /// What was skipped, damaged or not as it should be; for people.
    pub findings: Vec<String>,
    /// Times that another ingest was quicker.
    pub retries: u32,
}

/// Takes captures in.
///
/// # Errors
/// When nothing could be committed: no capture among the inputs is told in the report's findings, not here.
pub async fn ingest(request: IngestRequest, watch: Watch) -> Result<IngestReport, StoreError> {
    let started_us = chrono::Utc::now().timestamp_micros();
    if let Some(folder) = request.data.folder.as_ref().filter(|_| !request.dry_run) {
        std::fs::create_dir_all(folder)
            .map_err(|e| StoreError::Place { place: request.data.name.clone(), what: e.to_string() })?;
    }
    let lease = if request.dry_run { None } else { Some(crate::sweep::enter(&request.data).await?) };
    let infer = matches!(request.hosts, Hosts::Inferred(_));
    let surveyed = survey_all(&request.inputs, infer, request.threads, &watch).await?;
    let mut retries = 0;
    loop {
        match attempt(&request, &surveyed, &watch, started_us).await {
            Err(StoreError::Conflict) if retries < ATTEMPTS => {
                retries += 1;
                // Those who met spread out by chance, and more with every meeting.
                let most = 40 << retries.min(6);
                let wait = uuid::Uuid::new_v4().as_u128() % most;
                tokio::time::sleep(Duration::from_millis(wait as u64)).await;
            }
            Ok(mut report) => {
                report.retries = retries;
                drop(lease);
                return Ok(report);
            }
            Err(error) => return Err(error),
        }
    }
}

/// One try: from the newest commit to the next.
async fn attempt(
    request: &IngestRequest,
    surveyed: &Surveyed,
    watch: &Watch,
    started_us: i64,
) -> Result<IngestReport, StoreError> {
    let data = &request.data;
    if !request.dry_run {
        commits::create_tables(data).await?;
    }
    let mut base = Snapshot::latest(data).await?;
    if let Some(old) = base.as_ref().filter(|_| !request.dry_run)
        && migrate(data, old, STEPS).await?.is_some()
    {
        base = Snapshot::latest(data).await?;
    }
    let stored = Stored::read(base.as_ref(), request.hosts.name()).await?;
    let mut report = IngestReport { findings: surveyed.findings.clone(), ..IngestReport::default() };
    let new = new_captures(&stored, &surveyed.surveys, &mut report.known);
    let platform = resolve(&request.hosts, &stored, &surveyed.pairs, &mut report.findings)?;
    report.platform = Some(platform.clone());
    if let Some(old) = &stored.platform {
        report.notes.extend(host_changes(old, &platform));
    }
    if platform.inferred && !new.is_empty() {
        report.findings.extend(stored.known_elsewhere(data, &platform).await?);
    }
    if new.is_empty()
        && stored
            .platform
            .as_ref()
            .is_none_or(|old| *old == platform || matches!(request.hosts, Hosts::Inferred(_)))
    {
        return Ok(report);
    }
    let plan = plan(data, &stored, &platform, new).await?;
    (report.new, report.read_again) = (plan.new, plan.surveys.len() - plan.new);
    report.findings.extend(plan.findings.iter().cloned());
    report.packets = plan.surveys[..plan.new].iter().map(|s| s.frames).sum();
    let mut writer = Writer {
        data,
        stored: &stored,
        platform: &platform,
        plan: &plan,
        staged: Staged::default(),
        probes: 0,
        dry_run: request.dry_run,
        enrichers: &request.enrichers,
    };
    let finished = writer.run(request.threads, watch).await?;
    finished.counts[..plan.new].iter().for_each(|c| add_counts(&mut report.counts, c));
    report.findings.extend(nobody_came(&report, writer.probes));
    if finished.over_limit > 0 {
        report
            .findings
            .push(format!("{} packets found no room in memory and are in no row", finished.over_limit));
    }
    if finished.untold > 0 {
        report.notes.push(format!(
            "{} messages, connections or pieces of datagrams went beyond a limit: they are counted as packets, and not read",
            finished.untold
        ));
    }
    if request.dry_run {
        return Ok(report);
    }
    if let Some(old) = stored.platform.as_ref().filter(|old| **old != platform) {
        writer.reopen(old).await?;
    }
    writer.write_platform().await?;
    writer.write_captures(&finished).await?;
    let staged = writer.staged;
    let versions = commit_tables(data, &stored, staged, base.as_ref()).await?;
    let commit = Commit {
        version: base.as_ref().map_or(0, |b| b.commit.version) + 1,
        tables: versions,
        schema_version: SCHEMA_VERSION,
        program: concat!("trapline ", env!("CARGO_PKG_VERSION")).into(),
        arguments: request.arguments.clone(),
        started_us,
        finished_us: chrono::Utc::now().timestamp_micros(),
        packets: report.packets,
        over_limit: finished.over_limit,
        untold: finished.untold,
    };
    commits::append(data, base.as_ref(), &commit).await?;
    report.commit = Some(commit.version);
    Ok(report)
}

/// Which hosts a platform has now and had not before, and the other way round.
fn host_changes(old: &Platform, new: &Platform) -> Option<String> {
    let missing = |from: &Platform, other: &Platform| -> Vec<String> {
        let gone = from
            .hosts
            .iter()
            .filter(|h| !other.hosts.iter().any(|o| o.name == h.name && o.addresses == h.addresses));
        gone.map(|h| h.name.clone()).collect()
    };
    let (added, removed) = (missing(new, old), missing(old, new));
    let mut changes = Vec::new();
    if !added.is_empty() {
        changes.push(format!("new hosts {}", added.join(", ")));
    }
    if !removed.is_empty() {
        changes.push(format!("no longer hosts {}", removed.join(", ")));
    }
    let changed = !changes.is_empty();
    changed.then(|| format!("platform {}: {}; its captures are counted anew", new.name, changes.join("; ")))
}

/// Captures of other machines than the hosts, or of the attackers' side, give empty answers: that is told.
fn nobody_came(report: &IngestReport, probes: u64) -> Option<String> {
    let (packets, inbound) = (report.packets, report.counts.inbound);
    let inferred = report.platform.as_ref().is_some_and(|p| p.inferred);
    // A quiet day holds only what the hosts did of their own; strangers' packets without one to a host are no such day.
    let what = if inbound == 0 && report.counts.elsewhere > 0 {
        format!("none of the {packets} packets came in to a host from elsewhere")
    } else if inferred && inbound > 0 && probes == 0 {
        format!("all {inbound} inbound packets are replies: the hosts began every conversation")
    } else {
        return None;
    };
    Some(format!("{what}; if these are not the decoys, name them with --platform, --host or --hosts"))
}

/// Captures that are neither stored nor given twice.
fn new_captures(stored: &Stored, surveys: &[Survey], known: &mut Vec<String>) -> Vec<Survey> {
    let mut seen: Vec<String> = stored.captures.iter().map(|c| c.hash.clone()).collect();
    let mut new = Vec::new();
    for survey in surveys {
        let hash = survey.hash_text();
        if seen.contains(&hash) {
            known.push(survey.input.name.clone());
        } else {
            seen.push(hash);
            new.push(survey.clone());
        }
    }
    new
}

/// The platform: as given, or the known hosts and those that cover the rest of the conversations.
fn resolve(
    hosts: &Hosts,
    stored: &Stored,
    pairs: &Pairs,
    findings: &mut Vec<String>,
) -> Result<Platform, StoreError> {
    let name = match hosts {
        Hosts::Given(platform) => return Ok(platform.clone()),
        Hosts::Inferred(name) => name,
    };
    let mut platform = stored.platform.clone().unwrap_or_else(|| Platform::new(name, Vec::new(), true));
    if !platform.inferred {
        return Ok(platform);
    }
    let known: Vec<Address> = trapline_intake::address::index(&platform).into_keys().collect();
    for address in pairs.cover(&known) {
        platform.hosts.push(Host::at(address.to_string(), vec![address.ip()]));
    }
    platform.hosts.sort_by_key(|h| h.addresses.first().map(|a| Address::from(*a)));
    if pairs.overflow > 0 {
        findings.push(format!("{} conversations were too many to infer hosts from; name the hosts with --host, --hosts or --platform", pairs.overflow));
    }
    if platform.hosts.len() > usize::from(u16::MAX) {
        let what = format!(
            "{} hosts inferred; that is no platform of decoys: name the hosts with --host, --hosts or --platform",
            platform.hosts.len()
        );
        return Err(StoreError::Capture(what));
    }
    Ok(platform)
}

fn add_counts(sum: &mut Counts, one: &Counts) {
    sum.inbound += one.inbound;
    sum.outbound += one.outbound;
    sum.internal += one.internal;
    sum.broadcast += one.broadcast;
    sum.elsewhere += one.elsewhere;
    sum.arp += one.arp;
    sum.neighbour_discovery += one.neighbour_discovery;
    sum.not_ip += one.not_ip;
    sum.unreadable += one.unreadable;
    sum.unknown_link += one.unknown_link;
    sum.later_fragments += one.later_fragments;
    sum.too_short += one.too_short;
}
