//! What a service is: a state machine; bytes in, bytes and records out.

use std::net::{IpAddr, Ipv4Addr};

use trapline_wire::Time;

use crate::accept::Accept;
use crate::record::{Said, Text};
use crate::site::Site;

/// What happened on a service's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// It is open.
    Opened,
    /// The peer said this; a message may come in any pieces.
    Heard(&'a [u8]),
    /// The peer says no more.
    Ended,
    /// The time has come that the service asked for.
    Woken,
    /// The service's data connection is open.
    DataOpened,
    /// The peer said this on the data connection.
    DataHeard(&'a [u8]),
    /// The data connection is over: the peer says no more there, or it never came to be.
    DataEnded,
    /// Everything that the service said on the data connection has been acknowledged, after it closed its side.
    DataSaid,
    /// The connection is gone: only records and files count of what the service does now.
    Gone,
}

/// The host's side of one connection.
pub trait Service: Send + std::fmt::Debug {
    /// Takes what happened and says through `turn` what follows.
    fn on(&mut self, event: Event<'_>, turn: &mut Turn<'_>);

    /// Bytes of the peer's that it holds: what counts against [`crate::limits::HELD_BYTES`].
    fn held(&self) -> usize;
}

/// What a service wants done.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub say: Vec<u8>,
    pub close: bool,
    pub reset: bool,
    pub wake_after: Option<Time>,
    pub idle_for: Option<Time>,
    pub data: DataOrders,
    pub records: Vec<Said>,
    pub uploads: Vec<(Text, u64, Vec<u8>)>,
    pub fetch: Option<Fetch>,
}

/// What a service wants done with its data connection.
#[derive(Debug, Default)]
pub(crate) struct DataOrders {
    pub expect: bool,
    pub connect: Option<(u16, u16)>,
    pub say: Vec<u8>,
    pub close: bool,
    pub drop: bool,
}

/// A file that a peer told the host to get by TFTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// From whom.
    pub server: IpAddr,
    /// The file's name there.
    pub file: Vec<u8>,
}

/// Something that there is so much of each second: what was not used is there later, up to a second's worth.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Budget {
    /// When as much as there can be was there last, had nothing been taken since.
    full_at: Time,
    /// How often there was none.
    pub refused: u64,
}

impl Budget {
    fn take(&mut self, now: Time) -> bool {
        const SECOND: Time = 1_000_000_000;
        const EACH: Time = SECOND / crate::limits::EXCHANGES as Time;
        let full_at = self.full_at.max(now);
        let may = full_at - now <= SECOND - EACH;
        if may {
            self.full_at = full_at + EACH;
        } else {
            self.refused += 1;
        }
        may
    }
}

/// One turn of a service: what it may know, and what it wants done.
#[derive(Debug)]
pub struct Turn<'a> {
    /// Now.
    pub now: Time,
    /// Whose connection this is.
    pub peer: IpAddr,
    /// The peer's port.
    pub peer_port: u16,
    /// The host's address.
    pub local: IpAddr,
    /// The host's port.
    pub port: u16,
    /// The host's Ethernet address.
    pub mac: crate::frames::Mac,
    /// What identifies the host.
    pub site: &'a Site,
    pub(crate) accept: &'a mut Accept,
    pub(crate) exchanges: &'a mut Budget,
    /// The port that a data connection would be expected at.
    pub(crate) data_port: u16,
    pub(crate) orders: &'a mut Orders,
}

