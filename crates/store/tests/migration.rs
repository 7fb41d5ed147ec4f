//! Tables of an older declaration are taken to the next one and keep their rows; tables of a newer one are refused.

use std::sync::{Arc, LazyLock};

use trapline_intake::{Input, Platform};
use trapline_store::ingest::Hosts;
use trapline_store::migrate::{Change, STEPS, Step, migrate};
use trapline_store::scan::{KEEP_BYTES, PinnedTable};
use trapline_store::schema::{COMMITS, Column, Kind, SCHEMA_VERSION, SOURCES, Table};
use trapline_store::{Data, Engine, Enrichers, IngestRequest, Snapshot, Span, StoreError, ingest};
use trapline_testing::packets::{names, parse, pcap};
use trapline_testing::random::{PLATFORM, lines};

const MOOD: Column =
    Column { name: "mood", kind: Kind::Text, nullable: true, unit: "", meaning: "a column of tomorrow" };

/// The table `sources` as a later version might declare it.
static LATER_SOURCES: LazyLock<&'static Table> = LazyLock::new(|| {
    let columns: Vec<Column> = SOURCES.columns.iter().copied().chain([MOOD]).collect();
    Box::leak(Box::new(Table {
        name: SOURCES.name,
        row: SOURCES.row,
        by_day: true,
        columns: Vec::leak(columns),
    }))
});

/// The table `commits` likewise: the one in which the migration itself is a row.
static LATER_COMMITS: LazyLock<&'static Table> = LazyLock::new(|| {
    let columns: Vec<Column> = COMMITS.columns.iter().copied().chain([MOOD]).collect();
    Box::leak(Box::new(Table { columns: Vec::leak(columns), ..COMMITS }))
});

/// A table that a later version might add.
static MOODS: Table = Table { name: "moods", row: "a mood", by_day: false, columns: &[MOOD] };

#[test]
fn every_version_has_its_step() {
    let mut reached = 1;
    for step in STEPS {
        assert_eq!(step.to, reached + 1);
        reached = step.to;
    }
    assert_eq!(reached, SCHEMA_VERSION);
}

#[tokio::test(flavor = "multi_thread")]
async fn older_tables_keep_their_rows_and_newer_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("a.pcap");
    std::fs::write(&capture, pcap(&parse(&lines(1, 100), &names(PLATFORM)))).unwrap();
    let data = Data::at(&folder.path().join("tables").display().to_string()).unwrap();
    let request = || IngestRequest {
        data: data.clone(),
        inputs: vec![Input::file(&capture)],
        hosts: Hosts::Given(Platform::parse(PLATFORM).unwrap()),
        threads: 1,
        arguments: Vec::new(),
        dry_run: false,
        enrichers: Arc::new(Enrichers::built_in()),
    };
    ingest(request(), Arc::new(|_, _, _| true)).await.unwrap();
    let old = Snapshot::latest(&data).await.unwrap().unwrap();
    let count = |snapshot: Snapshot, table: &'static Table| async move {
        let engine = Engine::bare(1);
        engine
            .context()
            .runtime_env()
            .register_object_store(&snapshot.data.url, Arc::clone(&snapshot.data.root));
        let pinned = PinnedTable::new(Arc::new(snapshot), table, Span::default(), KEEP_BYTES);
        engine.context().register_table("t", Arc::new(pinned)).unwrap();
        let rows = engine.collect("select count(*) as n, count(mood) as moods from t").await.unwrap();
        format!("{:?}", rows.columns())
    };
    // What is not there yet reads as null before any migration.
    let before = count(old.clone(), *LATER_SOURCES).await;
    let changes: &'static [Change] = vec![
        Change::AddColumns(*LATER_SOURCES),
        Change::AddTable(&MOODS),
        Change::AddColumns(*LATER_COMMITS),
    ]
    .leak();
    let steps = [Step { to: SCHEMA_VERSION + 1, changes }];
    let commit = migrate(&data, &old, &steps).await.unwrap().unwrap();
    assert_eq!((commit.version, commit.schema_version), (2, SCHEMA_VERSION + 1));
    let new = Snapshot::latest_up_to(&data, SCHEMA_VERSION + 1).await.unwrap().unwrap();
    assert_eq!(count(new.clone(), *LATER_SOURCES).await, before);
    assert!(new.files(&MOODS).await.unwrap().0.is_empty());
    assert!(migrate(&data, &new, &steps).await.unwrap().is_none(), "nothing left to do");
    // A second migration from the same beginning is too late, and so is a program that does not know the new version.
    assert!(matches!(migrate(&data, &old, &steps).await, Err(StoreError::Conflict)));
    let refused = ingest(request(), Arc::new(|_, _, _| true)).await;
    assert!(
        matches!(refused, Err(StoreError::Newer { found, .. }) if found == SCHEMA_VERSION + 1),
        "{refused:?}"
    );
}
