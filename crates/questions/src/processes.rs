//! Processes: rules about one source, as predicates that the engine can run.
//!
//! A rule (`processes/*.toml`) is SQL over the columns of a source and a few functions that look at what it said: `said`, `sent`, `sent_bytes`, `tool`,
//! `port`. These need all messages of a source, so they are not computed where they stand: every pattern of every rule is
//! tried once on every message, in one pass with one automaton, and becomes a column of truth values beside the sources.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{ColumnarValue, Expr, Volatility, create_udf, expr_fn};
use datafusion::prelude::{JoinType, SessionContext, col, lit};
use regex::RegexSetBuilder;
use trapline_enrich::process::Processes;
use trapline_store::scan::in_memory;

/// What a rule can ask of a source's messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Mark {
    /// A line of a message matches.
    Said(String),
    /// The beginning of an unknown payload, or of a body, matches.
    Sent(String),
    /// An unknown payload was exactly so long.
    SentBytes(i64),
    /// Header invariants of that tool.
    Tool(String),
}

/// Functions that stand in rules and in `--where`, and are replaced before anything runs.
const FUNCTIONS: [(&str, DataType); 6] = [
    ("process", DataType::Utf8),
    ("said", DataType::Utf8),
    ("sent", DataType::Utf8),
    ("sent_bytes", DataType::Int64),
    ("tool", DataType::Utf8),
    ("port", DataType::Utf8),
];

/// Memory that all patterns together may take, in bytes; the built-in ones need about 10 MB.
const AUTOMATON: usize = 64 * 1024 * 1024;

/// Makes the functions known to the parser. None of them is ever called.
pub fn register(context: &SessionContext) {
    for (name, argument) in FUNCTIONS {
        let never = Arc::new(|_: &[ColumnarValue]| plan_err!("only in --where and in process rules"));
        context.register_udf(create_udf(name, vec![argument], DataType::Boolean, Volatility::Stable, never));
    }
}

/// Predicates over sources, with the marks that they need.
pub struct Predicates<'a> {
    processes: &'a Processes,
    marks: Vec<Mark>,
}

impl<'a> Predicates<'a> {
    /// None yet.
    pub fn new(processes: &'a Processes) -> Self {
        Predicates { processes, marks: Vec::new() }
    }

    /// Reads a predicate over the columns of `sources`; its functions become columns of [`Predicates::marked`].
    ///
    /// # Errors
    /// When it is no predicate, names no process, or its pattern is no regular expression.
    pub fn read(&mut self, context: &SessionContext, sources: &DataFrame, text: &str) -> Result<Expr> {
        self.read_inside(context, sources, text, 0)
    }

    fn read_inside(
        &mut self,
        context: &SessionContext,
        sources: &DataFrame,
        text: &str,
        depth: u8,
    ) -> Result<Expr> {
        // Rules may not name processes; a filter may.
        if depth > 1 {
            return plan_err!("a process cannot be defined by another one");
        }
        let predicate = context.parse_sql_expr(text, sources.schema())?;
        let replaced = predicate.transform(|expr| {
            let Expr::ScalarFunction(call) = &expr else { return Ok(Transformed::no(expr)) };
            let name = call.func.name();
            if !FUNCTIONS.iter().any(|(known, _)| *known == name) {
                return Ok(Transformed::no(expr));
            }
            let [argument] = call.args.as_slice() else { return plan_err!("{name} takes one argument") };
            let replacement = match (name, literal(argument)) {
                ("sent_bytes", Some(ScalarValue::Int64(Some(n)))) => self.mark(Mark::SentBytes(n)),
                ("process", Some(ScalarValue::Utf8(Some(wanted)))) => {
                    let Some(process) = self.processes.get(&wanted) else {
                        return plan_err!("there is no process {wanted:?}; `trapline processes` lists them");
                    };
                    let predicate = process.predicate.clone();
                    let inner = self.read_inside(context, sources, &predicate, depth + 1)?;
                    expr_fn::when(inner, lit(true)).otherwise(lit(false))?
                }
                ("port", Some(ScalarValue::Utf8(Some(port)))) if plain_port(&port) => context
                    .parse_sql_expr(
                        &format!("strpos(concat(',', sequence, ','), ',{port},') > 0"),
                        sources.schema(),
                    )?,
                ("said", Some(ScalarValue::Utf8(Some(pattern)))) => self.mark(Mark::Said(pattern)),
                ("sent", Some(ScalarValue::Utf8(Some(pattern)))) => self.mark(Mark::Sent(pattern)),
                ("tool", Some(ScalarValue::Utf8(Some(tool)))) => self.mark(Mark::Tool(tool)),
                _ => {
                    return plan_err!(
                        "{name} takes a constant: said('^http GET /'), sent_bytes(376), port('445')"
                    );
                }
            };
            Ok(Transformed::yes(replacement))
        })?;
        Ok(replaced.data)
    }

    fn mark(&mut self, mark: Mark) -> Expr {
        let known = self.marks.iter().position(|m| *m == mark);
        let index = known.unwrap_or_else(|| {
            self.marks.push(mark);
            self.marks.len() - 1
        });
        col(format!("mark_{index}"))
    }

