//! Who may leave segments: the vault's own authority, one-time tokens, certificates, and who was revoked.
//!
//! All of it is files of one folder beside the vault: `authority.pem` with its key, `register.json`, `address`. A command that changes
//! something locks the folder and replaces the register as a whole; a server that runs sees it at the next request.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use trapline_archive::manifest::is_sensor_name;
use trapline_archive::vault::Quota;
use trapline_line::protocol::{EnrollAnswer, EnrollRequest, Token};

/// Why a register does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// A file of it.
    #[error("{name}: {cause}")]
    File {
        /// Which.
        name: String,
        /// What the system said.
        cause: io::Error,
    },
    /// A file of it is not what it should be.
    #[error("{name}: {why}")]
    Damaged {
        /// Which.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// What was asked cannot be.
    #[error("{0}")]
    Refused(String),
}

/// A sensor that was enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolled {
    /// Its name.
    pub sensor: String,
    /// BLAKE3 of its certificate (DER), in hexadecimal digits.
    pub certificate: String,
    /// The public key that its segments are signed with.
    pub key: String,
    /// When, in seconds since 1970.
    pub enrolled_s: u64,
    /// When it was revoked.
    pub revoked_s: Option<u64>,
    /// Bytes that it may leave.
    pub quota_bytes: u64,
}

/// A token that nobody used yet. Its secret is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invited {
    /// For which sensor.
    pub sensor: String,
    /// BLAKE3 of its secret.
    pub secret: String,
    /// Until when, in seconds since 1970.
    pub until_s: u64,
    /// Bytes that the sensor may leave.
    pub quota_bytes: u64,
    /// The key that segments of this name are signed with which are in the vault already.
    #[serde(default)]
    pub key: Option<String>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entries {
    /// Enrolled and revoked sensors, in order of time.
    pub sensors: Vec<Enrolled>,
    /// Tokens.
    pub tokens: Vec<Invited>,
}

impl Entries {
    /// The sensor of this certificate (DER), whether revoked or not.
    pub fn of_certificate(&self, der: &[u8]) -> Option<&Enrolled> {
        let hash = blake3::hash(der).to_hex();
        self.sensors.iter().find(|sensor| sensor.certificate == hash.as_str())
    }
}

/// A folder with an authority and its register.
#[derive(Debug)]
pub struct Register {
    folder: PathBuf,
    /// Entries as they were read last, and what the file was then.
    read: std::sync::Mutex<(Option<[i64; 4]>, Entries)>,
}

const AUTHORITY: &str = "authority.pem";
const AUTHORITY_KEY: &str = "authority-key.pem";
const ENTRIES: &str = "register.json";
const ADDRESS: &str = "address";

/// Now, in seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn refused(why: impl Into<String>) -> RegisterError {
    RegisterError::Refused(why.into())
}

impl Register {
    /// The register in that folder; where there is none, it is made, with an authority of its own.
    ///
    /// # Errors
    /// Where the folder cannot be used.
    pub fn open(folder: &Path) -> Result<Register, RegisterError> {
        let register = Register { folder: folder.to_owned(), read: std::sync::Mutex::default() };
        fs::create_dir_all(folder).map_err(|e| register.file_error("", e))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
            .map_err(|e| register.file_error("", e))?;
        let _lock = register.lock()?;
        if !folder.join(AUTHORITY).exists() {
            let key = KeyPair::generate().map_err(|e| refused(e.to_string()))?;
            let mut parameters = long_lived("trapline vault authority");
            parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let certificate = parameters.self_signed(&key).map_err(|e| refused(e.to_string()))?;
            register.put(AUTHORITY_KEY, key.serialize_pem().as_bytes())?;
            register.put(AUTHORITY, certificate.pem().as_bytes())?;
        }
        Ok(register)
    }

    fn file_error(&self, name: &str, cause: io::Error) -> RegisterError {
        RegisterError::File { name: self.folder.join(name).display().to_string(), cause }
    }

    fn damaged(&self, name: &str, why: impl ToString) -> RegisterError {
        RegisterError::Damaged { name: self.folder.join(name).display().to_string(), why: why.to_string() }
    }

