//! Ports for child processes that must be told theirs on the command line.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

use nix::fcntl::{Flock, FlockArg};
use socket2::{Domain, Socket, Type};

/// Below Linux' range for outgoing connections and for port 0, so that only these tests take them.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that no other test uses while this value lives: a file of its name is locked, so the
/// reservation holds across processes and ends with the process whatever happens.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: Flock<File>,
}

impl Port {
    /// Reserves a port on which nobody listens.
    pub fn reserve() -> Port {
        let directory = directory();
        let start = (process::id().wrapping_mul(37) % u32::from(COUNT)) as u16;
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = FIRST + (start.wrapping_add(step)) % COUNT;
            let path = directory.join(number.to_string());
            let Ok(file) = File::options().create(true).append(true).open(path) else { continue };
            let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { continue };
            if is_free(number) {
                return Port { number, _lock: lock };
            }
        }
        panic!("no free port between {FIRST} and {}", FIRST + COUNT);
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// Whether nobody listens. Binds without listening: a child that another thread is just starting has a copy of the
/// socket until it runs its program, and clients of the new owner would end in that one's queue.
fn is_free(number: u16) -> bool {
    let bind = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, number)).into())
    };
    bind().is_ok()
}

fn directory() -> PathBuf {
    let directory = std::env::temp_dir().join("moxi-test-ports");
    fs::create_dir_all(&directory).expect("directory for port locks");
    directory
}
