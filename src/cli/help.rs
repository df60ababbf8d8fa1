//! The text of `-h` (01 §15): usage, the cluster configuration, the flags, the main `-Z` keys, two examples.

use std::fmt::Write as _;

use super::VERSION;
use super::flags::{FLAGS, Flag};
use crate::config::behavior::{KEYS, Key, Unit};

/// Where the description of a flag begins.
const COLUMN: usize = 18;
/// Where lines end.
const WIDTH: usize = 79;

/// The whole text.
pub fn text() -> String {
    let mut text = format!("moxi {VERSION}\n\n{USAGE}\nFlags:\n\n");
    for flag in FLAGS {
        describe(&mut text, flag);
    }
    text.push_str("\nKeys of -Z, with their defaults:\n\n");
    for name in MAIN_KEYS {
        if let Some(key) = Key::find(name) {
            describe_key(&mut text, name, key);
        }
    }
    text.push_str("\nFurther keys of -Z, seldom needed:\n\n");
    for key in KEYS.iter().filter(|key| !MAIN_KEYS.iter().any(|name| key.is_called(name))) {
        describe_key(&mut text, key.name, key);
    }
    text.push_str(EXAMPLES);
    text.push_str("\nFeatures:\n\n");
    wrap(&mut text, &super::features(), 2, 2);
    text
}

fn describe(text: &mut String, flag: &Flag) {
    let short = flag.short().map(|letter| format!("-{letter}"));
    let long = flag.name.map(|name| format!("--{name}"));
    let mut form = short.into_iter().chain(long).collect::<Vec<_>>().join(", ");
    let _ = match flag.argument() {
        Some((argument, true)) => write!(form, " <{argument}>"),
        Some((argument, false)) => write!(form, "[=<{argument}>]"),
        None => Ok(()),
    };
    let mut help = String::new();
    if flag.deprecated {
        help.push_str("[deprecated] ");
    }
    help.push_str(flag.help);
    if !flag.default.is_empty() {
        let _ = write!(help, " (default: {})", flag.default);
    }
    entry(text, &form, &help);
    for (form, help) in flag.also {
        entry(text, form, help);
    }
}

fn entry(text: &mut String, form: &str, help: &str) {
    text.push_str(form);
    let mut column = form.len();
    if column >= COLUMN {
        text.push('\n');
        column = 0;
    }
    wrap(text, help, COLUMN - column, COLUMN);
}

