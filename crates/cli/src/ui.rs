//! The terminal: results on standard output, everything else on standard error, a bar while one waits.

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use trapline_report::escape::printable;

use crate::error::CommandError;

/// Where no terminal is, a line tells how far the work is, this often.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Where words go.
pub struct Ui {
    colour: bool,
    findings: Cell<u64>,
}

impl Ui {
    /// For this process: colours only on a terminal, and not where `NO_COLOR` is set (no-color.org).
    pub fn new() -> Ui {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Ui { colour: wanted && std::io::stderr().is_terminal(), findings: Cell::new(0) }
    }

    /// How many findings were told: they make the exit status 1.
    pub fn findings(&self) -> u64 {
        self.findings.get()
    }

    /// Prints a result. A result goes to standard output and nothing else does.
    ///
    /// # Errors
    /// When nobody reads it.
    pub fn print(&self, text: &str) -> Result<(), CommandError> {
        self.print_bytes(text.as_bytes())
    }

    /// Prints a result that is no text.
    ///
    /// # Errors
    /// When nobody reads it.
    pub fn print_bytes(&self, bytes: &[u8]) -> Result<(), CommandError> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// Tells something that is no result.
    pub fn note(&self, text: &str) {
        self.tell("", text);
    }

    /// Tells something that could not be done as it should; counted.
    pub fn finding(&self, text: &str) {
        self.findings.set(self.findings.get() + 1);
        self.tell(if self.colour { "\x1b[33mwarning\x1b[0m: " } else { "warning: " }, text);
    }

    /// Tells why nothing was done, and what to do next.
    pub fn error(&self, error: &CommandError) {
        self.tell(if self.colour { "\x1b[31merror\x1b[0m: " } else { "error: " }, &error.message);
        if let Some(hint) = &error.hint {
            self.tell(if self.colour { "\x1b[36mhint\x1b[0m: " } else { "hint: " }, hint);
        }
    }

    fn tell(&self, label: &str, text: &str) {
        // File names and what a file says of itself may be an attacker's; line breaks inside a message are ours.
        let lines: Vec<String> = text.split('\n').map(printable).collect();
        // Nowhere to tell that telling failed.
        let _ = writeln!(std::io::stderr(), "{label}{}", lines.join("\n"));
    }

    /// A bar for work of a number of bytes, shown on standard error.
    pub fn progress(&self, what: &'static str) -> Arc<Bar> {
        Bar::new(what)
    }

    /// Ctrl-C asks the work to stop; asked twice it stops at once.
    pub fn stop_on_ctrl_c(&self) -> Arc<AtomicBool> {
        let stop = Arc::new(AtomicBool::new(false));
        let wish = Arc::clone(&stop);
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                if wish.swap(true, Ordering::Relaxed) {
                    std::process::exit(2);
                }
            }
        });
        stop
    }
}

/// A bar on a terminal (bytes, packets a second, time left), now and then a plain line elsewhere.
pub struct Bar {
    bar: Option<ProgressBar>,
    what: std::sync::Mutex<&'static str>,
    began: Instant,
    last_line: std::sync::Mutex<Instant>,
}

impl Bar {
    fn new(what: &'static str) -> Arc<Bar> {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{msg:9} {wide_bar} {prefix} {eta:>4} left");
            bar.set_style(style.expect("the template is right").progress_chars("━╸ "));
            bar.set_message(what);
            bar
        });
        let now = Instant::now();
        Arc::new(Bar { bar, what: what.into(), began: now, last_line: now.into() })
    }

    /// Begins another part of the work.
    pub fn part(&self, what: &'static str) {
        let mut now = self.what.lock().expect("no panic while it is held");
        if *now != what {
            *now = what;
            if let Some(bar) = &self.bar {
                bar.set_message(what);
                bar.reset();
            }
        }
    }

    /// `done` of `total` units, with `packets` packets in them; `bytes` tells whether the units are bytes.
    pub fn at(&self, done: u64, total: u64, packets: u64, bytes: bool) {
        let rate = packets as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        let (done, total) = (done.min(total.max(done)), total.max(done));
        let amount = if bytes {
            format!("{} of {}", HumanBytes(done), HumanBytes(total))
        } else {
            format!("{done} of {total}")
        };
        let text = format!("{amount}  {:.1} M packets/s", rate / 1e6);
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_prefix(text);
            return;
        }
        let mut last = self.last_line.lock().expect("no panic while it is held");
        if last.elapsed() >= PLAIN_EVERY {
            *last = Instant::now();
            let what = self.what.lock().expect("no panic while it is held");
            let _ = writeln!(std::io::stderr(), "{what}: {text}");
        }
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What libraries log: nothing unless `TRAPLINE_LOG` asks for it (`TRAPLINE_LOG=debug`). Missing tables and conflicts are
/// errors to the table library and everyday life to us.
pub fn log_to_stderr() {
    if let Some(filter) = std::env::var_os("TRAPLINE_LOG") {
        log(&filter.to_string_lossy());
    }
}

/// What a server logs where `TRAPLINE_LOG` does not say otherwise.
pub fn log_by_default(filter: &str) {
    if std::env::var_os("TRAPLINE_LOG").is_none() {
        log(filter);
    }
}

fn log(filter: &str) {
    let filter = tracing_subscriber::EnvFilter::new(filter);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(std::io::stderr);
    // A second logger in one process would be ours to blame; there is none.
    let _ = log.try_init();
}

/// Waits until this process is told to end: Ctrl-C, SIGTERM, or, where it has one to be with, the end of whoever started it.
///
/// # Errors
/// Where it cannot listen to signals.
pub async fn told_to_end(with_parent: bool) -> Result<(), CommandError> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (gone, mut parent) = tokio::sync::oneshot::channel::<()>();
    if with_parent {
        // A thread of its own: it waits as long as the parent lives.
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            let _ = gone.send(());
        });
    } else {
        std::mem::forget(gone);
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = &mut parent => {}
    }
    Ok(())
}