    /// `sources` with a column for each mark that the predicates read so far need.
    ///
    /// # Errors
    /// When messages cannot be read or a pattern is no regular expression.
    pub async fn marked(&self, context: &SessionContext, sources: DataFrame) -> Result<DataFrame> {
        if self.marks.is_empty() {
            return Ok(sources);
        }
        let rows = self.rows(context).await?;
        let marks = context.read_batch(rows)?;
        let joined = sources.join(
            marks,
            JoinType::Left,
            &["platform", "ip", "src"],
            &["mark_platform", "mark_ip", "mark_src"],
            None,
        )?;
        Ok(joined)
    }

    /// One row for each source that has a mark at all.
    async fn rows(&self, context: &SessionContext) -> Result<RecordBatch> {
        let mut found = Found { sources: HashMap::new(), marks: self.marks.len() };
        let said = Patterns::of(&self.marks, |m| match m {
            Mark::Said(pattern) => Some(pattern),
            _ => None,
        })?;
        let sent = Patterns::of(&self.marks, |m| match m {
            Mark::Sent(pattern) => Some(pattern),
            _ => None,
        })?;
        let lengths: Vec<(usize, i64)> = (self.marks.iter().enumerate())
            .filter_map(|(i, m)| if let Mark::SentBytes(n) = m { Some((i, *n)) } else { None })
            .collect();
        if !said.is_empty() || !sent.is_empty() || !lengths.is_empty() {
            let messages = context.sql(MESSAGES).await?;
            let mut stream = messages.execute_stream().await?;
            while let Some(batch) = futures::TryStreamExt::try_next(&mut stream).await? {
                look_at(&batch, &said, &sent, &lengths, &mut found);
            }
        }
        if self.marks.iter().any(|m| matches!(m, Mark::Tool(_))) {
            for batch in context.sql(TOOLS).await?.collect().await? {
                let text = |column: usize| batch.column(column).as_string::<i32>();
                let src = batch.column(2).as_primitive::<Int64Type>();
                for row in 0..batch.num_rows() {
                    // `zmap` is any ZMap, `zmap_old` the one before 4.1.
                    let label = text(3).value(row);
                    let named = |tool: &str| label == tool || label.strip_suffix("_old") == Some(tool);
                    for (i, mark) in self.marks.iter().enumerate() {
                        if matches!(mark, Mark::Tool(tool) if named(tool)) {
                            found.set((text(0).value(row), text(1).value(row), src.value(row)), i);
                        }
                    }
                }
            }
        }
        found.batch()
    }
}

/// Every message of every source, by the rule asked for and whatever the filter: rules are about what a source did.
const MESSAGES: &str = "
    select platform, ip, cast(src as bigint) as src, coalesce(service, ''), coalesce(verb, ''), coalesce(object, ''),
           coalesce(\"user\", ''), coalesce(software, ''), coalesce(details, ''), coalesce(body_begin, ''),
           case when kind = 'data' or lone then body_bytes end
    from request_rows where said_by = 'source' and coalesce(started_by, '') <> 'host'";

/// What header invariants say of sources.
const TOOLS: &str = "
    select distinct platform, ip, cast(src as bigint) as src, label from fingerprint_rows
    where tool = 'invariants' and label is not null";

/// Tries all patterns on the messages of a batch.
fn look_at(
    batch: &RecordBatch,
    said: &Patterns,
    sent: &Patterns,
    lengths: &[(usize, i64)],
    found: &mut Found,
) {
    let text = |column: usize, row: usize| batch.column(column).as_string::<i32>().value(row);
    let (src, bytes) =
        (batch.column(2).as_primitive::<Int64Type>(), batch.column(10).as_primitive::<Int64Type>());
    for row in 0..batch.num_rows() {
        let source = (text(0, row), text(1, row), src.value(row));
        let service = text(3, row);
        if !said.is_empty() && !service.is_empty() {
            let words = [service, text(4, row), text(5, row)];
            let line = words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
            said.each(&line, |mark| found.set(source, mark));
            // What an HTTP message says beside its first line are headers, whatever column they went to.
            let what = if service == "http" { "http-header" } else { &format!("{service}-detail") };
            let software = if service == "http" { "User-Agent" } else { "software" };
            for (name, value) in [(software, text(7, row)), ("user", text(6, row))] {
                if !value.is_empty() {
                    said.each(&format!("{what} {name}: {value}"), |mark| found.set(source, mark));
                }
            }
            for detail in text(8, row).split('\n').filter(|d| !d.is_empty()) {
                said.each(&format!("{what} {detail}"), |mark| found.set(source, mark));
            }
        }
        let begin = text(9, row);
        if !begin.is_empty() {
            sent.each(begin, |mark| found.set(source, mark));
        }
        if !bytes.is_null(row) {
            let length = bytes.value(row);
            lengths.iter().filter(|(_, n)| *n == length).for_each(|(mark, _)| found.set(source, *mark));
        }
    }
}

/// Patterns of one kind as one automaton.
struct Patterns {
    set: regex::RegexSet,
    /// The mark of each pattern.
    marks: Vec<usize>,
}

impl Patterns {
    fn of(marks: &[Mark], pattern: impl Fn(&Mark) -> Option<&String>) -> Result<Patterns> {
        let found: Vec<(usize, &String)> =
            marks.iter().enumerate().filter_map(|(i, m)| Some((i, pattern(m)?))).collect();
        let set = RegexSetBuilder::new(found.iter().map(|(_, p)| p.as_str()))
            .size_limit(AUTOMATON)
            .dfa_size_limit(AUTOMATON)
            .build();
        let Ok(set) = set else {
            // Together they may be too much, or one is wrong: the error of each alone says which.
            let wrong = found.iter().find_map(|(_, p)| regex::Regex::new(p).err());
            return plan_err!(
                "{}",
                wrong.map_or("the patterns take too much memory".into(), |e| e.to_string())
            );
        };
        Ok(Patterns { set, marks: found.into_iter().map(|(i, _)| i).collect() })
    }

    fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    fn each(&self, text: &str, mut mark: impl FnMut(usize)) {
        self.set.matches(text).into_iter().for_each(|i| mark(self.marks[i]));
    }
}

/// Marks of sources.
struct Found {
    sources: HashMap<(String, String, i64), Vec<bool>>,
    marks: usize,
}

impl Found {
    fn set(&mut self, (platform, ip, src): (&str, &str, i64), mark: usize) {
        let marks = self
            .sources
            .entry((platform.to_owned(), ip.to_owned(), src))
            .or_insert_with(|| vec![false; self.marks]);
        marks[mark] = true;
    }

    fn batch(self) -> Result<RecordBatch> {
        let text = |name: &str| Field::new(name, DataType::Utf8, false);
        let mut fields =
            vec![text("mark_platform"), text("mark_ip"), Field::new("mark_src", DataType::Int64, false)];
        fields.extend((0..self.marks).map(|i| Field::new(format!("mark_{i}"), DataType::Boolean, true)));
        let rows: Vec<_> = self.sources.into_iter().collect();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|((p, _, _), _)| p))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|((_, ip, _), _)| ip))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|((_, _, src), _)| *src))),
        ];
        for i in 0..self.marks {
            columns.push(Arc::new(rows.iter().map(|(_, marks)| Some(marks[i])).collect::<BooleanArray>()));
        }
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }
}