/// Appends `words`, its first line indented by `first` more columns than the text has, the others by `rest`.
fn wrap(text: &mut String, words: &str, first: usize, rest: usize) {
    text.extend(std::iter::repeat_n(' ', first));
    let mut column = rest;
    for word in words.split(' ') {
        if column > rest && column + 1 + word.len() > WIDTH {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', rest));
            column = rest;
        }
        if column > rest {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.len();
    }
    text.push('\n');
}

const USAGE: &str = "\
Usage:
  moxi [FLAGS] URL1[,URL2[,URLn]]
  moxi [FLAGS] -z url=URL1[,URL2[,URLn]]
  moxi [FLAGS] -z LOCAL_PORT=MCHOST[:MCPORT][,MCHOST2[:MCPORT2][,*]]

The cluster configuration says where the servers are.

  As URLs of a cluster manager, from which moxi also learns of every change:
      http://127.0.0.1:8091/pools/default/bucketsStreaming/default
  Several URLs are separated by commas, without blanks, and tried in turn. The
  last word of the command line may hold them in place of -z.

  As a list of memcached servers, over which keys are spread by ketama hashing:
      -z 11211=mc_server1:11211,mc_server2:11211

  As a file that holds one of these, by its absolute path or one that begins
  with ./
      -z /etc/moxi.conf
      -z ./moxi.conf
";

/// The keys that most installations set, by the names they are known under, in the order of the C program (01 §15).
const MAIN_KEYS: [&str; 15] = [
    "port_listen",
    "usr",
    "pwd",
    "default_bucket_name",
    "concurrency",
    "wait_queue_timeout",
    "connect_timeout",
    "auth_timeout",
    "connect_max_errors",
    "connect_retry_interval",
    "downstream_conn_max",
    "downstream_conn_queue_timeout",
    "downstream_timeout",
    "cycle",
    "mcs_opts",
];

/// Appends a `-Z` key under one of its names, with its default.
fn describe_key(text: &mut String, name: &str, key: &Key) {
    let _ = writeln!(text, "  {name}={}", key.default_text());
    let mut help = key.help.to_owned();
    match key.unit {
        Unit::Milliseconds => help.push_str(" In milliseconds."),
        Unit::Bytes => help.push_str(" In bytes."),
        Unit::None => {}
    }
    if let Some(variable) = key.variable() {
        let _ = write!(help, " By default the value of the environment variable {variable}.");
    }
    wrap(text, &help, 6, 6);
}

const EXAMPLES: &str = "
Examples:

  A gateway to all buckets of a cluster, on port 11311; clients choose theirs
  by authenticating:

  moxi -Z port_listen=11311,default_bucket_name=default,concurrency=1024,\\
wait_queue_timeout=200,connect_timeout=400,connect_max_errors=3,\\
connect_retry_interval=30000,auth_timeout=100,downstream_conn_max=16,\\
downstream_timeout=5000,cycle=200 \\
    http://127.0.0.1:8091/pools/default/saslBucketsStreaming

  One bucket, on port 11411:

  moxi -Z port_listen=11411,concurrency=1024,\\
wait_queue_timeout=200,connect_timeout=400,connect_max_errors=3,\\
connect_retry_interval=30000,auth_timeout=100,downstream_conn_max=16,\\
downstream_timeout=5000,cycle=200 \\
    http://127.0.0.1:8091/pools/default/bucketsStreaming/default
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::behavior::Behavior;
    use crate::protocol::Protocol;

    #[test]
    fn begins_with_name_and_version() {
        assert!(text().starts_with(&format!("moxi {VERSION}\n\nUsage:\n  moxi [FLAGS] URL1")));
    }

    #[test]
    fn every_flag_has_a_line_and_no_line_is_too_long() {
        let text = text();
        for flag in FLAGS {
            assert!(!flag.help.is_empty());
            let form =
                flag.short().map_or_else(|| format!("--{}", flag.name.unwrap_or_default()), |it| format!("-{it}"));
            assert!(text.contains(&format!("\n{form}")), "{form} is missing");
        }
        for line in text.lines() {
            assert!(line.len() <= WIDTH, "{line}");
            assert_eq!(line, line.trim_end(), "blanks at the end: {line:?}");
        }
    }

    #[test]
    fn flags_and_keys_come_in_the_order_of_the_c_program() {
        let text = text();
        let order = [
            "-Z", "-u", "-c", "-v", "-vv", "-vvv", "-h", "-i", "-a", "-l", "-d", "-P", "-t", "-R", "-b", "-B", "-Y",
            "-s", "-p", "-U", "-k", "-m", "-M", "-r", "-f", "-n", "-L", "-D", "-C", "-O", "-X",
        ];
        let mut at = 0;
        for flag in order {
            let found = text[at..].find(&format!("\n{flag}")).unwrap_or_else(|| panic!("{flag}"));
            at += found + 1;
        }
        for key in [
            "port_listen=11211",
            "usr=",
            "pwd=",
            "default_bucket_name=[ <FIRST_BUCKET> ]",
            "concurrency=1024",
            "wait_queue_timeout=200",
            "connect_timeout=400",
            "auth_timeout=100",
            "connect_max_errors=5",
            "connect_retry_interval=30000",
            "downstream_conn_max=4",
            "downstream_conn_queue_timeout=200",
            "downstream_timeout=5000",
            "cycle=200",
            "mcs_opts=",
        ] {
            at += text[at..].find(&format!("\n  {key}\n")).unwrap_or_else(|| panic!("{key}"));
        }
    }

    #[test]
    fn every_key_is_there_once() {
        let text = text();
        for key in KEYS {
            let lines = text.lines().filter(|line| {
                let name = line.strip_prefix("  ").and_then(|line| line.split_once('='));
                name.is_some_and(|(name, _)| key.is_called(name))
            });
            assert_eq!(lines.count(), 1, "{}", key.name);
        }
        assert_eq!(Behavior::default().downstream_protocol, Protocol::Binary);
        assert!(text.contains("\n  downstream_protocol=binary\n"));
    }
}
