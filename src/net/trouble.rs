//! What errors of the system mean: whose they are, and what can still be done.

use std::fs::File;
use std::io;

use nix::errno::Errno;

use crate::proxy::downstream::shortage::Lack;

/// What an error of `accept` means.
#[derive(Debug, PartialEq, Eq)]
pub enum Accept {
    /// Nobody is waiting any more.
    Drained,
    /// One client has gone already, or its network has trouble (accept(2), "Error handling").
    ThisClient,
    /// The system has run out of something.
    Shortage,
    /// Anything else.
    Other,
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}

/// What this error of `accept` means.
pub fn of_accept(error: &io::Error) -> Accept {
    match errno(error) {
        Some(Errno::EAGAIN) => Accept::Drained,
        Some(
            Errno::ECONNABORTED
            | Errno::EINTR
            | Errno::EPERM
            | Errno::EPROTO
            | Errno::ENETDOWN
            | Errno::ENOPROTOOPT
            | Errno::EHOSTDOWN
            | Errno::ENONET
            | Errno::EHOSTUNREACH
            | Errno::EOPNOTSUPP
            | Errno::ENETUNREACH,
        ) => Accept::ThisClient,
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => Accept::Shortage,
        _ => Accept::Other,
    }
}

/// Whether there was no descriptor left, in the process or in the whole system.
pub fn lacks_descriptor(error: &io::Error) -> bool {
    matches!(errno(error), Some(Errno::EMFILE | Errno::ENFILE))
}

/// What was missing for a connection that could not be begun; `None`: the peer, or the way to it, is in trouble.
/// `is_socket`: it was to be to a unix socket.
pub fn of_connect(error: &io::Error, is_socket: bool) -> Option<Lack> {
    // Memory, a port of our own (EAGAIN, EADDRNOTAVAIL), a place in the event queue (ENOSPC).
    let others = [Errno::ENOMEM, Errno::ENOBUFS, Errno::EAGAIN, Errno::EADDRNOTAVAIL, Errno::ENOSPC];
    match errno(error)? {
        Errno::EMFILE | Errno::ENFILE => Some(Lack::Descriptor),
        Errno::EAGAIN if is_socket => Some(Lack::Queue),
        errno => others.contains(&errno).then_some(Lack::Other),
    }
}

/// Of two errors with addresses of one peer, the one that tells why it is not reached. That the last address is no
/// use here (::1 where IPv6 is switched off) does not explain an error with one before it.
pub fn telling(before: Option<io::Error>, last: io::Error) -> io::Error {
    match before {
        Some(before) if errno(&last) == Some(Errno::EADDRNOTAVAIL) && of_connect(&before, false).is_none() => before,
        _ => last,
    }
}

/// Why a name was not found. The library does not say it if it had no descriptor to ask with.
pub fn of_lookup(error: io::Error) -> io::Error {
    match File::open("/dev/null") {
        Err(found) if lacks_descriptor(&found) => found,
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_accept() {
        assert_eq!(of_accept(&Errno::EAGAIN.into()), Accept::Drained);
        assert_eq!(of_accept(&Errno::ECONNABORTED.into()), Accept::ThisClient);
        assert_eq!(of_accept(&Errno::EMFILE.into()), Accept::Shortage);
        assert_eq!(of_accept(&Errno::EBADF.into()), Accept::Other);
        assert_eq!(of_accept(&io::Error::other("?")), Accept::Other);
    }

    #[test]
    fn errors_of_connect() {
        for (errno, want) in [
            (Errno::EMFILE, Some(Lack::Descriptor)),
            (Errno::ENFILE, Some(Lack::Descriptor)),
            (Errno::ENOMEM, Some(Lack::Other)),
            (Errno::ENOBUFS, Some(Lack::Other)),
            (Errno::EADDRNOTAVAIL, Some(Lack::Other)),
            (Errno::EAGAIN, Some(Lack::Other)),
            (Errno::ENOSPC, Some(Lack::Other)),
            (Errno::ECONNREFUSED, None),
            (Errno::ETIMEDOUT, None),
            (Errno::EHOSTUNREACH, None),
            (Errno::ENETUNREACH, None),
            (Errno::ECONNRESET, None),
        ] {
            assert_eq!(of_connect(&errno.into(), false), want, "{errno}");
        }
        assert_eq!(of_connect(&io::ErrorKind::AddrNotAvailable.into(), false), None, "a name without addresses");
        assert_eq!(of_connect(&Errno::EAGAIN.into(), true), Some(Lack::Queue));
    }

    #[test]
    fn the_error_of_several_addresses() {
        let of = |errors: &[Errno]| {
            let all = errors.iter().fold(None, |before, errno| Some(telling(before, (*errno).into())));
            all.and_then(|error| error.raw_os_error()).map(Errno::from_raw)
        };
        for (errors, want) in [
            (&[Errno::ECONNREFUSED, Errno::EADDRNOTAVAIL][..], Errno::ECONNREFUSED),
            (&[Errno::EADDRNOTAVAIL, Errno::ECONNREFUSED], Errno::ECONNREFUSED),
            (&[Errno::ECONNREFUSED, Errno::EMFILE], Errno::EMFILE),
            (&[Errno::EMFILE, Errno::EADDRNOTAVAIL], Errno::EADDRNOTAVAIL),
            (&[Errno::EADDRNOTAVAIL], Errno::EADDRNOTAVAIL),
        ] {
            assert_eq!(of(errors), Some(want), "{errors:?}");
        }
    }
}
