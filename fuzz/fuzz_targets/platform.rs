//! A platform file of any text is a platform or an error that can be printed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trapline_intake::Platform;

fuzz_target!(|text: &str| {
    let _ = match Platform::parse(text) {
        Ok(platform) => format!("{platform:?} {:?}", platform.index_by_name()),
        Err(error) => error.to_string(),
    };
});
