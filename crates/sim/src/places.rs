//! The place database of a simulation: where each drawn address sits, in the shape of GeoLite2 City and ASN together.
//!
//! Addresses are drawn at random, so what a real database says of them means nothing; this one says what was planned,
//! of exactly those addresses, and nothing of anybody else.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::mmdb::{self, Value};
use crate::plan::Plan;
use crate::study::{Place, Study};

/// The first autonomous system number for private use (RFC 6996), so that no real network is named.
const FIRST_ASN: u32 = 64_512;

/// The bytes of `places.mmdb`; none for a study without places.
pub(crate) fn database(study: &Study, plan: &Plan) -> Option<Vec<u8>> {
    if study.place.is_empty() {
        return None;
    }
    let located = plan.sources.iter().filter_map(|s| Some((s.ip, usize::from(s.place?))));
    let known: BTreeMap<Ipv4Addr, usize> = located.filter(|(_, n)| study.place[*n].is_known()).collect();
    let addresses: Vec<(Ipv4Addr, usize)> = known.into_iter().collect();
    let records: Vec<Value> = study.place.iter().enumerate().map(|(n, place)| record(n, place)).collect();
    // Built when the study ended: the same study gives the same bytes.
    let end_us = plan.files.last().map_or(0, |(_, until_us)| *until_us);
    let about = "Places of simulated attackers; they say nothing about who holds these addresses";
    Some(mmdb::database("Simulated-City", about, end_us as u64 / 1_000_000, &addresses, &records))
}

fn record(n: usize, place: &Place) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    let code = |code: &str| Value::Map(vec![("iso_code", text(code))]);
    let mut location = Vec::new();
    location.extend(place.latitude.map(|l| ("latitude", Value::Double(l))));
    location.extend(place.longitude.map(|l| ("longitude", Value::Double(l))));
    location.extend(place.time_zone.map(|zone| ("time_zone", text(zone.name()))));
    let mut fields = vec![
        ("autonomous_system_number", Value::U32(FIRST_ASN + n as u32)),
        ("autonomous_system_organization", Value::Text(format!("Simulated network of {}", place.name()))),
        ("country", code(&place.country)),
        ("location", Value::Map(location)),
    ];
    fields.extend(place.region.as_ref().map(|r| ("subdivisions", Value::Array(vec![code(r)]))));
    Value::Map(fields)
}
