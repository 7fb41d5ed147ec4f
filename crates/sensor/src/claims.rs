//! Whose address it is: which of its hosts' addresses a sensor may speak for.
//!
//! `static`: all of them, the paper's way. `routed`: all of them, but nobody asks: questions for an Ethernet address are not answered.
//! `unused`: those that nobody answers for. Whoever asks for such an address and gets no answer for a grace time is answered from then
//! on, and the first word of a real owner takes the address away for good. Only listening: no question of ours is ever sent
//! (LaBrea, Liston 2001, asked; that betrays it).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use trapline_platform::Claim;
use trapline_wire::Time;
use trapline_wire::ipv6::Ipv6View;

/// How long a question stays unanswered before an address counts as nobody's.
pub const GRACE_NS: Time = 3_000_000_000;
/// After this a question is forgotten: two of them hours apart say nothing about who is there.
const FORGOTTEN_NS: Time = 12_000_000_000;

/// What is known of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Somebody asked for it at this time, and nobody answered yet.
    Asked(Time),
    /// Nobody answered: it is ours.
    Ours,
    /// It is somebody else's.
    Taken,
}

/// Something that happened to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is spoken for from now on.
    Claimed(IpAddr),
    /// Its owner spoke: it is left to them.
    GivenBack(IpAddr),
}

/// Which addresses may be spoken for.
#[derive(Debug)]
pub struct Claims {
    claim: Claim,
    /// The hosts' addresses, with what is known of them.
    known: HashMap<IpAddr, Option<Known>>,
}

/// Who says what about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// Somebody asks for it.
    Asks(IpAddr),
    /// Somebody speaks as it.
    Speaks(IpAddr),
}

impl Claims {
    /// Claims to the addresses of hosts.
    pub fn new(claim: Claim, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Claims { claim, known: addresses.into_iter().map(|address| (address, None)).collect() }
    }

    /// For which address a frame is that a router sent here, to whatever Ethernet address it was told; nothing where hosts are found by
    /// their own.
    pub fn routed_to(&self, frame: &[u8]) -> Option<IpAddr> {
        let is_unicast = frame.first().is_some_and(|first| first & 1 == 0);
        if self.claim == Claim::Routed && is_unicast { receiver(frame) } else { None }
    }

    /// Whether hosts may hear a frame from the uplink, and what it changed.
    pub fn hear(&mut self, now: Time, frame: &[u8]) -> (bool, Option<Change>) {
        if self.claim == Claim::Static {
            return (true, None);
        }
        let (question, about) = words(frame);
        if self.claim == Claim::Routed {
            return (!question, None);
        }
        let mut change = None;
        // First who speaks, then who is asked for: a probe of a new owner does both at once (RFC 5227).
        for word in about.into_iter().flatten() {
            if let Word::Speaks(address) = word
                && let Some(known) = self.known.get_mut(&address)
            {
                let before = known.replace(Known::Taken);
                if before == Some(Known::Ours) {
                    change = Some(Change::GivenBack(address));
                }
            }
        }
        for word in about.into_iter().flatten() {
            let Word::Asks(address) = word else { continue };
            let Some(known) = self.known.get_mut(&address) else { return (true, change) };
            match *known {
                Some(Known::Ours) => return (true, change),
                Some(Known::Asked(since)) if (GRACE_NS..FORGOTTEN_NS).contains(&(now - since)) => {
                    *known = Some(Known::Ours);
                    return (true, change.or(Some(Change::Claimed(address))));
                }
                Some(Known::Asked(since)) if (0..GRACE_NS).contains(&(now - since)) => {}
                Some(Known::Taken) => {}
                // Asked for the first time for long, or by a clock that stepped back.
                _ => *known = Some(Known::Asked(now)),
            }
            return (false, change);
        }
        let to = receiver(frame);
        // What is said to a group, all addresses would answer: only where all are ours.
        if matches!(to, Some(IpAddr::V6(to)) if to.is_multicast()) {
            return (self.known.values().all(|known| *known == Some(Known::Ours)), change);
        }
        let is_ours = to.is_none_or(|to| self.known.get(&to).is_none_or(|known| *known == Some(Known::Ours)));
        (is_ours, change)
    }
}

