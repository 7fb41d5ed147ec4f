//! `trapline completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::error::CommandError;
use crate::ui::Ui;

/// Print a shell's completion script
///
/// For bash: trapline completions bash > ~/.local/share/bash-completion/completions/trapline
#[derive(Args)]
pub struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// Prints the script.
pub fn completions(ui: &Ui, args: &CompletionsArgs) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "trapline", &mut script);
    ui.print(&String::from_utf8_lossy(&script))
}