    /// Whoever changes something holds this.
    fn lock(&self) -> Result<File, RegisterError> {
        let file = File::options().create(true).append(true).mode(0o600).open(self.folder.join(".lock"));
        file.and_then(|file| file.lock().map(|()| file)).map_err(|e| self.file_error(".lock", e))
    }

    fn text(&self, name: &str) -> Result<String, RegisterError> {
        fs::read_to_string(self.folder.join(name)).map_err(|e| self.file_error(name, e))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), RegisterError> {
        let unfinished = self.folder.join(format!("{name}.part"));
        let put = || {
            let mut file =
                File::options().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, self.folder.join(name))?;
            File::open(&self.folder)?.sync_all()
        };
        put().map_err(|e| self.file_error(name, e))
    }

    /// Everybody who is in it, as it is now.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn entries(&self) -> Result<Entries, RegisterError> {
        let metadata = match fs::metadata(self.folder.join(ENTRIES)) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Entries::default()),
            Err(e) => return Err(self.file_error(ENTRIES, e)),
        };
        // It is only ever replaced: another file has another number, or another time.
        let is = [metadata.ino() as i64, metadata.mtime(), metadata.mtime_nsec(), metadata.len() as i64];
        let mut read = self.read.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if read.0 != Some(is) {
            let entries = serde_json::from_str(&self.text(ENTRIES)?).map_err(|e| self.damaged(ENTRIES, e))?;
            *read = (Some(is), entries);
        }
        Ok(read.1.clone())
    }

    fn write(&self, entries: &Entries) -> Result<(), RegisterError> {
        self.put(ENTRIES, (serde_json::to_string_pretty(entries).unwrap_or_default() + "\n").as_bytes())
    }

    /// The authority's certificate (DER).
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn authority(&self) -> Result<Vec<u8>, RegisterError> {
        let text = self.text(AUTHORITY)?;
        let certificate =
            CertificateDer::from_pem_slice(text.as_bytes()).map_err(|e| self.damaged(AUTHORITY, e))?;
        Ok(certificate.to_vec())
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, RegisterError> {
        let key =
            KeyPair::from_pem(&self.text(AUTHORITY_KEY)?).map_err(|e| self.damaged(AUTHORITY_KEY, e))?;
        Issuer::from_ca_cert_pem(&self.text(AUTHORITY)?, key).map_err(|e| self.damaged(AUTHORITY, e))
    }

    /// A certificate and its key for a server of these names (host names and addresses), signed by the authority.
    ///
    /// # Errors
    /// Where a name is none.
    pub fn server(
        &self,
        names: &[String],
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), RegisterError> {
        let wrong = |e: rcgen::Error| refused(format!("a certificate for {}: {e}", names.join(", ")));
        let key = KeyPair::generate().map_err(wrong)?;
        let mut parameters = long_lived("trapline vault");
        parameters.subject_alt_names = CertificateParams::new(names).map_err(wrong)?.subject_alt_names;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = parameters.signed_by(&key, &self.issuer()?).map_err(wrong)?;
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())
            .map_err(|e| refused(e.to_string()))?;
        Ok((certificate.der().clone(), key))
    }

    /// Where sensors find the server, as it said when it was started.
    pub fn address(&self) -> Option<String> {
        Some(self.text(ADDRESS).ok()?.trim().to_owned())
    }

    /// Notes where sensors find the server.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn set_address(&self, url: &str) -> Result<(), RegisterError> {
        self.put(ADDRESS, format!("{url}\n").as_bytes())
    }

    /// A one-time token for a sensor of this name, which is valid for so many seconds. A second one replaces the first.
    ///
    /// # Errors
    /// Where the name is none, or is in use.
    ///
    /// `key` is what segments of that name are signed with which are in the vault already, where there are any: no other sensor may go on.
    pub fn invite(
        &self,
        sensor: &str,
        url: &str,
        valid_s: u64,
        quota: Quota,
        key: Option<String>,
    ) -> Result<Token, RegisterError> {
        if !is_sensor_name(sensor) {
            return Err(refused(format!(
                "{sensor:?} is no name for a sensor: small letters, digits, '-', '_' and '.', at most 64"
            )));
        }
        let _lock = self.lock()?;
        let mut entries = self.entries()?;
        if entries.sensors.iter().any(|other| other.sensor == sensor && other.revoked_s.is_none()) {
            return Err(refused(format!(
                "{sensor} is enrolled already; trapline vault revoke {sensor} ends that, and it can be enrolled again"
            )));
        }
        let mut secret = [0; 32];
        File::open("/dev/urandom")
            .and_then(|mut chance| chance.read_exact(&mut secret))
            .map_err(|e| self.file_error("", e))?;
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let now = now_s();
        entries.tokens.retain(|token| token.sensor != sensor && token.until_s > now);
        entries.tokens.push(Invited {
            sensor: sensor.to_owned(),
            secret: blake3::hash(secret.as_bytes()).to_hex().to_string(),
            until_s: now.saturating_add(valid_s),
            quota_bytes: quota.bytes,
            key,
        });
        let authority = STANDARD.encode(self.authority()?);
        self.write(&entries)?;
        Ok(Token { url: url.to_owned(), sensor: sensor.to_owned(), authority, secret })
    }

    /// Takes a token and gives a certificate; the token is used up then.
    ///
    /// # Errors
    /// Where the token is not valid, or the request is none.
    pub fn enroll(&self, asked: &EnrollRequest) -> Result<EnrollAnswer, RegisterError> {
        let _lock = self.lock()?;
        let mut entries = self.entries()?;
        let (secret, now) = (blake3::hash(asked.secret.as_bytes()), now_s());
        // Hashes are compared, so how long it takes tells nothing of the secret.
        let found = entries.tokens.iter().position(|token| token.secret == secret.to_hex().as_str());
        let invited = found.map(|place| entries.tokens.remove(place)).filter(|invited| invited.until_s > now);
        let invited = invited.ok_or_else(|| {
            refused("this token is not valid: it was used, it is too old, or a newer one was made; trapline vault enroll makes another")
        })?;
        let is_key = asked.key.len() == 64 && asked.key.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_key {
            return Err(refused("the sensor's public key is none"));
        }
        let sensor = invited.sensor;
        let is_other = invited.key.is_some_and(|key| key != asked.key);
        if is_other || entries.sensors.iter().any(|other| other.sensor == sensor && other.key != asked.key) {
            return Err(refused(format!(
                "the segments of {sensor} are signed with another key; bring that key, or enrol the sensor under another name"
            )));
        }
        let wrong = |e: rcgen::Error| refused(format!("the signing request: {e}"));
        let request = CertificateSigningRequestParams::from_pem(&asked.request).map_err(wrong)?;
        // What it is for is said here, whatever was asked for.
        let mut parameters = long_lived(&sensor);
        parameters.subject_alt_names =
            vec![SanType::DnsName(sensor.as_str().try_into().map_err(|_| refused("the sensor's name"))?)];
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = parameters.signed_by(&request.public_key, &self.issuer()?).map_err(wrong)?;
        entries.sensors.push(Enrolled {
            sensor: sensor.clone(),
            certificate: blake3::hash(certificate.der()).to_hex().to_string(),
            key: asked.key.clone(),
            enrolled_s: now,
            revoked_s: None,
            quota_bytes: invited.quota_bytes,
        });
        self.write(&entries)?;
        Ok(EnrollAnswer { sensor, certificate: certificate.pem() })
    }

    /// Ends what a sensor may; what it left stays. Its tokens go too.
    ///
    /// # Errors
    /// Where there is no such sensor.
    pub fn revoke(&self, sensor: &str) -> Result<(), RegisterError> {
        let _lock = self.lock()?;
        let mut entries = self.entries()?;
        let before = entries.clone();
        entries.tokens.retain(|token| token.sensor != sensor);
        for known in entries.sensors.iter_mut().filter(|known| known.sensor == sensor) {
            known.revoked_s.get_or_insert_with(now_s);
        }
        if entries == before {
            let known = before.sensors.iter().any(|known| known.sensor == sensor);
            return Err(refused(match known {
                true => format!("{sensor} was revoked already"),
                false => format!("no sensor {sensor:?} is enrolled here; trapline vault list"),
            }));
        }
        self.write(&entries)
    }
}

/// Certificates end by being revoked, not by time: a sensor that was away for a year, or whose clock is wrong, still ships.
fn long_lived(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = date_time_ymd(1990, 1, 1);
    parameters.not_after = date_time_ymd(2199, 12, 31);
    parameters
}
