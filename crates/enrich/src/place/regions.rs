//! Names of regions to their codes of ISO 3166-2, for databases that only have names.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Country;

/// Countries, codes and names; the file says which and why.
const REGIONS: &str = include_str!("../../../../places/regions.tsv");

static CODES: LazyLock<HashMap<(Country, String), &'static str>> = LazyLock::new(|| {
    let lines = REGIONS.lines().filter(|line| !line.starts_with('#'));
    let read = |line: &'static str| {
        let mut fields = line.split('\t');
        let (country, code, name) = (fields.next()?, fields.next()?, fields.next()?);
        Some(((Country::read(country)?, folded(name)), code))
    };
    lines.filter_map(read).collect()
});

/// The code of a region (`CA` for California in the US), where its country is one of those in the list.
pub(super) fn code_of(country: Country, name: &str) -> Option<&'static str> {
    CODES.get(&(country, folded(name))).copied()
}

/// Lower case and without the accents of French, Spanish and Portuguese, which some databases leave out.
fn folded(name: &str) -> String {
    let plain = |c| match c {
        'á' | 'à' | 'â' | 'ã' => 'a',
        'é' | 'è' | 'ê' => 'e',
        'í' | 'î' => 'i',
        'ó' | 'ô' | 'õ' => 'o',
        'ú' | 'ü' => 'u',
        'ç' => 'c',
        'ñ' => 'n',
        other => other,
    };
    name.trim().chars().flat_map(char::to_lowercase).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(country: &str, name: &str, expected: Option<&str>) {
        assert_eq!(code_of(Country::read(country).unwrap(), name), expected, "{country} {name}");
    }

    #[test]
    fn names_become_codes() {
        check("US", "California", Some("CA"));
        check("US", "district of columbia", Some("DC"));
        check("CA", "Québec", Some("QC"));
        check("BR", "São Paulo", Some("SP"));
        check("BR", "Federal District", Some("DF"));
        check("MX", "Mexico City", Some("CMX"));
        check("AU", "Western Australia", Some("WA"));
        // Another country's Victoria, and a name that is none.
        check("US", "Victoria", None);
        check("FR", "California", None);
        check("US", "", None);
    }

    #[test]
    fn every_state_of_the_five_countries_is_there() {
        let regions = |country| {
            let mut codes: Vec<_> =
                CODES.iter().filter(|((of, _), _)| of.as_str() == country).map(|(_, code)| code).collect();
            codes.sort();
            codes.dedup();
            codes.len()
        };
        // ISO 3166-2: 50 states and the District; provinces and territories; states and territories; states and districts.
        assert_eq!(["US", "CA", "AU", "BR", "MX"].map(regions), [51, 13, 8, 27, 32]);
    }
}
