//! Transcripts: what a person typed and what the program printed, run again and compared.
//!
//! A transcript is text with lines that begin with `$ trapline`; under each stands what the command printed:
//! standard output, then standard error with `! ` before each line, then `[exit N]` where it did not end with 0.

use std::path::Path;
use std::process::Command;

/// Runs every command of a transcript in `folder` and returns the transcript as it should be.
///
/// # Panics
/// When a command cannot be started.
pub fn replay(transcript: &str, program: &Path, folder: &Path) -> String {
    let mut out = String::new();
    for command in transcript.lines().filter_map(|l| l.strip_prefix("$ trapline ")) {
        out.push_str(&format!("$ trapline {command}\n"));
        out.push_str(&run(command, program, folder));
    }
    out
}

/// Runs one command line (without the program's name) and shows what came of it.
///
/// # Panics
/// When it cannot be started.
pub fn run(command: &str, program: &Path, folder: &Path) -> String {
    let output = Command::new(program)
        .args(words(command))
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .env("COLUMNS", "110")
        .env_remove("TRAPLINE_DATA")
        .env_remove("TRAPLINE_FINGERPRINTS")
        // Whatever place databases this machine has.
        .env("TRAPLINE_GEO", "built-in")
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let mut shown = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        shown.push_str(&format!("! {line}\n"));
    }
    match output.status.code() {
        Some(0) => {}
        code => shown.push_str(&format!("[exit {}]\n", code.unwrap_or(-1))),
    }
    // Spaces at the ends of lines are lost in editors; they mean nothing here.
    shown.lines().map(|l| format!("{}\n", l.trim_end())).collect()
}

/// Splits a command line as a shell would, as far as tests need: spaces, single and double quotes.
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
