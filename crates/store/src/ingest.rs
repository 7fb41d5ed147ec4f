//! Captures to one commit: survey, plan, count, write, commit; all or nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use trapline_intake::address::Address;
use trapline_intake::classify::Counts;
use trapline_intake::derive::derive;
use trapline_intake::infer::Pairs;
use trapline_intake::ordered::{OrderError, Ordered};
use trapline_intake::pass::{Finished, Output, Pass};
use trapline_intake::platform::{Host, Platform};
use trapline_intake::rows::{Day, Probe, ProbeKey, Row, day_of, fold};
use trapline_intake::state::State;
use trapline_intake::survey::{Survey, survey};
use trapline_intake::{DAY_NS, DayTables, Input, Progress};

use crate::commits::{self, Commit, Snapshot, read_file};
use crate::convert::{self, CaptureRow};
use crate::delta::{self, DataFile, Files};
use crate::migrate::{STEPS, migrate};
use crate::plan::{DAY_TABLES, Plan, Stored, plan};
use crate::schema::{
    CAPTURES, HOSTS, OPENINGS, PROBES, REPLIES, RESPONSES, SCHEMA_VERSION, SESSIONS, SOURCES, STATE, TABLES,
    Table,
};
use crate::{Data, StoreError};

/// How often an ingest begins again when another one was quicker.
const ATTEMPTS: u32 = 12;
/// States at days' ends that are kept: a capture may arrive so many days late without everything before
/// it being read again.
const KEPT_BOUNDARIES: usize = 40;
/// Days that wait to be written; the pass waits when there are more.
const WAITING_DAYS: usize = 1;

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
                // Spread out those who met: by process and by try.
                let wait = 20 * u64::from(retries) + u64::from(std::process::id() % 40);
                tokio::time::sleep(Duration::from_millis(wait)).await;
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

/// What the first reading of all inputs showed.
struct Surveyed {
    surveys: Vec<Survey>,
    pairs: Pairs,
    findings: Vec<String>,
}

async fn survey_all(
    inputs: &[Input],
    infer: bool,
    threads: usize,
    watch: &Watch,
) -> Result<Surveyed, StoreError> {
    let (inputs, watch) = (inputs.to_vec(), Arc::clone(watch));
    let work = move || survey_parallel(&inputs, infer, threads, &watch);
    tokio::task::spawn_blocking(work).await.expect("surveying does not panic")
}

fn survey_parallel(
    inputs: &[Input],
    infer: bool,
    threads: usize,
    watch: &Watch,
) -> Result<Surveyed, StoreError> {
    use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
    let total: u64 = inputs.iter().map(Input::stored_len).sum();
    let (next, bytes, packets, stop) =
        (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let one = |input: &Input| {
        let mut pairs = infer.then(Pairs::default);
        let mut before = (0, 0);
        let result = survey(input, pairs.as_mut(), &mut |b, p| {
            let bytes = bytes.fetch_add(b - before.0, Relaxed) + b - before.0;
            let packets = packets.fetch_add(p - before.1, Relaxed) + p - before.1;
            before = (b, p);
            if !watch(Stage::Survey, Progress { bytes, packets }, total) {
                stop.store(true, Relaxed);
            }
            !stop.load(Relaxed)
        });
        (result, pairs)
    };
    let worker = || {
        let mut done = Vec::new();
        while let Some((i, input)) = Some(next.fetch_add(1, Relaxed)).and_then(|i| Some((i, inputs.get(i)?)))
        {
            done.push((i, one(input)));
        }
        done
    };
    let workers = threads.clamp(1, inputs.len().max(1));
    let mut results: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        handles.into_iter().flat_map(|h| h.join().expect("surveying does not panic")).collect()
    });
    if stop.load(Relaxed) {
        return Err(StoreError::Stopped);
    }
    results.sort_by_key(|(i, _)| *i);
    let mut surveyed = Surveyed { surveys: Vec::new(), pairs: Pairs::default(), findings: Vec::new() };
    for (i, (result, pairs)) in results {
        match result {
            Ok(survey) => {
                if let Some(stopped) = &survey.stopped {
                    surveyed.findings.push(format!("{}: {stopped}; {}", survey.input.name, kept(&survey)));
                }
                if let Some(pairs) = pairs {
                    surveyed.pairs.absorb(pairs, survey.id());
                }
                if survey.is_capture() {
                    surveyed.surveys.push(survey);
                }
            }
            Err(error) => surveyed.findings.push(format!("{}: {error}", inputs[i].name)),
        }
    }
    Ok(surveyed)
}

