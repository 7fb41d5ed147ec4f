//! What observations mean, as rows: systems and tools for `fingerprints`, places for `places`.
//!
//! The raw observation stands in the tables beside what databases make of it, so another database can be asked of old days too:
//! [`enrich_again`] does that, as one commit.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, Float64Array, Int16Array, Int64Array, RecordBatch};
use trapline_enrich::os::{self, Format, Quality};
use trapline_enrich::place::Databases;
use trapline_enrich::tool::{Knock, judge};
use trapline_intake::DayTables;
use trapline_intake::address::Address;
use trapline_intake::marks::Marks;
use trapline_intake::rows::{Day, Place, Probe};
use trapline_intake::sightings::Sighting;
use trapline_wire::Observation;
use trapline_wire::tcp::flags::{ACK, RST, SYN};

use crate::commits::{self, Commit, Snapshot, read_file};
use crate::convert::{Columns, batch, longs, maybe_shown, maybe_text, shown, span, text};
use crate::delta::{self, Files};
use crate::schema::{FINGERPRINTS, PLACES, PROBES, RESPONSES, SCHEMA_VERSION, SOURCES, Table};
use crate::{Data, Span, StoreError};

/// Name of the tool whose labels come from header invariants.
pub const INVARIANTS: &str = "invariants";
/// Name of our own fingerprint database.
pub const OWN: &str = "trapline";
/// Name of the rows that say what all place databases say together.
pub const BEST: &str = "best";

/// Databases that give observations their meaning.
#[derive(Debug)]
pub struct Enrichers {
    /// Place databases, the first that knows wins.
    pub places: Databases,
    systems: Vec<System>,
}

/// What a tool makes of an observation.
struct Labelled {
    tool: Arc<str>,
    database: Arc<str>,
    raw: Arc<str>,
    label: Option<Arc<str>>,
    quality: Quality,
    distance: Option<u8>,
}

/// A fingerprint database.
#[derive(Debug)]
struct System {
    /// Its tool.
    tool: Arc<str>,
    /// Its file's name and the first 16 digits of its hash.
    name: Arc<str>,
    database: os::Database,
}

/// What is wrong with a database that was named.
#[derive(Debug, thiserror::Error)]
pub enum EnrichError {
    /// It cannot be read.
    #[error("{}: {cause}", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A line of a fingerprint database is wrong.
    #[error("{}:{line}: {why}{}", path.display(), more(*others))]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong with it.
        why: String,
        /// How many other lines are wrong.
        others: usize,
    },
    /// A place database is wrong.
    #[error(transparent)]
    Place(#[from] trapline_enrich::place::DatabaseError),
}

fn more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" (and {others} more lines)") }
}

impl Enrichers {
    /// Those that every build carries: countries, and our own fingerprints.
    pub fn built_in() -> Enrichers {
        let mut places = Databases::new();
        places.add_embedded();
        Enrichers { places, systems: vec![System::of(OWN, "trapline.fp", own_text(), os::Database::own())] }
    }

