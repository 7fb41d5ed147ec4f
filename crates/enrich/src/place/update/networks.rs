//! Makes the list of networks: ip-location-db has it as text only, one range in each line.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use super::{Source, UpdateError};
use crate::place::MAX_TEXT;
use crate::place::ranges::Builder;

/// Lines of both files together; today there are half a million.
const MAX_LINES: usize = 4 << 20;

/// Writes `asn.ranges` beside the two texts.
pub(super) fn make(source: Source, version: &str, folder: &Path) -> Result<(), UpdateError> {
    let package = source.package();
    let wrong = |why: String| UpdateError::Package { package, why };
    let built_s = built_s(version).ok_or_else(|| wrong(format!("its version {version} names no date")))?;
    let mut builder = Builder::default();
    let (mut lines, mut left_out) = (0, 0);
    for name in source.wanted() {
        read(&folder.join(name), |first, last, network| {
            lines += 1;
            left_out += usize::from(!builder.add(first, last, network));
            lines <= MAX_LINES
        })
        .map_err(|why| wrong(format!("{name}: {why}")))?;
    }
    if lines > MAX_LINES {
        return Err(wrong(format!("it has more than {MAX_LINES} ranges")));
    }
    // A few overlap by mistake of those who announce them. Many would be another format.
    if left_out * 100 > lines {
        return Err(wrong(format!("{left_out} of {lines} ranges overlap others")));
    }
    let packed = builder.pack("asn", built_s, source.attribution());
    let path = folder.join("asn.ranges");
    let written = packed.and_then(|packed| {
        std::fs::write(&path, packed)?;
        File::open(&path)?.sync_all()
    });
    written.map_err(|cause| UpdateError::System { path, cause })
}

/// Reads lines of `first,last,number,name` until `each` has enough.
fn read(path: &Path, mut each: impl FnMut(IpAddr, IpAddr, &str) -> bool) -> io::Result<()> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(File::open(path)?);
    let mut line = csv::StringRecord::new();
    while reader.read_record(&mut line)? {
        let field = |at| line.get(at).unwrap_or_default();
        let number = field(2).parse::<u32>();
        let (Ok(first), Ok(last), Ok(number)) = (field(0).parse(), field(1).parse(), number) else {
            let at = line.position().map_or(0, |position| position.line());
            return Err(io::Error::other(format!("line {at} is not a range and its network")));
        };
        let name: String = field(3).chars().take(MAX_TEXT).collect();
        if !each(first, last, &format!("{number} {name}")) {
            break;
        }
    }
    Ok(())
}

/// `2.3.2026061719` was made on 17 June 2026 at 19:00 UTC.
fn built_s(version: &str) -> Option<u64> {
    let stamp = version.rsplit('.').next().filter(|stamp| stamp.len() == 10)?;
    let time = chrono::NaiveDateTime::parse_from_str(&format!("{stamp}00"), "%Y%m%d%H%M").ok()?;
    u64::try_from(time.and_utc().timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_names_a_date() {
        // date -u -d '2026-06-17 19:00' +%s
        assert_eq!(built_s("2.3.2026061719"), Some(1_781_722_800));
        assert_eq!(built_s("2.3.1"), None);
        assert_eq!(built_s("2.3.2026136199"), None);
        assert_eq!(built_s(""), None);
    }
}
