//! Datagrams that broke others: the built-in server answers, or says nothing, and goes on.

use std::net::UdpSocket;

use moxi_test_support::ports::Port;
use moxi_test_support::{LIMIT, moxi};

#[test]
fn datagrams_that_broke_others() {
    let (tcp, udp) = (Port::reserve(), Port::reserve());
    let moxi = moxi!()
        .servers([moxi_test_support::Down::new().port()])
        .argument("-p")
        .argument(tcp.number().to_string())
        .argument("-U")
        .argument(udp.number().to_string())
        .argument("-l")
        .argument("127.0.0.1")
        .start();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(("127.0.0.1", udp.number())).expect("connect");
    socket.set_read_timeout(Some(LIMIT)).expect("timeout");
    for odd in [
        // Too short for a header; of none; of two; of 65535 (memcached #724).
        &b""[..],
        b"\0",
        b"\0\x01\0\0\0\0\0\0\0",
        b"\0\x02\0\0\0\x02\0\0get a\r\n",
        b"\0\x03\xff\xff\xff\xff\0\0get a\r\n",
        b"\0\x04\0\0\0\x01\0\0",
        b"\0\x05\0\0\0\x01\0\0quit\r\n",
        b"\0\x06\0\0\0\x01\0\0set a 0 0 5\r\nab",
        b"\0\x07\0\0\0\x01\0\0   ",
    ] {
        socket.send(odd).expect("sent");
    }
    let mut asked = b"\x12\x34\0\0\0\x01\0\0".to_vec();
    asked.extend_from_slice(b"version\r\n");
    socket.send(&asked).expect("sent");
    let mut answer = [0; 2048];
    loop {
        let count = socket.recv(&mut answer).expect("an answer");
        // Those to what was odd come before.
        if answer[..2] == [0x12, 0x34] {
            assert_eq!(&answer[8..count], crate::VERSION_IS.as_bytes());
            break;
        }
    }
    drop(moxi);
}
