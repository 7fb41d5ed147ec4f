//! Decoy hosts: frames and time go in, frames and records come out. No socket, no clock, no randomness but the seed.
//!
//! A [`Persona`] says how a system answers: every bit of it, in every layer. A [`Host`] is a persona with addresses, ports and the
//! little that it has to remember: how far its counters are. [`Decoys`] are hosts on one wire with the connections that are real:
//! a SYN costs nothing that grows, a connection has limits (`limits`), and behind it a [`service::Service`] talks.

pub mod accept;
pub mod dates;
pub mod decoys;
pub mod exercise;
pub mod files;
pub mod fragments;
pub mod frames;
pub mod honeyd;
pub mod host;
mod ipv6;
pub mod layout;
pub mod limits;
pub mod nmap;
pub mod numbers;
mod options;
pub mod persona;
pub mod record;
pub mod service;
pub mod services;
pub mod site;
mod tcp;
pub mod text;

pub use decoys::Decoys;
pub use frames::Frames;
pub use host::{Host, Port, Ports, Wiring};
pub use persona::Persona;
