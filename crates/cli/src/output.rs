//! Answers on their way out: formats, files, and what stands beside every answer.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use trapline_questions::{About, Answer, Session};

use crate::error::CommandError;
use crate::ui::Ui;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns for people
    #[default]
    Table,
    /// An array of objects
    Json,
    /// A line of names, then rows
    Csv,
    /// A Parquet file; needs -o
    Parquet,
}

/// Where an answer goes, and how.
#[derive(Args)]
pub struct OutputArgs {
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// File for the answer instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

impl OutputArgs {
    /// Writes the bytes of a Parquet file, to the file or to whatever standard output is but a terminal.
    pub fn put_parquet(&self, ui: &Ui, bytes: &[u8]) -> Result<(), CommandError> {
        use std::io::IsTerminal;
        match self.file() {
            Some(file) => write_file(file, bytes),
            None if std::io::stdout().is_terminal() => {
                Err(CommandError::new("Parquet is nothing for a terminal")
                    .hint("name a file: -o answer.parquet"))
            }
            None => ui.print_bytes(bytes),
        }
    }

    /// The file that was named; `-` is standard output.
    fn file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|file| *file != Path::new("-"))
    }

    /// Writes bytes to the file, or text to standard output.
    pub fn put(&self, ui: &Ui, text: &str) -> Result<(), CommandError> {
        match self.file() {
            Some(file) => write_file(file, text.as_bytes()),
            None => ui.print(text),
        }
    }

    /// An answer as text. `about` is only looked at for tables.
    pub fn text(&self, answer: &Answer, about: &About) -> String {
        match self.format {
            Format::Json => trapline_report::json::text(answer),
            Format::Csv => trapline_report::csv::text(answer),
            Format::Table | Format::Parquet => trapline_report::table::text(answer, about, self.width()),
        }
    }

    /// Columns of the terminal that the table is for; files and pipes have no width.
    pub fn width(&self) -> Option<u16> {
        use std::io::IsTerminal;
        let terminal = self.file().is_none() && std::io::stdout().is_terminal();
        let columns = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
        let measured = || terminal_size::terminal_size().map_or(120, |(width, _)| width.0);
        terminal.then(|| columns.unwrap_or_else(measured))
    }
}

/// Writes a whole file or none: what stood there before stays until the new text is complete.
pub fn write_file(file: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    let fail = |e: std::io::Error| CommandError::new(format!("cannot write {}: {e}", file.display()));
    if std::fs::metadata(file).is_ok_and(|m| !m.is_file()) {
        // A device or a pipe is written as it is.
        return std::fs::write(file, bytes).map_err(fail);
    }
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(format!(".{}.unfinished", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let written = std::fs::write(&unfinished, bytes).and_then(|()| std::fs::rename(&unfinished, file));
    written.map_err(|e| {
        // The error is told; what cannot be removed now was not there.
        let _ = std::fs::remove_file(&unfinished);
        fail(e)
    })
}

/// What stands beside the answers of a session.
pub async fn about(session: &Session) -> Result<About, CommandError> {
    let mut about = session.about().await?;
    about.version = concat!("trapline ", env!("CARGO_PKG_VERSION")).into();
    about.arguments = arguments();
    about.flags = flags(&about);
    about.made = trapline_store::convert::time_text(now_ns());
    Ok(about)
}

/// The flags that ask the same again; the place of the tables is added by whoever knows it.
fn flags(about: &About) -> String {
    let mut flags = String::new();
    let mut flag = |name: &str, value: &str| {
        flags.push_str(&format!(" --{name} {}", trapline_report::escape::shell_word(value)));
    };
    if about.rule != "day" {
        flag("rule", &about.rule);
    }
    if let Some((from, to)) = &about.span {
        [("from", from), ("to", to)]
            .iter()
            .filter(|(_, day)| !day.is_empty())
            .for_each(|(name, day)| flag(name, day));
    }
    if let Some(filter) = &about.filter {
        flag("where", filter);
    }
    flags
}

/// The command line as it was given.
pub fn arguments() -> Vec<String> {
    std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect()
}

fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| d.as_nanos() as i64)
}
