//! What a connection does with each segment, seen from a peer that writes its segments by hand.

use std::sync::Arc;

use trapline_decoy::limits::{self, SECOND};
use trapline_decoy::record::Said;
use trapline_decoy::services::Kind;
use trapline_decoy::{Decoys, Frames, Host, Port, Ports, Wiring, text};
use trapline_wire::build::{self, Ip, Tcp};
use trapline_wire::tcp::flags::{ACK, FIN, PSH, RST, SYN, URG};
use trapline_wire::{Frame, LinkType, Reading, Time, Transport, decode};

const HOST: [u8; 4] = [192, 0, 2, 11];
const HOST_MAC: [u8; 6] = [0, 0x50, 0x56, 1, 2, 3];
const ECHO: u16 = 7;
const TARPIT: u16 = 23;
const FULL: &[u8] = &[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 3, 0xe8, 0, 0, 0, 0, 1, 3, 3, 7];
const BARE: &[u8] = &[2, 4, 5, 0xb4];

/// A segment of the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    seq: u32,
    ack: u32,
    flags: u8,
    window: u16,
    options: Vec<u8>,
    payload: Vec<u8>,
}

struct Bench {
    decoys: Decoys,
    now: Time,
}

impl Bench {
    fn new(persona: &str) -> Self {
        let (_, text) = text::BUILT_IN.iter().find(|(name, _)| *name == persona).unwrap();
        let tcp = [
            (ECHO, Port::Service(Kind::Echo)),
            (9, Port::Record),
            (80, Port::Service(Kind::named("http/nginx").unwrap())),
            (TARPIT, Port::Tarpit),
        ]
        .into();
        let ports = Arc::new(Ports { tcp, ..Ports::default() });
        let persona = Arc::new(text::read(text).unwrap());
        let wiring = Wiring {
            mac: HOST_MAC,
            addresses: vec![std::net::IpAddr::from(HOST)],
            prefix: 24,
            ports,
            fetch: false,
            seed: 3,
        };
        Bench { decoys: Decoys::new(vec![Host::new(persona, wiring)], 3), now: SECOND }
    }

    /// What the host says to a segment from this peer.
    fn say(&mut self, peer: u32, segment: &Tcp<'_>) -> Vec<Seen> {
        let mut frame = Vec::new();
        build::ethernet(&mut frame, HOST_MAC, [2, 0, 0, 0, 0, 5], 0x0800);
        build::tcp(
            &mut frame,
            &Ip::new(std::net::Ipv4Addr::from(peer).into(), std::net::Ipv4Addr::from(HOST).into()),
            segment,
        );
        let mut out = Frames::default();
        self.decoys.on_frame(self.now, &frame, &mut out);
        seen(&out)
    }

    /// What the host says when this time has passed.
    fn wait(&mut self, time: Time) -> Vec<Seen> {
        let until = self.now + time;
        let mut out = Frames::default();
        while let Some(next) = self.decoys.next().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.decoys.on_time(self.now, &mut out);
        }
        self.now = until;
        seen(&out)
    }
}

fn seen(out: &Frames) -> Vec<Seen> {
    let one = |frame: &[u8]| {
        let frame = Frame { time: 0, wire_len: frame.len() as u32, link: LinkType::ETHERNET, data: frame };
        let Reading::Ip(packet) = decode(&frame) else { panic!("no packet") };
        let Transport::Tcp(tcp) = packet.transport else { panic!("no segment") };
        Seen {
            seq: tcp.seq().unwrap(),
            ack: tcp.ack().unwrap(),
            flags: tcp.flags().unwrap(),
            window: tcp.window().unwrap(),
            options: tcp.options().to_vec(),
            payload: tcp.payload().to_vec(),
        }
    };
    out.iter().map(one).collect()
}

const PEER: u32 = 0xcb00_7105;

/// A peer of one connection.
struct Peer {
    bench: Bench,
    port: u16,
    seq: u32,
    ack: u32,
    window: u16,
}

