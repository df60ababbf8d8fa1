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
//! | `log` | what the log says of it |

mod descriptors;
mod kinds;
mod large;
mod log;
mod matrix;
mod processes;
mod recovery;
mod relay;

/// Runs `test` for all cases at the same time: those that do little but wait.
fn at_once<T: Send>(cases: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            let test = &test;
            scope.spawn(move || test(case));
        }
    });
}

/// Each of `these` with both protocols of servers.
fn with_both<T: Copy>(these: &[T]) -> Vec<(&'static str, T)> {
    moxi_test_support::PROTOCOLS
        .into_iter()
        .flat_map(|protocol| these.iter().map(move |this| (protocol, *this)))
        .collect()
}
