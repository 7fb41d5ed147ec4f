//! A decoy host: frames and time go in, frames come out. No socket, no clock, no randomness but the seed.
//!
//! A [`Persona`] says how a system answers: every bit of it, in every layer. A [`Host`] is a persona with addresses, ports and
//! the little that it has to remember: how far its counters are. Everything here answers one packet at a time and keeps nothing
//! about whom it answered, so a flood costs no memory.

pub mod host;
pub mod layout;
pub mod nmap;
pub mod numbers;
pub mod persona;
pub mod text;

pub use host::{Frames, Host, Wiring};
pub use persona::Persona;
