//! Any bytes as a talk of ms_sql_browser.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| trapline_speech::exercise::exercise("ms_sql_browser", data));
