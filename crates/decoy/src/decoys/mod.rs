//! Decoys on one wire: which host a frame is for, the connections of all of them, and time.

mod fetch;
mod ipv6;
mod slots;
mod turns;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use siphasher::sip::SipHasher13;
use trapline_wire::build::{self, Ip};
use trapline_wire::tcp::{TcpView, flags};
use trapline_wire::udp::UdpView;
use trapline_wire::{Frame, LinkType, Packet, Reading, Time, Transport, checksum, decode};

use self::fetch::Fetching;
use crate::accept::Accept;
use crate::fragments::{Datagram, Fragments, Piece};
use crate::frames::{ARP, BROADCAST, Frames, IPV4, IPV6, Mac, ethernet};
use crate::host::{Heard, Host, Port, Ports, Wire};
use crate::layout::Offer;
use crate::limits::{self, Counts};
use crate::numbers::Random;
use crate::options;
use crate::record::{Record, Said, Upload};
use crate::service::{Budget, Event, Orders, Service, Turn};
use crate::services::{Kind, datagram};
use crate::site::Site;
use crate::tcp::connection::{Connection, End, State};
use crate::tcp::half_open::HalfOpen;
use crate::tcp::{Agreed, Flow, Key, Segment, hash_address};

/// No place in the slab.
const NOBODY: u32 = u32::MAX;

/// Decoys that share a wire.
#[derive(Debug)]
pub struct Decoys {
    hosts: Vec<Host>,
    by_address: HashMap<Address, u32, Keyed>,
    half_open: HalfOpen,
    /// What hosts remember of who tried to get in; only of those where somebody did.
    accept: BTreeMap<u32, Accept>,
    exchanges: Budget,
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_key: HashMap<Key, u32, Keyed>,
    of_source: HashMap<(u32, IpAddr), u32>,
    /// The ends of the list of connections by when they were last used: the oldest, the latest.
    oldest: u32,
    latest: u32,
    /// When to look at which connection; entries that are too early are looked at in vain.
    due: BinaryHeap<Reverse<(Time, u32)>>,
    expected: HashMap<(u32, u16), Expected>,
    held: usize,
    /// Answers that were longer than their question, and since when they are counted.
    longer: (Time, u32),
    fetches: Vec<Fetching>,
    fragments: Fragments,
    counts: Counts,
    records: Vec<Record>,
    record_bytes: usize,
    uploads: Vec<Upload>,
    upload_bytes: usize,
    now: Time,
    got: Vec<u8>,
}

/// Whose address it is, hashed in one word or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Address(IpAddr);

impl Hash for Address {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hash_address(self.0, hasher);
    }
}

/// Hashes keys with a secret, so that nobody can choose peers that collide.
#[derive(Clone, Copy, Debug)]
struct Keyed(u64, u64);

impl std::hash::BuildHasher for Keyed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

/// A connection with what it belongs to.
#[derive(Debug)]
struct Slot {
    connection: Option<Connection>,
    talk: Option<Talk>,
    owner: Owner,
    /// Its own data connection.
    data: u32,
    heard: u64,
    said: u64,
    used: Time,
    idle_for: Time,
    wake: Option<Time>,
    /// When the heap will look at it next.
    queued: Time,
    held: usize,
    /// Whether the host closed its side.
    ended: bool,
    /// Whether the owner knows that all was said.
    said_told: bool,
    /// Whether its end is recorded.
    over: bool,
    older: u32,
    newer: u32,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// Its own service's.
    Itself,
    /// The data connection of that one.
    Another(u32),
    /// Nobody's any more: what is said is said, and nobody listens.
    Nobody,
}

/// The service of a connection.
#[derive(Debug)]
struct Talk {
    kind: Kind,
    service: Box<dyn Service>,
    site: Site,
}

/// A port that waits for a data connection.
#[derive(Clone, Copy, Debug)]
struct Expected {
    owner: u32,
    peer: IpAddr,
    until: Time,
}

impl Decoys {
    /// Hosts that have just been switched on. Of two hosts with one address the first has it. Everything random derives from `seed`.
    pub fn new(hosts: Vec<Host>, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut by_address = HashMap::with_hasher(Keyed(random.bits(), random.bits()));
        for (place, host) in hosts.iter().enumerate() {
            let v4 = host.wiring().addresses.iter().copied().filter(IpAddr::is_ipv4);
            for address in v4.chain(host.ipv6_addresses().map(IpAddr::V6)) {
                by_address.entry(Address(address)).or_insert(place as u32);
            }
        }
        Decoys {
            hosts,
            by_address,
            half_open: HalfOpen::new((random.bits(), random.bits())),
            accept: BTreeMap::new(),
            exchanges: Budget::default(),
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::with_hasher(Keyed(random.bits(), random.bits())),
            of_source: HashMap::new(),
            oldest: NOBODY,
            latest: NOBODY,
            due: BinaryHeap::new(),
            expected: HashMap::new(),
            held: 0,
            longer: (0, 0),
            fetches: Vec::new(),
            fragments: Fragments::default(),
            counts: Counts::default(),
            records: Vec::new(),
            record_bytes: 0,
            uploads: Vec::new(),
            upload_bytes: 0,
            now: 0,
            got: Vec::new(),
        }
    }

