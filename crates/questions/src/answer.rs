//! An answer: the rows of one question, with everything a reader needs to judge them.

use serde::Serialize;

/// One value of an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Nothing: not known, not applicable or not yet.
    Null,
    /// A truth value.
    Bool(bool),
    /// A count.
    Int(i64),
    /// A number with a fraction: percentages, lifts.
    Float(f64),
    /// Text. May hold bytes an attacker chose: whoever shows it escapes it.
    Text(String),
    /// Several texts.
    List(Vec<String>),
}

impl Value {
    /// Its text; empty where it is none.
    pub(crate) fn text(&self) -> String {
        match self {
            Value::Text(text) => text.clone(),
            _ => String::new(),
        }
    }

    /// Its number; 0 where it is none.
    pub(crate) fn int(&self) -> i64 {
        match self {
            Value::Int(n) => *n,
            _ => 0,
        }
    }
}

/// The type of a column, as help and documentation print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// Text.
    Text,
    /// A whole number.
    Int,
    /// A number with a fraction.
    Float,
    /// True or false.
    Bool,
    /// A UTC day, `2003-08-11`.
    Day,
    /// A month, `2003-08`.
    Month,
    /// A time, RFC 3339 in UTC with microseconds.
    Time,
    /// Several texts.
    List,
}

/// One column of a question: declared in the question's file, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name, the key in JSON.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Its unit, empty where it has none.
    #[serde(default)]
    pub unit: String,
    /// What it means, one sentence.
    pub meaning: String,
}

/// The answer to one question.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The question's name: `sequences`.
    pub name: String,
    /// Its title: a question in plain words.
    pub title: String,
    /// Where the paper asks it: `table 1`, `5.3.1`.
    pub paper: String,
    /// How the answer is defined, in a few sentences.
    pub definition: String,
    /// Its own filter beside that of all answers: which sources, as `--where` takes it.
    pub filter: Option<String>,
    /// The parameters that were given, by name.
    pub given: Vec<(String, String)>,
    /// The order of the rows, in words.
    pub order: String,
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// The rows; each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
    /// A Vega-Lite specification without data, where a picture says more than the table.
    pub chart: Option<serde_json::Value>,
    /// What was left out or needs saying: one line each.
    pub notes: Vec<String>,
    /// Sources that the answer is about (n), after `--where` and the span.
    pub n: i64,
}

impl Answer {
    /// Rows that answer no question of the catalog.
    pub fn of_rows(columns: Vec<Column>, rows: Vec<Vec<Value>>) -> Answer {
        let text = String::new;
        Answer {
            name: text(),
            title: text(),
            paper: text(),
            definition: text(),
            filter: None,
            given: Vec::new(),
            order: text(),
            columns,
            rows,
            chart: None,
            notes: Vec::new(),
            n: 0,
        }
    }
}

/// What all answers of one run share: said once on a page, and beside every answer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct About {
    /// Version of the program.
    pub version: String,
    /// The command line, as the user gave it.
    pub arguments: Vec<String>,
    /// The flags that ask the same of every question: rule, span, filter, place of the tables; quoted for a shell.
    pub flags: String,
    /// Whether the tables were there for this run only.
    pub temporary: bool,
    /// When the answers were made, RFC 3339.
    pub made: String,
    /// `day` or `gap`.
    pub rule: String,
    /// First and last day asked about, where limited.
    pub span: Option<(String, String)>,
    /// The `--where` predicate.
    pub filter: Option<String>,
    /// Platforms with their hosts: name, hosts as `name (address, address)`, whether they were inferred.
    pub platforms: Vec<AboutPlatform>,
    /// Packets of any ingest that found no room in memory and are in no row.
    pub over_limit: i64,
    /// The captures behind the answers, with their losses.
    pub captures: Vec<AboutCapture>,
}

/// A platform behind the answers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AboutPlatform {
    /// Its name.
    pub name: String,
    /// Its hosts with their addresses.
    pub hosts: Vec<(String, Vec<String>)>,
    /// Whether the hosts were inferred from the captures.
    pub inferred: bool,
}

/// A capture behind the answers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AboutCapture {
    /// Where it was read from.
    pub name: String,
    /// BLAKE3 of its (uncompressed) content, hexadecimal.
    pub hash: String,
    /// Its length in bytes, uncompressed.
    pub bytes: i64,
    /// Packets read.
    pub packets: i64,
    /// First and last packet, RFC 3339.
    pub first: String,
    /// Last packet.
    pub last: String,
    /// Counts of what takes no part, by kind, where not zero: `arp`, `broadcast`, `not-ip`, `unreadable` …
    pub losses: Vec<(String, i64)>,
    /// Where and why reading stopped early.
    pub damage: Option<String>,
}
