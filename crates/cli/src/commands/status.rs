//! `trapline status`

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use trapline_archive::disk::Disk;
use trapline_archive::manifest::{Manifest, of_manifest};
use trapline_archive::{ledger, spool};
use trapline_report::escape::printable;
use trapline_report::thousands;
use trapline_sensor::health::Health;
use trapline_sensor::ship::Shipped;

use crate::commands::archive;
use crate::error::CommandError;
use crate::ui::Ui;

/// How a line stands: for each sensor and day packets seen, dropped and kept, and how a sensor here is
///
/// Of a vault or a spool manifests are read; `trapline verify` looks at everything. Of a spool also how its sensor is, and how far the
/// vault has its segments.
#[derive(Args)]
pub struct StatusArgs {
    /// The folder of a spool or a vault, or an object store
    #[arg(value_name = "DIR|URL", default_value = "trapline-vault", env = "TRAPLINE_VAULT")]
    archive: String,
}

/// Says how things stand.
pub fn status(ui: &Ui, args: &StatusArgs) -> Result<(), CommandError> {
    let failed = |e: std::io::Error| CommandError::new(format!("{}: {e}", args.archive));
    let folder = archive::open(&args.archive)?;
    let files = folder.list().map_err(failed)?;
    let here = here(Path::new(&args.archive));
    let mut manifests: Vec<Manifest> = Vec::new();
    for (sensor, sequence) in files.iter().filter_map(|(name, _)| of_manifest(name)) {
        match spool::manifest(&folder, sensor, sequence) {
            Ok(manifest) => manifests.push(manifest),
            Err(error) => ui.finding(&printable(&error.to_string())),
        }
    }
    if manifests.is_empty() {
        return match here {
            Some(here) => ui.print(&here),
            None => Err(CommandError::new(format!("{}: no segment is there", args.archive))),
        };
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
    out.push_str(&here.unwrap_or_default());
    let open = files.iter().filter(|(name, _)| name.starts_with(".open/"));
    let (count, bytes) = open.fold((0u64, 0u64), |(count, bytes), (_, length)| (count + 1, bytes + length));
    let used: u64 = files.iter().map(|(_, length)| length).sum();
    out.push_str(&format!("{} bytes, {} of them not sealed yet", number(used), number(bytes)));
    out.push_str(if count == 0 { "\n" } else { ": a sensor writes, or was killed and will recover them\n" });
    ui.print(&out)
}

/// How the sensor is that writes in this folder, and its shipping; nothing where none ever did.
fn here(spool: &Path) -> Option<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i64;
    let ago = |at: i64| span((now - at) / 1_000_000_000);
    let health = Health::read(spool)?;
    let number = |n: u64| thousands(n as i64);
    let mut out = match ago(health.at_ns) {
        // It writes each second.
        _ if !health.ended && now - health.at_ns < 10_000_000_000 => {
            format!("the sensor runs, for {}", ago(health.started_ns))
        }
        since => format!("no sensor runs here, since {since}"),
    };
    out.push_str(&format!(
        ": {} frames came, {} dropped, {} sent; room in the spool: {}\n",
        number(health.heard),
        number(health.dropped),
        number(health.answered),
        printable(&health.room)
    ));
    if let Some(trouble) = health.trouble {
        out.push_str(&format!("the sensor says: {}\n", printable(&trouble)));
    }
    if let Some(shipped) = Shipped::read(spool) {
        let heard = shipped
            .heard_ns
            .map_or_else(|| "was never reached".into(), |at| format!("answered {} ago", ago(at)));
        out.push_str(&format!(
            "the vault {} {heard}; it has everything up to segment {}\n",
            printable(&shipped.vault),
            shipped.acknowledged
        ));
        if let Some(trouble) = shipped.trouble {
            out.push_str(&format!("shipping: {}\n", printable(&trouble)));
        }
    }
    Some(out)
}

fn date(day: i64) -> String {
    let date = chrono::DateTime::from_timestamp(day * 86_400, 0);
    date.map_or_else(|| "?".into(), |date| date.format("%Y-%m-%d").to_string())
}

/// A time span for people.
pub fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
