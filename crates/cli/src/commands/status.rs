//! `trapline status`

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use trapline_archive::disk::Disk;
use trapline_archive::manifest::{Manifest, of_manifest};
use trapline_archive::{Folder, ledger, spool};
use trapline_report::escape::printable;
use trapline_report::thousands;

use crate::error::CommandError;
use crate::ui::Ui;

/// What a spool or a vault holds: for each sensor and day, packets seen, dropped and kept
///
/// Reads manifests only; `trapline verify` looks at everything.
#[derive(Args)]
pub struct StatusArgs {
    /// The folder of a spool or a vault
    #[arg(value_name = "DIR")]
    archive: PathBuf,
}

/// Says how things stand.
pub fn status(ui: &Ui, args: &StatusArgs) -> Result<(), CommandError> {
    let failed = |e: std::io::Error| CommandError::new(format!("{}: {e}", args.archive.display()));
    std::fs::read_dir(&args.archive).map_err(failed)?;
    let folder = Folder::at(&args.archive).map_err(failed)?;
    let files = folder.list().map_err(failed)?;
    let mut manifests: Vec<Manifest> = Vec::new();
    for (sensor, sequence) in files.iter().filter_map(|(name, _)| of_manifest(name)) {
        match spool::manifest(&folder, sensor, sequence) {
            Ok(manifest) => manifests.push(manifest),
            Err(error) => ui.finding(&printable(&error.to_string())),
        }
    }
    if manifests.is_empty() {
        return Err(CommandError::new(format!("{}: no segment is there", args.archive.display())));
    }
    let number = |n: u64| thousands(n as i64);
    let mut out = String::from(
        "sensor            day         segments        seen     dropped        kept         cut\n",
    );
    for ((sensor, day), entry) in ledger::of(&manifests) {
        out.push_str(&format!(
            "{:<16}  {}  {:>8}  {:>10}  {:>10}  {:>10}  {:>10}{}\n",
            printable(&sensor),
            date(day),
            number(entry.segments),
            number(entry.seen),
            number(entry.dropped),
            number(entry.written),
            number(entry.cut),
            if entry.recovered > 0 { format!("  {} recovered", entry.recovered) } else { String::new() },
        ));
    }
    out.push('\n');
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    let mut sensors: Vec<&str> = manifests.iter().map(|manifest| manifest.sensor.as_str()).collect();
    sensors.dedup();
    for sensor in sensors {
        let last = manifests.iter().rev().find(|manifest| manifest.sensor == sensor);
        if let Some(last) = last {
            let ago = now - last.sealed_ns / 1_000_000_000;
            out.push_str(&format!(
                "{}: segment {} was sealed {} ago\n",
                printable(sensor),
                last.sequence,
                span(ago)
            ));
        }
    }
    let open = files.iter().filter(|(name, _)| name.starts_with(".open/"));
    let (count, bytes) = open.fold((0u64, 0u64), |(count, bytes), (_, length)| (count + 1, bytes + length));
    let used: u64 = files.iter().map(|(_, length)| length).sum();
    out.push_str(&format!("{} bytes, {} of them not sealed yet", number(used), number(bytes)));
    out.push_str(if count == 0 { "\n" } else { ": a sensor writes, or was killed and will recover them\n" });
    ui.print(&out)
}

fn date(day: i64) -> String {
    let date = chrono::DateTime::from_timestamp(day * 86_400, 0);
    date.map_or_else(|| "?".into(), |date| date.format("%Y-%m-%d").to_string())
}

/// A time span for people.
fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