    /// Uses these place databases, the strongest first; the built-in countries behind them where `built_in` says so, or where none
    /// of them knows countries.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn with_places(mut self, paths: &[PathBuf], built_in: bool) -> Result<Enrichers, EnrichError> {
        if paths.is_empty() {
            return Ok(self);
        }
        let (mut places, errors) = Databases::open(paths);
        if let Some(error) = errors.into_iter().next() {
            return Err(error.into());
        }
        if built_in {
            places.add_embedded();
        }
        self.places = places;
        Ok(self)
    }

    /// Adds fingerprint databases.
    ///
    /// # Errors
    /// The first file that cannot be read or has a wrong line.
    pub fn with_systems(mut self, paths: &[PathBuf]) -> Result<Enrichers, EnrichError> {
        for path in paths {
            let bytes =
                std::fs::read(path).map_err(|cause| EnrichError::System { path: path.clone(), cause })?;
            // Old databases hold names in Latin-1.
            let text = trapline_speech::message::whole_text(&bytes);
            let file = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            let database = os::Database::parse(&file, &text).map_err(|lines| {
                let (line, why) = lines.first().map_or((1, String::new()), |l| (l.line, l.why.clone()));
                EnrichError::Line { path: path.clone(), line, why, others: lines.len().saturating_sub(1) }
            })?;
            let mut tool = tool(database.format()).to_owned();
            // Files of one format for different packets are one tool; a second one for the same packets is another.
            let rival = |s: &System| *s.tool == *tool && s.database.format() == database.format();
            if self.systems.iter().any(rival) {
                let stem = path.file_stem().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
                tool = format!("{tool} {stem}");
            }
            self.systems.push(System::of(&tool, &file, &text, database));
        }
        Ok(self)
    }

    /// The fingerprint databases: tool, file with hash, entries.
    pub fn systems(&self) -> impl Iterator<Item = (&str, &str, usize)> {
        self.systems.iter().map(|s| (&*s.tool, &*s.name, s.database.entries()))
    }

    /// What every tool makes of an observation: the best of its databases.
    fn labels(&self, seen: &Observation) -> Vec<Labelled> {
        let mut labels: Vec<Labelled> = Vec::new();
        for system in &self.systems {
            let matched = system.database.matches(seen);
            let labelled = Labelled {
                tool: Arc::clone(&system.tool),
                database: Arc::clone(&system.name),
                raw: matched.raw.into(),
                label: matched.label.map(|l| l.text.as_str().into()),
                quality: matched.quality,
                distance: matched.distance,
            };
            match labels.iter_mut().find(|best| best.tool == system.tool) {
                Some(best) if labelled.quality > best.quality => *best = labelled,
                Some(_) => {}
                None => labels.push(labelled),
            }
        }
        labels
    }

    /// Rows of `fingerprints` of one day.
    pub(crate) fn fingerprints(
        &self,
        sightings: &[Sighting],
        knocks: &Knocks,
    ) -> Result<RecordBatch, StoreError> {
        let mut known: HashMap<Observation, (Arc<str>, Vec<Labelled>)> = HashMap::new();
        let mut rows: Vec<Fingerprint> = Vec::new();
        for sighting in sightings {
            let seen = sighting.observation;
            let (observation, labels) =
                known.entry(seen).or_insert_with(|| (seen.text().into(), self.labels(&seen)));
            for labelled in labels {
                rows.push(Fingerprint {
                    peer: sighting.peer,
                    tool: Arc::clone(&labelled.tool),
                    database: Arc::clone(&labelled.database),
                    packet: packet(&seen),
                    observation: Some(Arc::clone(observation)),
                    raw: Arc::clone(&labelled.raw),
                    label: labelled.label.clone(),
                    quality: labelled.quality.name(),
                    distance: labelled.distance.map(i16::from),
                    odds: None,
                    packets: sighting.packets,
                    span: (sighting.first.time, sighting.last),
                });
            }
        }
        for (peer, of_peer) in knocks {
            let packets = of_peer.iter().map(|(k, _)| u64::from(k.syns)).sum();
            let first = of_peer.iter().map(|(_, span)| span.0).min().unwrap_or_default();
            let last = of_peer.iter().map(|(_, span)| span.1).max().unwrap_or_default();
            let plain: Vec<Knock> = of_peer.iter().map(|(k, _)| *k).collect();
            for tool in judge(&plain) {
                rows.push(Fingerprint {
                    peer: *peer,
                    tool: INVARIANTS.into(),
                    database: concat!("trapline ", env!("CARGO_PKG_VERSION")).into(),
                    packet: "syn",
                    observation: None,
                    raw: tool.raw.into(),
                    label: Some(tool.name.into()),
                    quality: Quality::Exact.name(),
                    distance: None,
                    odds: Some(tool.odds),
                    packets,
                    span: (first, last),
                });
            }
        }
        rows.sort_by(|a, b| {
            (a.peer, &a.tool, a.packet, &a.observation, &a.raw).cmp(&(
                b.peer,
                &b.tool,
                b.packet,
                &b.observation,
                &b.raw,
            ))
        });
        columns(&rows)
    }

    /// Rows of `places` for these addresses.
    pub(crate) fn places(&self, addresses: &BTreeSet<Address>) -> Result<RecordBatch, StoreError> {
        let several = self.places.iter().count() > 1;
        let names: HashMap<&str, Arc<str>> = self
            .places
            .iter()
            .map(|(name, database)| (name, format!("{name} {}", database.built_day()).into()))
            .collect();
        // Where nothing knows an address all were asked.
        let every: Arc<str> =
            self.places.iter().map(|(name, _)| &*names[name]).collect::<Vec<_>>().join("; ").into();
        let behind = |best: &trapline_enrich::place::Place| -> Arc<str> {
            match (&best.database, &best.network_database) {
                (None, None) => Arc::clone(&every),
                (Some(one), None) | (None, Some(one)) => Arc::clone(&names[&**one]),
                (Some(one), Some(other)) if one == other => Arc::clone(&names[&**one]),
                (Some(one), Some(other)) => format!("{}; {}", names[&**one], names[&**other]).into(),
            }
        };
        let mut rows: Vec<(IpAddr, &str, Arc<str>, Arc<trapline_enrich::place::Place>)> = Vec::new();
        for address in addresses.iter().map(|a| a.ip()) {
            let best = self.places.lookup(address);
            rows.push((address, BEST, behind(&best), best));
            for (name, _) in self.places.iter().filter(|_| several) {
                let place = self.places.lookup_in(name, address).unwrap_or_default();
                rows.push((address, name, Arc::clone(&names[name]), Arc::new(place)));
            }
        }
        let places = || rows.iter().map(|(_, _, _, place)| place);
        let columns: Vec<datafusion::arrow::array::ArrayRef> = vec![
            shown(rows.iter().map(|r| r.0)),
            text(rows.iter().map(|r| r.1)),
            text(rows.iter().map(|r| &*r.2)),
            maybe_shown(places().map(|p| p.country)),
            maybe_text(places().map(|p| p.region.as_deref())),
            Arc::new(places().map(|p| p.latitude).collect::<Float64Array>()),
            Arc::new(places().map(|p| p.longitude).collect::<Float64Array>()),
            maybe_text(places().map(|p| p.time_zone.as_deref())),
            shown(places().map(|p| p.time_zone_from)),
            Arc::new(places().map(|p| p.asn.map(i64::from)).collect::<Int64Array>()),
            maybe_text(places().map(|p| p.as_name.as_deref())),
        ];
        batch(&PLACES, columns)
    }
}

