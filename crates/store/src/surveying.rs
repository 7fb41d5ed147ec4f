//! The first reading of all inputs of an ingest, in parallel.

use std::sync::Arc;

use trapline_intake::infer::Pairs;
use trapline_intake::survey::{Survey, survey};
use trapline_intake::{Input, Progress};

use crate::StoreError;
use crate::ingest::{Stage, Watch};

/// What the first reading of all inputs showed.
pub(crate) struct Surveyed {
    /// What could be read, in the order of the inputs.
    pub surveys: Vec<Survey>,
    /// Who spoke with whom, where hosts are to be inferred.
    pub pairs: Pairs,
    /// What could not be read, or not to its end.
    pub findings: Vec<String>,
}

/// Surveys all inputs; a damaged one is a finding, a stopped reading an error.
pub(crate) async fn survey_all(
    inputs: &[Input],
    infer: bool,
    threads: usize,
    watch: &Watch,
) -> Result<Surveyed, StoreError> {
    let (inputs, watch) = (inputs.to_vec(), Arc::clone(watch));
    let work = move || survey_parallel(&inputs, infer, threads, &watch);
    tokio::task::spawn_blocking(work).await.expect("surveying does not panic")
}

fn survey_parallel(
    inputs: &[Input],
    infer: bool,
    threads: usize,
    watch: &Watch,
) -> Result<Surveyed, StoreError> {
    use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
    let total: u64 = inputs.iter().map(Input::stored_len).sum();
    let (next, bytes, packets, stop) =
        (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let one = |input: &Input| {
        let mut pairs = infer.then(Pairs::default);
        let mut before = (0, 0);
        let result = survey(input, pairs.as_mut(), &mut |b, p| {
            let bytes = bytes.fetch_add(b - before.0, Relaxed) + b - before.0;
            let packets = packets.fetch_add(p - before.1, Relaxed) + p - before.1;
            before = (b, p);
            if !watch(Stage::Survey, Progress { bytes, packets }, total) {
                stop.store(true, Relaxed);
            }
            !stop.load(Relaxed)
        });
        (result, pairs)
    };
    let worker = || {
        let mut done = Vec::new();
        while let Some((i, input)) = Some(next.fetch_add(1, Relaxed)).and_then(|i| Some((i, inputs.get(i)?)))
        {
            done.push((i, one(input)));
        }
        done
    };
    let workers = threads.clamp(1, inputs.len().max(1));
    let mut results: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        handles.into_iter().flat_map(|h| h.join().expect("surveying does not panic")).collect()
    });
    if stop.load(Relaxed) {
        return Err(StoreError::Stopped);
    }
    results.sort_by_key(|(i, _)| *i);
    let mut surveyed = Surveyed { surveys: Vec::new(), pairs: Pairs::default(), findings: Vec::new() };
    for (i, (result, pairs)) in results {
        match result {
            Ok(survey) => {
                if let Some(stopped) = &survey.stopped {
                    surveyed.findings.push(format!("{}: {stopped}; {}", survey.input.name, kept(&survey)));
                }
                if let Some(pairs) = pairs {
                    surveyed.pairs.absorb(pairs, survey.id());
                }
                if survey.is_capture() {
                    surveyed.surveys.push(survey);
                }
            }
            Err(error) => surveyed.findings.push(format!("{}: {error}", inputs[i].name)),
        }
    }
    Ok(surveyed)
}

fn kept(survey: &Survey) -> String {
    match survey.frames {
        0 => "nothing of it was kept".into(),
        1 => "the packet before was kept".into(),
        n => format!("the {n} packets before were kept"),
    }
}
