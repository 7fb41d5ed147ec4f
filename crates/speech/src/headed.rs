//! Connections whose messages are a head and then a body: HTTP, RTSP and SIP are read by this, each with a [`Manner`] of its own.
//!
//! A head waits in the dialogue until it is whole. It is kept while its body comes, because a message is given out when it is
//! complete; of the body only the hash is kept, so one of any length costs nothing but time.

use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::headers::end_of_head;
use crate::limits::HELD;
use crate::lines::{bare, end_of_line, word};
use crate::message::{Match, Message, Parser, Side};

/// What a protocol of heads and bodies adds.
pub trait Manner {
    /// Whether `bytes` begin as a message of `side`.
    fn begins(side: Side, bytes: &[u8]) -> Match;

    /// How long the head at the front of `bytes` is, where it is whole.
    fn split(_side: Side, bytes: &[u8]) -> Option<usize> {
        end_of_head(bytes)
    }

    /// The message of a head.
    fn message(side: Side, head: &[u8]) -> Message;

    /// What follows a head. Each is asked about once, in order.
    fn framing(&mut self, side: Side, head: &[u8]) -> Framing;

    /// Whether a body that `side` announced and has not begun may never come.
    fn is_doubtful(&self, _side: Side) -> bool {
        false
    }

    /// How long the piece of something else is that begins here in the place of a message: 0 where that is not known yet.
    fn other(_input: &[u8]) -> Option<usize> {
        None
    }

    /// Whether the connection has become something else, so that the rest is not read by this.
    fn is_over(&self) -> bool {
        false
    }
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Framing {
    /// The next message.
    Nothing,
    /// So many bytes.
    Length(u64),
    /// Chunks (RFC 9112, 7.1).
    Chunks,
    /// Whatever comes until the end of the connection.
    ToEnd,
}

/// Both directions of a connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Headed {
    halves: [Half; 2],
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Half {
    state: State,
    pending: Option<Box<Pending>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// A message begins here.
    #[default]
    Start,
    /// Nothing we know: over at the next line.
    Line,
    /// The rest of a head that is too long; bytes so far of its line.
    Rest(u64, Framing),
    /// So many bytes of a body.
    Body(u64),
    /// The line that tells how long a chunk is.
    ChunkSize,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// Lines behind the last chunk.
    Trailer,
    /// The body goes on until the end.
    ToEnd,
    /// So many bytes of something else.
    Other(u64),
}

/// A message whose body still comes.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pending {
    head: Vec<u8>,
    hash: Hash,
    cut: bool,
}

/// A connection that is nothing but heads and bodies.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Only<M> {
    headed: Headed,
    manner: M,
}

impl<M: Manner> Parser for Only<M> {
    fn read(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> usize {
        self.headed.read(&mut self.manner, side, input, out)
    }

    fn gap(&mut self, side: Side) {
        self.headed.gap(side);
    }

    fn end(&mut self, side: Side, rest: &[u8], out: &mut Vec<Message>) {
        self.headed.end(&mut self.manner, side, rest, out);
    }

    fn held(&self) -> usize {
        self.headed.held()
    }
}

impl Headed {
    /// As [`crate::Parser::read`].
    pub fn read<M: Manner>(
        &mut self,
        manner: &mut M,
        side: Side,
        input: &[u8],
        out: &mut Vec<Message>,
    ) -> usize {
        let mut at = 0;
        while at < input.len() && !manner.is_over() {
            match self.halves[side.index()].step(manner, side, &input[at..], out) {
                Some(taken) => at += taken,
                None => break,
            }
        }
        at
    }

    /// As [`crate::Parser::gap`]: a body of which bytes are missing is over.
    pub fn gap(&mut self, side: Side) {
        let half = &mut self.halves[side.index()];
        half.state = State::Start;
        if let Some(pending) = &mut half.pending {
            pending.cut = true;
        }
    }

    /// As [`crate::Parser::end`].
    pub fn end<M: Manner>(&mut self, manner: &mut M, side: Side, rest: &[u8], out: &mut Vec<Message>) {
        let at = self.read(manner, side, rest, out);
        let half = &mut self.halves[side.index()];
        let left = rest[at..].trim_ascii_start();
        half.give::<M>(side, out);
        if half.state == State::Start && !left.is_empty() && M::begins(side, left) != Match::No {
            manner.framing(side, left);
            out.push(M::message(side, left));
        }
        half.state = State::Start;
    }

