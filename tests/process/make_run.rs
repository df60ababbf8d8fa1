//! `make run`, which is `t/try`: a moxi to try out ends with it, and a port that is none is one line.

use std::process::{Command, Stdio};

use crate::launch::{Finished, Running, connect, finish, free_port, refuses, wait_for};

fn command(words: &[&str]) -> Command {
    let mut command = Command::new("t/try");
    command.arg(env!("CARGO_BIN_EXE_moxi")).args(words).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

#[test]
fn a_signal_ends_everything() {
    for (signal, through_make) in [("TERM", false), ("INT", false), ("TERM", true)] {
        let (port, server) = (free_port(), free_port());
        let words = [port.to_string(), server.to_string()];
        let words = [words[0].as_str(), words[1].as_str()];
        let directory = tempfile::tempdir().unwrap();
        let mut command = match through_make {
            false => command(&words),
            true => {
                // As the Makefile does it, without building first.
                let rule = format!("run:\n\t@exec t/try {} {}\n", env!("CARGO_BIN_EXE_moxi"), words.join(" "));
                let file = directory.path().join("Makefile");
                std::fs::write(&file, rule).unwrap();
                let mut make = Command::new("make");
                make.arg("-f").arg(file).arg("run").current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
                make
            }
        };
        let running = Running::start(&mut command);
        drop((connect(port), connect(server)));
        running.signal(signal);
        let finished = running.finish();
        // make ends by the signal, as it should.
        assert_eq!(finished.code, (!through_make).then_some(0), "{}", finished.stderr);
        wait_for("the end of moxi", || refuses(port) && refuses(server));
    }
}

#[test]
fn a_bad_port_is_one_line() {
    for bad in ["abc", "0", "65536", "-1", "11211x", "1e3", " 5", "99999999999999999999"] {
        let Finished { code, stdout, stderr } = finish(&mut command(&[bad]));
        assert_ne!(code, Some(0), "{bad}");
        assert_eq!(stdout, "");
        assert_eq!(stderr, format!("t/try: PORT is a number from 1 to 65535, not \"{bad}\"\n"));
    }
}
