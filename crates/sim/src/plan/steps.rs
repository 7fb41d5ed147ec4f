//! From a role to steps: which packets go where, in which order, before any more are added.
//!
//! Ticks count from the source's first packet here; [`super::timeline`] puts them on the day.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Act, Draft, Planning, Role, Step};
use crate::clock::Clock;
use crate::talk::{Server, Talk};
use crate::target::Target;

/// Longer sequences are port scans, which knock once.
const RETRIES_UP_TO_PORTS: usize = 4;

/// The steps of every draft.
pub(crate) fn of_all(planning: &Planning<'_>, clock: &Clock, drafts: &[Draft]) -> Vec<Vec<Step>> {
    let mut rng = planning.rng(5);
    drafts.iter().map(|draft| of(planning, clock, draft, &mut rng)).collect()
}

fn of(planning: &Planning<'_>, clock: &Clock, draft: &Draft, rng: &mut ChaCha8Rng) -> Vec<Step> {
    let mut start = 0;
    let mut steps = Vec::new();
    for (host, target) in visits(planning, draft, rng) {
        let act = act(planning, clock, draft, host, target, rng);
        let packets = packets(draft, &act, rng);
        let spacing = clock.ticks(rng.random_range(300..1_500)) as u32;
        let answer_limit = match act {
            Act::Talk(_) => u32::MAX,
            _ => planning.study.answers_per_probe,
        };
        let step = Step { host, target, act, start, packets, spacing, answer_limit };
        start = step.tick(packets - 1) + rng.random_range(1..=clock.ticks(2_500));
        steps.push(step);
    }
    steps
}

/// Hosts and targets in order of their first packets.
fn visits(planning: &Planning<'_>, draft: &Draft, rng: &mut ChaCha8Rng) -> Vec<(u8, Target)> {
    let (hosts, targets) = (&draft.hosts, &draft.sequence.0);
    let mut visits = Vec::with_capacity(hosts.len() * targets.len());
    if pings_first(planning, draft, rng) {
        visits.extend(hosts.iter().map(|h| (*h, Target::Icmp)));
    }
    if planning.is_worm(&draft.sequence) {
        visits.extend(hosts.iter().map(|h| (*h, targets[0])));
        let fallen = hosts.iter().filter(|h| planning.is_open(**h, targets[0], draft.day));
        let second = |h: &u8| targets[1..].iter().map(|t| (*h, *t)).collect::<Vec<_>>();
        visits.extend(fallen.flat_map(second));
    } else if rng.random_bool(0.6) {
        visits.extend(targets.iter().flat_map(|t| hosts.iter().map(|h| (*h, *t))));
    } else {
        visits.extend(hosts.iter().flat_map(|h| targets.iter().map(|t| (*h, *t))));
    }
    visits
}

fn pings_first(planning: &Planning<'_>, draft: &Draft, rng: &mut ChaCha8Rng) -> bool {
    let rules = planning.study.pings_first.iter();
    let mut fitting = rules.filter(|p| p.sequence == draft.sequence && draft.day >= p.from);
    draft.role == Role::Scan && fitting.any(|p| rng.random_bool((p.percent / 100.0).clamp(0.0, 1.0)))
}

fn act(
    planning: &Planning<'_>,
    clock: &Clock,
    draft: &Draft,
    host: u8,
    target: Target,
    rng: &mut ChaCha8Rng,
) -> Act {
    let open = planning.is_open(host, target, draft.day);
    match (draft.role, target) {
        (Role::Backscatter(response), _) => Act::Answer(response),
        (_, Target::Icmp) => Act::Ping,
        (_, Target::Udp(_)) => Act::Datagram { open },
        (_, Target::Proto(_)) => Act::Raw,
        (_, Target::Tcp(_)) if !open => Act::Knock { open, payload: false },
        (Role::Login(n), _) => {
            let (style, user, passwords) = planning.login(n);
            let server = Server::of(&planning.scenario.host[usize::from(host)]);
            let second = clock.ticks(1_000) as u32;
            Act::Talk(Box::new(Talk::ftp(&server, style, user, passwords, second, rng)))
        }
        (Role::Contact(_), Target::Tcp(port)) => Act::Talk(Box::new(Talk::few_bytes(port))),
        (Role::Scan, Target::Tcp(80)) => Act::Talk(Box::new(Talk::http(&planning.study.web, rng))),
        (Role::Scan, Target::Tcp(135)) if planning.is_worm(&draft.sequence) => {
            Act::Talk(Box::new(Talk::rpc_overflow()))
        }
        _ => Act::Knock { open, payload: false },
    }
}

/// The first packets of a step; systems of that time repeat a refused SYN twice.
fn packets(draft: &Draft, act: &Act, rng: &mut ChaCha8Rng) -> u32 {
    match act {
        Act::Talk(talk) => talk.packets(),
        Act::Knock { open: true, .. } => 2,
        _ if draft.sequence.0.len() > RETRIES_UP_TO_PORTS => 1,
        Act::Knock { .. } | Act::Answer(_) => rng.random_range(1..=3),
        Act::Ping => rng.random_range(1..=2),
        Act::Datagram { .. } | Act::Raw => 1,
    }
}
