//! What went wrong, and what to do next.

use trapline_intake::{OpenError, PlatformError};
use trapline_questions::knowledge::KnowledgeError;
use trapline_questions::{AskError, QuestionError};
use trapline_sim::SimError;
use trapline_store::{EnrichError, StoreError};

/// An error for a person: what and where, and a hint where we have one.
#[derive(Debug)]
pub struct CommandError {
    /// What went wrong, where and why.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    closed_pipe: bool,
}

impl CommandError {
    /// An error without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        CommandError { message: message.into(), hint: None, closed_pipe: false }
    }

    /// The same error with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether nobody reads our output any more, as `| head` does: a quiet end.
    pub fn is_closed_pipe(&self) -> bool {
        self.closed_pipe
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        let hint = match &error {
            StoreError::Empty { .. } => Some(
                "take captures in first: trapline ingest CAPTURE… (tables in ./trapline-data unless --data says otherwise)",
            ),
            StoreError::Newer { .. } => Some("use a newer trapline for these tables"),
            StoreError::Conflict => {
                Some("other ingests are at work on these tables; run it again when they are done")
            }
            StoreError::Capture(_) => {
                Some("run it again when the capture is complete; the tables are as they were")
            }
            _ => None,
        };
        CommandError { hint: hint.map(str::to_owned), ..CommandError::new(error.to_string()) }
    }
}

impl From<EnrichError> for CommandError {
    fn from(error: EnrichError) -> Self {
        CommandError::new(error.to_string())
    }
}

impl From<KnowledgeError> for CommandError {
    fn from(error: KnowledgeError) -> Self {
        CommandError::new(error.to_string())
    }
}

impl From<AskError> for CommandError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Store(error) => error.into(),
            AskError::Filter { .. } => CommandError::new(error.to_string()).hint(
                "a predicate over one source, such as \"hosts = 3 and sequence like '135%'\"; columns: platform, day, ip, country, region, asn, hosts, sequence, host_order, kind, os_p0f, os_disco, packets, bytes, backscatter, ports, first_seen, last_seen; functions: process('blaster'), said('pattern'), sent('pattern'), port('445'), tool('mirai')",
            ),
            error => CommandError::new(error.to_string()),
        }
    }
}

impl From<QuestionError> for CommandError {
    fn from(error: QuestionError) -> Self {
        let unknown = matches!(error, QuestionError::Unknown { .. });
        let error = CommandError::new(error.to_string());
        if unknown { error.hint("`trapline ask` lists all questions") } else { error }
    }
}

impl From<PlatformError> for CommandError {
    fn from(error: PlatformError) -> Self {
        CommandError::new(error.to_string())
    }
}

impl From<OpenError> for CommandError {
    fn from(error: OpenError) -> Self {
        CommandError::new(error.to_string())
    }
}

impl From<SimError> for CommandError {
    fn from(error: SimError) -> Self {
        CommandError::new(error.to_string())
    }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        let closed_pipe = error.kind() == std::io::ErrorKind::BrokenPipe;
        CommandError { closed_pipe, ..CommandError::new(error.to_string()) }
    }
}
