//! The command line of the built program: every flag's check, message and exit code (01 §2, §3, §8, §15).

use crate::launch::{self, Finished, finish, moxi, run};

/// Runs the program, which must end with `code` and write exactly `stderr`.
#[track_caller]
fn refused(arguments: &[&str], code: i32, stderr: &str) {
    let finished = run(arguments);
    assert_eq!(finished.code, Some(code), "{arguments:?}: {}", finished.stderr);
    assert_eq!(finished.stderr, stderr, "{arguments:?}");
    assert_eq!(finished.stdout, "", "{arguments:?}");
}

/// Runs the program, which must end with `code` and log a line that ends in `message`.
#[track_caller]
fn logged(arguments: &[&str], code: i32, message: &str) {
    let Finished { code: found, stdout, stderr } = run(arguments);
    assert_eq!(found, Some(code), "{arguments:?}: {stderr}");
    assert!(stderr.lines().any(|line| line.ends_with(&format!(") {message}"))), "{arguments:?}: {stderr}");
    assert_eq!(stdout, "", "{arguments:?}");
}

#[test]
fn help() {
    for flag in ["-h", "--help"] {
        let finished = run(&[flag]);
        assert_eq!(finished.code, Some(0));
        assert!(finished.stdout.starts_with("moxi 7.0.0\n\nUsage:\n"));
        let tls = if cfg!(feature = "tls") { "built in: tls" } else { "left out: tls" };
        assert!(finished.stdout.contains(tls), "{}", finished.stdout);
        assert_eq!(finished.stderr, "");
    }
}

#[test]
fn version() {
    for flag in ["-V", "--version"] {
        let finished = run(&[flag]);
        let tls = "tls (https:// URLs of a cluster manager)";
        let features = match cfg!(feature = "tls") {
            true => format!("built in: {tls}; left out: nothing\n"),
            false => format!("built in: nothing; left out: {tls}\n"),
        };
        assert_eq!((finished.code, finished.stdout), (Some(0), format!("moxi 7.0.0\n{features}")));
    }
}

#[test]
fn licences() {
    let finished = run(&["-i"]);
    assert_eq!(finished.code, Some(0));
    assert!(finished.stdout.starts_with("moxi 7.0.0\n\n"));
    assert!(finished.stdout.contains("Redistribution and use in source and binary forms"));
    assert!(finished.stdout.contains("  mio "));
}

#[test]
fn the_first_word_that_ends_the_program_does() {
    assert_eq!(run(&["-h", "-B", "http"]).code, Some(0));
    assert_eq!(run(&["-h", "--frob"]).code, Some(0));
    assert_eq!(run(&["-B", "http", "-h"]).code, Some(64));
    assert_eq!(run(&["-vvh"]).code, Some(0));
}

#[test]
fn unknown_flags_and_missing_arguments() {
    let program = env!("CARGO_BIN_EXE_moxi");
    let illegal =
        |complaint: &str, word: &str| format!("{program}: {complaint}\nIllegal argument \"{word}\". See usage (-h).\n");
    refused(&["-I"], 1, &illegal("invalid option -- 'I'", "-I"));
    refused(&["-vI"], 1, &illegal("invalid option -- 'I'", "-I"));
    refused(&["--frob"], 1, &illegal("unrecognized option '--frob'", "--frob"));
    refused(&["--help=x"], 1, &illegal("option '--help' doesn't allow an argument", "--help"));
    for flag in "abBcDflmnOPpRstuUYzZ".chars() {
        let complaint = format!("option requires an argument -- '{flag}'");
        refused(&[&format!("-{flag}")], 1, &illegal(&complaint, &format!("-{flag}")));
    }
}

