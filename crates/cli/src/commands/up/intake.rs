//! From the vault to the page: new segments are counted, every few minutes and at the end of each UTC day, and the page is written anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use trapline_archive::manifest::{FileKind, of_file};
use trapline_archive::{Disk, Folder};

use super::config::Config;
use super::service::{Job, NO_CAPABILITIES};

/// Captures that are taken in at once: as many as fit on a command line, and few enough that a commit comes soon.
const AT_ONCE: usize = 400;
/// After midnight, so that the day's last segment is sealed and shipped.
const AFTER_MIDNIGHT_S: u64 = 60;

/// How long one step may take: a sensor could send what unpacks to more than any disk.
const LONGEST: Duration = Duration::from_secs(6 * 3_600);

/// What is being done.
enum Step {
    /// Counts these captures of a sensor, by their names in the vault.
    Count(String, Vec<String>),
    /// Writes the page.
    Page,
}

/// How intake goes, for metrics.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Runs that ended well, or with findings, or not at all.
    pub runs: [u64; 3],
    /// When segments were last counted well, in seconds since 1970.
    pub last_s: Option<u64>,
    /// How long the last run took, in seconds.
    pub took_s: f64,
    /// Segments of the vault that are in no table yet.
    pub waiting: usize,
    /// What is in the way, since the last time that all went well.
    pub trouble: Option<String>,
}

/// The part of `up` that counts.
pub struct Intake {
    /// How it goes.
    pub progress: Progress,
    /// Captures that are in the tables, as `SENSOR/FILE`. Names hold hashes, so a name tells which capture it is.
    known: BTreeSet<String>,
    due: Instant,
    steps: VecDeque<(Step, Vec<String>)>,
    job: Option<(Job, Step)>,
    /// Whether something of this round could not be counted.
    failed: bool,
}

