//! A socket between two processes. It keeps messages apart, and carries descriptors.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use socket2::{Domain, SockRef, Socket, Type};

use super::message::Message;

/// Longest message, with room for paths and names of any length that there is.
const LONGEST: usize = 64 * 1024;

/// One end of it.
#[derive(Debug)]
pub(super) struct Channel {
    socket: OwnedFd,
}

impl Channel {
    /// Two ends.
    pub(super) fn pair() -> io::Result<(Channel, Channel)> {
        let (one, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        Ok((Channel { socket: one.into() }, Channel { socket: other.into() }))
    }

    /// The end that is this descriptor. `None`: it is something else.
    pub(super) fn from_descriptor(descriptor: BorrowedFd<'_>) -> io::Result<Option<Channel>> {
        let socket = SockRef::from(&descriptor);
        // Of what is no socket there is no type.
        if !socket.r#type().is_ok_and(|kind| kind == Type::SEQPACKET) || !socket.local_addr()?.is_unix() {
            return Ok(None);
        }
        Ok(Some(Channel { socket: descriptor.try_clone_to_owned()? }))
    }

    /// For the other process.
    pub(super) fn into_descriptor(self) -> OwnedFd {
        self.socket
    }

    /// Whether to wait: for room to send, and for messages.
    pub(super) fn set_nonblocking(&self, is_nonblocking: bool) -> io::Result<()> {
        SockRef::from(&self.socket).set_nonblocking(is_nonblocking)
    }

    /// Sends a message, and a descriptor that goes with it.
    pub(super) fn send(&self, message: &Message, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = message.to_bytes();
        let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        // There is room for one.
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        rustix::io::retry_on_intr(|| {
            sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)
        })?;
        Ok(())
    }

    /// The next message that is known, and the descriptor that has come with it. The end of the other process is an
    /// error, `UnexpectedEof`.
    pub(super) fn receive(&self) -> io::Result<(Message, Option<OwnedFd>)> {
        let mut bytes = vec![0; LONGEST];
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let received = rustix::io::retry_on_intr(|| {
                recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)
            })?;
            let descriptor = control.drain().find_map(|part| match part {
                RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
                _ => None,
            });
            if received.bytes == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let text = bytes.get(..received.bytes).unwrap_or_default();
            if let Some(message) = Message::parse(text) {
                return Ok((message, descriptor));
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;

    #[test]
    fn messages_and_descriptors_arrive() {
        let (one, other) = Channel::pair().unwrap();
        other.set_nonblocking(true).unwrap();
        assert_eq!(other.receive().unwrap_err().kind(), ErrorKind::WouldBlock);
        let file = File::open("/proc/self/comm").unwrap();
        one.send(&Message::Inherited("a b".to_owned()), Some(file.as_fd())).unwrap();
        // What the other one does not know.
        rustix::net::send(&one.socket, b"fly to the moon", SendFlags::empty()).unwrap();
        one.send(&Message::End, None).unwrap();
        let (message, descriptor) = other.receive().unwrap();
        assert_eq!(message, Message::Inherited("a b".to_owned()));
        let mut text = String::new();
        File::from(descriptor.unwrap()).read_to_string(&mut text).unwrap();
        assert!(!text.is_empty());
        assert!(matches!(other.receive(), Ok((Message::End, None))));
        drop(one);
        assert_eq!(other.receive().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_no_channel() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(Channel::from_descriptor(one.as_fd()).unwrap().is_none());
        assert!(Channel::from_descriptor(File::open("/dev/null").unwrap().as_fd()).unwrap().is_none());
        let (one, _other) = Channel::pair().unwrap();
        assert!(Channel::from_descriptor(one.as_fd()).unwrap().is_some());
    }
}
