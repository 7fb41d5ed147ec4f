//! How many SYNs a host answers each second, in memory and on one core: `cargo run --release --example speed`.

use std::time::Instant;

use trapline_decoy::{Decoys, Frames, Host, Port, Ports, Wiring, nmap};
use trapline_wire::build::{self, Ip, Tcp};
use trapline_wire::tcp::flags;

const PERSONA: &str = "Fingerprint Measured\nSEQ(SP=C0%GCD=1-6%ISR=C8%TI=Z%CI=Z%II=I%TS=7)\n\
    OPS(O1=M5B4ST11NW0%O2=M5B4ST11NW0%O3=M5B4NNT11NW0%O4=M5B4ST11NW0%O5=M5B4ST11NW0%O6=M5B4ST11)\n\
    WIN(W1=16A0%W2=16A0%W3=16A0%W4=16A0%W5=16A0%W6=16A0)\nECN(R=Y%DF=Y%T=40%W=16D0%O=M5B4NNSNW0%CC=N%Q=)\n\
    T1(R=Y%DF=Y%T=40%S=O%A=S+%F=AS%RD=0%Q=)\nT5(R=Y%DF=Y%T=40%W=0%S=Z%A=S+%F=AR%O=%RD=0%Q=)\n";
const ROUNDS: usize = 5;
const SYNS: usize = 2_000_000;

fn main() {
    const MAC: [u8; 6] = [0, 0x50, 0x56, 1, 2, 3];
    let host_ip = [192, 0, 2, 11];
    let scanner = [2, 4, 5, 0xb4];
    let client = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
    let frames = |port: u16, options: &[u8]| -> Vec<Vec<u8>> {
        let one = |i: u16| {
            let mut frame = Vec::new();
            build::ethernet(&mut frame, MAC, [2, 0, 0, 0, 0, 5], 0x0800);
            let [high, low] = i.to_be_bytes();
            let ip = Ip::new([203, 0, high, low].into(), host_ip.into());
            let (src_port, seq) = (1024 + i, u32::from(i) * 77);
            let syn = Tcp { src_port, dst_port: port, seq, flags: flags::SYN, options, ..Tcp::default() };
            build::tcp(&mut frame, &ip, &syn);
            frame
        };
        (0..4096).map(one).collect()
    };
    let persona = nmap::read(PERSONA).expect("typed above")[0].persona();
    let mut ports = Ports::default();
    ports.tcp.insert(80, Port::Record);
    let wiring = Wiring {
        mac: MAC,
        addresses: vec![host_ip.into()],
        prefix: 16,
        ports: ports.into(),
        fetch: false,
        seed: 1,
    };
    let mut decoys = Decoys::new(vec![Host::new(persona.into(), wiring)], 1);
    let mut out = Frames::default();
    let kinds = [
        ("a scanner's, open port", 80, &scanner[..]),
        ("a client's, open port", 80, &client),
        ("closed port", 81, &scanner),
    ];
    for (name, port, options) in kinds {
        let frames = frames(port, options);
        let mut rates: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                let mut answers = 0;
                for (i, frame) in frames.iter().cycle().take(SYNS).enumerate() {
                    out.clear();
                    decoys.on_frame(i as i64 * 500, frame, &mut out);
                    answers += out.len();
                }
                assert_eq!(answers, SYNS, "every SYN is answered");
                SYNS as f64 / start.elapsed().as_secs_f64() / 1e6
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        report(&format!("SYN/s, {name}: {:.2} million (median of {ROUNDS})", rates[ROUNDS / 2]));
    }
}

#[expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]
fn report(line: &str) {
    println!("{line}");
}