const ARP: [u8; 2] = [0x08, 0x06];
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const ETHERNET: usize = 14;

fn v4(frame: &[u8], at: usize) -> Option<IpAddr> {
    let octets: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
    Some(IpAddr::from(octets))
}

/// Whether a frame asks for, or tells, an Ethernet address; and what it says about which addresses.
fn words(frame: &[u8]) -> (bool, [Option<Word>; 2]) {
    let kind = frame.get(12..14);
    if kind == Some(&ARP) {
        const REQUEST: [u8; 2] = [0, 1];
        let sender = v4(frame, ETHERNET + 14).filter(|sender| !sender.is_unspecified());
        let target = v4(frame, ETHERNET + 24);
        let asks = frame.get(ETHERNET + 6..ETHERNET + 8) == Some(&REQUEST) && sender != target;
        return (true, [sender.map(Word::Speaks), target.filter(|_| asks).map(Word::Asks)]);
    }
    // The sender of an IP packet may be forged from far away; only what neighbours say to each other counts.
    if kind != Some(&IPV6) {
        return (false, [None, None]);
    }
    let Some(packet) = frame.get(ETHERNET..).and_then(Ipv6View::checked) else {
        return (false, [None, None]);
    };
    let source = Some(packet.src()).filter(|source| !source.is_unspecified());
    let speaks = source.map(|source| Word::Speaks(source.into()));
    const SOLICITATION: u8 = 135;
    const ADVERTISEMENT: u8 = 136;
    let message = packet.payload();
    let target = message.get(8..24).and_then(|octets| <[u8; 16]>::try_from(octets).ok()).map(Ipv6Addr::from);
    const FROM_THE_LINK: u8 = 255;
    if packet.hop_limit() != FROM_THE_LINK {
        return (false, [None, None]);
    }
    match (packet.next_header(), message.first(), target) {
        (trapline_wire::protocol::ICMPV6, Some(&SOLICITATION), Some(target)) => {
            // Without an address of its own it asks whether this one is free: that is for its owner to say, and so is the answer.
            (true, [speaks, Some(Word::Asks(target.into()))])
        }
        (trapline_wire::protocol::ICMPV6, Some(&ADVERTISEMENT), Some(target)) => {
            (true, [speaks, Some(Word::Speaks(target.into()))])
        }
        _ => (false, [None, None]),
    }
}

