//! Who a sensor is: its name, the key that it signs with, the seed that everything which could identify the deployment derives from.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use ed25519_dalek::SigningKey;
use trapline_archive::Identity;
use trapline_archive::manifest::is_sensor_name;
use trapline_platform::Platform;

use crate::run::Options;

/// A key for segments that prove nothing: those of a demonstration.
pub fn demo_key(seed: u64) -> SigningKey {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    SigningKey::from_bytes(&bytes)
}

/// One of the secrets of a sensor, made of chance where it is not there yet.
fn secret(folder: &Path, name: &str) -> Result<[u8; 32], String> {
    let path = folder.join(name);
    let failed = |e: io::Error| format!("{}: {e}", path.display());
    fs::create_dir_all(folder).map_err(failed)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    if !path.exists() {
        let mut bytes = [0; 32];
        File::open("/dev/urandom").and_then(|mut chance| chance.read_exact(&mut bytes)).map_err(failed)?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        // It is there as a whole or not, and one that another process made meanwhile stays.
        let unfinished = folder.join(format!("{name}.{}", std::process::id()));
        let put = || {
            let mut file =
                File::options().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            match fs::hard_link(&unfinished, &path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => fs::remove_file(&unfinished)?,
            }
            File::open(folder)?.sync_all()
        };
        put().map_err(failed)?;
    }
    let text = fs::read_to_string(&path).map_err(failed)?;
    let text = text.trim();
    let byte = |i: usize| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok();
    let bytes = (0..32).map(byte).collect::<Option<Vec<u8>>>().filter(|_| text.len() == 64);
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| format!("{}: it should hold 64 hexadecimal digits", path.display()))
}

/// The deployment's seed.
///
/// # Errors
/// Where it can be neither read nor made.
pub fn seed(options: &Options) -> Result<u64, String> {
    Ok(secret(&options.identity, "seed")?.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}

/// The sensor's name.
///
/// # Errors
/// Where it is none.
pub fn sensor_name(options: &Options) -> Result<String, String> {
    let name = match &options.name {
        Some(name) => name.clone(),
        None => Platform::read(&options.platform).map_err(|e| e.to_string())?.name,
    };
    if is_sensor_name(&name) {
        return Ok(name);
    }
    Err(format!(
        "{name:?} is no name for a sensor: small letters, digits, '-', '_' and '.', at most 64; give one with --name"
    ))
}

/// The key that segments are signed with, in that folder; made where there is none.
///
/// # Errors
/// Where it can be neither read nor made.
pub fn signing_key(folder: &Path) -> Result<SigningKey, String> {
    Ok(SigningKey::from_bytes(&secret(folder, "key")?))
}

/// Who seals. Only the sealing process may ask: where strangers are spoken to there is no key.
///
/// # Errors
/// Where there is no name or no key.
pub fn identity(options: &Options) -> Result<Identity, String> {
    Ok(Identity { sensor: sensor_name(options)?, key: signing_key(&options.identity)? })
}
