//! Whole configurations, as the field and the test suites write them.

use std::fs;

use proptest::prelude::*;

use super::*;

fn no_env(_: &str) -> Option<String> {
    None
}

fn loaded(z: &str, behavior: &str) -> Loaded {
    let loaded = load(z, Some(behavior), &no_env).unwrap_or_else(|error| panic!("{z}: {error}"));
    assert!(loaded.log.is_empty(), "{:?}", loaded.log);
    loaded
}

fn refused(z: &str) -> String {
    load(z, None, &no_env).expect_err(z).to_string()
}

fn names(bucket: &BucketConfig) -> Vec<String> {
    bucket.servers.iter().map(|server| format!("{}:{}", server.host, server.port)).collect()
}

#[test]
fn a_server_list() {
    let loaded = loaded("11211=mc1, mc2:11211,  mc3:11222:1", "usr=fred,pwd=sesame,bucket=b,protocol=binary");
    assert_eq!(loaded.sections, [Section { port: 11211, bucket: 0 }]);
    let bucket = &loaded.config.buckets[0];
    assert_eq!((bucket.name.as_str(), bucket.port, bucket.get_errors), ("default", 11211, false));
    assert_eq!(names(bucket), ["mc1:11211", "mc2:11211", "mc3:11222"]);
    assert_eq!(bucket.text, "mc1, mc2:11211,  mc3:11222:1");
    for (key, server) in [("foo", 2), ("a", 0), ("hello", 1)] {
        assert_eq!(bucket.router.route(key.as_bytes()).server, Some(server), "blanks are no part of a name");
    }
    let want = Server {
        host: "mc1".into(),
        port: 11211,
        user: "fred".into(),
        password: Secret::new("sesame"),
        bucket: "b".into(),
        protocol: Protocol::Binary,
    };
    assert_eq!(*bucket.servers[0], want);
}

#[test]
fn no_credentials_over_ascii() {
    let loaded = loaded("1=mc1", "usr=fred,pwd=sesame,bucket=b,downstream_protocol=ascii");
    let server = &loaded.config.buckets[0].servers[0];
    assert!(server.user.is_empty() && server.password.is_empty() && server.bucket.is_empty());
}

#[test]
fn mcs_opts_select_the_router() {
    let router = |options: &str| loaded("1=a,b,c", options).config.buckets[0].router.clone();
    assert!(matches!(router("mcs_opts=distribution:modula"), Router::Modula { servers: 3 }));
    let points = |options: &str| match router(options) {
        Router::Ketama(ring) => ring.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(points(""), 480);
    assert_eq!(points("mcs_opts=distribution:ketama-weighted"), 480);
    assert_eq!(points("mcs_opts=distribution:ketama"), 300);
    assert_eq!(loaded("1=a", "").config.buckets[0].router, Router::Single);
}

/// The topologies of the proxied Perl suite (04 §19), the first with its stray quote.
#[test]
fn the_suites_topologies() {
    let part = |port: u16, to: &[u16], map: &str| {
        let list: Vec<String> = to.iter().map(|to| format!("\"127.0.0.1:{to}\"")).collect();
        let list = list.join(",");
        format!(r#"{port}={{"hashAlgorithm":"CRC","numReplicas":0,"serverList":[{list}],"vBucketMap":{map}}}"#)
    };
    let simple = loaded(&format!("{}\"", part(1000, &[2000], "[[0]]")), "downstream_protocol=ascii");
    assert_eq!(names(&simple.config.buckets[0]), ["127.0.0.1:2000"]);
    assert_eq!(simple.config.buckets[0].servers[0].protocol, Protocol::Ascii);

    let chain: Vec<String> = (1000..1005).map(|port| part(port, &[port + 1], "[[0]]")).collect();
    let chain = loaded(&chain.join(";"), "");
    assert_eq!(chain.sections.len(), 5);
    assert_eq!(chain.sections[4], Section { port: 1004, bucket: 4 });
    assert_eq!(names(&chain.config.buckets[4]), ["127.0.0.1:1005"]);

    let fanout = loaded(&part(1000, &[2000; 4], "[[0],[1],[2],[3]]"), "");
    let bucket = &fanout.config.buckets[0];
    assert_eq!(bucket.servers.len(), 4);
    assert_eq!(bucket.router.route(b"name").server, Some(3));
    assert_eq!(bucket.router.route(b"name").vbucket, 3);
}

#[test]
fn a_static_document_with_credentials_and_a_url() {
    let text = "\n11333 = {\r\n\t\"name\": \"sales\", \"saslPassword\": \"sesame\", \"uri\": \"http://x/;y@z\",\n\
        \"numReplicas\": 0, \"serverList\": [\"$HOST:11311\"], \"vBucketMap\": [[0]]\n}\n;\n";
    let loaded = loaded(text, "usr=fred,pwd=other");
    let bucket = &loaded.config.buckets[0];
    assert_eq!((bucket.name.as_str(), bucket.port), ("default", 11333));
    let server = &bucket.servers[0];
    assert_eq!(
        (server.host.as_str(), server.user.as_str(), server.password.reveal()),
        ("localhost", "sales", "sesame")
    );
    assert!(bucket.text.starts_with("{\t\"name\": \"sales\", \"saslPassword\": \"XXXXXX\""), "{}", bucket.text);
    assert!(!format!("{loaded:?}").contains("sesame"));
}

#[test]
fn static_ketama_documents_work() {
    let text = r#"1={"nodeLocator":"ketama","nodes":[
        {"hostname":"b:8091","ports":{"direct":5}},{"hostname":"a:8091","ports":{"direct":5}}]}"#;
    let loaded = loaded(text, "");
    assert_eq!(names(&loaded.config.buckets[0]), ["a:5", "b:5"]);
    assert!(matches!(loaded.config.buckets[0].router, Router::Ketama(_)));
}

