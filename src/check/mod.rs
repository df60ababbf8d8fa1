//! Looking before leaping (01 §15.1, §15.2): what a start with these options would do, and what would be in its way.
//!
//! | file | what |
//! |---|---|
//! | `texts` | flags, `-Z`, `-z` and the files that they name; nothing is forgiven |
//! | `places` | what a start needs of this machine: ports, socket, user, limits, files |
//! | `managers` | cluster managers, for one document each |
//! | `servers` | servers, for their versions |
//! | `table` | what would be served |
//! | [`effective`] | `--print-config`: every setting, and where it comes from |
//!
//! Nothing is started or written. Ports are bound for a moment, the rest is only looked at.

pub mod effective;
mod managers;
mod places;
mod servers;
mod table;
mod texts;

use crate::cli::{Depth, Options};

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What would be served, line by line, each with its end; empty if the texts are of no use.
    pub table: String,
    /// What is wrong, one line each, without secrets.
    pub problems: Vec<String>,
}

/// Checks `options`, as far as `depth` says. May take some seconds when it is [`Depth::Deep`].
pub fn run(options: &Options, depth: Depth) -> Report {
    let mut problems = Vec::new();
    let loaded = texts::read(options, &mut problems);
    places::look(options, loaded.as_ref(), &mut problems);
    let Some(loaded) = loaded else { return Report { table: String::new(), problems } };
    let is_deep = depth == Depth::Deep;
    let config = match is_deep {
        true => managers::ask(&loaded, &mut problems),
        false => (*loaded.config).clone(),
    };
    places::descriptors(options, &config, &mut problems);
    let mut rows = table::rows(options, &loaded, &config);
    if is_deep {
        servers::ask(options, &loaded, &mut rows, &mut problems);
    }
    Report { table: table::render(&rows, is_deep), problems }
}
