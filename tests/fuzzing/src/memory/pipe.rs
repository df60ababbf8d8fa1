//! A connection in memory: an end for the proxy, which is a socket that never waits, and one for its peer.
//!
//! It is as edge-triggered as the system: that bytes have come, or that there is room again, is announced once. A rough
//! one does everything else that a socket may do: it takes or gives less than it could (and announces the rest, as if
//! that had come just after), is interrupted, takes bytes for a peer that has gone, has events without a reason.

use std::cell::{RefCell, RefMut};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::RawFd;
use std::rc::Rc;

use moxi::net::driver::{ClientStream, Readiness, ServerStream};
use nix::errno::Errno;

use super::bytes::Bytes;
use super::random::Random;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Made,
    Refused,
}

/// What both ends see.
#[derive(Debug)]
pub struct Ends {
    /// Arrived and not read by the proxy.
    pub inbound: Bytes,
    /// Written by the proxy and not read by the peer.
    pub outbound: Bytes,
    stage: Stage,
    /// How many bytes each direction takes.
    capacity: usize,
    /// The peer has finished sending.
    fin: bool,
    /// An event has said so.
    is_fin_told: bool,
    /// The connection is broken: reading gives an error once `inbound` is empty.
    reset: bool,
    /// The peer has gone: what is written is lost.
    deaf: bool,
    /// The proxy sends nothing more, and drops what it reads.
    pub is_finished: bool,
    /// The proxy has dropped its end.
    pub is_closed: bool,
    /// What the next event says.
    edge: Readiness,
    /// The proxy could not write all: an event will tell when there is room.
    wants_room: bool,
    /// There was room when the proxy wrote the last time, and it was told that there was none.
    has_hidden_room: bool,
    is_rough: bool,
    /// How many of the next reads are interrupted.
    interruptions: u32,
    random: Random,
}

impl Ends {
    fn announce(&mut self, what: Readiness) {
        self.edge.is_readable |= what.is_readable;
        self.edge.is_writable |= what.is_writable;
        self.edge.is_hung_up |= what.is_hung_up;
        self.edge.is_broken |= what.is_broken;
    }

    /// What holds now, whether it was announced or not.
    fn level(&self) -> Readiness {
        Readiness {
            is_readable: !self.inbound.is_empty() || self.fin || self.reset,
            is_writable: !self.wants_room || self.reset,
            is_hung_up: self.fin || self.reset,
            is_broken: self.reset,
        }
    }

    /// How many more bytes may come from the peer.
    pub fn room(&self) -> usize {
        self.capacity.saturating_sub(self.inbound.len())
    }

    /// Whether it may not have shown the proxy yet what has arrived, or that there is room.
    pub fn holds_back(&self) -> bool {
        self.is_rough && !self.inbound.is_empty() || self.has_hidden_room
    }

    /// Whether the proxy could read something, and nothing will tell it.
    pub fn is_forgotten(&self) -> bool {
        let is_told = self.is_closed || self.edge != Readiness::default();
        self.stage == Stage::Made && !is_told && self.level().is_readable
    }

    /// Whether the proxy waits until the connection is made.
    pub fn is_connecting(&self) -> bool {
        self.stage == Stage::Connecting
    }

    fn is_whim(&mut self, times: u64) -> bool {
        self.is_rough && self.random.once_in(times)
    }

    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        assert_eq!(self.stage, Stage::Made, "nothing can be read yet");
        assert!(!space.is_empty(), "no room to read to");
        let more = Readiness { is_readable: true, ..Readiness::default() };
        if self.interruptions == 0 && self.is_whim(20) {
            // More than one turn's share of reads, now and then.
            self.interruptions = self.random.pick(&[1, 1, 40]);
        }
        if self.interruptions > 0 {
            self.interruptions -= 1;
            return Err(ErrorKind::Interrupted.into());
        }
        if self.inbound.is_empty() {
            return match (self.reset, self.fin) {
                (true, _) => Err(Errno::ECONNRESET.into()),
                (_, true) => Ok(0),
                _ => Err(ErrorKind::WouldBlock.into()),
            };
        }
        // Who knows that the peer has finished reads to the end, whatever comes at once.
        if !self.is_fin_told && self.is_whim(10) {
            self.announce(more);
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut count = self.inbound.len().min(space.len());
        if self.is_whim(4) {
            count = self.random.piece(count);
            if !self.is_fin_told && count < space.len() && count < self.inbound.len() {
                self.announce(more);
            }
        }
        space[..count].copy_from_slice(&self.inbound.as_slice()[..count]);
        self.inbound.drop_front(count);
        Ok(count)
    }

