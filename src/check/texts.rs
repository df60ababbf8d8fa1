//! Flags, `-Z`, `-z` and the files that they name. What a start only warns of is a mistake here.

use crate::cli::Options;
use crate::config::{self, ConfigError, Loaded, is_complaint};
use crate::texts;

/// Reads the texts. `None` if a start could not.
pub(super) fn read(options: &Options, problems: &mut Vec<String>) -> Option<Loaded> {
    if options.stray_operand {
        problems.push(texts::STRAY.to_owned());
    }
    let behavior = options.behavior.as_deref();
    let is_good = match config::load_behavior(behavior, &texts::environment) {
        Ok((_, log)) => {
            note(log, problems);
            true
        }
        Err(error) => {
            note(lines(&error), problems);
            false
        }
    };
    let cluster = texts::cluster(options).map_err(|failure| problems.push(failure.to_string())).ok()?;
    // Behind a bad -Z there may be a bad -z.
    match texts::load(options, cluster, behavior.filter(|_| is_good)) {
        Ok(loaded) => {
            note(loaded.log.clone(), problems);
            is_good.then_some(loaded)
        }
        Err(error) => {
            note(lines(&error), problems);
            None
        }
    }
}

/// Adds what is new.
fn note(lines: Vec<String>, problems: &mut Vec<String>) {
    for line in lines {
        if is_complaint(&line) && !problems.contains(&line) {
            problems.push(line);
        }
    }
}

fn lines(error: &ConfigError) -> Vec<String> {
    match error {
        ConfigError::Strict { complaints } => complaints.clone(),
        error => vec![error.to_string()],
    }
}