    /// The hosts.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// From now on the ports of the host at this place do this; connections that there are go on.
    pub fn set_ports(&mut self, place: usize, ports: Arc<Ports>) {
        if let Some(host) = self.hosts.get_mut(place) {
            host.set_ports(ports);
        }
    }

    /// What met a limit so far.
    pub fn counts(&self) -> Counts {
        let (half_open_forgotten, fragments_dropped) = (self.half_open.forgotten, self.fragments.dropped);
        let not_exchanged = self.exchanges.refused;
        Counts { half_open_forgotten, fragments_dropped, not_exchanged, ..self.counts }
    }

    /// Bytes that are held for all connections.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Connections that there are.
    pub fn connections(&self) -> usize {
        self.by_key.len()
    }

    /// Takes away what was recorded.
    pub fn take_records(&mut self) -> Vec<Record> {
        self.record_bytes = 0;
        std::mem::take(&mut self.records)
    }

    /// Takes away the files that were left.
    pub fn take_uploads(&mut self) -> Vec<Upload> {
        self.upload_bytes = 0;
        std::mem::take(&mut self.uploads)
    }

    /// When [`Decoys::on_time`] is to be called next, at the latest.
    pub fn next(&self) -> Option<Time> {
        let due = self.due.peek().map(|Reverse((at, _))| *at);
        let fetches = self.fetches.iter().map(|f| f.again.min(f.until)).min();
        [due, self.half_open.next(), fetches].into_iter().flatten().min()
    }

    /// Takes an Ethernet frame at `now`; what the hosts say to it is added to `out`.
    ///
    /// A frame for somebody else, a damaged one and one with a wrong checksum get no answer, as from any host.
    pub fn on_frame(&mut self, now: Time, frame: &[u8], out: &mut Frames) {
        // A clock that steps back stands still here: waits would otherwise last as long as the step.
        self.now = self.now.max(now);
        let Some((to, from, ethertype, payload)) = ethernet(frame) else { return };
        // Nobody sends from a group address; an answer would go to everybody.
        if from[0] & 1 == 1 {
            return;
        }
        match ethertype {
            ARP => self.arp(to, from, payload, out),
            IPV4 if to != BROADCAST => self.ipv4(to, from, frame, payload, out),
            IPV6 => self.ipv6(to, from, frame, payload, out),
            _ => {}
        }
    }

    fn arp(&mut self, to: Mac, from: Mac, request: &[u8], out: &mut Frames) {
        let Some((head, body)) = request.split_first_chunk::<8>() else { return };
        let Some((fields, _)) = body.split_first_chunk::<20>() else { return };
        let wanted = Ipv4Addr::new(fields[16], fields[17], fields[18], fields[19]);
        let Some(host) =
            self.by_address.get(&Address(wanted.into())).and_then(|place| self.hosts.get(*place as usize))
        else {
            return;
        };
        if to == BROADCAST || to == host.wiring().mac {
            host.arp(from, head, fields, wanted, out);
        }
    }

