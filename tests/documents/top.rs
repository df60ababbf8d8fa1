//! The output of `moxi-top` that README and manual show is what it makes of the statistics in `tests/data/top`, which were
//! recorded, a second apart.

use std::fs;
use std::path::Path;
use std::time::Duration;

use moxi::top::{Change, Sample, lines};

use super::README;
use super::manual::blocks;

const PAGE: &str = include_str!("../../man/moxi-top.1");

fn recorded(seconds: u64, name: &str) -> Sample {
    let read = |what: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/top");
        fs::read(folder.join(format!("{name}{what}.txt"))).expect(name)
    };
    let mut sample = Sample::parse(Duration::from_secs(seconds), &read("")).expect("statistics");
    assert!(sample.has_timings());
    sample.add_timings(&read("-timings")).expect("timings");
    sample
}

#[test]
fn what_was_recorded_is_shown_so() {
    let (before, now) = (recorded(1, "before"), recorded(2, "now"));
    let shown = lines("127.0.0.1:11211", &Change::new(Some(&before), &now)).join("\n") + "\n";
    let shown = format!("$ moxi-top --once\n{shown}");
    let indented: String =
        shown.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") }).collect();
    assert!(README.contains(&format!("\n\n{indented}\n")), "{indented}");
    assert_eq!(blocks(PAGE, "recorded"), [shown.as_str()]);
}
