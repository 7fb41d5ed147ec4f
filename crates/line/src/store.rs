//! An object store as a vault: what is put there is put only where nothing is, manifests last. A store has no rules of its own, so the
//! sensor keeps them, and `trapline verify` tells; and as a disk that is read.

use std::io;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::runtime::Runtime;
use trapline_archive::Disk;
use trapline_archive::manifest::{Manifest, hash, manifest_name, of_manifest, part_name};
use trapline_archive::ship::{Ask, Told};
use trapline_archive::vault::{PartId, Progress};
use url::Url;

use crate::{LineError, Remote, chain, runtime};

/// An object store's folder.
struct Place {
    runtime: Runtime,
    store: Box<dyn ObjectStore>,
    root: Path,
}

impl Place {
    fn with(url: &Url, settings: &[(String, String)]) -> Result<Place, LineError> {
        let wrong = |e: Error| LineError::Address { address: url.to_string(), why: chain(&e) };
        let (store, root) = object_store::parse_url_opts(url, settings.iter().cloned()).map_err(wrong)?;
        Ok(Place { runtime: runtime()?, store, root })
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.root.clone(), |path, word| path.join(word))
    }

    /// All objects below a folder, with their lengths, by names from the root on.
    fn list(&self, folder: &str) -> object_store::Result<Vec<(String, u64)>> {
        let prefix = if folder.is_empty() { self.root.clone() } else { self.path(folder) };
        let listed = self.runtime.block_on(self.store.list(Some(&prefix)).try_collect::<Vec<_>>())?;
        let root = self.root.as_ref();
        let name = |path: &Path| {
            path.as_ref().strip_prefix(root).unwrap_or(path.as_ref()).trim_start_matches('/').to_owned()
        };
        let mut files: Vec<_> = listed.iter().map(|object| (name(&object.location), object.size)).collect();
        files.sort();
        Ok(files)
    }

    fn get(&self, name: &str) -> object_store::Result<Vec<u8>> {
        let path = self.path(name);
        Ok(self.runtime.block_on(async { self.store.get(&path).await?.bytes().await })?.to_vec())
    }

    /// Puts an object where none is; `false` where one is.
    fn create(&self, name: &str, bytes: &[u8]) -> object_store::Result<bool> {
        let (path, options) = (self.path(name), PutOptions::from(PutMode::Create));
        let payload = PutPayload::from(bytes.to_vec());
        match self.runtime.block_on(self.store.put_opts(&path, payload, options)) {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Seconds that a part may take: 64 MB over a line of 20 kB/s.
const PUT_S: u64 = 3_600;

/// What is said of a store by default: the environment (`AWS_ENDPOINT`, `AWS_ACCESS_KEY_ID`, …, as object_store names them), and of S3
/// that it checks what it gets by SHA-256.
pub fn settings(url: &Url) -> Vec<(String, String)> {
    let is_s3 = matches!(url.scheme(), "s3" | "s3a");
    let mut all = vec![("timeout".to_owned(), format!("{PUT_S}s"))];
    all.extend(is_s3.then(|| ("aws_checksum_algorithm".to_owned(), "sha256".to_owned())));
    // The environment may say otherwise: what comes later counts. Names that say nothing of a store are somebody else's.
    let of_store = |name: &str| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|start| name.starts_with(start));
    let vars = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    all.extend(vars.filter(|(name, _)| of_store(name)));
    all
}

/// A vault in an object store.
pub struct StoreVault {
    place: Place,
    progress: Option<Progress>,
}

impl std::fmt::Debug for StoreVault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "StoreVault({})", self.place.root)
    }
}

impl StoreVault {
    /// The vault at an object store's address with these [`settings`], which is not asked yet.
    ///
    /// # Errors
    /// Where no such store is known, or what is said of it is wrong.
    pub fn with(url: &Url, settings: &[(String, String)]) -> Result<StoreVault, LineError> {
        Ok(StoreVault { place: Place::with(url, settings)?, progress: None })
    }

    fn progress(&mut self, sensor: &str) -> Result<Progress, String> {
        let failed = |e: Error| chain(&e);
        let files = self.place.list(sensor).map_err(failed)?;
        let last = files.iter().filter_map(|(name, _)| of_manifest(name)).map(|(_, sequence)| sequence).max();
        let progress = match last {
            None => Progress::default(),
            Some(sequence) => {
                let text = self.place.get(&manifest_name(sensor, sequence)).map_err(failed)?;
                Progress { sequence, hash: Some(hash(&text)) }
            }
        };
        self.progress = Some(progress.clone());
        Ok(progress)
    }