    /// Bytes of heads that are kept.
    pub fn held(&self) -> usize {
        self.halves.iter().flat_map(|h| &h.pending).map(|p| p.head.len()).sum()
    }
}

impl Half {
    /// Takes something off the front of `input`, which is not empty: how many bytes, 0 where only the state changed, `None` where
    /// more must come first.
    fn step<M: Manner>(
        &mut self,
        manner: &mut M,
        side: Side,
        input: &[u8],
        out: &mut Vec<Message>,
    ) -> Option<usize> {
        match self.state {
            State::Start => self.start(manner, side, input, out),
            State::Line => {
                let line = end_of_line(input);
                self.state = if line.is_some() { State::Start } else { State::Line };
                Some(line.map_or(input.len(), |at| at + 1))
            }
            State::Rest(so_far, framing) => Some(self.rest_of_head::<M>(so_far, framing, side, input, out)),
            State::Body(left) => {
                if manner.is_doubtful(side) && self.pending.as_ref().is_some_and(|p| p.hash.bytes() == 0) {
                    match M::begins(side, input) {
                        Match::Yes => {
                            self.give::<M>(side, out);
                            self.state = State::Start;
                            return Some(0);
                        }
                        Match::Maybe if input.len() < HELD => return None,
                        _ => {}
                    }
                }
                let (taken, left) = self.part(left, input);
                self.state = State::Body(left);
                if left == 0 {
                    self.give::<M>(side, out);
                    self.state = State::Start;
                }
                Some(taken)
            }
            State::ChunkSize => self.chunk_size::<M>(side, input, out),
            State::Chunk(left) => {
                let (taken, left) = self.part(left, input);
                self.state = if left == 0 { State::ChunkSize } else { State::Chunk(left) };
                Some(taken)
            }
            State::Trailer => match end_of_line(input) {
                Some(at) => {
                    if input[..at].iter().all(|b| *b == b'\r') {
                        self.give::<M>(side, out);
                        self.state = State::Start;
                    }
                    Some(at + 1)
                }
                None => (input.len() >= HELD).then_some(HELD / 2),
            },
            State::ToEnd => Some(self.part(u64::MAX, input).0),
            State::Other(left) => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let left = left - taken as u64;
                self.state = if left == 0 { State::Start } else { State::Other(left) };
                Some(taken)
            }
        }
    }

    /// Passes over a line of a head that is too long, of which `so_far` bytes came before.
    fn rest_of_head<M: Manner>(
        &mut self,
        so_far: u64,
        framing: Framing,
        side: Side,
        input: &[u8],
        out: &mut Vec<Message>,
    ) -> usize {
        let line = end_of_line(input);
        let taken = line.unwrap_or(input.len());
        let so_far = so_far + input[..taken].iter().filter(|b| **b != b'\r').count() as u64;
        match (line, so_far) {
            (None, _) => self.state = State::Rest(so_far, framing),
            (Some(_), 0) => self.body::<M>(framing, side, out),
            (Some(_), _) => self.state = State::Rest(0, framing),
        }
        taken + usize::from(line.is_some())
    }

    /// The line that says how long a chunk is. Where it does not, nobody knows where the body ends, and what comes is looked
    /// through for the next message.
    fn chunk_size<M: Manner>(&mut self, side: Side, input: &[u8], out: &mut Vec<Message>) -> Option<usize> {
        let size = match end_of_line(input) {
            Some(at) => (chunk_size(&input[..at]), at + 1),
            None if input.len() < HELD => return None,
            None => (Size::Bad, 0),
        };
        self.state = match size.0 {
            Size::None => State::ChunkSize,
            Size::Of(0) => State::Trailer,
            Size::Of(n) => State::Chunk(n),
            Size::Bad => {
                self.give::<M>(side, out);
                State::Line
            }
        };
        Some(if self.state == State::Line { 0 } else { size.1 })
    }

