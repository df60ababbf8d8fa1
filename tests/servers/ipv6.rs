//! memcached servers on an IPv6 address, named in a list, in a map, and by a cluster manager on such an address.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};

use crate::launch::{Running, connect, free_port, moxi, wait_for};
use moxi_test_support::Memcached;

/// Limits that a busy machine does not reach.
const PATIENT: &str = "downstream_timeout=0,connect_timeout=0,downstream_protocol=ascii";

/// A memcached that is reached over IPv6, too; `None`: this machine has no IPv6.
fn server() -> Option<Memcached> {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok()?;
    let server = Memcached::start(&["-l", "::1"]);
    wait_for("memcached on ::1", || TcpStream::connect((Ipv6Addr::LOCALHOST, server.port())).is_ok());
    Some(server)
}

/// A value stored through moxi is in the server.
fn stores(port: u16, server: &Memcached) {
    let key = format!("k{port}");
    let set = format!("set {key} 0 0 5\r\nhello\r\n");
    wait_for("the servers", || {
        let mut client = connect(port);
        let mut reply = [0; 8];
        client.write_all(set.as_bytes()).is_ok() && client.read_exact(&mut reply).is_ok() && &reply == b"STORED\r\n"
    });
    let mut client = server.client();
    client.send(format!("get {key}\r\n"));
    client.expect(format!("VALUE {key} 0 5\r\nhello\r\nEND\r\n"));
}

#[test]
fn lists_and_maps() {
    let Some(server) = server() else { return };
    let address = format!("[::1]:{}", server.port());
    for cluster in [
        address.clone(),
        format!("{address}:7,{address}"),
        format!(r#"{{"numReplicas":0,"serverList":["{address}"],"vBucketMap":[[0]]}}"#),
        format!(
            r#"{{"nodeLocator":"ketama","nodes":[{{"hostname":"[::1]:8091","ports":{{"direct":{}}}}}]}}"#,
            server.port()
        ),
    ] {
        let port = free_port();
        let cluster = format!("{port}={cluster}");
        let _moxi = Running::start(&mut moxi(&["-z", &cluster, "-Z", PATIENT, "-p", "0", "-t", "1", ""]));
        stores(port, &server);
    }
}

#[test]
fn a_cluster_manager() {
    let Some(server) = server() else { return };
    let (manager, port) = (TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).expect("a port"), free_port());
    let cluster = format!("url=http://[::1]:{}/p", manager.local_addr().expect("an address").port());
    let behavior = format!("port_listen={port},{PATIENT}");
    let _moxi =
        Running::start(moxi(&["-z", &cluster, "-Z", &behavior, "-p", "0", "-t", "1", ""]).env_remove("http_proxy"));
    let (mut stream, _) = manager.accept().expect("moxi asks");
    let document =
        format!(r#"{{"numReplicas":0,"serverList":["$HOST:{}"],"vBucketMap":[[0]]}}"#, server.port()) + "\n\n\n\n";
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    write!(stream, "{head}{:x}\r\n{document}\r\n", document.len()).expect("moxi listens");
    stores(port, &server);
}
