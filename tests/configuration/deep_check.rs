//! `--check=deep`: servers and cluster managers are asked, for a limited time (01 §15.1).

use std::thread;

use crate::check::{checked, problems, table};
use crate::launch::free_port;
use moxi_test_support::{Manager, Memcached, Mock};

#[test]
fn a_deep_check_has_the_versions_of_servers() {
    let memcached = Memcached::start(&[]);
    let (port, server) = (free_port(), memcached.port());
    for protocol in ["ascii", "binary"] {
        let behavior = format!("downstream_protocol={protocol}");
        let good = checked("--check=deep", &["-z", &format!("{port}=127.0.0.1:{server}"), "-Z", &behavior]);
        problems(&good, &[]);
        let [head, row] = &table(&good)[..] else { panic!("{}", good.stdout) };
        assert_eq!(head[5..], ["answer"]);
        let (port, server) = (port.to_string(), format!("127.0.0.1:{server}"));
        assert_eq!(row[..6], [&port, "default", protocol, &server, "-", "version"]);
        assert!(row[6].starts_with("1."), "{}", good.stdout);
    }
}

#[test]
fn a_deep_check_names_each_server_that_does_not_answer_once() {
    let (down, other) = (free_port(), free_port());
    let server = format!("127.0.0.1:{down}");
    let bad = checked("--check=deep", &["-z", &format!("{}={server};{other}={server}", free_port())]);
    problems(&bad, &[&format!("ERROR: server {server}: Connection refused")]);
    assert_eq!(table(&bad)[2], [&other.to_string(), "default", "binary", &server, "-", "-"]);
    let wrong = checked("--check=deep", &["-z", &format!("{other}=/nonexistent/socket")]);
    problems(&wrong, &["ERROR: server /nonexistent/socket: No such file or directory"]);
}

#[test]
fn a_deep_check_leaves_out_what_this_moxi_would_itself_be() {
    let (own, port) = (free_port(), free_port());
    let chained = format!("{port}=127.0.0.1:{own};{}=localhost:{port}", free_port());
    let good = checked("--check=deep", &["-p", &own.to_string(), "-z", &chained]);
    problems(&good, &[]);
    assert_eq!((table(&good)[1][5], table(&good)[2][5]), ("itself", "itself"));
}

/// Over a real connection: user and bucket as the proxy sends them, then the version.
#[test]
fn a_deep_check_authenticates() {
    for (status, problem) in [(0u8, None), (0x20, Some("user fred is refused with status 0x20: no"))] {
        let mock = Mock::new();
        let (port, server) = (free_port(), format!("127.0.0.1:{}", mock.port()));
        let arguments =
            ["-z".to_owned(), format!("{port}={server}"), "-Z".to_owned(), "usr=fred,pwd=sesame,bucket=b".to_owned()];
        let checking = thread::spawn(move || checked("--check=deep", &arguments.each_ref().map(String::as_str)));
        let mut wire = mock.accept();
        let request = |opcode: u8, body: &[u8], key: u8| {
            let mut packet = [0; 24];
            (packet[0], packet[1], packet[3], packet[11]) = (0x80, opcode, key, u8::try_from(body.len()).unwrap());
            [&packet, body].concat()
        };
        let reply = |opcode: u8, status: u8, body: &[u8]| {
            let mut packet = request(opcode, body, 0);
            (packet[0], packet[7]) = (0x81, status);
            packet
        };
        wire.expect(request(0x21, b"PLAIN\0fred\0sesame", 5));
        wire.send(reply(0x21, status, if status == 0 { b"" } else { b"no" }));
        if status == 0 {
            wire.expect(request(0x2a, b"b", 1));
            wire.send(reply(0x2a, 0, b""));
            wire.expect(request(0x0b, b"", 0));
            wire.send(reply(0x0b, 0, b"9.9"));
        }
        let finished = checking.join().unwrap();
        let problem = problem.map(|problem| format!("ERROR: server {server}: {problem}"));
        problems(&finished, &problem.as_deref().into_iter().collect::<Vec<_>>());
        assert_eq!(&table(&finished)[1][5..], if status == 0 { &["version", "9.9"][..] } else { &["-"] });
        assert!(!finished.stdout.contains("sesame") && !finished.stderr.contains("sesame"));
    }
}

