//! Handshakes whose last acknowledgement is awaited: a table of fixed size, and SYN cookies behind it.
//!
//! The table remembers what was agreed on, so that a SYN that comes twice gets the same answer and a SYN/ACK that was lost comes
//! again. What it had to forget is read from the acknowledgement itself where the persona's sequence numbers have room for a
//! cookie (Bernstein 1996; the layout is ours): segment size, window scale and selective acknowledgement in eight bits, the
//! rest of the room a keyed hash over the connection. Neither grows, whatever comes.

use std::collections::VecDeque;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use trapline_wire::Time;
use trapline_wire::observation::kind;

use super::{Agreed, Flow, Key, Segment, hash_address};
use crate::layout::Offer;
use crate::limits::{COOKIE_FOR, HALF_OPEN};

/// Room for an answer to a SYN as a frame: Ethernet, IPv6, TCP, options.
const FRAME: usize = 14 + 40 + 20 + 40;
/// How long a handshake may take before its place is free.
const LIFE: Time = 60 * crate::limits::SECOND;

#[derive(Clone, Debug)]
struct Half {
    flow: Flow,
    since: Time,
    iss: u32,
    irs: u32,
    agreed: Agreed,
    /// How often the answer was sent again.
    again: u8,
    length: u8,
    frame: [u8; FRAME],
}

/// A handshake that an acknowledgement completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Completed {
    pub iss: u32,
    pub irs: u32,
    pub agreed: Agreed,
}

/// The handshakes of all decoys.
#[derive(Debug)]
pub(crate) struct HalfOpen {
    slots: Vec<Option<Half>>,
    secret: (u64, u64),
    /// Which slot is to be sent again when; about in order of time, as long as the table.
    due: VecDeque<(Time, u32)>,
    /// When one was last forgotten before its time.
    forgot: Option<Time>,
    /// How many were forgotten before their time.
    pub forgotten: u64,
}

impl HalfOpen {
    pub fn new(secret: (u64, u64)) -> Self {
        HalfOpen {
            slots: vec![None; HALF_OPEN],
            secret,
            due: VecDeque::with_capacity(HALF_OPEN),
            forgot: None,
            forgotten: 0,
        }
    }

    /// Remembers a handshake with the frame that answered its SYN; `again_in` is when that goes out again unless it is completed.
    pub fn remember(
        &mut self,
        now: Time,
        flow: Flow,
        handshake: Completed,
        frame: &[u8],
        again_in: Option<Time>,
    ) {
        let at = self.slot(&flow.key);
        let mut room = [0; FRAME];
        let Some(start) = room.get_mut(..frame.len()) else { return };
        start.copy_from_slice(frame);
        if self.slots[at].as_ref().is_some_and(|old| old.flow.key != flow.key && now - old.since < LIFE) {
            self.forgot = Some(now);
            self.forgotten += 1;
        }
        let Completed { iss, irs, agreed } = handshake;
        self.slots[at] = Some(Half {
            flow,
            since: now,
            iss,
            irs,
            agreed,
            again: 0,
            length: frame.len() as u8,
            frame: room,
        });
        if let Some(again_in) = again_in
            && self.due.len() < HALF_OPEN
        {
            self.schedule(now + again_in, at as u32);
        }
    }

    /// The answer to a SYN that has been answered before, byte for byte.
    pub fn repeated(&self, key: &Key, irs: u32) -> Option<&[u8]> {
        let half = self.slots[self.slot(key)].as_ref()?;
        (half.flow.key == *key && half.irs == irs).then(|| &half.frame[..usize::from(half.length)])
    }

    /// Takes out the handshake that this acknowledgement completes.
    pub fn complete(&mut self, key: &Key, segment: &Segment<'_>) -> Option<Completed> {
        let at = self.slot(key);
        let half = self.slots[at].as_ref().filter(|half| half.flow.key == *key)?;
        let begun = segment.seq.wrapping_sub(half.irs.wrapping_add(1));
        if segment.ack != half.iss.wrapping_add(1) || begun > u32::from(half.agreed.window) {
            return None;
        }
        let Half { iss, irs, agreed, .. } = self.slots[at].take()?;
        Some(Completed { iss, irs, agreed })
    }

    /// Forgets a handshake that the peer resets.
    pub fn reset(&mut self, key: &Key, seq: u32) {
        let at = self.slot(key);
        if self.slots[at].as_ref().is_some_and(|h| h.flow.key == *key && seq == h.irs.wrapping_add(1)) {
            self.slots[at] = None;
        }
    }

    /// When something is due.
    pub fn next(&self) -> Option<Time> {
        self.due.front().map(|(at, _)| *at)
    }

