//! One Delta table at a time: create it, list its files at a version, replace whole partitions.
//!
//! Every write is one Delta commit that takes the table from whatever its head holds to exactly the files
//! we name, and fails if anybody else committed in between: the library's conflict check with no
//! retries. So a half-finished ingest of before is undone by the same commit that writes the next one.

use std::collections::{BTreeMap, HashMap};

use datafusion::arrow::array::RecordBatch;
use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake::kernel::{Action, Add, Remove};
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{DeltaTable, DeltaTableError};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStoreExt, PutMode, PutPayload};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::schema::Table;
use crate::{Data, StoreError};

/// Which partition of a table: platform and UTC day (days since 1970); `None` where it has no partitions.
pub type Partition = Option<(String, i32)>;

/// A data file of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Path inside the table's folder.
    pub path: String,
    /// Length in bytes.
    pub size: i64,
    /// Rows, where known.
    pub rows: Option<i64>,
    /// Partition.
    pub partition: Partition,
    /// When it was written, in milliseconds since 1970.
    pub written_ms: i64,
}

/// The files of a table at one version.
#[derive(Clone, Debug, Default)]
pub struct Files(pub BTreeMap<String, DataFile>);

/// A version of a table, as Delta counts.
pub type Version = u64;

fn failed(table: &'static Table) -> impl Fn(DeltaTableError) -> StoreError {
    move |cause| StoreError::Delta { table: table.name, cause: Box::new(cause) }
}

/// Opens a table at a version, or at its head.
///
/// # Errors
/// When the version is not there or cannot be read.
pub async fn open(
    data: &Data,
    table: &'static Table,
    version: Option<Version>,
) -> Result<DeltaTable, StoreError> {
    let mut delta = DeltaTable::new(data.log_store(table.name));
    let loaded = match version {
        Some(version) => delta.load_version(version).await,
        None => delta.load().await,
    };
    loaded.map_err(failed(table))?;
    Ok(delta)
}