    fn ipv4(&mut self, to: Mac, from_mac: Mac, frame: &[u8], payload: &[u8], out: &mut Frames) {
        let frame =
            Frame { time: self.now, wire_len: frame.len() as u32, link: LinkType::ETHERNET, data: frame };
        let Reading::Ip(packet) = decode(&frame) else { return };
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (packet.src, packet.dst) else { return };
        let Some(place) = self.by_address.get(&Address(packet.dst)).copied() else { return };
        let Some(bytes) = payload.get(..packet.ip_len as usize) else { return };
        let stranger = src.is_unspecified() || src.is_broadcast() || src.is_multicast() || src == dst;
        if stranger || to != self.hosts[place as usize].wiring().mac || checksum::of(packet.header, 0) != 0 {
            return;
        }
        if options::is_routed_by_source(packet.header.get(20..).unwrap_or_default()) {
            return;
        }
        if let Some(fragment) = packet.fragment {
            let of =
                Datagram { src: packet.src, dst: packet.dst, id: fragment.id, protocol: packet.protocol };
            let payload = bytes.get(usize::from(packet.ip_header_len)..).unwrap_or_default();
            let (header, offset) = (packet.header, fragment.offset as usize);
            let piece = Piece { header, offset, more: fragment.more, payload };
            let overlap = self.hosts[place as usize].persona().overlap;
            if let Some(whole) = self.fragments.take(self.now, of, &piece, overlap) {
                let mut frame = Vec::with_capacity(14 + whole.len());
                build::ethernet(&mut frame, to, from_mac, IPV4);
                frame.extend_from_slice(&whole);
                self.ipv4(to, from_mac, &frame, &whole, out);
            }
            return;
        }
        if !transport_checksum_is_right(&packet, bytes) {
            return;
        }
        let header = usize::from(packet.ip_header_len);
        let heard = Heard { now: self.now, from_mac, src: packet.src, dst: packet.dst, header, bytes };
        match packet.transport {
            Transport::Tcp(tcp) => self.tcp(place, &heard, &tcp, out),
            Transport::Udp(udp) => self.udp(place, &heard, &udp, out),
            Transport::Icmp(icmp) => self.hosts[place as usize].icmp(&heard, &icmp, out),
            _ => {}
        }
    }

    fn tcp(&mut self, place: u32, heard: &Heard<'_>, tcp: &TcpView<'_>, out: &mut Frames) {
        let Some(segment) = Segment::read(tcp) else { return };
        let (port, peer_port) = (tcp.dst_port(), tcp.src_port());
        let key = Key { host: place, local: heard.dst, peer: heard.src, port, peer_port };
        if let Some(id) = self.by_key.get(&key).copied() {
            let renewed = self.is_renewed(id, &segment);
            if !renewed {
                return self.segment(id, heard.from_mac, tcp, &segment, out);
            }
            self.finish(id, out);
        }
        let host = &mut self.hosts[place as usize];
        let does = host.wiring().ports.tcp(port);
        let expected = self.expected.get(&(place, port)).copied();
        let expected = expected.filter(|e| e.peer == heard.src && e.until >= self.now);
        let open = matches!(does, Port::Service(_) | Port::Record | Port::Tarpit) || expected.is_some();
        if does == Port::Silent && expected.is_none() {
            return;
        }
        if segment.has(flags::RST) {
            return self.half_open.reset(&key, segment.seq);
        }
        if open && host.opens(segment.flags) {
            return host.opening(heard, tcp, key, &mut self.half_open, out);
        }
        if open && segment.has(flags::ACK) && !segment.has(flags::SYN) {
            if does == Port::Tarpit {
                return host.tarpit(heard, &segment, key, out);
            }
            if let Some((handshake, by_cookie)) =
                host.completed(self.now, &key, &segment, &mut self.half_open)
            {
                self.counts.by_cookie += u64::from(by_cookie);
                let flow = Flow { key, mac: heard.from_mac };
                let connection = Connection::accepted(self.now, flow, handshake);
                let id = match expected {
                    Some(Expected { owner, .. }) => {
                        self.expected.remove(&(place, port));
                        let id = self.add(connection, None, Owner::Another(owner), out);
                        self.slots[owner as usize].data = id;
                        id
                    }
                    None => {
                        let kind = if let Port::Service(kind) = does { kind } else { Kind::Record };
                        self.add(connection, Some(kind), Owner::Itself, out)
                    }
                };
                self.opened(id, out);
                return self.segment(id, heard.from_mac, tcp, &segment, out);
            }
        }
        self.hosts[place as usize].stray(heard, tcp, open, out);
    }

    /// Whether this SYN begins a new connection where an old one is only remembered (RFC 9293 3.10.7.4, RFC 6191).
    fn is_renewed(&self, id: u32, segment: &Segment<'_>) -> bool {
        let ended = self.slots[id as usize].connection.as_ref().is_some_and(|c| c.state == State::TimeWait);
        ended && segment.has(flags::SYN) && !segment.has(flags::RST | flags::ACK)
    }

