//! The tables: Delta Lake on Parquet, written all or nothing, read at versions named together.
//!
//! [`schema`] declares every table and column once. [`delta`] writes and reads single tables;
//! [`commits`] ties their versions together; [`ingest`] turns captures into one commit. [`engine`] is SQL over a pinned
//! snapshot with our own [`functions`]. No other crate knows of Delta; `questions` knows of DataFusion only.

pub mod commits;
pub mod convert;
mod counting;
pub mod data;
pub mod delta;
pub mod engine;
pub mod enriching;
pub mod evidence;
pub mod functions;
pub mod ingest;
pub mod migrate;
pub mod packets;
pub mod plan;
pub mod said;
pub mod scan;
pub mod schema;
mod surveying;
pub mod sweep;
mod writer;

pub use commits::{Commit, Snapshot};
pub use data::Data;
pub use engine::{Engine, Span};
pub use enriching::{EnrichError, Enrichers};

pub use ingest::{IngestReport, IngestRequest, ingest};

/// Rows as the bytes of a Parquet file.
///
/// # Errors
/// When a column's type does not exist in Parquet.
pub fn parquet_bytes(rows: &datafusion::arrow::array::RecordBatch) -> Result<Vec<u8>, StoreError> {
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), rows.schema(), None)?;
    writer.write(rows)?;
    Ok(writer.into_inner()?)
}

/// Why the tables cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The place of the tables cannot be used.
    #[error("{place}: {what}")]
    Place {
        /// Folder or URL.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// Nothing has been ingested there yet.
    #[error("{place}: no tables yet")]
    Empty {
        /// Folder or URL.
        place: String,
    },
    /// The tables were written by a newer version of this program.
    #[error("{place}: the tables have schema {found}, this program knows up to {known}")]
    Newer {
        /// Folder or URL.
        place: String,
        /// Schema version of the tables.
        found: i32,
        /// Schema version of this program.
        known: i32,
    },
    /// Another ingest was quicker.
    #[error("another ingest wrote the same tables at the same time")]
    Conflict,
    /// The table library failed.
    #[error("table {table}: {cause}")]
    Delta {
        /// Which table.
        table: &'static str,
        /// What it said.
        cause: Box<deltalake::DeltaTableError>,
    },
    /// The SQL engine failed.
    #[error("{0}")]
    Query(Box<datafusion::error::DataFusionError>),
    /// Parquet or Arrow failed.
    #[error("{0}")]
    Columns(String),
    /// The object store failed.
    #[error("{0}")]
    Objects(#[from] object_store::Error),
    /// A capture changed while it was read, or vanished.
    #[error("{0}")]
    Capture(String),
    /// The user stopped it; nothing of this run was committed.
    #[error("stopped; nothing of this run was kept")]
    Stopped,
}

impl From<datafusion::error::DataFusionError> for StoreError {
    fn from(cause: datafusion::error::DataFusionError) -> Self {
        StoreError::Query(Box::new(cause))
    }
}

impl From<datafusion::arrow::error::ArrowError> for StoreError {
    fn from(cause: datafusion::arrow::error::ArrowError) -> Self {
        StoreError::Columns(cause.to_string())
    }
}

impl From<parquet::errors::ParquetError> for StoreError {
    fn from(cause: parquet::errors::ParquetError) -> Self {
        StoreError::Columns(cause.to_string())
    }
}
