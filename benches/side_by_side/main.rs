//! The side-by-side benchmark: moxi, its peers, memcached alone and an echo, under the same loads, in one run.
//!
//! `benches/run` builds what is needed and starts it; `benches/README.md` says what it shows and how to read it.

mod chart;
mod echo;
mod histogram;
mod keys;
mod load;
mod machine;
mod measure;
mod plan;
mod process;
mod programs;
mod reply;
mod request;
mod results;
mod table;
mod workload;

use std::path::Path;
use std::process::ExitCode;

use measure::Subject;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use plan::Plan;
use process::Counter;
use programs::{Program, is_in_path};
use results::{Cell, Results, Row};
use workload::Workload;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--echo", port] => port
            .parse()
            .map_err(|_| "no port".to_owned())
            .and_then(|port| echo::serve(port).map_err(|error| error.to_string())),
        // How `cargo bench` starts it. Without that word it is `cargo test --benches`, which is to be quick.
        [.., "--bench"] | ["--bench", ..] => Plan::from_environment().and_then(|plan| run(&plan)),
        _ => {
            println!("start it with benches/run");
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: &Plan) -> Result<(), String> {
    if !is_in_path("memcached") {
        return Err("memcached is not installed".to_owned());
    }
    let mut programs = Program::all(&plan.peers)?;
    let names: Vec<String> = programs.iter().map(|program| program.name.clone()).collect();
    programs.retain(|program| plan.wants(&program.name, &names));
    raise_open_files();
    std::fs::create_dir_all(&plan.out).map_err(|error| format!("{}: {error}", plan.out.display()))?;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let counter = Counter::find();
    let mut results = Results {
        programs: programs.iter().map(|program| program.name.clone()).collect(),
        rows: Vec::new(),
        machine: machine::description(),
        versions: machine::versions(),
    };
    println!("{}; system calls counted with {counter:?}", results.machine);
    for workload in &plan.workloads {
        let cells = compare(&programs, workload, plan, counter, directory.path());
        let row = Row { workload: *workload, cells };
        println!("{}", table::detail(&results, &row));
        results.rows.push(row);
    }
    let overview = table::overview(&results);
    println!("{overview}");
    let json = serde_json::to_string_pretty(&results.json()).map_err(|error| error.to_string())?;
    Results::save(&plan.out, "results.json", &json)?;
    Results::save(&plan.out, "table.md", &overview)?;
    Results::save(&plan.out, "chart.svg", &chart::svg(&results))?;
    println!("saved: results.json, table.md, chart.svg in {}", plan.out.display());
    Ok(())
}

/// Measures all programs under one workload, in turns, so that whatever else the machine does meets all of them.
fn compare(
    programs: &[Program],
    workload: &Workload,
    plan: &Plan,
    counter: Option<Counter>,
    directory: &Path,
) -> Vec<Option<Cell>> {
    let mut subjects: Vec<Result<Option<Subject>, String>> =
        programs.iter().map(|program| Subject::start(program, workload, directory)).collect();
    let keys = workload.keys_per_get;
    let mut each = |step: &dyn Fn(&mut Subject) -> Result<(), String>| {
        for place in &mut subjects {
            if let Ok(Some(subject)) = place
                && let Err(error) = step(subject)
            {
                *place = Err(error);
            }
        }
    };
    for _ in 0..plan.rounds {
        each(&|subject| subject.sample(plan.time, keys));
    }
    if let Some(counter) = counter {
        each(&|subject| subject.count_calls(counter, plan.time / 2, keys, directory));
    }
    let cell = |subject| match subject {
        Ok(subject) => Option::map(subject, |subject: Subject| subject.cell),
        Err(error) => Some(Cell { failure: Some(error), ..Cell::default() }),
    };
    subjects.into_iter().map(cell).collect()
}

/// Thousands of connections need as many files; the programs that are started inherit the limit.
fn raise_open_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}
