//! What is known of the world beside the captures: processes and events, from text files.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use trapline_enrich::event::Events;
pub use trapline_enrich::knowledge::KnowledgeError;
use trapline_enrich::process::Processes;

/// Processes and events.
#[derive(Clone, Debug)]
pub struct Knowledge {
    /// Named causes.
    pub processes: Processes,
    /// Disclosures and releases.
    pub events: Events,
}

static BUILT_IN: LazyLock<Arc<Knowledge>> = LazyLock::new(|| {
    Arc::new(Knowledge {
        processes: Processes::built_in().expect("tests read the same files"),
        events: Events::built_in().expect("tests read the same files"),
    })
});

impl Knowledge {
    /// What every build carries.
    pub fn built_in() -> Arc<Knowledge> {
        Arc::clone(&BUILT_IN)
    }

    /// That, and what a user's folders hold.
    ///
    /// # Errors
    /// When a folder cannot be read, or a file in it is wrong: file, line and reason.
    pub fn with(processes: Option<&Path>, events: Option<&Path>) -> Result<Arc<Knowledge>, KnowledgeError> {
        if processes.is_none() && events.is_none() {
            return Ok(Knowledge::built_in());
        }
        let mut all = Knowledge::clone(&BUILT_IN);
        processes.map_or(Ok(()), |folder| all.processes.add_folder(folder))?;
        events.map_or(Ok(()), |folder| all.events.add_folder(folder))?;
        Ok(Arc::new(all))
    }
}
