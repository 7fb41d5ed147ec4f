//! TCP (RFC 9293): handshakes that cost nothing, connections that are bounded.

pub(crate) mod connection;
pub(crate) mod half_open;
mod reassembly;

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use trapline_wire::tcp::{TcpView, flags};

use crate::frames::Mac;
use crate::layout::{Item, Offer};
use crate::persona::Reaction;

/// Which connection: a host, by its place among the decoys and its address, and a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The host's place.
    pub host: u32,
    /// The host's address.
    pub local: IpAddr,
    /// The peer.
    pub peer: IpAddr,
    /// The host's port.
    pub port: u16,
    /// The peer's port.
    pub peer_port: u16,
}

/// In as few words as it has: every frame's key is hashed, most are of IPv4.
impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hash_address(self.local, hasher);
        hash_address(self.peer, hasher);
        let ports = u64::from(self.port) << 16 | u64::from(self.peer_port);
        hasher.write_u64(u64::from(self.host) << 32 | ports);
    }
}

/// Hashes an address; the derived way hashes its family and its length too.
pub(crate) fn hash_address<H: Hasher>(address: IpAddr, hasher: &mut H) {
    match address {
        IpAddr::V4(address) => hasher.write_u32(address.to_bits()),
        IpAddr::V6(address) => hasher.write(&address.octets()),
    }
}

/// A connection and the way to its peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub key: Key,
    /// Where frames for the peer go.
    pub mac: Mac,
}

/// A segment that came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    /// As sent, not scaled.
    pub window: u16,
    /// Time stamp and echo.
    pub stamps: Option<(u32, u32)>,
    pub payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Reads a segment whose header is whole.
    pub fn read(tcp: &TcpView<'a>) -> Option<Self> {
        tcp.header()?;
        Some(Segment {
            seq: tcp.seq()?,
            ack: tcp.ack()?,
            flags: tcp.flags()?,
            window: tcp.window()?,
            stamps: stamps(tcp.options()),
            payload: tcp.payload(),
        })
    }

    pub fn has(&self, bit: u8) -> bool {
        self.flags & bit != 0
    }

    /// How much sequence space it takes.
    pub fn length(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.has(flags::SYN)) + u32::from(self.has(flags::FIN))
    }
}

/// The time stamps among options; of most segments they are the only option, laid out as RFC 7323's appendix A recommends.
fn stamps(options: &[u8]) -> Option<(u32, u32)> {
    if let [1, 1, 8, 10, a, b, c, d, e, f, g, h] = *options {
        return Some((u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])));
    }
    if options.is_empty() {
        return None;
    }
    let offer = Offer::read(options, false);
    offer.has(trapline_wire::observation::kind::STAMP).then_some((offer.stamp, offer.stamp_echo))
}

/// What a handshake agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// Payload of a full segment to the peer, in bytes.
    pub mss: u16,
    /// Shift of the windows that the peer sends.
    pub peer_scale: u8,
    /// Shift of the windows that we send.
    pub own_scale: u8,
    /// Whether selective acknowledgements may be sent.
    pub sack: bool,
    /// Whether segments carry time stamps.
    pub stamps: bool,
    /// The peer's stamp.
    pub their_stamp: u32,
    /// Our receive window, in bytes.
    pub window: u16,
}

/// Bytes of the time stamps among a segment's options.
const STAMP_BYTES: u16 = 12;

impl Agreed {
    /// What follows from an offer and its answer.
    pub fn of(offer: &Offer, answer: &Reaction) -> Agreed {
        let has = |wanted: fn(&Item) -> bool| answer.options.iter().any(wanted);
        let own_scale = answer.options.iter().find_map(|item| match item {
            Item::Scale(shift) => Some(*shift),
            _ => None,
        });
        let scaled = own_scale.zip(offer.scale);
        let own_mss = answer.options.iter().find_map(|item| match item {
            Item::Mss(mss) => Some(*mss),
            _ => None,
        });
        use trapline_wire::observation::kind::{SACK_OK, STAMP};
        let stamps = offer.has(STAMP) && has(|item| matches!(item, Item::Stamps { .. }));
        // RFC 9293 3.7.1: 536 where nothing is said; below 64 nobody's link is.
        let mss = offer.mss.unwrap_or(536).min(own_mss.unwrap_or(1460)).max(64);
        Agreed {
            mss: if stamps { mss - STAMP_BYTES } else { mss },
            peer_scale: scaled.map_or(0, |(_, theirs)| theirs.min(14)),
            own_scale: scaled.map_or(0, |(own, _)| own.min(14)),
            sack: offer.has(SACK_OK) && has(|item| matches!(item, Item::Sack)),
            stamps,
            their_stamp: offer.stamp,
            window: answer.window,
        }
    }
}

/// Whether `a` comes before `b` in sequence space.
pub(crate) fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Whether `a` comes no later than `b`.
pub(crate) fn at_most(a: u32, b: u32) -> bool {
    !before(b, a)
}
