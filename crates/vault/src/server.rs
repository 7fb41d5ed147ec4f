//! The server: HTTPS for sensors that are enrolled. Slow, large and many are bounded; what is refused is told why.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use trapline_archive::ship::{Ask, Told};
use trapline_archive::vault::{Quota, VaultError, Why};
use trapline_archive::{Folder, Vault};
use trapline_line::protocol::{EnrollRequest, HeldAnswer, LONGEST_BODY, ProgressAnswer, Trouble, ask_of};

use crate::register::{Enrolled, Register, RegisterError, now_s};

/// Connections at one time.
const CONNECTIONS: usize = 512;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// How long the head of a request may take, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(90);
/// How long a body may take: a sensor's chunk over a line of 10 kB/s.
const BODY: Duration = Duration::from_secs(120);
/// Connections at one time of those who show no certificate, and how long one of these lasts: enough to enrol.
const STRANGERS: usize = 32;
const STRANGER: Duration = Duration::from_secs(30);
/// How long a sensor's connection lasts before it is made anew; one that reads no answers would hold its place for ever.
const CONNECTION: Duration = Duration::from_secs(900);
/// Requests of one sensor at one time. It has one at a time, and the end of one may be behind the beginning of the next.
const AT_ONCE: usize = 2;
/// Characters of a path that stand in the log.
const SHOWN: usize = 100;
/// Bytes of a body of somebody without a certificate.
const LONGEST_STRANGE_BODY: usize = 16 << 10;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be listened at.
    #[error("{address}: {cause}")]
    Listen {
        /// Which.
        address: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The vault's folder.
    #[error("{folder}: {cause}")]
    Folder {
        /// Which.
        folder: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The register.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// TLS.
    #[error("TLS: {0}")]
    Tls(String),
}

/// What a server has done since it started, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// By sensor.
    pub sensors: HashMap<String, SensorStats>,
    /// Requests that were refused.
    pub refused: u64,
}

/// What a server has done for one sensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SensorStats {
    /// Bytes of parts that were taken.
    pub bytes: u64,
    /// The last segment that is here.
    pub sequence: u64,
    /// When it was taken, in seconds since 1970; 0 before.
    pub received_s: u64,
}

