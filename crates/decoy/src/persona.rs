//! A persona: how a system answers, in every layer.

use std::sync::Arc;

use trapline_wire::Time;
use trapline_wire::observation::kind;

use crate::fragments::Overlap;
use crate::frames::Mac;
use crate::host::Ports;
use crate::layout::{Item, Offer, Padding, fitted};
use crate::numbers::{IdPolicy, IsnPolicy};
use crate::site::Site;

/// A sequence or acknowledgement number of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Number {
    /// 0.
    #[default]
    Zero,
    /// For a sequence number what the packet acknowledged, for an acknowledgement its sequence number.
    Same,
    /// One more than that; for an acknowledgement everything that the packet carried.
    Next,
    /// A new initial sequence number.
    Own,
}

/// An answer to one TCP packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reaction {
    /// Time to live.
    pub ttl: u8,
    /// Don't fragment.
    pub df: bool,
    /// Window, unscaled.
    pub window: u16,
    /// Sequence number.
    pub seq: Number,
    /// Acknowledgement number.
    pub ack: Number,
    /// Flags: see [`trapline_wire::tcp::flags`].
    pub flags: u8,
    /// Reserved bits of the header, three of them.
    pub reserved: u8,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options.
    pub options: Vec<Item>,
    /// Data, which some systems send in a reset.
    pub data: Vec<u8>,
}

/// An answer to a SYN that offers exactly this.
#[derive(Clone, Debug)]
pub struct SynRule {
    /// Kinds of its options in order.
    pub kinds: Vec<u8>,
    /// Its maximum segment size.
    pub mss: Option<u16>,
    /// Whether it offers explicit congestion notification.
    pub ecn: bool,
    /// The answer; none where the system says nothing.
    pub answer: Option<Reaction>,
}

/// What a TCP packet without a connection is, to systems that answer such packets differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// No flag at all.
    Null,
    /// A SYN with a FIN.
    SynFin,
    /// An acknowledgement.
    Ack,
    /// A lone SYN.
    Syn,
    /// FIN, PSH or URG, without SYN and ACK.
    Xmas,
}

/// Answers to packets without a connection, at a port; none where the system says nothing.
#[derive(Clone, Debug, Default)]
pub struct Reactions {
    /// To a packet without flags.
    pub null: Option<Reaction>,
    /// To a SYN with a FIN.
    pub syn_fin: Option<Reaction>,
    /// To an acknowledgement.
    pub ack: Option<Reaction>,
    /// To a lone SYN; at an open port the SYN rules say it.
    pub syn: Option<Reaction>,
    /// To FIN, PSH or URG.
    pub xmas: Option<Reaction>,
}

impl Reactions {
    /// The answer to such a packet.
    pub fn to(&self, odd: Odd) -> Option<&Reaction> {
        match odd {
            Odd::Null => self.null.as_ref(),
            Odd::SynFin => self.syn_fin.as_ref(),
            Odd::Ack => self.ack.as_ref(),
            Odd::Syn => self.syn.as_ref(),
            Odd::Xmas => self.xmas.as_ref(),
        }
    }
}

/// What a system makes of one field of a packet that it quotes in an ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoted {
    /// As it came.
    Good,
    /// This instead.
    Set(u16),
    /// Anything but what came.
    Wrong,
}

/// The answer to a datagram to a closed port: an ICMP port unreachable.
#[derive(Clone, Debug)]
pub struct Unreachable {
    /// Time to live.
    pub ttl: u8,
    /// Don't fragment.
    pub df: bool,
    /// Length of the whole answer, in bytes, where there is enough to quote.
    pub length: usize,
    /// How much less the time to live is in the quoted header: routers forward before they quote.
    pub ttl_taken: u8,
    /// The second word of the header, which RFC 792 leaves unused.
    pub unused: u32,
    /// Total length in the quoted header.
    pub ip_length: Quoted,
    /// Identification in the quoted header.
    pub ip_id: Quoted,
    /// Checksum of the quoted header.
    pub ip_checksum: Quoted,
    /// Checksum of the quoted datagram.
    pub udp_checksum: Quoted,
    /// Whether the quoted data is what came.
    pub data_good: bool,
    /// How many go out at once and, after those, each second; no limit where it is none.
    pub limit: Option<(f64, f64)>,
}

/// What an echo reply takes from its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Always this.
    Always(u8),
    /// What the request had.
    Same,
    /// What the request had not.
    Other,
}