#[test]
fn messages_of_the_c_program() {
    for (arguments, code, message) in [
        (["-R", "0"], 1, "Number of requests per event must be greater than 0 (-R)\n"),
        (["-R", "-5"], 1, "Number of requests per event must be greater than 0 (-R)\n"),
        (["-R", "many"], 1, "Number of requests per event must be greater than 0 (-R)\n"),
        (["-t", "0"], 1, "Number of threads must be greater than 0 (-t)\n"),
        (["-t", "-1"], 1, "Number of threads must be greater than 0 (-t)\n"),
        (["-t", "abc"], 1, "Number of threads must be greater than 0 (-t)\n"),
        (["-f", "1.0"], 1, "Factor must be greater than 1 (-f)\n"),
        (["-f", "0.5"], 1, "Factor must be greater than 1 (-f)\n"),
        (["-f", "x"], 1, "Factor must be greater than 1 (-f)\n"),
        (["-n", "0"], 1, "Chunk size must be greater than 0 (-n)\n"),
        (["-n", "abc"], 1, "Chunk size must be greater than 0 (-n)\n"),
        (["-D", ""], 1, "No delimiter specified (-D)\n"),
        (
            ["-B", "http"],
            64,
            "Invalid value for binding protocol: http (-B)\n \
             -- should be one of auto, binary, or ascii\n",
        ),
    ] {
        refused(&arguments, code, message);
    }
}

#[test]
fn numbers_that_the_c_program_did_not_check() {
    for (flag, value, wanted) in [
        ('p', "99999", "a whole number from -1 to 65535"),
        ('p', "abc", "a whole number from -1 to 65535"),
        ('p', "-2", "a whole number from -1 to 65535"),
        ('p', "", "a whole number from -1 to 65535"),
        ('U', "65536", "a whole number from -1 to 65535"),
        ('c', "abc", "a whole number from 0 to 2147483647"),
        ('c', "-1", "a whole number from 0 to 2147483647"),
        ('b', "1k", "a whole number from 0 to 2147483647"),
        ('m', "-1", "a whole number from 0 to 17592186044415"),
        ('t', "4x", "a whole number from 1 to 1024"),
        ('t', "1025", "a whole number from 1 to 1024"),
        ('R', "99999999999", "a whole number from 1 to 2147483647"),
        ('n', "1.5", "a whole number from 1 to 1048576"),
        ('f', "1.2.3", "a number above 1"),
        ('a', "rwx", "permission bits in octal, such as 0700"),
        ('a', "", "permission bits in octal, such as 0700"),
        ('s', "", "a path"),
        ('P', "", "a path"),
    ] {
        let message = format!("Invalid argument for -{flag}: expected {wanted}\n");
        refused(&[&format!("-{flag}"), value], 64, &message);
    }
}

#[test]
fn a_long_socket_path() {
    let path = "x".repeat(108);
    refused(&["-s", &path], 64, "Invalid argument for -s: expected a path of at most 107 bytes\n");
}

#[test]
fn mcmux() {
    let message = "-X needs a listener: -p PORT or -s FILE\n";
    refused(&["-X"], 64, message);
    refused(&["-X", "-p", "0"], 64, message);
}

#[test]
fn a_cluster_configuration_is_needed() {
    let message = "ERROR: need cluster configuration. See usage (-h).";
    let socket = std::env::temp_dir().join("moxi-never-made");
    for arguments in [
        &[][..],
        &[""],
        &["-z", ""],
        &["-p", "0"],
        &["-p", "0", "-U", "0"],
        &["conf/moxi.cfg"],
        &["./moxi.cfg"],
        &["-s", launch::text(&socket)],
    ] {
        logged(arguments, 1, message);
    }
    assert!(!socket.exists());
}

#[test]
fn operands() {
    let message = "More than one cluster configuration: join several URLs with commas\n";
    refused(&["http://a.example", "http://b.example"], 64, message);
    refused(&["-v", "http://a.example", "--", "-v"], 64, message);
    // The argument of a flag is not an operand, whatever it looks like.
    let log = tempfile::tempdir().unwrap();
    let log = log.path().join("a@b");
    logged_elsewhere(&["-O", launch::text(&log)]);
}

