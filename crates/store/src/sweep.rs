//! Sweeps what killed ingests left behind: data files that no version of any table names.
//!
//! An ingest that was killed leaves files that it had written and not yet committed, and the temporary
//! files of half-written ones. Writers of one machine share a lock on `.writers`; whoever gets it for
//! itself alone knows that no other writer lives, and sweeps. The lock serves tidiness only: commits are
//! right without it, and the system gives it back when a process dies. Object stores are not swept by us: their lifecycle rules are the tool for that.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::schema::{TABLES, Table};
use crate::{Data, StoreError};

/// Files that a later version replaced stay this long for readers who still look at the earlier one.
const KEEP_REPLACED: Duration = Duration::from_secs(24 * 3600);

/// A writer's share of the lock; given back when dropped.
#[derive(Debug)]
pub struct Lease(#[allow(dead_code, reason = "held, not read")] Option<File>);

/// Enters as a writer; sweeps first where nobody else is writing.
///
/// # Errors
/// When the folder cannot be written.
pub async fn enter(data: &Data) -> Result<Lease, StoreError> {
    let Some(folder) = &data.folder else { return Ok(Lease(None)) };
    let fail = |e: std::io::Error| StoreError::Place { place: data.name.clone(), what: e.to_string() };
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join(".writers"))
        .map_err(fail)?;
    if lock.try_lock().is_ok() {
        for table in TABLES {
            // What cannot be swept today is swept tomorrow; it is in nobody's way.
            if let Err(error) = sweep_table(data, folder, table).await {
                tracing::debug!(table = table.name, %error, "could not sweep");
            }
        }
        lock.unlock().map_err(fail)?;
    }
    lock.lock_shared().map_err(fail)?;
    Ok(Lease(Some(lock)))
}

async fn sweep_table(data: &Data, folder: &Path, table: &'static Table) -> Result<(), StoreError> {
    let place = folder.join(table.name);
    if !place.is_dir() {
        return Ok(());
    }
    let named = named_in_log(&place.join("_delta_log"));
    let live: HashSet<String> = match crate::delta::open(data, table, None).await {
        Ok(opened) => crate::delta::files(&opened, table)?.0.into_keys().collect(),
        Err(_) => return Ok(()),
    };
    let pinned: HashSet<String> = match crate::Snapshot::latest(data).await? {
        Some(snapshot) => snapshot.files(table).await?.0.into_keys().collect(),
        None => HashSet::new(),
    };
    for entry in walkdir::WalkDir::new(&place).into_iter().filter_map(Result::ok) {
        let path = entry.path();
        let Ok(inside) = path.strip_prefix(&place) else { continue };
        let inside = inside.to_string_lossy().into_owned();
        if !entry.file_type().is_file() || live.contains(&inside) || pinned.contains(&inside) {
            continue;
        }
        let half_written =
            inside.rsplit_once('#').is_some_and(|(_, n)| n.chars().all(|c| c.is_ascii_digit()));
        let data_file = !inside.starts_with("_delta_log") && inside.ends_with(".parquet");
        let unnamed = data_file && !named.contains(&inside);
        if half_written || unnamed || (data_file && older_than(path, KEEP_REPLACED)) {
            let _ = std::fs::remove_file(path);
        }
    }
    Ok(())
}

/// Paths that any entry of the log mentions.
fn named_in_log(log: &Path) -> HashSet<String> {
    let mut named = HashSet::new();
    for entry in std::fs::read_dir(log).into_iter().flatten().filter_map(Result::ok) {
        let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
        for action in text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
            let path =
                action.get("add").or_else(|| action.get("remove")).and_then(|a| a.get("path")?.as_str());
            named.extend(path.map(str::to_owned));
        }
    }
    named
}

fn older_than(path: &Path, age: Duration) -> bool {
    let modified = std::fs::metadata(path).and_then(|m| m.modified());
    modified.is_ok_and(|m| SystemTime::now().duration_since(m).is_ok_and(|a| a > age))
}
