//! Captures in, rows out: one streaming pass that decodes, tracks conversations and counts.
//!
//! The way of a packet: [`open`] finds and decompresses captures, [`survey`] reads each once (hash,
//! times, damage), [`ordered`] gives all their frames in time order, [`classify`] tells inbound from
//! outbound, [`track`] remembers conversations and fills [`rows`], and [`pass`] runs that over
//! threads and hands over one day after the other. [`derive`] makes sessions and sources of a day's
//! probes. The definitions are those of docs/method/definitions.md.
//!
//! Memory holds the probes of the last two days and the conversations of the last 24 hours, nothing
//! else; every table has a named limit in [`limits`].

pub mod address;
pub mod classify;
pub mod community;
pub mod derive;
mod flows;
mod fragments;
pub mod infer;
pub mod limits;
mod lone;
pub mod marks;
pub mod open;
pub mod ordered;
pub mod pass;
pub mod reader;
mod recorded;
pub mod rows;
pub mod said;
pub mod sightings;
pub mod state;
pub mod survey;
pub mod track;
pub mod udp_services;

pub use address::Address;
pub use open::{Input, OpenError};
pub use pass::{DayTables, Pass, Progress};
pub use rows::{Day, Probe, Reply, Response};
pub use said::Request;
pub use survey::Survey;
pub use trapline_platform as platform;
pub use trapline_platform::{Host, Platform, PlatformError, Port};

/// Nanoseconds in a UTC day.
pub const DAY_NS: i64 = 86_400 * 1_000_000_000;
