//! A decoy takes frames of any bytes, at any pace: what it sends comes from itself, fits the link, and goes to somebody who spoke first.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trapline_decoy::services::Kind;
use trapline_decoy::{Decoys, Frames, Host, Port, Ports, Wiring, nmap};

const MAC: [u8; 6] = [0, 0x50, 0x56, 1, 2, 3];
const PERSONA: &str = "Fingerprint Fuzzed\n\
    SEQ(SP=C0%GCD=1%ISR=C0%TI=BI%CI=RI%II=RD%SS=O%TS=7)\n\
    OPS(O1=M5B4ST11NW0%O2=M578ST11NW0%O3=M280NNT11NW0%O4=M5B4ST11NW0%O5=M218ST11NW0%O6=M109ST11)\n\
    WIN(W1=16A0%W2=16A0%W3=16A0%W4=16A0%W5=16A0%W6=16A0)\n\
    ECN(R=Y%DF=Y%T=40%W=16D0%O=M5B4NNSNW0%CC=Y%Q=RU)\n\
    T1(R=Y%DF=Y%T=40%S=O%A=S+%F=AS%RD=0%Q=)\nT2(R=Y%DF=N%T=40%W=80%S=Z%A=S%F=AR%O=%RD=1F59B3D4%Q=U)\n\
    T3(R=Y%DF=Y%T=40%W=16A0%S=O%A=S+%F=AS%O=M109ST11NW0%RD=0%Q=)\nT4(R=Y%DF=Y%T=40%W=0%S=A%A=Z%F=R%O=%RD=0%Q=)\n\
    T5(R=Y%DF=Y%T=40%W=0%S=Z%A=S+%F=AR%O=%RD=0%Q=)\nT6(R=Y%DF=Y%T=40%W=0%S=A+%A=S+%F=R%O=%RD=0%Q=)\n\
    T7(R=Y%DF=Y%T=40%W=0%S=Z%A=S+%F=AR%O=%RD=0%Q=)\n\
    U1(DF=N%T=100%IPL=164%UN=1%RIPL=148%RID=4210%RIPCK=G%RUCK=0%RUD=I)\nIE(DFI=O%T=40%CD=O)\n";

fuzz_target!(|frames: Vec<&[u8]>| {
    let persona = nmap::read(PERSONA).unwrap()[0].persona();
    let service = Port::Service(Kind::Echo);
    let tcp = [(7, service), (9, Port::Record), (23, Port::Tarpit), (80, Port::Record), (99, Port::Silent)];
    let udp = [(7, service), (99, Port::Silent)];
    let wiring = Wiring {
        mac: MAC,
        addresses: vec![[192, 0, 2, 11].into()], prefix: 16,
        ports: Ports { tcp: tcp.into(), udp: udp.into() }.into(),
        fetch: true,
        seed: 1,
    };
    let mut decoys = Decoys::new(vec![Host::new(persona.into(), wiring)], 1);
    let mut out = Frames::default();
    let mut heard = std::collections::HashSet::new();
    for (i, frame) in frames.into_iter().enumerate() {
        out.clear();
        decoys.on_frame(i as i64 * 100_000_000, frame, &mut out);
        heard.extend(frame.get(6..12).map(<[u8]>::to_vec));
        decoys.on_time(i as i64 * 100_000_000, &mut out);
        for answer in out.iter() {
            assert_eq!(answer[6..12], MAC);
            assert!(heard.contains(&answer[..6]), "nobody is spoken to who did not speak first");
            assert!(answer.len() <= 1_514);
        }
    }
});
