//! A question's file: what is asked, which columns answer it, the SQL, the chart.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::answer::Column;

/// Why a question cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// A folder or file that cannot be read.
    #[error("{path}: {cause}")]
    Unreadable {
        /// Where.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A file that is no question.
    #[error("{path}: {what}")]
    Broken {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// A name that no question has.
    #[error("there is no question {name:?}{}", hint(.nearest))]
    Unknown {
        /// The name.
        name: String,
        /// The name that comes nearest to it.
        nearest: Option<String>,
    },
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|n| format!("; did you mean {n:?}?")).unwrap_or_default()
}

/// A parameter of a question.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its name: `$name` in the SQL.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// Its value where none is given.
    pub default: String,
    /// What it means.
    pub meaning: String,
    /// The values it may have; any where empty.
    #[serde(default)]
    pub choices: Vec<String>,
    /// A query that gives its value on a report, where nobody is there to choose: the commonest sequence, say.
    pub report: Option<String>,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// Text.
    Text,
    /// A whole number.
    Int,
}

/// The same question about some of the sources, as another figure of a report.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// What is asked.
    pub title: String,
    /// Where the paper asks it.
    #[serde(default)]
    pub paper: String,
    /// Which sources: a predicate as `--where` takes it.
    #[serde(rename = "where")]
    pub filter: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    #[serde(default)]
    paper: String,
    #[serde(default)]
    order: String,
    definition: String,
    with: Option<String>,
    sql: String,
    note: Option<String>,
    chart: Option<String>,
    column: Vec<Column>,
    #[serde(default)]
    param: Vec<Parameter>,
    #[serde(default)]
    variant: Vec<Variant>,
    evidence: Option<String>,
}

/// Which sources stand behind a row. In the text `{column}` is the row's value, `{column as pattern}` a pattern for exactly that text.
#[derive(Clone, Debug)]
pub enum Evidence {
    /// A predicate as `--where` takes it.
    Predicate(String),
    /// A query that gives `platform`, `ip` and `src` of each.
    Query(String),
}

/// One question.
#[derive(Clone, Debug)]
pub struct Question {
    /// Its name: the file's, without `.toml`.
    pub name: String,
    /// What is asked, in plain words.
    pub title: String,
    /// Where the paper asks it.
    pub paper: String,
    /// The order of the rows, in words.
    pub order: String,
    /// How the answer is defined.
    pub definition: String,
    /// The query; `$name` stands for a parameter.
    pub sql: String,
    /// A query whose texts are notes to the answer.
    pub note: Option<String>,
    /// A Vega-Lite specification without data.
    pub chart: Option<serde_json::Value>,
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// The parameters.
    pub parameters: Vec<Parameter>,
    /// Further figures of it on a report.
    pub variants: Vec<Variant>,
    /// Which sources stand behind a row.
    pub evidence: Option<Evidence>,
    /// Whether it is one of ours, not a user's.
    pub built_in: bool,
}

impl Question {
    /// Reads the text of a question's file.
    ///
    /// # Errors
    /// When it is no TOML of this form, its chart is no JSON, or it has no column.
    pub fn parse(name: &str, text: &str) -> Result<Question, String> {
        let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
        if file.column.is_empty() {
            return Err("a question needs at least one [[column]]".into());
        }
        // What a question's queries share stands before each of them.
        let shared = file.with.map(|tables| format!("with {}\n", tables.trim())).unwrap_or_default();
        let evidence = |text: String| match text.trim_start().starts_with("select") {
            true => Evidence::Query(format!("{shared}{text}")),
            false => Evidence::Predicate(text),
        };
        let chart = file.chart.as_deref().map(serde_json::from_str).transpose();
        Ok(Question {
            name: name.into(),
            title: file.title,
            paper: file.paper,
            order: file.order,
            definition: file.definition.trim().replace('\n', " "),
            sql: format!("{shared}{}", file.sql),
            note: file.note,
            chart: chart.map_err(|e| format!("chart: {e}"))?,
            columns: file.column,
            parameters: file.param,
            variants: file.variant,
            evidence: file.evidence.map(evidence),
            built_in: false,
        })
    }
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../questions/", $name, ".toml")))),*]
    };
}

