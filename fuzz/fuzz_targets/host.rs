//! A decoy takes frames of any bytes, at any pace: what it sends comes from itself, fits the link, and goes to somebody who spoke first.
//!
//! Each piece of the input is a frame as it is, or, so that more than checksums is tried, the payload of a packet that is right in
//! itself; a segment may go on from the numbers that the host said last.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trapline_decoy::services::Kind;
use trapline_decoy::{Decoys, Frames, Host, Port, Ports, Wiring, nmap};
use trapline_wire::build::{self, Ip};
use trapline_wire::checksum;

const MAC: [u8; 6] = [0, 0x50, 0x56, 1, 2, 3];
const HOST_V6: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x11);
const HOST: std::net::Ipv4Addr = std::net::Ipv4Addr::new(192, 0, 2, 11);
const PERSONA: &str = "Fingerprint Fuzzed\n\
    SEQ(SP=C0%GCD=1%ISR=C0%TI=BI%CI=RI%II=RD%SS=O%TS=7)\n\
    OPS(O1=M5B4ST11NW0%O2=M578ST11NW0%O3=M280NNT11NW0%O4=M5B4ST11NW0%O5=M218ST11NW0%O6=M109ST11)\n\
    WIN(W1=16A0%W2=16A0%W3=16A0%W4=16A0%W5=16A0%W6=16A0)\n\
    ECN(R=Y%DF=Y%T=40%W=16D0%O=M5B4NNSNW0%CC=Y%Q=RU)\n\
    T1(R=Y%DF=Y%T=40%S=O%A=S+%F=AS%RD=0%Q=)\nT2(R=Y%DF=N%T=40%W=80%S=Z%A=S%F=AR%O=%RD=1F59B3D4%Q=U)\n\
    T3(R=Y%DF=Y%T=40%W=16A0%S=O%A=S+%F=AS%O=M109ST11NW0%RD=0%Q=)\nT4(R=Y%DF=Y%T=40%W=0%S=A%A=Z%F=R%O=%RD=0%Q=)\n\
    T5(R=Y%DF=Y%T=40%W=0%S=Z%A=S+%F=AR%O=%RD=0%Q=)\nT6(R=Y%DF=Y%T=40%W=0%S=A+%A=S+%F=R%O=%RD=0%Q=)\n\
    T7(R=Y%DF=Y%T=40%W=0%S=Z%A=S+%F=AR%O=%RD=0%Q=)\n\
    U1(DF=N%T=100%IPL=164%UN=1%RIPL=148%RID=4210%RIPCK=G%RUCK=0%RUD=I)\nIE(DFI=O%T=40%CD=O)\n";

/// A frame of a piece of the input; `numbers` are those of the host's last segment.
fn frame(piece: &[u8], numbers: Option<(u32, u32)>) -> Vec<u8> {
    const TCP: u8 = 6;
    let [way @ 1..=4, protocol, peer, payload @ ..] = piece else {
        return piece.get(1..).unwrap_or_default().to_vec();
    };
    let v6 = way % 2 == 0;
    let ip = if v6 {
        Ip::new(
            std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, u16::from(*peer)).into(),
            HOST_V6.into(),
        )
    } else {
        Ip::new(std::net::Ipv4Addr::new(203, 0, 113, *peer).into(), HOST.into())
    };
    let mut payload = payload[..payload.len().min(1_400)].to_vec();
    if let (3.., &TCP, Some((seq, ack)), Some(fields)) = (way, protocol, numbers, payload.get_mut(4..12)) {
        // What the piece says is how far it is off.
        let off = |at: usize, from: u32| {
            from.wrapping_add(u32::from(fields[at + 3])).wrapping_sub(u32::from(fields[at]))
        };
        let said = [off(0, ack).to_be_bytes(), off(4, seq).to_be_bytes()].concat();
        fields.copy_from_slice(&said);
    }
    let at = match protocol {
        6 => 16,
        17 => 6,
        _ => 2,
    };
    if let Some(field) = payload.get_mut(at..at + 2) {
        field.fill(0);
        let seed = if *protocol == 1 { 0 } else { checksum::pseudo_header(&ip, *protocol, payload.len()) };
        let good = checksum::of(&payload, seed);
        payload[at..at + 2].copy_from_slice(&good.to_be_bytes());
    }
    let mut frame = Vec::new();
    build::ethernet(&mut frame, MAC, [2, 0, 0, 0, 0, *peer], if v6 { 0x86dd } else { 0x0800 });
    build::raw(&mut frame, &ip, *protocol, &payload);
    frame
}

/// Sequence numbers that follow the segment in this frame: the host's own, and what it acknowledged.
fn numbers(frame: &[u8]) -> Option<(u32, u32)> {
    let at = match (frame.get(12..14)?, frame.get(23)?, frame.get(20)?) {
        ([8, 0], 6, _) => 34,
        ([0x86, 0xdd], _, 6) => 54,
        _ => return None,
    };
    let word = |at: usize| Some(u32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?));
    Some((word(at + 4)?.wrapping_add(1), word(at + 8)?))
}

fuzz_target!(|pieces: Vec<&[u8]>| {
    let persona = nmap::read(PERSONA).unwrap()[0].persona();
    let service = Port::Service(Kind::Echo);
    let tcp = [(7, service), (9, Port::Record), (23, Port::Tarpit), (80, Port::Record), (99, Port::Silent)];
    let udp = [(7, service), (99, Port::Silent)];
    let wiring = Wiring {
        mac: MAC,
        addresses: vec![HOST.into(), HOST_V6.into()],
        prefix: 16,
        ports: Ports { tcp: tcp.into(), udp: udp.into(), ..Ports::default() }.into(),
        fetch: true,
        seed: 1,
    };
    let mut decoys = Decoys::new(vec![Host::new(persona.into(), wiring)], 1);
    let mut out = Frames::default();
    let mut heard = std::collections::HashSet::new();
    let mut last = None;
    for (i, piece) in pieces.into_iter().enumerate() {
        let frame = frame(piece, last);
        out.clear();
        decoys.on_frame(i as i64 * 100_000_000, &frame, &mut out);
        heard.extend(frame.get(6..12).map(<[u8]>::to_vec));
        decoys.on_time(i as i64 * 100_000_000, &mut out);
        for answer in out.iter() {
            assert_eq!(answer[6..12], MAC);
            // Neighbours of IPv6 are answered as a group where they have no address yet, or ask for groups.
            let to_group = answer[..2] == [0x33, 0x33] && answer[12..14] == [0x86, 0xdd];
            assert!(to_group || heard.contains(&answer[..6]), "nobody is spoken to who did not speak first");
            assert!(answer.len() <= 1_514);
            last = numbers(answer).or(last);
        }
    }
});
