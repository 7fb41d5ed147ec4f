//! What scanners type where a port is open: packets that the budget has given to a probe become connections with words.
//!
//! Nothing is added: a round of knocks at an open FTP server becomes a login, one at the port that a worm has opened
//! becomes its shell, as many packets as before and ending when it did. So no count changes with what is typed.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::counts::pick;
use super::{Act, Draft, Planning, Role, Step};
use crate::study::Ftp;
use crate::talk::{Server, Talk};
use crate::target::Target;

/// Puts words where scans have rounds for them.
pub(crate) fn say(planning: &Planning<'_>, drafts: &[Draft], steps: &mut [Vec<Step>]) {
    let mut rng = planning.rng(11);
    for (draft, steps) in drafts.iter().zip(steps) {
        // What it types is decided once for each source.
        let ftp = ftp(planning, &mut rng);
        if draft.role != Role::Scan {
            continue;
        }
        let mut done = Vec::new();
        for step in std::mem::take(steps) {
            let at = (step.host, step.target);
            let fresh = !done.contains(&at);
            match fresh.then(|| talk(planning, &mut rng, draft, &step, ftp)).flatten() {
                Some(talk) if talk.packets() < step.packets => {
                    done.push(at);
                    steps.extend(replaced(step, talk));
                }
                _ => steps.push(step),
            }
        }
    }
}

/// One of the scenario's programs for FTP servers, or none.
fn ftp<'a>(planning: &Planning<'a>, rng: &mut ChaCha8Rng) -> Option<&'a Ftp> {
    let all = &planning.study.ftp;
    let nothing = 100.0 - all.iter().map(|f| f.percent).sum::<f64>();
    all.get(pick(rng, all.iter().map(|f| f.percent).chain([nothing])))
}

/// What a round of knocks can say, if anything.
fn talk(
    planning: &Planning<'_>,
    rng: &mut ChaCha8Rng,
    draft: &Draft,
    step: &Step,
    ftp: Option<&Ftp>,
) -> Option<Talk> {
    let host = &planning.scenario.host[usize::from(step.host)];
    match (&step.act, step.target) {
        (Act::Knock { open: true, .. }, Target::Tcp(21)) => {
            let Ftp { user, password, commands, .. } = ftp?;
            let stamp = stamp(draft, rng);
            let commands = commands.iter().map(|c| c.replace("{stamp}", &stamp)).collect::<Vec<_>>();
            Some(Talk::ftp_visit(&Server::of(host), user, password, &commands))
        }
        (Act::Knock { .. }, target) => {
            let worm = planning.worm(&draft.sequence)?;
            let falls = planning.is_open(step.host, worm.sequence.0[0], draft.day);
            if !falls || worm.shell.is_empty() || !worm.sequence.0[1..].contains(&target) {
                return None;
            }
            let said = worm.shell.iter().map(|line| line.replace("{ip}", &draft.ip.to_string()));
            Some(Talk::shell(&host.persona, &said.collect::<Vec<_>>(), step.spacing))
        }
        _ => None,
    }
}

/// A date and a time as these tools name their folders: `030811132243p`.
fn stamp(draft: &Draft, rng: &mut ChaCha8Rng) -> String {
    let date: String = draft.day.to_string()[2..].split('-').collect();
    let (hour, minute, second) = (rng.random_range(0..24), rng.random_range(0..60), rng.random_range(0..60));
    format!("{date}{hour:02}{minute:02}{second:02}p")
}

/// The connection at the beginning of a round, and what is left of the round, each packet at its old time or before.
fn replaced(round: Step, talk: Talk) -> [Step; 2] {
    let packets = talk.packets();
    let rest = Step {
        start: round.start + u64::from(packets) * u64::from(round.spacing),
        packets: round.packets - packets,
        answer_limit: round.answer_limit.saturating_sub(packets),
        ..round.clone()
    };
    [Step { act: Act::Talk(Box::new(talk)), packets, answer_limit: u32::MAX, ..round }, rest]
}
