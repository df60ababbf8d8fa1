//! `--print-config`: every setting, its value, and where that comes from (01 §15.2).

use std::fs;

use crate::launch::{Finished, finish, moxi, run, text};

fn shown(arguments: &[&str]) -> Finished {
    run(&[&["--print-config"], arguments].concat())
}

/// The value and the source of each line of this name.
fn all(finished: &Finished, name: &str) -> Vec<(String, String)> {
    let cells =
        |line: &str| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect();
    let lines = finished.stdout.lines().map(cells).filter(|cells: &Vec<String>| cells[0] == name);
    lines.map(|cells| (cells[1].clone(), cells[2].clone())).collect()
}

/// There must be one line of this name, with this value and source.
#[track_caller]
fn one(finished: &Finished, name: &str, value: &str, source: &str) {
    assert_eq!(all(finished, name), [(value.to_owned(), source.to_owned())], "{name}: {}", finished.stdout);
}

#[track_caller]
fn quiet(finished: &Finished) {
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
}

#[test]
fn flags() {
    let shown = shown(&["-t", "1", "-t4", "-vv", "-d", "-z", "1=a", "-u", "nobody"]);
    quiet(&shown);
    one(&shown, "-t", "4", "command line");
    one(&shown, "-R", "20", "default");
    one(&shown, "-v", "2", "command line");
    one(&shown, "-d", "on", "command line");
    one(&shown, "-k", "off", "default");
    one(&shown, "-u", "nobody", "command line");
    one(&shown, "-P", "-", "default");
    one(&shown, "-z", "as follows", "command line");
    one(&shown, "-Z", "-", "default");
    for name in ["-h", "-V", "--check", "--print-config", "--check-alive"] {
        assert_eq!(all(&shown, name), []);
    }
    let word = self::shown(&["http://cm.example/p"]);
    one(&word, "-z", "as follows", "last word of the command line");
}

#[test]
fn keys_from_everywhere() {
    let mut command = moxi(&["--print-config", "-z", "1=a", "-Z", "concurrency=7,usr=joe,protocol=ascii"]);
    let shown = finish(command.env("MOXI_SASL_PLAIN_USR", "fred").env("MOXI_SASL_PLAIN_PWD", "sesame"));
    quiet(&shown);
    one(&shown, "cycle", "200", "default");
    one(&shown, "downstream_max", "7", "-Z");
    one(&shown, "downstream_protocol", "ascii", "-Z");
    one(&shown, "usr", "joe", "-Z");
    one(&shown, "pwd", "XXXXXX", "environment MOXI_SASL_PLAIN_PWD");
    one(&shown, "default_bucket_name", "[ <FIRST_BUCKET> ]", "default");
    one(&shown, "mcs_opts", "-", "default");
    assert!(!shown.stdout.contains("sesame"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("moxi.cfg");
    fs::write(&path, "# slow servers\ndownstream_timeout=9000,\npwd=sesame\n").unwrap();
    let shown = self::shown(&["-z", "1=a", "-Z", text(&path)]);
    quiet(&shown);
    let file = format!("file {}", path.display());
    one(&shown, "-Z", text(&path), "command line");
    one(&shown, "downstream_timeout", "9000", &file);
    one(&shown, "pwd", "XXXXXX", &file);
    one(&shown, "usr", "-", "default");
    assert!(!shown.stdout.contains("sesame"));
}

#[test]
fn servers_of_a_list() {
    let shown = shown(&["-z", "1=a,b:5;2=c", "-Z", "usr=fred,pwd=sesame,mcs_opts=distribution:modula"]);
    quiet(&shown);
    one(&shown, "1 routing", "modula", "-z");
    one(&shown, "2 routing", "one server", "-z");
    let server = |name: &str| (name.to_owned(), "-z".to_owned());
    assert_eq!(all(&shown, "1 server"), [server("a:11211"), server("b:5")]);
    one(&shown, "1 user", "fred", "-Z");
    one(&shown, "1 password", "XXXXXX", "-Z");
    assert!(!shown.stdout.contains("sesame"));
}

#[test]
fn servers_of_a_document_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cluster.cfg");
    let document = |secret: &str| {
        let content =
            format!(r#"11311={{"name":"sales"{secret},"numReplicas":0,"serverList":["a:1"],"vBucketMap":[[0],[0]]}}"#);
        fs::write(&path, content).unwrap();
        let shown = shown(&["-z", text(&path), "-Z", "pwd=other"]);
        quiet(&shown);
        shown
    };
    let place = format!("JSON document, file {}", path.display());
    let own = document(r#","saslPassword":"sesame""#);
    one(&own, "-z", text(&path), "command line");
    one(&own, "11311 routing", "2 vbuckets", &place);
    one(&own, "11311 server", "a:1", &place);
    one(&own, "11311 user", "sales", &place);
    one(&own, "11311 password", "XXXXXX", &place);
    assert!(!own.stdout.contains("sesame"));
    one(&document(""), "11311 password", "XXXXXX", "-Z");
}

#[test]
fn managers() {
    let cluster = "auth=fred%sesame,url=http://x:secret@a.example/p|http://b.example/;url=http://c.example/";
    let shown = shown(&["-z", cluster, "-Z", "usr=joe"]);
    quiet(&shown);
    let url = |name: &str| (name.to_owned(), "-z".to_owned());
    assert_eq!(all(&shown, "manager 1 url"), [url("http://a.example/p"), url("http://b.example/")]);
    one(&shown, "manager 1 user", "fred", "-z");
    one(&shown, "manager 1 password", "XXXXXX", "-z");
    one(&shown, "manager 2 url", "http://c.example/", "-z");
    one(&shown, "manager 2 user", "joe", "-Z");
    one(&shown, "manager 2 password", "-", "default");
    assert!(!shown.stdout.contains("sesame") && !shown.stdout.contains("secret"));
}

#[test]
fn the_built_in_server_alone_has_no_keys() {
    let shown = shown(&["-p", "11311", "-Z", "cycle=5"]);
    quiet(&shown);
    one(&shown, "-p", "11311", "command line");
    assert_eq!(all(&shown, "cycle"), []);
    let named = self::shown(&["-X", "-p", "11311", "-Z", "cycle=5"]);
    one(&named, "cycle", "5", "-Z");
    one(&named, "11311 routing", "as clients say", "-X");
}

/// What a start says of them.
#[test]
fn texts_with_mistakes() {
    let warned = shown(&["-z", "1=a", "-Z", "frob=1,pwd=sesame"]);
    assert_eq!(warned.code, Some(0));
    assert_eq!(warned.stderr, "ERROR: config error in key: frob value: 1 (there is no such key)\n");
    one(&warned, "pwd", "XXXXXX", "-Z");
    for (arguments, complaint) in [
        (&["-z", "/nonexistent"][..], "ERROR: could not read cfg file: /nonexistent (No such file or directory)\n"),
        (&["-z", "1={bad"], "bad moxi config, Failed to parse data. Invalid JSON? "),
        (&[], "ERROR: need cluster configuration. See usage (-h).\n"),
    ] {
        let bad = shown(arguments);
        assert_eq!((bad.code, bad.stdout.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(bad.stderr.starts_with(complaint), "{}", bad.stderr);
    }
}
