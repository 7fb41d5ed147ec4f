//! DCE/RPC (C706) as far as visitors of Windows go: bind, the endpoint mapper at 135, shares and server information on a pipe. Any other
//! call is recorded and answered with a fault.

use crate::limits::RECORDED;
use crate::record::{Said, Text};
use crate::service::{Event, Service, Turn};
use crate::site::Site;

/// Bytes of a fragment's header.
const HEADER: usize = 16;
/// The longest fragment that is read.
const FRAGMENT: usize = 65_535;

const REQUEST: u8 = 0;
const RESPONSE: u8 = 2;
const FAULT: u8 = 3;
const BIND: u8 = 11;
const BIND_ACK: u8 = 12;
const ALTER: u8 = 14;
const ALTER_ACK: u8 = 15;

/// Identifiers of interfaces as they go over the wire.
type Uuid = [u8; 16];

/// The transfer syntax NDR, version 2.
const NDR: Uuid =
    [0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8, 0x08, 0x00, 0x2b, 0x10, 0x48, 0x60];
const ENDPOINT_MAPPER: Uuid =
    [0x08, 0x83, 0xaf, 0xe1, 0x1f, 0x5d, 0xc9, 0x11, 0x91, 0xa4, 0x08, 0x00, 0x2b, 0x14, 0xa0, 0xfa];
const SERVER_SERVICE: Uuid =
    [0xc8, 0x4f, 0x32, 0x4b, 0x70, 0x16, 0xd3, 0x01, 0x12, 0x78, 0x5a, 0x47, 0xbf, 0x6e, 0xe1, 0x88];
/// `ISystemActivator` and `IRemoteActivation`, whose overflow (MS03-026) Blaster came through.
const ACTIVATORS: [Uuid; 2] = [
    [0xa0, 0x01, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46],
    [0xb8, 0x4a, 0x9f, 0x4d, 0x1c, 0x7d, 0xcf, 0x11, 0x86, 0x1e, 0x00, 0x20, 0xaf, 0x6e, 0x7c, 0x57],
];
/// What the endpoint mapper of Windows 2000 knows: the task scheduler and the messenger service.
const MAPPED: [(Uuid, &str); 2] = [
    ([0x82, 0x06, 0xf7, 0x1f, 0x51, 0x0a, 0xe8, 0x30, 0x07, 0x6d, 0x74, 0x0b, 0xe8, 0xce, 0xe9, 0x8b], ""),
    (
        [0xf8, 0x91, 0x7b, 0x5a, 0x00, 0xff, 0xd0, 0x11, 0xa9, 0xb2, 0x00, 0xc0, 0x4f, 0xb6, 0xe6, 0xfc],
        "Messenger Service",
    ),
];
/// No endpoint is registered (`EPT_S_NOT_REGISTERED`).
const NOT_REGISTERED: u32 = 0x16c9_a0d6;
/// Operation number out of range (`nca_s_op_rng_error`).
const OUT_OF_RANGE: u32 = 0x1c01_0002;

/// What a server shows on its pipes.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub name: String,
    pub comment: &'static str,
    pub shares: Vec<(String, u32, &'static str)>,
    pub version: (u32, u32),
}

/// One binding: fragments in, fragments out.
#[derive(Debug)]
pub(super) struct Rpc {
    begun: Vec<u8>,
    /// Contexts that were bound, with their interfaces.
    bound: Vec<(u16, Uuid)>,
    /// Arguments of a call in more than one fragment.
    stub: Vec<u8>,
    /// What the answer to a bind names: the port or pipe.
    address: &'static str,
    server: Option<Server>,
}

impl Rpc {
    pub fn new(address: &'static str, server: Option<Server>) -> Self {
        Rpc { begun: Vec::new(), bound: Vec::new(), stub: Vec::new(), address, server }
    }