    /// A SYN/ACK that is due again at `now`: where it goes and its frame. `wait` says how long after the n-th repetition the
    /// next one comes; 0 is the first.
    pub fn again(
        &mut self,
        now: Time,
        wait: impl Fn(&Key, u8) -> Option<Time>,
    ) -> Option<(Key, [u8; FRAME], usize)> {
        while let Some((at, slot)) = self.due.front().copied().filter(|(at, _)| *at <= now) {
            self.due.pop_front();
            // A slot that was given to another handshake since is due at another time.
            let Some(half) = &mut self.slots[slot as usize] else { continue };
            let waited: Option<Time> = (0..=half.again).map(|n| wait(&half.flow.key, n)).sum();
            if waited.is_none_or(|waited| half.since + waited != at) {
                continue;
            }
            half.again += 1;
            let next = wait(&half.flow.key, half.again);
            let answer = (half.flow.key, half.frame, usize::from(half.length));
            if let Some(next) = next {
                self.schedule(at + next, slot);
            }
            return Some(answer);
        }
        None
    }

    fn schedule(&mut self, at: Time, slot: u32) {
        let place = self.due.partition_point(|(other, _)| *other <= at);
        self.due.insert(place, (at, slot));
    }

    /// Whether handshakes are being forgotten for lack of room, so that an acknowledgement that nobody knows may be honest.
    pub fn crowded(&self, now: Time) -> bool {
        self.forgot.is_some_and(|at| now - at < COOKIE_FOR)
    }

    fn slot(&self, key: &Key) -> usize {
        (self.hash(key, 0, 0) % self.slots.len() as u64) as usize
    }

    fn hash(&self, key: &Key, irs: u32, salt: u64) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.secret.0, self.secret.1);
        hash_address(key.local, &mut hasher);
        hash_address(key.peer, &mut hasher);
        hasher.write_u32(u32::from(key.port) << 16 | u32::from(key.peer_port));
        hasher.write_u32(irs);
        hasher.write_u64(salt);
        hasher.finish()
    }

    /// The sequence number that is `fresh` with a cookie in its lowest `room` bits.
    pub fn cookie(&self, now: Time, key: &Key, irs: u32, fresh: u32, room: u32, offer: &Offer) -> u32 {
        if room < LEAST_ROOM {
            return fresh;
        }
        self.cookie_of(now / COOKIE_FOR, key, irs, fresh, room, code(offer))
    }

    fn cookie_of(&self, epoch: Time, key: &Key, irs: u32, fresh: u32, room: u32, code: u8) -> u32 {
        let mask = low_bits(room);
        let high = fresh & !mask;
        // What the eight bits say is part of what is hashed, and they are hidden by other bits of the same hash: six numbers with one
        // code must not look like multiples of 256.
        let veil = self.hash(key, irs, (epoch as u64) << 32 | u64::from(high)) as u8;
        let code_salt = 1 << 63 | (epoch as u64 & 0xff_ffff) << 40 | u64::from(code) << 32 | u64::from(high);
        let proof = self.hash(key, irs, code_salt) as u32;
        high | ((proof << 8 | u32::from(code ^ veil)) & mask)
    }

    /// What the SYN offered whose answer carried a cookie that this acknowledges; `stamps` says whether the segment has time stamps.
    pub fn open_cookie(&self, now: Time, key: &Key, segment: &Segment<'_>, room: u32) -> Option<Offer> {
        if room < LEAST_ROOM {
            return None;
        }
        let (iss, irs) = (segment.ack.wrapping_sub(1), segment.seq.wrapping_sub(1));
        let high = iss & !low_bits(room);
        [0, 1].into_iter().map(|age| now / COOKIE_FOR - age).find_map(|epoch| {
            let veil = self.hash(key, irs, (epoch as u64) << 32 | u64::from(high)) as u8;
            let code = iss as u8 ^ veil;
            (self.cookie_of(epoch, key, irs, iss, room, code) == iss).then(|| offer(code, segment.stamps))
        })
    }
}

/// Eight bits of what was offered and at least as many of proof.
const LEAST_ROOM: u32 = 16;

fn low_bits(count: u32) -> u32 {
    u32::MAX.checked_shr(32 - count.min(32)).unwrap_or(0)
}

/// Segment sizes that a cookie can say; others are rounded down. The common ones of Ethernet, tunnels and DSL, and the default.
const SIZES: [u16; 8] = [256, 536, 1024, 1300, 1380, 1400, 1440, 1460];
const UNSCALED: u8 = 15;

fn code(offer: &Offer) -> u8 {
    let mss = offer.mss.unwrap_or(536);
    let size = SIZES.iter().rposition(|size| *size <= mss).unwrap_or(0) as u8;
    let scale = offer.scale.map_or(UNSCALED, |scale| scale.min(14));
    size << 5 | scale << 1 | u8::from(offer.has(kind::SACK_OK))
}

