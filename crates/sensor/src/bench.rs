//! A bench: decoys on one end of a wire, this machine's own network stack and programs on the other.
//!
//! The wire is a TAP device in a network namespace of its own, which ends with the bench. It can be made to lose, repeat, delay and
//! reorder frames in both directions, because not every kernel has netem.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use trapline_decoy::numbers::Random;
use trapline_decoy::{Decoys, Frames};
use trapline_wire::Time;

/// This machine's address on the bench; all of 10.9.0.0/16 is on the wire.
pub const MACHINE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
/// Its IPv6 address; all of fd09::/64 is on the wire.
pub const MACHINE_V6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
/// The device.
pub const DEVICE: &str = "decoys0";

const MS: Time = 1_000_000;

/// What a wire does to frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    /// Frames that are lost, in percent.
    pub lost_percent: u32,
    /// Frames that arrive twice, in percent.
    pub twice_percent: u32,
    /// How long every frame takes, in milliseconds.
    pub delay_ms: u32,
    /// How much longer some take, in milliseconds: they are overtaken.
    pub jitter_ms: u32,
    /// From which chance derives.
    pub seed: u64,
}

/// The bench.
#[derive(Debug)]
pub struct Bench {
    decoys: Arc<Mutex<Decoys>>,
    over: Arc<AtomicBool>,
}

