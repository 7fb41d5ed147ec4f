//! IPv6 headers and extension headers (RFC 8200), as a view.

use std::net::Ipv6Addr;

use crate::{be16, be32, protocol};

/// Real packets carry one or two extension headers; a longer chain is an attempt to tire us.
const MAX_EXTENSIONS: usize = 16;

/// An IPv6 packet with a readable fixed header.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6View<'a>(&'a [u8]);

/// What stands behind the extension headers.
#[derive(Clone, Copy, Debug)]
pub struct Upper<'a> {
    /// Protocol number of the payload, or of the extension header at which reading had to stop.
    pub protocol: u8,
    /// The payload; empty where a header was cut off.
    pub payload: &'a [u8],
    /// Length of the extension headers in bytes.
    pub extensions_len: usize,
    /// The fragment header's content, where there is one.
    pub fragment: Option<Fragment>,
}

/// A fragment's place in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification; 16 bits in IPv4, 32 in IPv6.
    pub id: u32,
    /// Offset in bytes.
    pub offset: u32,
    /// More fragments follow.
    pub more: bool,
}

impl<'a> Ipv6View<'a> {
    /// A view of `bytes`, or nothing where the version is wrong or the fixed header does not fit.
    #[inline]
    pub fn checked(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() >= 40 && bytes[0] >> 4 == 6).then_some(Ipv6View(bytes))
    }

    /// Length of what follows the fixed header, as sent; 0 for jumbograms and offloaded segments.
    pub fn payload_len(&self) -> u16 {
        be16(self.0, 4).unwrap_or_default()
    }

    /// The first header's protocol number.
    pub fn next_header(&self) -> u8 {
        self.0[6]
    }

    /// Hop limit.
    pub fn hop_limit(&self) -> u8 {
        self.0[7]
    }

    /// Sender.
    pub fn src(&self) -> Ipv6Addr {
        self.address(8)
    }

    /// Receiver.
    pub fn dst(&self) -> Ipv6Addr {
        self.address(24)
    }

    fn address(&self, at: usize) -> Ipv6Addr {
        let octets: [u8; 16] = self.0[at..at + 16].try_into().expect("the header was checked");
        Ipv6Addr::from(octets)
    }

    /// Everything behind the fixed header that belongs to the packet and was captured.
    pub fn payload(&self) -> &'a [u8] {
        let declared = usize::from(self.payload_len());
        let end = if declared == 0 { self.0.len() } else { (40 + declared).min(self.0.len()) };
        &self.0[40..end]
    }

    /// Walks the extension headers.
    pub fn upper(&self) -> Upper<'a> {
        let whole = self.payload();
        let mut upper =
            Upper { protocol: self.next_header(), payload: whole, extensions_len: 0, fragment: None };
        for _ in 0..MAX_EXTENSIONS {
            let header = upper.payload;
            let length = match upper.protocol {
                protocol::HOP_BY_HOP
                | protocol::ROUTING
                | protocol::DESTINATION_OPTIONS
                | protocol::MOBILITY
                | protocol::HIP
                | protocol::SHIM6 => header.get(1).map(|n| (usize::from(*n) + 1) * 8),
                protocol::AUTHENTICATION => header.get(1).map(|n| (usize::from(*n) + 2) * 4),
                protocol::FRAGMENT => Some(8),
                _ => return upper,
            };
            let Some(rest) = length.and_then(|n| header.get(n..)) else {
                upper.payload = &[];
                return upper;
            };
            if upper.protocol == protocol::FRAGMENT {
                let place = be16(header, 2).unwrap_or_default();
                upper.fragment = Some(Fragment {
                    id: be32(header, 4).unwrap_or_default(),
                    offset: u32::from(place & 0xfff8),
                    more: place & 1 == 1,
                });
            }
            upper.protocol = header[0];
            upper.payload = rest;
            upper.extensions_len = whole.len() - rest.len();
            if upper.fragment.is_some_and(|f| f.offset > 0) {
                // Behind a later fragment's header comes the middle of something, not a header.
                return upper;
            }
        }
        upper
    }
}
