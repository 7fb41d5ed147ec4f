//! A capture of any bytes is read to its end or to its damage, and every frame of it is decoded and printed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trapline_intake::reader::CaptureReader;
use trapline_wire::decode;

fuzz_target!(|bytes: &[u8]| {
    let capture = [&[0xd4, 0xc3, 0xb2, 0xa1], bytes].concat();
    let mut reader = CaptureReader::new(&capture[..]);
    while reader.advance() {
        let frame = reader.frame().expect("advanced");
        let _ = format!("{:?}", decode(&frame));
    }
    let _ = reader.stopped().map(ToString::to_string);
});