fn kept(survey: &Survey) -> String {
    match survey.frames {
        0 => "nothing of it was kept".into(),
        1 => "the packet before was kept".into(),
        n => format!("the {n} packets before were kept"),
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
        dry_run: request.dry_run,
    };
    let finished = writer.run(request.threads, watch).await?;
    finished.counts[..plan.new].iter().for_each(|c| add_counts(&mut report.counts, c));
    if finished.over_limit > 0 {
        report
            .findings
            .push(format!("{} packets found no room in memory and are in no row", finished.over_limit));
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
    };
    commits::append(data, base.as_ref(), &commit).await?;
    report.commit = Some(commit.version);
    Ok(report)
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
    let mut platform = stored.platform.clone().unwrap_or_else(|| Platform {
        name: name.clone(),
        country: None,
        hosts: Vec::new(),
        inferred: true,
    });
    if !platform.inferred {
        return Ok(platform);
    }
    let known: Vec<Address> = platform.index().into_keys().collect();
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

/// Files to add to each table, and the partitions and files that go.
#[derive(Default)]
struct Staged {
    add: HashMap<&'static str, Vec<DataFile>>,
    remove: HashMap<&'static str, Vec<String>>,
}

impl Staged {
    fn add(&mut self, table: &'static Table, file: DataFile) {
        self.add.entry(table.name).or_default().push(file);
    }

    fn remove(&mut self, table: &'static Table, path: String) {
        self.remove.entry(table.name).or_default().push(path);
    }
}

/// Writes one ingest's files.
struct Writer<'a> {
    data: &'a Data,
    stored: &'a Stored,
    platform: &'a Platform,
    plan: &'a Plan,
    staged: Staged,
    dry_run: bool,
}

