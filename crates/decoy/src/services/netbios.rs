//! The NetBIOS name service (RFC 1002 4.2): who asks for the machine's name gets its address, who asks for its status its names.

use super::dcerpc::{netbios_name, workgroup};
use crate::record::Said;
use crate::service::Turn;

const QUERY: [u8; 4] = [0x00, 0x20, 0x00, 0x01];
const STATUS: [u8; 4] = [0x00, 0x21, 0x00, 0x01];

/// Answers a datagram to port 137. Answers are longer than questions here, so the host gives few of them
/// ([`crate::limits::LONGER_ANSWERS`]).
pub(super) fn answer(question: &[u8], turn: &mut Turn<'_>) {
    let name = question.get(13..45).map(decoded).unwrap_or_default();
    turn.record(Said::Request {
        method: "name query".into(),
        target: name.as_slice().into(),
        whole: question.into(),
    });
    let own = netbios_name(turn.site);
    let asked = question.get(46..50);
    if question.get(2).is_none_or(|flags| flags & 0xf8 != 0) {
        return;
    }
    let mut out = question[..2].to_vec();
    if asked == Some(&QUERY) && name.trim_ascii_end() == own.as_bytes() {
        out.extend([0x85, 0x00, 0, 0, 0, 1, 0, 0, 0, 0]);
        out.extend(&question[12..50]);
        // Five days, six bytes: no group, B node, the address.
        out.extend([0, 4, 0x93, 0xe0, 0, 6, 0, 0]);
        out.extend(turn.local_v4().octets());
        turn.say(out);
    } else if asked == Some(&STATUS) && matches!(name.first(), Some(b'*')) {
        const GROUP: u8 = 0x80;
        let group = workgroup(turn.site);
        let names = [(own.as_str(), 0x00, 0), (&own, 0x20, 0), (&group, 0x00, GROUP), (&group, 0x1e, GROUP)];
        out.extend([0x84, 0x00, 0, 0, 0, 1, 0, 0, 0, 0]);
        out.extend(&question[12..50]);
        out.extend([0, 0, 0, 0]);
        out.extend((1 + names.len() as u16 * 18 + 46).to_be_bytes());
        out.push(names.len() as u8);
        for (name, kind, group) in names {
            out.extend(format!("{name:<15}").bytes().take(15));
            const ACTIVE: u8 = 0x04;
            out.extend([kind, group | ACTIVE, 0]);
        }
        out.extend(turn.mac);
        out.extend([0; 40]);
        turn.say(out);
    }
}

/// A name from its first-level encoding (RFC 1001 14.1), without its kind.
fn decoded(encoded: &[u8]) -> Vec<u8> {
    let half = |byte: u8| byte.wrapping_sub(b'A') & 15;
    encoded.chunks_exact(2).take(15).map(|pair| half(pair[0]) << 4 | half(pair[1])).collect()
}
