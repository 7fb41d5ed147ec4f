//! Finds captures: files, folders, standard input, object-store URLs; and takes compression off.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::ObjectStore;
use tempfile::TempPath;
use trapline_archive::manifest::{FileKind, of_file};
use trapline_wire::Framing;

/// Why an input cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or folder that the system does not give.
    #[error("{name}: {cause}")]
    System {
        /// The input as the user named it.
        name: String,
        /// What the system said.
        cause: io::Error,
    },
    /// A URL that no object store answers for.
    #[error("{name}: {cause}")]
    Store {
        /// The URL.
        name: String,
        /// What the store said.
        cause: object_store::Error,
    },
    /// A folder in which nothing is a capture.
    #[error("{name}: no captures in this folder ({files} files looked at)")]
    NoCaptures {
        /// The folder.
        name: String,
        /// Files that were looked at.
        files: usize,
    },
}

/// One capture to be read, perhaps several times.
#[derive(Clone, Debug)]
pub struct Input {
    /// What to call it: the path or URL that the user gave, `-` for standard input.
    pub name: String,
    /// The file that holds its bytes.
    pub path: PathBuf,
    /// Keeps a spooled copy alive, where `path` is one.
    spooled: Option<Arc<TempPath>>,
}

impl Input {
    /// A capture in a file.
    pub fn file(path: &Path) -> Input {
        Input { name: path.display().to_string(), path: path.to_owned(), spooled: None }
    }

    /// Whether it is a temporary copy that cannot be read again in a later run.
    pub fn is_spooled(&self) -> bool {
        self.spooled.is_some()
    }

    /// Its bytes as stored, in length.
    pub fn stored_len(&self) -> u64 {
        std::fs::metadata(&self.path).map(|m| m.len()).unwrap_or(0)
    }

    /// Opens it and takes off the compression that its first bytes show.
    ///
    /// # Errors
    /// When the file cannot be opened or its first bytes cannot be read.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        decompressed(File::open(&self.path)?)
    }
}

/// What a list of arguments turned out to name.
#[derive(Debug, Default)]
pub struct Found {
    /// Captures, in the order of the arguments, folders in the order of their paths.
    pub inputs: Vec<Input>,
    /// Arguments that could not be opened.
    pub errors: Vec<OpenError>,
    /// Files inside folders that are no captures.
    pub ignored: Vec<PathBuf>,
}

/// Looks up every argument: a path, a folder, `-`, or a URL (`s3://`, `gs://`, `az://`, `https://`, `file://`;
/// one that ends in `/` names everything below it).
pub async fn find(arguments: &[String]) -> Found {
    let mut found = Found::default();
    for argument in arguments {
        let result = match argument.as_str() {
            "-" => stdin().map(|input| vec![input]),
            url if url.contains("://") => from_store(url).await,
            path => from_path(Path::new(path), &mut found),
        };
        match result {
            Ok(inputs) => found.inputs.extend(inputs),
            Err(error) => found.errors.push(error),
        }
    }
    found
}

fn from_path(path: &Path, found: &mut Found) -> Result<Vec<Input>, OpenError> {
    let name = || path.display().to_string();
    let meta = std::fs::metadata(path).map_err(|cause| OpenError::System { name: name(), cause })?;
    if !meta.is_dir() {
        return Ok(vec![Input::file(path)]);
    }
    let mut inputs = Vec::new();
    let (mut files, before) = (0, found.errors.len());
    // What is hidden is somebody's own business: a spool's open segment, a version control's store.
    let seen = |entry: &walkdir::DirEntry| {
        entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
    };
    for entry in walkdir::WalkDir::new(path).sort_by_file_name().into_iter().filter_entry(seen) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let name = error.path().unwrap_or(path).display().to_string();
                let cause = error.into_io_error().unwrap_or_else(|| io::Error::other("a loop of links"));
                found.errors.push(OpenError::System { name, cause });
                continue;
            }
        };
        if !entry.file_type().is_file() {
            continue;
        }
        files += 1;
        let name = entry.file_name().to_string_lossy();
        match of_file(&name) {
            // A segment exists when its manifest does; what it recorded is no capture, and nothing to wonder about.
            Some((sequence, FileKind::Capture))
                if !entry.path().with_file_name(format!("{sequence:010}.json")).exists() =>
            {
                continue;
            }
            Some((_, FileKind::Lines | FileKind::Manifest)) => continue,
            _ => {}
        }
        match is_capture(entry.path()) {
            Ok(true) => inputs.push(Input::file(entry.path())),
            // What calls itself a capture and is none is read, so that it is told why not.
            Ok(false) if is_called_capture(entry.path()) => inputs.push(Input::file(entry.path())),
            Ok(false) => found.ignored.push(entry.into_path()),
            Err(cause) => {
                found.errors.push(OpenError::System { name: entry.path().display().to_string(), cause });
            }
        }
    }
    if inputs.is_empty() && found.errors.len() == before {
        Err(OpenError::NoCaptures { name: name(), files })
    } else {
        Ok(inputs)
    }
}

/// Whether a file begins, behind any compression, like a capture; an error only where the system does not give it.
fn is_capture(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let mut first = [0; 4];
    let read = decompressed(file).and_then(|mut r| r.read_exact(&mut first));
    Ok(read.is_ok() && Framing::detect(first).is_some())
}