/// A server that listens.
#[derive(Debug)]
pub struct Serving {
    /// Where.
    pub address: SocketAddr,
    state: Arc<State>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Serving {
    /// What it has done.
    pub fn stats(&self) -> Stats {
        lock(&self.state.stats).clone()
    }

    /// Takes no more connections, lets those that are at work finish their request, and ends.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

#[derive(Debug)]
struct State {
    folder: PathBuf,
    register: Register,
    vaults: Mutex<HashMap<String, Arc<Mutex<Vault<Folder>>>>>,
    stats: Mutex<Stats>,
    strangers: Arc<Semaphore>,
    busy: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Nobody else serves this vault.
    _lock: std::fs::File,
}

fn lock<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves the vault in `folder`, whose register is in `identity`, at `listen`, as a host of these names.
///
/// # Errors
/// Where it cannot listen, another serves the vault, or a name is none.
pub async fn serve(
    folder: &Path,
    identity: &Path,
    listen: &str,
    names: &[String],
) -> Result<Serving, ServeError> {
    let of_folder = |cause| ServeError::Folder { folder: folder.display().to_string(), cause };
    std::fs::create_dir_all(folder).map_err(of_folder)?;
    let held =
        std::fs::File::options().create(true).append(true).open(folder.join(".lock")).map_err(of_folder)?;
    held.try_lock().map_err(|_| of_folder(io::Error::other("another server serves this vault")))?;
    let register = Register::open(identity)?;
    let listening = |cause| ServeError::Listen { address: listen.to_owned(), cause };
    let listener = TcpListener::bind(listen).await.map_err(listening)?;
    let address = listener.local_addr().map_err(listening)?;
    let name = names.first().map_or_else(
        || "localhost".to_owned(),
        |name| match name.parse::<std::net::Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => name.clone(),
        },
    );
    register.set_address(&format!("https://{name}:{}", address.port()))?;
    let acceptor = TlsAcceptor::from(Arc::new(tls(&register, names)?));
    let state = State {
        folder: folder.to_owned(),
        register,
        vaults: Mutex::default(),
        stats: Mutex::default(),
        strangers: Arc::new(Semaphore::new(STRANGERS)),
        busy: Mutex::default(),
        _lock: held,
    };
    let state = Arc::new(state);
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(accept(listener, acceptor, Arc::clone(&state), stopped));
    Ok(Serving { address, state, stop, task })
}

fn tls(register: &Register, names: &[String]) -> Result<ServerConfig, ServeError> {
    let wrong = |e: &dyn std::fmt::Display| ServeError::Tls(e.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(register.authority()?)).map_err(|e| wrong(&e))?;
    // Who has a token has no certificate yet.
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|e| wrong(&e))?;
    let (certificate, key) = register.server(names)?;
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(|e| wrong(&e))?;
    let builder = builder.with_client_cert_verifier(verifier);
    let mut config = builder.with_single_cert(vec![certificate], key).map_err(|e| wrong(&e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    state: Arc<State>,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            _ = stopped.changed() => break,
        };
        let Ok(place) = place else { break };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Out of descriptors, say: not for ever.
                Err(error) => {
                    tracing::warn!("a connection was not taken: {error}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            },
            _ = stopped.changed() => break,
        };
        while connections.try_join_next().is_some() {}
        let (acceptor, state, stopped) = (acceptor.clone(), Arc::clone(&state), stopped.clone());
        connections.spawn(async move {
            let _place = place;
            connection(stream, acceptor, state, stopped).await;
        });
    }
    // A request that is under way may be a manifest on its way to the disk.
    let _ = timeout(BODY, async { while connections.join_next().await.is_some() {} }).await;
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    state: Arc<State>,
    mut stopped: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await else { return };
    let certificate =
        stream.get_ref().1.peer_certificates().and_then(|all| all.first()).map(|der| der.to_vec());
    let certificate = certificate.map(Arc::new);
    let (lasts, _place) = match &certificate {
        Some(_) => (CONNECTION, None),
        None => match Arc::clone(&state.strangers).try_acquire_owned() {
            Ok(place) => (STRANGER, Some(place)),
            Err(_) => return,
        },
    };
    let service = service_fn(move |request| {
        let (state, certificate) = (Arc::clone(&state), certificate.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(&state, certificate, request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(32 << 10);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.changed() => {}
        _ = tokio::time::sleep(lasts) => {}
    }
    connection.as_mut().graceful_shutdown();
    // The request that is under way may end.
    let _ = timeout(BODY, connection).await;
}

/// What is not answered with what was asked for.
struct Refusal(StatusCode, String);

impl From<RegisterError> for Refusal {
    fn from(error: RegisterError) -> Self {
        let status = match error {
            RegisterError::Refused(_) => StatusCode::FORBIDDEN,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal(status, error.to_string())
    }
}

impl From<VaultError> for Refusal {
    fn from(error: VaultError) -> Self {
        let status = match &error {
            VaultError::Refused { why: Why::Quota { .. }, .. } => StatusCode::INSUFFICIENT_STORAGE,
            VaultError::Refused { why: Why::Long { .. }, .. } => StatusCode::PAYLOAD_TOO_LARGE,
            VaultError::Refused { .. } => StatusCode::CONFLICT,
            VaultError::Disk { .. } | VaultError::Damaged(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refusal(status, error.to_string())
    }
}

type Answer = Response<Full<Bytes>>;

fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(serde_json::to_vec(body).unwrap_or_default())));
    *answer.status_mut() = status;
    answer.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    answer
}

async fn answer(state: &Arc<State>, certificate: Option<Arc<Vec<u8>>>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    match taken(state, certificate, request).await {
        Ok(answer) => answer,
        Err(Refusal(status, error)) => {
            lock(&state.stats).refused += 1;
            // Paths and names are a stranger's: shown with everything escaped.
            let shown: String = path.chars().take(SHOWN).collect();
            tracing::warn!("refused {shown:?}: {error:?}");
            json(status, &Trouble { error })
        }
    }
}

async fn taken(
    state: &Arc<State>,
    certificate: Option<Arc<Vec<u8>>>,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    let no_such = || {
        Refusal(StatusCode::NOT_FOUND, "there is no such question; trapline_line::protocol names them".into())
    };
    let (head, body) = request.into_parts();
    if head.uri.path() == "/v1/enroll" {
        if head.method != hyper::Method::POST {
            return Err(no_such());
        }
        let (body, whole) = read(body, LONGEST_STRANGE_BODY).await;
        whole?;
        let asked: EnrollRequest = serde_json::from_slice(&body)
            .map_err(|e| Refusal(StatusCode::BAD_REQUEST, format!("the request: {e}")))?;
        let state = Arc::clone(state);
        let answer = blocking(move || state.register.enroll(&asked)).await??;
        tracing::info!("enrolled {}", answer.sensor);
        return Ok(json(StatusCode::OK, &answer));
    }
    let sensor = admitted(state, certificate.as_deref().map(Vec::as_slice))?;
    let busy = Arc::clone(
        lock(&state.busy).entry(sensor.sensor.clone()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))),
    );
    let too_many =
        |_| Refusal(StatusCode::TOO_MANY_REQUESTS, format!("{} asks too much at once", sensor.sensor));
    let _place = busy.try_acquire().map_err(too_many)?;
    let (body, whole) = read(body, LONGEST_BODY).await;
    let ask = ask_of(head.method.as_str(), head.uri.path(), head.uri.query(), body).ok_or_else(no_such)?;
    // What came of a part before a line was cut is kept: over a line that is always cut, parts arrive so.
    if !matches!(ask, Ask::Add { .. }) {
        whole?;
        return told(state, sensor, ask).await;
    }
    let answer = told(state, sensor, ask).await?;
    whole.map(|()| answer)
}

/// Asks the vault.
async fn told(state: &Arc<State>, sensor: Enrolled, ask: Ask) -> Result<Answer, Refusal> {
    let state = Arc::clone(state);
    let told = blocking(move || {
        let vault = state.vault_of(&sensor.sensor)?;
        let mut vault = lock(&vault);
        // It may have been changed since.
        vault.set_quota(Quota { bytes: sensor.quota_bytes, ..Quota::default() });
        let told = vault.try_answer(&sensor.sensor, &sensor.key, &ask)?;
        state.note(&sensor, &ask, &told);
        Ok::<_, VaultError>(told)
    });
    Ok(match told.await?? {
        Told::Progress(progress) => {
            json(StatusCode::OK, &ProgressAnswer { sequence: progress.sequence, hash: progress.hash })
        }
        Told::Held(held) => json(StatusCode::OK, &HeldAnswer { held }),
        Told::Failed(why) => return Err(Refusal(StatusCode::CONFLICT, why)),
    })
}

/// Who asks, if it may.
fn admitted(state: &State, certificate: Option<&[u8]>) -> Result<Enrolled, Refusal> {
    let refused = |why: String| Refusal(StatusCode::FORBIDDEN, why);
    let certificate = certificate.ok_or_else(|| refused("no certificate was shown".into()))?;
    let entries = state.register.entries()?;
    let sensor = entries.of_certificate(certificate);
    let sensor =
        sensor.ok_or_else(|| refused("this certificate is of no sensor that is enrolled here".into()))?;
    match sensor.revoked_s {
        Some(_) => Err(refused(format!("{} was revoked", sensor.sensor))),
        None => Ok(sensor.clone()),
    }
}

/// Reads a body; where it does not come whole, what came of it, and why.
async fn read(body: Incoming, most: usize) -> (Vec<u8>, Result<(), Refusal>) {
    let (mut bytes, mut body) = (Vec::new(), Limited::new(body, most));
    let reading = timeout(BODY, async {
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                bytes.extend_from_slice(&data);
            }
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    });
    let why = match reading.await {
        Ok(Ok(())) => return (bytes, Ok(())),
        Err(_) => (StatusCode::REQUEST_TIMEOUT, format!("the body took longer than {} s", BODY.as_secs())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            (StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {most} bytes"))
        }
        Ok(Err(error)) => (StatusCode::BAD_REQUEST, error.to_string()),
    };
    (bytes, Err(Refusal(why.0, why.1)))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    let failed = |e: tokio::task::JoinError| Refusal(StatusCode::INTERNAL_SERVER_ERROR, e.to_string());
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

impl State {
    fn vault_of(&self, sensor: &str) -> Result<Arc<Mutex<Vault<Folder>>>, VaultError> {
        let mut vaults = lock(&self.vaults);
        if let Some(vault) = vaults.get(sensor) {
            return Ok(Arc::clone(vault));
        }
        let failed = |cause| VaultError::Disk { name: self.folder.display().to_string(), cause };
        let vault =
            Arc::new(Mutex::new(Vault::new(Folder::at(&self.folder).map_err(failed)?, Quota::default())));
        vaults.insert(sensor.to_owned(), Arc::clone(&vault));
        Ok(vault)
    }

    fn note(&self, sensor: &Enrolled, ask: &Ask, told: &Told) {
        let mut stats = lock(&self.stats);
        let stats = stats.sensors.entry(sensor.sensor.clone()).or_default();
        match (ask, told) {
            (Ask::Add { bytes, .. }, Told::Held(_)) => stats.bytes += bytes.len() as u64,
            (Ask::Accept { .. }, Told::Progress(progress)) => {
                tracing::info!("{}: segment {} is here", sensor.sensor, progress.sequence);
                (stats.sequence, stats.received_s) = (progress.sequence, now_s());
            }
            (_, Told::Progress(progress)) => stats.sequence = progress.sequence,
            _ => {}
        }
    }
}
