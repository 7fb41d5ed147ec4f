//! Any bytes, as both ends of a connection and as a datagram, are read as http.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| trapline_speech::exercise::exercise("http", data));
