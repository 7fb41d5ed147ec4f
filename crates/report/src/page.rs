//! Every answer in one HTML page that needs no network: charts, tables, definitions, captures.
//!
//! The chart library (Vega, Vega-Lite and vega-embed from npm, BSD-3-Clause) is part of the page, the data stand in it as
//! JSON, and its content security policy forbids it to fetch anything. Without scripts all tables are there.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::{Value as Json, json};
use trapline_questions::{About, Answer, ColumnType};

use crate::{escape, json as rows_as_json, shortened, shown, thousands};

const STYLE: &str = include_str!("../assets/page.css");
const SCRIPT: &str = include_str!("../assets/page.js");
const LIBRARY: [&str; 3] = [
    include_str!("../assets/vega.min.js"),
    include_str!("../assets/vega-lite.min.js"),
    include_str!("../assets/vega-embed.min.js"),
];

/// Rows shown at once; more stand behind a click.
const FIRST_ROWS: usize = 12;
/// Rows of a table on the page; whoever needs more asks for CSV.
const MAX_ROWS: usize = 400;
/// Rows behind a chart.
const MAX_CHART_ROWS: usize = 20_000;
/// Longer texts are cut on the page.
const CELL: usize = 160;
/// And even those that appear when a cell is pointed at.
const MAX_HOVER: usize = 4_000;

/// What a page shows.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    /// Heading: whose data.
    pub title: &'a str,
    /// What all answers share.
    pub about: &'a About,
    /// The answers, in order.
    pub answers: &'a [Answer],
    /// What went wrong or was left out while the captures were read; one line each.
    pub findings: &'a [String],
}

/// The page as HTML text.
pub fn page(page: &Page<'_>) -> String {
    let charts: Vec<(&Answer, &Json)> = page
        .answers
        .iter()
        .filter(|a| !a.rows.is_empty())
        .filter_map(|a| Some((a, a.chart.as_ref()?)))
        .collect();
    let policy = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:";
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(policy);
                title { (page.title) " – trapline" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(page))
                main {
                    (summary(page))
                    @for answer in page.answers.iter().filter(|a| !is_summary(a)) {
                        (section(answer, &place(answer, page.answers), page.about))
                    }
                    (sources_of_data(page.about))
                }
                (footer(page.about))
                @if !charts.is_empty() {
                    @for part in LIBRARY { script { (PreEscaped(part)) } }
                    @for (answer, chart) in &charts {
                        script type="application/json" class="chart-data" data-for=(format!("chart-{}", place(answer, page.answers))) {
                            (PreEscaped(in_script(&specification(answer, chart))))
                        }
                    }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        }
    };
    markup.into_string()
}

