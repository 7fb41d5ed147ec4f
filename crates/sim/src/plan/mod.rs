//! The plan: every source, every packet's time, port and host, decided before a byte is written.
//!
//! Steps, each in its file: `casting` fills table 1 and the cast, `rare` invents what fills the rest,
//! `hosts` says who reaches which hosts, `identity` gives addresses, `origin` a place and a system,
//! `steps` turns a role into knocks and talks, `budget` adds packets until the totals are exact, `words`
//! lets some of them speak, `timeline` puts all on the clock and `hours` on the attackers' own.
//! A plan of three million packets is a few megabytes: packets are steps with a count.

mod budget;
mod casting;
pub(crate) mod counts;
mod hosts;
mod hours;
pub(crate) mod identity;
mod origin;
mod rare;
mod steps;
mod timeline;
mod words;

use std::net::Ipv4Addr;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::clock::{Clock, Day};
use crate::error::SimError;
use crate::scenario::Scenario;
use crate::study::{Response, Study, Style, Worm};
use crate::talk::Talk;
use crate::target::{Sequence, Target};

/// All that will be written.
#[derive(Debug)]
pub struct Plan {
    /// The grid that all times are on.
    pub clock: Clock,
    /// Seed of everything that is drawn while packets are written.
    pub seed: u64,
    /// Sources; a source's slot is its place here.
    pub sources: Vec<Source>,
    /// The hosts' own doings; their slots follow those of the sources.
    pub own: Vec<Own>,
    /// Files in order: name, and the first microsecond that is not theirs.
    pub files: Vec<(String, i64)>,
}

/// One address on one day.
#[derive(Debug)]
pub struct Source {
    /// The address.
    pub ip: Ipv4Addr,
    /// The UTC day.
    pub day: Day,
    /// Where it sits: an index into the study's places.
    pub place: Option<u16>,
    /// What it runs: an index into the scenario's systems.
    pub system: u8,
    /// What it does, in order of time; steps do not overlap.
    pub steps: Vec<Step>,
}

/// Packets of one kind to one target, at even distances (a talk has its own).
#[derive(Clone, Debug)]
pub struct Step {
    /// Index of the host.
    pub host: u8,
    /// What the packets are aimed at.
    pub target: Target,
    /// What is done.
    pub act: Act,
    /// Tick of the first packet.
    pub start: u64,
    /// Inbound packets.
    pub packets: u32,
    /// Ticks from one to the next.
    pub spacing: u32,
    /// Packets from this one on stay unanswered.
    pub answer_limit: u32,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Act {
    /// SYN; on an open port every second packet is the RST that ends it.
    Knock {
        /// Whether the host answers with SYN/ACK.
        open: bool,
        /// Whether the SYN carries data.
        payload: bool,
    },
    /// ICMP echo request.
    Ping,
    /// A UDP datagram.
    Datagram {
        /// Whether the host answers with a datagram, not ICMP unreachable.
        open: bool,
    },
    /// A packet that answers what the host never sent.
    Answer(Response),
    /// A packet of another IP protocol.
    Raw,
    /// A TCP connection with words.
    Talk(Box<Talk>),
}

/// What a host does of its own; each brings one inbound reply.
#[derive(Clone, Copy, Debug)]
pub enum Own {
    /// It asks a name server, which answers.
    Query {
        /// Index of the host.
        host: u8,
        /// Tick of the question; the answer has the same slot, one answer later.
        tick: u64,
    },
    /// A router refuses what the host answered to the first packet of a step.
    Refusal {
        /// Index of the source.
        source: u32,
        /// Index of its step.
        step: u32,
        /// Tick of the router's ICMP error.
        tick: u64,
    },
}

impl Source {
    /// Ticks from its first packet to its last.
    pub fn length(&self) -> u64 {
        self.steps.last().map_or(0, |s| s.tick(s.packets - 1)) - self.steps[0].start
    }
}

impl Own {
    /// Tick of its first packet.
    pub fn tick(&self) -> u64 {
        match self {
            Own::Query { tick, .. } | Own::Refusal { tick, .. } => *tick,
        }
    }
}

impl Step {
    /// Tick of its packet `k`.
    #[inline]
    pub fn tick(&self, k: u32) -> u64 {
        match &self.act {
            Act::Talk(talk) => self.start + u64::from(talk.ticks[k as usize]),
            _ => self.start + u64::from(k) * u64::from(self.spacing),
        }
    }

    /// Whether the host answers packet `k`.
    #[inline]
    pub fn is_answered(&self, k: u32) -> bool {
        k < self.answer_limit
            && match &self.act {
                Act::Knock { open, .. } => !open || k.is_multiple_of(2),
                Act::Ping | Act::Datagram { .. } => true,
                Act::Answer(_) | Act::Raw => false,
                Act::Talk(talk) => talk.is_answered(k),
            }
    }

