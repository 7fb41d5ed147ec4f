//! The Linux kernel's own TCP as client, over a wire that loses, repeats, delays and reorders.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use trapline_decoy::numbers::Random;
use trapline_decoy::record::Said;
use trapline_decoy::services::Kind;
use trapline_decoy::{Decoys, Host, Port, Ports, Wiring, text};
use trapline_sensor::bench::{Bench, Trouble, on_a_bench};
use trapline_testing::skipped;

const ECHO: u16 = 7;
const LISTENING: u16 = 9;

fn address_v6(n: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 1, n.into())
}

/// A decoy for each built-in persona.
fn decoys() -> Decoys {
    let mut ports = Ports::default();
    ports.tcp.insert(ECHO, Port::Service(Kind::Echo));
    ports.tcp.insert(LISTENING, Port::Record);
    let ports = Arc::new(ports);
    let hosts = text::BUILT_IN.iter().zip(1u8..).map(|((_, persona), n)| {
        let wiring = Wiring {
            mac: [2, 0, 0, 9, 1, n],
            addresses: vec![Ipv4Addr::new(10, 9, 1, n).into(), address_v6(n).into()],
            prefix: 16,
            ports: Arc::clone(&ports),
            fetch: false,
            seed: n.into(),
        };
        Host::new(Arc::new(text::read(persona).unwrap()), wiring)
    });
    Decoys::new(hosts.collect(), 1)
}

/// Says a message and takes what comes back until the other side closes.
fn converse(to: SocketAddr, message: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(30))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut saying = stream.try_clone()?;
    std::thread::scope(|scope| {
        // Both at once: a message longer than all buffers would otherwise wait for itself.
        let said =
            scope.spawn(move || saying.write_all(message).and_then(|()| saying.shutdown(Shutdown::Write)));
        let mut back = Vec::new();
        stream.read_to_end(&mut back)?;
        said.join().unwrap()?;
        Ok(back)
    })
}

fn every_byte_once(bench: &Bench, connections: u64, most: u32) {
    bench.put(decoys());
    let personas = text::BUILT_IN.len() as u64;
    // In the thread that the bench belongs to: others are on this machine's own network.
    for seed in 0..connections {
        let mut random = Random::new(seed);
        let message: Vec<u8> = (0..random.below(most)).map(|_| random.bits() as u8).collect();
        let n = (seed % personas) as u8;
        let speaks_v6 = bench.decoys().hosts()[usize::from(n)].persona().ipv6.is_some();
        let host: IpAddr = match n + 1 {
            n if speaks_v6 => address_v6(n).into(),
            n => Ipv4Addr::new(10, 9, 1, n).into(),
        };
        let port = if (seed / personas).is_multiple_of(2) { ECHO } else { LISTENING };
        let back = converse((host, port).into(), &message);
        let back = back
            .unwrap_or_else(|e| panic!("connection {seed} to {host}:{port}, {} bytes: {e}", message.len()));
        assert!(back == if port == ECHO { &message[..] } else { b"" }, "connection {seed} to {host}:{port}");
    }
    // The last acknowledgement of a close may still be on its way.
    let mut records = Vec::new();
    for _ in 0..300 {
        records.append(&mut bench.decoys().take_records());
        let ended = records.iter().filter(|record| matches!(record.said, Said::Ended { .. })).count() as u64;
        if ended == connections {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let heard: u64 = records
        .iter()
        .map(|record| if let Said::Ended { heard, .. } = record.said { heard } else { 0 })
        .sum();
    let said: u64 = (0..connections).map(|seed| u64::from(Random::new(seed).below(most))).sum();
    assert_eq!(heard, said, "bytes are recorded once");
}

#[test]
fn the_kernel_gets_every_byte_through_a_good_wire_and_a_bad_one() {
    let good = on_a_bench(Trouble::default(), |bench| every_byte_once(bench, 30, 1_500_000));
    if let Err(why) = good {
        return skipped("the kernel's TCP as client", &why);
    }
    let trouble = Trouble { lost_percent: 5, twice_percent: 5, delay_ms: 5, jitter_ms: 8, seed: 1 };
    on_a_bench(trouble, |bench| every_byte_once(bench, 24, 60_000)).unwrap();
}
