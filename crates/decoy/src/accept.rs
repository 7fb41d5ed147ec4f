//! Who is let in: the n-th different password that a source tries, where n is the source's own and stays so.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use trapline_wire::Time;

use crate::site::Site;

/// Sources whose tries are remembered, of one host; beyond them the one that tried longest ago is forgotten.
const SOURCES: usize = 256;
/// A source is let in at its second password at the earliest and at this one at the latest.
const LATEST: u32 = 9;

#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    last: Time,
    different: u32,
    latest: u64,
    accepted: Option<u64>,
}

/// What a host remembers of who tried.
#[derive(Debug, Default)]
pub struct Accept {
    tries: BTreeMap<IpAddr, Tries>,
}

impl Accept {
    /// Whether this name and password are let in. What was let in once is let in again, and nothing else.
    pub fn accepts(&mut self, site: &Site, now: Time, peer: IpAddr, user: &[u8], password: &[u8]) -> bool {
        let pair = hashed(&(user, password));
        self.tried(site, now, peer, pair, pair)
    }

    /// Whether this name is let in with a proof of a password, which is another one each time: what was let in once is the name then.
    pub fn accepts_proof(&mut self, site: &Site, now: Time, peer: IpAddr, user: &[u8], proof: &[u8]) -> bool {
        self.tried(site, now, peer, hashed(&(user, proof)), hashed(&user))
    }

    /// Counts a try; `pair` tells tries apart, `lasting` is what is let in from then on.
    fn tried(&mut self, site: &Site, now: Time, peer: IpAddr, pair: u64, lasting: u64) -> bool {
        if !self.tries.contains_key(&peer) && self.tries.len() >= SOURCES {
            let oldest = self.tries.iter().min_by_key(|(_, tries)| tries.last).map(|(peer, _)| *peer);
            oldest.and_then(|oldest| self.tries.remove(&oldest));
        }
        let tries = self.tries.entry(peer).or_default();
        tries.last = now;
        if let Some(accepted) = tries.accepted {
            return accepted == lasting;
        }
        if tries.different == 0 || tries.latest != pair {
            tries.different += 1;
            tries.latest = pair;
        }
        let wanted = 2 + site.for_peer("accepted password", peer, LATEST - 1);
        if tries.different >= wanted {
            tries.accepted = Some(lasting);
        }
        tries.accepted.is_some()
    }
}

fn hashed(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_password_of_a_source_is_let_in_and_stays_so() {
        let site = Site::new(1, "p");
        let peer = [203, 0, 113, 9].into();
        let tries = |accept: &mut Accept| {
            (0..20u8).position(|i| accept.accepts(&site, 0, peer, b"root", &[i])).unwrap()
        };
        let (mut one, mut two) = (Accept::default(), Accept::default());
        let nth = tries(&mut one);
        assert!((1..9).contains(&nth));
        assert_eq!(nth, tries(&mut two), "stable for one source");
        assert!(one.accepts(&site, 1, peer, b"root", &[nth as u8]));
        assert!(!one.accepts(&site, 1, peer, b"root", b"another"));
        for i in 0..5_000u32 {
            one.accepts(&site, 2, std::net::Ipv4Addr::from_bits(i).into(), b"root", b"x");
        }
        assert!(one.tries.len() <= SOURCES);
    }
}