    /// How many of its packets the host answers.
    pub fn answers(&self) -> u64 {
        let bounded = self.packets.min(self.answer_limit);
        match &self.act {
            Act::Knock { open: true, .. } => u64::from(bounded.div_ceil(2)),
            Act::Talk(_) => (0..bounded).filter(|k| self.is_answered(*k)).count() as u64,
            Act::Answer(_) | Act::Raw => 0,
            _ => u64::from(bounded),
        }
    }
}

impl Plan {
    /// Plans a scenario's study or flat capture at a scale, with a seed.
    pub fn of(scenario: &Scenario, scale: f64, seed: u64) -> Result<Plan, SimError> {
        let impossible = |message: String| SimError::Impossible { scenario: scenario.name.clone(), message };
        if !(scale > 0.0 && scale <= 100.0) {
            return Err(impossible(format!("a scale of {scale} is not between 0 and 100")));
        }
        match (&scenario.study, &scenario.flat) {
            (Some(study), _) => Planning { scenario, study, scale, seed }.plan().map_err(impossible),
            (None, Some(flat)) => {
                let packets = (flat.packets as f64 * scale).round() as u64;
                crate::flat::plan(scenario, flat, packets, seed).map_err(impossible)
            }
            (None, None) => Err(impossible("it has neither a study nor a flat capture".into())),
        }
    }

    /// All packets that will be written: inbound, answers, and the hosts' own.
    pub fn packets(&self) -> u64 {
        let steps = self.sources.iter().flat_map(|s| &s.steps);
        let own = self.own.iter().map(|o| if matches!(o, Own::Query { .. }) { 2 } else { 1 });
        steps.map(|s| u64::from(s.packets) + s.answers()).sum::<u64>() + own.sum::<u64>()
    }

    /// Those among them that come in.
    pub fn inbound(&self) -> u64 {
        let steps = self.sources.iter().flat_map(|s| &s.steps);
        steps.map(|s| u64::from(s.packets)).sum::<u64>() + self.own.len() as u64
    }
}

/// What the planner's steps share.
pub(crate) struct Planning<'a> {
    pub scenario: &'a Scenario,
    pub study: &'a Study,
    pub scale: f64,
    pub seed: u64,
}

/// A source in the making.
#[derive(Debug)]
pub(crate) struct Draft {
    pub day: Day,
    pub sequence: Sequence,
    pub role: Role,
    pub hosts: Vec<u8>,
    pub ip: Ipv4Addr,
    pub place: Option<u16>,
    pub system: u8,
    pub edge: Edge,
}

/// Why a source comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Role {
    Scan,
    Backscatter(Response),
    Focused(u8),
    Contact(u8),
    /// Index into the scenario's logins.
    Login(usize),
}

/// Which side of a midnight a crosser's day lies on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Edge {
    None,
    Evening,
    Morning,
}

impl Planning<'_> {
    fn plan(&self) -> Result<Plan, String> {
        let mut drafts = casting::cast(self)?;
        hosts::assign(self, &mut drafts)?;
        identity::assign(self, &mut drafts);
        origin::assign(self, &mut drafts);
        let clock = Clock::new(drafts.len() + self.own_packets() as usize);
        let mut steps = steps::of_all(self, &clock, &drafts);
        budget::fill(self, &clock, &drafts, &mut steps)?;
        words::say(self, &drafts, &mut steps);
        timeline::schedule(self, &clock, drafts, steps)
    }

    /// Replies that hosts bring upon themselves, at this scale.
    fn own_packets(&self) -> u64 {
        self.scaled(self.study.own.dns_queries) + self.scaled(self.study.own.refusals)
    }

    /// A count at this scale: at least one unless it is none at all.
    fn scaled(&self, count: u32) -> u64 {
        ((f64::from(count) * self.scale).round() as u64).max(u64::from(count.min(1)))
    }

    /// A generator for one stage, so that a change in one does not shift the others.
    fn rng(&self, stage: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stage);
        rng
    }

    /// The two-step attacker whose sequence it is.
    fn worm(&self, sequence: &Sequence) -> Option<&Worm> {
        self.study.worm.iter().find(|w| w.sequence == *sequence)
    }

    fn is_worm(&self, sequence: &Sequence) -> bool {
        self.worm(sequence).is_some()
    }

    /// Whether a port is open when a day begins; a change at noon is met from the next day on.
    fn is_open(&self, host: u8, target: Target, day: Day) -> bool {
        self.scenario.is_open(host, target, day.start_us())
    }

    fn login(&self, index: usize) -> (Style, &str, &[String]) {
        let login = &self.study.login[index];
        (login.style, &login.user, &login.passwords)
    }
}

#[cfg(test)]
mod tests;