impl Bench {
    /// The decoys, which do not answer while they are looked at.
    pub fn decoys(&self) -> MutexGuard<'_, Decoys> {
        self.decoys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other decoys take their places.
    pub fn put(&self, decoys: Decoys) {
        *self.decoys() = decoys;
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` on a bench. Programs that it starts are on the bench too.
///
/// # Errors
/// Says why there can be none here: it needs root, the TUN driver and the program `ip`.
pub fn on_a_bench<R: Send>(trouble: Trouble, work: impl FnOnce(&Bench) -> R + Send) -> Result<R, String> {
    // The namespace belongs to one thread, and to what that thread starts.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            leave_the_network().map_err(|e| format!("no network namespace can be made here: {e}"))?;
            for words in [
                "link set lo up".to_owned(),
                format!("tuntap add dev {DEVICE} mode tap"),
                format!("addr add {MACHINE}/16 dev {DEVICE}"),
                format!("-6 addr add {MACHINE_V6}/64 dev {DEVICE} nodad"),
                format!("link set {DEVICE} up"),
            ] {
                let mut ip = Command::new("ip");
                let done = ip.args(words.split(' ')).stderr(Stdio::null()).status();
                if !done.map_err(|e| format!("ip: {e}"))?.success() {
                    return Err(format!("ip {words} failed"));
                }
            }
            let device = open(DEVICE).map_err(|e| format!("{DEVICE}: {e}"))?;
            let bench =
                Bench { decoys: Arc::new(Mutex::new(Decoys::new(Vec::new(), 0))), over: Arc::default() };
            let (decoys, over) = (Arc::clone(&bench.decoys), Arc::clone(&bench.over));
            let answering = std::thread::spawn(move || answer(device, &decoys, &over, trouble));
            let result = work(&bench);
            drop(bench);
            let _ = answering.join();
            Ok(result)
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Frames on their way through a troubled wire: when they arrive, which was sent first, whether to the decoys.
type OnTheirWay = BinaryHeap<Reverse<(Time, u64, bool, Vec<u8>)>>;

fn answer(mut device: File, decoys: &Mutex<Decoys>, over: &AtomicBool, trouble: Trouble) {
    let mut random = Random::new(trouble.seed);
    let mut frame = vec![0; 65_536];
    let mut out = Frames::default();
    let mut way = OnTheirWay::new();
    let mut count = 0;
    let mut arrivals = |now: Time, way: &mut OnTheirWay, to_decoys: bool, frame: &[u8]| {
        if random.below(100) < trouble.lost_percent {
            return;
        }
        for _ in 0..1 + u32::from(random.below(100) < trouble.twice_percent) {
            let late = trouble.delay_ms + random.below(1 + trouble.jitter_ms);
            count += 1;
            way.push(Reverse((now + Time::from(late) * MS, count, to_decoys, frame.to_vec())));
        }
    };
    while !over.load(Ordering::Relaxed) {
        let next = decoys.lock().unwrap_or_else(PoisonError::into_inner).next();
        let next = [next, way.peek().map(|Reverse((at, ..))| *at)].into_iter().flatten().min();
        let wait_ms = next.map_or(20, |at| (at - now()).div_euclid(MS).clamp(0, 20) + i64::from(at > now()));
        let come = readable(&device, wait_ms as i32);
        let now = now();
        if come && let Ok(length) = device.read(&mut frame) {
            arrivals(now, &mut way, true, &frame[..length]);
        }
        let mut decoys = decoys.lock().unwrap_or_else(PoisonError::into_inner);
        while way.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            let Some(Reverse((_, _, to_decoys, frame))) = way.pop() else { break };
            if to_decoys {
                decoys.on_frame(now, &frame, &mut out);
                out.iter().for_each(|frame| arrivals(now, &mut way, false, frame));
                out.clear();
            } else {
                // A frame that finds no room is lost, as on any wire.
                let _ = device.write(&frame);
            }
        }
        decoys.on_time(now, &mut out);
        out.iter().for_each(|frame| arrivals(now, &mut way, false, frame));
        out.clear();
    }
}

fn now() -> Time {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as Time
}

/// Opens the TAP device of that name in this network namespace; it must exist and be free.
fn open(name: &str) -> std::io::Result<File> {
    let file = File::options().read(true).write(true).open("/dev/net/tun")?;
    // struct ifreq: the name in 16 bytes, then flags, in all 40 bytes (linux/if.h).
    let mut request = [0u8; 40];
    let room = &mut request[..15];
    let length = name.len().min(room.len());
    room[..length].copy_from_slice(&name.as_bytes()[..length]);
    let flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
    request[16..18].copy_from_slice(&flags.to_ne_bytes());
    attach(&file, &mut request)?;
    Ok(file)
}

#[expect(unsafe_code, reason = "the standard library has no ioctl")]
fn attach(file: &File, request: &mut [u8; 40]) -> std::io::Result<()> {
    // SAFETY: TUNSETIFF reads and writes one struct ifreq, which `request` has room for, on a descriptor that is open.
    match unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[expect(unsafe_code, reason = "the standard library has no unshare")]
fn leave_the_network() -> std::io::Result<()> {
    // SAFETY: it takes no pointer; only this thread is moved to a new, empty network.
    match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Does something in a network namespace that `ip netns` made, in a thread of its own.
///
/// # Errors
/// Where there is no such namespace, or we may not.
pub fn in_namespace<R: Send>(name: &str, work: impl FnOnce() -> R + Send) -> Result<R, String> {
    let path = format!("/var/run/netns/{name}");
    let namespace = File::open(&path).map_err(|e| format!("{path}: {e}"))?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter(&namespace).map_err(|e| format!("{path}: {e}"))?;
            Ok(work())
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[expect(unsafe_code, reason = "the standard library has no setns")]
fn enter(namespace: &File) -> std::io::Result<()> {
    // SAFETY: it takes a descriptor that is open; only this thread is moved.
    match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// What a flood of SYNs met.
#[derive(Clone, Debug, Default)]
pub struct SynFlood {
    /// SYNs sent, each of another connection.
    pub sent: u64,
    /// SYN/ACKs that came back, each counted once.
    pub answered: u64,
    /// From a SYN to its answer, in microseconds, of one in a hundred.
    pub waits_us: Vec<f64>,
}

impl SynFlood {
    /// Sends `rate` SYNs a second for that long to these targets in turn (Ethernet address, address, port), and hears the answers.
    ///
    /// # Errors
    /// Where the interface does not send.
    pub fn run(
        socket: &mut crate::socket::Socket,
        targets: &[([u8; 6], [u8; 4], u16)],
        rate: u64,
        time: std::time::Duration,
    ) -> std::io::Result<SynFlood> {
        const BURST_US: u64 = 500;
        const SAMPLED: u64 = 100;
        let mut flood = SynFlood::default();
        let total = rate * time.as_millis() as u64 / 1_000;
        let mut answered = vec![false; total as usize];
        let mut sent_at = std::collections::HashMap::new();
        let begun = std::time::Instant::now();
        let mut frames = Vec::new();
        let mut hear = |socket: &mut crate::socket::Socket,
                        sent_at: &mut std::collections::HashMap<u64, Time>,
                        flood: &mut SynFlood| {
            while let Some((at, _, frame)) = socket.next_frame() {
                // The number of the connection is in the peer's address and port; of IPv4 without options.
                let (Some(ip), Some(port), Some(bits)) =
                    (frame.get(30..34), frame.get(36..38), frame.get(47))
                else {
                    continue;
                };
                let number = u64::from(u16::from_be_bytes([ip[2], ip[3]])) << 15
                    | u64::from(u16::from_be_bytes([port[0], port[1]]) & 0x7fff);
                let Some(seen) = answered.get_mut(number as usize).filter(|_| bits & 0x12 == 0x12) else {
                    continue;
                };
                if !std::mem::replace(seen, true) {
                    flood.answered += 1;
                    flood.waits_us.extend(sent_at.remove(&number).map(|sent| (at - sent) as f64 / 1e3));
                }
            }
        };
        while flood.sent < total {
            let due = (begun.elapsed().as_micros() as u64 * rate / 1_000_000).min(total);
            frames.clear();
            for number in flood.sent..due {
                let (mac, to, port) = targets[(number % targets.len() as u64) as usize];
                let peer = Ipv4Addr::new(10, 8, (number >> 23) as u8, (number >> 15) as u8);
                let syn = trapline_wire::build::Tcp {
                    src_port: 0x8000 | (number & 0x7fff) as u16,
                    dst_port: port,
                    seq: number as u32,
                    flags: trapline_wire::tcp::flags::SYN,
                    window: 65_535,
                    options: &[2, 4, 5, 0xb4],
                    ..Default::default()
                };
                let mut frame = Vec::with_capacity(64);
                trapline_wire::build::ethernet(&mut frame, mac, [2, 0, 0, 9, 0, 1], 0x0800);
                trapline_wire::build::tcp(
                    &mut frame,
                    &trapline_wire::build::Ip::new(peer.into(), Ipv4Addr::from(to).into()),
                    &syn,
                );
                if number % SAMPLED == 0 {
                    sent_at.insert(number, now());
                }
                frames.push(frame);
            }
            flood.sent = due;
            socket.send(frames.iter().map(Vec::as_slice))?;
            hear(socket, &mut sent_at, &mut flood);
            let next = begun + std::time::Duration::from_micros(flood.sent * 1_000_000 / rate + BURST_US);
            std::thread::sleep(
                next.saturating_duration_since(std::time::Instant::now())
                    .min(std::time::Duration::from_micros(BURST_US)),
            );
        }
        for _ in 0..500 {
            hear(socket, &mut sent_at, &mut flood);
            if flood.answered == flood.sent {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Ok(flood)
    }
}

#[expect(unsafe_code, reason = "the standard library has no poll")]
fn readable(file: &File, wait_ms: i32) -> bool {
    let mut wanted = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: it reads and writes the one structure that it is told of.
    unsafe { libc::poll(&raw mut wanted, 1, wait_ms) > 0 }
}
