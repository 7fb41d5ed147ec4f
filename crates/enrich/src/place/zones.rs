//! Time zones: which one a place has, and what its clocks showed.
//!
//! Rules are those of the time zone database that the SQL engine has too (`chrono-tz`), so both tell the same hour.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{LazyLock, OnceLock};

use chrono::{DateTime, Timelike};
use chrono_tz::Tz;
use tzf_rs::EmbeddedFinder;

use super::Country;

/// Countries and their zones; the file says where it comes from.
const ZONES: &str = include_str!("../../../../places/zones.tsv");

/// Whose work the boundaries of time zones are; every answer that used coordinates for a zone owes it.
pub const BOUNDARIES: &str =
    "Time zone boundaries: contributors of OpenStreetMap, ODbL 1.0, by timezone-boundary-builder";

/// One country's line.
struct Clocks {
    several: bool,
    first: &'static str,
}

static COUNTRIES: LazyLock<HashMap<&'static str, Clocks>> = LazyLock::new(|| lines(ZONES).collect());

fn lines(text: &'static str) -> impl Iterator<Item = (&'static str, Clocks)> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut fields = line.split('\t');
        let (country, clocks, zones) = (fields.next()?, fields.next()?, fields.next()?);
        Some((country, Clocks { several: clocks == "several", first: zones.split(',').next()? }))
    })
}

/// Whether a country's clocks showed different hours at some moment since 2000: there the country alone does not tell
/// the hour, and a place is named with its region (`US-VA`).
pub fn has_several_zones(country: Country) -> bool {
    COUNTRIES.get(country.as_str()).is_some_and(|clocks| clocks.several)
}

/// The zone of a country that has one clock, by its IANA name.
pub fn only_zone(country: Country) -> Option<&'static str> {
    COUNTRIES.get(country.as_str()).filter(|clocks| !clocks.several).map(|clocks| clocks.first)
}

/// Whether the time zone database has a zone of this name.
pub fn is_known(zone: &str) -> bool {
    Tz::from_str(zone).is_ok()
}

/// The zone at coordinates in degrees, by its IANA name. None at sea, and where the coordinates are no place on earth.
///
/// The first call reads the boundaries' index (5 ms); the boundaries stay where the program's file has them (4 MB).
pub fn zone_at(latitude: f64, longitude: f64) -> Option<&'static str> {
    static BOUNDARIES: OnceLock<EmbeddedFinder> = OnceLock::new();
    if !is_on_earth(latitude, longitude) {
        return None;
    }
    let name = BOUNDARIES.get_or_init(EmbeddedFinder::new).get_tz_name(longitude, latitude);
    // The zones of the open sea are called Etc/GMT+5; no host of ours is a ship.
    (!name.starts_with("Etc/") && is_known(name)).then_some(name)
}

/// Whether coordinates in degrees can be a place. Nought by nought is open sea, and what databases write for "unknown".
pub(super) fn is_on_earth(latitude: f64, longitude: f64) -> bool {
    let inside = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
    inside && (latitude, longitude) != (0.0, 0.0)
}

