//! An answer as a table for people, as JSON, as CSV, and all answers as one page. Computes nothing.
//!
//! Values may hold text that attackers chose. Every way out of here escapes for where it goes:
//! [`escape`] for terminals and spreadsheets, maud for HTML, serde for JSON.

pub mod csv;
pub mod escape;
pub mod json;
pub mod page;
pub mod table;

pub use page::{Page, page};

use trapline_questions::Value;

/// A value as people read it: percentages with one decimal, thousands apart, nothing as an empty text.
fn shown(value: &Value, unit: &str) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(truth) => if *truth { "yes" } else { "no" }.into(),
        Value::Int(number) => thousands(*number),
        Value::Float(number) if unit == "percent" => format!("{number:.1}"),
        // Odds are small, and 0.00 would say that there are none.
        Value::Float(number) if *number != 0.0 && number.abs() < 0.005 => format!("{number:.1e}"),
        Value::Float(number) => format!("{number:.2}"),
        Value::Text(text) => escape::printable(text),
        Value::List(texts) => escape::printable(&texts.join("  ")),
    }
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// At most `limit` characters of a text, and how many more there were.
fn shortened(text: String, limit: usize) -> String {
    let length = text.chars().count();
    if length <= limit {
        return text;
    }
    let kept: String = text.chars().take(limit).collect();
    format!("{kept}… ({} more characters)", length - limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1234567, "-1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn long_texts_tell_what_is_missing() {
        assert_eq!(shortened("abcdef".into(), 4), "abcd… (2 more characters)");
        assert_eq!(shortened("abcd".into(), 4), "abcd");
    }
}
