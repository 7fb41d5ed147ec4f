//! Files as the spool and the vault need them: named, appended to, synced, put in place.
//!
//! What survives a power cut is what was synced: of a file its bytes after [`Disk::sync`], of names what [`Disk::sync_names`] was
//! called after. The rest may be there, in part, or not.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// A folder of files with flat names; `/` in a name stands for a folder in it.
pub trait Disk {
    /// Adds bytes at the end of a file, which need not exist.
    ///
    /// # Errors
    /// As the system says; part of the bytes may have been written.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes a file's bytes last.
    ///
    /// # Errors
    /// As the system says; nothing is known then of the bytes since the last sync.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Gives a file another name, in whose place there may be a file, which goes.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; none of that name is fine.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Cuts a file to that many bytes.
    ///
    /// # Errors
    /// As the system says.
    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()>;

    /// Makes names last: what was created, renamed and removed.
    ///
    /// # Errors
    /// As the system says.
    fn sync_names(&mut self) -> io::Result<()>;

    /// At most that many bytes of a file from an offset on: fewer at its end, none behind it.
    ///
    /// # Errors
    /// Where there is no such file, or the system says so.
    fn read_at(&self, name: &str, offset: u64, most: usize) -> io::Result<Vec<u8>>;

    /// All files with their lengths in bytes, in order of their names.
    ///
    /// # Errors
    /// As the system says.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;

    /// The files of one folder, as [`Disk::list`] has them; none where there is no such folder.
    ///
    /// # Errors
    /// As the system says.
    fn list_in(&self, folder: &str) -> io::Result<Vec<(String, u64)>> {
        let mut files = self.list()?;
        files.retain(|(name, _)| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')));
        Ok(files)
    }

    /// The whole of a file that is no longer than `most` bytes.
    ///
    /// # Errors
    /// Where there is none, where it is longer, or the system says so.
    fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let bytes = self.read_at(name, 0, usize::try_from(most).unwrap_or(usize::MAX).saturating_add(1))?;
        if bytes.len() as u64 > most {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{name} is longer than {most} bytes"),
            ));
        }
        Ok(bytes)
    }

    /// Puts a whole file in place: as `name` it exists with all of `bytes` or not at all, whatever happens.
    ///
    /// # Errors
    /// As the system says.
    fn put(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = format!("{name}{UNFINISHED}");
        self.remove(&unfinished)?;
        self.append(&unfinished, bytes)?;
        self.sync(&unfinished)?;
        self.rename(&unfinished, name)?;
        self.sync_names()
    }
}

impl<D: Disk + ?Sized> Disk for Box<D> {
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        (**self).append(name, bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        (**self).sync(name)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        (**self).rename(from, to)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        (**self).remove(name)
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        (**self).truncate(name, length)
    }

    fn sync_names(&mut self) -> io::Result<()> {
        (**self).sync_names()
    }

    fn read_at(&self, name: &str, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        (**self).read_at(name, offset, most)
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        (**self).list()
    }

    fn list_in(&self, folder: &str) -> io::Result<Vec<(String, u64)>> {
        (**self).list_in(folder)
    }

    fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        (**self).read(name, most)
    }
}

/// Reads a file of a disk from its beginning.
#[derive(Debug)]
pub struct Reading<'a, D: ?Sized> {
    disk: &'a D,
    name: &'a str,
    offset: u64,
    /// What was read ahead, and how much of it is used.
    ahead: (Vec<u8>, usize),
}

impl<'a, D: Disk + ?Sized> Reading<'a, D> {
    /// The file of this name.
    pub fn of(disk: &'a D, name: &'a str) -> Self {
        Reading { disk, name, offset: 0, ahead: (Vec::new(), 0) }
    }
}

impl<D: Disk + ?Sized> Read for Reading<'_, D> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        const CHUNK: usize = 1 << 18;
        if self.ahead.1 == self.ahead.0.len() {
            self.ahead = (self.disk.read_at(self.name, self.offset, CHUNK)?, 0);
            self.offset += self.ahead.0.len() as u64;
        }
        let rest = &self.ahead.0[self.ahead.1..];
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        self.ahead.1 += count;
        Ok(count)
    }
}

