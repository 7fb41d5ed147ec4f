//! One connection (RFC 9293 3.10), from the moment that it is real.
//!
//! Retransmission follows RFC 6298 with Karn's rule, loss is met by going back to the first byte that is missing (RFC 5681 and 6582
//! without limited transmit), windows are guarded on both sides against silliness (RFC 9293 3.8.6), time stamps against old
//! segments (RFC 7323 5). A reset counts where it lies in the window; a SYN there gets an acknowledgement (RFC 5961 4).

use std::collections::VecDeque;

use trapline_wire::Time;
use trapline_wire::tcp::flags::{ACK, FIN, PSH, RST, SYN};

use super::half_open::Completed;
use super::reassembly::Gaps;
use super::{Agreed, Flow, Segment, at_most, before};
use crate::host::Wire;
use crate::limits::{
    FIN_WAIT_FOR, FULL, RETRANSMISSIONS, ROOM_AGAIN, RTO, RTO_LEAST, RTO_MOST, STALLED_FOR, TIME_WAIT_FOR,
    UNACKNOWLEDGED,
};

/// The states of RFC 9293 3.3.2 that a connection of ours can be in; LISTEN and most of SYN-RECEIVED need no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
    Closed,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides closed.
    Closed,
    /// The peer reset it.
    ResetByPeer,
    /// The host reset it.
    Reset,
    /// The peer said nothing any more.
    GivenUp,
}

/// What a segment brought, besides bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Brought {
    /// The connection is open now.
    pub opened: bool,
    /// The peer says no more.
    pub ended: bool,
    /// Bytes that were dropped because too many before them are missing.
    pub dropped: usize,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub flow: Flow,
    pub state: State,
    pub end: Option<End>,
    agreed: Agreed,

    /// The oldest number that is not acknowledged.
    una: u32,
    /// The next number to send; after a loss it goes back.
    next: u32,
    /// One beyond the last number ever sent.
    sent: u32,
    /// Bytes from `una` on (from the one after it, while the SYN is not acknowledged).
    outgoing: VecDeque<u8>,
    closing: bool,
    peer_window: u32,
    peer_window_most: u32,
    /// Sequence and acknowledgement number of the segment that said the window (SND.WL1, SND.WL2).
    window_from: (u32, u32),
    congestion: u32,
    threshold: u32,
    duplicates: u8,
    /// While a loss is mended: what had been sent when it was seen.
    recover: Option<u32>,
    /// Whether the first segment that is not acknowledged is to be sent again.
    mend: bool,

    round_trip: Option<(Time, Time)>,
    rto: Time,
    /// A number whose acknowledgement is timed, and since when.
    timed: Option<(u32, Time)>,
    tries: u8,
    progress: Time,
    timer: Option<Time>,

    expected: u32,
    /// The number up to which the peer was told that it may send; it never goes back (RFC 9293 3.8.6.2.1).
    edge: u32,
    /// Whether so much waits for the peer to read that it may send no more.
    full: bool,
    gaps: Gaps,
    latest: u32,
    fin_at: Option<u32>,
    their_stamp: u32,
    acknowledged: u32,
    ack_due: bool,
}

impl Connection {
    /// A connection whose handshake an acknowledgement completes.
    pub fn accepted(now: Time, flow: Flow, handshake: Completed) -> Self {
        let Completed { iss, irs, agreed } = handshake;
        let mut connection = Connection::new(now, flow, iss, agreed);
        connection.state = State::Established;
        connection.una = iss.wrapping_add(1);
        connection.next = connection.una;
        connection.sent = connection.una;
        connection.expected = irs.wrapping_add(1);
        connection.acknowledged = connection.expected;
        connection.edge = connection.expected.wrapping_add(agreed.window.into());
        // Whatever acknowledges the SYN says the window: its numbers are newer than these.
        connection.window_from = (irs, iss);
        connection
    }

