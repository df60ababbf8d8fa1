//! `--check-alive`: exit code and words for everything that may be at an address.

use std::time::{Duration, Instant};

use crate::launch::{self, Finished, Running, free_port, refuses, run, section, text, wait_for};
use moxi_test_support::{Memcached, Mock, SocketMemcached};

fn check(address: &str, flags: &[&str]) -> Finished {
    run(&[&["--check-alive", address], flags].concat())
}

#[track_caller]
fn alive(address: &str, flags: &[&str], version: &str) {
    let Finished { code, stdout, stderr } = check(address, flags);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{address} {flags:?}");
    assert_eq!(stdout, format!("{address} is alive: version {version}\n"), "{flags:?}");
}

#[track_caller]
fn dead(address: &str, flags: &[&str], why: &str) {
    let Finished { code, stdout, stderr } = check(address, flags);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{address} {flags:?}");
    assert_eq!(stderr, format!("{address} is not alive: {why}\n"), "{flags:?}");
}

/// It needs no server: moxi itself is asked. And it leaves nothing in the log.
#[test]
fn a_moxi_of_each_protocol() {
    for protocol in ["auto", "ascii", "binary"] {
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        dead(&address, &[], "Connection refused");
        let moxi = Running::listening(port, &["-B", protocol, "-z", &section(port)]);
        alive(&address, &[], env!("CARGO_PKG_VERSION"));
        alive(&format!("localhost:{port}"), &[], env!("CARGO_PKG_VERSION"));
        let (works, other) = if protocol == "binary" { ("binary", "ascii") } else { ("ascii", "binary") };
        alive(&address, &["-B", works], env!("CARGO_PKG_VERSION"));
        match protocol {
            "auto" => alive(&address, &["-B", other], env!("CARGO_PKG_VERSION")),
            "ascii" => dead(&address, &["-B", other], "no answer in time"),
            _ => dead(&address, &["-B", other], "it closes the connection without an answer"),
        }
        moxi.signal("TERM");
        assert_eq!(moxi.finish().complaints(), "", "{protocol}");
        wait_for("the end", || refuses(port));
        dead(&address, &["-B", protocol], "Connection refused");
    }
}

#[test]
fn where_clients_name_their_server_and_in_front_of_the_built_in_server() {
    for flags in [&["-X", "-p"][..], &["-U", "0", "-p"]] {
        let port = free_port();
        let port_text = port.to_string();
        let _moxi = Running::listening(port, &[flags, &[port_text.as_str()]].concat());
        alive(&format!("127.0.0.1:{port}"), &[], env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn over_ipv6() {
    let port = free_port();
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("no IPv6 here");
        return;
    }
    let _moxi = Running::listening(port, &["-z", &section(port)]);
    alive(&format!("[::1]:{port}"), &[], env!("CARGO_PKG_VERSION"));
}

#[test]
fn over_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    for protocol in ["auto", "binary"] {
        let path = folder.path().join(protocol);
        dead(text(&path), &[], "No such file or directory");
        let moxi = Running::start(&mut launch::moxi(&["-B", protocol, "-s", text(&path), "-z", "1=127.0.0.1:1"]));
        wait_for("the socket", || std::os::unix::net::UnixStream::connect(&path).is_ok());
        alive(text(&path), &[], env!("CARGO_PKG_VERSION"));
        drop(moxi);
        // The file is still there.
        dead(text(&path), &[], "Connection refused");
    }
    let path = folder.path().join("memcached");
    let _server = SocketMemcached::start(&path);
    assert_eq!(check(text(&path), &[]).code, Some(0));
}

#[test]
fn a_memcached_server() {
    for flags in [&[][..], &["-B", "ascii"], &["-B", "binary"]] {
        let server = Memcached::start(flags);
        let address = format!("127.0.0.1:{}", server.port());
        let Finished { code, stdout, stderr } = check(&address, &[]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{flags:?}");
        assert!(stdout.starts_with(&format!("{address} is alive: version 1.")), "{stdout}");
    }
}

/// Others than memcached servers, each connection with its script.
#[test]
fn what_answers_something_else() {
    let http = "its answer to \"version\" is \"HTTP/1.1 400 Bad Request\\r\\n\"";
    for (flags, says, why) in [
        (["-B", "ascii"], &b"HTTP/1.1 400 Bad Request\r\n"[..], http.to_owned()),
        (["-B", "ascii"], b"VERSION 1", "its answer to \"version\" is \"VERSION 1\"".to_owned()),
        (["-B", "ascii"], b"VERSION 1\n", "its answer to \"version\" is \"VERSION 1\\n\"".to_owned()),
        (["-B", "binary"], b"HTTP/1.1 400 Bad Request\r\n", http.to_owned()),
        (["-B", "binary"], b"", "it closes the connection without an answer".to_owned()),
        (["-B", "binary"], b"\x81", "its answer to \"version\" is \"\\x81\"".to_owned()),
    ] {
        let mock = Mock::new();
        let address = format!("127.0.0.1:{}", mock.port());
        let asking = std::thread::spawn({
            let address = address.clone();
            move || check(&address, &flags)
        });
        let mut conn = mock.accept();
        match flags[1] {
            "ascii" => conn.expect("version\r\n"),
            _ => drop(conn.take(24)),
        }
        conn.send(says);
        conn.finish();
        let Finished { code, stdout, stderr } = asking.join().unwrap();
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert_eq!(stderr, format!("{address} is not alive: {why}\n"));
    }
}

#[test]
fn a_binary_failure_and_a_length_that_lies() {
    for (head, complains) in [
        // Status 0x83, no bucket.
        (&b"\x81\x0b\0\0\0\0\0\x83\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\x007.0.0"[..], true),
        (b"\x81\x0b\0\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\x007.0.0", true),
        (b"\x81\x0b\0\0\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\0\0\0\0\x007.0.0", true),
        (b"\x81\x0b\0\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\x007.0.0", false),
    ] {
        let mock = Mock::new();
        let address = format!("127.0.0.1:{}", mock.port());
        let asking = std::thread::spawn(move || check(&address, &["-B", "binary"]));
        let mut conn = mock.accept();
        conn.take(24);
        conn.send(head);
        conn.finish();
        let finished = asking.join().unwrap();
        assert_eq!(finished.code, Some(i32::from(complains)), "{}", finished.stderr);
    }
}

/// A port that accepts and says nothing, as of a program that hangs: both protocols together have five seconds.
#[test]
fn silence_is_waited_for_in_vain() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let begun = Instant::now();
    dead(&listener.local_addr().unwrap().to_string(), &[], "no answer in time");
    assert!(begun.elapsed() >= Duration::from_millis(4900));
}

#[test]
fn addresses() {
    for bad in ["", "11211", "localhost", "localhost:", "localhost:0", "localhost:65536", ":11211", "a b:1", "./m.sock"]
    {
        let Finished { code, stdout, stderr } = check(bad, &[]);
        assert_eq!((code, stdout.as_str()), (Some(64), ""), "{bad:?}");
        let wanted = "HOST:PORT, [IPV6]:PORT, or the absolute path of a unix socket";
        assert_eq!(stderr, format!("Invalid argument for --check-alive: expected {wanted}\n"), "{bad:?}");
    }
    let missing = run(&["--check-alive"]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.ends_with("Illegal argument \"--check-alive\". See usage (-h).\n"), "{}", missing.stderr);
    let name = check("no-such-host.invalid:11211", &[]);
    assert_eq!((name.code, name.stdout.as_str()), (Some(1), ""));
    assert!(name.stderr.starts_with("no-such-host.invalid:11211 is not alive: "), "{}", name.stderr);
}
