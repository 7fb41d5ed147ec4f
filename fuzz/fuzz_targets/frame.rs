//! A frame of any bytes and any link type is decoded and printed, what an ICMP error quotes included; an observation's
//! text is read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trapline_wire::{Frame, LinkType, Observation, Reading, decode, decode::quote};

fuzz_target!(|input: (u8, &[u8])| {
    const LINKS: [u16; 10] = [0, 1, 12, 14, 101, 108, 113, 228, 229, 276];
    let (link, data) = input;
    let link = LinkType(LINKS[usize::from(link) % LINKS.len()]);
    if let Reading::Ip(packet) = decode(&Frame { link, time: 0, wire_len: data.len() as u32, data }) {
        let (payload, _) = packet.payload();
        let _ = format!("{packet:?} {:?}", quote(packet.protocol, payload));
        if let Some(seen) = Observation::of_any(&packet) {
            assert_eq!(Observation::parse(&seen.text()), Ok(seen));
        }
    }
});
