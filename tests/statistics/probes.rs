//! `/healthz`, `/readyz` and `/config`, and `-Z metrics` itself (06 §14).

use crate::launch::{self, Running, free_port, refuses, run, section};
use moxi_test_support::scrape::{Response, ask, ask_on, get};
use moxi_test_support::{Manager, Memcached, Mock, Wire, moxi, wait_for};

/// Status and body.
fn say(port: u16, path: &str) -> (u16, String) {
    let response = ask(port, path);
    (response.status, response.body)
}

#[test]
fn a_static_configuration_is_ready() {
    let (port, metrics) = (free_port(), free_port());
    let z = format!("metrics={metrics}");
    let mut moxi = Running::listening(port, &["-z", &section(port), "-Z", &z]);
    assert_eq!(say(metrics, "/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(say(metrics, "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(say(metrics, "/readyz?verbose"), (200, "ready\n".to_owned()));
    let started = moxi.error_line();
    assert!(started.contains(&format!("; metrics on 127.0.0.1:{metrics}; ")), "{started}");
}

#[test]
fn a_cluster_is_ready_when_there_is_something_to_serve() {
    let (listen, metrics) = (free_port(), free_port());
    let manager = Manager::new();
    let behavior = format!("port_listen={listen},metrics=127.0.0.1:{metrics}");
    let moxi = Running::start(&mut launch::moxi(&["-z", &format!("url={}", manager.url("x")), "-Z", &behavior]));
    moxi.wait_started();
    let mut stream = manager.stream();
    wait_for("the listener", || !refuses(metrics));
    assert_eq!(say(metrics, "/readyz"), (503, "no cluster manager has answered yet\n".to_owned()));
    assert_eq!(say(metrics, "/healthz").0, 200);
    let bucket =
        r#"{"name":"default","nodeLocator":"ketama","nodes":[{"hostname":"127.0.0.1:1","ports":{"direct":1}}]}"#;
    stream.document(bucket);
    wait_for("readiness", || say(metrics, "/readyz").0 == 200);
    stream.document(r#"{"buckets":[]}"#);
    wait_for("its end", || say(metrics, "/readyz") == (503, "no bucket has servers\n".to_owned()));
    stream.document(bucket);
    wait_for("readiness", || say(metrics, "/readyz").0 == 200);
}

/// SIGTERM lets what is under way end; who balances load is told meanwhile.
#[test]
fn who_drains_is_not_ready() {
    let (port, metrics) = (free_port(), free_port());
    let mock = Mock::new();
    let z = format!("{port}=127.0.0.1:{}", mock.port());
    let behavior = format!("metrics={metrics},downstream_protocol=ascii,downstream_timeout=0,drain_timeout=500");
    let moxi = Running::listening(port, &["-z", &z, "-Z", &behavior]);
    let mut client = Wire::connect("client", port);
    client.send("get a\r\n");
    // It is never answered.
    let mut server = mock.accept();
    server.line();
    let mut scraper = Wire::connect("scraper", metrics);
    assert_eq!(ask_on(&mut scraper, "/readyz").status, 200);
    moxi.signal("TERM");
    wait_for("the drain", || {
        let response = ask_on(&mut scraper, "/readyz");
        assert!(response.status == 200 || response.body == "draining: SIGTERM has come\n", "{response:?}");
        response.status == 503
    });
    assert_eq!(ask_on(&mut scraper, "/healthz").status, 200);
    assert_eq!(moxi.finish().code, Some(0));
}

#[test]
fn the_configuration_is_shown_without_passwords() {
    let (port, metrics) = (free_port(), free_port());
    let server =
        r#"{"saslPassword":"sesame","nodeLocator":"ketama","nodes":[{"hostname":"127.0.0.1:1","ports":{"direct":1}}]}"#;
    let (z, behavior) = (format!("{port}={server}"), format!("metrics={metrics},usr=fred,pwd=hunter2,time_stats=1"));
    let _moxi = Running::listening(port, &["-z", &z, "-Z", &behavior]);
    let response = ask(metrics, "/config");
    assert_eq!((response.status, response.field("content-type")), (200, Some("application/json")));
    assert!(!response.body.contains("sesame") && !response.body.contains("hunter2"), "{}", response.body);
    let document: serde_json::Value = serde_json::from_str(&response.body).expect("JSON");
    let bucket = &document["buckets"][0];
    assert_eq!(document["type"], "static");
    assert_eq!((bucket["name"].as_str(), bucket["port"].as_u64()), (Some("default"), Some(u64::from(port))));
    assert_eq!(bucket["servers"], serde_json::json!(["127.0.0.1:1"]));
    assert!(bucket["text"].as_str().expect("text").contains(r#""saslPassword":"XXXXXX""#), "{bucket}");
    assert_eq!(bucket["behavior"]["time_stats"], "1");
    assert!(bucket["behavior"].get("pwd").is_none());
}

#[test]
fn a_reload_is_in_force_at_once() {
    let (port, metrics) = (free_port(), free_port());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cluster.cfg");
    std::fs::write(&file, section(port)).unwrap();
    let z = format!("metrics={metrics}");
    let moxi = Running::listening(port, &["-z", launch::text(&file), "-Z", &z]);
    assert!(ask(metrics, "/config").body.contains("127.0.0.1:1\""));
    std::fs::write(&file, format!("{port}=127.0.0.1:2")).unwrap();
    moxi.signal("HUP");
    wait_for("the change", || ask(metrics, "/config").body.contains("127.0.0.1:2\""));
}

#[test]
fn nothing_listens_unless_it_is_asked_for() {
    for z in ["metrics=0", "metrics=", "cycle=200"] {
        let port = free_port();
        let moxi = Running::listening(port, &["-z", &section(port), "-Z", z]);
        moxi.signal("INT");
        let finished = moxi.finish();
        assert!(finished.code == Some(0) && !finished.stderr.contains("metrics"), "{z}: {}", finished.stderr);
    }
}

#[test]
fn mistakes_are_named() {
    let port = free_port();
    let z = section(port);
    for bad in ["x", "70000", "host:", ":1", "/tmp/socket"] {
        let finished = run(&["-z", &z, "-Z", &format!("strict=1,metrics={bad}")]);
        let want = format!("ERROR: config error in key: metrics value: {bad} (it is a port, or HOST:PORT)");
        assert!(finished.code == Some(1) && finished.stderr.contains(&want), "{bad}: {}", finished.stderr);
    }
    let (taken, _held) = launch::occupied();
    let finished = run(&["-z", &z, "-Z", &format!("metrics={taken}")]);
    let want = format!("ERROR: could not listen on 127.0.0.1:{taken}. It is the one of -Z metrics.");
    assert!(finished.code == Some(1) && finished.stderr.contains(&want), "{}", finished.stderr);
    assert!(finished.stderr.contains("Address already in use"), "{}", finished.stderr);
}

#[test]
fn paths_and_methods() {
    let metrics = free_port();
    let server = Memcached::start(&[]);
    let _moxi = moxi!().servers([server.port()]).set(format!("metrics={metrics}")).start();
    let mut scraper = Wire::connect("scraper", metrics);
    for path in ["/", "/metric", "/metrics/", "*", "/../metrics"] {
        assert_eq!(ask_on(&mut scraper, path).status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
        scraper.send(format!("{method} /metrics HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = Response::read(&mut scraper, true);
        assert_eq!((response.status, response.field("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    // Many at once are answered in order, and one that says so is the last.
    scraper.send(get("/healthz") + "HEAD /readyz HTTP/1.1\r\nHost: a\r\n\r\n" + &get("/x") + &get("/healthz"));
    for (status, has_body) in [(200, true), (200, false), (404, true), (200, true)] {
        let response = Response::read(&mut scraper, has_body);
        assert_eq!((response.status, response.field("connection")), (status, Some("keep-alive")));
    }
    scraper.send("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned() + &get("/healthz"));
    assert_eq!(Response::read(&mut scraper, true).field("connection"), Some("close"));
    scraper.expect_closed();
    let mut old = Wire::connect("scraper", metrics);
    old.send("HEAD /metrics HTTP/1.0\r\n\r\n");
    let head = Response::read(&mut old, false);
    let length: usize = head.field("content-length").expect("a length").parse().expect("a number");
    assert!(head.status == 200 && length > 10_000, "{length}");
    old.expect_closed();
}