impl Writer<'_> {
    /// Counts and writes day after day as the pass gives them out.
    async fn run(&mut self, threads: usize, watch: &Watch) -> Result<Finished, StoreError> {
        let same = self.old_boundaries().await?;
        let (sender, mut days) = tokio::sync::mpsc::channel(WAITING_DAYS);
        let job = Job {
            surveys: self.plan.surveys.clone(),
            platform: self.platform.clone(),
            state: self.plan.state.clone(),
            from: self.plan.from,
            replace_from: self.plan.replace_from.unwrap_or(Day::MIN),
            threads,
            same,
            until_same: self.plan.until_same,
            watch: Arc::clone(watch),
        };
        let counting = tokio::task::spawn_blocking(move || job.run(&sender));
        while let Some(day) = days.recv().await {
            if !self.dry_run {
                self.write_day(day).await?;
            }
        }
        let counted = counting.await.expect("counting does not panic")?;
        if self.dry_run {
            return Ok(counted.finished);
        }
        if let Some(first) = self.plan.replace_from {
            self.remove_days(first, counted.same_from.unwrap_or(Day::MAX));
        }
        if self.plan.keeps_state {
            self.write_states(&counted).await?;
        }
        Ok(counted.finished)
    }

    /// States at the ends of days at which reading may stop, where it may.
    async fn old_boundaries(&self) -> Result<HashMap<Day, Vec<u8>>, StoreError> {
        let mut same = HashMap::new();
        if let Some(last) = self.plan.until_same {
            for day in self.stored.boundary_days().filter(|day| *day >= last) {
                if let Some(state) = self.stored.boundary(self.data, day).await? {
                    same.insert(day, state);
                }
            }
        }
        Ok(same)
    }

    /// Writes a day's tables: anew, or joined with what is stored of that day.
    async fn write_day(&mut self, mut day: DayTables) -> Result<(), StoreError> {
        if self.plan.replace_from.is_none() {
            self.join_stored(&mut day).await?;
        }
        let platform = self.platform;
        let (sessions, sources) = derive(&day.probes);
        self.write_part(&SESSIONS, day.day, convert::sessions(platform, &sessions)?).await?;
        drop(sessions);
        self.write_part(&SOURCES, day.day, convert::sources(platform, &sources)?).await?;
        drop(sources);
        self.write_part(&RESPONSES, day.day, convert::responses(platform, &day.responses)?).await?;
        self.write_part(&REPLIES, day.day, convert::replies(platform, &day.replies)?).await?;
        let probes = convert::probes(platform, &day.probes)?;
        // Of a day's rows there is one copy in memory at a time, give or take what the next step makes of it.
        let number = day.day;
        drop(day);
        self.write_part(&PROBES, number, probes).await
    }

    /// Writes a day's rows of one table, if there are any.
    async fn write_part(
        &mut self,
        table: &'static Table,
        day: Day,
        rows: RecordBatch,
    ) -> Result<(), StoreError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let partition = Some((self.platform.name.clone(), day));
        let file = delta::write_file(self.data, table, partition, None, &rows).await?;
        self.staged.add(table, file);
        Ok(())
    }

    async fn join_stored(&mut self, day: &mut DayTables) -> Result<(), StoreError> {
        let platform = self.platform;
        if let Some(rows) = self.take_stored(&PROBES, day.day).await? {
            day.probes = join(convert::read_probes(platform, &rows), std::mem::take(&mut day.probes));
        }
        if let Some(rows) = self.take_stored(&RESPONSES, day.day).await? {
            day.responses =
                join(convert::read_responses(platform, &rows), std::mem::take(&mut day.responses));
        }
        if let Some(rows) = self.take_stored(&REPLIES, day.day).await? {
            day.replies = join(convert::read_replies(platform, &rows), std::mem::take(&mut day.replies));
        }
        for table in [&SESSIONS, &SOURCES] {
            if let Some(file) = self.stored.day_file(table, &platform.name, day.day) {
                self.staged.remove(table, file.path.clone());
            }
        }
        for answer in std::mem::take(&mut day.late_answers) {
            note_answer(&mut day.probes, answer.key, answer.time);
        }
        Ok(())
    }

    /// Rows stored of a day, whose file goes.
    async fn take_stored(
        &mut self,
        table: &'static Table,
        day: Day,
    ) -> Result<Option<RecordBatch>, StoreError> {
        let Some(file) = self.stored.day_file(table, &self.platform.name, day) else { return Ok(None) };
        let path = file.path.clone();
        let rows = read_file(self.data, table, &path).await?;
        self.staged.remove(table, path);
        Ok(Some(rows))
    }

    /// Takes out the stored files of the days that were made anew.
    fn remove_days(&mut self, first: Day, last: Day) {
        for table in DAY_TABLES {
            let files = self.stored.files.get(table.name).map(|f| f.0.values()).into_iter().flatten();
            let made_anew = |f: &&DataFile| {
                f.partition
                    .as_ref()
                    .is_some_and(|(p, d)| *p == self.platform.name && (first..=last).contains(d))
            };
            let paths: Vec<String> = files.filter(made_anew).map(|f| f.path.clone()).collect();
            paths.into_iter().for_each(|path| self.staged.remove(table, path));
        }
    }

    /// Keeps the newest states at days' ends, and the one after the last packet.
    async fn write_states(&mut self, counted: &Counted) -> Result<(), StoreError> {
        let mut new: BTreeMap<Day, (bool, i64, Vec<u8>)> = BTreeMap::new();
        for (day, packed) in &counted.boundaries {
            new.insert(*day, (false, (i64::from(*day) + 1) * DAY_NS, packed.clone()));
        }
        if let (Some((at, state)), None) = (&counted.finished.head, counted.same_from) {
            new.insert(day_of(*at), (true, *at, pack(state)));
        }
        let name = &self.platform.name;
        let old = self.stored.files.get(STATE.name).map(|f| f.0.values()).into_iter().flatten();
        let old: Vec<&DataFile> =
            old.filter(|f| f.partition.as_ref().is_some_and(|(p, _)| p == name)).collect();
        let mut days: Vec<Day> = old
            .iter()
            .filter_map(|f| f.partition.as_ref().map(|(_, d)| *d))
            .chain(new.keys().copied())
            .collect();
        days.sort_unstable();
        days.dedup();
        let oldest_kept = days.iter().rev().nth(KEPT_BOUNDARIES).copied().unwrap_or(Day::MIN);
        let made_anew = |day: Day| {
            new.contains_key(&day)
                || self
                    .plan
                    .replace_from
                    .is_some_and(|first| day >= first && counted.same_from.is_none_or(|same| day < same))
        };
        let gone: Vec<String> = old
            .iter()
            .filter(|f| f.partition.as_ref().is_some_and(|(_, d)| made_anew(*d) || *d < oldest_kept))
            .map(|f| f.path.clone())
            .collect();
        gone.into_iter().for_each(|path| self.staged.remove(&STATE, path));
        for (day, (head, at, packed)) in new.into_iter().filter(|(day, _)| *day >= oldest_kept) {
            let rows = state_row(head, at, &packed)?;
            let file = delta::write_file(self.data, &STATE, Some((name.clone(), day)), None, &rows).await?;
            self.staged.add(&STATE, file);
        }
        Ok(())
    }

    /// Writes `open` anew where the platform file's history changed and the days themselves did not.
    async fn reopen(&mut self, old: &Platform) -> Result<(), StoreError> {
        let same = |h: &Host| {
            old.hosts
                .iter()
                .any(|o| o.name == h.name && o.has_history == h.has_history && o.openings == h.openings)
        };
        if self.plan.replace_from == Some(Day::MIN) || self.platform.hosts.iter().all(same) {
            return Ok(());
        }
        let staged: Vec<Day> = self
            .staged
            .add
            .get(PROBES.name)
            .into_iter()
            .flatten()
            .filter_map(|f| Some(f.partition.as_ref()?.1))
            .collect();
        let days: Vec<Day> = self.stored.files[PROBES.name]
            .0
            .values()
            .filter_map(|f| {
                f.partition
                    .as_ref()
                    .filter(|(p, d)| *p == self.platform.name && !staged.contains(d))
                    .map(|(_, d)| *d)
            })
            .collect();
        for day in days {
            if let Some(rows) = self.take_stored(&PROBES, day).await? {
                let probes = convert::read_probes(self.platform, &rows);
                let rows = convert::probes(self.platform, &probes)?;
                let file = delta::write_file(
                    self.data,
                    &PROBES,
                    Some((self.platform.name.clone(), day)),
                    None,
                    &rows,
                )
                .await?;
                self.staged.add(&PROBES, file);
            }
        }
        Ok(())
    }

    async fn write_platform(&mut self) -> Result<(), StoreError> {
        if self.stored.platform.as_ref() == Some(self.platform) {
            return Ok(());
        }
        self.replace_rows(&HOSTS, convert::hosts(self.platform)?).await?;
        self.replace_rows(&OPENINGS, convert::openings(self.platform)?).await
    }

    async fn write_captures(&mut self, finished: &Finished) -> Result<(), StoreError> {
        // What other hosts make of a packet is another count, so a changed platform changes all captures' rows; else those
        // that were only read again keep the counts of their first reading, which was whole.
        let recounted = self.plan.replace_from == Some(Day::MIN);
        let whole = if recounted { self.plan.surveys.len() } else { self.plan.new };
        let rows: Vec<CaptureRow> = self.plan.surveys[..whole]
            .iter()
            .zip(&finished.counts)
            .map(|(survey, counts)| {
                let input = &survey.input;
                let kept = input.name.contains("://") || !input.is_spooled();
                let place = if input.is_spooled() { input.name.clone() } else { absolute(&input.path) };
                CaptureRow { survey: survey.clone(), place, kept, counts: counts.clone() }
            })
            .collect();
        let rows = convert::captures(&self.platform.name, &rows)?;
        if recounted {
            return self.replace_rows(&CAPTURES, rows).await;
        }
        let files = self.stored.files.get(CAPTURES.name).cloned().unwrap_or_default();
        let mut all = Vec::new();
        if files.0.len() >= 64 {
            for path in files.0.keys() {
                all.push(read_file(self.data, &CAPTURES, path).await?);
                self.staged.remove(&CAPTURES, path.clone());
            }
        }
        all.push(rows);
        self.write_whole(&CAPTURES, &all).await
    }

    /// Replaces the rows of this platform in a table without partitions.
    async fn replace_rows(&mut self, table: &'static Table, rows: RecordBatch) -> Result<(), StoreError> {
        use datafusion::arrow::array::AsArray;
        let mut all = Vec::new();
        for path in self.stored.files.get(table.name).cloned().unwrap_or_default().0.into_keys() {
            let old = read_file(self.data, table, &path).await?;
            let names = old.column(0).as_string::<i32>();
            let others = names.iter().map(|n| Some(n != Some(self.platform.name.as_str()))).collect();
            all.push(datafusion::arrow::compute::filter_record_batch(&old, &others)?);
            self.staged.remove(table, path);
        }
        all.push(rows);
        self.write_whole(table, &all).await
    }

    async fn write_whole(
        &mut self,
        table: &'static Table,
        batches: &[RecordBatch],
    ) -> Result<(), StoreError> {
        let rows = datafusion::arrow::compute::concat_batches(&table.file_schema(), batches)?;
        if rows.num_rows() > 0 {
            let file = delta::write_file(self.data, table, None, None, &rows).await?;
            self.staged.add(table, file);
        }
        Ok(())
    }
}

