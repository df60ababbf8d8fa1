//! Every entry point over its seeds and some thousands of inputs made of them, the same ones each time.
//!
//! * `MOXI_FUZZ_SEED=n`: other ones.
//! * `MOXI_FUZZ_INPUTS=n`: so many for each entry point; `MOXI_FUZZ_SECONDS=n`: for so long each.
//! * `MOXI_FUZZ_TARGET=name`: this entry point alone.
//! * `MOXI_FUZZ_INPUT=hex`: with this input alone.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use moxi_fuzzing::replay::{self, Until};
use moxi_fuzzing::{TARGETS, Target};

/// How many inputs each entry point gets; the whole takes some ten seconds.
const INPUTS: u64 = 3_000;
/// One that sets up more for each of them gets fewer.
const COSTLY: [(&str, u64); 5] =
    [("engine", 60), ("builtin", 200), ("behavior_texts", 300), ("ascii_replies", 800), ("documents", 1_500)];

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn chosen() -> Vec<&'static Target> {
    let name = std::env::var("MOXI_FUZZ_TARGET").ok();
    let chosen: Vec<_> = TARGETS.iter().filter(|target| name.as_ref().is_none_or(|name| name == target.name)).collect();
    assert!(!chosen.is_empty(), "MOXI_FUZZ_TARGET: there is no {name:?}");
    chosen
}

fn inputs(target: &Target) -> u64 {
    COSTLY.iter().find(|(name, _)| *name == target.name).map_or(INPUTS, |(_, inputs)| *inputs)
}

/// What must hold for each entry point is in its own comment.
#[test]
fn what_must_hold_does() {
    let targets = chosen();
    if let Ok(text) = std::env::var("MOXI_FUZZ_INPUT") {
        let input = replay::unhex(&text).expect("MOXI_FUZZ_INPUT: hexadecimal digits");
        for target in targets {
            replay::try_one(target, &input).unwrap_or_else(|failure| panic!("{failure}"));
        }
        return;
    }
    let seed = number("MOXI_FUZZ_SEED").unwrap_or(0);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failures = Vec::new();
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            let until = match number("MOXI_FUZZ_SECONDS") {
                Some(seconds) => Until::Moment(Instant::now() + Duration::from_secs(seconds)),
                None => Until::Inputs(number("MOXI_FUZZ_INPUTS").unwrap_or_else(|| inputs(target))),
            };
            let start = Instant::now();
            match replay::run(target, seed, until) {
                Ok(count) => println!("{}: {count} inputs in {:.1?}", target.name, start.elapsed()),
                Err(failure) => failures.push(failure.to_string()),
            }
        }
        failures
    };
    let failures: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker that does not panic")).collect()
    });
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

/// Whoever adds an entry point gives it seeds, a dictionary and a target of libFuzzer, and no seeds are left of others.
#[test]
fn every_entry_point_has_its_files() {
    let folder = replay::folder();
    let names = |under: &str, end: &str| -> Vec<String> {
        let entries = fs::read_dir(folder.join(under)).unwrap_or_else(|error| panic!("{under}: {error}"));
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
        names.iter_mut().for_each(|name| *name = name.strip_suffix(end).expect(end).to_owned());
        names.sort();
        names
    };
    let mut expected: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    expected.sort_unstable();
    for (under, end) in [("seeds", ""), ("dictionaries", ".dict"), ("fuzz_targets", ".rs")] {
        assert_eq!(names(under, end), expected, "{under}");
    }
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for target in TARGETS {
        assert!(!replay::seeds(target.name).is_empty() && !replay::words(target.name).is_empty(), "{}", target.name);
        assert!(manifest.contains(&format!("name = \"{}\"\n", target.name)), "{}", target.name);
        let text = fs::read_to_string(folder.join(format!("fuzz_targets/{}.rs", target.name))).unwrap();
        assert!(text.contains(&format!("targets::{}::target(data)", target.name)), "{}", target.name);
    }
}
