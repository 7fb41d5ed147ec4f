//! Who the attackers are: where they sit, at which hours they strike, and what they type.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde::Deserialize;

use super::Study;

/// Sources of one place.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// ISO 3166 code, or `??` for addresses that stand in no database.
    pub country: String,
    /// ISO 3166-2 subdivision, for countries with several time zones.
    pub region: Option<String>,
    /// Its clock; none where it is not known.
    #[serde(default, deserialize_with = "zone")]
    pub time_zone: Option<Tz>,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
    /// Of each month's sources, how many sit here.
    pub percent: f64,
    /// Months with another percentage, as `{ 2003-08 = 12.0 }`.
    #[serde(default)]
    pub months: BTreeMap<String, f64>,
    /// When they strike, by their own clock.
    #[serde(default)]
    pub hours: Hours,
}

/// An activity curve over the 24 hours of a local day.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "hours are the name of a profile, or 24 weights")]
pub enum Hours {
    /// A name in `[study.profile]`.
    Profile(String),
    /// One weight for each hour, from midnight.
    Weights(Vec<f64>),
}

impl Default for Hours {
    fn default() -> Self {
        Hours::Weights(vec![1.0; 24])
    }
}

/// A request to web servers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Web {
    /// Its bytes as text, line ends included.
    pub request: String,
    /// Its share among the requests.
    pub weight: f64,
}

/// What scanners do on an FTP server that they find: they log in, look whether it can hold their files, and go.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ftp {
    /// Of the scans that find a server, how many do this.
    pub percent: f64,
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
    /// What follows before QUIT; `{stamp}` is the date and time as a name: `030811132243p`.
    pub commands: Vec<String>,
}

impl Place {
    /// What a database that knows no such address says, and questions show.
    pub const UNKNOWN: &str = "??";

    /// Whether it stands in the place database.
    pub fn is_known(&self) -> bool {
        self.country != Place::UNKNOWN
    }

    /// Its name in questions about hours: `AU`, `US-CA`.
    pub fn name(&self) -> String {
        match &self.region {
            Some(region) => format!("{}-{region}", self.country),
            None => self.country.clone(),
        }
    }

    /// Its share among the sources of a month, written `2003-08`.
    pub fn percent_in(&self, month: &str) -> f64 {
        self.months.get(month).copied().unwrap_or(self.percent)
    }
}

impl Study {
    /// The curve of a place; none where a profile's name is wrong, which the check refuses.
    pub fn curve<'a>(&'a self, place: &'a Place) -> Option<&'a [f64]> {
        match &place.hours {
            Hours::Weights(weights) => Some(weights),
            Hours::Profile(name) => self.profile.get(name).map(Vec::as_slice),
        }
    }
}

fn zone<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Tz>, D::Error> {
    let name = String::deserialize(from)?;
    let wrong = |_| serde::de::Error::custom(format!("`{name}` is no IANA time zone: write Europe/Paris"));
    name.parse().map(Some).map_err(wrong)
}