impl Peer {
    /// Opens a connection with an offer of these options; with stamps, segments need them and are not sent here.
    fn open(persona: &str, port: u16, options: &[u8]) -> Self {
        let mut bench = Bench::new(persona);
        let syn = Tcp {
            src_port: 1025,
            dst_port: port,
            seq: 1_000,
            flags: SYN,
            options,
            window: 8_192,
            ..Tcp::default()
        };
        let answer = bench.say(PEER, &syn).remove(0);
        assert_eq!((answer.flags & (SYN | ACK), answer.ack), (SYN | ACK, 1_001));
        let mut peer = Peer { bench, port, seq: 1_001, ack: answer.seq.wrapping_add(1), window: 8_192 };
        assert_eq!(peer.say(ACK, b""), []);
        peer
    }

    fn segment<'a>(&self, flags: u8, payload: &'a [u8]) -> Tcp<'a> {
        let (seq, ack, window) = (self.seq, self.ack, self.window);
        Tcp { src_port: 1025, dst_port: self.port, seq, ack, flags, window, payload, ..Tcp::default() }
    }

    /// Says this and takes what comes back as come.
    fn say(&mut self, flags: u8, payload: &[u8]) -> Vec<Seen> {
        let segment = self.segment(flags, payload);
        let back = self.bench.say(PEER, &segment);
        self.seq = self.seq.wrapping_add(payload.len() as u32 + u32::from(flags & FIN != 0));
        for segment in &back {
            if segment.seq != self.ack {
                continue;
            }
            self.ack =
                self.ack.wrapping_add(segment.payload.len() as u32 + u32::from(segment.flags & FIN != 0));
        }
        back
    }

    fn ended(&mut self) -> Option<&'static str> {
        let how = |record: &trapline_decoy::record::Record| match record.said {
            Said::Ended { how, .. } => Some(how),
            _ => None,
        };
        self.bench.decoys.take_records().iter().find_map(how)
    }
}

#[test]
fn a_talk_from_first_to_last() {
    let mut peer = Peer::open("windows-98", ECHO, BARE);
    let back = peer.say(ACK | PSH, b"hello");
    assert_eq!(
        (back.len(), &back[0].payload[..], back[0].flags, back[0].ack),
        (1, &b"hello"[..], ACK | PSH, 1_006)
    );
    let back = peer.say(ACK | FIN, b"");
    assert_eq!((back.len(), back[0].flags, back[0].ack), (1, ACK | FIN, 1_007));
    assert_eq!(peer.say(ACK, b""), []);
    assert_eq!(peer.ended(), Some("closed"));
    assert_eq!(peer.bench.decoys.connections(), 0, "who closed last remembers nothing");
}

#[test]
fn a_hundred_thousand_syns_later_the_cookie_still_opens() {
    for (persona, offered) in [("linux-6", FULL), ("linux-redhat-7.3", BARE), ("windows-98", BARE)] {
        let mut bench = Bench::new(persona);
        let syn = Tcp {
            src_port: 1025,
            dst_port: ECHO,
            seq: 1_000,
            flags: SYN,
            options: offered,
            window: 512,
            ..Tcp::default()
        };
        let answer = bench.say(PEER, &syn).remove(0);
        for i in 0..100_000u32 {
            bench.now += 10_000;
            let flood = Tcp {
                src_port: 2_000,
                dst_port: ECHO,
                seq: i,
                flags: SYN,
                options: offered,
                ..Tcp::default()
            };
            assert_eq!(bench.say(0x0b00_0000 + i, &flood).len(), 1);
        }
        assert!(bench.decoys.counts().half_open_forgotten > 90_000);
        let stamps = [1, 1, 8, 10, 0, 0, 3, 0xe9, 0, 0, 0, 0];
        let options: &[u8] = if offered == FULL { &stamps } else { &[] };
        let (seq, ack) = (1_001, answer.seq.wrapping_add(1));
        let data = Tcp {
            src_port: 1025,
            dst_port: ECHO,
            seq,
            ack,
            flags: ACK | PSH,
            window: 512,
            options,
            payload: b"hi",
            ..Tcp::default()
        };
        let back = bench.say(PEER, &data);
        assert_eq!((back.len(), &back[0].payload[..]), (1, &b"hi"[..]), "{persona}");
        assert_eq!(bench.decoys.counts().by_cookie, 1, "{persona}");
        // One that was never sent opens nothing.
        let never = Tcp { src_port: 1026, ack: ack.wrapping_add(0x4000_0000), ..data };
        assert_eq!(bench.say(PEER, &never)[0].flags & RST, RST, "{persona}");
    }
}

