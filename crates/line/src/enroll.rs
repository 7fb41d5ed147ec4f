//! A sensor's certificate: a one-time token becomes one.
//!
//! The key is made here and never leaves: what is sent is a signing request. The vault is recognised by the authority in the token, so
//! that nobody in between can play it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use url::Url;

use crate::protocol::{EnrollAnswer, EnrollRequest, Token};
use crate::{LineError, https, runtime};

/// What a sensor proves itself with, and recognises its vault by: files of its identity's folder.
#[derive(Clone)]
pub struct Credentials {
    /// The vault's authority (DER).
    pub authority: Vec<u8>,
    /// The sensor's certificate (DER), its issuer's behind it.
    pub certificate: Vec<Vec<u8>>,
    /// Its key (PEM, PKCS #8).
    key: Vec<u8>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Credentials({} certificates)", self.certificate.len())
    }
}

const AUTHORITY: &str = "vault-authority.pem";
/// The file of a sensor's certificate; it is put in place last.
pub const CERTIFICATE: &str = "vault-certificate.pem";
const KEY: &str = "vault-key.pem";

impl Credentials {
    /// Reads them; nothing where the sensor was not enrolled.
    ///
    /// # Errors
    /// Where a file is there and cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Credentials>, LineError> {
        let file = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|cause| LineError::File { name: path.display().to_string(), cause })
        };
        let certificates = |name: &str| -> Result<Vec<Vec<u8>>, LineError> {
            let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&file(name)?).collect();
            let wrong =
                |why: String| LineError::Credentials(format!("{}: {why}", folder.join(name).display()));
            let all = all.map_err(|e| wrong(e.to_string()))?;
            if all.is_empty() {
                Err(wrong("no certificate is in it".into()))
            } else {
                Ok(all.iter().map(|c| c.to_vec()).collect())
            }
        };
        if !folder.join(CERTIFICATE).exists() {
            return Ok(None);
        }
        let authority = certificates(AUTHORITY)?.remove(0);
        Ok(Some(Credentials { authority, certificate: certificates(CERTIFICATE)?, key: file(KEY)? }))
    }

    /// Of these texts, for a test or a sensor that keeps them elsewhere.
    ///
    /// # Errors
    /// Where a text is none.
    pub fn of(authority: Vec<u8>, certificate: &str, key: &str) -> Result<Credentials, LineError> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
        let all = all.map_err(|e| LineError::Credentials(e.to_string()))?;
        let certificate = all.iter().map(|c| c.to_vec()).collect();
        Ok(Credentials { authority, certificate, key: key.as_bytes().to_vec() })
    }

    /// TLS with them: the vault's authority alone is believed.
    pub(crate) fn tls(&self) -> Result<ClientConfig, LineError> {
        let wrong = |e: &dyn std::fmt::Display| LineError::Credentials(format!("certificate or key: {e}"));
        let chain = self.certificate.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|e| wrong(&e))?;
        https::trusting(&self.authority)?.with_client_auth_cert(chain, key).map_err(|e| wrong(&e))
    }
}

/// Turns a token into a certificate; `key` is the public key that the sensor's segments are signed with. Files are written when all
/// is well. Returns the sensor's name and the vault's address.
///
/// # Errors
/// Where the vault is away or refuses, and where the folder cannot be written.
pub fn enroll(token: &Token, key: &str, folder: &Path) -> Result<(String, String), LineError> {
    let wrong = |e: rcgen::Error| LineError::Credentials(e.to_string());
    let authority = STANDARD.decode(&token.authority);
    let authority = authority.map_err(|e| LineError::Credentials(format!("the token's authority: {e}")))?;
    let own = KeyPair::generate().map_err(wrong)?;
    let mut parameters = CertificateParams::new([token.sensor.clone()]).map_err(wrong)?;
    parameters.distinguished_name.push(DnType::CommonName, &token.sensor);
    let request = parameters.serialize_request(&own).and_then(|request| request.pem()).map_err(wrong)?;
    let url = Url::parse(&token.url)
        .map_err(|e| LineError::Address { address: token.url.clone(), why: e.to_string() })?;
    let client = https::client(https::trusting(&authority)?.with_no_client_auth())?;
    let body = EnrollRequest { secret: token.secret.clone(), key: key.to_owned(), request };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let answer: EnrollAnswer = runtime()?.block_on(https::send(&client, &url, "POST", "/v1/enroll", body))?;
    // What was answered has to fit what was asked before anything is replaced.
    Credentials::of(authority.clone(), &answer.certificate, &own.serialize_pem())?.tls()?;
    let authority = pem(&authority);
    for (name, text) in
        [(KEY, own.serialize_pem()), (AUTHORITY, authority), (CERTIFICATE, answer.certificate)]
    {
        put(folder, name, &text)
            .map_err(|cause| LineError::File { name: folder.join(name).display().to_string(), cause })?;
    }
    Ok((answer.sensor, token.url.clone()))
}

/// A certificate as text.
pub fn pem(der: &[u8]) -> String {
    let lines = STANDARD.encode(der);
    let lines: Vec<&str> =
        lines.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// Writes a file that only its owner reads; it is there as a whole or not.
fn put(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let unfinished = folder.join(format!("{name}.part"));
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(unfinished, folder.join(name))?;
    File::open(folder)?.sync_all()
}
