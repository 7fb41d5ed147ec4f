//! Ethernet frames, in and out.

/// Ethernet addresses.
pub type Mac = [u8; 6];

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const ARP: u16 = 0x0806;
pub(crate) const BROADCAST: Mac = [0xff; 6];

/// Frames on their way out, in order.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Frames {
    /// Forgets them.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// The frames.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The n-th of them.
    pub(crate) fn get(&self, n: usize) -> Option<&[u8]> {
        let start = n.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.bytes.get(start..*self.ends.get(n)?)
    }

    /// Takes the last one away.
    pub(crate) fn take_back(&mut self) {
        self.ends.pop();
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }

    pub(crate) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }
}

/// Destination, source, type and payload of a frame.
pub(crate) fn ethernet(frame: &[u8]) -> Option<(Mac, Mac, u16, &[u8])> {
    let (head, payload) = frame.split_first_chunk::<14>()?;
    let mac = |at: usize| -> Option<Mac> { head[at..at + 6].try_into().ok() };
    Some((mac(0)?, mac(6)?, u16::from_be_bytes([head[12], head[13]]), payload))
}
