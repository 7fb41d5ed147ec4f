//! Any bytes as a talk of mysql.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| trapline_speech::exercise::exercise("mysql", data));
