//! A static configuration file that has changed: from what is in force and its text to what is to be in force.
//!
//! The C program had to be restarted for this. Sections are told apart by their ports: a port that stays keeps its
//! bucket, with its clients; the bucket of a port that is gone is shut down, and revived if the port comes back.

use std::sync::Arc;

use super::behavior::Behavior;
use super::cluster::{self, Form};
use super::error::ConfigError;
use super::files::Source;
use super::load::{Section, buckets};
use super::snapshot::{BucketConfig, Config, Tally};

/// What a file leads to.
#[derive(Clone, Debug)]
pub struct Reread {
    /// What is to be in force now. What has not changed is the same `Arc` as before.
    pub config: Config,
    /// The ports to listen on, in the order of the file.
    pub sections: Vec<Section>,
}

/// The configuration after `file` was read again. `behavior` is what `-Z` says.
///
/// # Errors
/// When the file cannot be used. Nothing is to be changed then.
pub fn reread(current: &Config, file: &Source, behavior: &Arc<Behavior>) -> Result<Reread, ConfigError> {
    let text = file.read().map_err(ConfigError::UnreadableCluster)?.without_comments();
    if cluster::form(&text.text) != Form::Static {
        return Err(ConfigError::NotStatic);
    }
    Ok(applied(current, buckets(&text, behavior)?))
}

/// The configuration after a file could not be used: the same, and one failure more.
pub fn failed(current: &Config) -> Config {
    let mut config = current.clone();
    Tally::count(&mut config.tally.configs);
    Tally::count(&mut config.tally.config_fails);
    config
}

fn applied(current: &Config, wanted: Vec<BucketConfig>) -> Reread {
    let mut config = current.clone();
    let Config { buckets, versions, tally, .. } = &mut config;
    Tally::count(&mut tally.configs);
    versions.resize(buckets.len(), 0);
    let version = versions.iter().max().map_or(1, |highest| highest.saturating_add(1));
    for (bucket, bucket_version) in buckets.iter_mut().zip(&mut *versions) {
        if bucket.is_live() && !wanted.iter().any(|wanted| wanted.port == bucket.port) {
            *bucket = Arc::new(bucket.shut_down());
            *bucket_version = version;
            Tally::count(&mut tally.shutdowns);
        }
    }
    let mut sections = Vec::new();
    for wanted in wanted {
        let port = wanted.port;
        let known = buckets.iter_mut().zip(&mut *versions).enumerate().find(|(_, (bucket, _))| bucket.port == port);
        let index = match known {
            Some((index, (bucket, bucket_version))) => {
                Tally::count(&mut tally.existings);
                *bucket_version = version;
                if !bucket.is_same(&wanted) {
                    *bucket = Arc::new(wanted);
                }
                index
            }
            None => {
                Tally::count(&mut tally.starts);
                let index = buckets.len();
                buckets.push(Arc::new(wanted));
                versions.push(version);
                index
            }
        };
        sections.push(Section { port, bucket: index });
    }
    Reread { config, sections }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::files::Text;

    fn sections(text: &str) -> Vec<BucketConfig> {
        buckets(&Text { text: text.to_owned(), file: None }, &Arc::default()).unwrap()
    }

    fn shown(config: &Config) -> Vec<(u16, String, u64)> {
        let buckets = config.buckets.iter().zip(&config.versions);
        buckets.map(|(bucket, version)| (bucket.port, bucket.text.clone(), *version)).collect()
    }

    #[test]
    fn ports_stay_go_come_and_come_back() {
        let first = applied(&Config::default(), sections("1=a;2=b")).config;
        let again = applied(&first, sections("3=c;1=x"));
        let bucket = |port, bucket| Section { port, bucket };
        assert_eq!(again.sections, [bucket(3, 2), bucket(1, 0)]);
        let second = again.config;
        assert_eq!(shown(&second), [(1, "x".into(), 2), (2, String::new(), 2), (3, "c".into(), 2)]);
        assert!(!second.buckets[1].is_live() && !second.buckets[1].is_null);
        let third = applied(&second, sections("1=x;2=b")).config;
        assert_eq!(shown(&third), [(1, "x".into(), 3), (2, "b".into(), 3), (3, String::new(), 3)]);
        assert!(Arc::ptr_eq(&third.buckets[0], &second.buckets[0]), "nothing has changed");
        assert_eq!(third.tally, Tally { configs: 3, config_fails: 0, starts: 3, existings: 3, shutdowns: 2 });
    }

    #[test]
    fn files_that_cannot_be_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cfg").to_str().unwrap().to_owned();
        for (text, want) in [
            ("1=a;1=b", format!("bad moxi config, port 1 is used twice (sections 1 and 2) in {path}")),
            ("url=http://a/", "bad moxi config, no PORT=SERVERS any more (URLs need a restart)".to_owned()),
            ("conf/x", format!("bad moxi config, missing = (section 1) in {path}")),
            ("", format!("ERROR: could not read cfg file: {path} (it is empty)")),
        ] {
            std::fs::write(&path, text).unwrap();
            let file = Source::new(&path, std::path::Path::new("")).unwrap();
            let error = reread(&Config::default(), &file, &Arc::default()).expect_err(text);
            assert_eq!(error.to_string(), want);
        }
        assert_eq!(failed(&Config::default()).tally, Tally { configs: 1, config_fails: 1, ..Tally::default() });
    }
}