#[test]
fn while_every_handshake_is_known_no_stray_acknowledgement_opens_anything() {
    let mut bench = Bench::new("linux-redhat-7.3");
    for i in 0..20_000u32 {
        let (seq, ack) = (i.wrapping_mul(77), i.wrapping_mul(0x9e37_79b9));
        let stray = Tcp { src_port: 1025, dst_port: ECHO, seq, ack, flags: ACK, ..Tcp::default() };
        let back = bench.say(PEER, &stray);
        assert_eq!((back.len(), back[0].flags), (1, RST), "{i}");
    }
}

#[test]
fn a_syn_ack_that_nobody_acknowledges_comes_again_as_its_system_sends_it() {
    let mut bench = Bench::new("linux-6");
    let syn = Tcp { src_port: 1025, dst_port: ECHO, seq: 1_000, flags: SYN, options: FULL, ..Tcp::default() };
    let first = bench.say(PEER, &syn).remove(0);
    assert_eq!(bench.say(PEER, &syn)[0].seq, first.seq, "the same number to the same SYN");
    assert_eq!(bench.wait(SECOND - 1).len(), 0);
    let again = bench.wait(60 * SECOND);
    assert_eq!(again.len(), 5, "after 1, 2, 4, 8 and 16 seconds");
    assert!(again.iter().all(|segment| segment.seq == first.seq && segment.flags == first.flags));
    let reset =
        Tcp { src_port: 1026, dst_port: ECHO, seq: 1_000, flags: SYN, options: FULL, ..Tcp::default() };
    bench.say(PEER, &reset);
    bench.say(PEER, &Tcp { flags: RST, seq: 1_001, options: &[], ..reset });
    assert_eq!(bench.wait(60 * SECOND).len(), 0, "nothing comes again once it was reset");
}

#[test]
fn what_is_lost_is_said_again_with_back_off_until_the_peer_is_given_up() {
    let mut peer = Peer::open("windows-98", ECHO, BARE);
    let first = peer.say(ACK, b"lost").remove(0);
    let mut at = Vec::new();
    let start = peer.bench.now;
    while peer.bench.now - start < 600 * SECOND {
        for segment in peer.bench.wait(SECOND / 10) {
            if segment.flags & RST == 0 {
                assert_eq!((segment.seq, &segment.payload), (first.seq, &first.payload));
            }
            at.push((peer.bench.now - start) / (SECOND / 10));
        }
    }
    let waits: Vec<i64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.windows(2).all(|pair| pair[1] >= pair[0]), "{waits:?}");
    assert_eq!(at.len(), usize::from(limits::RETRANSMISSIONS) + 1, "and a reset: {at:?}");
    assert_eq!(peer.ended(), Some("given-up"));
}

#[test]
fn a_closed_window_is_probed_and_an_open_one_filled() {
    let mut peer = Peer::open("windows-98", ECHO, BARE);
    peer.window = 0;
    let back = peer.say(ACK, b"0123456789");
    assert_eq!((back.len(), back[0].payload.len()), (1, 0), "acknowledged, and nothing said");
    let probes = peer.bench.wait(10 * SECOND);
    assert!(!probes.is_empty() && probes.iter().all(|probe| probe.payload == b"0"), "{probes:?}");
    peer.window = 8_192;
    assert_eq!(peer.say(ACK, b"")[0].payload, b"0123456789");
}

