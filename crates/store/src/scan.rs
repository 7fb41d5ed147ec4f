//! A table at one version as the SQL engine sees it: Parquet files with their partition values.
//!
//! Not the table library's own provider: that one does not serialise, so no cluster could run it
//! (docs/decisions/0002-engine.md). Files are listed when a query first needs them; files of other
//! days or platforms than those asked about are not opened at all. Small tables are kept in memory, column by column.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, Result, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use tokio::sync::{Mutex, OnceCell};

use crate::Snapshot;
use crate::delta::{DataFile, Partition};
use crate::engine::Span;
use crate::schema::Table;

/// Tables whose files are no larger than this together, in bytes, are read into memory as far as queries need them, and
/// only once: a platform's year is hundreds of small files, and opening them is what a question's time would go into.
/// As columns in memory they are about ten times as large.
pub const KEEP_BYTES: i64 = 16 * 1024 * 1024;

/// One table of a snapshot, limited to a span.
#[derive(Debug)]
pub struct PinnedTable {
    snapshot: Arc<Snapshot>,
    table: &'static Table,
    span: Span,
    keep_bytes: i64,
    files: OnceCell<Vec<DataFile>>,
    kept: Mutex<KeptColumns>,
}

impl PinnedTable {
    /// A table as `snapshot` pins it; of tables by day only the partitions in `span`. Kept in memory where it is no larger
    /// than `keep_bytes`: [`KEEP_BYTES`] but for tests.
    pub fn new(snapshot: Arc<Snapshot>, table: &'static Table, span: Span, keep_bytes: i64) -> Self {
        PinnedTable { snapshot, table, span, keep_bytes, files: OnceCell::new(), kept: Mutex::default() }
    }

    async fn files(&self) -> Result<&[DataFile]> {
        let list = || async {
            let files =
                self.snapshot.files(self.table).await.map_err(|e| DataFusionError::External(Box::new(e)))?;
            let wanted = |f: &DataFile| {
                f.partition.as_ref().is_none_or(|(platform, day)| self.span.covers(platform, *day))
            };
            Ok::<_, DataFusionError>(files.0.into_values().filter(wanted).collect())
        };
        Ok(self.files.get_or_try_init(list).await?)
    }

    fn store_url(&self) -> Result<ObjectStoreUrl> {
        let url = &self.snapshot.data.url;
        ObjectStoreUrl::parse(&url[..url::Position::BeforePath])
    }

    fn path(&self, file: &DataFile) -> String {
        format!("{}/{}/{}", self.snapshot.data.prefix, self.table.name, file.path)
    }

    /// The columns `wanted` of a small table, from memory.
    async fn in_memory(
        &self,
        wanted: &[usize],
        threads: usize,
        rows_at_once: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.kept.lock().await.columns(self, wanted).await?;
        // Every thread gets the same share, in batches of the engine's size.
        let share = rows.num_rows().div_ceil(threads.max(1)).max(rows_at_once);
        let batches = |begin: usize| {
            let end = (begin + share).min(rows.num_rows());
            (begin..end).step_by(rows_at_once).map(|at| rows.slice(at, rows_at_once.min(end - at))).collect()
        };
        let partitions: Vec<Vec<RecordBatch>> = (0..rows.num_rows()).step_by(share).map(batches).collect();
        Ok(MemorySourceConfig::try_new_exec(&partitions, rows.schema(), None)?)
    }

