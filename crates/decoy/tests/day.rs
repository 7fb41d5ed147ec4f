//! A day of random traffic on a virtual clock: nothing panics, memory stays flat, nobody is spoken to who did not speak first.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use trapline_decoy::limits::{self, SECOND};
use trapline_decoy::numbers::Random;
use trapline_decoy::{Decoys, Frames, Host, Wiring, text};
use trapline_wire::build::{self, Ip, Tcp};

const FRAMES: u32 = 600_000;

/// Memory in use, in KB, as Linux says it; 0 elsewhere.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0)
}

/// A frame to one of the hosts: mostly sensible, so that connections open and services hear it, sometimes damaged.
fn frame(random: &mut Random, open: &[(u32, u32)], ports: &[u16]) -> (Vec<u8>, [u8; 6]) {
    let host = random.below(text::BUILT_IN.len() as u32);
    let (peer, their_next) = match open.get(random.below(1 + open.len() as u32) as usize) {
        Some(known) if random.below(4) > 0 => *known,
        _ => (0xc000_0200 + random.below(2_000), 0),
    };
    let [.., a, b, c] = peer.to_be_bytes();
    let mac = [2, 1, 0, a, b, c];
    let mut frame = Vec::new();
    build::ethernet(
        &mut frame,
        [2, 0, 0, 9, 1, host as u8],
        mac,
        if random.below(50) == 0 { 0x0806 } else { 0x0800 },
    );
    let to = Ipv4Addr::new(10, 9, 1, host as u8);
    let ip = Ip { id: random.bits() as u16, ..Ip::new(Ipv4Addr::from(peer).into(), to.into()) };
    let said: Vec<u8> = match random.below(4) {
        0 => (0..random.below(1_400)).map(|_| random.bits() as u8).collect(),
        1 => b"USER anonymous\r\nPASS x\r\nPASV\r\nLIST\r\nQUIT\r\n".to_vec(),
        2 => b"GET / HTTP/1.0\r\n\r\n".to_vec(),
        _ => Vec::new(),
    };
    let port = ports[random.below(ports.len() as u32) as usize];
    match random.below(20) {
        0 => build::udp(&mut frame, &ip, 53, [53, 137, 7][random.below(3) as usize], &said),
        1 => build::icmp(&mut frame, &ip, random.below(20) as u8, random.below(3) as u8, [0; 4], &said),
        kind => {
            let flags = [2, 2, 2, 16, 24, 24, 17, 4, random.bits() as u8][random.below(9) as usize];
            let options: &[u8] = if kind % 2 == 0 { &[2, 4, 5, 0xb4, 4, 2, 1, 3, 3, 7, 1, 1] } else { &[] };
            let seq = 1_000 + if flags & 2 == 0 { 1 + random.below(3) * 20 } else { 0 };
            let tcp = Tcp {
                src_port: 1_025 + random.below(4) as u16,
                dst_port: port,
                seq,
                ack: their_next,
                flags,
                window: random.bits() as u16,
                options,
                payload: &said,
                ..Tcp::default()
            };
            build::tcp(&mut frame, &ip, &tcp);
        }
    }
    if random.below(30) == 0 {
        let at = random.below(frame.len() as u32) as usize;
        frame[at] ^= 1 << random.below(8);
    }
    if random.below(100) == 0 {
        frame.truncate(random.below(frame.len() as u32) as usize);
    }
    (frame, mac)
}

#[test]
fn a_day_of_random_traffic_leaves_nothing_behind() {
    let mut random = Random::new(24);
    let mut ports: Vec<u16> = vec![1, 9_999];
    let hosts = text::BUILT_IN.iter().zip(0u8..).map(|((_, persona), n)| {
        let persona = Arc::new(text::read(persona).unwrap());
        ports.extend(persona.ports.tcp.keys());
        let (addresses, ports) = (vec![Ipv4Addr::new(10, 9, 1, n).into()], Arc::clone(&persona.ports));
        let wiring =
            Wiring { mac: [2, 0, 0, 9, 1, n], addresses, prefix: 16, ports, fetch: true, seed: n.into() };
        Host::new(persona, wiring)
    });
    let mut decoys = Decoys::new(hosts.collect(), 1);
    let (mut spoke, mut known) = (HashSet::new(), Vec::new());
    let (mut out, mut now, mut answers) = (Frames::default(), SECOND, 0u64);
    let mut memory = Vec::new();
    for i in 0..FRAMES {
        // 24 hours in all.
        now += 86_400 * SECOND / i64::from(FRAMES);
        let (frame, _) = frame(&mut random, &known, &ports);
        spoke.extend(frame.get(6..12).map(<[u8]>::to_vec));
        out.clear();
        decoys.on_time(now, &mut out);
        decoys.on_frame(now, &frame, &mut out);
        for answer in out.iter() {
            answers += 1;
            assert!(spoke.contains(&answer[..6]), "a frame to somebody who never spoke");
            assert!(answer.len() <= 1_514);
            // So that later segments acknowledge what was really sent.
            if answer[23] == 6 && answer[47] & 2 != 0 {
                let word = |at: usize| {
                    u32::from_be_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]])
                };
                known.push((word(30), word(38).wrapping_add(1)));
            }
        }
        if known.len() > 64 {
            known.drain(..32);
        }
        assert!(decoys.connections() <= limits::CONNECTIONS);
        if i % 1_000 == 0 {
            drop(decoys.take_uploads());
            drop(decoys.take_records());
        }
        if i % (FRAMES / 8) == FRAMES / 8 - 1 {
            memory.push(resident_kb());
        }
    }
    let counts = decoys.counts();
    assert!(answers > u64::from(FRAMES) / 4 && counts.opened > 1_000, "{answers} answers, {counts:?}");
    // From the second eighth on, when tables and heaps have their size.
    let (early, late) = (memory[1], memory[7]);
    assert!(late <= early + early / 5 + 4_096, "memory grows: {memory:?} KB");
    decoys.on_time(now + 7_200 * SECOND, &mut out);
    decoys.on_time(now + 14_400 * SECOND, &mut out);
    assert_eq!(decoys.connections(), 0, "every connection ends in time");
}
