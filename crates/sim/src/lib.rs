//! Seeded attackers on a virtual clock: captures whose truth is known, because it was planned.
//!
//! A [`Scenario`] (a text file) says who attacks which hosts, when and how often. [`Plan::of`] decides
//! every packet from a seed; [`simulate`] writes the plan as captures, with the platform file and
//! `truth.json`: what each question must answer, computed from the plan and never from the packets. So
//! whoever reads the captures and arrives at other numbers has found an error in one of the two.
//!
//! Invariant: no clock but the virtual one, no randomness but the seed's, nothing printed. The same
//! scenario, scale and seed give the same bytes.

pub mod clock;
mod error;
mod flat;
mod frames;
mod mmdb;
mod payload;
mod places;
pub mod plan;
mod platform;
pub mod scanners;
pub mod scenario;
pub mod study;
pub mod system;
pub mod talk;
pub mod target;
pub mod truth;
mod write;

use std::path::Path;

pub use error::SimError;
pub use plan::Plan;
pub use scenario::{BUILT_IN, Scenario};
pub use write::Summary;

/// Writes a scenario's captures, `platform.toml` and, of a study, `truth.json` and `places.mmdb` into `dir`.
///
/// `scale` multiplies sources and packets (1 where not given), `seed` replaces the scenario's own.
/// `progress` is told, every so often and at the end, how many packets are written and how many
/// are planned. Files of the same names are replaced.
pub fn simulate(
    scenario: &Scenario,
    scale: Option<f64>,
    seed: Option<u64>,
    dir: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Summary, SimError> {
    let (scale, seed) = (scale.unwrap_or(1.0), seed.unwrap_or(scenario.seed));
    let plan = Plan::of(scenario, scale, seed)?;
    std::fs::create_dir_all(dir).map_err(|source| write::failed(dir, source))?;
    let mut summary = write::captures(scenario, &plan, dir, progress)?;
    let put = |name: &str, bytes: Vec<u8>| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).map_err(|source| write::failed(&path, source))?;
        Ok::<_, SimError>(path)
    };
    summary.platform = put("platform.toml", platform::text(scenario).into())?;
    if let Some(study) = &scenario.study {
        summary.truth = Some(put("truth.json", truth::text(scenario, &plan, scale, seed).into())?);
        let places = places::database(study, &plan);
        summary.places = places.map(|bytes| put("places.mmdb", bytes)).transpose()?;
    }
    Ok(summary)
}

/// A flat scenario with another number of packets, as a benchmark may want it; a study is returned as it is.
pub fn with_packets(mut scenario: Scenario, packets: u64) -> Scenario {
    if let Some(flat) = &mut scenario.flat {
        flat.packets = packets;
    }
    scenario
}

#[cfg(test)]
mod tests;
