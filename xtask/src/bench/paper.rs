//! The paper's ten months at full size: into the tables, through every question, and how long the program takes to start.

use std::process::Command;
use std::time::Instant;

use crate::measure::{middle, run};
use crate::{Outcome, bench, release};

const RUNS: usize = 5;

/// Runs the benchmark.
pub fn run_all() -> Outcome {
    let program = release::build()?;
    let folder = bench::scratch()?;
    let trapline = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(folder.path());
        run(&mut command)
    };
    let simulated = trapline(&["simulate", "paper2003", "-o", "paper"])?;
    println!("\n{}; medians of {RUNS}", bench::machine());
    println!("simulate paper2003: {:.2} s", simulated.wall_s);
    let (mut ingests, mut reports) = (Vec::new(), Vec::new());
    for round in 0..RUNS {
        let data = format!("data{round}");
        ingests.push(
            trapline(&[
                "ingest",
                "paper",
                "--platform",
                "paper/platform.toml",
                "--data",
                &data,
                "--threads",
                "2",
            ])?
            .wall_s,
        );
        reports.push(trapline(&["report", "--data", &data, "-o", "report.html", "--threads", "2"])?.wall_s);
    }
    let (ingest, report) = (middle(ingests), middle(reports));
    println!(
        "ingest {ingest:.2} s, all questions on a page {report:.2} s, together {:.2} s; wanted under 5",
        ingest + report
    );
    let start = median_ms(|| trapline(&["sql", "--data", "data0", "select 1"]).map(|_| ()))?;
    println!(
        "\nask, JSON, with the program's start and the tables' opening of {start:.0} ms in it; wanted under 150 after the start:"
    );
    let list = Command::new(&program).arg("ask").output().map_err(|e| e.to_string())?;
    for line in String::from_utf8_lossy(&list.stdout).lines() {
        let question = line.split(' ').next().unwrap_or_default();
        let ms =
            median_ms(|| trapline(&["ask", question, "--data", "data0", "--format", "json"]).map(|_| ()))?;
        println!("{question:22} {ms:6.0} ms   after the start {:6.0}", ms - start);
    }
    let help = median_ms(|| trapline(&["--help"]).map(|_| ()))?;
    println!("\ntrapline --help: {help:.1} ms; wanted under 20");
    Ok(())
}

fn median_ms(mut once: impl FnMut() -> Outcome) -> Result<f64, String> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let began = Instant::now();
        once()?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(middle(times))
}