impl System {
    fn of(tool: &str, file: &str, text: &str, database: os::Database) -> System {
        let hash = blake3::hash(text.as_bytes()).to_hex();
        System { tool: tool.into(), name: format!("{file} {}", &hash.as_str()[..16]).into(), database }
    }
}

fn own_text() -> &'static str {
    os::OWN
}

fn tool(format: Format) -> &'static str {
    match format {
        Format::P0f1 => "p0f1",
        Format::P0f2(_) => "p0f2",
        Format::P0f3 => "p0f3",
        Format::Disco => "disco",
        Format::Ettercap => "ettercap",
        Format::Pf => "pf",
        Format::Satori => "satori",
    }
}

fn packet(seen: &Observation) -> &'static str {
    match seen.flags & (SYN | RST | ACK) {
        SYN => "syn",
        f if f == SYN | ACK => "syn/ack",
        _ => "rst",
    }
}

/// One row of `fingerprints`.
struct Fingerprint {
    peer: Address,
    tool: Arc<str>,
    database: Arc<str>,
    packet: &'static str,
    observation: Option<Arc<str>>,
    raw: Arc<str>,
    label: Option<Arc<str>>,
    quality: &'static str,
    distance: Option<i16>,
    odds: Option<f64>,
    packets: u64,
    span: (i64, i64),
}

