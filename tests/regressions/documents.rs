//! Documents of a cluster manager that cannot be used, that come too often, or that hold secrets.

use moxi_test_support::{Manager, Mock, SHORT, Wire, wait_for};

use crate::cluster::{Cluster, bucket, ketama, list, named};

fn is_at(client: &mut Wire, name: &str) -> bool {
    client.send("get where\r\n");
    let mut got = Vec::new();
    while !got.ends_with(b"END\r\n") {
        got.extend(client.line());
    }
    got == format!("VALUE where 0 {}\r\n{name}\r\nEND\r\n", name.len()).as_bytes()
}

/// A URL that answers nonsense kept moxi from the others. A good one ends the search: what is behind it is not asked.
#[test]
fn mb_3575_the_first_good_url_is_taken() {
    let server = named("here");
    let (unasked, good) = (Mock::new(), Manager::new());
    let urls = format!("{},http://127.0.0.1:{}/bad", good.url("good"), unasked.port());
    let cluster = Cluster::at(good, &urls, "", &[]);
    let mut stream = cluster.manager.stream();
    stream.document(&bucket("b", &[server.port()]));
    assert!(is_at(&mut cluster.client(), "here"));
    unasked.expect_no_connection(SHORT);

    let (bad, worse, good) = (Manager::new(), Manager::new(), Manager::new());
    let urls = format!("{},{},{}", bad.url("bad"), worse.url("worse"), good.url("good"));
    let cluster = Cluster::at(good, &urls, "", &[]);
    bad.answer("200 OK", "This is no JSON.\n");
    worse.answer("500 Internal Server Error", "Nor is this.\n");
    let mut stream = cluster.manager.stream();
    stream.document(&bucket("b", &[server.port()]));
    assert!(is_at(&mut cluster.client(), "here"));
}

/// A document that cannot be used never takes the place of one that can, and does not end the program: broken lists
/// of servers (MB-16524) and maps without vbuckets, as managers give them while they start (MB-8601).
#[test]
fn mb_16524_mb_8601_broken_documents_change_nothing() {
    let (old, new) = (named("old"), named("new"));
    let cluster = Cluster::start("", &[]);
    let mut stream = cluster.manager.stream();
    stream.document(&bucket("b", &[old.port()]));
    let mut client = cluster.client();
    assert!(is_at(&mut client, "old"));
    let map = |servers: &str, map: &str| {
        format!(
            "{{\"name\":\"b\",\"saslPassword\":\"\",\"vBucketServerMap\":{{\"numReplicas\":0,\"serverList\":{servers},\
             \"vBucketMap\":{map}}}}}"
        )
    };
    let here = format!("[\"127.0.0.1:{}\"]", new.port());
    let many: Vec<String> = (0..70_000).map(|number| format!("\"127.0.0.1:{}\"", number % 60_000 + 1)).collect();
    for document in [
        map(&here, "[]"),
        map(&here, "[[0],[0],[0]]"),
        map(&here, "[[1]]"),
        map(&here, "[[\"0\"]]"),
        map(&here, "[0]"),
        map(&here, "{}"),
        map("[]", "[[0]]"),
        map("[1,2,3]", "[[0]]"),
        map("[null]", "[[0]]"),
        map("\"127.0.0.1:1\"", "[[0]]"),
        map("[\"\"]", "[[0]]"),
        map("[\"127.0.0.1\"]", "[[0]]"),
        map(&format!("[{}]", many.join(",")), "[[70000]]"),
        "[".repeat(100_000),
        map(&here, "[[0]]").replace("numReplicas\":0", "numReplicas\":9"),
        map(&here, "[[0]]").replace('}', ""),
        String::from("null"),
        String::from("{\"buckets\":7}"),
        ketama("b", &[]),
    ] {
        stream.document(&document);
        assert!(is_at(&mut client, "old"), "{}", &document[..document.len().min(200)]);
    }
    // The last one has been looked at when the next one is in force.
    stream.document(&bucket("b", &[new.port()]));
    wait_for("the good document", || is_at(&mut client, "new"));
    for line in cluster.process.stderr().lines() {
        assert!(line.len() < 5000, "bug 1984: {} bytes in a line of the log", line.len());
    }
}

/// Passwords of buckets stood in the log and in statistics.
#[test]
fn mb_5904_passwords_are_not_shown() {
    let server = Mock::new();
    let cluster = Cluster::start("usr=fictional-admin,pwd=pw-of-the-admin", &["-vvv"]);
    let mut stream = cluster.manager.stream();
    let unusable = bucket("b", &[server.port()]).replace("[[0]]", "[[0],[9],[0]]");
    stream.document(&unusable);
    stream.document(&list(&[bucket("b", &[server.port()]), bucket("c", &[server.port()])]));
    let mut client = cluster.client();
    let server_port = server.port();
    let _down = server.down();
    client.send("incr a 1\r\n");
    client.line();
    let mut shown = String::new();
    for request in ["stats proxy\r\n", "stats proxy all\r\n", "stats proxy config\r\n", "stats proxy behaviors\r\n"] {
        client.send(request);
        let mut line = Vec::new();
        while line != b"END\r\n" {
            line = client.line();
            shown += &String::from_utf8_lossy(&line);
        }
    }
    wait_for("the log", || cluster.process.stderr().contains(&format!("127.0.0.1:{server_port}")));
    let logged = cluster.process.stderr();
    for secret in ["pw-b", "pw-c", "pw-of-the-admin"] {
        assert!(!logged.contains(secret), "{logged}");
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// Every new configuration cost some memory, and none of it came back.
#[test]
fn mb_4896_many_configurations_cost_nothing() {
    let (first, second) = (named("first"), named("second"));
    let cluster = Cluster::start("", &[]);
    let mut stream = cluster.manager.stream();
    let mut client = None;
    let mut change = |count: usize| {
        for round in 0..count {
            let extra = 1 + round as u16 % 100;
            stream.document(&list(&[
                bucket("b", &[first.port(), extra]),
                bucket(&format!("c{}", round % 7), &[second.port(), extra]),
            ]));
        }
        for (server, name) in [(&first, "first"), (&second, "second")] {
            stream.document(&bucket("b", &[server.port()]));
            let client = client.get_or_insert_with(|| cluster.client());
            wait_for("the last document", || is_at(client, name));
        }
    };
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", cluster.process.id())).expect("status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("resident memory");
        line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("a number")
    };
    change(500);
    let (before, descriptors) = (memory(), cluster.descriptors());
    change(3000);
    let after = memory();
    assert!(after < before + 2048, "{before} KiB, then {after} KiB");
    assert!(cluster.descriptors() <= descriptors);
}