fn absolute(path: &std::path::Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Joins stored rows, which are earlier, with new ones.
fn join<R: Row>(mut stored: Vec<R>, new: Vec<R>) -> Vec<R> {
    stored.extend(new);
    fold(stored)
}

fn note_answer(probes: &mut [Probe], key: ProbeKey, time: i64) {
    if let Ok(i) = probes.binary_search_by_key(&key, |p| p.key) {
        let first = probes[i].first_answer.get_or_insert(time);
        *first = time.min(*first);
    }
}

fn pack(state: &[u8]) -> Vec<u8> {
    zstd::encode_all(state, 1).expect("memory to memory")
}

fn state_row(head: bool, at: i64, packed: &[u8]) -> Result<RecordBatch, StoreError> {
    use datafusion::arrow::array::{BinaryArray, BooleanArray, Int16Array, Int64Array};
    let columns: Vec<datafusion::arrow::array::ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![head])),
        Arc::new(Int64Array::from(vec![at.div_euclid(1000)])),
        Arc::new(Int16Array::from(vec![at.rem_euclid(1000) as i16])),
        Arc::new(BinaryArray::from(vec![packed])),
    ];
    Ok(RecordBatch::try_new(STATE.file_schema(), columns)?)
}

/// The counting half of an ingest, which needs no tables.
struct Job {
    surveys: Vec<Survey>,
    platform: Platform,
    state: Option<Vec<u8>>,
    from: i64,
    replace_from: Day,
    threads: usize,
    same: HashMap<Day, Vec<u8>>,
    until_same: Option<Day>,
    watch: Watch,
}

