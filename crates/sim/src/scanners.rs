//! Packets as scanning programs make them, exact to the header, for tests of whoever tells scanners apart.
//!
//! Each scanner says below what gives it away and where that is documented. Three of the programs were run: a test
//! compares their packets with ours.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trapline_wire::build::{self, Ip, Tcp};
use trapline_wire::link::ETHERTYPE_IPV4;
use trapline_wire::tcp::flags::SYN;

use crate::frames::{ROUTER_MAC, host_mac};
use crate::plan::identity::Addresses;
use crate::system::{self, Signature};

/// A program that sends SYNs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scanner {
    /// The bot of 2016: the sequence number is the destination; TTL 64, no options, window and source port fixed for a
    /// run. It takes the targets' addresses and its own ports, 23 and every tenth time 2323.
    /// (github jgamblin/Mirai-Source-Code: mirai/bot/scanner.c)
    Mirai,
    /// ZMap without options: identification 54321, window 65535, TTL 255. From 2021 to 4.0 it says its MSS, too.
    /// (github zmap/zmap: src/probe_modules/packet.c; zmap 2.1.1 itself)
    ZmapOld,
    /// ZMap from 4.1.0 (2024) on: window 65535, TTL 64, the options of Windows 11, random identification.
    /// (github zmap/zmap: CHANGELOG.md, src/probe_modules/module_tcp_synscan.c, pull requests 798, 799, 855)
    ZmapNew,
    /// masscan without options: identification = destination ^ port ^ sequence number, window 1024, TTL 255.
    /// (github robertdavidgraham/masscan: src/templ-pkt.c; masscan 1.3.2 itself)
    MasscanOld,
    /// masscan that says its MSS, as the newer ones do.
    MasscanNew,
    /// unicornscan with its default fingerprint, a Cisco router's: sequence number ^ destination ^ ports is one key for a
    /// run. (unicornscan 0.4.7: scan_progs/tcphash.h, send_packet.c, init_packet.c)
    Unicorn,
    /// nmap's SYN scan: MSS 1460 alone, window of one to four times 1024, TTL from 37 to 59 for each packet, one
    /// sequence number and source port for a run. (p0f 3.09b: p0f.fp, "NMap:SYN scan"; nmap 7.93 itself)
    Nmap,
    /// None of them: Windows and Linux, whose numbers are random.
    Control,
}

impl Scanner {
    /// All of them.
    pub const ALL: [Scanner; 8] = [
        Scanner::Mirai,
        Scanner::ZmapOld,
        Scanner::ZmapNew,
        Scanner::MasscanOld,
        Scanner::MasscanNew,
        Scanner::Unicorn,
        Scanner::Nmap,
        Scanner::Control,
    ];
}

/// Linux gives these ports to whoever asks for none; ZMap takes them as they are.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=61_000;
/// MSS 1460.
const MSS: [u8; 4] = [2, 4, 5, 0xb4];
/// MSS 1460, no-op, window scale 8, two no-ops, selective acknowledgements.
const ZMAP_OPTIONS: [u8; 12] = [2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2];

/// What one run of a program keeps for all its packets.
struct Run {
    scanner: Scanner,
    rng: ChaCha8Rng,
    from: Ipv4Addr,
    src_port: u16,
    window: u16,
    key: u32,
    system: Signature,
}

/// `count` Ethernet frames of one run from one address, to the targets in turn; no targets, no frames.
///
/// The same arguments give the same bytes. The sender is some routers away, so a TTL has been counted down.
pub fn frames(scanner: Scanner, seed: u64, targets: &[SocketAddrV4], count: usize) -> Vec<Vec<u8>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let from = Addresses::default().fresh(&mut rng);
    let systems = system::usual();
    let system = systems[rng.random_range(0..systems.len())].syn.clone();
    let (src_port, key) = (rng.random_range(EPHEMERAL), rng.random());
    let window = match scanner {
        Scanner::Nmap => 1_024 * rng.random_range(1..=4),
        _ => rng.random(),
    };
    let mut run = Run { scanner, rng, from, src_port, window, key, system };
    targets.iter().cycle().take(count).enumerate().map(|(n, to)| run.frame(n, *to)).collect()
}