    /// The columns `wanted` of a large table, from its files as they are read.
    fn streamed(
        &self,
        files: &[DataFile],
        wanted: &[usize],
        threads: usize,
        keep_days: bool,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // The declaration has the partition columns first, a file scan has them last.
        let (by, columns) = (self.table.partition_columns().len(), self.table.columns.len());
        let indices: Vec<usize> =
            wanted.iter().map(|i| if *i < by { columns - by + i } else { i - by }).collect();
        let partition: Vec<FieldRef> = self.table.schema().fields()[..by].to_vec();
        let schema =
            TableSchema::builder(self.table.file_schema()).with_table_partition_cols(partition).build();
        let mut statistics = Statistics::new_unknown(schema.table_schema());
        if let Some(rows) = files.iter().map(|f| f.rows).sum::<Option<i64>>() {
            statistics.num_rows = Precision::Exact(rows as usize);
        }
        let groups = self.groups(files, threads);
        // Declared only where the plan has been looked at; see `keep_days_together`.
        let partitioning = (keep_days && by > 0).then(|| {
            let partition = self.table.partition_columns().iter().enumerate();
            let columns = partition
                .map(|(i, name)| Arc::new(Column::new(name, columns - by + i)) as Arc<dyn PhysicalExpr>);
            Partitioning::Hash(columns.collect(), groups.len())
        });
        let config = FileScanConfigBuilder::new(self.store_url()?, Arc::new(ParquetSource::new(schema)))
            .with_file_groups(groups)
            .with_output_partitioning(partitioning)
            .with_statistics(statistics)
            .with_projection_indices(Some(indices))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn partitioned(&self, file: &DataFile) -> PartitionedFile {
        let values = file.partition.as_ref().map(|(platform, day)| {
            vec![ScalarValue::Utf8(Some(platform.clone())), ScalarValue::Date32(Some(*day))]
        });
        PartitionedFile::new(self.path(file), file.size as u64)
            .with_partition_values(values.unwrap_or_default())
    }

    /// Files dealt out so that each group has about the same number of bytes, and those of one partition to one group.
    fn groups(&self, files: &[DataFile], groups: usize) -> Vec<FileGroup> {
        let mut dealt: Vec<(i64, Vec<PartitionedFile>)> =
            (0..groups.clamp(1, files.len())).map(|_| (0, Vec::new())).collect();
        for together in files.chunk_by(|a, b| a.partition.is_some() && a.partition == b.partition) {
            let smallest = dealt.iter_mut().min_by_key(|(bytes, _)| *bytes).expect("at least one group");
            smallest.0 += together.iter().map(|file| file.size + 4096).sum::<i64>();
            smallest.1.extend(together.iter().map(|file| self.partitioned(file)));
        }
        dealt.retain(|(_, files)| !files.is_empty());
        dealt.into_iter().map(|(_, files)| FileGroup::new(files)).collect()
    }
}

#[async_trait]
impl TableProvider for PinnedTable {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.files().await?;
        let all: Vec<usize> = (0..self.table.columns.len()).collect();
        let wanted = projection.unwrap_or(&all);
        let (threads, rows_at_once) = (state.config().target_partitions(), state.config().batch_size());
        let bytes: i64 = files.iter().map(|f| f.size).sum();
        if files.is_empty() {
            Ok(Arc::new(EmptyExec::new(Arc::new(self.schema().project(wanted)?))))
        } else if bytes <= self.keep_bytes {
            self.in_memory(wanted, threads, rows_at_once).await
        } else {
            let keep_days = state.config_options().optimizer.preserve_file_partitions > 0;
            self.streamed(files, wanted, threads, keep_days, limit)
        }
    }
}

/// What of a small table was read so far.
#[derive(Debug, Default)]
struct KeptColumns {
    files: Vec<KeptFile>,
    columns: HashMap<usize, ArrayRef>,
}

/// A file's bytes with its footer understood.
#[derive(Clone, Debug)]
struct KeptFile {
    bytes: Bytes,
    footer: ArrowReaderMetadata,
    partition: Partition,
}

/// Files that are fetched at the same time.
const FETCH_AT_ONCE: usize = 16;

