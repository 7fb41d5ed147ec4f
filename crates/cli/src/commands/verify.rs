//! `trapline verify`

use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;
use trapline_archive::Disk;
use trapline_archive::manifest::of_manifest;
use trapline_archive::verify::{Expected, verify as walk};
use trapline_report::escape::printable;
use trapline_report::thousands;

use crate::commands::archive;
use crate::commands::vault::identity_of;
use crate::error::CommandError;
use crate::ui::Ui;

/// Is the archive whole?
///
/// Walks the chain of every sensor's segments in a vault or a spool: what is missing, altered, unsigned, out of order, overlapping, and
/// where nothing was kept for a while. Exit status 0: whole; 1: something was found; 2: it could not be looked at.
#[derive(Args)]
pub struct VerifyArgs {
    /// The folder of a vault or of a spool, or an object store (s3://, gs://, az://, with credentials from the environment)
    #[arg(value_name = "DIR|URL", default_value = "trapline-vault", env = "TRAPLINE_VAULT")]
    archive: String,
    /// A sensor's public key, as it was enrolled; again for more. Without one it is the one that the vault's register has, or that of the
    /// sensor's first segment
    #[arg(long, value_name = "SENSOR=KEY", value_parser = crate::commands::ask::parameter)]
    key: Vec<(String, String)>,
    /// It is a spool: segments that were shipped may be missing in front
    #[arg(long)]
    spool: bool,
}

/// Verifies.
pub fn verify(ui: &Ui, args: &VerifyArgs) -> Result<(), CommandError> {
    let failed = |e: std::io::Error| CommandError::new(format!("{}: {e}", args.archive));
    let folder = archive::open(&args.archive)?;
    let nested = |(name, _): &(String, u64)| name.matches('/').count() > 1 && of_manifest(name).is_some();
    if folder.list().map_err(failed)?.iter().any(nested) {
        let what = format!("{}: this is a folder of spools or vaults, not one of them", args.archive);
        return Err(CommandError::new(what).hint("name one of its folders"));
    }
    let mut keys = enrolled(ui, &args.archive);
    keys.extend(args.key.iter().cloned());
    let expected = Expected { keys, may_begin_later: args.spool };
    let bar = ui.progress("verifying");
    let mut looked_at = 0;
    let verdict = walk(&folder, &expected, |_, _| {
        looked_at += 1;
        bar.at(looked_at, 0, 0, false);
    });
    bar.finish();
    let verdict = verdict.map_err(failed)?;
    if verdict.segments == 0 {
        return Err(CommandError::new(format!("{}: no segment is there", args.archive)));
    }
    let mut out = String::new();
    let mut sensors: BTreeMap<&str, trapline_archive::ledger::Entry> = BTreeMap::new();
    for ((sensor, _), entry) in &verdict.ledger {
        let sum = sensors.entry(sensor).or_default();
        sum.segments += entry.segments;
        sum.seen += entry.seen;
        sum.dropped += entry.dropped;
        sum.written += entry.written;
        sum.bytes += entry.bytes;
    }
    for (sensor, sum) in &sensors {
        let number = |n: u64| thousands(n as i64);
        out.push_str(&format!(
            "{}: {} {}, {} packets seen = {} dropped + {} kept, {} bytes\n",
            printable(sensor),
            number(sum.segments),
            if sum.segments == 1 { "segment" } else { "segments" },
            number(sum.seen),
            number(sum.dropped),
            number(sum.written),
            number(sum.bytes),
        ));
    }
    for finding in &verdict.findings {
        let place = match finding.sequence {
            0 => printable(&finding.sensor).to_string(),
            sequence => format!("{}, segment {sequence}", printable(&finding.sensor)),
        };
        ui.finding(&format!("{place}: {}", printable(&finding.what.to_string())));
    }
    out.push_str(if verdict.is_whole() { "whole\n" } else { "not whole\n" });
    ui.print(&out)
}

/// Keys of sensors as the register of a vault in a folder has them, where there is one that may be read.
fn enrolled(ui: &Ui, archive: &str) -> BTreeMap<String, String> {
    let identity = identity_of(Path::new(archive.trim_end_matches('/')));
    match std::fs::metadata(identity.join("register.json")) {
        Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => return BTreeMap::new(),
        _ => {}
    }
    let entries = trapline_vault::Register::open(&identity).and_then(|register| register.entries());
    let sensors = match entries {
        Ok(entries) => entries.sensors,
        Err(error) => {
            ui.note(&format!("{error}: each sensor's key is taken from its first segment"));
            Vec::new()
        }
    };
    sensors.into_iter().map(|sensor| (sensor.sensor, sensor.key)).collect()
}