    /// Takes bytes and returns what is answered.
    pub fn take(&mut self, bytes: &[u8], turn: &mut Turn<'_>) -> Vec<u8> {
        self.begun.extend_from_slice(bytes);
        let mut answers = Vec::new();
        loop {
            let sensible = self.begun.first().is_none_or(|version| *version == 5);
            if !sensible || self.begun.len() > FRAGMENT {
                turn.bytes(&self.begun);
                self.begun.clear();
                turn.close();
                return answers;
            }
            let Some(length) = le16(&self.begun, 8).map(usize::from).filter(|n| *n <= self.begun.len())
            else {
                return answers;
            };
            if length < HEADER {
                self.begun.clear();
                turn.reset();
                return answers;
            }
            let fragment: Vec<u8> = self.begun.drain(..length).collect();
            if let Some(answer) = self.fragment(&fragment, turn) {
                answers.extend(answer);
            }
        }
    }

    /// Bytes held for it.
    pub fn held(&self) -> usize {
        self.begun.len() + self.stub.len()
    }

    /// What is there of a fragment that never became whole.
    pub fn begun(&self) -> &[u8] {
        &self.begun
    }

    fn fragment(&mut self, fragment: &[u8], turn: &mut Turn<'_>) -> Option<Vec<u8>> {
        let call = le32(fragment, 12)?;
        match fragment[2] {
            kind @ (BIND | ALTER) => self.bind(kind, call, fragment),
            REQUEST => {
                let (context, operation) = (le16(fragment, 20)?, le16(fragment, 22)?);
                let object = usize::from(fragment[3] & 0x80 != 0) * 16;
                let secured = le16(fragment, 10).filter(|n| *n > 0).map_or(0, |n| usize::from(n) + 8);
                let end = fragment.len().saturating_sub(secured);
                let stub = fragment.get(24 + object..end).unwrap_or_default();
                let room = RECORDED.saturating_sub(self.stub.len()).min(stub.len());
                self.stub.extend_from_slice(&stub[..room]);
                const LAST: u8 = 2;
                if fragment[3] & LAST == 0 {
                    return None;
                }
                let stub = std::mem::take(&mut self.stub);
                let interface = self.bound.iter().find(|(id, _)| *id == context).map(|(_, uuid)| *uuid)?;
                turn.record(Said::Request {
                    method: format!("opnum {operation}").as_str().into(),
                    target: written(&interface).as_str().into(),
                    whole: Text(stub.clone()),
                });
                Some(match self.call(&interface, operation, &stub, turn) {
                    Ok(result) => {
                        let mut body = (result.len() as u32).to_le_bytes().to_vec();
                        body.extend(context.to_le_bytes());
                        body.extend([0, 0]);
                        body.extend(result);
                        framed(RESPONSE, call, &body)
                    }
                    Err(status) => {
                        let mut body = vec![0; 4];
                        body.extend(context.to_le_bytes());
                        body.extend([0, 0]);
                        body.extend(status.to_le_bytes());
                        body.extend([0; 4]);
                        framed(FAULT, call, &body)
                    }
                })
            }
            _ => None,
        }
    }

    fn bind(&mut self, kind: u8, call: u32, fragment: &[u8]) -> Option<Vec<u8>> {
        let mut at = 28;
        let mut results = Vec::new();
        let count = *fragment.get(24)?;
        for _ in 0..count.min(16) {
            let (context, syntaxes) = (le16(fragment, at)?, *fragment.get(at + 2)?);
            let interface: Uuid = fragment.get(at + 4..at + 20)?.try_into().ok()?;
            let transfer: Uuid = fragment.get(at + 24..at + 40)?.try_into().ok()?;
            at += 24 + 20 * usize::from(syntaxes);
            let known = interface == ENDPOINT_MAPPER
                || ACTIVATORS.contains(&interface)
                || interface == SERVER_SERVICE && self.server.is_some();
            let accepted = known && transfer == NDR;
            if accepted && self.bound.len() < 64 {
                self.bound.push((context, interface));
            }
            // Accepted; else refused by the provider for an abstract (1) or a transfer syntax (2) that it does not know.
            let (result, reason) = if accepted { (0u16, 0u16) } else { (2, if known { 2 } else { 1 }) };
            results.extend(result.to_le_bytes());
            results.extend(reason.to_le_bytes());
            results.extend(if accepted { NDR } else { [0; 16] });
            results.extend(if accepted { 2u32 } else { 0 }.to_le_bytes());
        }
        let mut body = fragment.get(16..20)?.to_vec();
        body.extend(0x0000_4a2du32.to_le_bytes());
        let name = [self.address.as_bytes(), &[0]].concat();
        body.extend((name.len() as u16).to_le_bytes());
        body.extend(&name);
        body.resize(body.len().div_ceil(4) * 4, 0);
        body.extend([count, 0, 0, 0]);
        body.extend(results);
        Some(framed(if kind == BIND { BIND_ACK } else { ALTER_ACK }, call, &body))
    }

