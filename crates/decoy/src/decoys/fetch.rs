//! Files that peers tell a host to get: by TFTP (RFC 1350), from the very peer that told it, bounded in size and time.

use trapline_wire::Time;

use super::Decoys;
use crate::frames::{Frames, Mac};
use crate::limits;
use crate::record::Text;
use crate::service::Fetch;
use crate::tcp::{Flow, Key};

/// A file that is being fetched by TFTP (RFC 1350).
#[derive(Debug)]
pub(super) struct Fetching {
    /// The connection on which it was asked for, with its Ethernet address; the local port is the transfer's.
    pub flow: Flow,
    /// The port that the server answers from.
    pub server_port: Option<u16>,
    pub service: &'static str,
    pub file: Vec<u8>,
    pub block: u16,
    pub bytes: u64,
    pub kept: Vec<u8>,
    pub until: Time,
    pub again: Time,
}

impl Decoys {
    /// Begins to fetch a file from who told the host to, and from nobody else.
    pub(super) fn fetch(
        &mut self,
        key: &Key,
        mac: Mac,
        service: &'static str,
        fetch: Fetch,
        out: &mut Frames,
    ) {
        let host = &mut self.hosts[key.host as usize];
        if !host.wiring().fetch || fetch.server != key.peer || fetch.file.len() > 255 {
            return;
        }
        if self.fetches.len() >= limits::FETCHES {
            self.counts.not_fetched += 1;
            return;
        }
        let Some(port) = host.ephemeral_ports().next() else { return };
        host.use_ephemeral_port(port);
        let flow = Flow { key: Key { port, peer_port: TFTP, ..*key }, mac };
        let (until, again) = (self.now + limits::FETCH_FOR, self.now);
        let (file, kept) = (fetch.file, Vec::new());
        self.fetches.push(Fetching {
            flow,
            server_port: None,
            service,
            file,
            block: 0,
            bytes: 0,
            kept,
            until,
            again,
        });
        self.ask_again(out);
    }

    /// Asks for the files whose next part is overdue, and gives those up that take too long.
    pub(super) fn ask_again(&mut self, out: &mut Frames) {
        let now = self.now;
        let mut at = 0;
        while let Some(fetching) = self.fetches.get_mut(at) {
            if fetching.until <= now {
                self.counts.not_fetched += 1;
                let Fetching { flow, service, file, bytes, kept, .. } = self.fetches.swap_remove(at);
                if bytes > 0 {
                    self.keep(&flow.key, service, Text(file), bytes, kept);
                }
                continue;
            }
            if fetching.again <= now {
                fetching.again = now + limits::FETCH_AGAIN;
                let question = match fetching.server_port {
                    None => [&[0, 1], &fetching.file[..], b"\0octet\0"].concat(),
                    Some(_) => acknowledgement(fetching.block),
                };
                self.hosts[fetching.flow.key.host as usize].datagram(&fetching.flow, &question, out);
            }
            at += 1;
        }
    }

    /// A part of a file.
    pub(super) fn fetched(&mut self, at: usize, from: u16, message: &[u8], out: &mut Frames) {
        const BLOCK: usize = 512;
        let fetching = &mut self.fetches[at];
        let [0, 3, high, low, data @ ..] = message else {
            // An error, or no TFTP at all.
            self.counts.not_fetched += 1;
            self.fetches.swap_remove(at);
            return;
        };
        let block = u16::from_be_bytes([*high, *low]);
        if block != fetching.block.wrapping_add(1) || data.len() > BLOCK {
            return;
        }
        fetching.server_port = Some(from);
        fetching.flow.key.peer_port = from;
        fetching.block = block;
        fetching.bytes += data.len() as u64;
        fetching.again = self.now + limits::FETCH_AGAIN;
        let room = limits::UPLOAD.saturating_sub(fetching.kept.len()).min(data.len());
        fetching.kept.extend_from_slice(&data[..room]);
        let flow = fetching.flow;
        self.hosts[flow.key.host as usize].datagram(&flow, &acknowledgement(block), out);
        if data.len() < BLOCK || self.fetches[at].kept.len() >= limits::UPLOAD {
            let Fetching { service, file, bytes, kept, .. } = self.fetches.swap_remove(at);
            self.keep(&flow.key, service, Text(file), bytes, kept);
        }
    }
}

/// Where TFTP servers listen.
const TFTP: u16 = 69;

fn acknowledgement(block: u16) -> Vec<u8> {
    [&[0, 4][..], &block.to_be_bytes()].concat()
}
