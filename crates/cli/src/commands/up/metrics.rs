//! How everything is, in the text form that Prometheus reads (version 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use trapline_archive::ledger::Entry;
use trapline_archive::manifest::{Manifest, of_manifest};
use trapline_archive::{Disk, Folder, spool};
use trapline_sensor::health::Health;
use trapline_sensor::ship::Shipped;

use super::intake::{Progress, now_s};

/// A sensor on this machine.
#[derive(Clone, Debug)]
pub struct Here {
    /// Its name.
    pub sensor: String,
    /// Its spool.
    pub spool: PathBuf,
}

/// What is known of one sensor's segments in the vault.
#[derive(Clone, Debug, Default)]
struct Kept {
    /// All of them added up.
    sum: Entry,
    /// The last one's number, and when it was sealed, in nanoseconds since 1970.
    last: (u64, i64),
}

/// All that is measured.
#[derive(Debug, Default)]
pub struct Metrics {
    /// When this began, in seconds since 1970.
    started_s: u64,
    here: Vec<Here>,
    /// The vault's folder.
    vault: PathBuf,
    /// What is known without looking at any file.
    pub live: Arc<Mutex<Live>>,
    /// Manifests never change, so each is read once.
    kept: Mutex<BTreeMap<String, Kept>>,
}

/// What those who look after processes and intake say.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Processes: name, how often they were started again, whether they run.
    pub processes: Vec<(String, u64, bool)>,
    /// How intake goes.
    pub intake: Progress,
}

/// A sensor that writes nothing for so long does not run, in seconds.
const SILENT_S: u64 = 30;
const NS: f64 = 1e9;

/// Values of one metric.
struct Family<'a> {
    out: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    /// Begins one: what it is, and whether it only grows.
    fn begin<'a>(out: &'a mut String, name: &'static str, kind: &str, help: &str) -> Family<'a> {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { out, name }
    }

    fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.out, "{}{labels} {value}", self.name);
    }
}

