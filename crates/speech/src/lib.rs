//! What two machines say to each other: bytes of a connection, or a datagram, to [`Message`]s.
//!
//! A [`Dialogue`] is one TCP connection. It hears the bytes of both ends in order, finds out by the bytes which protocol
//! is spoken (a port is only a hint), and hands them to that protocol's [`Parser`], one file each in
//! [`protocols`]. [`stream`] puts the segments of one direction in order before. [`datagram`] reads what stands alone.
//!
//! Invariants: no file, no socket, no clock. Everything is bounded ([`limits`]). All state is plain data that
//! serialises, so that intake can stop between two packets and go on in another run. Bytes that no parser
//! understands are data: kept as they are, never an error.

pub mod base64;
pub mod ber;
pub mod binary;
pub mod dialogue;
pub mod exercise;
pub mod fingerprint;
pub mod frames;
pub mod hash;
pub mod headed;
pub mod headers;
pub mod limits;
pub mod lines;
pub mod message;
pub mod ntlm;
pub mod protocols;
pub mod sasl;
pub mod stream;
#[cfg(test)]
mod testing;

pub use dialogue::{Dialogue, End, Heard};
pub use hash::Hash;
pub use message::{Body, Channel, Kind, Match, Message, Parser, Side};
pub use protocols::datagram;