#[test]
fn refusals_name_the_place() {
    for (text, want) in [
        (" ", "bad moxi config, missing = (section 1)"),
        ("11211", "bad moxi config, missing = (section 1)"),
        (
            "1=a;2=b,c:x",
            "bad moxi config, server 2 (\"c:x\"): port is not a number from 1 to 65535 (section 2, port 2)",
        ),
        (
            "45723={bad json",
            "bad moxi config, Failed to parse data. Invalid JSON? (section 1, port 45723, line 1 column 2 of the document)",
        ),
        ("1={}", "bad moxi config, Expected number <= 4 for numReplicas (section 1, port 1)"),
        (
            r#"1={"buckets":[{"name":"x"}]}"#,
            "bad moxi config, Expected number <= 4 for numReplicas (section 1, port 1)",
        ),
        ("url=", "ERROR: missing -z configuration for url/host"),
        ("./no/such/file", "ERROR: could not read cfg file: ./no/such/file (No such file or directory)"),
        ("nosuch.cfg", "bad moxi config, missing = (section 1); the path of a file begins with ./ or /"),
        ("conf/moxi.cfg", "bad moxi config, missing = (section 1); the path of a file begins with ./ or /"),
        ("1=a;conf/moxi.cfg", "bad moxi config, missing = (section 2)"),
    ] {
        assert_eq!(refused(text), want, "{text}");
    }
    let error = load("1=a", Some("/no/such/file"), &no_env).unwrap_err();
    assert_eq!(error.to_string(), "ERROR: could not read behavior file: /no/such/file (No such file or directory)");
}

#[test]
fn refusals_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for (text, want) in [
        ("11211", "bad moxi config, missing = (section 1)"),
        ("conf/moxi.cfg", "bad moxi config, missing = (section 1)"),
        (
            "1=a;2=b,c:x",
            "bad moxi config, server 2 (\"c:x\"): port is not a number from 1 to 65535 (section 2, port 2)",
        ),
        ("url=", "ERROR: missing -z configuration for url/host"),
    ] {
        fs::write(path("cluster"), text).unwrap();
        assert_eq!(refused(&path("cluster")), format!("{want} in {}", path("cluster")));
    }
    fs::write(path("behavior"), "downstream_max=8\nno_such_key=5").unwrap();
    let log = load("1=a", Some(&path("behavior")), &no_env).unwrap().log;
    assert_eq!(
        log,
        [format!("ERROR: config error in key: no_such_key value: 5 (there is no such key) in {}", path("behavior"))]
    );
}

#[test]
fn a_behaviour_that_looks_like_a_path() {
    let log = load("1=a", Some("moxi.cfg"), &no_env).unwrap().log;
    let hint = "WARNING: the path of a file for -Z begins with ./ or /";
    assert_eq!(log, ["ERROR: config error in key: moxi.cfg value: (null) (there is no such key)", hint]);
}

/// `strict` makes errors of what is only logged otherwise, wherever it stands.
#[test]
fn strict() {
    for (z, behavior) in [
        ("1=a", "no_such_key=5"),
        ("1=a", "downstream_timeout=5s"),
        ("1=a", "downstream_timeout=5 s"),
        ("1=a", "mcs_opts=bogus"),
        ("1=a", "conn=5"),
        ("1=a", "cycle"),
        ("1=a", "moxi.cfg"),
        ("url=http://a.example/,usr=x", "cycle=5"),
        ("url=http://a.example/,fred@host%sesame", ""),
    ] {
        let loaded = load(z, Some(behavior), &no_env).unwrap();
        assert!(!loaded.log.is_empty() && !loaded.behavior.strict, "{behavior}");
        for text in [format!("{behavior},strict=1"), format!("strict=1,{behavior}")] {
            let complaints = loaded.log.iter().filter(|line| !line.contains("path of a file"));
            let want: Vec<&str> = complaints.map(String::as_str).collect();
            let error = load(z, Some(&text), &no_env).expect_err(&text).to_string();
            let end = "ERROR: strict=1 in -Z: what is not understood is not ignored";
            assert_eq!(error, [want.as_slice(), &[end]].concat().join("\n"), "{text}");
            assert!(!error.contains("sesame"));
        }
        assert!(load(z, Some(&format!("strict=0,{behavior}")), &no_env).is_ok());
    }
    loaded("1=a", "strict=1,cycle=5,mcs_opts=distribution:modula");
    let mcmux = crate::config::mcmux::load_mcmux(1, Some("no_such_key=5,strict=1"), &no_env);
    assert!(matches!(mcmux, Err(ConfigError::Strict { .. })));
}

