//! Decoys on a wire.
//!
//! The sensor: [`setup`] makes decoys of a platform file, [`socket`] is the wire, [`switch`] what passes over it, [`claims`] whose an address is, [`privileges`] what is
//! given up first, [`run`] all of it.
//! [`link`] is a wire for planned attackers, with a time of its own.
//!
//! The bench: [`mod@bench`] puts decoys on one end of a wire in a network namespace of its own, this machine's programs on the other;
//! [`believed`] says what nmap, p0f and arp-fingerprint take them for.

pub mod believed;
pub mod bench;
pub mod claims;
pub mod command;
pub mod link;
pub mod privileges;
pub mod run;
pub mod setup;
pub mod socket;
pub mod switch;
