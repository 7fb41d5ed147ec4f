//! Which sources stand behind a row of an answer.

use std::net::IpAddr;

use trapline_store::Snapshot;

use super::{AskError, Session, parameters};
use crate::answer::{Answer, Value};
use crate::question::{Evidence, Question};

/// A UTC day that belongs to a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceDay {
    /// Platform.
    pub platform: String,
    /// Its address.
    pub ip: IpAddr,
    /// Which source of that address.
    pub src: i64,
    /// Days since 1970.
    pub day: i32,
}

impl Session {
    /// The sources behind a row (from 1) of an answer, by their days.
    ///
    /// # Errors
    /// When there is no such row, it stands for a rest, or the question's file does not say which sources stand behind its rows.
    pub async fn behind(
        &self,
        snapshot: &Snapshot,
        question: &Question,
        given: &[(String, String)],
        row: usize,
    ) -> Result<Vec<SourceDay>, AskError> {
        let Some(evidence) = &question.evidence else {
            let what = format!(
                "the file of {} does not say which sources stand behind a row; select them with --where",
                question.name
            );
            return Err(AskError::Parameter(what));
        };
        let answer = self.rows(question, given).await?;
        let Some(values) = row.checked_sub(1).and_then(|i| answer.rows.get(i)) else {
            let what = format!("{} has {} rows, not {row}", question.name, answer.rows.len());
            return Err(AskError::Parameter(what));
        };
        match evidence {
            Evidence::Predicate(template) => {
                let rest =
                    || AskError::Parameter(format!("row {row} of {} stands for a rest", question.name));
                let filter = filled(template, &answer, values, None)?.ok_or_else(rest)?;
                self.narrowed(snapshot, &filter).await?.source_days().await
            }
            Evidence::Query(template) => {
                let query = filled(template, &answer, values, Some("null"))?.unwrap_or_default();
                self.source_days_of(question, given, &query).await
            }
        }
    }

    async fn source_days_of(
        &self,
        question: &Question,
        given: &[(String, String)],
        query: &str,
    ) -> Result<Vec<SourceDay>, AskError> {
        let broken = |e: datafusion::error::DataFusionError| AskError::Broken {
            name: question.name.clone(),
            cause: format!("its evidence: {}", e.strip_backtrace()),
        };
        let found = self.context().sql(query).await.map_err(broken)?;
        // A query need not use every parameter of the question; those that it does not know are left out.
        let found = found.with_param_values(parameters::bind(question, given)?).map_err(broken)?;
        let found = found.cache().await.map_err(broken)?;
        const BEHIND: &str = "behind_row";
        self.context().deregister_table(BEHIND)?;
        self.context().register_table(BEHIND, found.into_view())?;
        self.days_of("(select distinct platform, ip, src from behind_row)").await
    }

    /// The chosen sources by their days.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn source_days(&self) -> Result<Vec<SourceDay>, AskError> {
        self.days_of("sources").await
    }

    async fn days_of(&self, sources: &str) -> Result<Vec<SourceDay>, AskError> {
        let rows = self
            .values(&format!(
                "select d.platform, d.ip, cast(d.src as bigint), cast(cast(d.day as int) as bigint)
                 from source_days d
                 join {sources} s on s.platform = d.platform and s.ip = d.ip and s.src = d.src
                 order by 1, 2, 3, 4"
            ))
            .await?;
        let one = |row: &Vec<Value>| {
            let (ip, day) = (row[1].text().parse().ok()?, row[3].int() as i32);
            Some(SourceDay { platform: row[0].text(), ip, src: row[2].int(), day })
        };
        Ok(rows.iter().filter_map(one).collect())
    }
}

/// The template with a row's values in their places as SQL literals; `None` where one of them is null and `null` stands for nothing.
fn filled(
    template: &str,
    answer: &Answer,
    values: &[Value],
    null: Option<&str>,
) -> Result<Option<String>, AskError> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (inner, behind) = after.split_once('}').unwrap_or((after, ""));
        let (name, as_pattern) = match inner.strip_suffix(" as pattern") {
            Some(name) => (name, true),
            None => (inner, false),
        };
        let column = answer.columns.iter().position(|c| c.name == name).ok_or_else(|| AskError::Broken {
            name: answer.name.clone(),
            cause: format!("its evidence names the column {name:?}, which it does not have"),
        })?;
        text.push_str(before);
        match &values[column] {
            Value::Null => match null {
                Some(null) => text.push_str(null),
                None => return Ok(None),
            },
            value => text.push_str(&literal(value, as_pattern)),
        }
        rest = behind;
    }
    Ok(Some(text + rest))
}

fn literal(value: &Value, as_pattern: bool) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    match value {
        Value::Null => "null".into(),
        Value::Int(n) => n.to_string(),
        Value::Float(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Text(text) if as_pattern => regex::escape(text).replace('\'', "''"),
        Value::Text(text) => quoted(text),
        Value::List(texts) => quoted(&texts.join(",")),
    }
}
