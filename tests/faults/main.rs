//! Faults, end to end: the built program between real clients, real servers and what can go wrong between them.
//!
//! | file | what |
//! |---|---|
//! | `relay` | stands between moxi and a real server, and misbehaves on demand |
//! | `kinds` | the kinds of requests, and which replies to them are legal when a server fails |
//! | `matrix` | every fault × ASCII and binary servers × every kind of request |
//! | `recovery` | how soon a server that is well again is used again |
//! | `processes` | servers that are killed, stopped and restarted, also under load |
//! | `large` | a server that refuses a large value before it has read it |
//! | `descriptors` | no file descriptors left |
//! | `soak` | all of it at random for as long as `MOXI_SOAK` says (seconds) |
//! | `log` | what the log says of it |

mod descriptors;
mod kinds;
mod large;
mod log;
mod matrix;
mod processes;
mod recovery;
mod relay;
mod soak;

/// Runs `test` for both protocols of servers at the same time: it does nothing but wait.
fn at_once(test: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for protocol in moxi_test_support::PROTOCOLS {
            let test = &test;
            scope.spawn(move || test(protocol));
        }
    });
}