/// The byte order of the times in an ICMP timestamp reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// As RFC 792 has it.
    Big,
    /// As Windows had it (Arkin, ICMP usage in scanning, 2001).
    Little,
}

/// The answer to an echo request.
#[derive(Clone, Debug)]
pub struct Echo {
    /// Time to live.
    pub ttl: u8,
    /// Don't fragment: 1 or 0.
    pub df: Taken,
    /// The code.
    pub code: Taken,
}

/// What can be odd about a request for an address, by which `arp-fingerprint` (Hills) tells systems apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpOddity {
    /// The sender's address is one of 127.0.0.0/8.
    Loopback,
    /// The sender's address is 0.0.0.0: a probe (RFC 5227).
    Zero,
    /// The sender's address is 255.255.255.255.
    Broadcast,
    /// The sender's address is in another network.
    Distant,
    /// An operation that there is not.
    Operation,
    /// Hardware of IEEE 802 networks, number 6.
    Hardware6,
    /// Hardware of another kind.
    Hardware,
    /// A protocol that there is not.
    Protocol,
    /// IPX.
    Ipx,
    /// A length of protocol addresses that is not 4.
    ProtocolLength,
    /// A length of hardware addresses that is not 6.
    HardwareLength,
}

/// How a system answers over IPv6, where that differs.
#[derive(Clone, Debug)]
pub struct Ipv6 {
    /// Hop limit of what it sends.
    pub hop_limit: u8,
    /// Whether each of its flows has a label (RFC 6437).
    pub flow_labels: bool,
    /// Whether it answers an echo request to all nodes.
    pub echoes_to_groups: bool,
    /// Code of its echo replies.
    pub echo_code: Taken,
    /// Whether it says its Ethernet address also to a neighbour that asks it alone, which therefore knows it.
    pub address_always: bool,
    /// Whether its link-local address tells its Ethernet address.
    pub interface_of_mac: bool,
    /// Whether it says that it is a router.
    pub router: bool,
}

/// How a system answers.
#[derive(Clone, Debug)]
pub struct Persona {
    /// Its name.
    pub name: String,
    /// Answers to SYNs at an open port; the first that fits counts.
    pub syn: Vec<SynRule>,
    /// Where the window of a SYN/ACK is the least multiple of the segment size that is no less than this, in bytes.
    pub window_at_least: Option<u16>,
    /// Where it pads its options.
    pub padding: Padding,
    /// Whether it names no larger segment size than its peer did.
    pub mss_follows: bool,
    /// Whether a SYN with a FIN opens as a SYN does.
    pub syn_fin_opens: bool,
    /// Answers to other packets at an open port.
    pub open: Reactions,
    /// Answers at a closed port.
    pub closed: Reactions,
    /// Initial sequence numbers.
    pub isn: IsnPolicy,
    /// Identifications of answers at open ports.
    pub id_open: IdPolicy,
    /// Identifications of answers at closed ports.
    pub id_closed: IdPolicy,
    /// Identifications of ICMP.
    pub id_icmp: IdPolicy,
    /// Whether ICMP and TCP count with one counter.
    pub id_shared: bool,
    /// Ticks of the TCP time stamps each second.
    pub stamp_hz: f64,
    /// How long after its SYN/ACK and after each repetition it comes again, unacknowledged, in milliseconds.
    pub syn_ack_again_ms: Vec<u32>,
    /// Whether its own datagrams have DF set.
    pub udp_df: bool,
    /// Answer to a datagram to a closed port.
    pub unreachable: Option<Unreachable>,
    /// How it answers over IPv6; nothing where it has none.
    pub ipv6: Option<Ipv6>,
    /// Answer to an echo request.
    pub echo: Option<Echo>,
    /// Whether it answers timestamp requests (ICMP 13), and how.
    pub icmp_timestamp: Option<ByteOrder>,
    /// Whether it answers address mask requests (ICMP 17).
    pub icmp_mask: bool,
    /// Prefixes of its makers' Ethernet addresses.
    pub vendors: Vec<[u8; 3]>,
    /// Whose bytes count where fragments overlap.
    pub overlap: Overlap,
    /// Odd requests for its address that it answers.
    pub arp: Vec<ArpOddity>,
    /// What its ports do where nobody says otherwise.
    pub ports: Arc<Ports>,
}