fn columns(rows: &[Fingerprint]) -> Result<RecordBatch, StoreError> {
    let mut columns = vec![
        shown(rows.iter().map(|r| r.peer)),
        text(rows.iter().map(|r| &*r.tool)),
        text(rows.iter().map(|r| &*r.database)),
        text(rows.iter().map(|r| r.packet)),
        maybe_text(rows.iter().map(|r| r.observation.as_deref())),
        text(rows.iter().map(|r| &*r.raw)),
        maybe_text(rows.iter().map(|r| r.label.as_deref())),
        text(rows.iter().map(|r| r.quality)),
        Arc::new(rows.iter().map(|r| r.distance).collect::<Int16Array>()),
        Arc::new(rows.iter().map(|r| r.odds).collect::<Float64Array>()),
        longs(rows.iter().map(|r| r.packets)),
    ];
    columns.extend(span(rows.iter().map(|r| r.span)));
    batch(&FINGERPRINTS, columns)
}

/// Sightings in stored rows of `fingerprints`: every tool has the same ones, so those of one tool are all.
pub(crate) fn read_sightings(rows: &RecordBatch) -> Vec<Sighting> {
    let columns = Columns(rows);
    let one_tool = (0..rows.num_rows()).map(|row| columns.text("tool", row)).find(|t| *t != INVARIANTS);
    let Some(one_tool) = one_tool.map(str::to_owned) else { return Vec::new() };
    let one = |row: usize| {
        let observation = Observation::parse(columns.maybe_text("observation", row)?).ok()?;
        let first = Place { time: columns.time("first_seen", row), capture: 0, frame: 0 };
        let peer = columns.text("ip", row).parse::<IpAddr>().ok()?.into();
        let packets = columns.long("packets", row);
        Some(Sighting { peer, observation, packets, first, last: columns.time("last_seen", row) })
    };
    (0..rows.num_rows()).filter(|row| columns.text("tool", *row) == one_tool).filter_map(one).collect()
}

/// Header invariants of each source, one entry for each of its ports, with first and last packet.
pub(crate) type Knocks = BTreeMap<Address, Vec<(Knock, (i64, i64))>>;

/// Header invariants in probes.
pub(crate) fn knocks(probes: &[Probe]) -> Knocks {
    let mut knocks = Knocks::new();
    for probe in probes.iter().filter(|p| p.marks.syns > 0) {
        knocks.entry(probe.key.peer).or_default().push((knock(&probe.marks), (probe.first.time, probe.last)));
    }
    knocks
}

fn knock(marks: &Marks) -> Knock {
    let [mirai, masscan, masscan_old, zmap_old, zmap, nmap] = marks.counts;
    Knock {
        syns: marks.syns,
        mirai,
        masscan,
        masscan_old,
        zmap_old,
        zmap,
        nmap,
        unicorn: marks.first,
        unicorn_pairs: marks.unicorn_pairs,
    }
}

/// Addresses of a day that have a place: sources, and victims of floods elsewhere.
pub(crate) fn addresses(day: &DayTables) -> BTreeSet<Address> {
    let victims = day.responses.iter().filter(|r| !r.key.solicited).map(|r| r.key.victim);
    day.probes.iter().map(|p| p.key.peer).chain(victims).collect()
}

/// What enriching again did.
#[derive(Clone, Copy, Debug, Default)]
pub struct EnrichReport {
    /// Number of the commit; `None` where there was nothing to do.
    pub commit: Option<i64>,
    /// Days that were labelled anew, over all platforms.
    pub days: usize,
    /// Rows written.
    pub rows: usize,
}