/// JSON inside a script element: `<` never stands there as itself, so nothing ends the element early.
fn in_script(value: &Json) -> String {
    value.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

fn specification(answer: &Answer, chart: &Json) -> Json {
    let mut rows = rows_as_json::rows(answer);
    rows.truncate(MAX_CHART_ROWS);
    let mut whole = json!({"data": {"values": rows}, "width": "container"});
    for (key, value) in chart.as_object().into_iter().flatten() {
        whole[key] = value.clone();
    }
    whole
}

/// The overview is shown as figures at the top, not as a table.
fn is_summary(answer: &Answer) -> bool {
    answer.name == "overview"
}

fn head(page: &Page<'_>) -> Markup {
    html! {
        header {
            p.brand { "trapline" }
            h1 { (page.title) }
            nav {
                @for answer in page.answers.iter().filter(|a| !is_summary(a) && a.filter.is_none()) {
                    a href=(format!("#{}", answer.name)) { (answer.name) }
                }
                a href="#captures" { "captures" }
            }
        }
    }
}

fn summary(page: &Page<'_>) -> Markup {
    let overview = page.answers.iter().find(|a| is_summary(a));
    html! {
        @if let Some(overview) = overview {
            section id="overview" {
                @match overview.rows.first() {
                    None => p { "No packet came in from elsewhere to a host." },
                    Some(row) => dl.figures {
                        @for (column, value) in overview.columns.iter().zip(row) {
                            div {
                                dt title=(column.meaning) { (column.name.replace('_', " ")) }
                                dd { (shown(value, &column.unit)) @if column.unit == "percent" { " %" } }
                            }
                        }
                    },
                }
                p.definition { (overview.definition) }
            }
        }
        @if !page.findings.is_empty() {
            section.findings {
                h2 { "Not everything could be read" }
                ul { @for finding in page.findings { li { (escape::printable(finding)) } } }
            }
        }
    }
}

/// The command that gives this answer again.
fn command(answer: &Answer, about: &About) -> String {
    let given = answer
        .given
        .iter()
        .map(|(name, value)| format!(" --param {}", escape::shell_word(&format!("{name}={value}"))));
    let filter = match (&answer.filter, &about.filter) {
        (Some(own), Some(outer)) => {
            format!(" --where {}", escape::shell_word(&format!("({outer}) and ({own})")))
        }
        (Some(own), None) => format!(" --where {}", escape::shell_word(own)),
        // The flags hold it.
        _ => String::new(),
    };
    // Of two filters on a command line the last one counts.
    let all = format!("trapline ask {}{}{}{filter}", answer.name, given.collect::<String>(), about.flags);
    escape::printable(&all)
}

/// The name of an answer's place on the page: its question's, and which of its figures.
fn place(answer: &Answer, answers: &[Answer]) -> String {
    let same = answers.iter().filter(|a| a.name == answer.name);
    match same.take_while(|a| !std::ptr::eq(*a, answer)).count() {
        0 => answer.name.clone(),
        n => format!("{}-{}", answer.name, n + 1),
    }
}

fn section(answer: &Answer, place: &str, about: &About) -> Markup {
    html! {
        section id=(place) {
            h2 { (answer.title) }
            p.where {
                code { (command(answer, about)) }
                @if !answer.paper.is_empty() { " · the paper, " (answer.paper) }
                " · n = " (thousands(answer.n)) " sources"
            }
            @if answer.rows.is_empty() {
                p.empty { "Nothing of this kind in these captures." }
            } @else {
                @if answer.chart.is_some() { div.chart id=(format!("chart-{place}")) {} }
                @if answer.chart.is_some() && answer.rows.len() > MAX_CHART_ROWS {
                    p.note { "The chart shows the first " (thousands(MAX_CHART_ROWS as i64)) " of " (thousands(answer.rows.len() as i64)) " rows." }
                }
                (table(answer, about))
            }
            @for note in &answer.notes { p.note { (escape::printable(note)) } }
            p.definition { (answer.definition.replace('`', "")) }
        }
    }
}

fn table(answer: &Answer, about: &About) -> Markup {
    let total = answer.rows.len();
    let shown_rows = total.min(MAX_ROWS);
    let rows = |range: std::ops::Range<usize>| {
        html! {
            @for row in &answer.rows[range] {
                tr {
                    @for (column, value) in answer.columns.iter().zip(row) {
                        (cell(shown(value, &column.unit), class(column.kind)))
                    }
                }
            }
        }
    };
    let columns = html! {
        thead { tr { @for c in &answer.columns { th class=(class(c.kind)) title=(c.meaning) { (c.name.replace('_', " ")) } } } }
    };
    html! {
        div.scroll { table { (columns) tbody { (rows(0..shown_rows.min(FIRST_ROWS))) } } }
        @if shown_rows > FIRST_ROWS {
            details {
                summary { (thousands((shown_rows - FIRST_ROWS) as i64)) " more rows" }
                div.scroll { table { (columns) tbody { (rows(FIRST_ROWS..shown_rows)) } } }
            }
        }
        @if total > shown_rows {
            p.note {
                (thousands((total - shown_rows) as i64)) " further rows are not on this page: "
                code { (command(answer, about)) " --format csv" }
            }
        }
    }
}

/// A cell; a long text is cut, and whole when pointed at.
fn cell(text: String, class: &str) -> Markup {
    let cut = shortened(text.clone(), CELL);
    let whole = (cut != text).then(|| shortened(text, MAX_HOVER));
    html! { td class=(class) title=[whole] { (cut) } }
}

fn class(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Int | ColumnType::Float => "number",
        ColumnType::Text | ColumnType::List => "text",
        _ => "plain",
    }
}

/// Platforms and captures, with what of them is in no answer.
fn sources_of_data(about: &About) -> Markup {
    html! {
        section id="captures" {
            h2 { "Captures and hosts behind these answers" }
            @if about.temporary {
                p.note {
                    "This page was made straight from captures. To ask further, take them in first: "
                    code { "trapline ingest" } ", with the same captures and hosts; then the commands beside the answers work."
                }
            }
            @if about.over_limit > 0 {
                p.note { (thousands(about.over_limit)) " packets found no room in memory and are in no row." }
            }
            @for platform in &about.platforms {
                h3 { "Platform " (escape::printable(&platform.name)) }
                @if platform.inferred {
                    p.note {
                        "Its hosts were inferred: the smallest set of addresses that covers every conversation. To say otherwise: "
                        code { "--platform FILE" } ", " code { "--host NAME=ADDRESS" } " or " code { "--hosts NETWORK" } "."
                    }
                }
                ul.hosts {
                    @for (name, addresses) in &platform.hosts {
                        li { (escape::printable(name)) @if addresses.len() != 1 || addresses[0] != *name { " (" (addresses.join(", ")) ")" } }
                    }
                }
            }
            div.scroll {
                table {
                    thead { tr { th { "capture" } th.number { "packets" } th { "first" } th { "last" } th { "took no part or only a small one" } th { "damage" } } }
                    tbody {
                        @for capture in &about.captures {
                            tr {
                                td.text title=(capture.hash) { (escape::printable(&capture.name)) }
                                td.number { (thousands(capture.packets)) }
                                td { (capture.first) }
                                td { (capture.last) }
                                td { @for (kind, packets) in &capture.losses { (kind) " " (thousands(*packets)) br; } }
                                td { (escape::printable(capture.damage.as_deref().unwrap_or(""))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn footer(about: &About) -> Markup {
    html! {
        footer {
            p {
                "Made " (about.made) " by " (about.version) ", rule " (about.rule)
                @if let Some((from, to)) = &about.span { ", days " (from) " to " (to) }
                @if let Some(filter) = &about.filter { ", sources where " code { (escape::printable(filter)) } }
                "."
            }
            p { code { (escape::printable(&about.arguments.iter().map(|a| escape::shell_word(a)).collect::<Vec<_>>().join(" "))) } }
        }
    }
}
