//! What a Couchbase server does before a memcached server comes to speak: lets everybody log in and choose a bucket.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use moxi_test_support::packet::{HEADER, Packet, op};

/// Starts one in front of a memcached server that speaks the binary protocol; its port.
pub fn open(server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(client, server));
        }
    });
    port
}

fn serve(mut client: TcpStream, server: u16) -> io::Result<()> {
    let mut behind = TcpStream::connect(("127.0.0.1", server))?;
    let (mut replies, mut back) = (behind.try_clone()?, client.try_clone()?);
    thread::spawn(move || io::copy(&mut replies, &mut back));
    loop {
        let mut head = [0; HEADER];
        client.read_exact(&mut head)?;
        let mut body = vec![0; Packet::body_length(&head)];
        client.read_exact(&mut body)?;
        match head[1] {
            opcode @ (op::SASL_AUTH | op::SELECT_BUCKET) => client.write_all(&Packet::reply(opcode).bytes())?,
            _ => behind.write_all(&[&head[..], &body].concat())?,
        }
    }
}
