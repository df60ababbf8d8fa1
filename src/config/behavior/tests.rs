//! The behaviour parser as a whole, with the statements of the C program's own unit test (04 §18).

use proptest::prelude::*;

use super::*;
use crate::protocol::Protocol;

fn parse(text: &str) -> (Behavior, Vec<String>) {
    Behavior::default().with_text(text)
}

/// The settings, when nothing was to be logged.
fn quietly(text: &str) -> Behavior {
    let (behavior, log) = parse(text);
    assert!(log.is_empty(), "{text}: {log:?}");
    behavior
}

#[test]
fn one_key_with_blanks_anywhere() {
    let want = Behavior { downstream_max: 1, ..Behavior::default() };
    for text in [
        "downstream_max=1",
        " downstream_max = 1 ",
        "\tdownstream_max\t=\t1\t",
        "downstream_max\n\r\n =\n\n  1\n 11",
        "\n\ndownstream_max=1\n\n",
        "downstream_max= +1",
    ] {
        assert_eq!(quietly(text), want, "{text:?}");
    }
    assert_ne!(want, Behavior::default());
}

const MANY: &str = " ,,, cycle = 100 , downstream_max = 1, downstream_weight=2 ,downstream_retry=3,\
    downstream_protocol = binary,downstream_timeout=4, front_cache_max=5,front_cache_lifespan = 6,\
    front_cache_spec=aaa|bbb, front_cache_unspec=, key_stats_max=7,key_stats_lifespan=8,key_stats_spec=xxx|yyy,\
    key_stats_unspec=zzz,optimize_set=1|2|3, usr=user,pwd=pswd,host=hostname,port=4321, bucket=buck,,\
    port_listen=443322 , ,";

#[test]
fn many_keys() {
    let want = Behavior {
        cycle: 100,
        downstream_max: 1,
        downstream_weight: 2,
        downstream_retry: 3,
        downstream_timeout: 4,
        front_cache_max: 5,
        front_cache_lifespan: 6,
        front_cache_spec: "aaa|bbb".into(),
        key_stats_max: 7,
        key_stats_lifespan: 8,
        key_stats_spec: "xxx|yyy".into(),
        key_stats_unspec: "zzz".into(),
        optimize_set: "1|2|3".into(),
        usr: "user".into(),
        pwd: crate::config::snapshot::Secret::new("pswd"),
        host: "hostname".into(),
        port: 4321,
        bucket: "buck".into(),
        port_listen: 443_322,
        ..Behavior::default()
    };
    assert_eq!(quietly(MANY), want);
    let (behavior, log) = parse(&format!("{MANY},unknown_key=5"));
    assert_eq!(behavior, want);
    assert_eq!(log, ["ERROR: config error in key: unknown_key value: 5 (there is no such key)"]);
}

/// The C program sets numbers without a value to 0 and the protocol to ASCII; here they keep what they had.
#[test]
fn empty_values_reset_texts_only() {
    let before = quietly(MANY);
    let (after, log) = before.with_text("downstream_max=,port=,downstream_protocol=,usr=,pwd=,optimize_set=");
    assert_eq!((after.downstream_max, after.port), (1, 4321));
    assert_eq!(after.downstream_protocol, Protocol::Binary);
    assert!(after.usr.is_empty() && after.pwd.is_empty() && after.optimize_set.is_empty());
    assert_eq!(
        log,
        [
            "ERROR: config error in key: downstream_max value:  (it is a whole number)",
            "ERROR: config error in key: port value:  (it is a whole number)",
            "ERROR: config error in key: downstream_protocol value:  (it is ascii or binary)",
        ]
    );
}

#[test]
fn what_is_not_understood_is_logged_and_changes_nothing() {
    for (text, want) in [
        ("cycle=x", "ERROR: config error in key: cycle value: x (it is a number of milliseconds)"),
        ("cycle=-1", "ERROR: config error in key: cycle value: -1 (it is a number of milliseconds)"),
        (
            "downstream_timeout=1.5",
            "ERROR: config error in key: downstream_timeout value: 1.5 (it is a number of milliseconds)",
        ),
        ("cycle=4294967297", "ERROR: config error in key: cycle value: 4294967297 (it is a number of milliseconds)"),
        ("=5", "ERROR: config error in key:  value: 5 (no key)"),
        ("cycle", "ERROR: config error in key: cycle value: (null) (= is missing)"),
        ("nodeLocator=vbucket", "ERROR: config error in key: nodeLocator value: vbucket (there is no such key)"),
        ("protocol=telnet", "ERROR: config error in key: protocol value: telnet (it is ascii or binary)"),
        ("value_max=0", "ERROR: config error in key: value_max value: 0 (it is a whole number from 1 on)"),
        ("timeout=5s", "ERROR: config error in key: timeout value: 5s (it is a number of milliseconds)"),
        ("value_max=1M", "ERROR: config error in key: value_max value: 1M (it is a whole number from 1 on)"),
        ("time_stats=on", "ERROR: config error in key: time_stats value: on (it is 0 or 1)"),
        (
            "mcs_opts=bogus",
            "ERROR: config error in key: mcs_opts value: bogus \
             (it is distribution:ketama, distribution:ketama-weighted or distribution:modula)",
        ),
        ("a\nb", "ERROR: config error in key: a b value: (null) (= is missing)"),
    ] {
        assert_eq!(parse(text), (Behavior::default(), vec![want.to_owned()]), "{text}");
    }
    let (behavior, log) = parse("cycle=5,cycle=x");
    assert_eq!((behavior.cycle, log.len()), (5, 1));
}

