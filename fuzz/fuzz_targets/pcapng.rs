//! A capture of any bytes is read to its end or to its damage, and every frame of it is decoded and printed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trapline_intake::reader::CaptureReader;
use trapline_wire::decode;

fuzz_target!(|bytes: &[u8]| {
    let capture = [&[0x0a, 0x0d, 0x0d, 0x0a], bytes].concat();
    let mut reader = CaptureReader::new(&capture[..]);
    while reader.advance() {
        let frame = reader.frame().expect("advanced");
        let _ = format!("{:?}", decode(&frame));
        assert!(reader.told().len() <= capture.len());
    }
    let _ = reader.stopped().map(ToString::to_string);
});