    /// A connection that the host asks for: its SYN is sent by the next [`Connection::flush`].
    pub fn asked_for(now: Time, flow: Flow, iss: u32, offered: Agreed) -> Self {
        Connection::new(now, flow, iss, offered)
    }

    fn new(now: Time, flow: Flow, iss: u32, agreed: Agreed) -> Self {
        let mss = u32::from(agreed.mss);
        Connection {
            flow,
            state: State::SynSent,
            end: None,
            agreed,
            una: iss,
            next: iss,
            sent: iss,
            outgoing: VecDeque::new(),
            closing: false,
            peer_window: 0,
            peer_window_most: 0,
            window_from: (0, 0),
            // RFC 6928 allows ten; systems of the paper's time began with two or three.
            congestion: 4 * mss,
            threshold: u32::MAX / 2,
            duplicates: 0,
            recover: None,
            mend: false,
            round_trip: None,
            rto: RTO,
            timed: None,
            tries: 0,
            progress: now,
            timer: None,
            expected: 0,
            edge: 0,
            full: false,
            gaps: Gaps::default(),
            latest: 0,
            fin_at: None,
            their_stamp: agreed.their_stamp,
            acknowledged: 0,
            ack_due: false,
        }
    }

    /// Bytes held for it.
    pub fn held(&self) -> usize {
        self.outgoing.len() + self.gaps.held()
    }

    /// Queues bytes for the peer; returns how many found no room or come after the close.
    pub fn say(&mut self, bytes: &[u8]) -> usize {
        let room = if self.closing { 0 } else { UNACKNOWLEDGED.saturating_sub(self.outgoing.len()) };
        let said = bytes.len().min(room);
        self.outgoing.extend(&bytes[..said]);
        bytes.len() - said
    }

    /// Bytes that the peer has not acknowledged.
    pub fn unsaid(&self) -> usize {
        self.outgoing.len()
    }

    /// Says no more after what is queued.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Ends it at once.
    pub fn reset(&mut self, wire: &mut Wire<'_>) {
        if !matches!(self.state, State::SynSent | State::TimeWait | State::Closed) {
            self.emit(wire, self.sent, RST | ACK, 0..0);
        }
        self.gone(End::Reset);
    }

    fn gone(&mut self, end: End) {
        self.state = State::Closed;
        self.end.get_or_insert(end);
        self.timer = None;
        self.outgoing = VecDeque::new();
        self.gaps = Gaps::default();
    }

    /// When it wants to be woken.
    pub fn timer(&self) -> Option<Time> {
        self.timer
    }

    /// Takes a segment: bytes that are in order are added to `got`. What is to be said in return, [`Connection::flush`] sends.
    pub fn on_segment(&mut self, segment: &Segment<'_>, wire: &mut Wire<'_>, got: &mut Vec<u8>) -> Brought {
        match self.state {
            State::Closed => Brought::default(),
            State::SynSent => self.answer_to_our_syn(segment, wire),
            _ => self.synchronised(segment, wire, got),
        }
    }

    fn answer_to_our_syn(&mut self, segment: &Segment<'_>, wire: &mut Wire<'_>) -> Brought {
        let mut brought = Brought::default();
        let acknowledges =
            segment.has(ACK) && segment.ack == self.una.wrapping_add(1) && self.sent != self.una;
        if segment.has(ACK) && !acknowledges {
            if !segment.has(RST) {
                self.emit(wire, segment.ack, RST, 0..0);
            }
            return brought;
        }
        if segment.has(RST) {
            if acknowledges {
                self.gone(End::ResetByPeer);
            }
            return brought;
        }
        if !segment.has(SYN) {
            return brought;
        }
        self.expected = segment.seq.wrapping_add(1);
        self.acknowledged = self.expected;
        self.edge = self.expected.wrapping_add(self.agreed.window.into());
        self.their_stamp = segment.stamps.map_or(0, |(stamp, _)| stamp);
        self.agreed.stamps &= segment.stamps.is_some();
        self.window_from = (segment.seq, segment.ack);
        self.see_window(u32::from(segment.window));
        self.ack_due = true;
        self.tries = 0;
        self.progress = wire.now;
        self.timer = None;
        if acknowledges {
            self.una = segment.ack;
            self.next = segment.ack;
            self.state = State::Established;
            brought.opened = true;
        } else {
            // Both sides asked at once (RFC 9293 figure 7): our SYN again, now with an acknowledgement.
            self.state = State::SynReceived;
            self.next = self.una;
        }
        brought
    }

