//! Header invariants of SYN packets: what scanners that send faster than a kernel could put into fields that are free.
//!
//! | mark | invariant | chance in a random packet | source |
//! |---|---|---|---|
//! | `mirai` | sequence number = destination address | 2^-32 | Mirai's scanner.c |
//! | `masscan` | IP id = destination address xor destination port xor sequence number (lowest 16 bits), MSS only | 2^-16 | masscan's templ-pkt.c |
//! | `masscan_old` | the same without any option | 2^-16 | masscan 1.3.2 and older |
//! | `zmap_old` | IP id = 54321 and window 65535 | 2^-32 | ZMap before 4.1, packet.c |
//! | `zmap` | window 65535, TTL at most 64, options of Windows (MSS 1460, window scale, SACK), none of Windows' TTLs | see docs/method/tools.md | ZMap since 4.1.1, packet.c |
//! | `nmap` | window 1024, 2048, 3072 or 4096, MSS 1460 and no other option, TTL at most 64 | 2^-14 | nmap's scan_engine_raw.cc |
//! | `unicorn` | sequence number xor destination address (its bytes turned round) xor (destination port, source port) is the same in packet after packet | 2^-32 for each pair | unicornscan 0.4.7, scan_progs/tcphash.h |

use std::fmt;
use std::net::IpAddr;

use trapline_wire::Packet;
use trapline_wire::tcp::TcpView;

/// Which marks one packet has: bits.
pub mod bits {
    /// Mirai.
    pub const MIRAI: u8 = 1;
    /// masscan as it is.
    pub const MASSCAN: u8 = 2;
    /// masscan as it was.
    pub const MASSCAN_OLD: u8 = 4;
    /// ZMap before 4.1.
    pub const ZMAP_OLD: u8 = 8;
    /// ZMap since 4.1.
    pub const ZMAP: u8 = 16;
    /// nmap's SYN scan.
    pub const NMAP: u8 = 32;
}

/// Names of the marks that are bits, in their order.
pub const NAMES: [&str; 6] = ["mirai", "masscan", "masscan_old", "zmap_old", "zmap", "nmap"];

/// What ZMap writes into every packet before version 4.1.
const ZMAP_ID: u32 = 54_321;

/// MSS 1460, no-op, window scale of any size, two no-ops, SACK permitted: what ZMap sends since 4.1, and Windows.
const WINDOWS_LAYOUT: [Option<u8>; 12] = [
    Some(2),
    Some(4),
    Some(5),
    Some(0xb4),
    Some(1),
    Some(3),
    Some(3),
    None,
    Some(1),
    Some(1),
    Some(4),
    Some(2),
];

/// MSS 1460 and nothing else.
const MSS_ONLY: [u8; 4] = [2, 4, 5, 0xb4];

/// The marks of a SYN, and its unicornscan key.
#[inline]
pub fn of(packet: &Packet<'_>, tcp: &TcpView<'_>) -> (u8, u32) {
    let seq = tcp.seq().unwrap_or(0);
    let dst = match packet.dst {
        IpAddr::V4(dst) => dst.to_bits(),
        // None of these tools' invariants is defined for IPv6.
        IpAddr::V6(_) => return (0, 0),
    };
    let ports = (u32::from(tcp.dst_port()) << 16).wrapping_add(u32::from(tcp.src_port()));
    let key = seq ^ dst.swap_bytes() ^ ports;
    let (window, options) = (tcp.window().unwrap_or(0), tcp.options());
    let mut marks = 0;
    if seq == dst {
        marks |= bits::MIRAI;
    }
    if packet.ip_id == (dst ^ u32::from(tcp.dst_port()) ^ seq) & 0xffff {
        marks |= match options.is_empty() {
            true => bits::MASSCAN_OLD,
            false if options.starts_with(&MSS_ONLY[..2]) && options.len() == 4 => bits::MASSCAN,
            false => 0,
        };
    }
    if window == 65_535 {
        if packet.ip_id == ZMAP_ID {
            marks |= bits::ZMAP_OLD;
        }
        let layout = options.len() == WINDOWS_LAYOUT.len()
            && options.iter().zip(WINDOWS_LAYOUT).all(|(byte, wanted)| wanted.is_none_or(|w| w == *byte));
        if packet.ttl <= 64 && layout {
            marks |= bits::ZMAP;
        }
    }
    if matches!(window, 1_024 | 2_048 | 3_072 | 4_096) && packet.ttl <= 64 && options == MSS_ONLY {
        marks |= bits::NMAP;
    }
    (marks, key)
}

/// `syn=14,mirai=14,unicorn=KEY:SEQ:KEY:SEQ:3`.
impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "syn={}", self.syns)?;
        for (name, count) in NAMES.iter().zip(self.counts).filter(|(_, count)| *count > 0) {
            write!(f, ",{name}={count}")?;
        }
        let ((key, seq), (last_key, last_seq)) = (self.first, self.last);
        write!(f, ",unicorn={key:x}:{seq:x}:{last_key:x}:{last_seq:x}:{}", self.unicorn_pairs)
    }
}

