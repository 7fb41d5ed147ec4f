//! Takes the wanted files out of an npm archive: bounded, and by names of our own.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path};

use flate2::read::GzDecoder;

use super::{Source, UpdateError};

/// All files of an archive together; the largest today has 135 MB.
const MAX_UNPACKED: u64 = 2 << 30;

/// One licence or note.
const MAX_LICENCE: u64 = 64 << 10;

/// Licences kept, the largest number today is four.
const MAX_LICENCES: usize = 16;

/// Writes the wanted files and the licences into a folder and gives the licences' names.
pub(super) fn unpack(source: Source, archive: &Path, folder: &Path) -> Result<Vec<String>, UpdateError> {
    let package = source.package();
    let wrong = |why: String| UpdateError::Package { package, why };
    let mut wanted = source.wanted().to_vec();
    let mut licences = Vec::new();
    read(archive, |name, file| {
        if let Some(at) = wanted.iter().position(|other| *other == name) {
            write(&folder.join(wanted.swap_remove(at)), file, MAX_UNPACKED)
        } else if is_licence(name) && licences.len() < MAX_LICENCES {
            licences.push(name.to_owned());
            write(&folder.join(name), file, MAX_LICENCE)
        } else {
            Ok(())
        }
    })
    .map_err(|why| wrong(format!("its archive cannot be unpacked: {why}")))?;
    if !wanted.is_empty() {
        return Err(wrong(format!("its archive lacks {}", wanted.join(" and "))));
    }
    licences.sort();
    licences.dedup();
    Ok(licences)
}

/// Shows each plain file of `package/`, with its name, to `each`. Links, devices and whatever lies elsewhere or deeper are
/// passed over.
fn read(archive: &Path, mut each: impl FnMut(&str, &mut dyn Read) -> io::Result<()>) -> io::Result<()> {
    let unpacked = GzDecoder::new(File::open(archive)?).take(MAX_UNPACKED);
    let mut tar = tar::Archive::new(unpacked);
    for entry in tar.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let parts: Vec<Component<'_>> = path.components().collect();
        let [Component::Normal(top), Component::Normal(name)] = parts[..] else { continue };
        if let (true, "package", Some(name)) =
            (entry.header().entry_type().is_file(), top.to_str().unwrap_or_default(), name.to_str())
        {
            each(name, &mut entry)?;
        }
    }
    Ok(())
}

/// `NRO_LICENSE`, `DBIP-LICENSE`, `MODIFICATIONS`: capitals, and nothing that a path could be made of.
fn is_licence(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_uppercase() || b"_-".contains(&byte));
    plain && name.len() <= 64 && (name.contains("LICENSE") || name == "MODIFICATIONS")
}

fn write(path: &Path, file: &mut dyn Read, most: u64) -> io::Result<()> {
    let mut out = File::create(path)?;
    if io::copy(&mut file.take(most), &mut out)? == most {
        return Err(io::Error::other("a file is larger than any of its kind"));
    }
    // On the disk before it is renamed into its place.
    out.sync_all()
}
