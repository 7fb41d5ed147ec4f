//! The sequences question over 50 million probe-like rows, beside DuckDB's best SQL for the same answer on the same Parquet.
//!
//! DuckDB writes the rows (62 days, one file each) and answers with `list(port order by first)` over the first time of each port:
//! the best of the forms we tried. Both get two threads, read warm files, and must print the same rows.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::measure::middle;
use crate::{Outcome, bench, release};

const ROWS: u64 = 50_000_000;
const DAYS: u64 = 62;
const RUNS: usize = 5;
const THREADS: &str = "2";

/// Rows like those of the table `probes` and laid out like it: a folder for each day, sorted by source, host and port. Of the
/// sources 60 % try one port, nearly all others two to four, 1.5 % scan up to 90; three of four reach all three hosts.
const MAKE: &str = r#"
import duckdb, datetime, os, sys
folder, rows, days = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
duckdb.sql("set threads = 2")
duckdb.sql("set enable_progress_bar = false")
sources = int(rows / days / 5.3)
for day in range(days):
    place = f"{folder}/day={datetime.date(2003, 3, 1) + datetime.timedelta(day)}"
    os.makedirs(place)
    duckdb.sql(f"""
    copy (
      with source as (
        select s, hash(s * 7919 + {day} * 1000003) as h from range({sources}) t(s)),
      tool as (
        select s, h,
               case when h % 1000 < 600 then [[445, 135, 80, 139, 1433][cast(1 + h % 5 as bigint)]]
                    when h % 1000 < 985 then list_transform(range(cast(1 + h % 4 as bigint)), lambda i: cast(1 + hash(h % 1000 + i * 31) % 3000 as bigint))
                    else list_transform(range(cast(h % 90 as bigint)), lambda i: cast(1 + hash(h % 64 + i) % 60000 as bigint)) end as ports
        from source),
      probe as (
        select s, h, host, unnest(ports) as number, generate_subscripts(ports, 1) as place
        from tool cross join range(3) t(host) where h % 4 < 3 or host = 0)
      select '10.' || (s >> 16) || '.' || ((s >> 8) & 255) || '.' || (s & 255) as ip,
             'mach' || host as host,
             cast(case when h % 20 = 0 then 17 else 6 end as smallint) as protocol,
             cast(number as int) as number,
             cast({day} as bigint) * 86400000000000 + cast(h % 80000000 as bigint) * 1000000
               + place * 1000000000 + host * 100000000 as first_ns
      from probe order by s, host, protocol, number) to '{place}/part.parquet' (format parquet, compression zstd)""")
print(duckdb.sql(f"select count(*) from read_parquet('{folder}/*/*.parquet')").fetchall()[0][0])
"#;

const DUCKDB: &str = r#"
import duckdb, sys, time
duckdb.sql("set threads = 2")
duckdb.sql("set enable_progress_bar = false")
answer = """
with ports as (
  select day, ip, protocol, number, min(first_ns) as first from read_parquet('{}/*/*.parquet') group by all),
sources as (
  select day, ip, list(number * 32 + protocol order by first) as ports from ports group by day, ip),
counted as (
  select strftime(day, '%Y-%m') as month, ports, count(*) as sources from sources group by all),
ranked as (
  select month, array_to_string(list_transform(ports, lambda p: (p // 32) || case when p % 32 = 17 then '/udp' else '' end), ',') as sequence,
         sources from counted)
select month, sequence, sources from ranked
qualify row_number() over (partition by month order by sources desc, sequence) <= 8
order by month, sources desc, sequence""".format(sys.argv[1])
began = time.time()
rows = duckdb.sql(answer).fetchall()
print(f"{time.time() - began:.3f}", file=sys.stderr)
for row in rows:
    print(",".join(['"' + x + '"' if "," in str(x) else str(x) for x in row]))
"#;

fn ours(folder: &Path) -> String {
    format!(
        "with sources as (
           select day, ip, ports_sequence(protocol, number, first_ns) as sequence from '{}/' group by day, ip),
         counted as (
           select substr(cast(day as varchar), 1, 7) as month, sequence, count(*) as sources from sources group by 1, 2),
         ranked as (
           select month, sequence, sources, row_number() over (partition by month order by sources desc, sequence) as place
           from counted)
         select month, sequence, sources from ranked where place <= 8 order by month, sources desc, sequence",
        folder.display()
    )
}

/// Runs the benchmark; `--rows N` makes it smaller.
pub fn run(rest: &[&str]) -> Outcome {
    let rows = match rest {
        [] => ROWS,
        ["--rows", n] => n.parse().map_err(|_| format!("{n} is no number"))?,
        _ => return Err("bench sequences [--rows N]".into()),
    };
    let python = Command::new("python3").args(["-c", "import duckdb; print(duckdb.__version__)"]).output();
    let version = python.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default();
    if version.is_empty() {
        return Err("this benchmark needs DuckDB: pip install duckdb".into());
    }
    let program = release::build()?;
    let folder = bench::scratch()?;
    let files = folder.path().join("rows");
    std::fs::create_dir(&files).map_err(|e| e.to_string())?;
    let place = files.display().to_string();
    let (made, _) =
        capture(Command::new("python3").args(["-c", MAKE, &place, &rows.to_string(), &DAYS.to_string()]))?;
    let rows: u64 = made.trim().parse().map_err(|e| format!("{made}: {e}"))?;
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..RUNS {
        // In turn, so that a busy moment of the machine meets both.
        let began = Instant::now();
        let data = folder.path().join("none").display().to_string();
        let arguments = ["sql", "--format", "csv", "--threads", THREADS, "--data", &data, &ours(&files)];
        let (answer, _) = capture(Command::new(&program).args(arguments))?;
        mine.push(began.elapsed().as_secs_f64());
        let (other, seconds) = capture(Command::new("python3").args(["-c", DUCKDB, &place]))?;
        // DuckDB's time without Python's start; ours is with the program's.
        theirs.push(seconds.trim().parse::<f64>().map_err(|e| format!("{seconds}: {e}"))?);
        let answer = answer.split_once('\n').map_or("", |(_, rows)| rows);
        if round == 0 && answer != other {
            return Err(format!("the answers differ:\n{answer}\n--- DuckDB ---\n{other}"));
        }
    }
    let (mine, theirs) = (middle(mine), middle(theirs));
    println!(
        "\n{rows} rows in {DAYS} files; {}; {THREADS} threads each; medians of {RUNS}; same answer",
        bench::machine()
    );
    println!("trapline        {mine:6.2} s  {:5.1} M rows/s", rows as f64 / mine / 1e6);
    println!("DuckDB {version:8} {theirs:6.2} s  {:5.1} M rows/s", rows as f64 / theirs / 1e6);
    println!("{:.2} times as fast; wanted 1.5", theirs / mine);
    Ok(())
}

/// Standard output and standard error of a command that ends well.
fn capture(command: &mut Command) -> Result<(String, String), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    if output.status.success() { Ok((out, err)) } else { Err(format!("{:?}: {err}", command.get_program())) }
}