    fn udp(&mut self, place: u32, heard: &Heard<'_>, udp: &UdpView<'_>, out: &mut Frames) {
        let port = udp.dst_port();
        let fetching = |f: &Fetching| {
            (f.flow.key.host, f.flow.key.peer, f.flow.key.port) == (place, heard.src, port)
                && f.server_port.is_none_or(|p| p == udp.src_port())
        };
        if let Some(at) = self.fetches.iter().position(fetching) {
            return self.fetched(at, udp.src_port(), udp.payload(), out);
        }
        let host = &mut self.hosts[place as usize];
        match host.wiring().ports.udp(port) {
            Port::Closed => host.unreachable(heard, out),
            Port::Silent | Port::Tarpit => {}
            does @ (Port::Record | Port::Service(_)) => {
                let kind = if let Port::Service(kind) = does { kind } else { Kind::Record };
                let site = host.site();
                let mut orders = Orders::default();
                let mut turn = Turn {
                    now: self.now,
                    peer: heard.src,
                    peer_port: udp.src_port(),
                    local: heard.dst,
                    port,
                    mac: host.wiring().mac,
                    site: &site,
                    accept: self.accept.entry(place).or_default(),
                    exchanges: &mut self.exchanges,
                    data_port: 0,
                    orders: &mut orders,
                };
                let question = udp.payload();
                datagram::answer(kind, question, &mut turn);
                let key =
                    Key { host: place, local: heard.dst, peer: heard.src, port, peer_port: udp.src_port() };
                for said in std::mem::take(&mut orders.records) {
                    self.note(&key, "udp", kind.name(), said);
                }
                if orders.say.len() > question.len() && !self.may_be_longer(kind) {
                    self.counts.too_long += 1;
                } else if !orders.say.is_empty() {
                    let flow = Flow { key, mac: heard.from_mac };
                    self.hosts[place as usize].datagram(&flow, &orders.say, out);
                }
            }
        }
    }

    /// Whether an answer may be longer than its question: of services that cannot do otherwise, a few.
    fn may_be_longer(&mut self, kind: Kind) -> bool {
        let (since, count) = &mut self.longer;
        if self.now - *since >= limits::LONGER_ANSWERS_IN {
            (*since, *count) = (self.now, 0);
        }
        *count += 1;
        kind == Kind::NetbiosNames && *count <= limits::LONGER_ANSWERS
    }

