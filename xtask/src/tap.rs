//! A TAP device: the other end of a network interface, as frames to read and write.

use std::fs::File;
use std::os::fd::AsRawFd;

/// Opens the TAP device of that name in this network namespace; it must exist (`ip tuntap add`) and be free.
///
/// # Errors
/// What the system says.
pub fn open(name: &str) -> std::io::Result<File> {
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
