//! From the declaration that tables were written with to the one that this program knows.
//!
//! Every change of [`crate::schema`] raises [`SCHEMA_VERSION`] and adds a [`Step`] here. An ingest takes older tables through the
//! steps they lack before it writes; a reader needs none, because what a step adds reads as null or as no rows in
//! older tables. A step only adds: rows that must be counted anew come from the captures, by another ingest.

use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;

use crate::commits::{self, Commit, Snapshot};
use crate::delta;
use crate::schema::{COMMITS, FINGERPRINTS, PLACES, PROBES, REQUESTS, Table};
use crate::{Data, StoreError};

/// One change of the declarations.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// A table that was not there before.
    AddTable(&'static Table),
    /// Nullable columns that the declaration of the table has now; those that the stored one lacks are added.
    AddColumns(&'static Table),
}

/// What leads to one version of the declarations from the one before.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The version that it leads to.
    pub to: i32,
    /// What changes, in order.
    pub changes: &'static [Change],
}

/// All steps, in order. Version 1 is where the tables began.
pub const STEPS: &[Step] = &[Step {
    to: 2,
    changes: &[
        Change::AddColumns(&PROBES),
        Change::AddTable(&REQUESTS),
        Change::AddTable(&FINGERPRINTS),
        Change::AddTable(&PLACES),
        Change::AddColumns(&COMMITS),
    ],
}];

/// Takes the tables of `base` through the steps that they lack, as one commit; `None` where there is nothing to do.
///
/// Killed on the way it leaves the tables as they were: readers see the versions that the last commit names, and adding
/// a column twice adds it once.
///
/// # Errors
/// When a table cannot be changed, or another commit came first ([`StoreError::Conflict`]).
pub async fn migrate(data: &Data, base: &Snapshot, steps: &[Step]) -> Result<Option<Commit>, StoreError> {
    let missing: Vec<&Step> = steps.iter().filter(|step| step.to > base.commit.schema_version).collect();
    let Some(last) = missing.last() else { return Ok(None) };
    let mut commit = Commit {
        version: base.commit.version + 1,
        schema_version: last.to,
        program: concat!("trapline ", env!("CARGO_PKG_VERSION")).into(),
        arguments: vec!["migration".into()],
        started_us: chrono::Utc::now().timestamp_micros(),
        packets: 0,
        over_limit: 0,
        untold: 0,
        ..base.commit.clone()
    };
    let mut base = base.clone();
    for change in missing.iter().flat_map(|step| step.changes) {
        let (table, version) = match change {
            Change::AddTable(table) => (table, add_table(data, table).await?),
            Change::AddColumns(table) => (table, add_columns(data, table).await?),
        };
        if table.name == COMMITS.name {
            // Its own new version is the one to build on, as long as nobody put a row into it meanwhile.
            base = base.moved_to(version).await?;
        } else {
            commit.tables.insert(table.name.into(), version);
        }
    }
    commit.finished_us = chrono::Utc::now().timestamp_micros();
    commits::append(data, Some(&base), &commit).await?;
    Ok(Some(commit))
}

async fn add_table(data: &Data, table: &'static Table) -> Result<delta::Version, StoreError> {
    if !delta::exists(data, table).await? {
        delta::create(data, table).await?;
    }
    Ok(delta::open(data, table, None).await?.version().unwrap_or_default())
}

async fn add_columns(data: &Data, table: &'static Table) -> Result<delta::Version, StoreError> {
    let failed = |cause| StoreError::Delta { table: table.name, cause: Box::new(cause) };
    let stored = delta::open(data, table, None).await?;
    let known = stored.snapshot().map_err(failed)?.schema();
    let declared: StructType = table.schema().as_ref().try_into_kernel()?;
    let new: Vec<_> = declared.fields().filter(|f| known.field(f.name()).is_none()).cloned().collect();
    if new.is_empty() {
        return Ok(stored.version().unwrap_or_default());
    }
    let changed = stored.add_columns().with_fields(new).await.map_err(failed)?;
    Ok(changed.version().unwrap_or_default())
}
