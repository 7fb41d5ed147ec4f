//! What several commands do with archives: folders and object stores that hold segments.

use std::path::Path;

use trapline_archive::{Disk, Folder};
use trapline_line::Address;
use trapline_line::store::{StoreDisk, settings};

use crate::error::CommandError;

/// Opens the archive at an address to be read.
///
/// # Errors
/// Where there is none, or nobody may read it.
pub fn open(text: &str) -> Result<Box<dyn Disk>, CommandError> {
    let address = Address::read(text).map_err(|e| CommandError::new(e.to_string()))?;
    match &address {
        Address::Folder(folder) => Ok(Box::new(folder_at(folder)?)),
        Address::Store(url) => {
            let store = StoreDisk::with(url, &settings(url)).map_err(|e| CommandError::new(e.to_string()))?;
            Ok(Box::new(store))
        }
        Address::Server(_) => Err(CommandError::new(format!("{address}: a vault's server lets nobody read"))
            .hint("run this where the vault's folder is")),
    }
}

/// A folder that is there.
fn folder_at(path: &Path) -> Result<Folder, CommandError> {
    let failed = |e: std::io::Error| CommandError::new(format!("{}: {e}", path.display()));
    std::fs::read_dir(path).map_err(failed)?;
    Folder::at(path).map_err(failed)
}