/// What the name of a file ends with that is not in place yet; whoever finds one at a start may remove it.
pub const UNFINISHED: &str = ".part";

/// A real folder.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    /// The file that was appended to last, kept open: frames come one after the other.
    open: Option<(String, File)>,
}

impl Folder {
    /// The folder at this path, which is made where it does not exist.
    ///
    /// # Errors
    /// As the system says.
    pub fn at(path: impl Into<PathBuf>) -> io::Result<Folder> {
        let root = path.into();
        fs::create_dir_all(&root)?;
        Ok(Folder { root, open: None })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.root
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        if self.open.as_ref().is_none_or(|(open, _)| open != name) {
            let path = self.root.join(name);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let file = File::options().create(true).append(true).open(path)?;
            self.open = Some((name.to_owned(), file));
        }
        self.open.as_mut().map(|(_, file)| file).ok_or_else(|| io::Error::other("no file"))
    }

    fn forget(&mut self, name: &str) {
        self.open.take_if(|(open, _)| open == name);
    }

    /// The folders from one on, itself first.
    fn folders(&self, from: &str) -> io::Result<Vec<PathBuf>> {
        let mut all = vec![self.root.join(from)];
        let mut at = 0;
        while let Some(folder) = all.get(at).cloned() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    all.push(entry.path());
                }
            }
            at += 1;
        }
        Ok(all)
    }
}

impl Disk for Folder {
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all(bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.forget(from);
        self.forget(to);
        let to = self.root.join(to);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::rename(self.root.join(from), to)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.forget(name);
        match fs::remove_file(self.root.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.forget(name);
        let file = File::options().write(true).open(self.root.join(name))?;
        file.set_len(length)?;
        file.sync_data()
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.folders("")?.iter().try_for_each(|folder| File::open(folder)?.sync_all())
    }

    fn read_at(&self, name: &str, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.root.join(name))?;
        file.seek(io::SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(most as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.list_in("")
    }

    fn list_in(&self, folder: &str) -> io::Result<Vec<(String, u64)>> {
        let mut all = Vec::new();
        let folders = match self.folders(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.is_empty() => return Ok(all),
            folders => folders?,
        };
        for folder in folders {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                if let (true, Ok(name)) =
                    (entry.file_type()?.is_file(), entry.path().strip_prefix(&self.root))
                {
                    let length = match entry.metadata() {
                        Ok(metadata) => metadata.len(),
                        // Another process took it away in between.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                        Err(error) => return Err(error),
                    };
                    all.push((name.to_string_lossy().into_owned(), length));
                }
            }
        }
        all.sort();
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_what_it_is_given() {
        let temporary = tempfile::tempdir().unwrap();
        let mut folder = Folder::at(temporary.path().join("spool")).unwrap();
        folder.append("open/1.pcapng", b"abc").unwrap();
        folder.append("open/2.pcapng", b"x").unwrap();
        folder.append("open/1.pcapng", b"def").unwrap();
        folder.sync("open/1.pcapng").unwrap();
        folder.truncate("open/1.pcapng", 5).unwrap();
        folder.append("open/1.pcapng", b"!").unwrap();
        assert_eq!(folder.read("open/1.pcapng", 6).unwrap(), b"abcde!");
        assert_eq!(folder.read("open/1.pcapng", 5).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        folder.rename("open/1.pcapng", "sealed/1").unwrap();
        folder.remove("open/2.pcapng").unwrap();
        folder.remove("open/2.pcapng").unwrap();
        folder.put("sealed/1.json", b"{}").unwrap();
        folder.put("sealed/1.json", b"[]").unwrap();
        folder.sync_names().unwrap();
        assert_eq!(folder.list().unwrap(), [("sealed/1".to_owned(), 6), ("sealed/1.json".to_owned(), 2)]);
        assert_eq!(folder.read("sealed/1.json", 2).unwrap(), b"[]");
    }
}