/// The built-in questions in the order of a report: the paper's.
const BUILT_IN: [(&str, &str); 29] = built_in![
    "overview",
    "sources-per-month",
    "countries",
    "local-hours",
    "geo-agreement",
    "os",
    "os-agreement",
    "hosts-reached",
    "returning-ips",
    "ports",
    "sequences",
    "sequence-orders",
    "sequence-trend",
    "new-sequences",
    "payload-likeness",
    "associations",
    "processes",
    "host-order",
    "tools",
    "http-requests",
    "ftp-commands",
    "logins",
    "kinds",
    "focused",
    "backscatter",
    "victims",
    "first-contact",
    "first-contact-trend",
    "platforms",
];

/// All questions there are.
#[derive(Clone, Debug)]
pub struct Catalog {
    questions: Vec<Question>,
}

impl Catalog {
    /// The built-in questions.
    ///
    /// # Panics
    /// When a built-in question is broken, which the tests see to.
    pub fn built_in() -> Catalog {
        let parse = |(name, text)| match Question::parse(name, text) {
            Ok(question) => Question { built_in: true, ..question },
            Err(what) => panic!("built-in question {name}: {what}"),
        };
        Catalog { questions: BUILT_IN.into_iter().map(parse).collect() }
    }

    /// Adds every `*.toml` of a user's folder, in order of name; returns what is wrong with those that could not be added: a file
    /// that cannot be read or is no question, or whose name is taken.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn add_folder(&mut self, folder: &Path) -> Result<Vec<QuestionError>, QuestionError> {
        let unreadable = |path: &Path| {
            let path = path.display().to_string();
            move |cause| QuestionError::Unreadable { path, cause }
        };
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
            let path = entry.map_err(unreadable(folder))?.path();
            if path.extension().is_some_and(|e| e == "toml")
                && let Some(name) = path.file_stem().and_then(|s| s.to_str())
            {
                files.insert(name.to_owned(), path.clone());
            }
        }
        let mut broken = Vec::new();
        for (name, path) in files {
            match self.read(&name, &path) {
                Ok(question) => self.questions.push(question),
                Err(error) => broken.push(error),
            }
        }
        Ok(broken)
    }

    fn read(&self, name: &str, path: &Path) -> Result<Question, QuestionError> {
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|cause| QuestionError::Unreadable { path: shown(), cause })?;
        let broken = |what| QuestionError::Broken { path: shown(), what };
        if self.questions.iter().any(|q| q.name == name) {
            return Err(broken(format!(
                "there is a question called {name:?} already; give the file another name"
            )));
        }
        Question::parse(name, &text).map_err(broken)
    }

    /// The questions in order.
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// The question of that name.
    ///
    /// # Errors
    /// When there is none; the error names the nearest.
    pub fn get(&self, name: &str) -> Result<&Question, QuestionError> {
        let found = self.questions.iter().find(|q| q.name == name);
        found.ok_or_else(|| {
            let near = self.questions.iter().map(|q| (distance(name, &q.name), &q.name)).min();
            let nearest = near.filter(|(d, n)| *d <= n.len() / 2).map(|(_, n)| n.clone());
            QuestionError::Unknown { name: name.into(), nearest }
        })
    }
}

/// Edit distance of two short names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let substituted = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(corner + 1);
        }
    }
    row.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_question_is_whole() {
        for question in Catalog::built_in().questions() {
            assert!(!question.order.is_empty(), "{} does not tell its order", question.name);
            assert!(question.title.ends_with('?'), "{} is no question", question.name);
        }
    }

    #[test]
    fn a_mistyped_name_finds_its_neighbour() {
        let error = Catalog::built_in().get("sequence").unwrap_err().to_string();
        assert_eq!(error, r#"there is no question "sequence"; did you mean "sequences"?"#);
    }

    #[test]
    fn unknown_keys_are_refused() {
        let text = "title = \"t?\"\ndefinition = \"d\"\nsql = \"select 1\"\ncolour = 1\ncolumn = []";
        assert!(Question::parse("q", text).unwrap_err().contains("colour"));
    }
}
