//! What decoys manage in memory and on one core: `cargo run --release -p trapline-decoy --example speed`.
//!
//! SYNs answered each second; packets of whole small dialogues; the time of an HTTP exchange; memory of 65,536 addresses, and what a
//! million half-open handshakes add to it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trapline_decoy::services::Kind;
use trapline_decoy::{Decoys, Frames, Host, Port, Ports, Wiring, text};
use trapline_wire::build::{self, Ip, Tcp};
use trapline_wire::tcp::flags::{ACK, FIN, PSH, SYN};

const MAC: [u8; 6] = [0, 0x50, 0x56, 1, 2, 3];
const HOST: [u8; 4] = [192, 0, 2, 11];
const ROUNDS: usize = 5;
const SYNS: usize = 1_000_000;

fn host(
    address: Ipv4Addr,
    mac: [u8; 6],
    ports: &Arc<Ports>,
    persona: &Arc<trapline_decoy::Persona>,
    seed: u64,
) -> Host {
    let ports = Arc::clone(ports);
    Host::new(
        Arc::clone(persona),
        Wiring { mac, addresses: vec![address.into()], prefix: 16, ports, fetch: false, seed },
    )
}

fn frame(peer: u32, segment: &Tcp<'_>) -> Vec<u8> {
    let mut frame = Vec::new();
    build::ethernet(&mut frame, MAC, [2, 0, 0, 0, 0, 5], 0x0800);
    build::tcp(
        &mut frame,
        &Ip::new(Ipv4Addr::from(0x0b00_0000 + peer).into(), Ipv4Addr::from(HOST).into()),
        segment,
    );
    frame
}

fn main() {
    let persona =
        text::BUILT_IN.iter().find(|(name, _)| *name == "linux-6").map(|(_, text)| text::read(text));
    let persona = Arc::new(persona.expect("it is built in").expect("a test reads it"));
    let service = |name| Port::Service(Kind::named(name).expect("a test knows it"));
    let tcp = [(7, service("echo")), (80, service("http/nginx"))];
    let ports = Arc::new(Ports { tcp: tcp.into(), ..Ports::default() });
    let scanner = [2, 4, 5, 0xb4];
    let client = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
    let before = resident_kb();
    let many: Vec<Host> =
        (0..65_536u32).map(|i| host((0x0a00_0000 + i).into(), MAC, &ports, &persona, i.into())).collect();
    let mut decoys = Decoys::new(many, 1);
    report(&format!("memory of 65,536 addresses: {} MB", (resident_kb() - before) / 1024));
    let mut out = Frames::default();
    let mut scan = |salt: u32| {
        for i in 0..SYNS as u32 {
            out.clear();
            let (src_port, dst_port) = (1_024 + (i % 60_000) as u16, 80);
            let segment = Tcp { src_port, dst_port, seq: i, flags: SYN, options: &client, ..Tcp::default() };
            let mut frame = Vec::new();
            build::ethernet(&mut frame, MAC, [2, 0, 0, 0, 0, 5], 0x0800);
            let to = Ipv4Addr::from(0x0a00_0000 + i % 65_536);
            build::tcp(
                &mut frame,
                &Ip::new(Ipv4Addr::from(0x0b00_0000 + i + salt).into(), to.into()),
                &segment,
            );
            decoys.on_frame(i64::from(i) * 1_000, &frame, &mut out);
        }
    };
    scan(0);
    let before = resident_kb();
    scan(1 << 21);
    report(&format!("a million half-open handshakes more: {} KB", resident_kb().saturating_sub(before)));
    drop(decoys);
    let decoys = || Decoys::new(vec![host(HOST.into(), MAC, &ports, &persona, 1)], 1);

    let kinds = [
        ("a scanner's, open port", 80, &scanner[..]),
        ("a client's, open port", 80, &client),
        ("closed port", 81, &scanner),
    ];
    for (name, dst_port, options) in kinds {
        let syn = |i: u32| {
            let (src_port, seq) = (1_024 + i as u16, i * 77);
            frame(i, &Tcp { src_port, dst_port, seq, flags: SYN, options, ..Tcp::default() })
        };
        let frames: Vec<Vec<u8>> = (0..4_096).map(syn).collect();
        let mut decoys = decoys();
        let mut out = Frames::default();
        let rates = (0..ROUNDS).map(|_| {
            let start = Instant::now();
            let mut answers = 0;
            for (i, frame) in frames.iter().cycle().take(SYNS).enumerate() {
                out.clear();
                decoys.on_frame(i as i64 * 500, frame, &mut out);
                answers += out.len();
            }
            assert_eq!(answers, SYNS, "every SYN is answered");
            SYNS as f64 / start.elapsed().as_secs_f64() / 1e6
        });
        report(&format!("SYN/s, {name}: {:.2} million (median of {ROUNDS})", median(rates.collect())));
    }

    let echo: Vec<(f64, f64)> = (0..ROUNDS).map(|_| dialogues(decoys(), 7, b"hello")).collect();
    let rate = median(echo.iter().map(|(rate, _)| *rate).collect());
    report(&format!(
        "packets/s of dialogues (SYN, five bytes and back, close): {rate:.2} million (median of {ROUNDS})"
    ));
    let request = b"GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n";
    let http: Vec<f64> = (0..ROUNDS).map(|_| dialogues(decoys(), 80, request).1).collect();
    report(&format!("an HTTP exchange, SYN to close: {:.1} microseconds (median of {ROUNDS})", median(http)));
}

