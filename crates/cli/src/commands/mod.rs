//! One file for each command.

pub mod ask;
pub mod completions;
pub mod ingest;
pub mod report;
pub mod simulate;
pub mod sql;