/// Which sources match which process, as the table `source_processes`.
///
/// # Errors
/// When a rule is no predicate over a source.
pub async fn source_processes(context: &SessionContext, processes: &Processes) -> Result<()> {
    let sources = context.table("all_sources").await?;
    let mut predicates = Predicates::new(processes);
    let mut matches = Vec::new();
    for process in processes.iter() {
        let read = predicates.read(context, &sources, &process.predicate);
        let predicate = read.map_err(|e| {
            let what = e.strip_backtrace();
            let what = what.lines().next().unwrap_or_default().to_owned();
            datafusion::error::DataFusionError::Plan(format!(
                "{}:{}: {}: {what}",
                process.file, process.line, process.name
            ))
        })?;
        matches.push(predicate.is_true().alias(format!("match_{}", matches.len())));
    }
    let keys = [col("platform"), col("ip"), expr_fn::cast(col("src"), DataType::Int64).alias("src")];
    let marked = predicates.marked(context, sources).await?;
    let rows = marked.select(keys.into_iter().chain(matches).collect::<Vec<_>>())?.collect().await?;
    let (mut names, mut platforms, mut ips, mut srcs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for batch in &rows {
        let text = |column: usize| batch.column(column).as_string::<i32>();
        let src = batch.column(2).as_primitive::<Int64Type>();
        for (i, process) in processes.iter().enumerate() {
            let matched = batch.column(3 + i).as_boolean();
            for row in (0..batch.num_rows()).filter(|row| matched.value(*row)) {
                names.push(process.name.as_str());
                platforms.push(text(0).value(row));
                ips.push(text(1).value(row));
                srcs.push(src.value(row));
            }
        }
    }
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let fields =
        vec![text("process"), text("platform"), text("ip"), Field::new("src", DataType::Int64, false)];
    let schema = Arc::new(Schema::new(fields));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(names)),
        Arc::new(StringArray::from(platforms)),
        Arc::new(StringArray::from(ips)),
        Arc::new(Int64Array::from(srcs)),
    ];
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    context.register_table("source_processes", in_memory(schema, vec![rows])?)?;
    Ok(())
}

fn literal(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(cast) => literal(&cast.expr),
        _ => None,
    }
}

/// Whether a text is a port as words.md writes it, so that it can stand in SQL.
fn plain_port(text: &str) -> bool {
    let number = text.strip_suffix("/udp").unwrap_or(text);
    let digits = !number.is_empty() && number.len() <= 5 && number.bytes().all(|b| b.is_ascii_digit());
    digits || text == "icmp" || text.strip_prefix("ip-proto-").is_some_and(|n| n.parse::<u8>().is_ok())
}
