//! What a sensor and a vault's server say to each other: HTTP/1.1 inside TLS 1.3, JSON answers. Who asks is who the certificate is of.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/progress` | | [`ProgressAnswer`] |
//! | `GET /v1/parts/SEQUENCE/KIND/BLAKE3` | | [`HeldAnswer`] |
//! | `POST /v1/parts/SEQUENCE/KIND/BLAKE3?offset=N` | bytes | [`HeldAnswer`] |
//! | `POST /v1/segments` | a manifest | [`ProgressAnswer`] |
//! | `POST /v1/enroll` (no certificate) | [`EnrollRequest`] | [`EnrollAnswer`] |
//!
//! What is refused is answered with a status of 400 or above and a [`Trouble`].

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use trapline_archive::ship::Ask;
use trapline_archive::vault::{Kind, PartId};

use crate::LineError;

/// Bytes of a body that a vault's server takes at most: more than a sensor sends at once.
pub const LONGEST_BODY: usize = 4 << 20;

/// How far a sensor got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressAnswer {
    /// Its last segment; 0 before the first.
    pub sequence: u64,
    /// The hash of its manifest.
    pub hash: Option<String>,
}

/// Bytes of a part that are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAnswer {
    /// So many.
    pub held: u64,
}

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// In words.
    pub error: String,
}

/// A sensor that has a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollRequest {
    /// The token's secret.
    pub secret: String,
    /// The public key that its segments are signed with, in hexadecimal digits.
    pub key: String,
    /// A certificate signing request (PKCS #10, PEM).
    pub request: String,
}

/// It is enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollAnswer {
    /// Under this name.
    pub sensor: String,
    /// Its certificate (PEM).
    pub certificate: String,
}

/// A one-time token: where the vault is, whom it is for, how the vault is recognised, and a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// `https://HOST:PORT`.
    pub url: String,
    /// The sensor's name.
    pub sensor: String,
    /// The certificate of the vault's authority (DER, base64).
    pub authority: String,
    /// What makes it valid, once.
    pub secret: String,
}

/// How a token begins: a version, and something to be recognised by in a heap of notes.
const TOKEN: &str = "trapline1.";

impl Token {
    /// As one word.
    pub fn text(&self) -> String {
        // Text only: nothing here can fail to be JSON.
        format!("{TOKEN}{}", URL_SAFE_NO_PAD.encode(serde_json::to_string(self).unwrap_or_default()))
    }

    /// Reads one.
    ///
    /// # Errors
    /// Where it is none, or was cut.
    pub fn read(text: &str) -> Result<Token, LineError> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(text.trim().strip_prefix(TOKEN)?).ok()?;
            serde_json::from_slice(&bytes).ok()
        };
        let wrong = "this is no token of trapline vault enroll, or it was cut: it is one word that begins with trapline1.";
        read().ok_or_else(|| LineError::Credentials(wrong.into()))
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Capture => "capture",
        Kind::Lines => "lines",
    }
}

/// Method and path of a question.
pub fn path_of(ask: &Ask) -> (&'static str, String) {
    let part =
        |part: &PartId| format!("/v1/parts/{}/{}/{}", part.sequence, kind_name(part.kind), part.blake3);
    match ask {
        Ask::Progress => ("GET", "/v1/progress".into()),
        Ask::Held(id) => ("GET", part(id)),
        Ask::Add { part: id, offset, .. } => ("POST", format!("{}?offset={offset}", part(id))),
        Ask::Accept { .. } => ("POST", "/v1/segments".into()),
    }
}

/// The question of a request; its body is taken where the question has one. Nothing where there is no such question.
pub fn ask_of(method: &str, path: &str, query: Option<&str>, body: Vec<u8>) -> Option<Ask> {
    if let Some(rest) = path.strip_prefix("/v1/parts/") {
        let mut words = rest.split('/');
        let (sequence, kind, blake3) = (words.next()?.parse().ok()?, words.next()?, words.next()?.to_owned());
        let kind = Kind::ALL.into_iter().find(|known| kind_name(*known) == kind)?;
        let part = PartId { sequence, kind, blake3 };
        return match (method, words.next()) {
            ("GET", None) => Some(Ask::Held(part)),
            ("POST", None) => {
                let offset = query?.strip_prefix("offset=")?.parse().ok()?;
                Some(Ask::Add { part, offset, bytes: body })
            }
            _ => None,
        };
    }
    match (method, path) {
        ("GET", "/v1/progress") => Some(Ask::Progress),
        ("POST", "/v1/segments") => Some(Ask::Accept { text: body }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_go_there_and_back() {
        let part = PartId { sequence: 7, kind: Kind::Lines, blake3: "ab".into() };
        for ask in [
            Ask::Progress,
            Ask::Held(part.clone()),
            Ask::Add { part, offset: 9, bytes: b"x".to_vec() },
            Ask::Accept { text: b"{}".to_vec() },
        ] {
            let (method, path) = path_of(&ask);
            let (path, query) = path.split_once('?').map_or((path.as_str(), None), |(p, q)| (p, Some(q)));
            let body = match &ask {
                Ask::Add { bytes, .. } => bytes.clone(),
                Ask::Accept { text } => text.clone(),
                _ => Vec::new(),
            };
            assert_eq!(ask_of(method, path, query, body), Some(ask));
        }
        for (method, path) in [
            ("GET", "/v1/segments"),
            ("DELETE", "/v1/parts/7/lines/ab"),
            ("GET", "/v1/parts/7/lines/ab/c"),
            ("GET", "/v1/parts/x/lines/ab"),
            ("GET", "/"),
        ] {
            assert_eq!(ask_of(method, path, None, Vec::new()), None, "{method} {path}");
        }
    }

    #[test]
    fn a_token_is_one_word() {
        let token = Token {
            url: "https://vault:8443".into(),
            sensor: "paris".into(),
            authority: "MII".into(),
            secret: "s".into(),
        };
        assert_eq!(Token::read(&format!(" {}\n", token.text())).unwrap(), token);
        assert!(!token.text().contains(char::is_whitespace));
        for wrong in ["", "trapline1.", &token.text()[..30], "https://vault"] {
            assert!(Token::read(wrong).unwrap_err().to_string().contains("no token"), "{wrong}");
        }
    }
}
