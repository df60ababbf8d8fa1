//! Clients that send too little, too much, or do not read.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Memcached, Moxi, MoxiBuilder, moxi};

use crate::field::{Attack, Signals, scale};

/// What a connection holds while a line or a value has begun to come, beside the bytes themselves: a buffer, and the
/// client.
const BEGUN: u64 = 20 << 10;

/// As many descriptors as this process may have, for the crowds.
fn many_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("a higher limit");
}

/// A proxy of one worker, which attackers and others share.
fn scene(server: &Memcached, change: impl Fn(MoxiBuilder) -> MoxiBuilder) -> Moxi {
    many_descriptors();
    change(moxi!().servers([server.port()]).ascii().argument("-c").argument("15000")).start()
}

/// So many connections, each of which has sent `bytes`.
fn crowd(port: u16, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.write_all(bytes).expect("sent");
        stream.set_nonblocking(true).expect("non-blocking");
        stream
    };
    (0..count).map(connect).collect()
}

/// Writes as much of `bytes` as is taken; on a new connection if the one that there was is closed.
fn push(stream: &mut TcpStream, port: u16, bytes: &[u8]) {
    let Err(error) = stream.write(bytes) else { return };
    if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
        && let Ok(other) = TcpStream::connect(("127.0.0.1", port))
    {
        *stream = other;
        stream.set_nonblocking(true).expect("non-blocking");
    }
}