    fn call(&self, interface: &Uuid, operation: u16, stub: &[u8], turn: &Turn<'_>) -> Result<Vec<u8>, u32> {
        match (interface, operation, &self.server) {
            (&ENDPOINT_MAPPER, 2, _) => Ok(looked_up(stub, turn)),
            (&ENDPOINT_MAPPER, 3, _) => {
                // No towers: handle, count, an empty array, and why.
                let mut out = vec![0; 20];
                out.extend(0u32.to_le_bytes());
                let most = le32(stub, stub.len().saturating_sub(4)).unwrap_or(1).min(64);
                out.extend(most.to_le_bytes());
                out.extend([0; 8]);
                out.extend(NOT_REGISTERED.to_le_bytes());
                Ok(out)
            }
            (&SERVER_SERVICE, 15 | 36, Some(server)) => Ok(shares(server, stub)),
            (&SERVER_SERVICE, 21, Some(server)) => Ok(information(server)),
            _ => Err(OUT_OF_RANGE),
        }
    }
}

/// `ept_lookup`: everything that is mapped, at once.
fn looked_up(stub: &[u8], turn: &Turn<'_>) -> Vec<u8> {
    // Who comes with the handle of an earlier answer has had everything.
    let handle = stub.len().checked_sub(24).and_then(|at| stub.get(at..at + 20));
    if handle.is_some_and(|handle| handle.iter().any(|byte| *byte != 0)) {
        let mut out = vec![0; 20];
        out.extend([0; 16]);
        out.extend(NOT_REGISTERED.to_le_bytes());
        return out;
    }
    let port = 1_025 + turn.site.draw("rpc port").below(12) as u16;
    let mut out = vec![0; 20];
    let count = MAPPED.len() as u32;
    for number in [count, count, 0, count] {
        out.extend(number.to_le_bytes());
    }
    for (place, (_, annotation)) in MAPPED.iter().enumerate() {
        out.extend([0; 16]);
        out.extend((place as u32 + 1).to_le_bytes());
        let text = [annotation.as_bytes(), &[0]].concat();
        out.extend(0u32.to_le_bytes());
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(&text);
        out.resize(out.len().div_ceil(4) * 4, 0);
    }
    for (interface, _) in MAPPED {
        let mut tower = 5u16.to_le_bytes().to_vec();
        for (protocol, version) in [(interface, 1u16), (NDR, 2)] {
            tower.extend(19u16.to_le_bytes());
            tower.push(0x0d);
            tower.extend(protocol);
            tower.extend(version.to_le_bytes());
            tower.extend([2, 0, 0, 0]);
        }
        tower.extend([1, 0, 0x0b, 2, 0, 0, 0]);
        tower.extend([1, 0, 0x07, 2, 0]);
        tower.extend(port.to_be_bytes());
        tower.extend([1, 0, 0x09, 4, 0]);
        tower.extend(turn.local_v4().octets());
        out.extend((tower.len() as u32).to_le_bytes());
        out.extend((tower.len() as u32).to_le_bytes());
        out.extend(&tower);
        out.resize(out.len().div_ceil(4) * 4, 0);
    }
    out.extend(0u32.to_le_bytes());
    out
}