/// Whether a file's name says that it is a capture: `.pcap`, `.pcapng` or `.cap`, compressed or not.
fn is_called_capture(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let plain = [".gz", ".zst", ".xz"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    [".pcap", ".pcapng", ".cap"].iter().any(|end| plain.ends_with(end))
}

/// Standard input can be read once and intake reads twice, so it is spooled.
fn stdin() -> Result<Input, OpenError> {
    let system = |cause| OpenError::System { name: "-".into(), cause };
    let mut spool = tempfile::NamedTempFile::new().map_err(system)?;
    io::copy(&mut io::stdin().lock(), &mut spool).map_err(system)?;
    Ok(spooled("-".into(), spool))
}

fn spooled(name: String, spool: tempfile::NamedTempFile) -> Input {
    let path = spool.path().to_owned();
    Input { name, path, spooled: Some(Arc::new(spool.into_temp_path())) }
}

async fn from_store(text: &str) -> Result<Vec<Input>, OpenError> {
    let refused = |cause: Box<dyn std::error::Error + Send + Sync>| OpenError::Store {
        name: text.into(),
        cause: object_store::Error::Generic { store: "url", source: cause },
    };
    let failed = |cause| OpenError::Store { name: text.into(), cause };
    let url = url::Url::parse(text).map_err(|e| refused(Box::new(e)))?;
    // Who writes http:// means it.
    let plain = (url.scheme() == "http").then(|| ("allow_http".to_owned(), "true".to_owned()));
    let options = std::env::vars().chain(plain);
    let (store, path) = object_store::parse_url_opts(&url, options).map_err(failed)?;
    if !text.ends_with('/') {
        return Ok(vec![fetch(&*store, &path, text.into()).await.map_err(failed)?]);
    }
    let mut listed: Vec<_> =
        store.list(Some(&path)).map_ok(|o| o.location).try_collect().await.map_err(failed)?;
    listed.sort();
    let mut inputs = Vec::new();
    for location in listed.iter().filter(|location| may_be_capture(location, &listed)) {
        let name = format!(
            "{}{}",
            text,
            location
                .as_ref()
                .strip_prefix(path.as_ref())
                .unwrap_or(location.as_ref())
                .trim_start_matches('/')
        );
        let input = fetch(&*store, location, name).await.map_err(failed)?;
        let unread = |cause| OpenError::System { name: input.name.clone(), cause };
        if is_capture(&input.path).map_err(unread)? {
            inputs.push(input);
        }
    }
    if inputs.is_empty() {
        return Err(OpenError::NoCaptures { name: text.into(), files: listed.len() });
    }
    Ok(inputs)
}

/// Whether an object may be a capture that counts: of a segment only the capture is, and that only if its manifest is there.
fn may_be_capture(location: &object_store::path::Path, listed: &[object_store::path::Path]) -> bool {
    let name = location.filename().unwrap_or_default();
    match of_file(name) {
        Some((sequence, FileKind::Capture)) => {
            let folder = location.as_ref().strip_suffix(name).unwrap_or_default();
            let manifest = object_store::path::Path::from(format!("{folder}{sequence:010}.json"));
            listed.binary_search(&manifest).is_ok()
        }
        Some((_, FileKind::Lines | FileKind::Manifest)) => false,
        None => true,
    }
}

/// Copies an object beside us, chunk by chunk: intake reads it twice.
async fn fetch(
    store: &dyn ObjectStore,
    path: &object_store::path::Path,
    name: String,
) -> object_store::Result<Input> {
    use object_store::ObjectStoreExt;
    let disk = |e: io::Error| object_store::Error::Generic { store: "spool", source: Box::new(e) };
    let mut spool = tempfile::NamedTempFile::new().map_err(disk)?;
    let mut chunks = store.get(path).await?.into_stream();
    while let Some(chunk) = chunks.try_next().await? {
        spool.write_all(&chunk).map_err(disk)?;
    }
    Ok(spooled(name, spool))
}

/// Takes gzip, zstd or xz off, as the first bytes tell; several members or frames in a row are one capture.
fn decompressed(mut file: File) -> io::Result<Box<dyn Read + Send>> {
    let mut first = Vec::new();
    Read::by_ref(&mut file).take(6).read_to_end(&mut first)?;
    let whole = io::Cursor::new(first.clone()).chain(file);
    Ok(match first.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::new(whole)?),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Box::new(liblzma::read::XzDecoder::new_multi_decoder(whole)),
        _ => Box::new(whole),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_segment_in_a_store_only_the_capture_counts_and_only_with_its_manifest() {
        let names = [
            "line/paris/0000000001-0123456789abcdef.jsonl.zst",
            "line/paris/0000000001-0123456789abcdef.pcapng.zst",
            "line/paris/0000000001.json",
            "line/paris/0000000002-0123456789abcdef.pcapng.zst",
            "line/evening.pcap",
        ];
        let mut listed: Vec<_> = names.iter().map(|name| object_store::path::Path::from(*name)).collect();
        listed.sort();
        let wanted: Vec<&str> =
            listed.iter().filter(|name| may_be_capture(name, &listed)).map(AsRef::as_ref).collect();
        assert_eq!(wanted, ["line/evening.pcap", names[1]]);
    }
}
