//! What identifies a host beyond its system: names, dates, keys. All of it derives from the seed, so that two deployments share
//! nothing (the deployment seed of the platform).

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use crate::numbers::Random;

/// The seed of a host, from which each thing is drawn under a name of its own: a new thing changes no other.
#[derive(Clone, Debug)]
pub struct Site {
    seed: u64,
}

/// What machines are called, by what they do.
const ROLES: [&str; 24] = [
    "srv", "mail", "web", "files", "backup", "intranet", "ftp", "db", "print", "office", "lab", "proxy",
    "app", "store", "dev", "test", "build", "admin", "sales", "media", "docs", "edge", "node", "host",
];
/// What families and towns are called; a few letters of these make company names.
const NAMES: [&str; 40] = [
    "keller",
    "morton",
    "lindqvist",
    "barros",
    "novak",
    "haddad",
    "okafor",
    "tanaka",
    "weaver",
    "delacroix",
    "rossi",
    "petrov",
    "larsen",
    "castillo",
    "nguyen",
    "fischer",
    "kowalski",
    "murphy",
    "silva",
    "janssen",
    "harbour",
    "westfield",
    "northgate",
    "riverside",
    "oakdale",
    "stonebridge",
    "fairview",
    "brookfield",
    "milltown",
    "redhill",
    "ashford",
    "langley",
    "whitmore",
    "carver",
    "draper",
    "marlow",
    "pemberton",
    "hollis",
    "quimby",
    "tanner",
];
const TRADES: [&str; 16] = [
    "systems",
    "textiles",
    "logistics",
    "foods",
    "print",
    "dental",
    "travel",
    "steel",
    "media",
    "optics",
    "consulting",
    "hardware",
    "insurance",
    "farms",
    "design",
    "energy",
];

impl Site {
    /// A host's, from its seed and the name of its persona.
    pub fn new(seed: u64, persona: &str) -> Self {
        Site { seed: hash(seed, persona.as_bytes()) }
    }

    /// Random numbers for the thing of this name, the same ones each time.
    pub fn draw(&self, what: &str) -> Random {
        Random::new(hash(self.seed, what.as_bytes()))
    }

    /// One of `choices`, for the thing of this name.
    pub fn choose<'a, T: ?Sized>(&self, what: &str, choices: &[&'a T]) -> &'a T {
        choices[self.draw(what).below(choices.len() as u32) as usize]
    }

    /// The company that the machine stands at, in small letters.
    pub fn company(&self) -> String {
        let name = self.choose("company name", &NAMES);
        let trade = self.choose("company trade", &TRADES);
        format!("{name}{trade}")
    }

    /// The machine's own name, in small letters, such as `web07`.
    pub fn machine(&self) -> String {
        let number = 1 + self.draw("machine number").below(38);
        format!("{}{number:02}", self.choose("machine role", &ROLES))
    }

    /// Its whole name in the domain name system.
    pub fn host_name(&self) -> String {
        let top = self.choose("top-level domain", &["com", "net", "org"]);
        format!("{}.{}.{top}", self.machine(), self.company())
    }

    /// A moment in the `days` before `now_s`, in seconds since 1970, for the thing of this name; it stays while `now_s` moves less than
    /// a quarter of a year.
    pub fn moment_before(&self, what: &str, now_s: i64, days: u32) -> i64 {
        const QUARTER_S: i64 = 90 * 86_400;
        let anchor = now_s.div_euclid(QUARTER_S) * QUARTER_S;
        anchor - i64::from(self.draw(what).below(days.max(1) * 86_400))
    }

    /// Bytes for a key or an identifier.
    pub fn bytes<const N: usize>(&self, what: &str) -> [u8; N] {
        let mut random = self.draw(what);
        let mut bytes = [0; N];
        bytes.chunks_mut(8).for_each(|chunk| {
            let bits = random.bits().to_le_bytes();
            chunk.copy_from_slice(&bits[..chunk.len()]);
        });
        bytes
    }

    /// A stable number for a peer and the thing of this name, below `n`.
    pub fn for_peer(&self, what: &str, peer: IpAddr, n: u32) -> u32 {
        let seed = hash(self.seed, what.as_bytes());
        let seed = match peer {
            IpAddr::V4(peer) => hash(seed, &peer.octets()),
            IpAddr::V6(peer) => hash(seed, &peer.octets()),
        };
        Random::new(seed).below(n)
    }
}

fn hash(seed: u64, what: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(seed, 0x7472_6170_6c69_6e65);
    hasher.write(what);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_share_nothing_and_a_seed_stays_with_itself() {
        let (one, two) = (Site::new(1, "linux-6"), Site::new(2, "linux-6"));
        assert_eq!(one.host_name(), Site::new(1, "linux-6").host_name());
        assert_ne!(one.host_name(), two.host_name());
        assert_ne!(one.bytes::<32>("key"), two.bytes::<32>("key"));
        assert_ne!(one.bytes::<32>("key"), one.bytes::<32>("other key"));
        let now = 1_700_000_000;
        assert_eq!(one.moment_before("boot", now, 30), one.moment_before("boot", now + 86_400, 30));
    }
}
