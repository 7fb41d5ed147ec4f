//! Places: which country, region, coordinates, time zone and network an address has.
//!
//! A [`Database`] tells something about addresses; [`Databases`] asks several, in the order they were added. The first that
//! knows the country gives the whole place, because two databases mixed in one answer would be nobody's claim; the network's
//! number and name come from the first that has them. [`embedded`] is the last resort, [`update`] fetches better ones.
//!
//! Every answer has to name the database and its date ([`Place::database`], [`Databases::iter`]) and, where the licence asks,
//! its makers ([`Database::attribution`]). Reasons: docs/decisions/0007-places.md.

mod database;
mod embedded;
pub mod ranges;
mod regions;
mod special;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod update;
pub mod zones;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use database::{Database, DatabaseError, Kind, MAX_TEXT, Record};
pub use embedded::embedded;
pub use zones::{has_several_zones, local_hour};

/// Places kept in memory. A busy platform's day has fewer sources; beyond it the cache is emptied.
const CACHED: usize = 65_536;

/// Databases of one folder that are looked at. Nobody has more; a folder with more is none of databases.
const MAX_FILES: usize = 64;

/// A country: two capital letters of ISO 3166-1, or `XK`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// Reads a code, in capitals or not. `EU` and `AP`, which registries write for their whole region, and `ZZ` for
    /// nothing known, are no countries.
    pub fn read(code: &str) -> Option<Country> {
        let letters: [u8; 2] = code.as_bytes().try_into().ok()?;
        let letters = letters.map(|letter| letter.to_ascii_uppercase());
        let is_country =
            letters.iter().all(u8::is_ascii_uppercase) && ![*b"EU", *b"AP", *b"ZZ"].contains(&letters);
        is_country.then_some(Country(letters))
    }

    /// The two letters.
    pub fn as_str(&self) -> &str {
        // Letters, since `read`.
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a place's time zone is known, the surest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ZoneFrom {
    /// The database names it.
    Database,
    /// The coordinates lie in it.
    Coordinates,
    /// The country has no other.
    Country,
    /// It is not known.
    #[default]
    Unknown,
}

impl fmt::Display for ZoneFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ZoneFrom::Database => "database",
            ZoneFrom::Coordinates => "coordinates",
            ZoneFrom::Country => "country",
            ZoneFrom::Unknown => "unknown",
        })
    }
}

/// Where an address is, as far as databases know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// The country.
    pub country: Option<Country>,
    /// The region: the part of its ISO 3166-2 code behind the country's (`CA` for US-CA), or its name where no code is
    /// known. At most [`MAX_TEXT`] bytes.
    pub region: Option<String>,
    /// Degrees, north is positive. Only together with the longitude.
    pub latitude: Option<f64>,
    /// Degrees, east is positive.
    pub longitude: Option<f64>,
    /// IANA name; [`local_hour`] knows it.
    pub time_zone: Option<String>,
    /// How that is known.
    pub time_zone_from: ZoneFrom,
    /// Number of the autonomous system that announces the address.
    pub asn: Option<u32>,
    /// That network's name, at most [`MAX_TEXT`] bytes.
    pub as_name: Option<String>,
    /// The name of the database that knew the country.
    pub database: Option<Arc<str>>,
    /// The name of the database that knew the network.
    pub network_database: Option<Arc<str>>,
}

impl Place {
    fn of(record: Record) -> Place {
        let (time_zone, time_zone_from) = zone(&record);
        Place {
            country: record.country,
            region: record.region,
            latitude: record.latitude,
            longitude: record.longitude,
            time_zone,
            time_zone_from,
            asn: record.asn,
            as_name: record.as_name,
            ..Place::default()
        }
    }

    /// What answers by place call it: the country, with the region where the country has several time zones (`FR`,
    /// `US-CA`), and `??` where nothing is known.
    pub fn label(&self) -> String {
        match (self.country, &self.region) {
            (None, _) => "??".into(),
            (Some(country), Some(region)) if has_several_zones(country) => format!("{country}-{region}"),
            (Some(country), _) => country.to_string(),
        }
    }
}

fn zone(record: &Record) -> (Option<String>, ZoneFrom) {
    if let Some(zone) = &record.time_zone {
        return (Some(zone.clone()), ZoneFrom::Database);
    }
    // Where neither region nor city is known the coordinates are the middle of the country, and no clock's.
    let is_middle = record.region.is_none() && record.city.is_none();
    let coordinates = record.latitude.zip(record.longitude).filter(|_| !is_middle);
    if let Some(zone) = coordinates.and_then(|(latitude, longitude)| zones::zone_at(latitude, longitude)) {
        return (Some(zone.to_owned()), ZoneFrom::Coordinates);
    }
    match record.country.and_then(zones::only_zone) {
        Some(zone) => (Some(zone.to_owned()), ZoneFrom::Country),
        None => (None, ZoneFrom::Unknown),
    }
}

/// Several databases side by side. Shared between threads as it is.
#[derive(Debug, Default)]
pub struct Databases {
    /// With the name as places carry it.
    databases: Vec<(Arc<str>, Arc<Database>)>,
    cache: Mutex<HashMap<IpAddr, Arc<Place>>>,
    damaged: AtomicU64,
}

impl Databases {
    /// None; [`Databases::add`] adds some.
    pub fn new() -> Databases {
        Databases::default()
    }

