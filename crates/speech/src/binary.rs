//! Reading fields off the front of bytes, for the protocols that are made of numbers and lengths.

/// Bytes to be read from the front; every read that does not fit gives `None` and takes nothing.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// So many bytes.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// One byte.
    pub fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    /// Two bytes in network order.
    pub fn be16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// Three bytes in network order.
    pub fn be24(&mut self) -> Option<u32> {
        let b = self.take(3)?;
        Some(u32::from_be_bytes([0, b[0], b[1], b[2]]))
    }

    /// Four bytes in network order.
    pub fn be32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// Two bytes, lowest first.
    pub fn le16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    /// Three bytes, lowest first.
    pub fn le24(&mut self) -> Option<u32> {
        let b = self.take(3)?;
        Some(u32::from_le_bytes([b[0], b[1], b[2], 0]))
    }

    /// Four bytes, lowest first.
    pub fn le32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    /// Bytes up to a NUL, which is taken too.
    pub fn until_nul(&mut self) -> Option<&'a [u8]> {
        let at = self.0.iter().position(|b| *b == 0)?;
        let taken = self.take(at)?;
        self.take(1)?;
        Some(taken)
    }

    /// A vector behind its length in one byte.
    pub fn vec8(&mut self) -> Option<Fields<'a>> {
        let mut after = *self;
        let length = usize::from(after.byte()?);
        let taken = after.take(length)?;
        *self = after;
        Some(Fields(taken))
    }

    /// A vector behind its length in two bytes of network order.
    pub fn vec16(&mut self) -> Option<Fields<'a>> {
        let mut after = *self;
        let length = usize::from(after.be16()?);
        let taken = after.take(length)?;
        *self = after;
        Some(Fields(taken))
    }
}

/// UTF-16, lowest byte first, as text; a byte too many at the end is left out.
pub fn utf16le(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let units = units.take(crate::limits::TEXT / 2).collect::<Vec<_>>();
    String::from_utf16_lossy(&units).trim_end_matches('\0').to_owned()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}
