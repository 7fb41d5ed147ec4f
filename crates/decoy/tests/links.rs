//! Connections over links that lose, repeat, reorder and delay: every byte arrives once and in order, on both sides.
//!
//! The peer is smoltcp's TCP, which shares no line with ours.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};
use trapline_decoy::limits::RECORDED;
use trapline_decoy::numbers::Random;
use trapline_decoy::record::Said;
use trapline_decoy::services::Kind;
use trapline_decoy::{Decoys, Frames, Host, Persona, Port, Ports, Wiring, text};
use trapline_wire::Time;

const MS: Time = 1_000_000;
const HOST: [u8; 4] = [192, 0, 2, 11];
const HOST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x11);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const HOST_MAC: [u8; 6] = [0, 0x50, 0x56, 1, 2, 3];
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 5];
const ECHO: u16 = 7;
const LISTENING: u16 = 9;

/// The peer's network card.
#[derive(Default)]
struct Card {
    come: VecDeque<Vec<u8>>,
    go: Vec<Vec<u8>>,
}

struct Come(Vec<u8>);
struct Go<'a>(&'a mut Vec<Vec<u8>>);

impl RxToken for Come {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

impl TxToken for Go<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = vec![0; length];
        let result = fill(&mut frame);
        self.0.push(frame);
        result
    }
}

impl Device for Card {
    type RxToken<'a> = Come;
    type TxToken<'a> = Go<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Come, Go<'_>)> {
        Some((Come(self.come.pop_front()?), Go(&mut self.go)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Go<'_>> {
        Some(Go(&mut self.go))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// A frame on its way: when it arrives, which was sent first, whether to the decoys.
type OnItsWay = (Time, u64, bool, Vec<u8>);

/// A link in both directions.
struct Link {
    random: Random,
    lost_percent: u32,
    twice_percent: u32,
    delay: Time,
    jitter: Time,
    frames: BinaryHeap<Reverse<OnItsWay>>,
    count: u64,
}

impl Link {
    fn send(&mut self, now: Time, to_decoys: bool, frame: &[u8]) {
        if self.random.below(100) < self.lost_percent {
            return;
        }
        let copies = 1 + u32::from(self.random.below(100) < self.twice_percent);
        for _ in 0..copies {
            let late = Time::from(self.random.below(1 + (self.jitter / MS) as u32)) * MS;
            self.count += 1;
            self.frames.push(Reverse((now + self.delay + late, self.count, to_decoys, frame.to_vec())));
        }
    }
}

/// How a peer and its link behave.
struct Manner {
    /// Frames lost and repeated in percent, delay and jitter in milliseconds: each is drawn below these.
    trouble: [u32; 4],
    /// What the peer says is shorter than this, in bytes.
    message: u32,
    /// The peer reads nothing before this time.
    reads_from: Time,
}

/// One connection over one link: whether it came to its end, or what is wrong.
fn converse(seed: u64, persona: &Arc<Persona>, manner: &Manner) -> Result<bool, String> {
    let mut random = Random::new(seed);
    let port = if random.below(2) == 0 { ECHO } else { LISTENING };
    let mut ports = Ports::default();
    ports.tcp.insert(ECHO, Port::Service(Kind::Echo));
    ports.tcp.insert(LISTENING, Port::Record);
    // Over IPv6 where its system has it, every other time.
    let v6 = persona.ipv6.is_some() && seed.is_multiple_of(2);
    let host: IpAddr = if v6 { HOST_V6.into() } else { HOST.into() };
    let wiring = Wiring {
        mac: HOST_MAC,
        addresses: vec![host],
        prefix: 16,
        ports: Arc::new(ports),
        fetch: false,
        seed,
    };
    let mut decoys = Decoys::new(vec![Host::new(Arc::clone(persona), wiring)], seed);
    let [lost_percent, twice_percent, delay, jitter] = manner.trouble.map(|most| random.below(most));
    let mut link = Link {
        lost_percent,
        twice_percent,
        delay: Time::from(delay) * MS,
        jitter: Time::from(jitter) * MS,
        frames: BinaryHeap::new(),
        count: 0,
        random: Random::new(seed ^ 0x5555),
    };
    let message: Vec<u8> = (0..random.below(manner.message)).map(|_| random.bits() as u8).collect();

    let mut card = Card::default();
    let mut config = Config::new(EthernetAddress(PEER_MAC).into());
    config.random_seed = seed;
    let at = |now: Time| Instant::from_micros(now / 1_000);
    let mut interface = Interface::new(config, &mut card, at(0));
    interface.update_ip_addrs(|all| {
        all.push(IpCidr::new(IpAddress::v4(192, 0, 2, 1), 24)).unwrap();
        all.push(IpCidr::new(PEER_V6.into(), 64)).unwrap();
    });
    let buffer = |size: usize| tcp::SocketBuffer::new(vec![0; size]);
    let mut socket = tcp::Socket::new(buffer(2_000 + random.below(30_000) as usize), buffer(8_192));
    socket.set_nagle_enabled(random.below(2) == 0);
    let mut sockets = SocketSet::new(vec![]);
    let handle = sockets.add(socket);
    let own_port = 1_025 + random.below(60_000) as u16;
    let remote = (IpAddress::from(host), port);
    sockets.get_mut::<tcp::Socket<'_>>(handle).connect(interface.context(), remote, own_port).unwrap();

    let (mut now, mut sent, mut back) = (MS, 0, Vec::new());
    let mut out = Frames::default();
    let mut closed = false;
    let mut done_at = None;
    // Twenty virtual minutes are more than any of these links needs.
    while now < 1_200_000 * MS {
        while link.frames.peek().is_some_and(|Reverse((arrival, ..))| *arrival <= now) {
            let Some(Reverse((_, _, to_decoys, frame))) = link.frames.pop() else { break };
            if to_decoys {
                decoys.on_frame(now, &frame, &mut out);
            } else {
                card.come.push_back(frame);
            }
        }
        decoys.on_time(now, &mut out);
        out.iter().for_each(|frame| link.send(now, false, frame));
        out.clear();
        interface.poll(at(now), &mut card, &mut sockets);
        let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
        while now >= manner.reads_from && socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), back.extend_from_slice(bytes))).unwrap();
        }
        while socket.can_send() && sent < message.len() {
            sent += socket.send_slice(&message[sent..]).unwrap();
        }
        if sent == message.len() && !closed && socket.may_send() {
            socket.close();
            closed = true;
        }
        let over = closed && matches!(socket.state(), tcp::State::TimeWait | tcp::State::Closed);
        interface.poll(at(now), &mut card, &mut sockets);
        card.go.drain(..).for_each(|frame| link.send(now, true, &frame));
        if over && decoys.connections() == 0 && done_at.is_none() {
            done_at = Some(now);
            break;
        }
        let next = [
            link.frames.peek().map(|Reverse((arrival, ..))| *arrival),
            decoys.next(),
            interface.poll_at(at(now), &sockets).map(|next| next.total_micros() * 1_000),
            (now < manner.reads_from).then_some(manner.reads_from),
        ];
        now = next.into_iter().flatten().min().unwrap_or(now + 1_000 * MS).max(now + MS / 10);
    }
    let records = decoys.take_records();
    let ended = records.iter().find_map(|record| match record.said {
        Said::Ended { how, heard, .. } => Some((how, heard)),
        _ => None,
    });
    let wrong =
        |what: &str| Err(format!("seed {seed}, port {port}, {} bytes: {what}; {ended:?}", message.len()));
    if done_at.is_none() {
        return wrong(&format!("unfinished: sent {sent}, back {}, {} records", back.len(), records.len()));
    }
    let Some((how, heard)) = ended else { return wrong("no end") };
    if heard != message.len() as u64 {
        return wrong(&format!("{heard} bytes heard"));
    }
    let kept = records.iter().find_map(|record| match &record.said {
        Said::Bytes { data, .. } => Some(data.0.clone()),
        _ => None,
    });
    match port {
        // So much was lost that the host gave the peer up: what arrived before is right.
        ECHO if how == "given-up" && message.starts_with(&back) => Ok(false),
        ECHO if back != message => wrong("what came back is something else"),
        LISTENING if kept.as_deref().unwrap_or_default() != &message[..message.len().min(RECORDED)] => {
            wrong("what is recorded is something else")
        }
        _ => Ok(true),
    }
}