/// To whom a packet is addressed.
fn receiver(frame: &[u8]) -> Option<IpAddr> {
    match frame.get(12..14)? {
        kind if *kind == IPV4 => v4(frame, ETHERNET + 16),
        kind if *kind == IPV6 => Some(Ipv6View::checked(frame.get(ETHERNET..)?)?.dst().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use trapline_wire::build::{self, Ip, Tcp};

    use super::*;

    const OURS: [u8; 4] = [192, 0, 2, 10];
    const PEER: [u8; 4] = [192, 0, 2, 1];
    const SECOND: Time = 1_000_000_000;

    fn arp(operation: u8, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
        let mut frame = Vec::new();
        build::ethernet(&mut frame, [0xff; 6], [2, 0, 0, 0, 0, sender[3]], 0x0806);
        frame.extend([0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, sender[3]]);
        frame.extend(sender);
        frame.extend([0; 6]);
        frame.extend(target);
        frame
    }

    fn syn(src: IpAddr, dst: IpAddr) -> Vec<u8> {
        let mut frame = Vec::new();
        build::ethernet(&mut frame, [2; 6], [4; 6], if src.is_ipv4() { 0x0800 } else { 0x86dd });
        build::tcp(&mut frame, &Ip::new(src, dst), &Tcp { dst_port: 80, flags: 2, ..Tcp::default() });
        frame
    }

    fn solicitation(src: IpAddr, target: Ipv6Addr) -> Vec<u8> {
        let mut frame = Vec::new();
        build::ethernet(&mut frame, [0x33; 6], [4; 6], 0x86dd);
        let ip = Ip { ttl: 255, ..Ip::new(src, target.into()) };
        build::icmp(&mut frame, &ip, 135, 0, [0; 4], &target.octets());
        frame
    }

    #[test]
    fn an_address_is_ours_when_nobody_answers_for_it() {
        let mut claims = Claims::new(Claim::Unused, [OURS.into()]);
        let ours = IpAddr::from(OURS);
        assert_eq!(claims.hear(0, &arp(1, PEER, OURS)), (false, None));
        assert_eq!(claims.hear(SECOND, &arp(1, PEER, OURS)), (false, None));
        assert_eq!(claims.hear(2 * SECOND, &syn(PEER.into(), ours)), (false, None), "not ours yet");
        assert_eq!(claims.hear(4 * SECOND, &arp(1, PEER, OURS)), (true, Some(Change::Claimed(ours))));
        assert_eq!(claims.hear(5 * SECOND, &syn(PEER.into(), ours)), (true, None));
        // A forged sender takes nothing away; its owner, who announces itself, does, and for good.
        assert_eq!(claims.hear(6 * SECOND, &syn(ours, PEER.into())).1, None);
        assert_eq!(claims.hear(6 * SECOND, &arp(1, OURS, OURS)).1, Some(Change::GivenBack(ours)));
        for second in 7..30 {
            assert_eq!(claims.hear(second * SECOND, &arp(1, PEER, OURS)), (false, None), "never again");
        }
        assert_eq!(claims.hear(30 * SECOND, &syn(PEER.into(), ours)), (false, None));
        // Two questions an hour apart.
        let mut rarely = Claims::new(Claim::Unused, [OURS.into()]);
        rarely.hear(0, &arp(1, PEER, OURS));
        assert_eq!(rarely.hear(3_600 * SECOND, &arp(1, PEER, OURS)), (false, None));
    }

    #[test]
    fn an_answer_within_the_grace_time_keeps_the_address() {
        let mut claims = Claims::new(Claim::Unused, [OURS.into()]);
        claims.hear(0, &arp(1, PEER, OURS));
        claims.hear(SECOND, &arp(2, OURS, PEER));
        assert_eq!(claims.hear(9 * SECOND, &arp(1, PEER, OURS)), (false, None));
        // A clock that steps back begins the wait anew.
        let mut back = Claims::new(Claim::Unused, [OURS.into()]);
        back.hear(100 * SECOND, &arp(1, PEER, OURS));
        assert_eq!(back.hear(0, &arp(1, PEER, OURS)), (false, None));
        assert!(back.hear(3 * SECOND, &arp(1, PEER, OURS)).0);
    }

    #[test]
    fn ipv6_alike() {
        let ours: Ipv6Addr = "2001:db8::10".parse().unwrap();
        let peer: IpAddr = "2001:db8::1".parse().unwrap();
        let mut claims = Claims::new(Claim::Unused, [ours.into()]);
        assert_eq!(claims.hear(0, &solicitation(peer, ours)), (false, None));
        assert_eq!(
            claims.hear(4 * SECOND, &solicitation(peer, ours)),
            (true, Some(Change::Claimed(ours.into())))
        );
        let other = "2001:db8::99".parse().unwrap();
        let speaks = solicitation(ours.into(), other);
        assert_eq!(claims.hear(5 * SECOND, &speaks).1, Some(Change::GivenBack(ours.into())));
        assert_eq!(claims.hear(6 * SECOND, &solicitation(peer, ours)), (false, None));
    }

    #[test]
    fn routed_addresses_are_asked_for_in_vain_and_static_ones_never() {
        let question = arp(1, PEER, OURS);
        let mut routed = Claims::new(Claim::Routed, [OURS.into()]);
        assert!(!routed.hear(0, &question).0 && routed.hear(0, &syn(PEER.into(), OURS.into())).0);
        assert!(Claims::new(Claim::Static, [OURS.into()]).hear(0, &question).0);
        for length in 0..question.len() {
            Claims::new(Claim::Unused, [OURS.into()]).hear(0, &question[..length]);
        }
    }
}
