//! TLS of any bytes: its records, hellos and certificates.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| trapline_speech::exercise::exercise("tls", data));
