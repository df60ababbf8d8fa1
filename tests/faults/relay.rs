//! A relay in front of a real server that behaves like a bad network or a bad server when it is told to.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use moxi_test_support::ports::Port;
use socket2::SockRef;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Nobody listens; what was connected is closed.
    Refused,
    /// Requests are taken and never answered.
    Silent,
    /// A request is answered with a reset.
    Reset,
    /// A request is answered with the end of the stream.
    Close,
    /// The same, but the connection is kept and read for as long as the peer likes.
    HalfClose,
    /// Of every reply only half arrives, then the end of the stream.
    HalfReply,
    /// Of every reply only half arrives, then nothing.
    Stuck,
    /// Every byte of a reply takes this long.
    Drip(Duration),
    /// Every piece that comes from moxi is held back this long.
    Slow(Duration),
    /// A request is answered with bytes that mean nothing; the number chooses them.
    Garbage(u64),
}

#[derive(Debug)]
struct Shared {
    fault: Fault,
    is_over: bool,
    /// The server's end of every connection: to close it is to close both.
    servers: Vec<TcpStream>,
}

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    port: Port,
    server: u16,
    shared: Arc<Mutex<Shared>>,
    acceptor: Option<JoinHandle<()>>,
}

impl Relay {
    /// A relay in front of the server on `server`.
    pub fn new(server: u16) -> Relay {
        let shared = Shared { fault: Fault::None, is_over: false, servers: Vec::new() };
        let mut relay = Relay { port: Port::reserve(), server, shared: Arc::new(Mutex::new(shared)), acceptor: None };
        relay.listen();
        relay
    }

    /// The port that moxi is given.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// From now on this goes wrong.
    pub fn set(&mut self, fault: Fault) {
        let before = std::mem::replace(&mut self.lock().fault, fault);
        match (before == Fault::Refused, fault == Fault::Refused) {
            (false, true) => self.stop(),
            (true, false) => self.listen(),
            _ => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("relay")
    }

    fn listen(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port())).expect("relay: listen");
        self.lock().is_over = false;
        let (shared, server) = (Arc::clone(&self.shared), self.server);
        self.acceptor = Some(thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if shared.lock().expect("relay").is_over {
                    return;
                }
                connect(&shared, client, server);
            }
        }));
    }

    fn stop(&mut self) {
        {
            let mut shared = self.lock();
            shared.is_over = true;
            for server in shared.servers.drain(..) {
                // It may be closed already.
                let _ = server.shutdown(Shutdown::Both);
            }
        }
        // Wakes the acceptor.
        let _ = TcpStream::connect(("127.0.0.1", self.port()));
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().expect("relay: acceptor");
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.acceptor.is_some() {
            self.stop();
        }
    }
}

/// Joins a connection from moxi with a new one to the server; a server that cannot be reached closes it.
fn connect(shared: &Arc<Mutex<Shared>>, client: TcpStream, port: u16) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
    // Either may have gone in the meantime.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (Ok(from_client), Ok(from_server), Ok(copy)) = (client.try_clone(), server.try_clone(), server.try_clone())
    else {
        return;
    };
    shared.lock().expect("relay").servers.push(copy);
    let is_reset = Arc::new(AtomicBool::new(false));
    let (requests, replies) = (Arc::clone(shared), Arc::clone(shared));
    let is_reset_too = Arc::clone(&is_reset);
    thread::spawn(move || carry_requests(&requests, &is_reset, from_client, server));
    thread::spawn(move || carry_replies(&replies, &is_reset_too, from_server, client));
}

fn read(stream: &mut TcpStream, chunk: &mut [u8]) -> usize {
    loop {
        match stream.read(chunk) {
            Ok(count) => return count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return 0,
        }
    }
}

fn carry_requests(shared: &Mutex<Shared>, is_reset: &AtomicBool, mut client: TcpStream, mut server: TcpStream) {
    let mut chunk = [0; 16 * 1024];
    let mut is_deaf = false;
    loop {
        let count = read(&mut client, &mut chunk);
        if count == 0 {
            break;
        }
        let fault = shared.lock().expect("relay").fault;
        match fault {
            _ if is_deaf => continue,
            Fault::Silent => continue,
            Fault::Reset => {
                is_reset.store(true, Ordering::Relaxed);
                let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
                // The other thread lets go of its copy, too; the last one to be closed sends the reset.
                let _ = server.shutdown(Shutdown::Both);
                return;
            }
            Fault::Close => break,
            Fault::HalfClose => {
                let _ = client.shutdown(Shutdown::Write);
                is_deaf = true;
                continue;
            }
            Fault::Garbage(seed) => {
                let _ = client.write_all(&garbage(seed));
                continue;
            }
            Fault::Slow(time) => thread::sleep(time),
            _ => {}
        }
        if server.write_all(&chunk[..count]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

fn carry_replies(shared: &Mutex<Shared>, is_reset: &AtomicBool, mut server: TcpStream, mut client: TcpStream) {
    let mut chunk = [0; 16 * 1024];
    loop {
        let count = read(&mut server, &mut chunk);
        if count == 0 {
            break;
        }
        let fault = shared.lock().expect("relay").fault;
        let sent = match fault {
            Fault::Drip(time) => chunk[..count].iter().try_for_each(|byte| {
                thread::sleep(time);
                client.write_all(&[*byte])
            }),
            Fault::HalfReply => {
                let _ = client.write_all(&chunk[..count / 2]);
                break;
            }
            Fault::Stuck => {
                let _ = client.write_all(&chunk[..count / 2]);
                // Nothing of what follows would make sense.
                while read(&mut server, &mut chunk) > 0 {}
                break;
            }
            _ => client.write_all(&chunk[..count]),
        };
        if sent.is_err() {
            break;
        }
    }
    if is_reset.load(Ordering::Relaxed) {
        return;
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

/// How garbage begins.
pub const GARBAGE: char = '~';

/// Bytes that are neither a reply line nor a packet, a different mixture for every seed.
fn garbage(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = vec![GARBAGE as u8];
    for _ in 0..40 + seed % 200 {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.push((state >> 32) as u8);
    }
    bytes.extend_from_slice(b"~\r\n");
    bytes
}