fn offer(code: u8, stamps: Option<(u32, u32)>) -> Offer {
    let scale = Some(code >> 1 & 15).filter(|scale| *scale != UNSCALED);
    let mut kinds = vec![kind::MSS];
    kinds.extend((code & 1 == 1).then_some(kind::SACK_OK));
    kinds.extend(stamps.map(|_| kind::STAMP));
    kinds.extend(scale.map(|_| kind::SCALE));
    let (stamp, stamp_echo) = stamps.unwrap_or_default();
    Offer { kinds, mss: Some(SIZES[usize::from(code >> 5)]), scale, stamp, stamp_echo, ecn: false }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::limits::SECOND;

    fn key(peer_port: u16) -> Key {
        let [local, peer] = [[192, 0, 2, 1], [203, 0, 113, 9]].map(IpAddr::from);
        Key { host: 0, local, peer, port: 80, peer_port }
    }

    fn acknowledgement(iss: u32, irs: u32) -> Segment<'static> {
        let (seq, ack) = (irs.wrapping_add(1), iss.wrapping_add(1));
        Segment { seq, ack, flags: 16, window: 100, stamps: None, payload: b"" }
    }

    #[test]
    fn a_cookie_brings_back_what_was_offered() {
        let half = HalfOpen::new((1, 2));
        for (room, scale, mss) in [(32, Some(7), 1460), (16, None, 1200), (24, Some(0), 65_535)] {
            let given =
                Offer { kinds: vec![kind::MSS, kind::SACK_OK], mss: Some(mss), scale, ..Offer::default() };
            let iss = half.cookie(70 * SECOND, &key(1025), 99, 0x1234_5678, room, &given);
            assert_eq!(iss & !low_bits(room), 0x1234_5678 & !low_bits(room), "the counter's bits stay");
            let back = half.open_cookie(100 * SECOND, &key(1025), &acknowledgement(iss, 99), room).unwrap();
            assert_eq!((back.scale, back.has(kind::SACK_OK)), (scale, true));
            assert!(back.mss <= given.mss && back.mss >= Some(1024));
            assert_eq!(
                half.open_cookie(300 * SECOND, &key(1025), &acknowledgement(iss, 99), room),
                None,
                "old"
            );
        }
    }

    /// With eight bits of proof one in 256 is taken, with 24 none of these.
    #[test]
    fn numbers_that_were_never_sent_open_nothing() {
        let half = HalfOpen::new((1, 2));
        let opened = |room| {
            let tries = (0..20_000u32).map(|i| acknowledgement(i.wrapping_mul(0x9e37_79b9), 7));
            tries.filter(|s| half.open_cookie(SECOND, &key(1025), s, room).is_some()).count()
        };
        assert_eq!(opened(32), 0);
        assert!((40..280).contains(&opened(16)), "{}", opened(16));
    }

    #[test]
    fn numbers_with_a_cookie_have_no_common_divisor() {
        let half = HalfOpen::new((3, 4));
        let offer = Offer { mss: Some(1460), ..Offer::default() };
        let all: Vec<u32> =
            (0..6).map(|i| half.cookie(0, &key(1025 + i), 1, 0x10_0000 * u32::from(i), 16, &offer)).collect();
        let divisor = all.windows(2).map(|w| w[1].wrapping_sub(w[0])).fold(0, |a, b| {
            let (mut a, mut b) = (a, b);
            while b != 0 {
                (a, b) = (b, a % b);
            }
            a
        });
        assert!(divisor < 8, "{divisor}");
    }

    #[test]
    fn an_answer_is_sent_again_until_it_is_acknowledged() {
        let mut half = HalfOpen::new((1, 2));
        let agreed = Agreed::of(&Offer::default(), &crate::persona::Reaction::default());
        let flow = |port| Flow { key: key(port), mac: [2; 6] };
        let wait = |_: &Key, n: u8| (n < 2).then_some(3 * SECOND);
        for port in [1025, 1026] {
            let handshake = Completed { iss: 5, irs: 9, agreed };
            half.remember(SECOND, flow(port), handshake, b"frame", Some(3 * SECOND));
        }
        assert!(half.complete(&key(1026), &acknowledgement(6, 9)).is_none());
        assert!(half.complete(&key(1026), &acknowledgement(5, 9)).is_some());
        assert_eq!(half.next(), Some(4 * SECOND));
        assert!(half.again(4 * SECOND - 1, wait).is_none());
        let (key, frame, length) = half.again(4 * SECOND, wait).unwrap();
        assert_eq!((key, &frame[..length]), (flow(1025).key, &b"frame"[..]));
        assert!(half.again(7 * SECOND, wait).is_some());
        assert!(half.again(100 * SECOND, wait).is_none() && half.next().is_none());
    }
}
