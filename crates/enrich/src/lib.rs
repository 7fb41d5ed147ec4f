//! What an observation means: one module for each enricher.
//!
//! Raw observations come in, labels with their quality and the name of the database go out; the raw is kept beside
//! them, so that better knowledge can label old data anew. Databases are read here; nothing here knows tables or SQL.

pub mod event;
pub mod knowledge;
pub mod os;
pub mod place;
pub mod process;
pub mod tool;
