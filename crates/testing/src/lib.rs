//! What the tests of all crates share: packets typed by hand, transcripts of commands, and saying
//! aloud what was skipped.

pub mod packets;
pub mod random;
pub mod transcript;
pub mod wire;

use std::io::Write;
use std::path::{Path, PathBuf};

/// The variable that names the file to which the test command wants skips to be written.
pub const SKIPPED: &str = "TRAPLINE_SKIPPED";

/// Notes that a test could not run, and why; the test command lists these at its end.
pub fn skipped(what: &str, why: &str) {
    let line = format!("skipped: {what}: {why}\n");
    let append = |path| std::fs::OpenOptions::new().create(true).append(true).open(path).ok();
    let written = std::env::var_os(SKIPPED).and_then(append).map(|mut file| file.write_all(line.as_bytes()));
    if !matches!(written, Some(Ok(()))) {
        // Shown with --nocapture; there is no list to put it on.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// The project's folder.
pub fn project() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("crates/testing lies in the project").to_owned()
}

/// The folder of real captures and expected answers: `TRAPLINE_SHARED`, else `../shared` beside the project. Where it
/// is missing, `what` is noted as skipped.
pub fn shared(what: &str) -> Option<PathBuf> {
    let beside = || project().join("../shared");
    let place = std::env::var_os("TRAPLINE_SHARED").map_or_else(beside, PathBuf::from);
    if place.join("data").is_dir() {
        return Some(place);
    }
    skipped(what, "no ../shared folder with captures beside the project");
    None
}

/// Whether golden files are to be written anew instead of compared: `cargo xtask golden`.
pub fn refreshing() -> bool {
    std::env::var_os("TRAPLINE_GOLDEN").is_some_and(|v| v == "refresh")
}
