//! SOCKS 4, 4a and 5 (RFC 1928, 1929): says that the way is open or asks for a password, and never forwards anything. What the visitor
//! would have sent through it is recorded.

use std::net::Ipv4Addr;

use crate::limits::RECORDED;
use crate::record::{Said, Text};
use crate::service::{Event, Service, Turn};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Greeting,
    Password,
    Request,
    Through,
}

#[derive(Debug)]
pub(super) struct Socks {
    at: At,
    begun: Vec<u8>,
    through: u64,
}

impl Socks {
    pub fn new() -> Self {
        Socks { at: At::Greeting, begun: Vec::new(), through: 0 }
    }

    /// Takes one message; how long it was, or nothing while it is not whole.
    fn message(&mut self, turn: &mut Turn<'_>) -> Option<usize> {
        match (self.at, self.begun.as_slice()) {
            (At::Greeting, [4, command, p, q, rest @ ..]) => {
                let used = version_4(*command, u16::from_be_bytes([*p, *q]), rest, turn)?;
                self.at = At::Through;
                Some(used)
            }
            (At::Greeting, [5, count, methods @ ..]) => {
                let methods = methods.get(..usize::from(*count))?;
                let length = 2 + methods.len();
                let (method, at) = if methods.contains(&2) {
                    (2, At::Password)
                } else if methods.contains(&0) {
                    (0, At::Request)
                } else {
                    (0xff, At::Through)
                };
                self.at = at;
                turn.say([5, method]);
                Some(length)
            }
            (At::Password, [1, n, rest @ ..]) => {
                let user = rest.get(..usize::from(*n))?;
                let (m, rest) = rest[user.len()..].split_first()?;
                let password = rest.get(..usize::from(*m))?;
                let length = 3 + user.len() + password.len();
                let (user, password) = (user.to_vec(), password.to_vec());
                let accepted = turn.login(&user, &password);
                turn.say([1, u8::from(!accepted)]);
                self.at = if accepted { At::Request } else { At::Through };
                if !accepted {
                    turn.close();
                }
                Some(length)
            }
            (At::Request, [5, command, _, kind, rest @ ..]) => {
                let (target, length) = match kind {
                    1 => (Ipv4Addr::from(*rest.first_chunk::<4>()?).to_string(), 4),
                    4 => (std::net::Ipv6Addr::from(*rest.first_chunk::<16>()?).to_string(), 16),
                    _ => {
                        let (n, name) = rest.split_first()?;
                        (Text::from(name.get(..usize::from(*n))?).to_string(), 1 + usize::from(*n))
                    }
                };
                let port = u16::from_be_bytes(*rest.get(length..)?.first_chunk::<2>()?);
                asked(*command, &format!("{target}:{port}"), turn);
                let [a, b, c, d] = turn.local_v4().octets();
                turn.say([5, if *command == 1 { 0 } else { 7 }, 0, 1, a, b, c, d, 4, 0x38]);
                self.at = At::Through;
                Some(4 + length + 2)
            }
            (At::Greeting, [0..=3 | 6.., ..])
            | (At::Password, [0 | 2.., ..])
            | (At::Request, [0..=4 | 6.., ..]) => {
                turn.close();
                self.at = At::Through;
                Some(0)
            }
            _ => None,
        }
    }
}

/// A request of version 4 or 4a, without its first four bytes.
fn version_4(command: u8, port: u16, rest: &[u8], turn: &mut Turn<'_>) -> Option<usize> {
    let (address, rest) = rest.split_first_chunk::<4>()?;
    let user = rest.iter().position(|byte| *byte == 0)?;
    let mut length = 4 + 4 + user + 1;
    let mut target = Ipv4Addr::from(*address).to_string();
    if address[..3] == [0; 3] && address[3] != 0 {
        let name = &rest[user + 1..];
        let end = name.iter().position(|byte| *byte == 0)?;
        target = Text::from(&name[..end]).to_string();
        length += end + 1;
    }
    asked(command, &format!("{target}:{port}"), turn);
    turn.say([0, if command == 1 { 90 } else { 91 }, 0, 0, 0, 0, 0, 0]);
    Some(length)
}

fn asked(command: u8, target: &str, turn: &mut Turn<'_>) {
    let method = match command {
        1 => "CONNECT",
        2 => "BIND",
        _ => "UDP ASSOCIATE",
    };
    turn.record(Said::Request { method: method.into(), target: target.into(), whole: Text::default() });
}

impl Service for Socks {
    fn on(&mut self, event: Event<'_>, turn: &mut Turn<'_>) {
        match event {
            Event::Heard(bytes) => {
                self.through += bytes.len() as u64;
                let room = RECORDED.saturating_sub(self.begun.len()).min(bytes.len());
                self.begun.extend_from_slice(&bytes[..room]);
                while self.at != At::Through
                    && let Some(used) = self.message(turn)
                {
                    self.begun.drain(..used);
                    self.through = self.begun.len() as u64;
                }
            }
            Event::Ended => turn.close(),
            Event::Gone if !self.begun.is_empty() => {
                let data = Text(std::mem::take(&mut self.begun));
                turn.record(Said::Bytes { data, bytes: self.through });
            }
            _ => {}
        }
    }

    fn held(&self) -> usize {
        self.begun.len()
    }
}
