//! The writing half of an ingest: days as they come, states, captures, hosts; staged until all of it is committed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use trapline_intake::derive::derive;
use trapline_intake::pass::Finished;
use trapline_intake::platform::{Host, Platform};
use trapline_intake::rows::{Day, Probe, ProbeKey, Row, day_of, fold};
use trapline_intake::said::join_requests;
use trapline_intake::sightings::fold_sightings;
use trapline_intake::{DAY_NS, DayTables};

use crate::commits::{Snapshot, read_file};
use crate::convert::{self, CaptureRow};
use crate::counting::{Counted, Job, KEPT_BOUNDARIES, pack};
use crate::delta::{self, DataFile, Files};
use crate::enriching::{self, Enrichers};
use crate::ingest::Watch;
use crate::plan::{DAY_TABLES, Plan, Stored};
use crate::schema::{
    CAPTURES, FINGERPRINTS, HOSTS, OPENINGS, PLACES, PROBES, REPLIES, REQUESTS, RESPONSES, SESSIONS, SOURCES,
    STATE, TABLES, Table,
};
use crate::{Data, StoreError, said};

/// Days that wait to be written; the pass waits when there are more.
const WAITING_DAYS: usize = 1;

/// Files to add to each table, and the partitions and files that go.
#[derive(Default)]
pub(crate) struct Staged {
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
pub(crate) struct Writer<'a> {
    /// Where.
    pub data: &'a Data,
    /// What is there.
    pub stored: &'a Stored,
    /// The platform as it will be.
    pub platform: &'a Platform,
    /// How to read.
    pub plan: &'a Plan,
    /// What was written and is to be committed.
    pub staged: Staged,
    /// Probes counted so far.
    pub probes: u64,
    /// Whether to write nothing.
    pub dry_run: bool,
    /// What observations mean.
    pub enrichers: &'a Enrichers,
}

impl Writer<'_> {
    /// Counts and writes day after day as the pass gives them out.
    pub async fn run(&mut self, threads: usize, watch: &Watch) -> Result<Finished, StoreError> {
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
            self.probes += day.probes.len() as u64;
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
        let addresses = enriching::addresses(&day);
        self.write_part(&PLACES, day.day, self.enrichers.places(&addresses)?).await?;
        drop(addresses);
        let knocks = enriching::knocks(&day.probes);
        self.write_part(&FINGERPRINTS, day.day, self.enrichers.fingerprints(&day.sightings, &knocks)?)
            .await?;
        drop(knocks);
        day.sightings = Vec::new();
        self.write_part(&RESPONSES, day.day, convert::responses(platform, &day.responses)?).await?;
        self.write_part(&REPLIES, day.day, convert::replies(platform, &day.replies)?).await?;
        self.write_part(&REQUESTS, day.day, said::requests(platform, &day.requests)?).await?;
        day.requests = Vec::new();
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
        if let Some(rows) = self.take_stored(&REQUESTS, day.day).await? {
            let stored = said::read_requests(platform, &rows);
            day.requests = join_requests(stored, std::mem::take(&mut day.requests), &day.told_open);
        }
        if let Some(rows) = self.take_stored(&FINGERPRINTS, day.day).await? {
            let mut seen = enriching::read_sightings(&rows);
            seen.append(&mut day.sightings);
            day.sightings = fold_sightings(seen);
        }
        for table in [&SESSIONS, &SOURCES, &PLACES] {
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
    pub async fn reopen(&mut self, old: &Platform) -> Result<(), StoreError> {
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

    pub async fn write_platform(&mut self) -> Result<(), StoreError> {
        if self.stored.platform.as_ref() == Some(self.platform) {
            return Ok(());
        }
        self.replace_rows(&HOSTS, convert::hosts(self.platform)?).await?;
        self.replace_rows(&OPENINGS, convert::openings(self.platform)?).await
    }

    pub async fn write_captures(&mut self, finished: &Finished) -> Result<(), StoreError> {
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

/// Commits every table that changes, and gives the versions that belong together.
pub(crate) async fn commit_tables(
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
