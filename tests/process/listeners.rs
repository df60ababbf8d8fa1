//! Where the program listens: ports and addresses that are taken, unix sockets, and what stands there already (01 §5, §12).

use std::fs;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::launch::{Running, content, free_port, moxi, occupied, refuses, run, section, text, wait_for};

/// Holds `port`, or any port if that is 0, of all IPv4 or all IPv6 addresses. `None`: the system has no such.
fn hold(domain: socket2::Domain, port: u16) -> Option<TcpListener> {
    let address: std::net::SocketAddr = match domain {
        socket2::Domain::IPV6 => (std::net::Ipv6Addr::UNSPECIFIED, port).into(),
        _ => (std::net::Ipv4Addr::UNSPECIFIED, port).into(),
    };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).ok()?;
    if domain == socket2::Domain::IPV6 {
        socket.set_only_v6(true).ok()?;
    }
    socket.bind(&address.into()).ok()?;
    socket.listen(1).ok()?;
    Some(socket.into())
}

#[test]
fn a_port_in_use() {
    let (port, _held) = occupied();
    let finished = run(&["-z", &section(port)]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains(&format!(") bind(0.0.0.0:{port}): Address already in use")));
    // A hint that helps: this port does not come from port_listen.
    let hint = "It is the one before the = of a section in -z.";
    assert!(finished.stderr.ends_with(&format!(") ERROR: could not listen on port {port}. {hint}\n")));
    let finished = run(&["-X", "-p", &port.to_string()]);
    assert_eq!(finished.code, Some(1));
    let hint = "It is the one of -p.";
    assert!(finished.stderr.ends_with(&format!(") ERROR: could not listen on port {port}. {hint}\n")));
    let behavior = format!("port_listen={port},default_bucket_name=x");
    let finished = run(&["-Z", &behavior, "http://127.0.0.1:1/"]);
    assert_eq!(finished.code, Some(1));
    let hint = "Please use -Z port_listen=PORT_NUM to specify a different port number.";
    assert!(finished.stderr.ends_with(&format!(") ERROR: could not listen on port {port}. {hint}\n")));
}

/// Whatever `-O` says, who starts a daemon sees why it has not started.
#[test]
fn a_start_that_fails_says_why_on_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("moxi.log");
    let (port, _held) = occupied();
    let section = section(port);
    for arguments in [
        &["-z", &section][..],
        &["-z", &section, "-d"],
        &["-z", "1=127.0.0.1", "-d", "-Z", "no_such_key=5,strict=1"],
        &["-z", "nosuch.cfg", "-d"],
        &["-z", "./nosuch.cfg", "-d"],
        &["-z", "1=127.0.0.1", "-d", "-c", "2147483647"],
    ] {
        let finished = run(&[arguments, &["-O", text(&log)]].concat());
        assert!(matches!(finished.code, Some(1 | 71)), "{arguments:?}");
        // The same lines, without the stamp.
        let logged: Vec<String> =
            content(&log).lines().map(|line| line.split_once(") ").unwrap().1.to_owned() + "\n").collect();
        assert_eq!(finished.stderr, logged.concat(), "{arguments:?}");
        assert!(!finished.stderr.is_empty());
        fs::remove_file(&log).unwrap();
    }
}

/// Clients of the missing half would reach the other program.
#[test]
fn a_port_that_is_in_use_on_one_kind_of_addresses() {
    let kinds = [
        (socket2::Domain::IPV4, "0.0.0.0:PORT", "[::]:PORT is free: -l :: listens only there", "::"),
        (socket2::Domain::IPV6, "[::]:PORT", "0.0.0.0:PORT is free: -l 0.0.0.0 listens only there", "0.0.0.0"),
    ];
    for (domain, missing, free, other) in kinds {
        let port = free_port();
        let Some(_held) = hold(domain, port) else {
            return; // no IPv6 here
        };
        let (number, section) = (port.to_string(), section(port));
        let why = format!("bind({missing}): Address already in use, by another program; {free}\n");
        let why = why.replace("PORT", &number);
        let finished = run(&["-z", &section]);
        assert_eq!(finished.code, Some(1), "{}", finished.stderr);
        assert!(finished.stderr.contains(&why), "{}", finished.stderr);
        let finished = run(&["-p", &number]);
        assert_eq!(finished.code, Some(71), "{}", finished.stderr);
        assert!(finished.stderr.ends_with(&format!(") failed to listen on TCP port {port}: {why}")));
        // Who asks for the other kind gets it.
        let running = Running::start(&mut moxi(&["-l", other, "-z", &section]));
        running.wait_started();
        running.signal("INT");
        assert_eq!(running.finish().code, Some(0));
    }
}

