//! Which tool made the packets: a judgement from header invariants (vectors of the field: docs/method/tools.md).
//!
//! A sender of random headers has an invariant by chance now and then. So a label needs two agreeing packets, or one with two
//! independent invariants, and it comes with the chance that a random sender of as many packets gets it too; above
//! [`MAX_ODDS`] there is no label.

/// A label whose chance of being false is higher is not given.
pub const MAX_ODDS: f64 = 1e-4;

/// What the SYN packets of one source to one port of one host have in common.
#[derive(Clone, Copy, Debug, Default)]
pub struct Knock {
    /// SYN packets.
    pub syns: u32,
    /// Those whose sequence number is the destination address.
    pub mirai: u32,
    /// Those with masscan's IP id and an MSS alone.
    pub masscan: u32,
    /// Those with masscan's IP id and no option.
    pub masscan_old: u32,
    /// Those with IP id 54321 and window 65535.
    pub zmap_old: u32,
    /// Those with ZMap's layout since 4.1.
    pub zmap: u32,
    /// Those that look like nmap's SYN scan.
    pub nmap: u32,
    /// unicornscan's key and the sequence number of the first.
    pub unicorn: (u32, u32),
    /// Pairs of packets one after the other with the same key, and sequence numbers whose high halves differ.
    pub unicorn_pairs: u32,
}

/// A label.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Name of the tool.
    pub name: &'static str,
    /// How many of how many packets show it.
    pub raw: String,
    /// The chance that a random sender is so labelled.
    pub odds: f64,
}

/// The chance that at least `hits` of `packets` random packets have an invariant of chance `p`: at most the number of ways to choose
/// them, each with `p` (union bound).
fn odds(packets: u64, hits: u64, p: f64) -> f64 {
    // Factor by factor, without logarithms, whose last digits differ between machines. Far below any threshold it is 0.
    let mut odds = 1.0f64;
    for i in 0..hits {
        odds *= (packets - i) as f64 / (i + 1) as f64 * p;
        if odds < f64::MIN_POSITIVE {
            return 0.0;
        }
    }
    odds.min(1.0)
}

/// The tools that made the SYN packets of one source, strongest evidence first.
pub fn judge(knocks: &[Knock]) -> Vec<Tool> {
    let sum = |of: fn(&Knock) -> u32| knocks.iter().map(|k| u64::from(of(k))).sum::<u64>();
    let syns = sum(|k| k.syns);
    let mut found = Vec::new();
    let mut label = |name, hits: u64, of: u64, odds: f64| {
        if odds <= MAX_ODDS {
            found.push(Tool { name, raw: format!("{name} {hits} of {of}"), odds });
        }
    };
    let by_chance: [(&'static str, u64, u64, i32); 4] = [
        ("mirai", sum(|k| k.mirai), 2, -32),
        ("masscan", sum(|k| k.masscan), 2, -16),
        ("masscan_old", sum(|k| k.masscan_old), 2, -16),
        // Its id and its window are two invariants: one packet is enough.
        ("zmap_old", sum(|k| k.zmap_old), 1, -32),
    ];
    for (name, hits, needed, log2) in by_chance {
        if hits >= needed {
            label(name, hits, syns, odds(syns, hits, 2f64.powi(log2)));
        }
    }
    let masscan = sum(|k| k.masscan);
    // A window is the same in all packets of a sender, so more packets prove no more: the chance is that of one.
    let once = knocks.iter().all(|k| k.syns <= 1);
    if syns >= 2 && sum(|k| k.zmap) == syns && once {
        label("zmap", syns, syns, 2f64.powi(-16));
    }
    if syns >= 2 && sum(|k| k.nmap) == syns && masscan < 2 {
        label("nmap", syns, syns, 2f64.powi(-14));
    }
    let pairs = unicorn_pairs(knocks);
    if pairs >= 1 {
        label("unicorn", pairs + 1, syns, odds(syns.saturating_sub(1), pairs, 2f64.powi(-32)));
    }
    found.sort_by(|a, b| a.odds.total_cmp(&b.odds));
    found
}

/// Packets that have the key of another packet and a sequence number of another high half: on one port, and on several.
///
/// Low halves alone differ where a system counts its numbers up beside its source ports: nmap's sequence probes do.
fn unicorn_pairs(knocks: &[Knock]) -> u64 {
    let on_one = knocks.iter().map(|k| u64::from(k.unicorn_pairs)).sum::<u64>();
    let mut firsts: Vec<(u32, u32)> =
        knocks.iter().filter(|k| k.syns > 0).map(|k| (k.unicorn.0, k.unicorn.1 >> 16)).collect();
    firsts.sort_unstable();
    firsts.dedup();
    let on_several = firsts.chunk_by(|a, b| a.0 == b.0).map(|same| same.len() as u64 - 1).sum::<u64>();
    on_one + on_several
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(knocks: &[Knock]) -> Vec<&'static str> {
        judge(knocks).into_iter().map(|t| t.name).collect()
    }

    /// A knock of `syns` packets whose keys are all different.
    fn knock(n: u32, syns: u32) -> Knock {
        Knock { syns, unicorn: (n * 7_919 + 1, n), ..Knock::default() }
    }

    #[test]
    fn one_agreeing_packet_is_chance_and_two_are_a_tool() {
        assert_eq!(names(&[Knock { mirai: 1, ..knock(1, 1) }]), [""; 0]);
        assert_eq!(names(&[Knock { mirai: 1, ..knock(1, 1) }, Knock { mirai: 1, ..knock(2, 1) }]), ["mirai"]);
        assert_eq!(names(&[Knock { masscan: 2, ..knock(1, 2) }]), ["masscan"]);
        assert_eq!(names(&[Knock { zmap_old: 1, ..knock(1, 1) }]), ["zmap_old"]);
    }

    #[test]
    fn among_very_many_packets_two_are_chance_again() {
        assert_eq!(names(&[Knock { masscan: 2, ..knock(1, 1_000_000) }]), [""; 0]);
        let label = &judge(&[Knock { masscan: 2, ..knock(1, 100) }])[0];
        // 100 * 99 / 2 pairs, each with 2^-32.
        assert!((label.odds - 4_950.0 * 2f64.powi(-32)).abs() < 1e-12, "{label:?}");
    }

    #[test]
    fn zmap_sends_once_to_each_place() {
        let one = Knock { zmap: 1, ..knock(1, 1) };
        assert_eq!(names(&[one, Knock { zmap: 1, ..knock(2, 1) }]), ["zmap"]);
        assert_eq!(names(&[Knock { zmap: 2, ..knock(1, 2) }, one]), [""; 0]);
        assert_eq!(names(&[one, knock(2, 1)]), [""; 0]);
    }

    #[test]
    fn neither_repeating_nor_counting_is_a_unicorn() {
        let same = Knock { syns: 1, unicorn: (5, 0x50000), ..Knock::default() };
        assert_eq!(names(&[same, same]), [""; 0]);
        assert_eq!(names(&[same, Knock { unicorn: (5, 0x60000), ..same }]), ["unicorn"]);
        // Counted up, as nmap's sequence probes are.
        assert_eq!(names(&[same, Knock { unicorn: (5, 0x50001), ..same }]), [""; 0]);
    }
}