#[test]
fn an_empty_text_is_no_error() {
    let loaded = load("", Some("/no/such/file"), &|_| Some("x".into())).unwrap();
    assert!(loaded.config.buckets.is_empty() && loaded.sections.is_empty() && loaded.log.is_empty());
}

#[test]
fn files_for_both() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("cluster"), "\n11333 =\n  cache1.example,\n  cache2.example\n").unwrap();
    fs::write(path("behavior"), "cycle=100,\n# usr=x,\nusr=fred\n").unwrap();
    let loaded = loaded(&path("cluster"), &path("behavior"));
    assert_eq!(names(&loaded.config.buckets[0]), ["cache1.example:11211", "cache2.example:11211"]);
    assert_eq!((loaded.behavior.cycle, loaded.behavior.usr.as_str()), (100, "fred"));
}

#[test]
fn agents_are_recognised() {
    let loaded =
        loaded("auth=fred%sesame,url=http://127.0.0.1:8091/pools/default/saslBucketsStreaming", "port_listen=5");
    assert!(loaded.config.buckets.is_empty() && loaded.sections.is_empty());
    assert_eq!(loaded.agents[0].user, "fred");
    assert_eq!(loaded.behavior.port_listen, 5);
}

#[test]
fn the_environment_is_overridden_by_the_option() {
    let env = |name: &str| match name {
        "MOXI_SASL_PLAIN_USR" => Some("fred".to_owned()),
        "MOXI_SASL_PLAIN_PWD" => Some("sesame".to_owned()),
        _ => None,
    };
    let from_env = load("1=a", None, &env).unwrap();
    assert_eq!(from_env.log, ["env: MOXI_SASL_PLAIN_USR (4)", "env: MOXI_SASL_PLAIN_PWD (6)"]);
    let server = &from_env.config.buckets[0].servers[0];
    assert_eq!((server.user.as_str(), server.password.reveal()), ("fred", "sesame"));
    let both = load("1=a", Some("usr=joe,cycle=x"), &env).unwrap();
    assert_eq!((both.behavior.usr.as_str(), both.behavior.pwd.reveal()), ("joe", "sesame"));
    assert_eq!(both.log[2], "ERROR: config error in key: cycle value: x (it is a number of milliseconds)");
    let long = load("1=a", None, &|_| Some("\u{e9}".repeat(1000))).unwrap();
    assert_eq!((long.behavior.usr.len(), long.behavior.pwd.reveal().len()), (248, 898));
}

/// Without a cluster configuration there is one key that counts.
#[test]
fn metrics_alone() {
    let loaded = load_alone(Some("metrics=9150,cycle=x"), &no_env);
    assert_eq!(loaded.behavior.metrics.address().map(|address| address.port), Some(9150));
    assert!(loaded.config.buckets.is_empty());
    assert_eq!(loaded.log, ["ERROR: config error in key: cycle value: x (it is a number of milliseconds)"]);
    for text in
        [None, Some("cycle=x"), Some("strict=1,bogus"), Some("metrics=0,bogus"), Some("./there/is/no/such/file")]
    {
        let loaded = load_alone(text, &no_env);
        assert!(loaded.behavior.metrics.address().is_none() && loaded.log.is_empty(), "{text:?}: {:?}", loaded.log);
    }
}

proptest! {
    #[test]
    fn no_text_panics(z in "[^./]?.*", behavior in "[^./]?.*") {
        // Texts that name files are left out: a random one may exist.
        if !z.trim().starts_with(['.', '/']) && !behavior.trim().starts_with(['.', '/']) {
            let _ = load(&z, Some(&behavior), &no_env);
        }
    }

    #[test]
    fn every_key_of_a_list_has_a_server(hosts in prop::collection::vec("[a-z]{1,8}", 1..20), key in any::<Vec<u8>>()) {
        for options in ["", "mcs_opts=distribution:ketama", "mcs_opts=distribution:modula"] {
            let loaded = loaded(&format!("1={}", hosts.join(",")), options);
            let server = loaded.config.buckets[0].router.route(&key).server;
            prop_assert!(server.is_some_and(|index| index < hosts.len()));
        }
    }
}
