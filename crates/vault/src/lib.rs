//! The vault's server. [`register`] is its authority: who is enrolled, by which certificate, who was revoked. [`server`] takes segments
//! over HTTPS from those who are. What is taken and what refused is [`trapline_archive::vault`]'s to say.

pub mod register;
pub mod server;

pub use register::{Register, RegisterError};
pub use server::{Serving, Stats, serve};
