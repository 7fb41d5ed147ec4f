//! IPv4 headers (RFC 791), as a view.

use std::net::Ipv4Addr;

use crate::be16;

/// An IPv4 packet with a readable header: the length is right, nothing more is promised.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4View<'a>(&'a [u8]);

impl<'a> Ipv4View<'a> {
    /// A view of `bytes`, or nothing where the version is wrong or the header does not fit.
    #[inline]
    pub fn checked(bytes: &'a [u8]) -> Option<Self> {
        let first = *bytes.first()?;
        let header = usize::from(first & 0x0f) * 4;
        (first >> 4 == 4 && header >= 20 && bytes.len() >= header).then_some(Ipv4View(bytes))
    }

    /// Header length in bytes, options included.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.0[0] & 0x0f) * 4
    }

    /// Total length as sent; 0 where segmentation was left to the network card.
    #[inline]
    pub fn total_len(&self) -> u16 {
        be16(self.0, 2).unwrap_or_default()
    }

    /// Identification.
    #[inline]
    pub fn id(&self) -> u16 {
        be16(self.0, 4).unwrap_or_default()
    }

    /// More fragments follow.
    #[inline]
    pub fn more_fragments(&self) -> bool {
        self.0[6] & 0x20 != 0
    }

    /// Don't fragment.
    #[inline]
    pub fn dont_fragment(&self) -> bool {
        self.0[6] & 0x40 != 0
    }

    /// Fragment offset in bytes.
    #[inline]
    pub fn fragment_offset(&self) -> u32 {
        u32::from(be16(self.0, 6).unwrap_or_default() & 0x1fff) * 8
    }

    /// Time to live.
    #[inline]
    pub fn ttl(&self) -> u8 {
        self.0[8]
    }

    /// Protocol number.
    #[inline]
    pub fn protocol(&self) -> u8 {
        self.0[9]
    }

    /// Sender.
    #[inline]
    pub fn src(&self) -> Ipv4Addr {
        Ipv4Addr::new(self.0[12], self.0[13], self.0[14], self.0[15])
    }

    /// Receiver.
    #[inline]
    pub fn dst(&self) -> Ipv4Addr {
        Ipv4Addr::new(self.0[16], self.0[17], self.0[18], self.0[19])
    }

    /// Raw options.
    pub fn options(&self) -> &'a [u8] {
        &self.0[20..self.header_len()]
    }

    /// What follows the header, as far as it was captured: padding of the link layer is cut off at
    /// the total length, a total length of 0 means to the end.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        let (start, total) = (self.header_len(), usize::from(self.total_len()));
        let end = if total == 0 { self.0.len() } else { total.clamp(start, self.0.len()) };
        &self.0[start..end]
    }
}