    /// What the peer's SYN offered, of a connection that we asked for.
    pub fn agree(&mut self, agreed: Agreed) {
        self.agreed = Agreed { window: self.agreed.window, ..agreed };
    }

    fn synchronised(&mut self, segment: &Segment<'_>, wire: &mut Wire<'_>, got: &mut Vec<u8>) -> Brought {
        let mut brought = Brought::default();
        // A probe of a closed window may bring its byte.
        let window = self.window().max(1);
        let stamp = segment.stamps.filter(|_| self.agreed.stamps).map(|(stamp, _)| stamp);
        let old = stamp.is_some_and(|stamp| before(stamp, self.their_stamp)) && !segment.has(RST);
        let offset = segment.seq.wrapping_sub(self.expected);
        let end = segment.seq.wrapping_add(segment.length());
        // RFC 9293 3.10.7.4: begins in the window, or reaches into it from the left.
        let begins = offset < window;
        let reaches =
            segment.length() > 0 && before(segment.seq, self.expected) && before(self.expected, end);
        if old || !(begins || reaches) {
            self.ack_due |= !segment.has(RST);
            // The acknowledgement of a probe or of a segment that came twice still counts (RFC 9293 3.10.7.4).
            if !old && segment.has(ACK) && !segment.has(RST | SYN) && before(segment.seq, self.expected) {
                self.acknowledge(segment, wire.now);
                self.wait_for_the_end(wire.now);
            }
            return brought;
        }
        if segment.has(RST) {
            self.gone(End::ResetByPeer);
            return brought;
        }
        if segment.has(SYN) {
            self.ack_due = true;
            return brought;
        }
        if !segment.has(ACK) {
            return brought;
        }
        if let Some(stamp) = stamp
            && at_most(segment.seq, self.acknowledged)
        {
            self.their_stamp = stamp;
        }
        if self.state == State::SynReceived {
            if segment.ack != self.una.wrapping_add(1) {
                self.emit(wire, segment.ack, RST, 0..0);
                return brought;
            }
            self.state = State::Established;
            (self.una, self.next) = (segment.ack, segment.ack);
            self.timer = None;
            self.window_from = (segment.seq, segment.ack);
            self.see_window(u32::from(segment.window) << self.agreed.peer_scale);
            brought.opened = true;
        }
        if !self.acknowledge(segment, wire.now) {
            self.ack_due = true;
            return brought;
        }
        if matches!(self.state, State::Established | State::FinWait1 | State::FinWait2) {
            self.take(segment, window, got, &mut brought);
        } else if segment.length() > 0 {
            self.ack_due = true;
        }
        if brought.ended {
            self.expected = self.expected.wrapping_add(1);
            self.state = match self.state {
                State::Established => State::CloseWait,
                State::FinWait1 => State::Closing,
                _ => State::TimeWait,
            };
        }
        self.wait_for_the_end(wire.now);
        brought
    }

    /// States in which only time can be due.
    fn wait_for_the_end(&mut self, now: Time) {
        match self.state {
            State::TimeWait => {
                self.timer = Some(now + TIME_WAIT_FOR);
                self.end = Some(End::Closed);
            }
            State::FinWait2 => self.timer = Some(now + FIN_WAIT_FOR),
            _ => {}
        }
    }