impl KeptColumns {
    /// The columns `wanted`, in that order; those not yet kept are read.
    async fn columns(&mut self, table: &PinnedTable, wanted: &[usize]) -> Result<RecordBatch> {
        if self.files.is_empty() && table.snapshot.data.folder.is_some() {
            let disk = LocalFileSystem::new();
            let place = |file: &DataFile| {
                Ok((disk.path_to_filesystem(&table.path(file).into())?, file.partition.clone()))
            };
            let places = table.files().await?.iter().map(place).collect::<Result<Vec<_>>>()?;
            let open = |places| tokio::task::spawn_blocking(move || KeptFile::open_all(places));
            for share in shares(&places).into_iter().map(open).collect::<Vec<_>>() {
                self.files.extend(share.await.expect("reading does not panic")?);
            }
        } else if self.files.is_empty() {
            let fetch = |file: &DataFile| {
                let (file, place) = (file.clone(), ObjectPath::from(table.path(file)));
                let root = Arc::clone(&table.snapshot.data.root);
                async move { KeptFile::fetch(&*root, &place, file.partition).await }
            };
            let fetches: Vec<_> = table.files().await?.iter().map(fetch).collect();
            self.files = futures::stream::iter(fetches).buffered(FETCH_AT_ONCE).try_collect().await?;
        }
        let missing: Vec<usize> = wanted.iter().copied().filter(|i| !self.columns.contains_key(i)).collect();
        if !missing.is_empty() {
            let (files, declared) = (self.files.clone(), table.table);
            let parts = shares(&files).into_iter().map(|files| {
                let missing = missing.clone();
                tokio::task::spawn_blocking(move || read(&files, declared, &missing))
            });
            let mut batches = Vec::new();
            for part in parts.collect::<Vec<_>>() {
                batches.extend(part.await.expect("reading does not panic")?);
            }
            let schema = Arc::new(table.table.schema().project(&missing)?);
            let rows = concat_batches(&schema, &batches)?;
            self.columns.extend(missing.into_iter().zip(rows.columns().iter().cloned()));
        }
        let rows: i64 = table.files().await?.iter().filter_map(|f| f.rows).sum();
        let schema = Arc::new(table.table.schema().project(wanted)?);
        let options = RecordBatchOptions::new().with_row_count(Some(rows as usize));
        let columns = wanted.iter().map(|i| Arc::clone(&self.columns[i])).collect();
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}

/// The same number of files, give or take one, for every core.
fn shares<T: Clone>(files: &[T]) -> Vec<Vec<T>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    files.chunks(files.len().div_ceil(cores).max(1)).map(<[T]>::to_vec).collect()
}

impl KeptFile {
    /// Files of this machine, read at once: several times as fast as asking an object store for each.
    fn open_all(places: Vec<(PathBuf, Partition)>) -> Result<Vec<KeptFile>> {
        let open = |(path, partition): (PathBuf, Partition)| {
            let bytes = Bytes::from(std::fs::read(path)?);
            let footer = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new())?;
            Ok(KeptFile { bytes, footer, partition })
        };
        places.into_iter().map(open).collect()
    }

    async fn fetch(root: &dyn ObjectStore, place: &ObjectPath, partition: Partition) -> Result<KeptFile> {
        let bytes = root.get(place).await?.bytes().await?;
        let footer = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new())?;
        Ok(KeptFile { bytes, footer, partition })
    }
}

/// Reads the columns `wanted` of files; what a file of an earlier schema lacks is null.
fn read(files: &[KeptFile], table: &'static Table, wanted: &[usize]) -> Result<Vec<RecordBatch>> {
    let by = table.partition_columns().len();
    let schema = Arc::new(table.schema().project(wanted)?);
    let mut batches = Vec::new();
    for file in files {
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file.bytes.clone(), file.footer.clone());
        let names = wanted.iter().filter(|i| **i >= by).map(|i| table.columns[*i].name);
        let mask = ProjectionMask::columns(file.footer.parquet_schema(), names);
        for batch in reader.with_projection(mask).build()? {
            let batch = batch?;
            let column = |i: &usize| match (i, &file.partition) {
                (0, Some((platform, _))) if by > 0 => {
                    ScalarValue::from(platform.as_str()).to_array_of_size(batch.num_rows())
                }
                (1, Some((_, day))) if by > 0 => {
                    ScalarValue::Date32(Some(*day)).to_array_of_size(batch.num_rows())
                }
                _ => Ok(match batch.column_by_name(table.columns[*i].name) {
                    Some(column) => Arc::clone(column),
                    None => new_null_array(&table.columns[*i].kind.arrow(), batch.num_rows()),
                }),
            };
            let columns = wanted.iter().map(column).collect::<Result<Vec<_>>>()?;
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            batches.push(RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?);
        }
    }
    Ok(batches)
}

/// Rows in memory, as a table.
///
/// # Errors
/// When the rows do not fit each other.
pub fn in_memory(schema: SchemaRef, rows: Vec<RecordBatch>) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(datafusion::datasource::MemTable::try_new(schema, vec![rows])?))
}