/// Whether a table has been created.
///
/// # Errors
/// When the store cannot be asked.
pub async fn exists(data: &Data, table: &'static Table) -> Result<bool, StoreError> {
    match data.root.head(&first_version(data, table)).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => {
            // Old log entries may have been cleaned up behind a checkpoint.
            let checkpoint = data.prefix.clone().join(table.name).join("_delta_log").join("_last_checkpoint");
            match data.root.head(&checkpoint).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::NotFound { .. }) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Creates a table; one that another process created meanwhile is as good.
///
/// The library would try the next version where somebody else wrote the first one at the same moment, and a table's creation
/// among its versions looks like a rival's commit. So the first version is made in memory and put where there is none.
///
/// # Errors
/// When the table cannot be created.
pub async fn create(data: &Data, table: &'static Table) -> Result<(), StoreError> {
    let schema: StructType = table.schema().as_ref().try_into_kernel()?;
    let memory = Data::in_memory();
    CreateBuilder::new()
        .with_log_store(memory.log_store(table.name))
        .with_table_name(table.name)
        .with_comment(table.row)
        .with_columns(schema.fields().cloned())
        .with_partition_columns(table.partition_columns().iter().copied())
        .with_save_mode(SaveMode::ErrorIfExists)
        .await
        .map_err(failed(table))?;
    let first = memory.root.get(&first_version(&memory, table)).await?.bytes().await?;
    let place = first_version(data, table);
    match data.root.put_opts(&place, PutPayload::from(first), PutMode::Create.into()).await {
        Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Where a table's log begins.
fn first_version(data: &Data, table: &'static Table) -> ObjectPath {
    data.prefix.clone().join(table.name).join("_delta_log").join("00000000000000000000.json")
}

/// The files of an opened table.
///
/// # Errors
/// When the log cannot be read.
pub fn files(delta: &DeltaTable, table: &'static Table) -> Result<Files, StoreError> {
    let snapshot = delta.snapshot().map_err(failed(table))?;
    let mut files = BTreeMap::new();
    for file in snapshot.log_data().iter() {
        let values = file.partition_values_map();
        let value = |name: &str| values.get(name).cloned().flatten();
        let partition = match (value("platform"), value("day").and_then(|d| crate::convert::parse_day(&d))) {
            (Some(platform), Some(day)) => Some((platform, day)),
            _ => None,
        };
        let path = file.path().into_owned();
        let rows = file.num_records().map(|n| n as i64);
        let one = DataFile {
            path: path.clone(),
            size: file.size(),
            rows,
            partition,
            written_ms: file.modification_time(),
        };
        files.insert(path, one);
    }
    Ok(Files(files))
}

/// Writes rows as one data file, which no version of the table names yet; `name` where its order matters.
///
/// # Errors
/// When the rows cannot be encoded or the file not be written.
pub async fn write_file(
    data: &Data,
    table: &'static Table,
    partition: Partition,
    name: Option<String>,
    rows: &RecordBatch,
) -> Result<DataFile, StoreError> {
    let bytes = encode(table, rows)?;
    let size = bytes.len() as i64;
    let codec = compression(rows.num_rows()).1;
    let name = name.unwrap_or_else(|| format!("part-{}.{codec}.parquet", uuid::Uuid::new_v4().simple()));
    let path = match &partition {
        Some((platform, day)) => {
            format!("platform={}/day={}/{name}", plain(platform), crate::convert::day_text(*day))
        }
        None => name,
    };
    let place = ObjectPath::from(format!("{}/{}/{path}", data.prefix, table.name));
    data.root.put(&place, PutPayload::from(bytes)).await?;
    let written_ms = chrono::Utc::now().timestamp_millis();
    Ok(DataFile { path, size, rows: Some(rows.num_rows() as i64), partition, written_ms })
}

/// Fewer rows than this make a file so small that a strong compressor's set-up, once for each column, costs a reader more than
/// its bytes: a year of a quiet platform opened three times as fast without it.
const FEW_ROWS: usize = 20_000;

/// How the pages of so many rows are compressed, and what the file's name says of it.
fn compression(rows: usize) -> (Compression, &'static str) {
    if rows < FEW_ROWS {
        return (Compression::SNAPPY, "snappy");
    }
    (Compression::ZSTD(ZstdLevel::try_new(1).expect("a level of zstd")), "zstd")
}

fn encode(table: &'static Table, rows: &RecordBatch) -> Result<Vec<u8>, StoreError> {
    let properties = WriterProperties::builder().set_compression(compression(rows.num_rows()).0).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), table.file_schema(), Some(properties))?;
    writer.write(rows)?;
    Ok(writer.into_inner()?)
}

/// A platform's name as part of a path: what is not plain becomes `_`. Readers take the name from the log, not from the path.
fn plain(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let plain: String = name.chars().map(keep).collect();
    if plain == name && !plain.starts_with('.') {
        return plain;
    }
    let hash =
        name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    format!("{}~{hash:016x}", plain.trim_start_matches('.'))
}

/// Takes a table to exactly the files `wanted`, in one Delta commit on top of its head. Returns the new version,
/// or the head's where that holds these files already.
///
/// # Errors
/// [`StoreError::Conflict`] when somebody else committed in between.
pub async fn commit(data: &Data, table: &'static Table, wanted: &Files) -> Result<Version, StoreError> {
    let head = open(data, table, None).await?;
    let version = head.version().expect("an opened table has a version");
    let now = files(&head, table)?;
    let mut actions = Vec::new();
    for (path, file) in &now.0 {
        if !wanted.0.contains_key(path) {
            actions.push(Action::Remove(remove(file)));
        }
    }
    for (path, file) in &wanted.0 {
        if !now.0.contains_key(path) {
            actions.push(Action::Add(add(file)));
        }
    }
    if actions.is_empty() {
        return Ok(version);
    }
    let operation = DeltaOperation::Write {
        mode: SaveMode::Overwrite,
        partition_by: Some(table.partition_columns().iter().map(|c| (*c).to_string()).collect()),
        predicate: None,
    };
    let snapshot = head.snapshot().map_err(failed(table))?;
    let builder = CommitBuilder::from(CommitProperties::default().with_max_retries(0)).with_actions(actions);
    match builder.build(Some(snapshot.snapshot()), head.log_store(), operation).await {
        Ok(done) if done.version() == version + 1 => Ok(done.version()),
        Ok(_) => Err(StoreError::Conflict),
        Err(error) if is_conflict(&error) => Err(StoreError::Conflict),
        Err(error) => Err(failed(table)(error)),
    }
}

fn is_conflict(error: &DeltaTableError) -> bool {
    matches!(error, DeltaTableError::VersionAlreadyExists(_))
        || matches!(
            error,
            DeltaTableError::Transaction {
                source: TransactionError::VersionAlreadyExists(_)
                    | TransactionError::CommitConflict(_)
                    | TransactionError::MaxCommitAttempts(_)
            }
        )
}

fn partition_values(file: &DataFile) -> HashMap<String, Option<String>> {
    let Some((platform, day)) = &file.partition else { return HashMap::new() };
    HashMap::from([
        ("platform".into(), Some(platform.clone())),
        ("day".into(), Some(crate::convert::day_text(*day))),
    ])
}

fn add(file: &DataFile) -> Add {
    Add {
        path: file.path.clone(),
        partition_values: partition_values(file),
        size: file.size,
        modification_time: file.written_ms,
        data_change: true,
        stats: file.rows.map(|rows| format!("{{\"numRecords\":{rows}}}")),
        ..Add::default()
    }
}

fn remove(file: &DataFile) -> Remove {
    Remove {
        path: file.path.clone(),
        data_change: true,
        deletion_timestamp: Some(chrono::Utc::now().timestamp_millis()),
        extended_file_metadata: Some(true),
        partition_values: Some(partition_values(file)),
        size: Some(file.size),
        ..Remove::default()
    }
}
