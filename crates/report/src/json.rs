//! An answer as JSON: an array of objects, one on a line, keys in the order of the columns.

use serde_json::{Map, Value as Json};
use trapline_questions::Answer;

/// The rows as objects.
pub fn rows(answer: &Answer) -> Vec<Json> {
    let object = |row: &Vec<trapline_questions::Value>| {
        let pairs = answer.columns.iter().zip(row);
        // A value is null, a truth value, a number, a text or a list of texts: all of them are JSON.
        let pairs = pairs.map(|(c, v)| (c.name.clone(), serde_json::to_value(v).unwrap_or(Json::Null)));
        Json::Object(pairs.collect::<Map<_, _>>())
    };
    answer.rows.iter().map(object).collect()
}

/// The answer as text.
pub fn text(answer: &Answer) -> String {
    let rows: Vec<String> = rows(answer).iter().map(Json::to_string).collect();
    if rows.is_empty() { "[]\n".into() } else { format!("[\n{}\n]\n", rows.join(",\n")) }
}
