//! SMB of any bytes, NetBIOS sessions and pipes included.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| trapline_speech::exercise::exercise("smb", data));
