//! Whatever is said to be a decoy's record of a packet becomes messages or is counted, and no text of it is longer than text may be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trapline_intake::pass::Output;
use trapline_intake::survey::CaptureId;
use trapline_intake::{Pass, Platform};
use trapline_wire::build::{self, Ip, Tcp};
use trapline_wire::{Frame, LinkType};

fuzz_target!(|bytes: &[u8]| {
    let platform = Platform::parse("[platform]\nname = \"p\"\n[[host]]\nname = \"h\"\naddresses = [\"192.0.2.1\"]");
    let mut pass = Pass::new(&platform.expect("it is one"), 1, 1, None);
    let mut data = Vec::new();
    let ip = Ip::new([203, 0, 113, 9].into(), [192, 0, 2, 1].into());
    build::tcp(&mut data, &ip, &Tcp { src_port: 1025, dst_port: 22, flags: 0x18, payload: b"x", ..Tcp::default() });
    let frame = Frame { link: LinkType::RAW, time: 1, wire_len: data.len() as u32, data: &data };
    pass.add_told(0, CaptureId(1), 0, &frame, bytes);
    let finished = pass.finish();
    let lines = bytes.split(|byte| *byte == b'\n').count();
    for output in finished.outputs {
        let Output::Day(day) = output else { continue };
        assert!(day.requests.len() <= lines + 1);
        for request in day.requests {
            let texts = [&request.message.user, &request.message.password, &request.message.object, &request.message.verb];
            assert!(texts.into_iter().flatten().all(|text| text.len() <= 2 * trapline_speech::limits::TEXT));
        }
    }
});