    /// Adds to the body as much as it has `left` and as there is: how much that is, and what is left then.
    fn part(&mut self, left: u64, input: &[u8]) -> (usize, u64) {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        if let Some(pending) = &mut self.pending {
            pending.hash.add(&input[..taken]);
        }
        (taken, left - taken as u64)
    }

    fn start<M: Manner>(
        &mut self,
        manner: &mut M,
        side: Side,
        input: &[u8],
        out: &mut Vec<Message>,
    ) -> Option<usize> {
        // Empty lines before a message are none of it (RFC 9112, 2.2; RFC 5626, 3.5.1).
        if matches!(input[0], b'\r' | b'\n') {
            return Some(1);
        }
        if let Some(length) = M::other(input) {
            if length > 0 {
                self.state = State::Other(length as u64);
            }
            return (length > 0).then_some(0);
        }
        let input = &input[..input.len().min(HELD)];
        let whole_line = input.contains(&b'\n');
        match M::begins(side, input) {
            Match::Yes => {}
            Match::No => {
                self.state = State::Line;
                return Some(0);
            }
            _ if whole_line => {}
            _ if input.len() < HELD => return None,
            _ => {
                self.state = State::Line;
                return Some(0);
            }
        }
        let split = M::split(side, input);
        if split.is_none() && input.len() < HELD {
            return None;
        }
        self.give::<M>(side, out);
        let head = &input[..split.unwrap_or(input.len())];
        let framing = manner.framing(side, head);
        if split.is_some() && matches!(framing, Framing::Nothing | Framing::Length(0)) {
            out.push(M::message(side, head));
            return Some(head.len());
        }
        let pending = Pending { head: head.to_vec(), hash: Hash::default(), cut: split.is_none() };
        self.pending = Some(Box::new(pending));
        match split {
            Some(_) => self.body::<M>(framing, side, out),
            None => self.state = State::Rest(0, framing),
        }
        if split.is_none() && !head.ends_with(b"\n") {
            self.state = State::Rest(1, framing);
        }
        Some(head.len())
    }

    /// The head is over.
    fn body<M: Manner>(&mut self, framing: Framing, side: Side, out: &mut Vec<Message>) {
        self.state = match framing {
            Framing::Nothing | Framing::Length(0) => {
                self.give::<M>(side, out);
                State::Start
            }
            Framing::Length(n) => State::Body(n),
            Framing::Chunks => State::ChunkSize,
            Framing::ToEnd => State::ToEnd,
        };
    }

    /// Gives out the message whose body is over.
    fn give<M: Manner>(&mut self, side: Side, out: &mut Vec<Message>) {
        if let Some(pending) = self.pending.take() {
            let mut message = M::message(side, &pending.head);
            message.cut |= pending.cut;
            message.body = (pending.hash.bytes() > 0).then(|| pending.hash.body());
            out.push(message);
        }
    }
}

enum Size {
    /// An empty line: the end of the chunk before.
    None,
    Of(u64),
    Bad,
}

/// The number at the front of `1a;name=value`.
fn chunk_size(line: &[u8]) -> Size {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Size::None;
    }
    let digits = line.split(|b| matches!(b, b';' | b' ' | b'\t')).next().unwrap_or_default();
    let number = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
    number.and_then(|d| u64::from_str_radix(d, 16).ok()).map_or(Size::Bad, Size::Of)
}
/// Whether a request begins so: a line that starts with one of the methods, and of which `is_own`, given the whole line and what
/// follows the method, knows that it is of this protocol.
pub fn request(bytes: &[u8], methods: &[&[u8]], is_own: impl Fn(&[u8], &[u8]) -> bool) -> Match {
    let bytes = bytes.trim_ascii_start();
    if bytes.is_empty() {
        return Match::No;
    }
    let end = end_of_line(bytes);
    let line = bare(&bytes[..end.unwrap_or(bytes.len())]);
    let (method, rest) = word(line);
    let separated = method.len() < line.len();
    let is = |m: &&[u8]| if separated { *m == method } else { m.starts_with(method) };
    match () {
        () if !methods.iter().any(is) => Match::No,
        () if separated && is_own(line, rest) => Match::Yes,
        () if end.is_some() => Match::No,
        () => Match::Maybe,
    }
}
