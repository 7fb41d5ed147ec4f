//! SQL over one snapshot: the tables, limited to a span, and our own functions.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::context::{SessionConfig, SessionContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::DataFrame;

use crate::packets::Findings;
use crate::scan::{KEEP_BYTES, PinnedTable};
use crate::schema::{PROBES, STATE, TABLES};
use crate::{Snapshot, StoreError, functions, packets};

/// What is asked about: UTC days, both inclusive, and one platform or all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First day, days since 1970.
    pub from: Option<i32>,
    /// Last day, days since 1970.
    pub to: Option<i32>,
    /// Platform; all where `None`.
    pub platform: Option<String>,
}

impl Span {
    /// Whether a partition belongs to it.
    pub fn covers(&self, platform: &str, day: i32) -> bool {
        self.platform.as_deref().is_none_or(|p| p == platform)
            && self.from.is_none_or(|from| day >= from)
            && self.to.is_none_or(|to| day <= to)
    }
}

/// The engine.
#[derive(Clone)]
pub struct Engine {
    context: SessionContext,
    findings: Findings,
}

impl Engine {
    /// An engine without tables: functions and `capture('file')` only.
    pub fn bare(threads: usize) -> Engine {
        let config = SessionConfig::new()
            .with_target_partitions(threads.max(1))
            .with_information_schema(true)
            // One kind of text everywhere: our tables hold Utf8, and a cast in a question must not bring in another.
            .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
            .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
            // Small files are read whole; asking for their tails first costs a request each.
            .set_u64("datafusion.execution.parquet.metadata_size_hint", 64 * 1024);
        let context = SessionContext::new_with_config(config);
        functions::register(&context);
        let findings = Findings::default();
        packets::register(&context, &findings);
        Engine { context, findings }
    }

    /// An engine over the tables of `snapshot`, each under its name behind `prefix`. Tables by day hold the days and
    /// the platform of `span`; `all_probes` holds the platform's probes of every day, for what was seen before.
    ///
    /// # Errors
    /// When a table cannot be registered.
    pub fn open(
        snapshot: &Snapshot,
        span: &Span,
        prefix: &str,
        threads: usize,
    ) -> Result<Engine, StoreError> {
        Engine::open_keeping(snapshot, span, prefix, threads, KEEP_BYTES)
    }

    /// [`Engine::open`] that keeps tables of up to `keep_bytes` in memory; 0 reads every table from its files.
    ///
    /// # Errors
    /// When a table cannot be registered.
    pub fn open_keeping(
        snapshot: &Snapshot,
        span: &Span,
        prefix: &str,
        threads: usize,
        keep_bytes: i64,
    ) -> Result<Engine, StoreError> {
        let engine = Engine::bare(threads);
        engine
            .context
            .runtime_env()
            .register_object_store(&snapshot.data.url, Arc::clone(&snapshot.data.root));
        let snapshot = Arc::new(snapshot.clone());
        let pinned = |table, span: &Span| {
            Arc::new(PinnedTable::new(Arc::clone(&snapshot), table, span.clone(), keep_bytes))
        };
        for table in TABLES.into_iter().filter(|t| ![PROBES.name, STATE.name].contains(&t.name)) {
            engine.context.register_table(format!("{prefix}{}", table.name), pinned(table, span))?;
        }
        let always = Span { from: None, to: None, platform: span.platform.clone() };
        let probes = pinned(&PROBES, span);
        // Without a limit both are one table, which is then read once.
        let all_probes = if *span == always { Arc::clone(&probes) } else { pinned(&PROBES, &always) };
        engine.context.register_table(format!("{prefix}probes"), probes)?;
        engine.context.register_table(format!("{prefix}all_probes"), all_probes)?;
        Ok(engine)
    }

    /// The same engine with quoted file names as tables: `'rows.parquet'`, `'list.csv'`.
    pub fn with_files(self) -> Engine {
        Engine { context: self.context.enable_url_table(), findings: self.findings }
    }

    /// What was damaged in the captures that statements have read so far.
    pub fn findings(&self) -> Vec<String> {
        self.findings.lock().expect("no panic while it is held").clone()
    }

    /// Runs a statement that reads, and gives all its rows.
    ///
    /// # Errors
    /// When the statement is wrong or would change something, or its data cannot be read.
    pub async fn collect(&self, statement: &str) -> Result<RecordBatch, StoreError> {
        let rows = self.sql(statement).await?;
        let schema = Arc::new(rows.schema().as_arrow().clone());
        let batches = keep_days_together(rows).collect().await?;
        let schema = batches.first().map_or(schema, RecordBatch::schema);
        Ok(concat_batches(&schema, &batches)?)
    }

    /// The DataFusion context, for whoever runs SQL.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Plans a statement that reads; nothing that writes, creates or sets is taken.
    ///
    /// # Errors
    /// When the statement is wrong or would change something.
    pub async fn sql(&self, statement: &str) -> Result<DataFrame, StoreError> {
        use datafusion::execution::context::SQLOptions;
        let read_only =
            SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        Ok(self.context.sql_with_options(statement, read_only).await?)
    }
}

/// Tells the optimizer that files of one day are read by one thread, so that what is grouped by day and more (a source, say)
/// need not be dealt out anew: half of the sequences question's time over 50 million rows.
///
/// Only for plans that look at one table. Two tables' days may be dealt out differently, and a join by day would then
/// meet the wrong halves.
pub fn keep_days_together(frame: DataFrame) -> DataFrame {
    let mut scans = 0;
    let counted = frame.logical_plan().apply_with_subqueries(|node| {
        scans += usize::from(matches!(node, LogicalPlan::TableScan(_)));
        Ok(TreeNodeRecursion::Continue)
    });
    if counted.is_err() || scans != 1 {
        return frame;
    }
    let (mut state, plan) = frame.into_parts();
    let options = &mut state.config_mut().options_mut().optimizer;
    (options.preserve_file_partitions, options.subset_repartition_threshold) = (1, 1);
    DataFrame::new(state, plan)
}