impl Run {
    /// The packet number `n` of the run.
    fn frame(&mut self, n: usize, to: SocketAddrV4) -> Vec<u8> {
        let dst = u32::from(*to.ip());
        let (id, noise): (u16, u32) = (self.rng.random(), self.rng.random());
        let any_port = self.rng.random_range(EPHEMERAL);
        let plain =
            Tcp { src_port: self.src_port, dst_port: to.port(), seq: noise, flags: SYN, ..Tcp::default() };
        let (system, mut stamped) = (&self.system, Vec::new());
        let (ttl, id, df, tcp) = match self.scanner {
            Scanner::Mirai => {
                let dst_port = if n.is_multiple_of(10) { 2_323 } else { 23 };
                (64, id, false, Tcp { dst_port, seq: dst, window: self.window, ..plain })
            }
            Scanner::ZmapOld => (255, 54_321, false, Tcp { src_port: any_port, window: 65_535, ..plain }),
            Scanner::ZmapNew => {
                let options = &ZMAP_OPTIONS;
                (64, id, false, Tcp { src_port: any_port, window: 65_535, options, ..plain })
            }
            Scanner::MasscanOld | Scanner::MasscanNew => {
                let options: &[u8] = if self.scanner == Scanner::MasscanNew { &MSS } else { &[] };
                let id = (dst ^ u32::from(to.port()) ^ noise) as u16;
                (255, id, false, Tcp { window: 1_024, options, ..plain })
            }
            Scanner::Unicorn => {
                // The program reads the destination as its processor does, which swaps the bytes on all but a few.
                let ports = (u32::from(to.port()) << 16) + u32::from(any_port);
                let seq = self.key ^ dst.swap_bytes() ^ ports;
                (255, id, false, Tcp { src_port: any_port, seq, window: 4_128, options: &MSS, ..plain })
            }
            Scanner::Nmap => {
                let ttl = self.rng.random_range(37..=59);
                (ttl, id, false, Tcp { seq: self.key, window: self.window, options: &MSS, ..plain })
            }
            Scanner::Control => {
                // Systems count their ports up and draw their sequence numbers.
                let src_port = 1_025 + ((usize::from(self.src_port) + n) % 3_900) as u16;
                stamped.clone_from(&system.options);
                if let Some(at) = system.stamp {
                    stamped[at..at + 4].copy_from_slice(&(self.key | 1).to_be_bytes());
                }
                let (window, options) = (system.window, &stamped[..]);
                (system.ttl, id.max(1), system.df, Tcp { src_port, window, options, ..plain })
            }
        };
        let (src, dst) = (IpAddr::V4(self.from), IpAddr::V4(*to.ip()));
        let ip = Ip { src, dst, ttl: ttl - system::hops(self.from), id, df };
        let mut out = Vec::with_capacity(74);
        build::ethernet(&mut out, host_mac(0), ROUTER_MAC, ETHERTYPE_IPV4);
        build::tcp(&mut out, &ip, &tcp);
        out
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use trapline_wire::{LinkType, Packet, Reading, Transport, decode};

    use super::*;

    const COUNT: usize = 200;

    fn targets() -> Vec<SocketAddrV4> {
        (0..50).map(|n| SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, n), 20 + u16::from(n) * 7)).collect()
    }

    /// What a test looks at in a SYN.
    struct Syn {
        dst: u32,
        ports: (u16, u16),
        seq: u32,
        id: u16,
        ttl: u8,
        window: u16,
        options: Vec<u8>,
    }

    fn syns(scanner: Scanner, seed: u64) -> Vec<Syn> {
        let syn = |data: Vec<u8>| {
            let wire_len = data.len() as u32;
            let frame = trapline_wire::Frame { link: LinkType::ETHERNET, time: 0, wire_len, data: &data };
            let Reading::Ip(Packet {
                dst: IpAddr::V4(dst), ip_id, ttl, transport: Transport::Tcp(tcp), ..
            }) = decode(&frame)
            else {
                panic!("{scanner:?} sends TCP over IPv4")
            };
            assert_eq!((tcp.flags(), tcp.ack()), (Some(SYN), Some(0)));
            Syn {
                dst: u32::from(dst),
                ports: (tcp.src_port(), tcp.dst_port()),
                seq: tcp.seq().unwrap(),
                id: ip_id as u16,
                ttl,
                window: tcp.window().unwrap(),
                options: tcp.options().to_vec(),
            }
        };
        frames(scanner, seed, &targets(), COUNT).into_iter().map(syn).collect()
    }

    fn distinct<T: Ord>(syns: &[Syn], of: impl Fn(&Syn) -> T) -> usize {
        syns.iter().map(of).collect::<BTreeSet<_>>().len()
    }

    fn is_masscan(s: &Syn) -> bool {
        s.id == (s.dst ^ u32::from(s.ports.1) ^ s.seq) as u16
    }

    fn is_unicorn(s: &Syn) -> u32 {
        s.seq ^ s.dst.swap_bytes() ^ ((u32::from(s.ports.1) << 16) + u32::from(s.ports.0))
    }

    #[test]
    fn every_scanner_keeps_its_invariants() {
        for seed in 0..5 {
            let mirai = syns(Scanner::Mirai, seed);
            assert!(mirai.iter().all(|s| s.seq == s.dst && s.options.is_empty() && s.ttl < 64));
            assert_eq!(mirai.iter().filter(|s| s.ports.1 == 2_323).count(), COUNT / 10);
            assert_eq!(distinct(&mirai, |s| (s.window, s.ports.0)), 1);
            let zmap = syns(Scanner::ZmapOld, seed);
            assert!(zmap.iter().all(|s| s.id == 54_321 && s.window == 65_535 && s.ttl > 230));
            let zmap = syns(Scanner::ZmapNew, seed);
            assert!(zmap.iter().all(|s| s.window == 65_535 && s.ttl < 64 && s.options == ZMAP_OPTIONS));
            assert!(distinct(&zmap, |s| s.id) > COUNT * 9 / 10);
            for (scanner, options) in [(Scanner::MasscanOld, &[][..]), (Scanner::MasscanNew, &MSS)] {
                let masscan = syns(scanner, seed);
                assert!(masscan.iter().all(|s| is_masscan(s) && s.window == 1_024 && s.options == options));
                assert!(distinct(&masscan, |s| s.seq) > COUNT * 9 / 10);
            }
            let unicorn = syns(Scanner::Unicorn, seed);
            assert_eq!(distinct(&unicorn, is_unicorn), 1);
            assert!(distinct(&unicorn, |s| s.seq) > 40);
            let nmap = syns(Scanner::Nmap, seed);
            assert_eq!(distinct(&nmap, |s| (s.seq, s.ports.0, s.window, s.options.clone())), 1);
            assert!(
                distinct(&nmap, |s| s.ttl) > 15
                    && nmap[0].window.is_multiple_of(1_024)
                    && nmap[0].window <= 4_096
            );
        }
    }

    #[test]
    fn the_control_keeps_none() {
        for seed in 0..20 {
            let control = syns(Scanner::Control, seed);
            assert!(control.iter().all(|s| s.seq != s.dst && ![1_024, 65_535].contains(&s.window)));
            // By chance one packet in 65,536 has masscan's identification, and one ZMap's.
            assert!(control.iter().filter(|s| is_masscan(s) || s.id == 54_321).count() < 3);
            assert!(distinct(&control, is_unicorn) > COUNT * 9 / 10);
            assert!(control[0].options.len() > 3);
        }
    }

    #[test]
    fn one_seed_one_run() {
        for scanner in Scanner::ALL {
            let run = |seed| frames(scanner, seed, &targets(), 20);
            assert_eq!(run(1), run(1), "{scanner:?}");
            assert_ne!(run(1), run(2), "{scanner:?}");
        }
        assert!(frames(Scanner::Nmap, 1, &[], 20).is_empty());
    }

    /// SYNs of the programs themselves, as they came over a wire between two of our own interfaces: masscan 1.3.2,
    /// zmap 2.1.1 and nmap 7.93 with their defaults.
    const REAL: [(Scanner, &str); 3] = [
        (
            Scanner::MasscanOld,
            "020000000002020000000001080045000028 2b71 0000 ff 06 5c20 \
             0a090001 c6336401 9c41 0050 d6414f20 00000000 5002 0400 b5b0 0000",
        ),
        (
            Scanner::ZmapOld,
            "020000000002020000000001080045000028 d431 0000 ff 06 b351 \
             0a090001 c633640f b9f7 1f90 fb5a8ed8 00000000 5002 ffff 17db 0000",
        ),
        (
            Scanner::Nmap,
            "02000000000202000000000108004500002c 251f 0000 26 06 3b68 \
             0a090001 c6336408 c019 01bb 6a5034bb 00000000 6002 0400 ff00 0000 020405b4",
        ),
    ];

    #[test]
    fn the_layout_is_that_of_the_programs_themselves() {
        for (scanner, hex) in REAL {
            let hex = hex.replace(' ', "");
            let real: Vec<u8> =
                (0..hex.len()).step_by(2).map(|n| u8::from_str_radix(&hex[n..n + 2], 16).unwrap()).collect();
            let to = SocketAddrV4::new(
                Ipv4Addr::new(real[30], real[31], real[32], real[33]),
                u16::from_be_bytes([real[36], real[37]]),
            );
            // nmap's window is one of four: some seed has the one of that run.
            let ours = (0..50).map(|seed| frames(scanner, seed, &[to], 1).remove(0));
            let ours = ours.map(|frame| fixed(scanner, &frame)).collect::<BTreeSet<_>>();
            assert!(ours.contains(&fixed(scanner, &real)), "{scanner:?}: {ours:02x?}");
        }
    }

    /// A frame without what differs from run to run: hardware addresses, identification (where it says nothing), TTL,
    /// checksums, sender and its port, sequence number.
    fn fixed(scanner: Scanner, frame: &[u8]) -> Vec<u8> {
        let mut frame = frame.to_vec();
        let seq = u32::from_be_bytes(frame[38..42].try_into().unwrap());
        let id = u16::from_be_bytes([frame[18], frame[19]]);
        let dst = u32::from_be_bytes(frame[30..34].try_into().unwrap());
        let port = u16::from_be_bytes([frame[36], frame[37]]);
        let id = match scanner {
            Scanner::MasscanOld => id ^ (seq ^ dst ^ u32::from(port)) as u16,
            Scanner::ZmapOld => id,
            _ => 0,
        };
        for range in [0..12, 22..23, 24..26, 26..30, 34..36, 38..42, 50..52] {
            frame[range].fill(0);
        }
        frame[18..20].copy_from_slice(&id.to_be_bytes());
        frame
    }
}
