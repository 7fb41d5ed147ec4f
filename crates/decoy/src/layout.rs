//! TCP options as a system lays them out: which, in which order, with which padding.

use trapline_wire::observation::kind;

/// One option of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// End of options.
    End,
    /// Padding.
    Nop,
    /// Maximum segment size, in bytes.
    Mss(u16),
    /// Window scale, as a shift.
    Scale(u8),
    /// Selective acknowledgement permitted.
    Sack,
    /// Time stamps: whether our own clock is in it, and whether the peer's stamp is given back.
    Stamps {
        /// Our clock; else 0.
        own: bool,
        /// The peer's stamp; else 0.
        echo: bool,
    },
}

impl Item {
    /// Its kind, one of [`kind`].
    pub fn kind(self) -> u8 {
        match self {
            Item::End => kind::EOL,
            Item::Nop => kind::NOP,
            Item::Mss(_) => kind::MSS,
            Item::Scale(_) => kind::SCALE,
            Item::Sack => kind::SACK_OK,
            Item::Stamps { .. } => kind::STAMP,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Item::End | Item::Nop => 1,
            Item::Mss(_) => 4,
            Item::Scale(_) => 3,
            Item::Sack => 2,
            Item::Stamps { .. } => 10,
        }
    }
}

/// What a SYN offers, as far as an answer depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Kinds of its options in order, without what follows an end of options.
    pub kinds: Vec<u8>,
    /// Its maximum segment size.
    pub mss: Option<u16>,
    /// Its window scale, as a shift.
    pub scale: Option<u8>,
    /// Its time stamp.
    pub stamp: u32,
    /// The stamp that it gives back.
    pub stamp_echo: u32,
    /// Whether it offers explicit congestion notification (ECE and CWR, RFC 3168).
    pub ecn: bool,
}

impl Offer {
    /// Reads the options of a segment; damaged ones end the reading.
    pub fn read(options: &[u8], ecn: bool) -> Offer {
        let mut offer = Offer { ecn, ..Offer::default() };
        let mut rest = options;
        while let Some((&kind, after)) = rest.split_first() {
            if kind == kind::EOL || kind == kind::NOP {
                if kind == kind::EOL {
                    break;
                }
                offer.kinds.push(kind);
                rest = after;
                continue;
            }
            let Some(length) =
                after.first().map(|n| usize::from(*n)).filter(|n| (2..=rest.len()).contains(n))
            else {
                break;
            };
            match (kind, &rest[2..length]) {
                (kind::MSS, [high, low]) => offer.mss = Some(u16::from_be_bytes([*high, *low])),
                (kind::SCALE, [shift]) => offer.scale = Some(*shift),
                (kind::STAMP, [a, b, c, d, e, f, g, h]) => {
                    offer.stamp = u32::from_be_bytes([*a, *b, *c, *d]);
                    offer.stamp_echo = u32::from_be_bytes([*e, *f, *g, *h]);
                }
                _ => {}
            }
            offer.kinds.push(kind);
            rest = &rest[length..];
        }
        offer
    }

    /// Whether it has an option of this kind.
    pub fn has(&self, kind: u8) -> bool {
        self.kinds.contains(&kind)
    }
}

/// Where a system puts the padding between options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// Before an option, so that it ends on a word: Linux, Windows, Solaris.
    #[default]
    Before,
    /// Before window scale and time stamps alone; what is missing then follows the last option (FreeBSD's `tcp_addoptions`).
    After,
}

/// The layout that a system which answers a full offer with `full` uses for `offer`: options that were not offered are left out,
/// and the rest is padded anew.
///
/// Every stack of note puts its padding before an option so that the option ends on a word (RFC 7323, appendix A, recommends it
/// for time stamps). A maximum segment size is sent whatever the peer says.
pub fn fitted(full: &[Item], offer: &Offer, padding: Padding) -> Vec<Item> {
    let optional = |item: &Item| matches!(item, Item::Scale(_) | Item::Sack | Item::Stamps { .. });
    if full.iter().filter(|item| optional(item)).all(|item| offer.has(item.kind())) {
        return full.to_vec();
    }
    let kept: Vec<Item> = full
        .iter()
        .copied()
        .filter(|item| !matches!(item, Item::Nop | Item::End) && (!optional(item) || offer.has(item.kind())))
        .collect();
    let mut fitted = Vec::new();
    let mut at = 0;
    let mut i = 0;
    while i < kept.len() {
        // SACK permitted and time stamps make three words together.
        let pair = matches!(kept[i..], [Item::Sack, Item::Stamps { .. }, ..]);
        let group = &kept[i..i + 1 + usize::from(pair)];
        let bytes: usize = group.iter().map(|item| item.bytes()).sum();
        let missing = match (padding, group[0]) {
            (Padding::After, Item::Sack) => 0,
            _ => (4 - (at + bytes) % 4) % 4,
        };
        fitted.extend(std::iter::repeat_n(Item::Nop, missing));
        fitted.extend_from_slice(group);
        at += missing + bytes;
        i += group.len();
    }
    fitted
}

