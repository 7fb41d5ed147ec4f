//! The place of the tables: one folder or one object-store URL holds them all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use url::Url;

use crate::StoreError;

/// Where the tables lie.
#[derive(Clone, Debug)]
pub struct Data {
    /// As the user named it.
    pub name: String,
    /// The folder, where it is one of this machine.
    pub folder: Option<PathBuf>,
    /// URL of the folder, ending in `/`.
    pub url: Url,
    /// The whole object store.
    pub root: Arc<dyn ObjectStore>,
    /// The folder inside it.
    pub prefix: ObjectPath,
}

impl Data {
    /// A folder of this machine, or a URL (`s3://`, `gs://`, `az://`, `file://`, `memory://`) with credentials from the
    /// environment. Nothing is created yet.
    ///
    /// # Errors
    /// When the URL cannot be understood or its store not be reached, or the folder's path is not absolute-able.
    pub fn at(place: &str) -> Result<Data, StoreError> {
        let fail = |what: String| StoreError::Place { place: place.into(), what };
        if !place.contains("://") {
            return Data::in_folder(Path::new(place));
        }
        let mut url = Url::parse(place).map_err(|e| fail(e.to_string()))?;
        if url.scheme() == "file" {
            let path = url.to_file_path().map_err(|()| fail("not a path of this machine".into()))?;
            return Data::in_folder(&path);
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let (root, prefix) =
            object_store::parse_url_opts(&url, std::env::vars()).map_err(|e| fail(e.to_string()))?;
        Ok(Data { name: place.into(), folder: None, url, root: root.into(), prefix })
    }

    /// Tables that nobody keeps.
    pub(crate) fn in_memory() -> Data {
        let url = Url::parse("memory:///").expect("a plain URL");
        let root: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        Data { name: url.to_string(), folder: None, url, root, prefix: ObjectPath::default() }
    }

    fn in_folder(folder: &Path) -> Result<Data, StoreError> {
        let name = folder.display().to_string();
        let fail = |what: String| StoreError::Place { place: name.clone(), what };
        let absolute = std::path::absolute(folder).map_err(|e| fail(e.to_string()))?;
        let url = Url::from_directory_path(&absolute).map_err(|()| fail("not a usable path".into()))?;
        let prefix = ObjectPath::from_url_path(url.path()).map_err(|e| fail(e.to_string()))?;
        let root: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
        Ok(Data { name, folder: Some(absolute), url, root, prefix })
    }

    /// The log store of one table.
    pub(crate) fn log_store(&self, table: &str) -> LogStoreRef {
        let url = self.url.join(&format!("{table}/")).expect("table names are plain");
        let store: Arc<dyn ObjectStore> =
            Arc::new(PrefixStore::new(Arc::clone(&self.root), self.prefix.clone().join(table)));
        default_logstore(store, Arc::clone(&self.root), &url, &StorageConfig::default())
    }
}
