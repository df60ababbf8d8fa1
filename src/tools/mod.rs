//! The companion programs (05 §12): where keys go according to a bucket's document.
//!
//! Each is a function from arguments and standard input to what is printed; `src/bin/` has the rest.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod vbucketkeygen;
pub mod vbuckettool;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use crate::config::document::{Document, LOCAL_HOST};
use crate::failure::reason;

/// Largest file (05 §5.7).
const LARGEST: u64 = 100 << 20;

/// What a program has to print, and how it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// For standard output.
    pub stdout: Vec<u8>,
    /// For standard error: one line without its end, or nothing.
    pub stderr: String,
    /// The exit code.
    pub code: u8,
}

impl Output {
    fn usage(text: &str) -> Output {
        Output { stdout: text.into(), code: 1, ..Output::default() }
    }

    fn error(text: String) -> Output {
        Output { stderr: text, code: 1, ..Output::default() }
    }
}

/// Runs a program of this kind with the words of the command line that follow its name.
pub fn main(program: impl FnOnce(&[OsString], &mut dyn Read) -> Output) -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let output = program(&arguments, &mut io::stdin());
    // Who closes the pipe early has read enough.
    let _ = io::stdout().write_all(&output.stdout);
    if !output.stderr.is_empty() {
        let _ = writeln!(io::stderr(), "{}", output.stderr);
    }
    ExitCode::from(output.code)
}

/// The document that the argument names: a file, or `-` for all of standard input.
fn document(tool: &str, name: &OsStr, stdin: &mut dyn Read) -> Result<(Document, String), Output> {
    let refused = |why: String| Output::error(format!("ERROR: vbucket_config_parse_string error: {why}"));
    let text = if name == "-" {
        let mut text = Vec::new();
        let is_read = stdin.take(LARGEST).read_to_end(&mut text).is_ok();
        if !is_read || text.is_empty() {
            return Err(Output::error(format!("ERROR: {tool} found no input on stdin")));
        }
        text
    } else {
        read(name).map_err(refused)?
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let document = Document::parse(&text, LOCAL_HOST).map_err(|error| refused(error.to_string()))?;
    Ok((document, text))
}

fn read(name: &OsStr) -> Result<Vec<u8>, String> {
    let shown = name.to_string_lossy();
    let file = File::open(name).map_err(|error| format!("Unable to open file \"{shown}\": {}", reason(&error)))?;
    let mut text = Vec::new();
    match file.take(LARGEST + 1).read_to_end(&mut text) {
        Ok(_) if text.len() as u64 > LARGEST => Err(format!("File too large: \"{shown}\"")),
        Ok(_) => Ok(text),
        Err(error) => Err(format!("Failed to read entire file: \"{shown}\": {}", reason(&error))),
    }
}

/// For the tests of both.
#[cfg(test)]
const MAP: &str = r#"{"hashAlgorithm":"CRC","numReplicas":2,
    "serverList":["server1:11211","server2:11210","server3:11211"],
    "vBucketMap":[[0,1,2],[1,2,0],[2,1,-1],[-1,2,0]]}"#;
