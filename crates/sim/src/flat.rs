//! Flat captures for benchmarks: the plan of many sources that each do one thing, up to an exact number
//! of packets, answers included.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::clock::{Clock, Day};
use crate::plan::counts::{apportion, heavy_tail, pick};
use crate::plan::identity::Addresses;
use crate::plan::{Act, Plan, Source, Step};
use crate::scenario::{Flat, Scenario, Share};
use crate::study::Response;
use crate::system;
use crate::target::Target;

/// Packets of one source at least, on average: fewer packets bring fewer sources.
const LEAST_PACKETS: u64 = 3;
/// The heaviest source weighs this many times the lightest: no source fills the capture alone.
const HEAVIEST: f64 = 200.0;

/// More would not fit a step's counters, nor most disks.
const MOST_PACKETS: u64 = 4_000_000_000;
/// More sources would make ticks too long for a day's packets.
const MOST_SOURCES: u64 = 4_000_000;

/// Plans `packets` packets.
pub(crate) fn plan(scenario: &Scenario, flat: &Flat, packets: u64, seed: u64) -> Result<Plan, String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    if packets > MOST_PACKETS {
        return Err(format!("{packets} packets are more than {MOST_PACKETS}"));
    }
    let wanted = u64::from(flat.sources_per_day) * u64::from(flat.days);
    let count = wanted.min(packets / LEAST_PACKETS).clamp(1, MOST_SOURCES) as usize;
    let clock = Clock::new(count);
    let weights: Vec<f64> = (0..count).map(|_| heavy_tail(&mut rng, HEAVIEST)).collect();
    let hosts = scenario.host.len() as u64;
    let mut addresses = Addresses::default();
    let mut sources = Vec::with_capacity(count);
    for (n, share) in apportion(packets, &weights).into_iter().enumerate() {
        let day = Day(flat.first_day.0 + (n as u64 * u64::from(flat.days) / count as u64) as i32);
        let (act, target) = behaviour(flat, &mut rng);
        let mut steps: Vec<Step> = (0..hosts)
            .map(|h| (h as u8, share / hosts + u64::from(h < share % hosts)))
            .filter(|(_, written)| *written > 0)
            .map(|(host, written)| step(scenario, day, host, target, &act, written))
            .collect();
        if !steps.is_empty() {
            spread(&mut rng, &clock, day, &mut steps)?;
            let ip = addresses.fresh(&mut rng);
            sources.push(Source { ip, day, place: None, system: system::usual_of(ip), steps });
        }
    }
    sources.sort_by_key(|s: &Source| (s.steps[0].start, s.ip));
    let end = Day(flat.first_day.0 + flat.days as i32);
    Ok(Plan { clock, seed, sources, own: Vec::new(), files: vec![(flat.file.clone(), end.start_us())] })
}

fn behaviour(flat: &Flat, rng: &mut ChaCha8Rng) -> (Act, Target) {
    /// Backscatter comes to as many ports as forged floods have.
    const FORGED_PORTS: std::ops::Range<u16> = 1_024..3_072;
    let shares = [flat.tcp_percent, flat.udp_percent, flat.icmp_percent, flat.backscatter_percent];
    let any = |rng: &mut ChaCha8Rng, of: &[Share]| of[pick(rng, of.iter().map(|s| s.weight))].port;
    match pick(rng, shares.into_iter()) {
        0 => {
            let payload = rng.random_bool(flat.payload_percent / 100.0);
            (Act::Knock { open: false, payload }, any(rng, &flat.tcp))
        }
        1 => (Act::Datagram { open: false }, any(rng, &flat.udp)),
        2 => (Act::Ping, Target::Icmp),
        _ => {
            let response = [Response::SynAck, Response::RstAck, Response::Rst][rng.random_range(0..3)];
            (Act::Answer(response), Target::Tcp(rng.random_range(FORGED_PORTS)))
        }
    }
}

/// A step that writes exactly so many packets, the host's answers among them.
fn step(scenario: &Scenario, day: Day, host: u8, target: Target, act: &Act, written: u64) -> Step {
    let is_open = scenario.is_open(host, target, day.start_us());
    let act = match act {
        Act::Knock { payload, .. } => Act::Knock { open: is_open, payload: *payload },
        Act::Datagram { .. } => Act::Datagram { open: is_open },
        other => other.clone(),
    };
    let (packets, answers) = match &act {
        Act::Answer(_) => (written, 0),
        // SYN, SYN/ACK, RST: three written for two that come in.
        Act::Knock { open: true, .. } => (written - written / 3, written / 3),
        _ => (written - written / 2, written / 2),
    };
    // On an open port every second packet is answered, so the limit counts both.
    let per_answer = if matches!(act, Act::Knock { open: true, .. }) { 2 } else { 1 };
    let answer_limit = (answers * per_answer) as u32;
    Step { host, target, act, start: 0, packets: packets as u32, spacing: 1, answer_limit }
}

/// Spreads a source's steps over a part of its day.
fn spread(rng: &mut ChaCha8Rng, clock: &Clock, day: Day, steps: &mut [Step]) -> Result<(), String> {
    let packets: u64 = steps.iter().map(|s| u64::from(s.packets)).sum();
    let (first, last) = (clock.first_tick(day), clock.last_tick(day));
    let fastest = (last - first) / packets.max(1);
    if fastest == 0 {
        return Err(format!("a day has no room for {packets} packets of one source"));
    }
    let spacing = rng.random_range(1..=fastest.min(400));
    let mut start = rng.random_range(first..=last - packets * spacing);
    for step in steps {
        (step.start, step.spacing) = (start, spacing as u32);
        start += u64::from(step.packets) * spacing;
    }
    Ok(())
}