#[test]
fn over_ten_thousand_links_every_byte_arrives_once_and_in_order() {
    const LINKS: u64 = 10_000;
    let personas: Vec<Arc<Persona>> =
        text::BUILT_IN.iter().map(|(_, persona)| Arc::new(text::read(persona).unwrap())).collect();
    let bad = Manner { trouble: [26, 20, 100, 120], message: 60_000, reads_from: 0 };
    let threads = 2;
    let all: Vec<Result<bool, String>> = std::thread::scope(|scope| {
        let work: Vec<_> = (0..threads)
            .map(|thread| {
                let (personas, bad) = (&personas, &bad);
                scope.spawn(move || {
                    let seeds = (0..LINKS).filter(|seed| seed % threads == thread);
                    seeds
                        .map(|seed| converse(seed, &personas[seed as usize % personas.len()], bad))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        work.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let given_up = all.iter().filter(|outcome| **outcome == Ok(false)).count();
    let wrong: Vec<String> = all.into_iter().filter_map(Result::err).collect();
    let first = wrong[..wrong.len().min(12)].join("\n");
    assert!(wrong.is_empty(), "{} of {LINKS} links, the first ones:\n{first}", wrong.len());
    assert!(given_up < 20, "{given_up} of {LINKS} peers were given up");
}

/// A host that drops what finds no room loses bytes of an echo: it has to close its window.
#[test]
fn a_peer_that_reads_late_is_stopped_and_loses_nothing() {
    for ((name, persona), seed) in text::BUILT_IN.iter().zip(0..) {
        let late = Manner { trouble: [1, 1, 10, 1], message: 4_000_000, reads_from: 20_000 * MS };
        let persona = Arc::new(text::read(persona).unwrap());
        for seed in [seed, seed + 100, seed + 200] {
            assert_eq!(converse(seed, &persona, &late), Ok(true), "{name}");
        }
    }
}
