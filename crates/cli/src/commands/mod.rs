//! One file for each command.

pub mod archive;
pub mod ask;
pub mod completions;
pub mod demo;
pub mod enrich;
pub mod evidence;
pub mod geo;
pub mod ingest;
pub mod persona;
pub mod report;
pub mod sensor;
pub mod simulate;
pub mod sql;
pub mod status;
pub mod up;
pub mod vault;
pub mod verify;