#[test]
fn slow_loris() {
    let server = Memcached::start(&[]);
    let (moxi, count) = (scene(&server, |builder| builder), scale(300, 10_000));
    let (port, name) = (moxi.port(), format!("{count} clients that send a byte each second"));
    Attack { name, allowed: count as u64 * BEGUN, moxi }.judge(|signals: &Signals| {
        let mut clients = crowd(port, count, b"get ");
        signals.begin();
        while !signals.is_over() {
            for chunk in clients.chunks_mut(count.div_ceil(100)) {
                for client in chunk {
                    push(client, port, b"k");
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
    });
}

#[test]
fn endless_lines() {
    let server = Memcached::start(&[]);
    for (begins, limit, count) in [("set ", 8 << 10, scale(50, 1000)), ("get ", 8 << 20, scale(4, 20))] {
        let moxi = scene(&server, |builder| builder);
        let (port, name) = (moxi.port(), format!("{count} lines that begin with `{begins}` and do not end"));
        // A line that grows is moved to twice the room.
        let allowed = count as u64 * (2 * limit + BEGUN);
        Attack { name, allowed, moxi }.judge(|signals| {
            let mut clients = crowd(port, count, begins.as_bytes());
            let piece = vec![b'x'; 4096];
            signals.begin();
            while !signals.is_over() {
                for client in &mut clients {
                    push(client, port, &piece);
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
    }
}

/// A word of megabytes that goes on byte by byte: none of these costs what all before it did.
#[test]
fn a_long_word_byte_by_byte() {
    let server = Memcached::start(&[]);
    let mut moxi = scene(&server, |builder| builder);
    let process = moxi.process().id();
    let (port, bytes) = (moxi.port(), scale(300, 1000));
    let mut client = crowd(port, 1, b"").remove(0);
    client.set_nonblocking(false).expect("blocking");
    client.set_nodelay(true).expect("no delay");
    client.write_all(&[b"get ".to_vec(), vec![b'k'; 4 << 20]].concat()).expect("sent");
    moxi.turn();
    let ticks = || {
        let status = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("a process");
        let times = status.split_whitespace().skip(13).take(2).map(|ticks| ticks.parse::<usize>().expect("ticks"));
        times.sum::<usize>()
    };
    let before = ticks();
    let name = format!("{bytes} bytes, one by one, of a word of 4 MiB");
    Attack { name, allowed: 16 << 20, moxi }.judge(|signals| {
        signals.begin();
        for _ in 0..bytes {
            client.write_all(b"k").expect("sent");
            thread::sleep(Duration::from_micros(500));
        }
        // A hundredth of a second each. Other clients cost, too.
        let spent = ticks() - before;
        assert!(spent < 100 + scale(0, 400), "{spent} hundredths of a second for {bytes} bytes");
        signals.hold();
    });
}

#[test]
fn announced_values() {
    let server = Memcached::start(&[]);
    let mut packet = Packet::storing(op::SET, "k", "").bytes();
    packet[8..12].copy_from_slice(&0xffff_ffffu32.to_be_bytes());
    for (what, bytes) in [
        ("4 GiB by a line", &b"set k 0 0 4294967295\r\n"[..]),
        ("128 MiB by a line", b"set k 0 0 134217728\r\nx"),
        ("4 GiB by a packet", &packet),
    ] {
        let (moxi, count) = (scene(&server, |builder| builder), scale(300, 5000));
        let (port, name) = (moxi.port(), format!("{count} values of {what} announced"));
        Attack { name, allowed: count as u64 * BEGUN, moxi }.judge(|signals| {
            let _clients = crowd(port, count, bytes);
            signals.hold();
        });
    }
}

#[test]
fn values_that_stall() {
    let server = Memcached::start(&[]);
    let (moxi, count) = (scene(&server, |builder| builder), scale(300, 10_000));
    let (port, name) = (moxi.port(), format!("{count} clients that stall after 10000 bytes of a value"));
    let bytes = [b"set k 0 0 1000000\r\n".to_vec(), vec![b'x'; 10_000]].concat();
    Attack { name, allowed: count as u64 * (16 << 10 | BEGUN), moxi }.judge(|signals| {
        let _clients = crowd(port, count, &bytes);
        signals.hold();
    });
}

#[test]
fn quiet_commands_without_end() {
    let server = Memcached::start(&[]);
    let quiet = [
        ("GETKQ packets", Packet::request(op::GETKQ).key("nobody").bytes()),
        ("SETQ packets", Packet::storing(op::SETQ, "k", "v").bytes()),
        ("noreply lines", b"set k 0 0 1 noreply\r\nv\r\n".to_vec()),
    ];
    for (what, bytes) in quiet {
        let (moxi, count) = (scene(&server, |builder| builder), scale(2, 4));
        let (port, name) = (moxi.port(), format!("{count} clients that send nothing but {what}"));
        // `quiet_max`, and what is known of each.
        Attack { name, allowed: count as u64 * (42 << 20), moxi }.judge(|signals| {
            let mut clients = crowd(port, count, b"");
            let many = bytes.repeat(1000);
            signals.begin();
            while !signals.is_over() {
                let mut pushed = false;
                for client in &mut clients {
                    // Whole, or else out of step: the rest of a thousand is sent before anything else.
                    pushed |= push_all(client, &many, signals);
                }
                if !pushed {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
    }
}

/// Writes all of `bytes`, as soon as it is taken; whether any of it was.
fn push_all(stream: &mut TcpStream, bytes: &[u8], signals: &Signals) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() && !signals.is_over() {
        match stream.write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if rest.len() == bytes.len() {
                    return false;
                }
                thread::sleep(Duration::from_micros(200));
            }
            Err(_) => return false,
        }
    }
    true
}

#[test]
fn clients_that_do_not_read() {
    let server = Memcached::start(&[]);
    let moxi = scene(&server, |builder| builder.set("downstream_max=100"));
    let count = scale(4, 40);
    let (port, name) = (moxi.port(), format!("{count} clients that ask for 100000 bytes each time and do not read"));
    moxi.client().ask(format!("set k 0 0 100000\r\n{}\r\n", "x".repeat(100_000)), "STORED\r\n");
    // `upstream_output_max` each, with a quarter for what lies between values in buffers, and what is under way.
    let allowed = count as u64 * (20 << 20) + 100 * 100_000;
    Attack { name, allowed, moxi }.judge(|signals| {
        let _clients = crowd(port, count, &b"get k\r\n".repeat(2000));
        signals.hold();
    });
}

#[test]
fn a_get_of_a_million_keys() {
    // One thread of a server is at such a line for a second.
    let server = Memcached::start(&["-t", "4"]);
    let (moxi, keys) = (scene(&server, |builder| builder), scale(50_000, 1_000_000));
    let (port, name) = (moxi.port(), format!("gets of {keys} keys, one after the other"));
    let line: String = (0..keys).map(|number| format!(" {number:06x}")).collect();
    let line = format!("get{line}\r\n");
    Attack { name, allowed: keys as u64 * 250, moxi }.judge(|signals| {
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        client.set_read_timeout(Some(Duration::from_millis(50))).expect("a limit");
        signals.begin();
        while !signals.is_over() {
            client.write_all(line.as_bytes()).expect("sent");
            let mut end = [0; 5];
            while !signals.is_over() && client.read_exact(&mut end).is_err() {}
        }
    });
}