/// `NetrShareEnum` (MS-SRVS 3.1.4.8) at the levels 1 and 2.
fn shares(server: &Server, stub: &[u8]) -> Vec<u8> {
    const UNKNOWN_LEVEL: u32 = 124;
    let level = level(stub).unwrap_or(1);
    let mut out = Vec::new();
    if !matches!(level, 1 | 2) {
        [level, level, 0, 0, 0, UNKNOWN_LEVEL].iter().for_each(|number| out.extend(number.to_le_bytes()));
        return out;
    }
    let count = server.shares.len() as u32;
    let mut pointer = 0x2_0004;
    let mut next = || {
        pointer += 4;
        pointer
    };
    let mut put = |number: u32| out.extend(number.to_le_bytes());
    [level, level, 0x2_0000, count, 0x2_0004, count].into_iter().for_each(&mut put);
    for (_, kind, _) in &server.shares {
        [next(), *kind, next()].into_iter().for_each(&mut put);
        if level == 2 {
            // No limit of users, none there, a path, no password.
            [0, u32::MAX, 0, next(), 0].into_iter().for_each(&mut put);
        }
    }
    for (name, kind, comment) in &server.shares {
        string(&mut out, name);
        string(&mut out, comment);
        if level == 2 {
            const PIPES: u32 = 3;
            string(&mut out, if kind & 0xff == PIPES { "" } else { "C:\\" });
        }
    }
    for number in [count, 0, 0] {
        out.extend(u32::to_le_bytes(number));
    }
    out
}

/// The level that a call asks for, after the name of the server.
fn level(stub: &[u8]) -> Option<u32> {
    if le32(stub, 0)? == 0 {
        return le32(stub, 4);
    }
    let name = (le32(stub, 12)? as usize).checked_mul(2)?.next_multiple_of(4);
    le32(stub, name.checked_add(16)?)
}

/// `NetrServerGetInfo` at level 101.
fn information(server: &Server) -> Vec<u8> {
    let mut out = Vec::new();
    // A workstation and server of the NT family.
    const KIND: u32 = 0x0000_9003;
    for number in [101, 0x2_0000, 500, 0x2_0004, server.version.0, server.version.1, KIND, 0x2_0008] {
        out.extend(u32::to_le_bytes(number));
    }
    string(&mut out, &server.name);
    string(&mut out, server.comment);
    out.extend(0u32.to_le_bytes());
    out
}

/// A conformant varying string of UTF-16 with its end.
fn string(out: &mut Vec<u8>, text: &str) {
    let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
    for number in [units.len() as u32, 0, units.len() as u32] {
        out.extend(number.to_le_bytes());
    }
    out.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    out.resize(out.len().div_ceil(4) * 4, 0);
}

fn framed(kind: u8, call: u32, body: &[u8]) -> Vec<u8> {
    let mut out = vec![5, 0, kind, 3, 0x10, 0, 0, 0];
    out.extend(((HEADER + body.len()) as u16).to_le_bytes());
    out.extend([0, 0]);
    out.extend(call.to_le_bytes());
    out.extend(body);
    out
}

/// An identifier as it is written.
fn written(uuid: &Uuid) -> String {
    let hex =
        |bytes: &mut dyn Iterator<Item = &u8>| bytes.map(|byte| format!("{byte:02x}")).collect::<String>();
    let (a, b, c) = (&uuid[..4], &uuid[4..6], &uuid[6..8]);
    let [a, b, c] = [a, b, c].map(|part| hex(&mut part.iter().rev()));
    format!("{a}-{b}-{c}-{}-{}", hex(&mut uuid[8..10].iter()), hex(&mut uuid[10..].iter()))
}

pub(super) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// What a Windows machine of that site is called in its network.
pub(super) fn netbios_name(site: &Site) -> String {
    site.machine().to_ascii_uppercase().chars().take(15).collect()
}

/// The workgroup or domain that it belongs to.
pub(super) fn workgroup(site: &Site) -> String {
    site.company().to_ascii_uppercase().chars().take(12).collect()
}

/// The endpoint mapper.
#[derive(Debug)]
pub(super) struct Mapper(Rpc);

impl Mapper {
    pub fn new() -> Self {
        Mapper(Rpc::new("135", None))
    }
}

impl Service for Mapper {
    fn on(&mut self, event: Event<'_>, turn: &mut Turn<'_>) {
        match event {
            Event::Heard(bytes) => {
                let answer = self.0.take(bytes, turn);
                turn.say(answer);
            }
            Event::Ended => turn.close(),
            Event::Gone if !self.0.begun().is_empty() => {
                turn.bytes(self.0.begun());
            }
            _ => {}
        }
    }

    fn held(&self) -> usize {
        self.0.held()
    }
}