#[test]
fn a_datagram_port_that_is_in_use_on_one_kind_of_addresses() {
    let hold = || -> std::io::Result<std::net::UdpSocket> {
        let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None)?;
        socket.set_only_v6(true)?;
        socket.bind(&std::net::SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0)).into())?;
        Ok(socket.into())
    };
    let Ok(held) = hold() else {
        return; // no IPv6 here
    };
    let port = held.local_addr().unwrap().port();
    let finished = run(&["-U", &port.to_string()]);
    assert_eq!(finished.code, Some(71), "{}", finished.stderr);
    assert!(finished.stderr.ends_with(&format!(
        ") failed to listen on UDP port {port}: bind([::]:{port}): Address already in use, by another program; \
         0.0.0.0:{port} is free: -l 0.0.0.0 listens only there\n"
    )));
}

#[test]
fn a_name_that_does_not_resolve() {
    let port = free_port();
    let finished = run(&["-l", "no-such-host.invalid", "-z", &section(port)]);
    assert_eq!(finished.code, Some(1));
    let words = format!("getaddrinfo(no-such-host.invalid), for port {port}: ");
    let reason = finished.stderr.lines().find(|line| line.contains(&words));
    let reason = reason.expect("the reason is logged");
    assert!(!reason.contains("Success"), "{reason}");
    assert!(finished.stderr.contains(&format!("ERROR: could not listen on port {port}. ")));
}

#[test]
fn an_address_that_is_not_ours() {
    let finished = run(&["-l", "192.0.2.1", "-z", &section(free_port())]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("): Cannot assign requested address\n"), "{}", finished.stderr);
}

#[test]
fn one_address_only() {
    let port = free_port();
    let running = Running::listening(port, &["-l", "127.0.0.1", "-z", &section(port)]);
    assert!(TcpStream::connect(("127.0.0.2", port)).is_err());
    running.signal("INT");
    assert_eq!(running.finish().code, Some(0));
}

#[test]
fn a_unix_socket_instead_of_ports() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("moxi.sock");
    let (one, two) = (free_port(), free_port());
    let config = format!("{};{}", section(one), section(two));
    let running = Running::start(&mut moxi(&["-s", text(&path), "-a", "766", "-z", &config]));
    wait_for("the socket", || UnixStream::connect(&path).is_ok());
    running.wait_started();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o766);
    assert!(refuses(one) && refuses(two));
    running.signal("TERM");
    let finished = running.finish();
    assert_eq!(finished.code, Some(0));
    let complaints = finished.complaints();
    assert!(complaints.ends_with(&format!("reach the section of port {two}, the last one\n")), "{complaints}");
    assert!(!path.exists());
}

#[test]
fn a_unix_socket_that_was_left_behind_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("moxi.sock");
    drop(UnixListener::bind(&path).unwrap());
    let before = fs::metadata(&path).unwrap().ino();
    let config = section(free_port());
    let mut command = moxi(&["-s", "moxi.sock", "-z", &config]);
    let running = Running::start(command.current_dir(directory.path()));
    wait_for("the socket", || UnixStream::connect(&path).is_ok());
    running.wait_started();
    let now = fs::metadata(&path).unwrap();
    assert!(now.ino() != before || now.permissions().mode() & 0o777 == 0o700);
    running.signal("INT");
    assert_eq!(running.finish().code, Some(0));
}

/// Its permissions are those of the user that moxi becomes, and of nobody else.
#[test]
fn a_unix_socket_belongs_to_its_user() {
    if !nix::unistd::Uid::effective().is_root() {
        return; // only root can become somebody else
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("moxi.sock");
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    for arguments in [&["-z", &section(free_port())][..], &["-p", "1"]] {
        let running = Running::start(&mut moxi(&[arguments, &["-u", "nobody", "-s", text(&path)]].concat()));
        wait_for("the socket", || fs::metadata(&path).is_ok_and(|found| found.uid() == nobody.uid.as_raw()));
        running.wait_started();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        running.signal("TERM");
        assert_eq!(running.finish().code, Some(0));
        // The directory is root's.
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn another_file_is_not_replaced_by_a_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("precious");
    fs::write(&path, "x").unwrap();
    let finished = run(&["-s", text(&path), "-z", &section(free_port())]);
    assert_eq!(finished.code, Some(71));
    assert!(
        finished
            .stderr
            .ends_with(&format!(") failed to listen on UNIX socket: {}: Address already in use\n", path.display()))
    );
    assert_eq!(content(&path), "x");
}
