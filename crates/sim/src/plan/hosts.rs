//! Who reaches which hosts, and in which order, so that the shares of one, two, … hosts are exact.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::counts::{apportion, pick};
use super::{Draft, Planning, Role};

/// Gives every draft its hosts in the order of their first packets.
pub(crate) fn assign(planning: &Planning<'_>, drafts: &mut [Draft]) -> Result<(), String> {
    let mut rng = planning.rng(3);
    let mut quota = apportion(drafts.len() as u64, &planning.study.totals.hosts_reached);
    let mut free: Vec<usize> = Vec::new();
    for (n, draft) in drafts.iter_mut().enumerate() {
        match settled(planning, &mut rng, draft) {
            Some(hosts) => draft.hosts = hosts,
            None => free.push(n),
        }
        if let Some(left) = draft.hosts.len().checked_sub(1).and_then(|at| quota.get_mut(at)) {
            *left = left.checked_sub(1).ok_or("the cast alone reaches one or two hosts too often")?;
        }
    }
    free.shuffle(&mut rng);
    let mut free = free.into_iter();
    for (at, count) in quota.iter().enumerate() {
        for n in free.by_ref().take(*count as usize) {
            let draft = &mut drafts[n];
            draft.hosts = some_hosts(planning, &mut rng, draft, at + 1)?;
        }
    }
    Ok(())
}

/// The hosts of a role that decides them by itself.
fn settled(planning: &Planning<'_>, rng: &mut ChaCha8Rng, draft: &Draft) -> Option<Vec<u8>> {
    match draft.role {
        Role::Scan => None,
        Role::Focused(host) | Role::Contact(host) => Some(vec![host]),
        Role::Login(n) => planning.scenario.host_index(&planning.study.login[n].host).map(|h| vec![h]),
        Role::Backscatter(_) => {
            let many = planning.scenario.host.len() > 2;
            let two = many && rng.random_bool(planning.study.backscatter.two_hosts_percent / 100.0);
            Some(ordered(planning, rng).into_iter().take(if two { 2 } else { 1 }).collect())
        }
    }
}

/// So many hosts for a scan. A worm must meet a host on which its second step works; and nobody but the
/// cast comes precisely for a port that has a contact.
fn some_hosts(
    planning: &Planning<'_>,
    rng: &mut ChaCha8Rng,
    draft: &Draft,
    count: usize,
) -> Result<Vec<u8>, String> {
    /// Draws before giving up: the chance of a suitable host is at least one in their number.
    const TRIES: usize = 2_000;
    for _ in 0..TRIES {
        let mut order = ordered(planning, rng);
        while order.len() > count {
            order.remove(rng.random_range(0..order.len()));
        }
        let meets = |h: &u8| planning.is_open(*h, draft.sequence.0[0], draft.day);
        let worm_is_stuck = planning.is_worm(&draft.sequence) && !order.iter().any(meets);
        if !worm_is_stuck && !is_precise(planning, draft, &order) {
            return Ok(order);
        }
    }
    Err(format!("{} on {} finds no suitable host", draft.sequence, draft.day))
}

/// Whether this scan would look like one of the cast's precise sources.
fn is_precise(planning: &Planning<'_>, draft: &Draft, hosts: &[u8]) -> bool {
    let ([host], [port]) = (hosts, &draft.sequence.0[..]) else { return false };
    let name = &planning.scenario.host[usize::from(*host)].name;
    planning.study.contact.iter().any(|c| c.host == *name && c.port == *port)
}

/// All hosts in one of the scenario's orders.
fn ordered(planning: &Planning<'_>, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let orders = &planning.study.host_order;
    let order = &orders[pick(rng, orders.iter().map(|o| o.weight))];
    order.order.iter().filter_map(|name| planning.scenario.host_index(name)).collect()
}
