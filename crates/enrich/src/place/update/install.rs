//! Puts checked files into their places, all of them or none.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Source, UpdateError};
use crate::place::database;

/// How the folder in which an update works begins.
pub(super) const WORK: &str = ".trapline-update-";

/// What an update that was killed left behind is swept after so long; no update takes a day.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3600);

/// Moves the database's files from `work` to `folder`, with its attribution and licences.
///
/// Each file is swapped by renaming. Where a later one fails, the earlier ones are taken back.
pub(super) fn install(
    source: Source,
    licences: &[String],
    work: &Path,
    folder: &Path,
) -> Result<(), UpdateError> {
    let mut moves = Vec::new();
    let first = source.files().first().map(Path::new).unwrap_or(Path::new(""));
    let attribution = database::attribution_path(&folder.join(first));
    let written = work.join("attribution.txt");
    let text = format!("{}\n", source.attribution());
    fs::write(&written, text).map_err(|cause| UpdateError::System { path: written.clone(), cause })?;
    moves.push((written, attribution));
    let name = database::name_of(first);
    moves.extend(
        licences.iter().map(|licence| (work.join(licence), folder.join(format!("{name}.{licence}.txt")))),
    );
    moves.extend(source.files().iter().map(|file| (work.join(file), folder.join(file))));
    swap(&moves, work)?;
    // The names have to be on the disk too.
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|cause| UpdateError::System { path: folder.to_owned(), cause })
}

fn swap(moves: &[(PathBuf, PathBuf)], work: &Path) -> Result<(), UpdateError> {
    let mut done: Vec<(&Path, Option<PathBuf>)> = Vec::new();
    for (number, (from, to)) in moves.iter().enumerate() {
        match swap_one(from, to, &work.join(format!("before-{number}"))) {
            Ok(before) => done.push((to, before)),
            Err(cause) => {
                done.into_iter().rev().for_each(|(to, before)| take_back(to, before.as_deref()));
                return Err(UpdateError::System { path: to.clone(), cause });
            }
        }
    }
    Ok(())
}

/// Renames a file over another, which keeps a second name until the update is done.
fn swap_one(from: &Path, to: &Path, aside: &Path) -> io::Result<Option<PathBuf>> {
    let before = match fs::hard_link(to, aside) {
        Ok(()) => Some(aside.to_owned()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
        // A disk without hard links: a copy does too.
        Err(_) => fs::copy(to, aside).map(|_| Some(aside.to_owned()))?,
    };
    fs::rename(from, to)?;
    Ok(before)
}

fn take_back(to: &Path, before: Option<&Path>) {
    // Nothing better can be done where this fails too: the error that led here is told.
    let _ = match before {
        Some(before) => fs::rename(before, to),
        None => fs::remove_file(to),
    };
}

/// Removes what killed updates left in a folder.
pub(super) fn sweep(folder: &Path) {
    let now = SystemTime::now();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_work = entry.file_name().to_string_lossy().starts_with(WORK);
        let age =
            entry.metadata().and_then(|m| m.modified()).ok().and_then(|then| now.duration_since(then).ok());
        if is_work && age.is_some_and(|age| age > LEFT_BEHIND) {
            // Only tidiness; the next update tries again.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
