//! The program as its operators have it: it starts, serves, is asked whether it lives, and ends.
//!
//! | file | what it proves |
//! |---|---|
//! | `process` | signals, standard input, the log, the limit of open files |
//! | `listeners` | ports and sockets that are taken, left behind, or cannot be |
//! | `daemon` | in the background: what its parent reports, the pid file, the user it becomes |
//! | `alive` | `--check-alive`: exit code and words for whatever is at an address |
//! | `systemd` | what a service manager is told, and the sockets it hands over |
//! | `memcached_beside` | the built-in server and the proxy in one process |
//! | `make_run` | `make run`: a moxi to try out ends with it |

#[path = "../launch/mod.rs"]
mod launch;

mod alive;
mod daemon;
mod listeners;
mod make_run;
mod memcached_beside;
mod process;
mod systemd;
