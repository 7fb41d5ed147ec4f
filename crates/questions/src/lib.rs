//! The questions: one file for each (title, columns, SQL, chart), and what runs them.
//!
//! `questions/*.toml` are built in; a user's folder may hold more, in the same form. Their SQL sees the
//! tables of `views/`: `sources`, `sessions`, `probes`, `responses`, `requests`, `messages`, `fingerprints` (those of the sources that `--where`
//! selects, by the rule asked for), `source_processes`, `places`, `all_sources`, `replies`, `hosts`, `openings`, `captures`, `events`, `inbound_days` and `all_probes`.

pub mod answer;
pub mod knowledge;
pub mod processes;
pub mod question;
pub mod run;
pub mod value;

pub use answer::{About, AboutCapture, AboutPlatform, Answer, Column, ColumnType, Value};
pub use knowledge::Knowledge;
pub use question::{Catalog, Evidence, Question, QuestionError, Variant};
pub use run::{Ask, AskError, Rule, Session, SourceDay};