    /// Takes the payload and the end.
    fn take(&mut self, segment: &Segment<'_>, window: u32, got: &mut Vec<u8>, brought: &mut Brought) {
        let known = if before(segment.seq, self.expected) {
            self.expected.wrapping_sub(segment.seq) as usize
        } else {
            0
        };
        let seq = segment.seq.wrapping_add(known as u32);
        let room = window.saturating_sub(seq.wrapping_sub(self.expected)) as usize;
        let payload = segment.payload.get(known..).unwrap_or_default();
        let whole = payload.len() <= room;
        let payload = &payload[..payload.len().min(room)];
        if segment.has(FIN) && whole {
            self.fin_at = Some(seq.wrapping_add(payload.len() as u32));
        }
        if segment.length() > 0 {
            self.ack_due = true;
        }
        if !payload.is_empty() {
            if seq == self.expected {
                got.extend_from_slice(payload);
                self.expected = seq.wrapping_add(payload.len() as u32);
                self.expected = self.gaps.release(self.expected, got);
            } else {
                self.latest = seq;
                if !self.gaps.keep(seq, payload) {
                    brought.dropped += payload.len();
                }
            }
        }
        brought.ended = self.fin_at == Some(self.expected);
    }

    /// Takes an acknowledgement and the window with it; false where it acknowledges what was never sent.
    fn acknowledge(&mut self, segment: &Segment<'_>, now: Time) -> bool {
        let ack = segment.ack;
        if before(self.sent, ack) {
            return false;
        }
        self.tries = 0;
        let window = u32::from(segment.window) << self.agreed.peer_scale;
        if before(self.una, ack) {
            self.advance(ack, now);
        } else if ack == self.una
            && self.sent != self.una
            && segment.length() == 0
            && window == self.peer_window
        {
            self.duplicate();
        }
        let (seq_from, ack_from) = self.window_from;
        if at_most(self.una, ack)
            && (before(seq_from, segment.seq) || (seq_from == segment.seq && at_most(ack_from, ack)))
        {
            let opened = self.peer_window == 0 && window > 0;
            self.window_from = (segment.seq, ack);
            self.see_window(window);
            if opened && self.sent != self.una {
                // What was sent into the closed window was only a probe.
                self.next = self.una;
            }
        }
        true
    }

    fn see_window(&mut self, window: u32) {
        self.peer_window = window;
        self.peer_window_most = self.peer_window_most.max(window);
    }

    /// The peer has everything before `ack`.
    fn advance(&mut self, ack: u32, now: Time) {
        let bytes = ack.wrapping_sub(self.una);
        let data = (bytes as usize).min(self.outgoing.len());
        let fin = bytes as usize > self.outgoing.len();
        self.outgoing.drain(..data);
        if self.outgoing.is_empty() && self.outgoing.capacity() > 4_096 {
            self.outgoing = VecDeque::new();
        }
        self.una = ack;
        if before(self.next, ack) {
            self.next = ack;
        }
        self.progress = now;
        self.duplicates = 0;
        if let Some((seq, since)) = self.timed
            && before(seq, ack)
        {
            self.timed = None;
            self.measured((now - since).max(0));
        }
        let mss = u32::from(self.agreed.mss);
        match self.recover {
            Some(recover) if before(ack, recover) => {
                // A partial acknowledgement: the next hole begins here (RFC 6582 3.2).
                self.mend = true;
            }
            Some(_) => {
                self.recover = None;
                self.congestion = self.threshold;
            }
            None if self.congestion < self.threshold => self.congestion += bytes.min(mss),
            None => self.congestion += (mss * mss / self.congestion.max(1)).max(1),
        }
        // What came through ends the back-off.
        self.rto = self
            .round_trip
            .map_or(RTO, |(smoothed, deviation)| smoothed + 4 * deviation)
            .clamp(RTO_LEAST, RTO_MOST);
        self.timer = (self.sent != self.una).then_some(now + self.rto);
        if fin {
            self.state = match self.state {
                State::FinWait1 => State::FinWait2,
                State::Closing => State::TimeWait,
                State::LastAck => {
                    self.gone(End::Closed);
                    State::Closed
                }
                other => other,
            };
        }
    }

