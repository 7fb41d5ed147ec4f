//! A scenario of any text is a scenario or an error that can be printed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trapline_sim::Scenario;

fuzz_target!(|text: &str| {
    let _ = match Scenario::parse("fuzzed", text) {
        Ok(scenario) => format!("{scenario:?}"),
        Err(error) => error.to_string(),
    };
});