impl Persona {
    /// The answer to a SYN that offers this: by the rule for exactly that offer, else pieced together, so that an ordinary client sees
    /// the same system as a scanner.
    ///
    /// The first rule is for the fullest offer with an ordinary segment size (nmap's first probe): its options are fitted to the
    /// offer. Windows are multiples of what fits a segment on many systems, so the window is that of the rule whose offer is
    /// alike in time stamps and nearest in segment size. Whether congestion notification is taken up, the rule that has it says.
    pub fn answer_to_syn(&self, offer: &Offer) -> Option<Reaction> {
        let exact =
            |rule: &&SynRule| rule.kinds == offer.kinds && rule.mss == offer.mss && rule.ecn == offer.ecn;
        let mut answer = match self.syn.iter().find(exact) {
            Some(rule) => rule.answer.clone()?,
            None => self.pieced_together(offer)?,
        };
        if self.mss_follows {
            let most = size(offer.mss);
            for item in &mut answer.options {
                if let Item::Mss(mss) = item {
                    *mss = most.min(*mss);
                }
            }
        }
        if let Some(least) = self.window_at_least {
            let own = |item: &Item| if let Item::Mss(mss) = item { Some(*mss) } else { None };
            let own = answer.options.iter().find_map(own);
            let segment = size(offer.mss).min(size(own)).max(1);
            answer.window = least.div_ceil(segment).saturating_mul(segment);
        }
        Some(answer)
    }

    /// The answer over IPv6: headers are 20 bytes longer, segments that much shorter, and a window of whole segments with them.
    pub fn answer_to_syn_v6(&self, offer: &Offer) -> Option<Reaction> {
        const LONGER: u16 = 20;
        const STAMP_BYTES: u16 = 12;
        let mut answer = self.answer_to_syn(offer)?;
        let stamps = answer.options.iter().any(|item| matches!(item, Item::Stamps { .. }));
        for item in &mut answer.options {
            if let Item::Mss(mss) = item {
                let segment = mss.saturating_sub(if stamps { STAMP_BYTES } else { 0 }).max(1);
                *mss = mss.saturating_sub(LONGER).max(1);
                if answer.window.is_multiple_of(segment) {
                    answer.window = answer.window / segment * segment.saturating_sub(LONGER).max(1);
                }
            }
        }
        Some(answer)
    }

    /// The Ethernet address of a host with this seed: one of its makers', the rest from the seed.
    pub fn mac(&self, seed: u64) -> Mac {
        let site = Site::new(seed, &self.name);
        let [x, y, z] = site.bytes("ethernet address");
        // VMware's, which any system may have.
        const VIRTUAL: [u8; 3] = [0x00, 0x50, 0x56];
        let place = site.draw("vendor").below(self.vendors.len().max(1) as u32) as usize;
        let [a, b, c] = self.vendors.get(place).copied().unwrap_or(VIRTUAL);
        [a, b, c, x, y, z]
    }

    /// Time to live and DF of the segments of a connection: those of its SYN/ACK.
    pub fn connected(&self) -> (u8, bool) {
        self.opening().map_or((64, true), |answer| (answer.ttl, answer.df))
    }

    /// Options of a SYN of its own: all that it knows.
    pub fn own_syn(&self) -> &[Item] {
        self.opening().map_or(&[], |answer| answer.options.as_slice())
    }

    /// What it answers to a SYN that offers everything.
    pub fn opening(&self) -> Option<&Reaction> {
        self.syn.first().and_then(|rule| rule.answer.as_ref())
    }

    /// How long after the n-th repetition of a SYN/ACK the next comes; 0 is the first sending.
    pub fn syn_ack_again(&self, n: u8) -> Option<Time> {
        self.syn_ack_again_ms.get(usize::from(n)).map(|ms| Time::from(*ms) * 1_000_000)
    }

    fn pieced_together(&self, offer: &Offer) -> Option<Reaction> {
        let full = self.syn.first()?.answer.as_ref()?;
        let notified = self.syn.iter().find(|rule| rule.ecn == offer.ecn)?.answer.as_ref()?;
        let likeness = |rule: &&SynRule| {
            let stamps = rule.kinds.contains(&kind::STAMP) == offer.has(kind::STAMP);
            (!stamps, size(rule.mss).abs_diff(size(offer.mss)))
        };
        let answered = self.syn.iter().filter(|rule| rule.answer.is_some());
        let window = answered.min_by_key(likeness)?.answer.as_ref()?.window;
        Some(Reaction {
            options: fitted(&full.options, offer, self.padding),
            flags: notified.flags,
            window,
            ..full.clone()
        })
    }
}

/// A segment size, in bytes, and that of a peer which names none (RFC 9293 3.7.1).
fn size(mss: Option<u16>) -> u16 {
    mss.unwrap_or(536)
}