#[test]
fn a_unit_behind_a_number_is_warned_of() {
    let (behavior, log) = parse("downstream_timeout=5 s");
    assert_eq!(behavior.downstream_timeout, 5);
    assert_eq!(
        log,
        ["WARNING: value of downstream_timeout: only the number counts, it is a number of milliseconds: 5 s"]
    );
}

#[test]
fn texts_that_are_too_long() {
    for (key, most) in [("front_cache_spec", 299), ("key_stats_unspec", 99), ("usr", 249)] {
        quietly(&format!("{key}={}", "x".repeat(most)));
        let (behavior, log) = parse(&format!("{key}={}", "x".repeat(most + 1)));
        assert_eq!((behavior, log.len()), (Behavior::default(), 1), "{key}");
    }
}

#[test]
fn a_password_is_never_logged() {
    let (behavior, log) = parse(&format!("pwd={}", "hunter2".repeat(200)));
    assert_eq!(log, ["ERROR: config error in key: pwd value: *** (it has at most 899 bytes)"]);
    assert!(behavior.pwd.is_empty());
    let (_, log) = parse("pwd=hunter1,hunter2,hunter3");
    assert_eq!(log, ["ERROR: config error in key: *** value: (null)"; 2]);
    let behavior = quietly("pwd=hunter2");
    assert!(!format!("{behavior:?}").contains("hunter2"));
    assert!(behavior.shown().all(|(key, value)| key != "pwd" && !value.contains("hunter2")));
    assert_eq!(behavior.shown().count(), KEYS.len() - 1);
}

#[test]
fn abbreviations_are_accepted_with_a_warning() {
    let (behavior, log) = parse("conn=7,con=8,p=a");
    assert_eq!((behavior.connect_timeout, behavior.downstream_max), (7, 8));
    assert_eq!(behavior.downstream_protocol, Protocol::Ascii);
    assert_eq!(
        log,
        [
            "WARNING: key is abbreviated: conn is taken as connect_timeout",
            "WARNING: key is abbreviated: con is taken as downstream_max",
            "WARNING: value of downstream_protocol is abbreviated: a is taken as ascii",
            "WARNING: key is abbreviated: p is taken as downstream_protocol",
        ]
    );
}

/// The usual file of the standalone packages (05 §14 item 3), and the same without commas.
#[test]
fn files() {
    let with_commas = "port_listen=11222,\n\n# usr=operator,\n#default_bucket_name=default,\ndownstream_max=8,\n\
        downstream_conn_max=4,\r\ncycle=100,\nusr=fred,\npwd=sesame,\n";
    let want = quietly(with_commas);
    assert_eq!((want.port_listen, want.downstream_max, want.cycle), (11222, 8, 100));
    assert_eq!((want.usr.as_str(), want.pwd.reveal()), ("fred", "sesame"));
    assert_eq!(want.default_bucket_name, FIRST_BUCKET);
    assert_eq!(quietly(&with_commas.replace(",\n", "\n")), want);
}

/// The settings that the cluster manager starts its gateway with (05 §14 item 1).
#[test]
fn the_cluster_managers_command_line() {
    let behavior = quietly(
        "port_listen=11311,default_bucket_name=default,downstream_max=1024,downstream_conn_max=4,\
         connect_max_errors=5,connect_retry_interval=30000,connect_timeout=400,auth_timeout=100,cycle=200,\
         downstream_conn_queue_timeout=200,downstream_timeout=5000,wait_queue_timeout=200",
    );
    let want = Behavior { port_listen: 11311, default_bucket_name: "default".into(), ..Behavior::default() };
    assert_eq!(behavior, want);
    assert_eq!(quietly("default_bucket_name=").default_bucket_name, "");
}

proptest! {
    #[test]
    fn no_text_panics(text in ".*") {
        parse(&text);
    }

    #[test]
    fn no_likely_text_panics(text in "([a-z_]{0,4}|cycle|usr|p|#| |\n|\r|,|=|[0-9+-]|\u{e9}){0,40}") {
        parse(&text);
    }

    /// What is shown can be read back.
    #[test]
    fn numbers_survive(number in any::<u32>(), large in 1..=u64::MAX) {
        let behavior = quietly(&format!("cycle={number},value_max={large}"));
        prop_assert_eq!((behavior.cycle, behavior.value_max), (number, large));
    }
}
