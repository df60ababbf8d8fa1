//! The floor: a server that does nothing but send back what it has read.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);

struct Client {
    stream: TcpStream,
    owed: Vec<u8>,
}

/// Serves on `port` until it is ended.
///
/// # Errors
/// When the system refuses what is needed.
pub fn serve(port: u16) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(([127, 0, 0, 1], port).into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut clients: Vec<Option<Client>> = Vec::new();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(clients.len()), interest)?;
                    clients.push(Some(Client { stream, owed: Vec::new() }));
                }
            } else if let Some(place) = clients.get_mut(event.token().0)
                && let Some(client) = place
                && client.answer(&mut buffer).is_err()
            {
                *place = None;
            }
        }
    }
}

impl Client {
    fn answer(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            self.send_owed()?;
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.owed.extend_from_slice(&buffer[..count]);
            if count < buffer.len() {
                return self.send_owed();
            }
        }
    }

    fn send_owed(&mut self) -> io::Result<()> {
        if self.owed.is_empty() {
            return Ok(());
        }
        match self.stream.write(&self.owed) {
            Ok(count) => drop(self.owed.drain(..count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