/// Gives the days of `span` new labels and places by `enrichers`, as one commit. Observations are not touched.
///
/// # Errors
/// When the tables cannot be read or written, or another commit came first ([`StoreError::Conflict`]).
pub async fn enrich_again(
    data: &Data,
    enrichers: &Enrichers,
    days: &Span,
    arguments: Vec<String>,
    mut progress: impl FnMut(usize, usize) -> bool,
) -> Result<EnrichReport, StoreError> {
    let started_us = chrono::Utc::now().timestamp_micros();
    let base = Snapshot::latest(data).await?.ok_or(StoreError::Empty { place: data.name.clone() })?;
    let base = match crate::migrate::migrate(data, &base, crate::migrate::STEPS).await? {
        Some(_) => Snapshot::latest(data).await?.unwrap_or(base),
        None => base,
    };
    let covered = |files: &Files| -> BTreeMap<(String, Day), String> {
        let in_span = files.0.values().filter_map(|f| Some((f.partition.clone()?, f.path.clone())));
        in_span.filter(|((platform, day), _)| days.covers(platform, *day)).collect()
    };
    let mut report = EnrichReport::default();
    let (mut fingerprints, mut places) = (base.files(&FINGERPRINTS).await?, base.files(&PLACES).await?);
    let old = (covered(&fingerprints), covered(&places));
    let (probes, sources, responses) = (
        covered(&base.files(&PROBES).await?),
        covered(&base.files(&SOURCES).await?),
        covered(&base.files(&RESPONSES).await?),
    );
    let partitions: BTreeSet<(String, Day)> = sources.keys().chain(responses.keys()).cloned().collect();
    for (i, partition) in partitions.iter().enumerate() {
        if !progress(i, partitions.len()) {
            return Err(StoreError::Stopped);
        }
        let read = |table: &'static Table, files: &BTreeMap<(String, Day), String>| {
            let path = files.get(partition).cloned();
            async move {
                match path {
                    Some(path) => read_file(data, table, &path).await.map(Some),
                    None => Ok(None),
                }
            }
        };
        let seen = read(&FINGERPRINTS, &old.0).await?.map(|rows| read_sightings(&rows)).unwrap_or_default();
        let mut knocked = Knocks::new();
        if let Some(rows) = read(&PROBES, &probes).await? {
            let columns = Columns(&rows);
            for row in 0..rows.num_rows() {
                let Some(marks) = columns.maybe_text("marks", row).map(Marks::parse) else { continue };
                let Ok(peer) = columns.text("ip", row).parse::<IpAddr>() else { continue };
                let span = (columns.time("first_seen", row), columns.time("last_seen", row));
                knocked.entry(peer.into()).or_default().push((knock(&marks), span));
            }
        }
        let mut addresses = BTreeSet::new();
        for (table, files, column) in [(&SOURCES, &sources, "ip"), (&RESPONSES, &responses, "victim")] {
            let Some(rows) = read(table, files).await? else { continue };
            let solicited = rows.column_by_name("solicited").map(|c| c.as_boolean().clone());
            for row in 0..rows.num_rows() {
                let asked = solicited.as_ref().is_some_and(|s| s.value(row));
                let address = Columns(&rows).text(column, row).parse::<IpAddr>();
                addresses.extend(address.ok().filter(|_| !asked).map(Address::from));
            }
        }
        for (table, files, old, rows) in [
            (&FINGERPRINTS, &mut fingerprints, &old.0, enrichers.fingerprints(&seen, &knocked)?),
            (&PLACES, &mut places, &old.1, enrichers.places(&addresses)?),
        ] {
            if let Some(path) = old.get(partition) {
                files.0.remove(path);
            }
            if rows.num_rows() > 0 {
                let file = delta::write_file(data, table, Some(partition.clone()), None, &rows).await?;
                files.0.insert(file.path.clone(), file);
                report.rows += rows.num_rows();
            }
        }
        report.days += 1;
    }
    if report.days == 0 {
        return Ok(report);
    }
    let mut commit = Commit {
        version: base.commit.version + 1,
        schema_version: SCHEMA_VERSION,
        program: concat!("trapline ", env!("CARGO_PKG_VERSION")).into(),
        arguments,
        started_us,
        packets: 0,
        over_limit: 0,
        untold: 0,
        ..base.commit.clone()
    };
    for (table, files) in [(&FINGERPRINTS, &fingerprints), (&PLACES, &places)] {
        commit.tables.insert(table.name.into(), delta::commit(data, table, files).await?);
    }
    commit.finished_us = chrono::Utc::now().timestamp_micros();
    commits::append(data, Some(&base), &commit).await?;
    report.commit = Some(commit.version);
    Ok(report)
}