    /// The same acknowledgement again: of the third one knows that a segment is lost.
    fn duplicate(&mut self) {
        self.duplicates = self.duplicates.saturating_add(1);
        if self.duplicates == 3 && self.recover.is_none() {
            let mss = u32::from(self.agreed.mss);
            self.threshold = (self.sent.wrapping_sub(self.una) / 2).max(2 * mss);
            self.congestion = self.threshold;
            self.recover = Some(self.sent);
            self.mend = true;
            self.timed = None;
        }
    }

    fn measured(&mut self, sample: Time) {
        let (smoothed, deviation) = match self.round_trip {
            None => (sample, sample / 2),
            Some((smoothed, deviation)) => {
                let apart = (smoothed - sample).abs();
                ((7 * smoothed + sample) / 8, (3 * deviation + apart) / 4)
            }
        };
        self.round_trip = Some((smoothed, deviation));
    }

    /// Sends what may be sent now, and an acknowledgement where one is due.
    pub fn flush(&mut self, wire: &mut Wire<'_>) {
        let was_full = self.full;
        self.full = self.outgoing.len() >= if was_full { ROOM_AGAIN } else { FULL };
        // A peer that was stopped is told that it may go on.
        self.ack_due |= was_full && !self.full;
        match self.state {
            State::Closed => return,
            State::SynSent | State::SynReceived => {
                if self.next == self.una {
                    let acknowledges = self.state == State::SynReceived;
                    self.send_syn(wire, acknowledges);
                    self.started(wire.now, 1);
                }
                self.ack_due = false;
                return;
            }
            State::TimeWait | State::FinWait2 => {}
            _ => self.send_data(wire),
        }
        if self.ack_due {
            self.emit(wire, self.sent, ACK, 0..0);
        }
    }

    /// What the peer may still send, in bytes. One that does not read what it gets may not say more, as where a server's write waits.
    fn offer(&mut self) -> u32 {
        let room = if self.full { 0 } else { self.agreed.window.into() };
        let edge = self.expected.wrapping_add(room);
        if before(self.edge, edge) {
            self.edge = edge;
        }
        self.window()
    }

    /// What the peer has been told that it may still send, in bytes.
    fn window(&self) -> u32 {
        if before(self.edge, self.expected) { 0 } else { self.edge.wrapping_sub(self.expected) }
    }

    fn send_data(&mut self, wire: &mut Wire<'_>) {
        let mss = u32::from(self.agreed.mss);
        let usable = self.peer_window.min(self.congestion);
        if std::mem::take(&mut self.mend) && self.sent != self.una {
            let next = std::mem::replace(&mut self.next, self.una);
            let size = (self.outgoing.len() as u32).min(mss).min(self.sent.wrapping_sub(self.una));
            self.send_piece(wire, 0, size);
            if before(self.next, next) {
                self.next = next;
            }
        }
        loop {
            let from = self.next.wrapping_sub(self.una);
            let unsent = (self.outgoing.len() as u32).saturating_sub(from);
            let size = unsent.min(mss).min(usable.saturating_sub(from));
            let fits = size == unsent || size == mss || size >= self.peer_window_most / 2;
            if size == 0 || !fits {
                break;
            }
            self.send_piece(wire, from as usize, size);
        }
        let all = self.next.wrapping_sub(self.una) == self.outgoing.len() as u32;
        if self.closing && all {
            self.send_piece(wire, self.outgoing.len(), 0);
        }
        let waits = self.sent != self.una || self.next.wrapping_sub(self.una) < self.outgoing.len() as u32;
        if waits && self.timer.is_none() {
            self.timer = Some(wire.now + self.rto);
        }
    }

    /// Sends a piece of what is outgoing, with the end of the stream where it is the last piece.
    fn send_piece(&mut self, wire: &mut Wire<'_>, from: usize, size: u32) {
        let last = from + size as usize == self.outgoing.len();
        let fin = last && self.closing;
        let bits = ACK | if last && size > 0 { PSH } else { 0 } | if fin { FIN } else { 0 };
        self.emit(wire, self.next, bits, from..from + size as usize);
        if fin {
            self.state = match self.state {
                State::Established => State::FinWait1,
                State::CloseWait => State::LastAck,
                other => other,
            };
        }
        self.started(wire.now, size + u32::from(fin));
    }