    /// Does what is due at `now`: what went unanswered again, what services waited for, what was idle too long.
    pub fn on_time(&mut self, now: Time, out: &mut Frames) {
        self.now = self.now.max(now);
        let now = self.now;
        loop {
            let hosts = &self.hosts;
            let wait = |key: &Key, n: u8| hosts[key.host as usize].persona().syn_ack_again(n);
            let Some((key, frame, length)) = self.half_open.again(now, wait) else { break };
            self.hosts[key.host as usize].again(frame[..length].to_vec(), out);
        }
        while let Some(Reverse((at, id))) = self.due.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.due.pop();
            let Some(slot) =
                self.slots.get_mut(id as usize).filter(|s| s.queued == at && s.connection.is_some())
            else {
                continue;
            };
            slot.queued = Time::MAX;
            self.look_at(id, out);
        }
        self.expected.retain(|_, expected| expected.until >= now);
        self.ask_again(out);
    }

    fn look_at(&mut self, id: u32, out: &mut Frames) {
        let now = self.now;
        let slot = &mut self.slots[id as usize];
        let woken = slot.wake.take_if(|wake| *wake <= now).is_some();
        let idle = now - slot.used >= slot.idle_for;
        if let Some(connection) = &mut slot.connection {
            let host = &mut self.hosts[connection.flow.key.host as usize];
            let mut wire = Wire { host, out, now };
            connection.on_time(&mut wire);
            if idle && connection.state != State::Closed {
                slot.used = now;
                // Who does not answer a close that was meant politely is reset.
                if slot.ended {
                    connection.reset(&mut wire)
                } else {
                    connection.close()
                }
                slot.ended = true;
                connection.flush(&mut wire);
            }
        }
        if woken {
            self.tell(id, Event::Woken, out);
        }
        self.settle(id, out);
    }

    /// A segment of a connection.
    fn segment(&mut self, id: u32, mac: Mac, tcp: &TcpView<'_>, segment: &Segment<'_>, out: &mut Frames) {
        let now = self.now;
        let slot = &mut self.slots[id as usize];
        slot.used = now;
        let Some(connection) = &mut slot.connection else { return };
        connection.flow.mac = mac;
        let host = &mut self.hosts[connection.flow.key.host as usize];
        if connection.state == State::SynSent && segment.has(flags::SYN) {
            let offer = Offer::read(tcp.options(), false);
            if let Some(opening) = host.persona().opening() {
                connection.agree(Agreed::of(&offer, opening));
            }
        }
        let mut got = std::mem::take(&mut self.got);
        got.clear();
        let brought = connection.on_segment(segment, &mut Wire { host, out, now }, &mut got);
        slot.heard += got.len() as u64;
        self.counts.beyond_gaps += brought.dropped as u64;
        self.touch(id);
        if brought.opened {
            self.opened(id, out);
        }
        if !got.is_empty() {
            self.tell(id, Event::Heard(&got), out);
        }
        self.got = got;
        if brought.ended {
            self.tell(id, Event::Ended, out);
        }
        self.settle(id, out);
        // Whoever says much is met by what all hold together: those go that were idle longest, and this one stays.
        while self.held > limits::HELD_BYTES && self.push_out(|slot| slot.held > 0, id, out) {}
    }

    fn opened(&mut self, id: u32, out: &mut Frames) {
        self.counts.opened += 1;
        if self.slots[id as usize].owner == Owner::Itself {
            self.record(id, Said::Opened);
        }
        self.tell(id, Event::Opened, out);
    }

    fn break_off(&mut self, id: u32, out: &mut Frames) {
        let now = self.now;
        if let Some(connection) = &mut self.slots[id as usize].connection {
            let host = &mut self.hosts[connection.flow.key.host as usize];
            connection.reset(&mut Wire { host, out, now });
        }
        self.settle(id, out);
    }

    /// Sends what a connection may send, tells what that ended, and arranges when to look at it next.
    fn settle(&mut self, id: u32, out: &mut Frames) {
        let now = self.now;
        let slot = &mut self.slots[id as usize];
        let Some(connection) = &mut slot.connection else { return };
        let host = &mut self.hosts[connection.flow.key.host as usize];
        connection.flush(&mut Wire { host, out, now });
        let held = connection.held() + slot.talk.as_ref().map_or(0, |talk| talk.service.held());
        self.held = self.held - slot.held + held;
        slot.held = held;
        match connection.state {
            State::Closed => return self.finish(id, out),
            State::TimeWait => self.over(id),
            _ => {}
        }
        let slot = &mut self.slots[id as usize];
        let Some(connection) = &slot.connection else { return };
        let said = slot.ended && connection.unsaid() == 0 && !slot.said_told;
        slot.said_told |= said;
        let wanted = [connection.timer(), slot.wake, Some(slot.used.saturating_add(slot.idle_for))];
        let wanted = wanted.into_iter().flatten().min().unwrap_or(Time::MAX);
        if wanted < slot.queued {
            slot.queued = wanted;
            self.due.push(Reverse((wanted, id)));
        }
        if let Owner::Another(owner) = slot.owner
            && said
        {
            self.turn(owner, Event::DataSaid, out);
        }
    }

    /// A connection is over: its record, its service, its place.
    fn finish(&mut self, id: u32, out: &mut Frames) {
        self.over(id);
        let slot = &mut self.slots[id as usize];
        let (owner, data) = (slot.owner, std::mem::replace(&mut slot.data, NOBODY));
        self.remove(id);
        if data != NOBODY {
            self.slots[data as usize].owner = Owner::Nobody;
            self.break_off(data, out);
        }
        self.expected.retain(|_, expected| expected.owner != id);
        if let Owner::Another(owner) = owner
            && self.slots[owner as usize].data == id
        {
            self.slots[owner as usize].data = NOBODY;
            self.turn(owner, Event::DataEnded, out);
        }
    }

    /// Nothing is said on a connection any more, though it may be remembered for a while: its records, and its service goes.
    fn over(&mut self, id: u32) {
        let slot = &mut self.slots[id as usize];
        if std::mem::replace(&mut slot.over, true) {
            return;
        }
        let end = slot.connection.as_ref().and_then(|c| c.end).unwrap_or(End::Closed);
        let how = match end {
            End::Closed => "closed",
            End::ResetByPeer => "reset-by-peer",
            End::Reset => "reset",
            End::GivenUp => "given-up",
        };
        self.counts.given_up += u64::from(end == End::GivenUp);
        let (heard, said) = (slot.heard, slot.said);
        if slot.owner == Owner::Itself {
            // What a service has begun to keep, it records when it hears of the end.
            self.turn_at_the_end(id);
            self.record(id, Said::Ended { how, heard, said });
        }
    }
}

/// TCP, UDP (where it has one) and ICMP checksums, over the whole of an unfragmented packet.
fn transport_checksum_is_right(packet: &Packet<'_>, bytes: &[u8]) -> bool {
    let Some(body) = bytes.get(usize::from(packet.ip_header_len)..) else { return false };
    match packet.transport {
        Transport::Icmp(_) if packet.src.is_ipv4() => checksum::of(body, 0) == 0,
        Transport::Udp(_) if body.get(6..8) == Some(&[0, 0]) => true,
        _ => {
            let ip = Ip::new(packet.src, packet.dst);
            checksum::of(body, checksum::pseudo_header(&ip, packet.protocol, body.len())) == 0
        }
    }
}

#[cfg(test)]
mod tests;
