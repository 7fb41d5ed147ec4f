//! Runs questions: views for the rule and the filter, parameters, rows.
//!
//! Nothing that a user writes is pasted into SQL: parameters are bound, days and platform names prune
//! partitions, and `--where` is parsed as one expression over the columns of `sources`.

mod about;
mod behind;
mod parameters;

pub use behind::SourceDay;

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Date32Array, RecordBatch, StringArray};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::JoinType;
use datafusion::dataframe::DataFrame;
use datafusion::prelude::{SessionContext, col, lit};
use trapline_store::engine::keep_days_together;
use trapline_store::scan::in_memory;
use trapline_store::{Engine, Snapshot, Span, StoreError};

use crate::answer::{Answer, Value};
use crate::knowledge::Knowledge;
use crate::processes::{self, Predicates};
use crate::question::{Question, Variant};
use crate::value;

/// How long one IP address stays one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// One UTC day: the paper's rule.
    #[default]
    Day,
    /// Until more than 25 h pass between two packets: Leurre.com's rule.
    Gap,
}

impl Rule {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Day => "day",
            Rule::Gap => "gap",
        }
    }
}

/// What all questions of one run share.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Days and platform.
    pub span: Span,
    /// Rule.
    pub rule: Rule,
    /// An SQL predicate over the columns of one source.
    pub filter: Option<String>,
    /// Threads.
    pub threads: usize,
    /// Processes and events; those of the build where `None`.
    pub knowledge: Option<Arc<Knowledge>>,
}

/// Why a question cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The tables failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `--where` is no predicate over a source.
    #[error("--where {filter:?}: {cause}")]
    Filter {
        /// As given.
        filter: String,
        /// What the parser said.
        cause: String,
    },
    /// A parameter that the question does not have, or a value that it cannot be.
    #[error("{0}")]
    Parameter(String),
    /// A platform of which nothing was ever taken in.
    #[error("there is no platform {wanted:?}; there is {known}")]
    Platform {
        /// As given.
        wanted: String,
        /// Those there are.
        known: String,
    },
    /// The question's own SQL is wrong.
    #[error("question {name}: {cause}")]
    Broken {
        /// The question.
        name: String,
        /// What is wrong.
        cause: String,
    },
}

impl From<datafusion::error::DataFusionError> for AskError {
    fn from(cause: datafusion::error::DataFusionError) -> Self {
        AskError::Store(cause.into())
    }
}

macro_rules! view {
    ($rule:expr, $name:literal) => {
        match $rule {
            Rule::Day => include_str!(concat!("../views/", $name, ".day.sql")),
            Rule::Gap => include_str!(concat!("../views/", $name, ".gap.sql")),
        }
    };
}

/// Tables whose columns a user's question may use as stored.
const AS_STORED: [&str; 5] = ["hosts", "openings", "captures", "places", "all_probes"];

/// Tables of rows of sources: `probes` holds those of `probe_rows` that belong to the chosen sources.
const OF_SOURCES: [&str; 5] = ["session", "probe", "response", "request", "fingerprint"];

/// Questions over one snapshot, one rule, one filter.
pub struct Session {
    engine: Engine,
    ask: Ask,
}

impl Session {
    /// Prepares the views.
    ///
    /// # Errors
    /// When the tables cannot be read or the filter is no predicate.
    pub async fn open(snapshot: &Snapshot, ask: Ask) -> Result<Session, AskError> {
        let engine = Engine::open(snapshot, &ask.span, "stored_", ask.threads)?;
        processes::register(engine.context());
        let session = Session { engine, ask };
        session.check_platform().await?;
        session.register_views().await?;
        Ok(session)
    }

    fn context(&self) -> &SessionContext {
        self.engine.context()
    }

    async fn check_platform(&self) -> Result<(), AskError> {
        let Some(wanted) = &self.ask.span.platform else { return Ok(()) };
        let known = self.texts("select distinct platform from stored_hosts order by platform").await?;
        if known.contains(wanted) {
            return Ok(());
        }
        Err(AskError::Platform { wanted: wanted.clone(), known: known.join(", ") })
    }

    async fn register_views(&self) -> Result<(), AskError> {
        let rule = self.ask.rule;
        self.register("source_days", view!(rule, "source_days")).await?;
        self.register("probe_rows", view!(rule, "probe_rows")).await?;
        self.register("response_rows", view!(rule, "response_rows")).await?;
        self.register("request_rows", view!(rule, "request_rows")).await?;
        self.register("fingerprint_rows", view!(rule, "fingerprint_rows")).await?;
        self.register("source_systems", include_str!("../views/source_systems.sql")).await?;
        self.register("session_rows", view!(rule, "session_rows")).await?;
        self.register("source_rows", view!(rule, "source_rows")).await?;
        self.register("inbound_days", include_str!("../views/inbound_days.sql")).await?;
        self.register("all_sources", include_str!("../views/all_sources.sql")).await?;
        for name in AS_STORED {
            let mut table = self.context().table(format!("stored_{name}")).await?;
            if let Some(platform) = &self.ask.span.platform {
                // Tables by day hold nothing else anyway; these are small and hold every platform.
                table = table.filter(col("platform").eq(lit(platform.as_str())))?;
            }
            self.context().register_table(name, table.into_view())?;
        }
        self.register_events()?;
        let all = self.context().table("all_sources").await?;
        let sources = match &self.ask.filter {
            Some(filter) => self.filtered(all, filter).await?,
            None => all,
        };
        self.context().register_table("sources", sources.into_view())?;
        for name in OF_SOURCES {
            self.register_chosen(&format!("{name}_rows"), &format!("{name}s"), &["platform", "ip", "src"])
                .await?;
        }
        self.register_chosen("stored_replies", "replies", &["platform", "ip"]).await?;
        self.register("messages", include_str!("../views/messages.sql")).await
    }