/// The hour (0 to 23) that clocks of a zone showed, daylight saving included. None for a zone that the time zone
/// database does not have.
///
/// `time_ns_utc` is nanoseconds since 1970 in UTC.
pub fn local_hour(time_ns_utc: i64, zone: &str) -> Option<u8> {
    let zone = Tz::from_str(zone).ok()?;
    let hour = DateTime::from_timestamp_nanos(time_ns_utc).with_timezone(&zone).hour();
    u8::try_from(hour).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Offset, TimeDelta, TimeZone, Utc};

    fn country(code: &str) -> Country {
        Country::read(code).expect("a code")
    }

    /// The hour at a time of 2003 in UTC.
    fn check_hour(zone: &str, (month, day, hour, minute): (u32, u32, u32, u32), expected: u8) {
        let time = Utc.with_ymd_and_hms(2003, month, day, hour, minute, 59).unwrap();
        let time_ns = time.timestamp_nanos_opt().unwrap();
        assert_eq!(local_hour(time_ns, zone), Some(expected), "{zone} at {time}");
    }

    /// Directive 2000/84/EC: 01:00 UTC on the last Sundays of March and October.
    #[test]
    fn clocks_of_paris_change_with_daylight_saving_of_2003() {
        check_hour("Europe/Paris", (3, 30, 0, 59), 1);
        check_hour("Europe/Paris", (3, 30, 1, 0), 3);
        check_hour("Europe/Paris", (10, 26, 0, 59), 2);
        check_hour("Europe/Paris", (10, 26, 1, 0), 2);
        check_hour("Europe/Paris", (10, 26, 2, 0), 3);
    }

    /// zdump -v Australia/Sydney: back on 29 March and on again on 25 October, at 16:00 UTC.
    #[test]
    fn clocks_of_sydney_change_with_daylight_saving_of_2003() {
        check_hour("Australia/Sydney", (3, 29, 15, 59), 2);
        check_hour("Australia/Sydney", (3, 29, 16, 0), 2);
        check_hour("Australia/Sydney", (3, 29, 17, 0), 3);
        check_hour("Australia/Sydney", (10, 25, 15, 59), 1);
        check_hour("Australia/Sydney", (10, 25, 16, 0), 3);
    }

    #[test]
    fn an_unknown_zone_and_the_ends_of_time_are_no_panic() {
        assert_eq!(local_hour(0, "Mars/Olympus_Mons"), None);
        assert_eq!(local_hour(0, ""), None);
        assert!(local_hour(i64::MIN, "Europe/Paris").is_some());
        assert!(local_hour(i64::MAX, "Pacific/Kiritimati").is_some());
    }

    #[test]
    fn countries_with_several_clocks() {
        for code in ["US", "CA", "AU", "RU", "BR", "MX", "ID", "KZ", "ES", "PT"] {
            assert!(has_several_zones(country(code)), "{code}");
            assert_eq!(only_zone(country(code)), None, "{code}");
        }
        for (code, zone) in
            [("FR", "Europe/Paris"), ("DE", "Europe/Berlin"), ("CN", "Asia/Shanghai"), ("JP", "Asia/Tokyo")]
        {
            assert!(!has_several_zones(country(code)), "{code}");
            assert_eq!(only_zone(country(code)), Some(zone));
        }
        assert_eq!(only_zone(country("QQ")), None);
        assert!(!has_several_zones(country("QQ")));
    }

    /// The UTC offset every six hours from 2000 to 2037.
    fn clock(zone: &str) -> Vec<i32> {
        let zone = Tz::from_str(zone).unwrap_or_else(|_| panic!("{zone} is not in the time zone database"));
        let start = Utc.with_ymd_and_hms(2000, 1, 1, 0, 0, 0).unwrap();
        let times = (0..4 * 365 * 38).map(|n| start + TimeDelta::hours(6 * n));
        times.map(|time| zone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc()).collect()
    }

    #[test]
    fn zones_agree_with_tzdata() {
        let mut countries = 0;
        for line in ZONES.lines().filter(|line| !line.starts_with('#')) {
            let [code, clocks, zones] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let mut zones = zones.split(',').map(clock);
            let first = zones.next().unwrap();
            let agree = zones.all(|zone| zone == first);
            // By law, not by tzdata: the file says why.
            assert_eq!(agree || code == "CN", clocks == "one", "{line}");
            countries += 1;
        }
        assert_eq!(countries, 248);
    }

    #[test]
    fn coordinates_have_a_zone_on_land_only() {
        assert_eq!(zone_at(43.6145, 7.0717), Some("Europe/Paris"));
        assert_eq!(zone_at(39.0438, -77.4874), Some("America/New_York"));
        assert_eq!(zone_at(33.4484, -112.0740), Some("America/Phoenix"));
        assert_eq!(zone_at(-33.8688, 151.2093), Some("Australia/Sydney"));
        // The middle of the Atlantic, what stands for "unknown", and no place at all.
        for (latitude, longitude) in
            [(30.0, -40.0), (0.0, 0.0), (91.0, 0.0), (0.5, 181.0), (f64::NAN, 7.0), (7.0, f64::INFINITY)]
        {
            assert_eq!(zone_at(latitude, longitude), None, "{latitude} {longitude}");
        }
    }

    /// A zone of the boundaries that the clocks do not know would silently have no hour.
    #[test]
    fn every_zone_on_land_has_clocks() {
        let finder = EmbeddedFinder::new();
        let unknown: Vec<_> = finder.timezonenames().into_iter().filter(|name| !is_known(name)).collect();
        assert_eq!(unknown, Vec::<&str>::new());
    }
}
