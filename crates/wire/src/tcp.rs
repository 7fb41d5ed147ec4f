//! TCP headers (RFC 9293), as a view.

use crate::{be16, be32};

/// The flag bits of byte 13.
pub mod flags {
    /// No more data from sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement field is valid.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer is valid.
    pub const URG: u8 = 0x20;
    /// ECN echo (RFC 3168).
    pub const ECE: u8 = 0x40;
    /// Congestion window reduced (RFC 3168).
    pub const CWR: u8 = 0x80;
}

/// A TCP header whose ports are there; later fields may be cut off.
#[derive(Clone, Copy, Debug)]
pub struct TcpView<'a>(&'a [u8]);

impl<'a> TcpView<'a> {
    /// A view, or nothing where not even the ports fit.
    #[inline]
    pub fn checked(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() >= 4).then_some(TcpView(bytes))
    }

    /// Source port.
    #[inline]
    pub fn src_port(&self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    /// Destination port.
    #[inline]
    pub fn dst_port(&self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    /// Sequence number.
    #[inline]
    pub fn seq(&self) -> Option<u32> {
        be32(self.0, 4)
    }

    /// Acknowledgement number.
    #[inline]
    pub fn ack(&self) -> Option<u32> {
        be32(self.0, 8)
    }

    /// Flags; see [`flags`].
    #[inline]
    pub fn flags(&self) -> Option<u8> {
        self.0.get(13).copied()
    }

    /// Window as sent.
    #[inline]
    pub fn window(&self) -> Option<u16> {
        be16(self.0, 14)
    }

    /// The header with its options, where its length makes sense and all of it was captured.
    #[inline]
    pub fn header(&self) -> Option<&'a [u8]> {
        let length = usize::from(self.0.get(12)? >> 4) * 4;
        if length < 20 { None } else { self.0.get(..length) }
    }

    /// Header length as sent, at least the 20 bytes that every header has.
    #[inline]
    pub fn header_len(&self) -> usize {
        self.0.get(12).map_or(20, |b| usize::from(b >> 4) * 4).max(20)
    }

    /// Raw options, every one kept as it came; empty where cut off.
    #[inline]
    pub fn options(&self) -> &'a [u8] {
        self.0.get(20..self.header_len()).unwrap_or_default()
    }

    /// Payload as far as it was captured.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.0.get(self.header_len()..).unwrap_or_default()
    }
}
