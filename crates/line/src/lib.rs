//! What carries segments from a spool to a vault. What is asked and what follows from the answer is [`trapline_archive::ship`]'s; here
//! are the ways: a folder, HTTPS with certificates of both ends ([`https`]), an object store ([`store`]); and how a sensor comes by its
//! certificate ([`enroll`]).

use std::path::PathBuf;

use trapline_archive::ship::{Ask, CHUNK, Told};
use trapline_archive::vault::Quota;
use trapline_archive::{Folder, Vault};
use url::Url;

pub mod enroll;
pub mod https;
pub mod protocol;
pub mod store;

pub use enroll::Credentials;

/// Where a vault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// In a folder: another disk, a mounted share.
    Folder(PathBuf),
    /// A server: `https://HOST:PORT`.
    Server(Url),
    /// An object store: `s3://`, `gs://`, `az://` and what else the crate object_store knows.
    Store(Url),
}

/// Why something cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// No such address can be.
    #[error("{address}: {why}")]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file of the certificate and its key.
    #[error("{name}: {cause}")]
    File {
        /// Which.
        name: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Certificates, keys, tokens.
    #[error("{0}")]
    Credentials(String),
    /// The other side, or the way there.
    #[error("{0}")]
    Remote(String),
}

impl Address {
    /// Reads an address: a path, `file:///DIR`, `https://HOST:PORT`, or an object store's.
    ///
    /// # Errors
    /// Where nothing of the kind can be reached.
    pub fn read(text: &str) -> Result<Address, LineError> {
        let wrong = |why: &str| LineError::Address { address: text.to_owned(), why: why.to_owned() };
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(Address::Folder(text.into())) };
        let url = || Url::parse(text).map_err(|e| wrong(&e.to_string()));
        match scheme {
            "file" if rest.starts_with('/') => Ok(Address::Folder(rest.into())),
            "file" => Err(wrong("a folder's address is file:///DIR")),
            "https" => {
                let url = url()?;
                if url.query().is_some() || !matches!(url.path(), "" | "/") {
                    return Err(wrong("a vault's address is https://HOST:PORT"));
                }
                Ok(Address::Server(url))
            }
            "s3" | "s3a" | "gs" | "az" | "azure" | "abfs" | "abfss" | "adl" => Ok(Address::Store(url()?)),
            _ => Err(wrong("a vault is in a folder, at https://HOST:PORT, s3://, gs:// or az://")),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Folder(path) => path.display().fmt(out),
            Address::Server(url) | Address::Store(url) => url.fmt(out),
        }
    }
}

/// A vault as a sensor sees it.
pub trait Remote {
    /// Asks, and waits for the answer; whatever goes wrong is [`Told::Failed`].
    fn ask(&mut self, sensor: &str, ask: &Ask) -> Told;

    /// Bytes of a part that are best sent at once.
    fn chunk(&self) -> usize {
        CHUNK
    }
}

/// A vault in a folder, which may be away.
#[derive(Debug)]
pub struct FolderVault {
    folder: PathBuf,
    /// The sensor's public key: nobody else enrolled it.
    key: String,
    vault: Option<Vault<Folder>>,
}

impl FolderVault {
    /// The vault in that folder, for the sensor of that public key.
    pub fn at(folder: PathBuf, key: String) -> Self {
        FolderVault { folder, key, vault: None }
    }
}

impl Remote for FolderVault {
    fn ask(&mut self, sensor: &str, ask: &Ask) -> Told {
        // A folder that is away is not made anew: it may be a disk that is not mounted.
        if !self.folder.is_dir() {
            self.vault = None;
            return Told::Failed(format!("{}: the vault is away", self.folder.display()));
        }
        let vault = match self.vault.take() {
            Some(vault) => vault,
            None => match Folder::at(&self.folder) {
                Ok(folder) => Vault::new(folder, Quota::default()),
                Err(error) => return Told::Failed(format!("{}: {error}", self.folder.display())),
            },
        };
        let told = self.vault.insert(vault).answer(sensor, &self.key, ask);
        if matches!(told, Told::Failed(_)) {
            // Whatever it was, the folder is looked at anew: another may have written there.
            self.vault = None;
        }
        told
    }
}

/// The way to a vault at that address.
///
/// # Errors
/// Where credentials are missing or no such store is known; a vault that is away is none.
pub fn open(
    address: &Address,
    key: String,
    credentials: Option<&Credentials>,
) -> Result<Box<dyn Remote>, LineError> {
    Ok(match address {
        Address::Folder(folder) => Box::new(FolderVault::at(folder.clone(), key)),
        Address::Server(url) => {
            let missing = || {
                LineError::Credentials(format!(
                    "{url}: this sensor is not enrolled there; trapline-sensor enroll"
                ))
            };
            Box::new(https::HttpsVault::at(url.clone(), credentials.ok_or_else(missing)?)?)
        }
        Address::Store(url) => Box::new(store::StoreVault::with(url, &store::settings(url))?),
    })
}

/// A runtime for one question at a time.
fn runtime() -> Result<tokio::runtime::Runtime, LineError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| LineError::Remote(format!("cannot start: {e}")))
}

/// What somebody else said, as something that may stand in a log: short, on one line.
fn tame(text: &str) -> String {
    const MOST: usize = 500;
    text.chars().take(MOST).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An error with what caused it, on one line; what some say of their cause already is not said twice.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let own = error.to_string();
        if !text.contains(&own) {
            text.push_str(": ");
            text.push_str(&own);
        }
        cause = error.source();
    }
    tame(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_what_is_wrong_is_named() {
        assert_eq!(Address::read("/mnt/vault").unwrap(), Address::Folder("/mnt/vault".into()));
        assert_eq!(Address::read("file:///mnt/vault").unwrap(), Address::Folder("/mnt/vault".into()));
        assert!(matches!(Address::read("https://vault.example:8443"), Ok(Address::Server(_))));
        assert!(matches!(Address::read("s3://bucket/line"), Ok(Address::Store(_))));
        for (text, why) in [
            ("http://vault.example", "https://HOST:PORT"),
            ("https://vault.example/a/b", "https://HOST:PORT"),
            ("file://host/dir", "file:///DIR"),
            ("https://vault:99999", "invalid port"),
        ] {
            let told = Address::read(text).unwrap_err().to_string();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
