//! What `up` shows: the page, metrics, health.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::metrics::Metrics;

/// Connections at one time.
const CONNECTIONS: usize = 64;
/// How long the head of a request may take, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(15);

/// How long a connection lasts.
const CONNECTION: Duration = Duration::from_secs(300);

/// Answers as long as this program lives.
pub async fn show(listener: TcpListener, metrics: Arc<Metrics>, page: PathBuf) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let (metrics, page) = (Arc::clone(&metrics), page.clone());
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(|request| answer(request, Arc::clone(&metrics), page.clone()));
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(16 << 10);
            // Whoever hangs up, hangs up; whoever reads no answers does not stay.
            let _ =
                tokio::time::timeout(CONNECTION, http.serve_connection(TokioIo::new(stream), service)).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    metrics: Arc<Metrics>,
    page: PathBuf,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let known = matches!(path.as_str(), "/" | "/metrics" | "/health");
    if !known || !matches!(*request.method(), Method::GET | Method::HEAD) {
        let status = if known { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::NOT_FOUND };
        return Ok(text(status, "text/plain", "there are /, /metrics and /health\n".into()));
    }
    // All of it reads files.
    let done = tokio::task::spawn_blocking(move || {
        match path.as_str() {
            "/metrics" => text(StatusCode::OK, "text/plain; version=0.0.4", metrics.text()),
            "/health" => match metrics.ailing() {
                None => text(StatusCode::OK, "text/plain", "well\n".into()),
                Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", why + "\n"),
            },
            _ => match std::fs::read(page) {
                Ok(bytes) => bytes_of(StatusCode::OK, "text/html; charset=utf-8", bytes.into()),
                Err(_) if metrics.ailing().is_some() => text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "text/html; charset=utf-8",
                    "<!doctype html><meta http-equiv=refresh content=5><title>trapline</title><p>There is no page yet, and something is not well: see <a href=/health>/health</a>, and what trapline up said.".into(),
                ),
                Err(_) => text(
                    StatusCode::OK,
                    "text/html; charset=utf-8",
                    "<!doctype html><meta http-equiv=refresh content=5><title>trapline</title><p>Nothing was counted yet. A segment is sealed after 15 minutes or 64 MB, unless the sensor was told otherwise, and counted some minutes later. This page looks again by itself.".into(),
                ),
            },
        }
    });
    Ok(done
        .await
        .unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "failed\n".into())))
}

fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    bytes_of(status, kind, text.into())
}

fn bytes_of(status: StatusCode, kind: &'static str, bytes: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(bytes));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert("content-type", HeaderValue::from_static(kind));
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    answer
}