    fn add(&self, sensor: &str, part: &PartId, offset: u64, bytes: &[u8]) -> Result<u64, String> {
        let name = name_of(sensor, part);
        if offset != 0 || hash(bytes) != part.blake3 {
            return Err(format!("{name} is there and is not what it should be; remove it from the store"));
        }
        if self.place.create(&name, bytes).map_err(|e| chain(&e))? {
            return Ok(bytes.len() as u64);
        }
        // An answer that was lost, or somebody else's object: its hash tells.
        let there = self.place.get(&name).map_err(|e| chain(&e))?;
        if hash(&there) != part.blake3 {
            return Err(format!("{name} is there and is not what it should be; remove it from the store"));
        }
        Ok(there.len() as u64)
    }

    fn accept(&mut self, sensor: &str, text: &[u8]) -> Result<Progress, String> {
        let manifest = Manifest::read(text).map_err(|e| e.to_string())?;
        let last = match &self.progress {
            Some(progress) => progress.clone(),
            None => self.progress(sensor)?,
        };
        if manifest.sequence != last.sequence + 1 || manifest.before != last.hash {
            return Err(format!(
                "segment {} does not follow segment {} of the store",
                manifest.sequence, last.sequence
            ));
        }
        let name = manifest_name(sensor, manifest.sequence);
        if !self.place.create(&name, text).map_err(|e| chain(&e))?
            && self.place.get(&name).map_err(|e| chain(&e))? != text
        {
            return Err(format!("{name}: a different segment of that number is there already"));
        }
        let progress = Progress { sequence: manifest.sequence, hash: Some(hash(text)) };
        self.progress = Some(progress.clone());
        Ok(progress)
    }
}

fn name_of(sensor: &str, part: &PartId) -> String {
    part_name(sensor, part.sequence, &part.blake3, part.kind.end())
}

impl Remote for StoreVault {
    fn ask(&mut self, sensor: &str, ask: &Ask) -> Told {
        let told = match ask {
            Ask::Progress => self.progress(sensor).map(Told::Progress),
            // What is there is compared when it is put: that something lies under its name says nothing.
            Ask::Held(_) => Ok(Told::Held(0)),
            Ask::Add { part, offset, bytes } => self.add(sensor, part, *offset, bytes).map(Told::Held),
            Ask::Accept { text } => self.accept(sensor, text).map(Told::Progress),
        };
        told.unwrap_or_else(|why| {
            self.progress = None;
            Told::Failed(why)
        })
    }

    /// A part as a whole: what exists in a store is complete.
    fn chunk(&self) -> usize {
        usize::MAX
    }
}

/// An object store as a disk that is only read.
pub struct StoreDisk(Place);

impl std::fmt::Debug for StoreDisk {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "StoreDisk({})", self.0.root)
    }
}

impl StoreDisk {
    /// The store's folder at that address, with these [`settings`].
    ///
    /// # Errors
    /// Where no such store is known, or what is said of it is wrong.
    pub fn with(url: &Url, settings: &[(String, String)]) -> Result<StoreDisk, LineError> {
        Ok(StoreDisk(Place::with(url, settings)?))
    }
}

fn only_read<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "a store is only read here"))
}

fn of_store(error: Error) -> io::Error {
    match error {
        Error::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, "no such object"),
        error => io::Error::other(chain(&error)),
    }
}

impl Disk for StoreDisk {
    fn append(&mut self, _: &str, _: &[u8]) -> io::Result<()> {
        only_read()
    }

    fn sync(&mut self, _: &str) -> io::Result<()> {
        only_read()
    }

    fn rename(&mut self, _: &str, _: &str) -> io::Result<()> {
        only_read()
    }

    fn remove(&mut self, _: &str) -> io::Result<()> {
        only_read()
    }

    fn truncate(&mut self, _: &str, _: u64) -> io::Result<()> {
        only_read()
    }

    fn sync_names(&mut self) -> io::Result<()> {
        only_read()
    }

    fn read_at(&self, name: &str, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let path = self.0.path(name);
        let size = self.0.runtime.block_on(self.0.store.head(&path)).map_err(of_store)?.size;
        let end = size.min(offset.saturating_add(most as u64));
        if offset >= end {
            return Ok(Vec::new());
        }
        let bytes = self.0.runtime.block_on(self.0.store.get_range(&path, offset..end));
        Ok(bytes.map_err(of_store)?.to_vec())
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.list_in("")
    }

    fn list_in(&self, folder: &str) -> io::Result<Vec<(String, u64)>> {
        self.0.list(folder).map_err(of_store)
    }

    fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let path = self.0.path(name);
        let size = self.0.runtime.block_on(self.0.store.head(&path)).map_err(of_store)?.size;
        if size > most {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{name} is longer than {most} bytes"),
            ));
        }
        self.0.get(name).map_err(of_store)
    }
}