/// Whether two packets, each a key and a sequence number, share a key, and not only because of how a system counts.
///
/// unicornscan's numbers differ in their high halves wherever the ports of the target differ, or the last two bytes of its address.
/// A SYN that is sent once more has the same number, and a sender that counts numbers and source ports up together, as nmap's
/// sequence probes do, the same high half.
fn is_unicorn_pair(one: (u32, u32), next: (u32, u32)) -> bool {
    one.0 == next.0 && one.1 >> 16 != next.1 >> 16
}

/// How many SYN packets of one source and port had which mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// SYN packets.
    pub syns: u32,
    /// Those with each mark, in the order of [`NAMES`].
    pub counts: [u32; 6],
    /// unicornscan's key and the sequence number of the first SYN.
    pub first: (u32, u32),
    /// Of the last.
    pub last: (u32, u32),
    /// Pairs of SYN packets one after the other with the same key, and sequence numbers whose high halves differ.
    pub unicorn_pairs: u32,
}

impl Marks {
    /// Counts one SYN.
    #[inline]
    pub fn add(&mut self, marks: u8, key: u32, seq: u32) {
        if self.syns == 0 {
            self.first = (key, seq);
        } else {
            self.unicorn_pairs =
                self.unicorn_pairs.saturating_add(is_unicorn_pair(self.last, (key, seq)).into());
        }
        self.last = (key, seq);
        self.syns = self.syns.saturating_add(1);
        if marks != 0 {
            for (bit, count) in self.counts.iter_mut().enumerate() {
                *count = count.saturating_add(u32::from(marks >> bit & 1));
            }
        }
    }

    /// Adds the other half; where they lie apart in time, the later one must be `later`.
    pub fn merge(&mut self, later: &Marks) {
        if later.syns == 0 {
            return;
        }
        if self.syns == 0 {
            *self = *later;
            return;
        }
        let joint = is_unicorn_pair(self.last, later.first).into();
        self.unicorn_pairs = self.unicorn_pairs.saturating_add(later.unicorn_pairs).saturating_add(joint);
        self.last = later.last;
        self.syns = self.syns.saturating_add(later.syns);
        for (mine, theirs) in self.counts.iter_mut().zip(later.counts) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// Reads them back from what they are written as; what cannot be read counts as nothing.
    pub fn parse(text: &str) -> Marks {
        let mut marks = Marks::default();
        for (name, value) in text.split(',').filter_map(|part| part.split_once('=')) {
            let number = value.parse().unwrap_or(0);
            if name == "syn" {
                marks.syns = number;
            } else if let Some(bit) = NAMES.iter().position(|n| *n == name) {
                marks.counts[bit] = number;
            } else if name == "unicorn" {
                let mut parts = value.split(':');
                let mut key = || parts.next().and_then(|k| u32::from_str_radix(k, 16).ok()).unwrap_or(0);
                (marks.first, marks.last) = ((key(), key()), (key(), key()));
                marks.unicorn_pairs = parts.next().and_then(|n| n.parse().ok()).unwrap_or(0);
            }
        }
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_and_halves_join() {
        // The last one is the one before sent once more.
        let (mirai, both) = (bits::MIRAI, bits::MIRAI | bits::NMAP);
        let packets =
            [(0, 7, 0x10000), (mirai, 7, 0x20000), (both, 9, 0x30000), (0, 9, 0x40000), (0, 9, 0x40000)];
        let mut whole = Marks::default();
        packets.iter().for_each(|(marks, key, seq)| whole.add(*marks, *key, *seq));
        let text = "syn=5,mirai=2,nmap=1,unicorn=7:10000:9:40000:2";
        assert_eq!(whole.to_string(), text);
        assert_eq!(Marks::parse(text), whole);
        for cut in 0..=packets.len() {
            let (mut early, mut late) = (Marks::default(), Marks::default());
            packets[..cut].iter().for_each(|(marks, key, seq)| early.add(*marks, *key, *seq));
            packets[cut..].iter().for_each(|(marks, key, seq)| late.add(*marks, *key, *seq));
            early.merge(&late);
            assert_eq!(early, whole, "cut at {cut}");
        }
    }

    #[test]
    fn numbers_that_count_up_beside_the_ports_are_no_unicorn() {
        // nmap's sequence probes: number and source port one more each time. The key's low bits stay as they are.
        assert!(!is_unicorn_pair((7, 0x1234_0000), (7, 0x1234_0001)));
        assert!(is_unicorn_pair((7, 0x1234_0000), (7, 0x1235_0000)));
        assert!(!is_unicorn_pair((7, 0x1234_0000), (8, 0x1235_0000)));
    }
}
