//! A memcached from before the meta commands, as far as a proxy can tell.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

/// Stands before a real memcached and has it refuse the question whether it knows meta commands, as long as that is the first
/// thing on a connection. It ends with the process of the test.
#[derive(Debug)]
pub struct Classic {
    port: u16,
}

impl Classic {
    /// Before the memcached at this port.
    pub fn before(memcached: u16) -> Classic {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", memcached)) else { continue };
                let (mut answers, mut to_client) =
                    (server.try_clone().expect("socket"), client.try_clone().expect("socket"));
                std::thread::spawn(move || {
                    drop(std::io::copy(&mut answers, &mut to_client));
                    drop(to_client.shutdown(Shutdown::Write));
                });
                std::thread::spawn(move || pass(client, server));
            }
        });
        Classic { port }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Passes on what the proxy sends, with another first word if that is `mn`.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut start = [0; 4];
    let count = from.read(&mut start).unwrap_or(0);
    if start.starts_with(b"mn") {
        start[1] = b'?';
    }
    if to.write_all(&start[..count]).is_ok() {
        drop(std::io::copy(&mut from, &mut to));
    }
    drop(to.shutdown(Shutdown::Write));
}
