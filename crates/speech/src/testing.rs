//! What the tests of all protocols share.

use crate::dialogue::{Dialogue, End, Heard};
use crate::exercise::exercise;
use crate::message::{Message, Side};

/// Plays a talk as one connection whose client is the peer and whose server's port says nothing, and gives its messages.
///
/// Checks on the way that the protocol is found by its bytes alone and is `service`; that the same talk cut into single bytes, or written
/// down and read again at every point, gives the same messages; and that no mutilated copy of it breaks a parser.
pub fn talk(service: &str, talk: &[(Side, &[u8])]) -> Vec<(Side, Message)> {
    let whole = play(talk.iter().map(|(side, bytes)| (*side, *bytes)), false);
    let services: Vec<&str> = whole.iter().map(|h| h.service).collect();
    assert!(services.iter().all(|s| *s == service), "found {services:?}, not {service}");
    let bytes = talk.iter().flat_map(|(side, bytes)| bytes.chunks(1).map(move |b| (*side, b)));
    assert_eq!(play(bytes, true), whole, "cut into single bytes");
    mutilate(service, talk);
    whole
        .into_iter()
        .map(|h| (if h.by == End::Peer { Side::Client } else { Side::Server }, h.message))
        .collect()
}

fn play<'a>(talk: impl Iterator<Item = (Side, &'a [u8])>, write_down: bool) -> Vec<Heard> {
    let mut dialogue = Dialogue::new(Some(End::Peer), [1028, 60_666]);
    let mut heard = Vec::new();
    for (side, bytes) in talk {
        dialogue.hear(if side == Side::Client { End::Peer } else { End::Host }, bytes, &mut heard);
        if write_down {
            dialogue = postcard::from_bytes(&postcard::to_stdvec(&dialogue).unwrap()).unwrap();
        }
    }
    dialogue.decide(&mut heard);
    [End::Peer, End::Host].into_iter().for_each(|by| dialogue.end(by, &mut heard));
    heard
}

/// Cuts, repeats and overwrites bytes of a talk, a thousand times, and plays what comes of it.
fn mutilate(service: &str, talk: &[(Side, &[u8])]) {
    let mut data = Vec::new();
    for (side, bytes) in talk {
        for chunk in bytes.chunks(62) {
            data.push((chunk.len() as u8) << 2 | side.index() as u8);
            data.extend_from_slice(chunk);
        }
    }
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as usize % below.max(1)
    };
    exercise(service, &data);
    for _ in 0..1000 {
        let mut bad = data.clone();
        for _ in 0..=next(4) {
            match next(4) {
                0 => bad.truncate(next(bad.len())),
                1 if !bad.is_empty() => {
                    let at = next(bad.len());
                    bad[at] = [0, 0xff, 0x7f, b'\n', next(256) as u8][next(5)];
                }
                2 => {
                    let at = next(bad.len());
                    bad.drain(at..(at + next(9)).min(bad.len()));
                }
                _ => {
                    let at = next(bad.len());
                    let again = bad[at..(at + next(40)).min(bad.len())].to_vec();
                    bad.splice(at..at, again);
                }
            }
        }
        exercise(service, &bad);
    }
}

/// A message of one side.
pub fn by(side: Side, messages: &[(Side, Message)]) -> Vec<&Message> {
    messages.iter().filter(|(s, _)| *s == side).map(|(_, m)| m).collect()
}