#[test]
fn a_tarpit_takes_nothing_and_keeps_whoever_came() {
    let mut peer = Peer::open("linux-redhat-7.3", TARPIT, BARE);
    for _ in 0..3 {
        let back = peer.bench.say(PEER, &peer.segment(ACK | PSH, b"anybody there?"));
        assert_eq!((back.len(), back[0].window, back[0].ack, back[0].flags), (1, 0, peer.seq, ACK));
    }
    assert_eq!(peer.bench.decoys.connections(), 0, "and costs nothing");
}

#[test]
fn resets_and_syns_count_where_they_lie_in_the_window() {
    let mut peer = Peer::open("linux-6", ECHO, BARE);
    let (seq, ack) = (peer.seq, peer.ack);
    peer.seq = seq.wrapping_sub(100_000);
    assert_eq!(peer.bench.say(PEER, &peer.segment(RST, b"")), [], "before the window");
    assert_eq!(peer.bench.decoys.connections(), 1);
    peer.seq = seq;
    let challenge = peer.bench.say(PEER, &peer.segment(SYN, b""));
    assert_eq!(
        (challenge[0].flags, challenge[0].ack, challenge[0].seq),
        (ACK, seq, ack),
        "a SYN is asked about"
    );
    peer.bench.say(PEER, &peer.segment(RST, b""));
    assert_eq!((peer.bench.decoys.connections(), peer.ended()), (0, Some("reset-by-peer")));
}

#[test]
fn probes_of_the_living_are_answered_and_urgent_bytes_stay_in_their_place() {
    let mut peer = Peer::open("linux-6", ECHO, BARE);
    peer.say(ACK, b"a");
    let alive = Tcp { seq: peer.seq.wrapping_sub(1), ..peer.segment(ACK, b"") };
    let back = peer.bench.say(PEER, &alive);
    assert_eq!((back.len(), back[0].ack, back[0].payload.len()), (1, peer.seq, 0));
    let urgent = Tcp { urgent: 2, ..peer.segment(ACK | URG, b"bc") };
    assert_eq!(peer.bench.say(PEER, &urgent)[0].payload, b"bc");
}

#[test]
fn segments_with_old_stamps_are_acknowledged_and_dropped() {
    let mut bench = Bench::new("linux-6");
    let syn = Tcp {
        src_port: 1025,
        dst_port: ECHO,
        seq: 1_000,
        flags: SYN,
        options: FULL,
        window: 512,
        ..Tcp::default()
    };
    let answer = bench.say(PEER, &syn).remove(0);
    let (seq, ack) = (1_001, answer.seq.wrapping_add(1));
    let old = [1, 1, 8, 10, 0, 0, 3, 0, 0, 0, 0, 0];
    let new = [1, 1, 8, 10, 0, 0, 4, 0, 0, 0, 0, 0];
    let data = Tcp {
        src_port: 1025,
        dst_port: ECHO,
        seq,
        ack,
        flags: ACK,
        window: 512,
        options: &new,
        payload: b"x",
        ..Tcp::default()
    };
    assert_eq!(bench.say(PEER, &data)[0].payload, b"x");
    let back = bench.say(PEER, &Tcp { seq: 1_002, options: &old, payload: b"y", ..data });
    assert_eq!((back.len(), back[0].payload.len(), back[0].ack), (1, 0, 1_002));
}

