//! Remembered state of any bytes is a state or none; what is a state writes the same bytes again after one round.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trapline_intake::state::State;

fuzz_target!(|bytes: &[u8]| {
    let hosts = ["mach0".to_owned(), "mach1".to_owned()];
    if let Some(state) = State::from_bytes(bytes, &hosts) {
        let once = state.to_bytes(&hosts);
        let twice = State::from_bytes(&once, &hosts).map(|s| s.to_bytes(&hosts));
        assert_eq!(twice, Some(once));
    }
});
