//! A decoy's netbios-names hears any bytes, in any pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| trapline_decoy::exercise::exercise("netbios-names", data));