impl Turn<'_> {
    /// Whether a key exchange may be made now; there are [`crate::limits::EXCHANGES`] each second.
    pub fn may_exchange(&mut self) -> bool {
        self.exchanges.take(self.now)
    }

    /// The host's address for protocols that know four bytes only: 0.0.0.0 for a visitor over IPv6, as servers say there.
    pub fn local_v4(&self) -> Ipv4Addr {
        match self.local {
            IpAddr::V4(address) => address,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        }
    }

    /// Says this.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.orders.say.extend_from_slice(bytes.as_ref());
    }

    /// Says no more.
    pub fn close(&mut self) {
        self.orders.close = true;
    }

    /// Breaks the connection off.
    pub fn reset(&mut self) {
        self.orders.reset = true;
    }

    /// Asks to be woken; a later request takes the place of an earlier one.
    pub fn wake_after(&mut self, time: Time) {
        self.orders.wake_after = Some(time);
    }

    /// How long the peer may be silent from now on.
    pub fn idle_for(&mut self, time: Time) {
        self.orders.idle_for = Some(time);
    }

    /// Records what the peer did.
    pub fn record(&mut self, said: Said) {
        self.orders.records.push(said);
    }

    /// Records a command.
    pub fn command(&mut self, line: &[u8]) {
        self.record(Said::Command { line: line.into() });
    }

    /// Records bytes that the service makes nothing of, as far as they are kept.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let data = bytes[..bytes.len().min(crate::limits::RECORDED)].into();
        self.record(Said::Bytes { data, bytes: bytes.len() as u64 });
    }

    /// Records what was left of a line when the connection went.
    pub fn unfinished(&mut self, lines: &mut Lines) {
        let left = lines.drain();
        if !left.is_empty() {
            self.command(&left);
        }
    }

    /// Whether this name and password are let in, by the host's policy; recorded either way.
    pub fn login(&mut self, user: &[u8], password: &[u8]) -> bool {
        let accepted = self.accept.accepts(self.site, self.now, self.peer, user, password);
        let (user, password) = (user.into(), Some(password.into()));
        self.record(Said::Login { user, password, accepted });
        accepted
    }

    /// As [`Turn::login`], for a proof of a password that depends on a challenge.
    pub fn login_proof(&mut self, user: &[u8], proof: &[u8]) -> bool {
        let accepted = self.accept.accepts_proof(self.site, self.now, self.peer, user, proof);
        let (user, password) = (user.into(), Some(proof.into()));
        self.record(Said::Login { user, password, accepted });
        accepted
    }

    /// Keeps a file that the peer left; `bytes` is its whole length, of which `kept` may be the beginning.
    pub fn keep(&mut self, name: &[u8], bytes: u64, kept: Vec<u8>) {
        self.orders.uploads.push((name.into(), bytes, kept));
    }

    /// Expects the peer at a port of its own, and returns that port.
    pub fn expect_data(&mut self) -> u16 {
        self.orders.data = DataOrders { expect: true, ..DataOrders::default() };
        self.data_port
    }

    /// Connects to a port of the peer itself, never to anybody else.
    pub fn connect_data(&mut self, from: u16, to: u16) {
        self.orders.data = DataOrders { connect: Some((from, to)), ..DataOrders::default() };
    }

    /// Says this on the data connection.
    pub fn say_data(&mut self, bytes: impl AsRef<[u8]>) {
        self.orders.data.say.extend_from_slice(bytes.as_ref());
    }

    /// Says no more on the data connection.
    pub fn close_data(&mut self) {
        self.orders.data.close = true;
    }

    /// Has no use for the data connection any more.
    pub fn drop_data(&mut self) {
        self.orders.data.drop = true;
    }

    /// Gets a file, where the host is allowed to and only from the peer itself.
    pub fn fetch(&mut self, fetch: Fetch) {
        self.orders.fetch = Some(fetch);
    }
}

/// Cuts what a peer says into lines that end in LF or CR LF. A longer line than [`crate::limits::LINE`] is taken as ended there.
#[derive(Debug, Default)]
pub struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Takes bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
    }

    /// The next whole line, without its end.
    pub fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.begun.iter().take(crate::limits::LINE).position(|byte| *byte == b'\n');
        let (line, used) = match end {
            Some(end) => (end, end + 1),
            None if self.begun.len() >= crate::limits::LINE => (crate::limits::LINE, crate::limits::LINE),
            None => return None,
        };
        let rest = self.begun.split_off(used);
        let mut whole = std::mem::replace(&mut self.begun, rest);
        whole.truncate(line);
        if whole.last() == Some(&b'\r') {
            whole.pop();
        }
        Some(whole)
    }

    /// Bytes that wait for the end of their line, or to be read.
    pub fn held(&self) -> usize {
        self.begun.len()
    }

    /// What is there without the end of its line.
    pub fn begun(&self) -> &[u8] {
        &self.begun
    }

    /// Takes everything out, lines or not.
    pub fn drain(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_lasts_for_so_many_each_second_and_comes_back() {
        const SECOND: Time = 1_000_000_000;
        let most = crate::limits::EXCHANGES;
        let mut budget = Budget::default();
        let taken = |budget: &mut Budget, now| (0..1_000).filter(|_| budget.take(now)).count() as u32;
        assert_eq!(taken(&mut budget, SECOND), most);
        assert_eq!(taken(&mut budget, SECOND), 0);
        assert_eq!(taken(&mut budget, SECOND + SECOND / 2), most / 2);
        assert_eq!(taken(&mut budget, 100 * SECOND), most, "no more is kept than a second's");
        assert_eq!(u64::from(4_000 - most * 2 - most / 2), budget.refused);
    }
}