/// What counting left.
struct Counted {
    finished: Finished,
    /// Packed states at days' ends, newest last.
    boundaries: VecDeque<(Day, Vec<u8>)>,
    /// The day whose end found the state as it was: this day and those before are made anew, later ones stay.
    same_from: Option<Day>,
}

/// How many frames pass between two looks at the clock and at the wish to stop.
const LOOK_EVERY: u64 = 65_536;

impl Job {
    fn run(self, days: &tokio::sync::mpsc::Sender<DayTables>) -> Result<Counted, StoreError> {
        let hosts: Vec<String> = self.platform.hosts.iter().map(|h| h.name.clone()).collect();
        let state = self.state.as_deref().and_then(|bytes| State::from_bytes(bytes, &hosts));
        let mut pass = Pass::new(&self.platform, self.surveys.len(), self.threads, state);
        let ids: Vec<_> = self.surveys.iter().map(Survey::id).collect();
        let total: u64 = self.surveys.iter().map(|s| s.bytes).sum();
        let mut out = Out { days, boundaries: VecDeque::new(), same_from: None, job: &self };
        let mut frames = Ordered::new(&self.surveys, self.from);
        let (mut packets, mut bytes) = (0u64, 0u64);
        while frames.advance().map_err(|e: OrderError| StoreError::Capture(e.to_string()))? {
            let placed = frames.frame().expect("advanced");
            if out.same_from.is_some_and(|day| day_of(placed.frame.time) > day + 1) {
                break;
            }
            packets += 1;
            bytes += placed.frame.data.len() as u64 + 16;
            if pass.add(placed.capture, ids[placed.capture], placed.index, &placed.frame) {
                while let Some(output) = pass.next_output() {
                    out.take(output)?;
                }
            }
            if packets % LOOK_EVERY == 0 && !(self.watch)(Stage::Count, Progress { bytes, packets }, total) {
                return Err(StoreError::Stopped);
            }
        }
        let mut finished = pass.finish();
        for output in std::mem::take(&mut finished.outputs) {
            out.take(output)?;
        }
        let (boundaries, same_from) = (out.boundaries, out.same_from);
        Ok(Counted { finished, boundaries, same_from })
    }
}