    /// Opens files; the embedded countries are behind them only where none of them knows countries. What cannot be opened comes back
    /// beside it, for the caller to tell; the rest works.
    ///
    /// Files are asked in the order given. Two files of one database (`NAME-ipv4.mmdb`, `NAME-ipv6.mmdb`) become one.
    pub fn open(paths: &[PathBuf]) -> (Databases, Vec<DatabaseError>) {
        let (mut opened, mut errors): (Vec<Database>, Vec<DatabaseError>) = (Vec::new(), Vec::new());
        for path in paths {
            match Database::open(path) {
                Ok(database) => match opened.iter_mut().find(|other| are_halves(other, &database)) {
                    Some(other) => other.join(database),
                    None => opened.push(database),
                },
                Err(error) => errors.push(error),
            }
        }
        let mut databases = Databases::new();
        opened.into_iter().for_each(|database| databases.add(Arc::new(database)));
        if !databases.iter().any(|(_, database)| matches!(database.kind(), Kind::City | Kind::Country)) {
            databases.add_embedded();
        }
        (databases, errors)
    }

    /// Puts the embedded countries behind those that are there, unless a newer copy of them is among them.
    pub fn add_embedded(&mut self) {
        if !self.iter().any(|(name, _)| name == embedded().name()) {
            self.add(embedded());
        }
    }

    /// Adds one that is asked after those that are there. Where its name is taken it gets a number: `GeoLite2-City 2`.
    pub fn add(&mut self, database: Arc<Database>) {
        let taken = |name: &str| self.databases.iter().any(|(other, _)| **other == *name);
        let plain = database.name().to_owned();
        let numbered = (2..).map(|n| format!("{plain} {n}"));
        let name =
            std::iter::once(plain.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or_default();
        self.databases.push((name.into(), database));
        self.cache.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// All of them with their names, in the order they are asked.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Database)> {
        self.databases.iter().map(|(name, database)| (&**name, &**database))
    }

    /// Where an address is. Addresses that nobody has on the internet (private, loopback, multicast, documentation)
    /// are unknown unless a database holds them.
    pub fn lookup(&self, address: IpAddr) -> Arc<Place> {
        let cache = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = cache().get(&address) {
            return Arc::clone(place);
        }
        let place = Arc::new(self.ask(address));
        let mut cache = cache();
        if cache.len() >= CACHED {
            cache.clear();
        }
        cache.insert(address, Arc::clone(&place));
        place
    }

    /// What one database says, for comparing them. None where there is no database of that name.
    pub fn lookup_in(&self, name: &str, address: IpAddr) -> Option<Place> {
        let (name, database) = self.databases.iter().find(|(other, _)| **other == *name)?;
        let mut place = Place::of(self.record(database, address).unwrap_or_default());
        place.database = place.country.map(|_| Arc::clone(name));
        place.network_database = place.asn.map(|_| Arc::clone(name));
        Some(place)
    }

    /// Lookups that met a damaged record, which counts as nothing known.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    fn record(&self, database: &Database, address: IpAddr) -> Option<Record> {
        database.lookup(address).unwrap_or_else(|_| {
            self.damaged.fetch_add(1, Ordering::Relaxed);
            None
        })
    }

    fn ask(&self, address: IpAddr) -> Place {
        let mut place = Place::default();
        let mut network: Option<(Arc<str>, u32, Option<String>)> = None;
        for (name, database) in &self.databases {
            let wanted = match database.kind() {
                Kind::Network => network.is_none(),
                Kind::City | Kind::Country => place.country.is_none(),
            };
            let Some(record) = wanted.then(|| self.record(database, address)).flatten() else { continue };
            if let (None, Some(asn)) = (&network, record.asn) {
                network = Some((Arc::clone(name), asn, record.as_name.clone()));
            }
            if place.country.is_none() && record.country.is_some() {
                place = Place { database: Some(Arc::clone(name)), ..Place::of(record) };
            }
        }
        let (name, asn, as_name) =
            network.map_or((None, None, None), |(n, asn, text)| (Some(n), Some(asn), text));
        Place { asn, as_name, network_database: name, ..place }
    }
}

/// Whether two are the IPv4 and the IPv6 file of one database: the same folder and name.
fn are_halves(one: &Database, other: &Database) -> bool {
    let folder =
        |database: &Database| database.paths().first().and_then(|path| path.parent()).map(Path::to_owned);
    let ends = |database: &Database, end: &str| {
        let stem =
            |path: &PathBuf| path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with(end));
        database.paths().iter().any(stem)
    };
    let apart = ends(one, "-ipv4") != ends(one, "-ipv6") && ends(one, "-ipv4") == ends(other, "-ipv6");
    apart && one.paths().len() == 1 && one.name() == other.name() && folder(one) == folder(other)
}

/// The places where `geoipupdate` and Debian's packages put databases.
pub const SYSTEM_FOLDERS: [&str; 3] = ["/usr/share/GeoIP", "/var/lib/GeoIP", "/usr/local/share/GeoIP"];

/// The databases in some folders, in the order they should be asked: folders as given, in each the cities first, then
/// countries, then networks, each by name. A folder that is not there has none.
///
/// The kind is taken from the file's name here; what is in a file shows when it is opened.
pub fn find(folders: &[PathBuf]) -> Vec<PathBuf> {
    let files = |folder: &PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> =
            entries.filter(|path| is_called_database(path) && path.is_file()).collect();
        files.sort_by_key(|path| (Kind::of(&database::name_of(path)), path.clone()));
        files.truncate(MAX_FILES);
        files
    };
    folders.iter().flat_map(files).collect()
}

fn is_called_database(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hidden = name.starts_with('.');
    !hidden && database::ENDINGS.iter().any(|end| name.ends_with(end)) && Kind::of(&name).is_some()
}
