//! Where values come from (01 §15.2).

use std::fmt;

use super::behavior::{Behavior, KEYS, Key};
use super::error::ConfigError;
use super::files;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody has said anything.
    Default,
    /// This variable of the environment.
    Environment(&'static str),
    /// The text of this flag.
    Text(&'static str),
    /// The file of this path, as written.
    File(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Environment(variable) => write!(f, "environment {variable}"),
            Origin::Text(flag) => f.write_str(flag),
            Origin::File(path) => write!(f, "file {path}"),
        }
    }
}

/// Where the text of `-z` stands: in a file, or in itself.
///
/// # Errors
/// When its file cannot be read.
pub fn of_cluster(text: &str) -> Result<Origin, ConfigError> {
    let text = files::substitute(text, &files::base()).map_err(ConfigError::UnreadableCluster)?;
    Ok(text.file.map_or(Origin::Text("-z"), Origin::File))
}

/// Where the value of each key comes from, in the order of the table.
///
/// # Errors
/// When the file of the text cannot be read.
pub fn of_keys(
    text: Option<&str>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(&'static Key, Origin)>, ConfigError> {
    let text = files::substitute(text.unwrap_or(""), &files::base()).map_err(ConfigError::UnreadableBehavior)?;
    let (_, _, set) = Behavior::default().with_keys(&text.text);
    let here = text.file.map_or(Origin::Text("-Z"), Origin::File);
    let origin = |key: &'static Key| match key.variable().filter(|variable| env(variable).is_some()) {
        _ if set.contains(&key.name) => here.clone(),
        Some(variable) => Origin::Environment(variable),
        None => Origin::Default,
    };
    Ok(KEYS.iter().map(|key| (key, origin(key))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_keys_come_from() {
        let env = |name: &str| (name == "MOXI_SASL_PLAIN_USR").then(|| "fred".to_owned());
        let of = |text: &str, key: &str| {
            let all = of_keys(Some(text), &env).unwrap();
            assert_eq!(all.len(), KEYS.len());
            all.into_iter().find(|(found, _)| found.name == key).map(|(_, origin)| origin.to_string()).unwrap()
        };
        assert_eq!(of("concurrency=5", "downstream_max"), "-Z");
        assert_eq!(of("conn=5", "connect_timeout"), "-Z");
        assert_eq!(of("cycle=5s,frob=1", "cycle"), "default");
        assert_eq!(of("cycle=5", "usr"), "environment MOXI_SASL_PLAIN_USR");
        assert_eq!(of("usr=joe", "usr"), "-Z");
        assert_eq!(of("usr=joe", "pwd"), "default");
    }
}
