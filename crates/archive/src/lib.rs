//! Segments: what a sensor seals, the spool where they wait, the vault that keeps them, and whether all of it is whole.
//!
//! A segment is three files: a capture (`.pcapng.zst`), the decoys' records (`.jsonl.zst`), and last a manifest (`.json`) that names
//! both by hash, counts packets, is chained to the manifest before and signed. It exists when its manifest does, and never changes.
//!
//! Nothing here knows a socket or a clock; files are behind [`disk::Disk`], so that a test can pull the plug at any write.

pub mod disk;
pub mod ledger;
pub mod manifest;
mod room;
pub mod seal;
pub mod segment;
pub mod ship;
pub mod spool;
pub mod vault;
pub mod verify;

pub use disk::{Disk, Folder};
pub use manifest::{Identity, Manifest};
pub use spool::Spool;
pub use vault::Vault;
