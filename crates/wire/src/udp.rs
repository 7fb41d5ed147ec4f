//! UDP headers (RFC 768), as a view.

/// A UDP header whose ports are there.
#[derive(Clone, Copy, Debug)]
pub struct UdpView<'a>(&'a [u8]);

impl<'a> UdpView<'a> {
    /// A view, or nothing where not even the ports fit.
    #[inline]
    pub fn checked(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() >= 4).then_some(UdpView(bytes))
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

    /// Payload as far as it was captured.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.0.get(8..).unwrap_or_default()
    }
}
