//! TDS of any bytes: packets, logins, tokens.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| trapline_speech::exercise::exercise("tds", data));