/// A label's value: names come from folders.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Metrics {
    /// Of these sensors on this machine, and the vault in that folder.
    pub fn new(here: Vec<Here>, vault: PathBuf) -> Metrics {
        Metrics { started_s: now_s(), here, vault, ..Metrics::default() }
    }

    /// What is not as it should be; nothing where all is well.
    pub fn ailing(&self) -> Option<String> {
        let live = self.live();
        let down = live
            .processes
            .iter()
            .filter(|(_, _, runs)| !runs)
            .map(|(name, ..)| format!("{name} does not run"));
        let silent = self.here.iter().filter(|here| {
            Health::read(&here.spool)
                .is_none_or(|health| now_s().saturating_sub((health.at_ns / 1_000_000_000) as u64) > SILENT_S)
        });
        let young = now_s().saturating_sub(self.started_s) < SILENT_S;
        let silent = silent.filter(|_| !young).map(|here| format!("the sensor {} is silent", here.sensor));
        let intake = live.intake.trouble.iter().map(|trouble| format!("intake: {trouble}"));
        let all: Vec<String> = down.chain(silent).chain(intake).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    fn live(&self) -> Live {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of it.
    pub fn text(&self) -> String {
        let live = self.live();
        let mut out = String::new();
        let mut family =
            Family::begin(&mut out, "trapline_start_time_seconds", "gauge", "When trapline up was started");
        family.value(&[], self.started_s as f64);
        let mut family = Family::begin(&mut out, "trapline_process_up", "gauge", "Whether a process runs");
        live.processes
            .iter()
            .for_each(|(name, _, runs)| family.value(&[("process", name)], f64::from(u8::from(*runs))));
        let mut family = Family::begin(
            &mut out,
            "trapline_process_restarts_total",
            "counter",
            "How often a process was started again",
        );
        live.processes
            .iter()
            .for_each(|(name, restarts, _)| family.value(&[("process", name)], *restarts as f64));
        self.sensors(&mut out);
        self.kept(&mut out);
        intake(&live.intake, &mut out);
        out
    }

    fn sensors(&self, out: &mut String) {
        let all: Vec<(&Here, Health)> =
            self.here.iter().filter_map(|here| Some((here, Health::read(&here.spool)?))).collect();
        let mut each = |name, kind, help, of: &dyn Fn(&Here, &Health) -> Option<f64>| {
            let mut family = Family::begin(out, name, kind, help);
            for (here, health) in &all {
                if let Some(value) = of(here, health) {
                    family.value(&[("sensor", &here.sensor)], value);
                }
            }
        };
        each(
            "trapline_sensor_heard_packets_total",
            "counter",
            "Packets that came since the capturing process started",
            &|_, h| Some(h.heard as f64),
        );
        each(
            "trapline_sensor_sent_packets_total",
            "counter",
            "Packets that hosts sent since then",
            &|_, h| Some(h.answered as f64),
        );
        each(
            "trapline_sensor_dropped_packets_total",
            "counter",
            "Packets that the kernel dropped since then",
            &|_, h| Some(h.dropped as f64),
        );
        each(
            "trapline_sensor_seen_timestamp_seconds",
            "gauge",
            "When the capturing process last wrote how it is",
            &|_, h| Some(h.at_ns as f64 / NS),
        );
        each(
            "trapline_sensor_trouble",
            "gauge",
            "Whether the capturing process says that something cannot be done",
            &|_, h| Some(f64::from(u8::from(h.trouble.is_some()))),
        );
        each("trapline_spool_bytes", "gauge", "Bytes of the spool", &|_, h| Some(h.spool_bytes as f64));
        each(
            "trapline_spool_room",
            "gauge",
            "Room in the spool: 0 enough, 1 narrow, 2 headers only, 3 none",
            &|_, h| {
                ["enough", "narrow", "headers-only", "none"]
                    .iter()
                    .position(|name| *name == h.room)
                    .map(|place| place as f64)
            },
        );
        each(
            "trapline_spool_age_seconds",
            "gauge",
            "Age of the oldest sealed segment that the vault does not have; 0 where it has all",
            &|here, _| {
                let disk = Folder::at(&here.spool).ok()?;
                let shipped = Shipped::read(&here.spool)?.acknowledged;
                let waiting =
                    spool::sealed(&disk, &here.sensor).ok()?.into_iter().find(|sequence| *sequence > shipped);
                let Some(sequence) = waiting else { return Some(0.0) };
                let sealed = spool::manifest(&disk, &here.sensor, sequence).ok()?.sealed_ns as f64 / NS;
                Some((now_s() as f64 - sealed).max(0.0))
            },
        );
        each(
            "trapline_shipped_segment",
            "gauge",
            "Number of the last segment that the vault has with all before it",
            &|here, _| Some(Shipped::read(&here.spool)?.acknowledged as f64),
        );
        each(
            "trapline_vault_heard_timestamp_seconds",
            "gauge",
            "When the vault answered last",
            &|here, _| Some(Shipped::read(&here.spool)?.heard_ns? as f64 / NS),
        );
    }

    fn kept(&self, out: &mut String) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.look_into_vault(&mut kept);
        let kept = &*kept;
        let mut each = |name, kind, help, of: &dyn Fn(&Kept) -> Vec<(&'static str, f64)>| {
            let mut family = Family::begin(out, name, kind, help);
            for (sensor, kept) in kept {
                for (what, value) in of(kept) {
                    let labels = [("sensor", sensor.as_str()), ("what", what)];
                    family.value(if what.is_empty() { &labels[..1] } else { &labels }, value);
                }
            }
        };
        each("trapline_vault_segments", "gauge", "Segments of a sensor in the vault", &|k| {
            vec![("", k.sum.segments as f64)]
        });
        each("trapline_vault_recovered_segments", "gauge", "Of these, not closed by their sensor", &|k| {
            vec![("", k.sum.recovered as f64)]
        });
        each(
            "trapline_vault_bytes",
            "gauge",
            "Bytes of a sensor's captures and records in the vault",
            &|k| vec![("", k.sum.bytes as f64)],
        );
        each("trapline_vault_last_segment", "gauge", "Number of the last segment", &|k| {
            vec![("", k.last.0 as f64)]
        });
        each(
            "trapline_vault_last_sealed_timestamp_seconds",
            "gauge",
            "When the last segment was sealed",
            &|k| vec![("", k.last.1 as f64 / NS)],
        );
        each(
            "trapline_ledger_packets",
            "gauge",
            "Packets by the ledger: seen = dropped + written; cut are written with their headers only",
            &|k| {
                [
                    ("seen", k.sum.seen),
                    ("dropped", k.sum.dropped),
                    ("written", k.sum.written),
                    ("cut", k.sum.cut),
                ]
                .map(|(what, n)| (what, n as f64))
                .to_vec()
            },
        );
    }

    /// Reads the manifests that came since the last time.
    fn look_into_vault(&self, all: &mut BTreeMap<String, Kept>) {
        let Ok(folder) = Folder::at(&self.vault) else { return };
        let Ok(files) = folder.list() else { return };
        for (sensor, sequence) in files.iter().filter_map(|(name, _)| of_manifest(name)) {
            let kept = all.entry(sensor.to_owned()).or_default();
            if sequence <= kept.last.0 {
                continue;
            }
            let manifest: Result<Manifest, _> = spool::manifest(&folder, sensor, sequence);
            if let Ok(manifest) = manifest {
                kept.sum.add(&manifest);
                kept.last = (sequence, manifest.sealed_ns);
            }
        }
    }
}

fn intake(progress: &Progress, out: &mut String) {
    let Progress { runs, last_s, took_s, waiting, trouble } = progress;
    let mut family = Family::begin(
        out,
        "trapline_intake_runs_total",
        "counter",
        "Times that segments were counted, by how it ended",
    );
    for (result, count) in ["well", "findings", "failed"].iter().zip(runs) {
        family.value(&[("result", result)], *count as f64);
    }
    let mut family = Family::begin(
        out,
        "trapline_intake_last_timestamp_seconds",
        "gauge",
        "When segments were counted last",
    );
    last_s.iter().for_each(|at| family.value(&[], *at as f64));
    Family::begin(out, "trapline_intake_duration_seconds", "gauge", "How long that took").value(&[], *took_s);
    Family::begin(
        out,
        "trapline_intake_waiting_segments",
        "gauge",
        "Segments that are in the vault and in no table, as it was looked last",
    )
    .value(&[], *waiting as f64);
    let trouble = f64::from(u8::from(trouble.is_some()));
    Family::begin(out, "trapline_intake_trouble", "gauge", "Whether something is in the way of intake")
        .value(&[], trouble);
}