    /// `count` numbers more are on their way.
    fn started(&mut self, now: Time, count: u32) {
        let again = before(self.next, self.sent);
        self.next = self.next.wrapping_add(count);
        if before(self.sent, self.next) {
            self.sent = self.next;
        }
        if self.timed.is_none() && !again {
            self.timed = Some((self.next.wrapping_sub(1), now));
        }
        if self.timer.is_none() {
            self.timer = Some(now + self.rto);
        }
    }

    /// What is due at this time: something again, a probe of a closed window, or the end.
    pub fn on_time(&mut self, wire: &mut Wire<'_>) {
        if self.timer.is_none_or(|timer| timer > wire.now) {
            return;
        }
        self.timer = None;
        if matches!(self.state, State::TimeWait | State::FinWait2) {
            return self.gone(End::Closed);
        }
        let nothing_waits = self.sent == self.una && self.outgoing.is_empty() && !self.closing;
        if nothing_waits && !matches!(self.state, State::SynSent | State::SynReceived) {
            return;
        }
        self.tries += 1;
        if self.tries > RETRANSMISSIONS || wire.now - self.progress > STALLED_FOR {
            let silent = self.tries > RETRANSMISSIONS;
            self.reset(wire);
            self.end = Some(if silent { End::GivenUp } else { End::Reset });
            return;
        }
        self.rto = (self.rto * 2).min(RTO_MOST);
        self.timed = None;
        self.recover = None;
        self.mend = false;
        self.duplicates = 0;
        let mss = u32::from(self.agreed.mss);
        if self.peer_window > 0 {
            self.threshold = (self.sent.wrapping_sub(self.una) / 2).max(2 * mss);
            self.congestion = mss;
        }
        self.next = self.una;
        if matches!(self.state, State::SynSent | State::SynReceived) {
            return self.flush(wire);
        }
        if self.outgoing.is_empty() || self.peer_window > 0 && self.peer_window >= self.peer_window_most / 2 {
            self.send_data(wire);
        }
        if self.next == self.una {
            // The window is closed, or so small that it was not worth a segment.
            let size = self.outgoing.len().min(self.peer_window.clamp(1, mss) as usize) as u32;
            self.send_piece(wire, 0, size);
        }
        self.timer = Some(wire.now + self.rto);
    }

    fn send_syn(&mut self, wire: &mut Wire<'_>, acknowledges: bool) {
        let ack = if acknowledges { self.expected } else { 0 };
        let bits = SYN | if acknowledges { ACK } else { 0 };
        wire.syn(&self.flow, self.una, ack, bits, self.agreed.window, self.their_stamp);
    }

    fn emit(&mut self, wire: &mut Wire<'_>, seq: u32, bits: u8, piece: std::ops::Range<usize>) {
        let stamp = self.agreed.stamps.then_some(self.their_stamp);
        let (runs, count) = if self.agreed.sack && self.gaps.held() > 0 && bits & RST == 0 {
            self.gaps.runs(self.latest)
        } else {
            ([(0, 0); 3], 0)
        };
        let window = (self.offer() >> self.agreed.own_scale) as u16;
        let ack = if bits & ACK != 0 { self.expected } else { 0 };
        if piece.end > 0 {
            self.outgoing.make_contiguous();
        }
        let payload = self.outgoing.as_slices().0.get(piece).unwrap_or_default();
        // Runs and a full segment do not fit together.
        let fits = if payload.is_empty() { count } else { 0 };
        wire.segment(&self.flow, seq, ack, bits, window, stamp, &runs[..fits], payload);
        if bits & ACK != 0 {
            self.acknowledged = self.expected;
            self.ack_due = false;
        }
    }
}