/// Writes a layout as option bytes, padded with zeros to whole words.
pub fn write(out: &mut Vec<u8>, layout: &[Item], own_stamp: u32, their_stamp: u32) {
    for item in layout {
        match *item {
            Item::End => out.push(kind::EOL),
            Item::Nop => out.push(kind::NOP),
            Item::Mss(mss) => {
                out.extend_from_slice(&[kind::MSS, 4]);
                out.extend_from_slice(&mss.to_be_bytes());
            }
            Item::Scale(shift) => out.extend_from_slice(&[kind::SCALE, 3, shift]),
            Item::Sack => out.extend_from_slice(&[kind::SACK_OK, 2]),
            Item::Stamps { own, echo } => {
                out.extend_from_slice(&[kind::STAMP, 10]);
                out.extend_from_slice(&(if own { own_stamp } else { 0 }).to_be_bytes());
                out.extend_from_slice(&(if echo { their_stamp } else { 0 }).to_be_bytes());
            }
        }
    }
    out.resize(out.len().div_ceil(4) * 4, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: [Item; 5] =
        [Item::Mss(1460), Item::Sack, Item::Stamps { own: true, echo: true }, Item::Nop, Item::Scale(0)];

    fn check(full: &[Item], offered: &[u8], expected: &[Item]) {
        let offer = Offer { kinds: offered.to_vec(), ..Offer::default() };
        assert_eq!(fitted(full, &offer, Padding::Before), expected);
    }

    /// As Linux's own `tcp_options_write` lays them out for such peers.
    #[test]
    fn what_is_not_offered_is_left_out_and_the_rest_padded_anew() {
        use Item::{Mss, Nop, Sack, Scale};
        let stamps = Item::Stamps { own: true, echo: true };
        check(&LINUX, &[2, 4, 8, 1, 3], &LINUX);
        check(&LINUX, &[2, 1, 3, 1, 1, 4], &[Mss(1460), Nop, Nop, Sack, Nop, Scale(0)]);
        check(&LINUX, &[2, 1, 1, 8], &[Mss(1460), Nop, Nop, stamps]);
        check(&LINUX, &[2], &[Mss(1460)]);
        check(&[Mss(1460), Nop, Nop, Sack], &[2], &[Mss(1460)]);
    }

    /// As FreeBSD's own `tcp_addoptions` does it.
    #[test]
    fn what_is_missing_follows_the_last_option_of_freebsd() {
        let stamps = Item::Stamps { own: true, echo: true };
        let full = [Item::Mss(1460), Item::Nop, Item::Scale(6), Item::Sack, stamps];
        let fits = |offered: &[u8]| {
            let offer = Offer { kinds: offered.to_vec(), ..Offer::default() };
            let mut bytes = Vec::new();
            write(&mut bytes, &fitted(&full, &offer, Padding::After), 1, 2);
            bytes
        };
        assert_eq!(fits(&[2, 3, 4]), [2, 4, 5, 0xb4, 1, 3, 3, 6, 4, 2, 0, 0]);
        assert_eq!(fits(&[2, 4, 8])[4..8], [4, 2, 8, 10]);
    }

    #[test]
    fn offers_are_read_up_to_the_damage() {
        let whole = Offer::read(&[2, 4, 5, 0xb4, 1, 3, 3, 7, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 0, 7], false);
        assert_eq!((whole.kinds, whole.mss, whole.stamp), (vec![2, 1, 3, 8], Some(1460), 9));
        assert_eq!(Offer::read(&[2, 4, 5], false).kinds, Vec::<u8>::new());
        assert_eq!(Offer::read(&[1, 4, 0], true).kinds, [1]);
    }
}