/// With a log file the last message is also written plainly to standard error.
#[track_caller]
fn logged_elsewhere(arguments: &[&str]) {
    let finished = run(arguments);
    assert_eq!(finished.code, Some(1));
    assert_eq!(finished.stderr, "ERROR: need cluster configuration. See usage (-h).\n");
    let log = launch::content(&arguments[1].into());
    assert!(log.ends_with(") ERROR: need cluster configuration. See usage (-h).\n"), "{log}");
}

#[test]
fn a_secret_in_a_stray_operand_is_not_shown() {
    let finished = run(&["-X", "-p", "1", "-Z", "./nonexistent", "fictional-user:fictional-password@a.example"]);
    assert_eq!(finished.code, Some(1));
    assert!(!finished.stderr.contains("fictional"), "{}", finished.stderr);
}

#[test]
fn unreadable_configuration() {
    let reason = "(No such file or directory)";
    logged(&["-z", "/nonexistent"], 1, &format!("ERROR: could not read cfg file: /nonexistent {reason}"));
    let message = format!("ERROR: could not read behavior file: ./nonexistent {reason}");
    logged(&["-z", "1=127.0.0.1", "-Z", "./nonexistent"], 1, &message);
    let hint = "bad moxi config, missing = (section 1); the path of a file begins with ./ or /";
    logged(&["-z", "nosuch.cfg"], 1, hint);
    logged(&["-z", "conf/moxi.cfg"], 1, hint);
    logged(&["-z", "abc=127.0.0.1"], 1, "missing proxy port (section 1)");
}

#[test]
fn what_is_not_understood_is_an_error_with_strict() {
    for (behavior, complaint) in [
        ("mcs_opts=bogus", "mcs_opts value: bogus (it is distribution:ketama, "),
        ("no_such_key=5", "no_such_key value: 5 (there is no such key)"),
        ("downstream_timeout=5s", "downstream_timeout value: 5s (it is a number of milliseconds)"),
    ] {
        let complaint = format!(") ERROR: config error in key: {complaint}");
        for text in [format!("strict=1,{behavior}"), format!("{behavior},strict=1")] {
            let finished = run(&["-z", "1=127.0.0.1", "-Z", &text]);
            assert_eq!(finished.code, Some(1));
            let lines: Vec<&str> = finished.stderr.lines().collect();
            let [first, last] = lines[..] else { panic!("{}", finished.stderr) };
            assert!(first.contains(&complaint), "{first}");
            assert!(last.ends_with(") ERROR: strict=1 in -Z: what is not understood is not ignored"), "{last}");
        }
        // Without it, a line, and the start goes on to the next reason to fail.
        let finished = run(&["-z", "1=127.0.0.1", "-Z", behavior, "-l", "192.0.2.1"]);
        assert!(finished.stderr.contains(&complaint), "{}", finished.stderr);
        assert!(finished.stderr.contains("192.0.2.1"), "{}", finished.stderr);
    }
}

#[test]
fn the_name_of_the_program_is_the_one_it_was_started_with() {
    use std::os::unix::process::CommandExt;
    let finished = finish(moxi(&["-I"]).arg0("memcached-debug"));
    assert_eq!(finished.stderr, "memcached-debug: invalid option -- 'I'\nIllegal argument \"-I\". See usage (-h).\n");
}

#[test]
fn completions() {
    for shell in ["bash", "zsh", "fish"] {
        let separate = run(&["--completion", shell]);
        assert_eq!((separate.code, separate.stderr.as_str()), (Some(0), ""));
        assert!(separate.stdout.contains("moxi"));
        assert_eq!(run(&[&format!("--completion={shell}")]).stdout, separate.stdout);
    }
    assert_eq!(run(&["--completion", "csh"]).code, Some(64));
    assert_eq!(run(&["--completion"]).code, Some(1));
}

#[test]
fn a_closed_output_is_no_error() {
    use std::process::Stdio;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = moxi(&["-h"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((status.status.code(), status.stderr.as_slice()), (Some(0), &b""[..]));
}
