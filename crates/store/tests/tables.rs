//! docs/tables.md is made of the declarations; `cargo xtask golden` writes it anew.

use trapline_store::schema::{SCHEMA_VERSION, TABLES, Table};
use trapline_testing::{project, refreshing};

fn section(table: &Table) -> String {
    let by = if table.by_day { "Partitioned by platform and day. " } else { "" };
    let mut text = format!(
        "## {}\n\nA row is {}. {by}\n\n| column | type | unit | meaning |\n|---|---|---|---|\n",
        table.name, table.row
    );
    for column in table.columns {
        let null = if column.nullable { ", may be null" } else { "" };
        text.push_str(&format!(
            "| `{}` | {}{null} | {} | {} |\n",
            column.name,
            column.kind.name(),
            column.unit,
            column.meaning
        ));
    }
    text.replace(". \n", ".\n")
}

#[test]
fn the_page_of_the_tables_is_true() {
    let mut page = format!(
        "# The tables\n\n\
         Delta Lake tables on Parquet, one folder each below the folder or URL given by `--data`. Any engine opens them: see\n\
         the examples at the end. An ingest writes its tables and last a row of `commits` that names the version of each;\n\
         trapline reads only versions named together. Addresses are text, ports 32-bit integers, times microseconds in UTC with the\n\
         rest of a nanosecond stamp in a column of its own.\n\n\
         This page is generated from the declarations in `crates/store/src/schema.rs`, version {SCHEMA_VERSION}.\n\n"
    );
    page.push_str(&TABLES.iter().map(|t| section(t)).collect::<Vec<_>>().join("\n"));
    page.push_str(EXAMPLES);
    let path = project().join("docs/tables.md");
    if refreshing() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/tables.md is not what the declarations say; `cargo xtask golden` writes it anew"
    );
}

const EXAMPLES: &str = r#"
## From elsewhere

DuckDB, through the Python package `deltalake`, which reads the table's log (DuckDB's own Delta extension works too):

```python
import duckdb, deltalake
sources = duckdb.read_parquet(deltalake.DeltaTable("trapline-data/sources").file_uris())
duckdb.sql("select sequence, count(*) as n from sources group by all order by n desc limit 10").show()
```

Polars:

```python
import polars
polars.scan_delta("trapline-data/sources").group_by("sequence").len().sort("len", descending=True).head(10).collect()
```
"#;
