//! An answer as CSV (RFC 4180): a line of names, then the rows; lists are joined by spaces.
//!
//! CSV is looked at in terminals and opened in spreadsheets, so texts are made harmless for both; JSON and Parquet hold them as they are.

use trapline_questions::{Answer, Value};

use crate::escape::{no_formula, printable};

/// The answer as text. What a terminal would obey is escaped ([`printable`]), what a spreadsheet would calculate quoted ([`no_formula`]).
pub fn text(answer: &Answer) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = answer.columns.iter().map(|c| c.name.clone()).collect();
    let rows = answer.rows.iter().map(|row| row.iter().map(cell).collect());
    for row in std::iter::once::<Vec<String>>(names).chain(rows) {
        writer.write_record(row).expect("memory takes every row, and all have one length");
    }
    let bytes = writer.into_inner().expect("memory needs no flushing");
    String::from_utf8(bytes).expect("made of texts")
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Text(text) => printable(&no_formula(text)),
        Value::List(texts) => printable(&no_formula(&texts.join(" "))),
    }
}