/// Whole dialogues with one port, and how long the decoy took: millions of packets each second, and microseconds for each dialogue.
fn dialogues(mut decoys: Decoys, dst_port: u16, request: &[u8]) -> (f64, f64) {
    const DIALOGUES: u32 = 2_000;
    const BATCHES: u32 = 20;
    let mut out = Frames::default();
    let (mut took, mut packets, mut now) = (Duration::ZERO, 0, 0);
    for batch in 0..BATCHES {
        // Of each dialogue: the peer, its next number, the host's next number.
        let mut talks: Vec<(u32, u32, u32)> =
            (0..DIALOGUES).map(|i| (batch * DIALOGUES + i, 1_000, 0)).collect();
        for step in 0..5 {
            let frames: Vec<Vec<u8>> = talks
                .iter()
                .map(|(peer, seq, ack)| {
                    let (flags, payload): (u8, &[u8]) = match step {
                        0 => (SYN, b""),
                        2 => (ACK | PSH, request),
                        3 => (ACK | FIN, b""),
                        _ => (ACK, b""),
                    };
                    let options: &[u8] = if step == 0 { &[2, 4, 5, 0xb4] } else { &[] };
                    let (src_port, seq, ack) = (1_025, *seq, *ack);
                    frame(
                        *peer,
                        &Tcp {
                            src_port,
                            dst_port,
                            seq,
                            ack,
                            flags,
                            window: 65_535,
                            options,
                            payload,
                            ..Tcp::default()
                        },
                    )
                })
                .collect();
            for (talk, frame) in talks.iter_mut().zip(&frames) {
                out.clear();
                now += 1_000;
                let start = Instant::now();
                decoys.on_frame(now, frame, &mut out);
                took += start.elapsed();
                packets += 1 + out.len();
                talk.1 += match step {
                    0 | 3 => 1,
                    2 => request.len() as u32,
                    _ => 0,
                };
                for answer in out.iter() {
                    let word = |at: usize| {
                        u32::from_be_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]])
                    };
                    let header = usize::from(answer[46] >> 4) * 4;
                    let length = (answer.len() - 34 - header) as u32
                        + u32::from(answer[47] & SYN != 0)
                        + u32::from(answer[47] & FIN != 0);
                    talk.2 = word(38).wrapping_add(length);
                }
            }
            decoys.on_time(now, &mut out);
        }
        drop(decoys.take_records());
        now += 100_000_000_000;
        let start = Instant::now();
        decoys.on_time(now, &mut out);
        took += start.elapsed();
    }
    let dialogues = f64::from(DIALOGUES * BATCHES);
    assert_eq!(decoys.counts().opened, u64::from(DIALOGUES * BATCHES), "every dialogue opened");
    (packets as f64 / took.as_secs_f64() / 1e6, took.as_secs_f64() * 1e6 / dialogues)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Memory that is in use, in KB, as Linux says it.
fn resident_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0)
}

#[expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]
fn report(line: &str) {
    println!("{line}");
}