    fn write(&mut self, parts: &[&[u8]]) -> io::Result<usize> {
        assert_eq!(self.stage, Stage::Made, "nothing can be written yet");
        assert!(!self.is_finished, "something is written behind the end");
        let wanted = parts.iter().map(|part| part.len()).sum();
        assert!(wanted > 0, "nothing is written");
        if self.is_whim(20) {
            return Err(ErrorKind::Interrupted.into());
        }
        if self.deaf {
            return self.write_in_vain(wanted);
        }
        let room = self.capacity.saturating_sub(self.outbound.len());
        let mut count = room.min(wanted);
        let more = Readiness { is_writable: true, ..Readiness::default() };
        self.has_hidden_room = count > 0 && self.is_whim(10);
        if self.has_hidden_room {
            self.announce(more);
            return Err(ErrorKind::WouldBlock.into());
        }
        if count == 0 {
            self.wants_room = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.is_whim(4) {
            count = self.random.piece(count);
            if count < wanted {
                self.announce(more);
            }
        } else {
            self.wants_room = count < wanted;
        }
        let mut left = count;
        for part in parts {
            let taken = part.len().min(left);
            self.outbound.push(&part[..taken]);
            left -= taken;
        }
        Ok(count)
    }

    /// The peer has gone. The system notices when it answers to the first bytes.
    fn write_in_vain(&mut self, wanted: usize) -> io::Result<usize> {
        if self.reset || !self.is_whim(2) {
            return Err(Errno::EPIPE.into());
        }
        self.reset = true;
        self.announce(self.level());
        Ok(wanted)
    }
}

/// The peer's end, and the view from above.
#[derive(Clone, Debug)]
pub struct Pipe(Rc<RefCell<Ends>>);

/// The proxy's end.
#[derive(Debug)]
pub struct Socket(Pipe);

impl Pipe {
    /// A connection that is made, or is being made; both directions take `capacity` bytes.
    pub fn new(is_made: bool, capacity: usize, is_rough: bool, random: Random) -> Pipe {
        // Room to write is announced at the beginning; of one that is being made it may be.
        let mut random = random;
        let is_writable = is_made || is_rough && random.once_in(3);
        Pipe(Rc::new(RefCell::new(Ends {
            inbound: Bytes::default(),
            outbound: Bytes::default(),
            stage: if is_made { Stage::Made } else { Stage::Connecting },
            capacity,
            fin: false,
            is_fin_told: false,
            reset: false,
            deaf: false,
            is_finished: false,
            is_closed: false,
            edge: Readiness { is_writable, ..Readiness::default() },
            wants_room: false,
            has_hidden_room: false,
            is_rough,
            interruptions: 0,
            random,
        })))
    }

    /// The proxy's end, of which there is one.
    pub fn socket(&self) -> Socket {
        Socket(self.clone())
    }

    /// Whether this is the other end of `socket`.
    pub(super) fn is_of(&self, socket: &Socket) -> bool {
        Rc::ptr_eq(&self.0, &socket.0.0)
    }

    /// The next event tells all that holds.
    pub(super) fn announce_all(&self) {
        let mut ends = self.ends();
        let level = ends.level();
        ends.announce(level);
    }

    /// What both ends see.
    pub fn ends(&self) -> RefMut<'_, Ends> {
        self.0.borrow_mut()
    }

    /// The connection is made, or refused.
    pub fn decide(&self, is_made: bool) {
        let mut ends = self.ends();
        ends.stage = if is_made { Stage::Made } else { Stage::Refused };
        let is_refused = !is_made;
        ends.announce(Readiness {
            is_writable: true,
            is_readable: is_refused,
            is_hung_up: is_refused,
            is_broken: is_refused,
        });
    }

    /// `count` bytes of `from` arrive.
    pub fn send(&self, from: &mut Bytes, count: usize) {
        let mut ends = self.ends();
        from.move_to(&mut ends.inbound, count);
        ends.announce(Readiness { is_readable: true, ..Readiness::default() });
    }

    /// The peer has taken bytes from `outbound`.
    pub fn has_taken(&self) {
        let mut ends = self.ends();
        if ends.wants_room && ends.outbound.len() * 3 <= ends.capacity * 2 {
            ends.wants_room = false;
            ends.announce(Readiness { is_writable: true, ..Readiness::default() });
        }
    }

    /// The peer sends nothing more.
    pub fn finish(&self) {
        let mut ends = self.ends();
        ends.fin = true;
        ends.announce(Readiness { is_readable: true, is_hung_up: true, ..Readiness::default() });
    }

    /// The peer goes, and breaks the connection, or not.
    pub fn leave(&self, is_broken: bool) {
        let mut ends = self.ends();
        (ends.deaf, ends.reset) = (true, is_broken);
        // Who waits for room hears of it, too: what was on its way finds nobody.
        let is_writable = std::mem::take(&mut ends.wants_room);
        ends.announce(Readiness { is_broken, is_writable, ..Readiness::default() });
        drop(ends);
        self.finish();
    }

    /// Whether the proxy has dropped its end.
    pub fn is_closed(&self) -> bool {
        self.0.borrow().is_closed
    }

    /// Whether there is an event.
    pub fn has_event(&self) -> bool {
        let ends = self.0.borrow();
        !ends.is_closed && ends.edge != Readiness::default()
    }

    /// The event, if there is one. As the system does, it may tell all that holds, too.
    pub fn take_event(&self) -> Option<Readiness> {
        let mut ends = self.ends();
        let is_spurious = ends.is_whim(50);
        if ends.edge == Readiness::default() && !is_spurious {
            return None;
        }
        if ends.stage == Stage::Made && (is_spurious || ends.random.once_in(2)) {
            let level = ends.level();
            ends.announce(level);
        }
        ends.is_fin_told |= ends.edge.is_hung_up;
        Some(std::mem::take(&mut ends.edge))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.ends().is_closed = true;
    }
}

impl Read for Socket {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.0.ends().read(space)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.ends().write(&[bytes])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let parts: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
        self.0.ends().write(&parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ClientStream for Socket {
    fn descriptor(&self) -> RawFd {
        0
    }

    fn set_quickack(&self) {}
}

impl ServerStream for Socket {
    fn finish_connect(&self) -> io::Result<bool> {
        match self.0.ends().stage {
            Stage::Connecting => Ok(false),
            Stage::Made => Ok(true),
            Stage::Refused => Err(Errno::ECONNREFUSED.into()),
        }
    }

    fn finish(&self) -> io::Result<()> {
        let mut ends = self.0.ends();
        ends.is_finished = true;
        if ends.reset { Err(Errno::ENOTCONN.into()) } else { Ok(()) }
    }
}
