//! An answer as a table for a terminal: names, rows, and under them what the rows are about.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use trapline_questions::{About, Answer, ColumnType, Value};

use crate::{escape, shortened, shown, thousands};

/// Longer texts are cut in a table; other formats hold them whole. A sequence of a dozen ports fits.
const CELL: usize = 96;

/// The answer, for a terminal `width` columns wide; unlimited where `None`.
pub fn text(answer: &Answer, about: &About, width: Option<u16>) -> String {
    let mut out = format!("{}\n\n", answer.title);
    if answer.rows.is_empty() {
        out.push_str("(no rows)\n");
    } else {
        out.push_str(&rows(answer, width, shown));
    }
    out.push('\n');
    for line in footer(answer, about) {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// Rows that answer no question of the catalog: nothing but the rows.
pub fn plain(answer: &Answer, width: Option<u16>) -> String {
    // Numbers may be ports or identifiers here, so none of them is set in thousands.
    let as_is = |value: &Value, unit: &str| match value {
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        other => shown(other, unit),
    };
    if answer.rows.is_empty() { "(no rows)\n".into() } else { rows(answer, width, as_is) }
}

fn rows(answer: &Answer, width: Option<u16>, shown: impl Fn(&Value, &str) -> String) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(answer.columns.iter().map(|c| c.name.as_str()));
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    for row in &answer.rows {
        let cells = answer.columns.iter().zip(row);
        table.add_row(cells.map(|(column, value)| shortened(shown(value, &column.unit), CELL)));
    }
    for (column, declared) in table.column_iter_mut().zip(&answer.columns) {
        column.set_padding((0, 2));
        if matches!(declared.kind, ColumnType::Int | ColumnType::Float) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

/// What the rows are about, and what is not in them.
fn footer(answer: &Answer, about: &About) -> Vec<String> {
    let mut lines = answer.notes.iter().map(|n| escape::printable(n)).collect::<Vec<_>>();
    let packets: i64 = about.captures.iter().map(|c| c.packets).sum();
    let captures = about.captures.len();
    lines.push(format!(
        "n = {} sources by the {} rule; {captures} {}, {} packets",
        thousands(answer.n),
        about.rule,
        if captures == 1 { "capture" } else { "captures" },
        thousands(packets),
    ));
    if let Some((from, to)) = &about.span {
        let edge = |day: &String, open: &'static str| if day.is_empty() { open.into() } else { day.clone() };
        lines.push(format!("days: {} to {}", edge(from, "the first"), edge(to, "the last")));
    }
    lines.extend(about.filter.as_ref().map(|f| format!("where: {}", escape::printable(f))));
    let losses = losses(about);
    if !losses.is_empty() {
        lines.push(format!("took no part or only a small one: {losses}"));
    }
    if about.over_limit > 0 {
        lines.push(format!(
            "{} packets found no room in memory and are in no row",
            thousands(about.over_limit)
        ));
    }
    let damaged = about.captures.iter().filter(|c| c.damage.is_some()).count();
    if damaged > 0 {
        lines.push(format!("{damaged} of the captures could not be read to the end"));
    }
    lines
}

/// Packets that take no part, by kind, over all captures.
pub fn losses(about: &About) -> String {
    let mut sums: Vec<(String, i64)> = Vec::new();
    for (kind, packets) in about.captures.iter().flat_map(|c| &c.losses) {
        match sums.iter_mut().find(|(k, _)| k == kind) {
            Some((_, sum)) => *sum += packets,
            None => sums.push((kind.clone(), *packets)),
        }
    }
    let texts = sums.iter().map(|(kind, packets)| format!("{kind} {}", thousands(*packets)));
    texts.collect::<Vec<_>>().join(", ")
}