/// A bucket document.
fn bucket(name: &str, server: &str) -> String {
    format!(
        r#"{{"name":"{name}","saslPassword":"","vBucketServerMap":
        {{"numReplicas":0,"serverList":["{server}"],"vBucketMap":[[0],[0],[0],[0]]}}}}"#
    )
}

#[test]
fn a_deep_check_follows_cluster_managers() {
    let (manager, memcached) = (Manager::new(), Memcached::start(&[]));
    let (port, server) = (free_port().to_string(), format!("127.0.0.1:{}", memcached.port()));
    let cluster = format!("auth=fred%sesame,url={}", manager.url("p"));
    let behavior = format!("port_listen={port},protocol=ascii");
    let checking = thread::spawn(move || checked("--check=deep", &["-z", &cluster, "-Z", &behavior]));
    // The stream stays open: a check does not wait for its end.
    let mut stream = manager.stream();
    stream.document(&format!(r#"{{"buckets":[{},{}]}}"#, bucket("a", &server), bucket("b", &server)));
    let finished = checking.join().unwrap();
    problems(&finished, &[]);
    let table = table(&finished);
    assert_eq!(table[1][..6], [&port, "a", "ascii", &server, "4", "version"]);
    assert_eq!(table[2][..6], [&port, "b", "ascii", &server, "4", "version"]);
    assert!(stream.request.contains("\r\nAuthorization: Basic ZnJlZDpzZXNhbWU=\r\n"), "{}", stream.request);
}

#[test]
fn a_deep_check_names_each_url_of_a_manager_that_is_of_no_use() {
    let (manager, down) = (Manager::new(), free_port());
    let urls = format!("http://fred:sesame@127.0.0.1:{down}/p,{}", manager.url("q"));
    let behavior = format!("port_listen={}", free_port());
    let ask = |status: &str, body: &str| {
        let (urls, behavior) = (urls.clone(), behavior.clone());
        let checking = thread::spawn(move || checked("--check=deep", &["-z", &urls, "-Z", &behavior]));
        let _exchange = manager.answer(status, body);
        checking.join().unwrap()
    };
    let refused = format!("ERROR: cluster manager http://127.0.0.1:{down}/p: cannot connect: Connection refused");
    for (status, body, why) in [
        ("401 Unauthorized", "", "HTTP status 401, user or password is not accepted"),
        ("404 Not Found", "", "HTTP status 404"),
        ("200 OK", "", "an empty configuration"),
        ("200 OK", "nonsense\n", "no JSON: nonsense"),
    ] {
        let told = format!("ERROR: cluster manager {}: {why}", manager.url("q"));
        problems(&ask(status, body), &[&refused, &told]);
    }
    let bad = format!("ERROR: bad JSON configuration from {}: Expected number <= 4 for numReplicas", manager.url("q"));
    problems(&ask("200 OK", r#"{"name":"a"}"#), &[&refused, &bad]);
}

/// Nobody is waited for longer than 5 seconds each.
#[test]
fn a_deep_check_does_not_wait_for_ever() {
    let (manager, mock) = (Manager::new(), Mock::new());
    let (port, other) = (free_port(), free_port());
    let (url, server) = (manager.url("p"), format!("127.0.0.1:{}", mock.port()));
    let behavior = format!("port_listen={port}");
    let managed = {
        let url = url.clone();
        thread::spawn(move || checked("--check=deep", &["-z", &url, "-Z", &behavior]))
    };
    let served = {
        let section = format!("{other}={server}");
        thread::spawn(move || checked("--check=deep", &["-z", &section]))
    };
    let (_stream, _wire) = (manager.stream(), mock.accept());
    problems(&managed.join().unwrap(), &[&format!("ERROR: cluster manager {url}: no document within 5 s")]);
    problems(&served.join().unwrap(), &[&format!("ERROR: server {server}: no answer in time")]);
}
