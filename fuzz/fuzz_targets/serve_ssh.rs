//! A decoy's ssh hears any bytes, in any pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| trapline_decoy::exercise::exercise("ssh", data));
