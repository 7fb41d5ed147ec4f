//! The `commits` table: which versions of the other tables belong together.
//!
//! A reader looks at the newest row and opens every table at the version named there. A writer puts its row
//! on top of the one it began from, or not at all: whoever is second begins again. The protocol and why
//! it needs no lock: docs/decisions/0003-commits.md.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{Field, Int32Type, Int64Type};
use object_store::ObjectStoreExt;
use object_store::path::Path as ObjectPath;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::delta::{self, DataFile, Files, Version};
use crate::schema::{COMMITS, SCHEMA_VERSION, TABLES, Table};
use crate::{Data, StoreError};

/// After so many commits their rows are gathered into one file.
const GATHER: usize = 64;

/// One row of `commits`.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Number, from 1.
    pub version: i64,
    /// Delta version of every table.
    pub tables: BTreeMap<String, Version>,
    /// Version of the declarations that the tables were written with; see [`crate::migrate`].
    pub schema_version: i32,
    /// Program and version.
    pub program: String,
    /// Command line.
    pub arguments: Vec<String>,
    /// When it began, in microseconds since 1970.
    pub started_us: i64,
    /// When it was committed, in microseconds since 1970.
    pub finished_us: i64,
    /// Packets in the captures that it added.
    pub packets: u64,
    /// Packets that found no room in memory.
    pub over_limit: u64,
    /// Messages, connections and pieces of datagrams beyond a limit.
    pub untold: u64,
}

/// The tables as one commit names them.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Where.
    pub data: Data,
    /// The commit.
    pub commit: Commit,
    /// Version of the `commits` table that holds it as its newest row.
    commits_version: Version,
}

impl Snapshot {
    /// The newest commit; `None` where nothing was ever committed.
    ///
    /// # Errors
    /// When the tables cannot be read, or are of a newer schema than this program knows.
    pub async fn latest(data: &Data) -> Result<Option<Snapshot>, StoreError> {
        Snapshot::latest_up_to(data, SCHEMA_VERSION).await
    }

    /// The newest commit, for a program that knows declarations up to version `known`.
    ///
    /// # Errors
    /// As [`Snapshot::latest`].
    pub async fn latest_up_to(data: &Data, known: i32) -> Result<Option<Snapshot>, StoreError> {
        if !delta::exists(data, &COMMITS).await? {
            return Ok(None);
        }
        let table = delta::open(data, &COMMITS, None).await?;
        let commits_version = table.version().expect("an opened table has a version");
        let files = delta::files(&table, &COMMITS)?;
        let Some(newest) = files.0.keys().next_back() else { return Ok(None) };
        let rows = read_file(data, &COMMITS, newest).await?;
        let commit = last_row(&rows)?;
        if commit.schema_version > known {
            let found = commit.schema_version;
            return Err(StoreError::Newer { place: data.name.clone(), found, known });
        }
        Ok(Some(Snapshot { data: data.clone(), commit, commits_version }))
    }

    /// The same commit at another version of `commits`, which must hold the same rows.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it holds others.
    pub(crate) async fn moved_to(&self, version: Version) -> Result<Snapshot, StoreError> {
        let moved = Snapshot { commits_version: version, ..self.clone() };
        let same = moved.files(&COMMITS).await?.0.keys().eq(self.files(&COMMITS).await?.0.keys());
        if same { Ok(moved) } else { Err(StoreError::Conflict) }
    }

    /// The files of a table in this commit; none where it has none yet.
    ///
    /// # Errors
    /// When the table's log cannot be read.
    pub async fn files(&self, table: &'static Table) -> Result<Files, StoreError> {
        // No row can name the version of the table that it is in.
        let own = (table.name == COMMITS.name).then_some(self.commits_version);
        let Some(version) = own.or_else(|| self.commit.tables.get(table.name).copied()) else {
            return Ok(Files::default());
        };
        let opened = delta::open(&self.data, table, Some(version)).await?;
        delta::files(&opened, table)
    }
}

