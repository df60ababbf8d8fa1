//! `https://` in the URLs of a cluster manager, in a build with the feature `tls` (05 §2.4, §6.2).

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::launch::{self, Daemon, Running, connect, finish, free_port, text};
use moxi_test_support::{Mock, Wire};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

/// A command line that trusts `roots` and nobody else.
fn command(cluster: &str, port: u16, roots: &str) -> Command {
    let behavior = format!("port_listen={port},downstream_protocol=ascii");
    let mut command = launch::moxi(&["-z", cluster, "-Z", &behavior, "-p", "0", "-l", "127.0.0.1", ""]);
    for name in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy", "no_proxy", "SSL_CERT_DIR"] {
        command.env_remove(name);
    }
    command.env("SSL_CERT_FILE", data(roots));
    command
}

type Secured = StreamOwned<ServerConnection, TcpStream>;

fn secured(stream: TcpStream) -> Secured {
    let chain = CertificateDer::pem_file_iter(data("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(data("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream)
}

fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a request");
        head.extend_from_slice(&byte);
    }
    String::from_utf8(head).unwrap()
}

/// Sends `stream` the document of a bucket with one server, and leaves it open.
fn stream_document(stream: &mut Secured, server: &Mock) {
    let document = format!(
        "{{\"name\":\"a\",\"vBucketServerMap\":{{\"numReplicas\":0,\"serverList\":[\"127.0.0.1:{}\"],\
         \"vBucketMap\":[[0]]}}}}\n\n\n\n",
        server.port()
    );
    let chunk = format!("{:x}\r\n{document}\r\n", document.len());
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(format!("{head}{chunk}").as_bytes()).unwrap();
    stream.flush().unwrap();
}

/// A client of `port` reaches `server`.
fn serves(port: u16, server: &Mock) {
    drop(connect(port));
    let mut client = Wire::connect("client", port);
    client.send("set a 0 0 1\r\n1\r\n");
    let mut conn = server.accept();
    conn.expect("set a 0 0 1\r\n1\r\n");
    conn.send("STORED\r\n");
    client.expect("STORED\r\n");
}

#[test]
fn documents_come_encrypted() {
    let (listener, server, port) = (TcpListener::bind("127.0.0.1:0").unwrap(), Mock::new(), free_port());
    let authority = listener.local_addr().unwrap();
    let cluster = format!("auth=fred%sesame,url=https://{authority}/p");
    let _moxi = Running::start(&mut command(&cluster, port, "ca.pem"));
    let mut stream = secured(listener.accept().unwrap().0);
    let want =
        format!("GET /p HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Basic ZnJlZDpzZXNhbWU=\r\nAccept: */*\r\n\r\n");
    assert_eq!(head(&mut stream), want);
    stream_document(&mut stream, &server);
    serves(port, &server);
}

/// A daemon, which leaves its directory, finds certificates by a relative path.
#[test]
fn certificates_of_a_daemon() {
    let (listener, server, port) = (TcpListener::bind("127.0.0.1:0").unwrap(), Mock::new(), free_port());
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let url = format!("url=https://{}/p", listener.local_addr().unwrap());
    let mut command = command(&url, port, "ca.pem");
    command.args(["-d", "-P", text(&pid_file)]).env("SSL_CERT_FILE", "./ca.pem").current_dir(data("."));
    assert_eq!(finish(&mut command).code, Some(0));
    let daemon = Daemon::of(&pid_file);
    // The first connection may have been made before it went.
    drop(listener.accept().unwrap());
    let mut stream = secured(listener.accept().unwrap().0);
    head(&mut stream);
    stream_document(&mut stream, &server);
    serves(port, &server);
    daemon.signal("TERM");
    daemon.wait_gone();
}

#[test]
fn a_proxy_makes_a_tunnel() {
    let (proxy, server, port) = (TcpListener::bind("127.0.0.1:0").unwrap(), Mock::new(), free_port());
    let mut command = command("url=https://cm.example/p", port, "ca.pem");
    command.env("https_proxy", format!("http://wilma:sesame@{}", proxy.local_addr().unwrap()));
    let mut moxi = Running::start(&mut command);
    let mut refused = proxy.accept().unwrap().0;
    let want = "CONNECT cm.example:443 HTTP/1.1\r\nHost: cm.example:443\r\n\
                Proxy-Authorization: Basic d2lsbWE6c2VzYW1l\r\nProxy-Connection: Keep-Alive\r\n\r\n";
    assert_eq!(head(&mut refused), want);
    refused.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").unwrap();
    let line = moxi.complaint();
    let why = "(the proxy on the way there answers with HTTP status 401); perhaps they are unavailable or still initializing\n";
    assert!(line.ends_with(why), "{line}");
    let mut accepted = proxy.accept().unwrap().0;
    assert_eq!(head(&mut accepted), want);
    accepted.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
    let mut stream = secured(accepted);
    assert_eq!(head(&mut stream), "GET /p HTTP/1.1\r\nHost: cm.example\r\nAccept: */*\r\n\r\n");
    stream_document(&mut stream, &server);
    serves(port, &server);
}

#[test]
fn nobody_is_trusted_without_reason() {
    for (host, roots, plain, why) in [
        // The server's own certificate is not that of an authority it is signed by.
        ("127.0.0.1", "server.pem", false, "certificate is not trusted: invalid peer certificate"),
        ("localhost", "ca.pem", false, "certificate is not trusted: invalid peer certificate"),
        ("127.0.0.1", "server.key", false, "no trusted certificates on this system: "),
        ("127.0.0.1", "ca.pem", true, "TLS: "),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{host}:{}/p", listener.local_addr().unwrap().port());
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                if plain {
                    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
                    let _ = stream.read(&mut [0; 1024]);
                    continue;
                }
                let mut stream = secured(stream);
                assert!(stream.read(&mut [0; 1024]).is_err(), "a request has come");
            }
        });
        let mut moxi = Running::start(&mut command(&format!("url={url}"), free_port(), roots));
        let line = moxi.complaint();
        assert!(line.contains(&format!("could not contact REST server(s): {url} ({why}")), "{line}");
    }
}
