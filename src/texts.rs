//! The options' texts on their way to configuration: which of them count, and what the environment adds (01 §6, §9).

use crate::builtin;
use crate::cli::Options;
use crate::config::{self, ConfigError, Loaded, mcmux};
use crate::failure::{Failure, GENERAL};

/// What is said of a word of the command line that is no flag, and of no use.
pub const STRAY: &str =
    "WARNING: the last word of the command line is not used as cluster configuration: files need -z";

/// The cluster configuration to serve, if there is one.
///
/// # Errors
/// When there would be nothing to serve at all.
pub fn cluster(options: &Options) -> Result<Option<&str>, Failure> {
    let cluster = options.cluster.as_deref().filter(|text| !text.is_empty() && !options.mcmux);
    if cluster.is_none() && !options.mcmux && !builtin::is_wanted(options, false) {
        return Err(Failure::new(GENERAL, "ERROR: need cluster configuration. See usage (-h)."));
    }
    Ok(cluster)
}

/// Reads the texts: `cluster` of [`cluster()`], and `behavior`, that of `-Z`.
///
/// # Errors
/// When the program cannot start with them.
pub fn load(options: &Options, cluster: Option<&str>, behavior: Option<&str>) -> Result<Loaded, ConfigError> {
    match cluster {
        _ if options.mcmux => mcmux::load_mcmux(builtin::mcmux_port(options), behavior, &environment),
        Some(cluster) => config::load(cluster, behavior, &environment),
        None => Ok(config::load_alone(behavior, &environment)),
    }
}

/// A variable of the environment. What is not UTF-8 in it is replaced.
pub fn environment(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}
