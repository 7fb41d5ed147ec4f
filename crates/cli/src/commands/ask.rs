//! `trapline ask`

use clap::Args;
use trapline_questions::{About, Catalog, Question, Session};
use trapline_store::{Snapshot, StoreError};

use crate::arguments::{DataArgs, QuestionArgs};
use crate::error::CommandError;
use crate::output::{self, Format, OutputArgs};
use crate::ui::Ui;

/// Answer a question from the tables
///
/// Without a name, the list of questions. The definitions of all words are in docs/method/ of the project; `--describe`
/// prints those of one question.
#[derive(Args)]
pub struct AskArgs {
    /// Name of the question
    #[arg(value_name = "QUESTION")]
    name: Option<String>,
    #[command(flatten)]
    data: DataArgs,
    /// Only this platform
    #[arg(long, value_name = "NAME")]
    platform_name: Option<String>,
    #[command(flatten)]
    pub question: QuestionArgs,
    /// A parameter of the question; again for more of them
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    param: Vec<(String, String)>,
    /// What the question means, its columns and its parameters, instead of its answer
    #[arg(long, requires = "name")]
    describe: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// A parameter on the command line.
pub fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Answers.
pub async fn ask(ui: &Ui, args: &AskArgs) -> Result<(), CommandError> {
    let catalog = args.question.catalog(ui)?;
    let Some(name) = &args.name else { return args.output.put(ui, &list(&catalog)) };
    let question = catalog.get(name)?;
    if args.describe {
        return args.output.put(ui, &describe(question));
    }
    let data = args.data.open()?;
    let snapshot = Snapshot::latest(&data).await?.ok_or(StoreError::Empty { place: data.name.clone() })?;
    let session = Session::open(&snapshot, args.question.ask(args.platform_name.as_ref())?).await?;
    if args.output.format == Format::Parquet {
        let rows = session.batches(question, &args.param).await?;
        return args.output.put_parquet(ui, &trapline_store::parquet_bytes(&rows)?);
    }
    let (answer, about) = match args.output.format {
        Format::Table => (session.answer(question, &args.param).await?, output::about(&session).await?),
        _ => (session.rows(question, &args.param).await?, About::default()),
    };
    args.output.put(ui, &args.output.text(&answer, &about))
}

fn list(catalog: &Catalog) -> String {
    let widest = catalog.questions().iter().map(|q| q.name.len()).max().unwrap_or_default();
    let line = |q: &Question| {
        let paper = if q.paper.is_empty() { String::new() } else { format!(" (the paper, {})", q.paper) };
        format!("{:widest$}  {}{paper}\n", q.name, q.title)
    };
    catalog.questions().iter().map(line).collect()
}

fn describe(question: &Question) -> String {
    let mut out = format!("{}\n\n{}\n", question.title, question.definition);
    if !question.paper.is_empty() {
        out.push_str(&format!("In the paper: {}\n", question.paper));
    }
    out.push_str("\nColumns:\n");
    let widest = question.columns.iter().map(|c| c.name.len()).max().unwrap_or_default();
    for column in &question.columns {
        let unit = if column.unit.is_empty() { String::new() } else { format!(" [{}]", column.unit) };
        out.push_str(&format!("  {:widest$}  {}{unit}\n", column.name, column.meaning));
    }
    out.push_str(&format!("Order of rows: {}\n", question.order));
    if !question.parameters.is_empty() {
        out.push_str("\nParameters (--param NAME=VALUE):\n");
    }
    for parameter in &question.parameters {
        let choices = if parameter.choices.is_empty() {
            String::new()
        } else {
            format!(": {}", parameter.choices.join(", "))
        };
        out.push_str(&format!(
            "  {}={}  {}{choices}\n",
            parameter.name, parameter.default, parameter.meaning
        ));
    }
    out
}
