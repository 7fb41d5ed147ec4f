//! Decoys on a wire.
//!
//! The sensor: [`setup`] makes decoys of a platform file, [`socket`] is the wire, [`switch`] what passes over it, [`claims`] whose an address is. As processes:
//! [`mod@run`] starts [`mod@capture`], [`mod@keep`], which seals, and [`mod@ship`]; [`privileges`] is what each of them gives up first.
//! [`link`] is a wire for planned attackers, with a time of its own.
//!
//! The bench: [`mod@bench`] puts decoys on one end of a wire in a network namespace of its own, this machine's programs on the other;
//! [`believed`] says what nmap, p0f and arp-fingerprint take them for.

pub mod believed;
pub mod bench;
pub mod capture;
pub mod claims;
pub mod command;
pub mod health;
mod hidden;
pub mod keep;
pub mod link;
pub mod privileges;
pub mod run;
pub mod secrets;
pub mod setup;
pub mod ship;
pub mod signals;
pub mod socket;
pub mod switch;