/// Where outputs of the pass go.
struct Out<'a> {
    days: &'a tokio::sync::mpsc::Sender<DayTables>,
    boundaries: VecDeque<(Day, Vec<u8>)>,
    same_from: Option<Day>,
    job: &'a Job,
}

impl Out<'_> {
    fn take(&mut self, output: Output) -> Result<(), StoreError> {
        let past_same = |day: Day| self.same_from.is_some_and(|same| day > same);
        match output {
            Output::Day(tables) if tables.day >= self.job.replace_from && !past_same(tables.day) => {
                self.days.blocking_send(tables).map_err(|_| StoreError::Stopped)
            }
            Output::Boundary { day, state } if !past_same(day) => {
                if self.job.until_same.is_some_and(|last| day >= last)
                    && self.job.same.get(&day) == Some(&state)
                {
                    self.same_from = Some(day);
                }
                self.boundaries.push_back((day, pack(&state)));
                if self.boundaries.len() > KEPT_BOUNDARIES {
                    self.boundaries.pop_front();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Commits every table that changes, and gives the versions that belong together.
async fn commit_tables(
    data: &Data,
    stored: &Stored,
    mut staged: Staged,
    base: Option<&Snapshot>,
) -> Result<BTreeMap<String, delta::Version>, StoreError> {
    let mut versions = base.map(|b| b.commit.tables.clone()).unwrap_or_default();
    let mut commits = Vec::new();
    for table in TABLES.into_iter().filter(|t| t.name != "commits") {
        let mut wanted: Files = stored.files.get(table.name).cloned().unwrap_or_default();
        let removed = staged.remove.remove(table.name).unwrap_or_default();
        let added = staged.add.remove(table.name).unwrap_or_default();
        if removed.is_empty() && added.is_empty() && versions.contains_key(table.name) {
            continue;
        }
        for path in removed {
            wanted.0.remove(&path);
        }
        wanted.0.extend(added.into_iter().map(|file| (file.path.clone(), file)));
        commits.push(
            async move { Ok::<_, StoreError>((table.name, delta::commit(data, table, &wanted).await?)) },
        );
    }
    for (name, version) in futures::future::try_join_all(commits).await? {
        versions.insert(name.into(), version);
    }
    Ok(versions)
}
