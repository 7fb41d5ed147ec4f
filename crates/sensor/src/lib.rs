//! Decoys on a wire.
//!
//! [`bench`] puts them on one end of a wire in a network namespace of its own, this machine's programs on the other; [`believed`]
//! says what nmap, p0f and arp-fingerprint take them for.

pub mod believed;
pub mod bench;
