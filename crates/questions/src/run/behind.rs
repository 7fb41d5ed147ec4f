//! Which sources stand behind a row of an answer.

use std::net::IpAddr;

use super::{AskError, Session};
use crate::answer::Value;
use crate::question::Question;

impl Session {
    /// Which sources stand behind a row (from 1) of an answer, as a predicate that `--where` takes.
    ///
    /// # Errors
    /// When there is no such row, or the question's file does not say which sources stand behind its rows.
    pub async fn behind(
        &self,
        question: &Question,
        given: &[(String, String)],
        row: usize,
    ) -> Result<String, AskError> {
        let Some(template) = &question.evidence else {
            let what = format!(
                "the rows of {} stand for no sources of their own; select them with --where",
                question.name
            );
            return Err(AskError::Parameter(what));
        };
        let answer = self.rows(question, given).await?;
        let Some(values) = row.checked_sub(1).and_then(|i| answer.rows.get(i)) else {
            let what = format!("{} has {} rows, not {row}", question.name, answer.rows.len());
            return Err(AskError::Parameter(what));
        };
        let mut predicate = String::new();
        let mut rest = template.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (inner, behind) = after.split_once('}').unwrap_or((after, ""));
            let (name, as_pattern) = match inner.strip_suffix(" as pattern") {
                Some(name) => (name, true),
                None => (inner, false),
            };
            let column =
                answer.columns.iter().position(|c| c.name == name).ok_or_else(|| AskError::Broken {
                    name: question.name.clone(),
                    cause: format!("its evidence names the column {name:?}, which it does not have"),
                })?;
            predicate.push_str(before);
            let text = match &values[column] {
                Value::Null => {
                    return Err(AskError::Parameter(format!(
                        "row {row} of {} stands for a rest",
                        question.name
                    )));
                }
                Value::Int(n) => n.to_string(),
                Value::Float(n) => n.to_string(),
                Value::Bool(b) => b.to_string(),
                Value::Text(text) if as_pattern => regex::escape(text).replace('\'', "''"),
                Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
                Value::List(texts) => format!("'{}'", texts.join(",").replace('\'', "''")),
            };
            predicate.push_str(&text);
            rest = behind;
        }
        Ok(predicate + rest)
    }

    /// The chosen sources: platform, address, which source of that address, and each UTC day that belongs to it.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn source_days(&self) -> Result<Vec<(String, IpAddr, i64, i32)>, AskError> {
        let rows = self
            .values(
                "select d.platform, d.ip, cast(d.src as bigint), cast(cast(d.day as int) as bigint)
                 from source_days d
                 join sources s on s.platform = d.platform and s.ip = d.ip and s.src = d.src
                 order by 1, 2, 3, 4",
            )
            .await?;
        let one = |row: &Vec<Value>| {
            Some((row[0].text(), row[1].text().parse().ok()?, row[2].int(), row[3].int() as i32))
        };
        Ok(rows.iter().filter_map(one).collect())
    }
}