#[test]
fn out_of_order_bytes_wait_and_are_named_to_who_knows_selective_acknowledgement() {
    let mut peer = Peer::open("linux-6", ECHO, &[2, 4, 5, 0xb4, 1, 1, 4, 2]);
    let seq = peer.seq;
    let later = Tcp { seq: seq.wrapping_add(3), ..peer.segment(ACK, b"def") };
    let back = peer.bench.say(PEER, &later);
    assert_eq!(back[0].ack, seq);
    let run = [seq.wrapping_add(3).to_be_bytes(), seq.wrapping_add(6).to_be_bytes()].concat();
    assert_eq!(back[0].options, [&[1, 1, 5, 10][..], &run].concat());
    let back = peer.bench.say(PEER, &peer.segment(ACK, b"abc"));
    assert_eq!((&back[0].payload[..], back[0].ack), (&b"abcdef"[..], seq.wrapping_add(6)));
}

#[test]
fn a_source_has_its_share_of_connections_and_the_oldest_idle_one_goes() {
    let mut bench = Bench::new("linux-6");
    let ports = 1_025..1_025 + limits::CONNECTIONS_OF_A_SOURCE as u16 + 10;
    for port in ports.clone() {
        bench.now += SECOND / 1_000;
        let syn = Tcp { src_port: port, dst_port: ECHO, seq: 1, flags: SYN, options: BARE, ..Tcp::default() };
        let ack = bench.say(PEER, &syn)[0].seq.wrapping_add(1);
        bench.say(PEER, &Tcp { seq: 2, ack, flags: ACK, options: &[], window: 100, ..syn });
    }
    assert_eq!(bench.decoys.connections(), limits::CONNECTIONS_OF_A_SOURCE);
    assert_eq!(bench.decoys.counts().pushed_out, 10);
    let gone = bench.decoys.take_records().into_iter().filter(|r| matches!(r.said, Said::Ended { .. }));
    assert_eq!(gone.map(|record| record.peer_port).collect::<Vec<_>>(), ports.take(10).collect::<Vec<_>>());
}

/// Bodies that never end, from many: what is held stays bounded, and those go that were idle longest.
#[test]
fn what_all_hold_together_is_bounded() {
    let mut bench = Bench::new("linux-6");
    let head = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 16000000\r\n\r\n";
    let chunk = vec![b'x'; 1_400];
    let mut talks: Vec<(u16, u32, u32)> = Vec::new();
    for port in 1_025..1_025 + 400 {
        let syn = Tcp { src_port: port, dst_port: 80, seq: 1, flags: SYN, options: BARE, ..Tcp::default() };
        let ack = bench.say(PEER, &syn)[0].seq.wrapping_add(1);
        let data = Tcp { seq: 2, ack, flags: ACK, options: &[], window: 9_000, payload: head, ..syn };
        bench.say(PEER, &data);
        talks.push((port, 2 + head.len() as u32, ack));
    }
    for _ in 0..400 {
        for (port, seq, ack) in &mut talks {
            bench.now += 1_000;
            let data = Tcp {
                src_port: *port,
                dst_port: 80,
                seq: *seq,
                ack: *ack,
                flags: ACK,
                window: 9_000,
                payload: &chunk,
                ..Tcp::default()
            };
            bench.say(PEER, &data);
            *seq += chunk.len() as u32;
        }
        assert!(
            bench.decoys.held() <= limits::HELD_BYTES + 16 * limits::GAP_BYTES,
            "{}",
            bench.decoys.held()
        );
    }
    let kept: usize = bench.decoys.take_records().iter().map(|record| record.said.bytes()).sum();
    assert!(kept <= limits::RECORD_BYTES, "{kept}");
    let files: usize = bench.decoys.take_uploads().iter().map(|upload| upload.bytes.len()).sum();
    assert!(files <= limits::UPLOADS, "{files}");
    assert!(bench.decoys.counts().pushed_out > 50, "{:?}", bench.decoys.counts());
}

#[test]
fn who_falls_silent_is_parted_from() {
    let mut peer = Peer::open("windows-98", ECHO, BARE);
    let back = peer.bench.wait(limits::IDLE_FOR + SECOND);
    assert_eq!(back[0].flags, ACK | FIN);
    peer.bench.wait(1_000 * SECOND);
    assert_eq!(peer.bench.decoys.connections(), 0);
}
