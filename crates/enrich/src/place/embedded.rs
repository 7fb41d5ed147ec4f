//! The database that the program carries: countries only, from the registries. `places/README.md` says where it comes
//! from and how to make it anew.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::Database;

const PACKED: &[u8] = include_bytes!("../../../../places/geo-whois-asn-country.ranges");

/// The embedded database. The first call unpacks it (12 MB of memory, 64 ms); later ones share it.
pub fn embedded() -> Arc<Database> {
    static ONE: OnceLock<Arc<Database>> = OnceLock::new();
    Arc::clone(ONE.get_or_init(|| {
        let database = Database::from_bytes(Path::new("geo-whois-asn-country.ranges"), PACKED.to_vec());
        // Not from outside: the tests read these very bytes.
        Arc::new(database.expect("the embedded database is whole").without_path())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Allocations that have stood for decades.
    #[test]
    fn old_allocations_have_their_country() {
        let check = |address: &str, expected: Option<&str>| {
            let record = embedded().lookup(address.parse().unwrap()).unwrap();
            let country = record.and_then(|record| record.country);
            assert_eq!(country.as_ref().map(|country| country.as_str()), expected, "{address}");
        };
        // RIPE NCC, University of Twente, RENATER, Google, Level 3, NIC.br, SWITCH.
        check("193.0.0.1", Some("NL"));
        check("193.0.7.255", Some("NL"));
        check("130.89.1.1", Some("NL"));
        check("2001:660::1", Some("FR"));
        check("8.8.8.8", Some("US"));
        check("4.2.2.2", Some("US"));
        check("200.160.2.3", Some("BR"));
        check("2001:620::1", Some("CH"));
        check("130.59.31.80", Some("CH"));
        // Written as IPv6, still the University of Twente.
        check("::ffff:130.89.1.1", Some("NL"));
    }

    /// The registries file these under whoever asked for them; nobody is there.
    #[test]
    fn addresses_that_are_nowhere_are_unknown() {
        for address in [
            "10.0.0.1",
            "127.0.0.1",
            "224.0.0.1",
            "192.0.2.1",
            "203.0.113.1",
            "198.51.100.1",
            "::1",
            "2001:db8::1",
        ] {
            assert_eq!(embedded().lookup(address.parse().unwrap()).unwrap(), None, "{address}");
        }
    }

    #[test]
    fn it_says_what_it_is() {
        let database = embedded();
        assert_eq!(database.name(), "geo-whois-asn-country");
        assert_eq!(database.kind(), super::super::Kind::Country);
        assert_eq!(database.built_day(), "2026-06-17");
        assert!(database.paths().is_empty());
        assert!(database.attribution().unwrap().contains("nro.net"));
    }
}
