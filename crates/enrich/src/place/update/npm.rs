//! The npm client, as a child process with a time limit.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{Options, Step, UpdateError};

/// How often the child is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How often the caller hears that it still works, in looks.
const TELL: u32 = 10;

/// So much of what npm said last goes into an error.
const SAID: usize = 600;

/// An archive that npm fetched.
pub(super) struct Archive {
    pub path: PathBuf,
    pub bytes: u64,
    pub version: String,
}

/// Fetches a package's archive into a folder.
pub(super) fn fetch(
    package: &'static str,
    folder: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Step),
) -> Result<Archive, UpdateError> {
    let system = |cause| UpdateError::System { path: folder.to_owned(), cause };
    let said = folder.join("npm-said.txt");
    let mut child = start(package, folder, &said, options)?;
    let status = wait(&mut child, options.time_limit, progress).map_err(system)?;
    let Some(status) = status else {
        return Err(UpdateError::TimedOut { package, limit: options.time_limit });
    };
    if !status.success() {
        return Err(UpdateError::Npm { package, why: last_words(&said, status) });
    }
    // Its own cache is as large as the archive; a failure shows when the folder goes.
    let _ = std::fs::remove_dir_all(folder.join("npm-cache"));
    archive_in(package, folder)
}

fn start(package: &'static str, folder: &Path, said: &Path, options: &Options) -> Result<Child, UpdateError> {
    let system = |cause| UpdateError::System { path: folder.to_owned(), cause };
    let out = File::create(said).map_err(system)?;
    let also = out.try_clone().map_err(system)?;
    let mut npm = Command::new(&options.npm);
    npm.args([
        "pack",
        package,
        "--silent=false",
        "--loglevel=error",
        "--ignore-scripts",
        "--cache=npm-cache",
    ]);
    npm.args(["--pack-destination=.", "--no-update-notifier", "--no-fund", "--no-audit"]);
    npm.current_dir(folder).stdin(Stdio::null()).stdout(out).stderr(also);
    npm.spawn().map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => UpdateError::NoNpm { npm: options.npm.clone() },
        _ => UpdateError::System { path: options.npm.clone(), cause },
    })
}

/// Waits for the child's end. None where it took too long and was stopped.
fn wait(
    child: &mut Child,
    limit: Duration,
    progress: &mut dyn FnMut(Step),
) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    for look in 0_u32.. {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let waited = start.elapsed();
        if waited > limit {
            break;
        }
        if look % TELL == 0 {
            progress(Step::Fetching { waited });
        }
        std::thread::sleep(LOOK);
    }
    // It may have ended by itself just now; waiting gives its entry back to the system either way.
    let _ = child.kill();
    child.wait()?;
    Ok(None)
}

fn last_words(said: &Path, status: ExitStatus) -> String {
    let text = std::fs::read(said).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(SAID)..]);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { status.to_string() } else { lines.join(" / ") }
}

fn archive_in(package: &'static str, folder: &Path) -> Result<Archive, UpdateError> {
    let wrong = |why: &str| UpdateError::Package { package, why: why.into() };
    let system = |cause| UpdateError::System { path: folder.to_owned(), cause };
    // "@ip-location-db/asn" comes as "ip-location-db-asn-2.3.2026061719.tgz".
    let start = format!("{}-", package.trim_start_matches('@').replace('/', "-"));
    for entry in std::fs::read_dir(folder).map_err(system)? {
        let path = entry.map_err(system)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(version) = name.strip_prefix(&start).and_then(|rest| rest.strip_suffix(".tgz")) {
            let bytes = std::fs::metadata(&path).map_err(system)?.len();
            return Ok(Archive { path, bytes, version: version.into() });
        }
    }
    Err(wrong("npm left no archive of it"))
}