/// Reads a whole data file.
///
/// # Errors
/// When it is not there or no Parquet.
pub async fn read_file(data: &Data, table: &'static Table, path: &str) -> Result<RecordBatch, StoreError> {
    let place = ObjectPath::from(format!("{}/{}/{path}", data.prefix, table.name));
    let bytes = data.root.get(&place).await?.bytes().await?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>()?;
    let schema = table.file_schema();
    // A column that was declared after the file was written is null in it.
    let whole = |rows: &RecordBatch| {
        let column = |field: &Arc<Field>| {
            let stored = rows.column_by_name(field.name()).cloned();
            stored.unwrap_or_else(|| new_null_array(field.data_type(), rows.num_rows()))
        };
        RecordBatch::try_new(Arc::clone(&schema), schema.fields().iter().map(column).collect())
    };
    let batches: Vec<RecordBatch> = batches.iter().map(whole).collect::<Result<_, _>>()?;
    Ok(concat_batches(&schema, &batches)?)
}

/// Puts `commit` on top of `base`, the snapshot that it was made from.
///
/// # Errors
/// [`StoreError::Conflict`] when another commit came first.
pub async fn append(data: &Data, base: Option<&Snapshot>, commit: &Commit) -> Result<(), StoreError> {
    let table = delta::open(data, &COMMITS, None).await?;
    let mut wanted = delta::files(&table, &COMMITS)?;
    let head = table.version().expect("an opened table has a version");
    // Without a base there must be no row yet. (Tables of before may have been created several times, each time
    // leaving a version, so the head need not be version 0.)
    let expected = base.map_or(head, |b| b.commits_version);
    if head != expected || (base.is_none() && !wanted.0.is_empty()) {
        return Err(StoreError::Conflict);
    }
    let mut rows = to_row(commit)?;
    if wanted.0.len() >= GATHER {
        let mut all = Vec::new();
        for path in wanted.0.keys() {
            all.push(read_file(data, &COMMITS, path).await?);
        }
        all.push(rows);
        rows = concat_batches(&COMMITS.file_schema(), &all)?;
        wanted.0.clear();
    }
    let name = format!("commit-{:012}-{}.parquet", commit.version, uuid::Uuid::new_v4().simple());
    let file: DataFile = delta::write_file(data, &COMMITS, None, Some(name), &rows).await?;
    wanted.0.insert(file.path.clone(), file);
    let version = delta::commit(data, &COMMITS, &wanted).await?;
    if version == expected + 1 { Ok(()) } else { Err(StoreError::Conflict) }
}

fn to_row(commit: &Commit) -> Result<RecordBatch, StoreError> {
    let tables = serde_json::to_string(&commit.tables).expect("plain map");
    let arguments = serde_json::to_string(&commit.arguments).expect("plain list");
    let time = |us: i64| TimestampMicrosecondArray::from(vec![us]).with_timezone("UTC");
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(Int64Array::from(vec![commit.version])),
        Arc::new(StringArray::from(vec![tables])),
        Arc::new(Int32Array::from(vec![commit.schema_version])),
        Arc::new(StringArray::from(vec![commit.program.as_str()])),
        Arc::new(StringArray::from(vec![arguments])),
        Arc::new(time(commit.started_us)),
        Arc::new(time(commit.finished_us)),
        Arc::new(Int64Array::from(vec![commit.packets as i64])),
        Arc::new(Int64Array::from(vec![commit.over_limit as i64])),
        Arc::new(Int64Array::from(vec![commit.untold as i64])),
    ];
    Ok(RecordBatch::try_new(COMMITS.file_schema(), columns)?)
}

/// The newest row of a file of `commits`.
fn last_row(rows: &RecordBatch) -> Result<Commit, StoreError> {
    let broken = || StoreError::Columns("the newest row of commits cannot be read".into());
    let row = rows.num_rows().checked_sub(1).ok_or_else(broken)?;
    let long = |i: usize| rows.column(i).as_primitive::<Int64Type>().value(row);
    let text = |i: usize| rows.column(i).as_string::<i32>().value(row);
    Ok(Commit {
        version: long(0),
        schema_version: rows.column(2).as_primitive::<Int32Type>().value(row),
        tables: serde_json::from_str(text(1)).map_err(|_| broken())?,
        program: text(3).into(),
        arguments: serde_json::from_str(text(4)).unwrap_or_default(),
        packets: long(7) as u64,
        over_limit: long(8) as u64,
        untold: if rows.column(9).is_null(row) { 0 } else { long(9) as u64 },
        ..Commit::default()
    })
}

/// Creates the tables that are not there yet.
///
/// # Errors
/// When one cannot be created.
pub async fn create_tables(data: &Data) -> Result<(), StoreError> {
    for table in TABLES {
        if !delta::exists(data, table).await? {
            delta::create(data, table).await?;
        }
    }
    Ok(())
}
