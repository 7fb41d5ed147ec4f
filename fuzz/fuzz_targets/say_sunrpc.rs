//! Any bytes as a talk of sunrpc.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| trapline_speech::exercise::exercise("sunrpc", data));
