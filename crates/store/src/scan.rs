//! A table at one version as the SQL engine sees it: Parquet files with their partition values.
//!
//! Not the table library's own provider: that one does not serialise, so no cluster could run it
//! (docs/decisions/0002-engine.md). Files are listed when a query first needs them; files of other
//! days or platforms than those asked about are not opened at all.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, Result, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use tokio::sync::OnceCell;

use crate::Snapshot;
use crate::delta::DataFile;
use crate::engine::Span;
use crate::schema::Table;

/// One table of a snapshot, limited to a span.
#[derive(Debug)]
pub struct PinnedTable {
    snapshot: Arc<Snapshot>,
    table: &'static Table,
    span: Span,
    files: OnceCell<Vec<DataFile>>,
}

impl PinnedTable {
    /// A table as `snapshot` pins it; of tables by day only the partitions in `span`.
    pub fn new(snapshot: Arc<Snapshot>, table: &'static Table, span: Span) -> Self {
        PinnedTable { snapshot, table, span, files: OnceCell::new() }
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

    fn partitioned(&self, file: &DataFile) -> PartitionedFile {
        let path = format!("{}/{}/{}", self.snapshot.data.prefix, self.table.name, file.path);
        let values = file.partition.as_ref().map(|(platform, day)| {
            vec![ScalarValue::Utf8(Some(platform.clone())), ScalarValue::Date32(Some(*day))]
        });
        PartitionedFile::new(path, file.size as u64).with_partition_values(values.unwrap_or_default())
    }

    /// Files dealt out so that each group has about the same number of bytes.
    fn groups(&self, files: &[DataFile], groups: usize) -> Vec<FileGroup> {
        let mut dealt: Vec<(i64, Vec<PartitionedFile>)> =
            (0..groups.clamp(1, files.len())).map(|_| (0, Vec::new())).collect();
        for file in files {
            let smallest = dealt.iter_mut().min_by_key(|(bytes, _)| *bytes).expect("at least one group");
            smallest.0 += file.size + 4096;
            smallest.1.push(self.partitioned(file));
        }
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
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(self.schema().project(wanted)?))));
        }
        // The declaration has the partition columns first, a file scan has them last.
        let (by, columns) = (self.table.partition_columns().len(), self.table.columns.len());
        let indices: Vec<usize> =
            wanted.iter().map(|i| if *i < by { columns - by + i } else { i - by }).collect();
        let partition: Vec<FieldRef> = self.schema().fields()[..by].to_vec();
        let schema =
            TableSchema::builder(self.table.file_schema()).with_table_partition_cols(partition).build();
        let mut statistics = Statistics::new_unknown(schema.table_schema());
        if let Some(rows) = files.iter().map(|f| f.rows).sum::<Option<i64>>() {
            statistics.num_rows = Precision::Exact(rows as usize);
        }
        let source = Arc::new(ParquetSource::new(schema));
        let config = FileScanConfigBuilder::new(self.store_url()?, source)
            .with_file_groups(self.groups(files, state.config().target_partitions()))
            .with_statistics(statistics)
            .with_projection_indices(Some(indices))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// Rows in memory, as a table.
///
/// # Errors
/// When the rows do not fit each other.
pub fn in_memory(schema: SchemaRef, rows: Vec<RecordBatch>) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(datafusion::datasource::MemTable::try_new(schema, vec![rows])?))
}
