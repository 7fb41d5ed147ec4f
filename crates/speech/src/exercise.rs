//! Puts a protocol through arbitrary bytes: for fuzz targets and property tests.

use crate::dialogue::{Dialogue, End};
use crate::limits::HELD;
use crate::message::{Message, Parser, Side};
use crate::protocols::{CANDIDATES, DATAGRAMS};

/// Plays `data` as a connection of protocol `name`: a byte that tells who speaks and how much, then that much; and as a whole
/// connection whose protocol has to be found; and as a datagram, if the protocol has such.
///
/// # Panics
/// When the parser breaks what [`Parser`] promises, or there is no such protocol.
pub fn exercise(name: &str, data: &[u8]) {
    let candidate = CANDIDATES.iter().find(|c| c.name == name);
    let datagram = DATAGRAMS.iter().find(|(n, _, _)| *n == name);
    assert!(candidate.is_some() || datagram.is_some(), "no protocol {name}");
    let mut out = Vec::new();
    if let Some((_, _, read)) = datagram {
        out.extend([Side::Client, Side::Server].into_iter().filter_map(|side| read(side, data)));
    }
    if let Some(candidate) = candidate {
        for side in [candidate.client, candidate.server] {
            side(data);
        }
        let mut parser = (candidate.start)();
        let mut held = [Vec::new(), Vec::new()];
        let mut rest = data;
        while let Some((head, after)) = rest.split_first() {
            let side = if head & 1 == 0 { Side::Client } else { Side::Server };
            let length = match head >> 2 {
                63 => after.len(),
                n => usize::from(n).min(after.len()),
            };
            let (said, next) = after.split_at(length);
            rest = next;
            match head & 3 {
                2 => parser.gap(side),
                3 => parser.end(side, &std::mem::take(&mut held[side.index()]), &mut out),
                _ => {}
            }
            let held = &mut held[side.index()];
            held.extend_from_slice(said);
            while !held.is_empty() {
                let taken = parser.read(side, &held[..held.len().min(HELD)], &mut out);
                assert!(taken <= held.len().min(HELD), "{name} took more than there was");
                match taken {
                    0 if held.len() >= HELD => {
                        held.clear();
                        parser.gap(side);
                    }
                    0 => break,
                    n => drop(held.drain(..n)),
                }
            }
        }
        for side in [Side::Client, Side::Server] {
            parser.end(side, &std::mem::take(&mut held[side.index()]), &mut out);
        }
        let mut dialogue = Dialogue::new(None, [1028, candidate.ports.first().copied().unwrap_or_default()]);
        let mut heard = Vec::new();
        data.chunks(97).enumerate().for_each(|(i, c)| {
            dialogue.hear(if i % 3 == 0 { End::Host } else { End::Peer }, c, &mut heard);
        });
        dialogue.decide(&mut heard);
        [End::Peer, End::Host].into_iter().for_each(|by| dialogue.end(by, &mut heard));
        out.extend(heard.into_iter().map(|h| h.message));
    }
    out.iter().for_each(check);
}

/// What holds of every message.
fn check(message: &Message) {
    use crate::limits::{DETAILS, PAYLOAD, TEXT};
    // Latin-1 text takes up to two bytes a character.
    let bounded = |text: &Option<String>| text.as_ref().is_none_or(|t| t.chars().count() <= TEXT);
    let texts = [&message.verb, &message.object, &message.user, &message.password, &message.software];
    assert!(texts.into_iter().all(bounded), "a text is too long");
    let prints = [&message.ja3, &message.ja4, &message.hassh];
    assert!(prints.into_iter().flatten().all(|p| p.len() <= 64), "a fingerprint is too long");
    assert!(message.details.len() <= DETAILS, "too many details");
    assert!(message.details.iter().all(|(_, v)| v.chars().count() <= TEXT), "a detail is too long");
    assert!(message.body.as_ref().is_none_or(|b| b.begin.len() <= PAYLOAD), "too much of a body");
}