/// Now, in seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Intake {
    /// Begins with what the tables have already.
    pub fn new(config: &Config) -> Intake {
        Intake {
            progress: Progress::default(),
            known: in_tables(&config.data),
            // The first page comes soon, so that there is something to see.
            due: Instant::now() + config.intake.every.min(Duration::from_secs(10)),
            steps: VecDeque::new(),
            job: None,
            failed: false,
        }
    }

    /// Goes on; what happened, for the log.
    pub fn look(&mut self, config: &Config) -> Option<String> {
        let told = self.go_on(config);
        if told.is_some() {
            self.progress.trouble.clone_from(&told);
        }
        told
    }

    fn go_on(&mut self, config: &Config) -> Option<String> {
        if let Some((job, _)) = &self.job {
            if job.begun.elapsed() > LONGEST
                && let Some((job, _)) = self.job.take()
            {
                job.stop();
                self.steps.clear();
                return Some(format!(
                    "intake took longer than {} h, and was stopped",
                    LONGEST.as_secs() / 3_600
                ));
            }
            let (job, _) = self.job.as_mut()?;
            let status = job.ended()?;
            let took = job.begun.elapsed().as_secs_f64();
            let (_, step) = self.job.take()?;
            return self.ended(config, step, status.code(), took);
        }
        if let Some((step, words)) = self.steps.pop_front() {
            return match Job::start(&words) {
                Ok(job) => {
                    self.job = Some((job, step));
                    None
                }
                Err(error) => {
                    self.steps.clear();
                    Some(format!("intake cannot be started: {error}"))
                }
            };
        }
        if Instant::now() < self.due {
            return None;
        }
        let to_midnight = 86_400 - now_s() % 86_400 + AFTER_MIDNIGHT_S;
        self.due = Instant::now() + config.intake.every.min(Duration::from_secs(to_midnight));
        match self.new_segments(&config.vault.folder) {
            Ok(new) => {
                self.failed = false;
                self.progress.waiting = new.values().map(Vec::len).sum();
                self.plan(config, new);
                None
            }
            Err(error) => Some(format!("{}: {error}", config.vault.folder.display())),
        }
    }

    fn ended(&mut self, config: &Config, step: Step, code: Option<i32>, took_s: f64) -> Option<String> {
        let Step::Count(sensor, names) = step else {
            let failed = code.is_none_or(|code| code > 1);
            if !failed && !self.failed {
                self.progress.trouble = None;
            }
            return failed.then(|| "the page could not be written".into());
        };
        let run = match code {
            Some(0) => 0,
            Some(1) => 1,
            _ => 2,
        };
        self.progress.runs[run] += 1;
        self.progress.took_s = took_s;
        if run == 2 {
            // The tables are as they were: the same again next time. Other sensors have nothing to do with it.
            self.failed = true;
            self.steps.retain(|(step, _)| !matches!(step, Step::Count(other, _) if *other == sensor));
            return Some(format!("segments of {sensor} could not be counted; they are tried again"));
        }
        self.progress.last_s = Some(now_s());
        self.progress.waiting = self.progress.waiting.saturating_sub(names.len());
        // With findings something may have been left out.
        self.known.extend(if run == 0 { names.into_iter().collect() } else { in_tables(&config.data) });
        None
    }

    /// Stops what is being done; what was committed stays.
    pub fn stop(&mut self) {
        if let Some((job, _)) = self.job.take() {
            job.stop();
        }
    }

    /// Captures of sealed segments that are in no table, by sensor, in order of time.
    fn new_segments(&self, vault: &Path) -> io::Result<BTreeMap<String, Vec<String>>> {
        let files = match vault.is_dir() {
            true => Folder::at(vault)?.list()?,
            false => Vec::new(),
        };
        let mut sealed = BTreeSet::new();
        let mut captures = Vec::new();
        for (name, _) in &files {
            let Some((sensor, file)) = name.split_once('/').filter(|(sensor, _)| !sensor.starts_with('.'))
            else {
                continue;
            };
            match of_file(file) {
                Some((sequence, FileKind::Manifest)) => {
                    sealed.insert((sensor, sequence));
                }
                Some((sequence, FileKind::Capture)) if !self.known.contains(name) => {
                    captures.push((sensor, sequence, name))
                }
                _ => {}
            }
        }
        let mut new: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (sensor, sequence, name) in captures {
            if sealed.contains(&(sensor, sequence)) {
                new.entry(sensor.to_owned()).or_default().push(name.clone());
            }
        }
        Ok(new)
    }

    fn plan(&mut self, config: &Config, new: BTreeMap<String, Vec<String>>) {
        let path = |path: &Path| path.display().to_string();
        let flags = |flag: &str, files: &[std::path::PathBuf]| -> Vec<String> {
            files.iter().flat_map(|file| [flag.to_owned(), path(file)]).collect()
        };
        for (sensor, names) in new {
            let hosts = match config.site.iter().find(|site| site.name == sensor) {
                Some(site) => ["--platform".to_owned(), path(&site.platform)],
                None => ["--platform-name".to_owned(), sensor.clone()],
            };
            for names in names.chunks(AT_ONCE) {
                let mut words = vec!["ingest".to_owned(), "--data".into(), config.data.clone()];
                words.extend(hosts.clone());
                words.extend(flags("--geo", &config.intake.geo));
                words.extend(flags("--fingerprints", &config.intake.fingerprints));
                words.extend(names.iter().map(|name| path(&config.vault.folder.join(name))));
                self.steps.push_back((Step::Count(sensor.clone(), names.to_vec()), words));
            }
        }
        if !self.steps.is_empty() {
            let report = &config.report;
            let words =
                ["report", "--data", &config.data, "--title", &report.title, "-o", &path(&report.file)];
            self.steps.push_back((Step::Page, words.map(str::to_owned).to_vec()));
        }
    }
}

/// Captures that are in the tables; none where there are no tables.
fn in_tables(data: &str) -> BTreeSet<String> {
    let statement = "SELECT DISTINCT name FROM captures";
    let words = ["sql", "--data", data, "--format", "csv", statement];
    let mut command = Command::new("/proc/self/exe");
    let output = command.args(words).env(NO_CAPABILITIES, "1").stderr(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().filter_map(in_vault).collect()
}

/// The last two words of a path: what a capture is called in a vault.
fn in_vault(path: &str) -> Option<String> {
    let mut words = path.trim_matches('"').rsplit('/');
    let (file, sensor) = (words.next()?, words.next()?);
    Some(format!("{sensor}/{file}"))
}