    /// Of the rows of `table` those of the chosen sources, which `keys` tell.
    async fn register_chosen(&self, table: &str, name: &str, keys: &[&str]) -> Result<(), AskError> {
        let mut rows = self.context().table(table).await?;
        // Without a filter all of them are chosen.
        if self.ask.filter.is_some() {
            let sources = self.context().table("sources").await?;
            rows = rows.join(sources, JoinType::LeftSemi, keys, keys, None)?;
        }
        self.context().register_table(name, rows.into_view())?;
        Ok(())
    }

    fn knowledge(&self) -> Arc<Knowledge> {
        self.ask.knowledge.clone().unwrap_or_else(Knowledge::built_in)
    }

    /// Prepares what only some questions look at.
    async fn prepare(&self, question: &Question) -> Result<(), AskError> {
        const PROCESSES: &str = "source_processes";
        if question.sql.contains(PROCESSES) && !self.context().table_exist(PROCESSES)? {
            processes::source_processes(self.context(), &self.knowledge().processes).await?;
        }
        Ok(())
    }

    async fn register(&self, name: &str, sql: &str) -> Result<(), AskError> {
        let view = self.context().sql(sql).await?;
        self.context().register_table(name, view.into_view())?;
        Ok(())
    }

    /// One row for each event and port.
    fn register_events(&self) -> Result<(), AskError> {
        let text = |name: &str| Field::new(name, DataType::Utf8, false);
        let schema = Arc::new(Schema::new(vec![
            Field::new("day", DataType::Date32, false),
            text("event"),
            text("port"),
        ]));
        let knowledge = self.knowledge();
        let rows: Vec<_> =
            knowledge.events.iter().flat_map(|e| e.ports.iter().map(move |p| (e, p))).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|(e, _)| Some(e.day.number())).collect::<Date32Array>()),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|(e, _)| &e.name))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, port)| port))),
        ];
        let rows = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(StoreError::from)?;
        self.context().register_table("events", in_memory(schema, vec![rows])?)?;
        Ok(())
    }

    async fn filtered(&self, sources: DataFrame, filter: &str) -> Result<DataFrame, AskError> {
        let fail = |e: datafusion::error::DataFusionError| {
            // The engine goes on to list every column by its inner name; the first line says what is wrong.
            let cause = e.strip_backtrace();
            let cause = cause.lines().next().unwrap_or_default().replace("all_sources.", "");
            AskError::Filter { filter: filter.into(), cause }
        };
        let knowledge = self.knowledge();
        let mut predicates = Predicates::new(&knowledge.processes);
        let predicate = predicates.read(self.context(), &sources, filter).map_err(fail)?;
        let columns: Vec<_> = sources.schema().columns().into_iter().map(|c| col(c.name())).collect();
        let marked = predicates.marked(self.context(), sources).await.map_err(fail)?;
        // The whole view is computed once and kept: questions look at it several times.
        let chosen = marked.filter(predicate).and_then(|rows| rows.select(columns)).map_err(fail)?;
        chosen.cache().await.map_err(fail)
    }

    /// Computes the sources once and for all: worth it when several questions follow.
    ///
    /// # Errors
    /// When they cannot be computed.
    pub async fn keep_sources(&self) -> Result<(), AskError> {
        for name in ["all_sources", "sources", "probes", "sessions"] {
            let cached = self.context().table(name).await?.cache().await?;
            self.context().deregister_table(name)?;
            self.context().register_table(name, cached.into_view())?;
        }
        Ok(())
    }

    /// The rows of a question as Arrow, its columns cast to their declared types.
    ///
    /// # Errors
    /// When a parameter is wrong or the question's SQL fails.
    pub async fn batches(
        &self,
        question: &Question,
        given: &[(String, String)],
    ) -> Result<RecordBatch, AskError> {
        let broken = |cause: String| AskError::Broken { name: question.name.clone(), cause };
        let failed = |e: datafusion::error::DataFusionError| broken(e.strip_backtrace());
        self.prepare(question).await?;
        let answer = self.engine.sql(&question.sql).await.map_err(|e| broken(e.to_string()))?;
        let answer = answer.with_param_values(parameters::bind(question, given)?).map_err(failed)?;
        let names: Vec<&str> = answer.schema().fields().iter().map(|f| f.name().as_str()).collect();
        let declared: Vec<&str> = question.columns.iter().map(|c| c.name.as_str()).collect();
        if names != declared {
            return Err(broken(format!(
                "its SQL gives the columns {names:?}, its file declares {declared:?}"
            )));
        }
        let schema = Arc::new(answer.schema().as_arrow().clone());
        let batches = keep_days_together(answer).collect().await.map_err(failed)?;
        let schema = batches.first().map_or(schema, RecordBatch::schema);
        let rows = concat_batches(&schema, &batches).map_err(|e| broken(e.to_string()))?;
        let wanted: Vec<Field> =
            question.columns.iter().map(|c| Field::new(&c.name, value::arrow_type(c.kind), true)).collect();
        let columns = rows.columns().iter().zip(&wanted);
        let columns = columns
            .map(|(c, f)| datafusion::arrow::compute::cast(c, f.data_type()))
            .collect::<Result<_, _>>();
        let columns = columns.map_err(|e| broken(e.to_string()))?;
        RecordBatch::try_new(Arc::new(Schema::new(wanted)), columns).map_err(|e| broken(e.to_string()))
    }

    /// The rows of a question; `given` are its parameters by name. Without notes and the number of sources, which not
    /// every format shows.
    ///
    /// # Errors
    /// When a parameter is wrong or the question's SQL fails.
    pub async fn rows(&self, question: &Question, given: &[(String, String)]) -> Result<Answer, AskError> {
        let broken = |cause: String| AskError::Broken { name: question.name.clone(), cause };
        let batch = self.batches(question, given).await?;
        let rows = value::rows(&question.columns, &[batch]).map_err(|e| broken(e.to_string()))?;
        Ok(Answer {
            name: question.name.clone(),
            title: question.title.clone(),
            paper: question.paper.clone(),
            definition: question.definition.clone(),
            order: question.order.clone(),
            chart: question.chart.clone(),
            given: given.to_vec(),
            ..Answer::of_rows(question.columns.clone(), rows)
        })
    }

    /// Answers a question; `given` are its parameters by name.
    ///
    /// # Errors
    /// As [`Session::rows`].
    pub async fn answer(&self, question: &Question, given: &[(String, String)]) -> Result<Answer, AskError> {
        let mut answer = self.rows(question, given).await?;
        if let Some(sql) = &question.note {
            answer.notes = self.texts(sql).await?;
        }
        answer.n = self.count_sources().await?;
        Ok(answer)
    }

    /// Answers a question for a report: parameters have the values that their `report` queries give.
    ///
    /// # Errors
    /// As [`Session::answer`].
    pub async fn answer_for_report(&self, question: &Question) -> Result<Answer, AskError> {
        let mut given = Vec::new();
        for parameter in &question.parameters {
            if let Some(sql) = &parameter.report
                && let Some(value) = self.texts(sql).await?.into_iter().next()
            {
                given.push((parameter.name.clone(), value));
            }
        }
        self.answer(question, &given).await
    }

    /// A session about some of the sources that this one is about.
    ///
    /// # Errors
    /// When the filter is no predicate over a source.
    pub async fn narrowed(&self, snapshot: &Snapshot, filter: &str) -> Result<Session, AskError> {
        let filter = match &self.ask.filter {
            Some(outer) => format!("({outer}) and ({filter})"),
            None => filter.to_owned(),
        };
        Session::open(snapshot, Ask { filter: Some(filter), ..self.ask.clone() }).await
    }

    /// Answers a variant of a question, for a report; `narrowed` is about its sources.
    ///
    /// # Errors
    /// As [`Session::answer`].
    pub async fn answer_variant(&self, question: &Question, variant: &Variant) -> Result<Answer, AskError> {
        let answer = self.answer_for_report(question).await?;
        let (title, paper) = (variant.title.clone(), variant.paper.clone());
        Ok(Answer { title, paper, filter: Some(variant.filter.clone()), ..answer })
    }

    async fn count_sources(&self) -> Result<i64, AskError> {
        // Without a filter the rows are those of the sources before their kinds are told.
        let rows = if self.ask.filter.is_some() { "sources" } else { "source_rows" };
        Ok(self.context().table(rows).await?.count().await? as i64)
    }

    async fn texts(&self, sql: &str) -> Result<Vec<String>, AskError> {
        let mut texts = Vec::new();
        for batch in self.context().sql(sql).await?.collect().await? {
            let column = datafusion::arrow::compute::cast(batch.column(0), &DataType::Utf8)
                .map_err(StoreError::from)?;
            let column: &StringArray = datafusion::arrow::array::AsArray::as_string(&column);
            texts.extend(column.iter().flatten().map(str::to_owned));
        }
        Ok(texts)
    }

    /// Rows of a query of ours, typed by what comes out of it.
    async fn values(&self, sql: &str) -> Result<Vec<Vec<Value>>, AskError> {
        let rows = self.engine.collect(sql).await?;
        let columns = value::columns(&rows.schema());
        Ok(value::rows(&columns, &[rows]).map_err(StoreError::from)?)
    }
}
