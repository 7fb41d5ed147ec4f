//! What can go wrong in a simulation: a scenario that cannot be read or kept, and disks.

use std::path::PathBuf;

/// Why a simulation did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The scenario is neither built in nor a file that can be read.
    #[error("no scenario {name}: built in are {known}, and as a file: {source}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The built-in names.
        known: String,
        /// Why it could not be read as a file.
        source: std::io::Error,
    },
    /// The scenario's text is not what a scenario may say.
    #[error("{file}:{line}: {message}")]
    Scenario {
        /// File name, or the built-in's name.
        file: String,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// Each part of the scenario may stand, but not all together.
    #[error("scenario {scenario}: {message}")]
    Impossible {
        /// Name of the scenario.
        scenario: String,
        /// Which wishes contradict each other.
        message: String,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}
