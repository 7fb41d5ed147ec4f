//! A vault's server, asked over HTTPS with certificates of both ends.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method};
use rustls::client::WantsClientCert;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use trapline_archive::ship::{Ask, Told};
use trapline_archive::vault::Progress;
use url::Url;

use crate::protocol::{HeldAnswer, ProgressAnswer, Trouble, path_of};
use crate::{Credentials, LineError, Remote, chain, runtime, tame};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(15);
/// How long nothing at all may come.
const SILENCE: Duration = Duration::from_secs(60);
/// How long one question may take: a chunk over a line of 10 kB/s, and the vault's disk.
const ANSWER: Duration = Duration::from_secs(180);
/// Bytes of an answer that are looked at.
const LONGEST_ANSWER: usize = 1 << 16;

/// TLS 1.3 that believes one authority.
pub(crate) fn trusting(authority: &[u8]) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, LineError> {
    let wrong = |e: rustls::Error| LineError::Credentials(format!("the vault's authority: {e}"));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.to_vec())).map_err(wrong)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(wrong)?;
    Ok(builder.with_root_certificates(roots))
}

pub(crate) fn client(tls: ClientConfig) -> Result<Client, LineError> {
    let built = Client::builder()
        .use_preconfigured_tls(tls)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .timeout(ANSWER)
        .pool_max_idle_per_host(1)
        .user_agent(concat!("trapline-sensor/", env!("CARGO_PKG_VERSION")))
        .build();
    built.map_err(|e| LineError::Remote(chain(&e)))
}

/// Sends one request and reads its answer.
pub(crate) async fn send<T: DeserializeOwned>(
    client: &Client,
    base: &Url,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> Result<T, LineError> {
    let host = base.host_str().unwrap_or_default();
    let failed = |e: reqwest::Error| LineError::Remote(format!("{base}: {}", chain(&e.without_url())));
    let url =
        base.join(path).map_err(|e| LineError::Address { address: base.to_string(), why: e.to_string() })?;
    let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
    let mut answer = client.request(method, url).body(body).send().await.map_err(failed)?;
    let status = answer.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > LONGEST_ANSWER {
            return Err(LineError::Remote(format!("{host}: the answer is too long for a vault's")));
        }
        bytes.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        let why = serde_json::from_slice(&bytes)
            .map_or_else(|_| status.to_string(), |trouble: Trouble| trouble.error);
        return Err(LineError::Remote(tame(&why)));
    }
    serde_json::from_slice(&bytes)
        .map_err(|e| LineError::Remote(format!("{host}: this is no vault's answer: {e}")))
}

/// A vault's server.
pub struct HttpsVault {
    runtime: Runtime,
    client: Client,
    base: Url,
}

impl std::fmt::Debug for HttpsVault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "HttpsVault({})", self.base)
    }
}

impl HttpsVault {
    /// The server at `https://HOST:PORT`, which is not asked yet.
    ///
    /// # Errors
    /// Where the credentials are none.
    pub fn at(base: Url, credentials: &Credentials) -> Result<HttpsVault, LineError> {
        Ok(HttpsVault { runtime: runtime()?, client: client(credentials.tls()?)?, base })
    }
}

impl Remote for HttpsVault {
    fn ask(&mut self, _sensor: &str, ask: &Ask) -> Told {
        let (method, path) = path_of(ask);
        let body = match ask {
            Ask::Add { bytes, .. } => bytes.clone(),
            Ask::Accept { text } => text.clone(),
            Ask::Progress | Ask::Held(_) => Vec::new(),
        };
        let HttpsVault { runtime, client, base } = self;
        let told = match ask {
            Ask::Progress | Ask::Accept { .. } => {
                let answer = runtime.block_on(send::<ProgressAnswer>(client, base, method, &path, body));
                answer.map(|ProgressAnswer { sequence, hash }| Told::Progress(Progress { sequence, hash }))
            }
            Ask::Held(_) | Ask::Add { .. } => {
                let answer = runtime.block_on(send::<HeldAnswer>(client, base, method, &path, body));
                answer.map(|answer| Told::Held(answer.held))
            }
        };
        told.unwrap_or_else(|error| Told::Failed(error.to_string()))
    }
}
