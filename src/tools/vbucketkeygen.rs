//! `vbucketkeygen MAPFILE KEYS_PER_VBUCKET KEYS_TO_TRY`: keys for every vbucket (05 §12.2).

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write as _};

use super::{Output, document};
use crate::config::address::number;

const USAGE: &str = "\
vbucketkeygen mapfile <keys per vbucket> <keys to generate>

  Shows keys for each vbucket, as KEY VBUCKET. The mapfile is the JSON document
  of a bucket; - reads it from standard input.
";

/// Runs the program.
pub fn run(arguments: &[OsString], stdin: &mut dyn Read) -> Output {
    let [file, per_vbucket, to_try, ..] = arguments else { return Output::usage(USAGE) };
    let count = |text: &OsStr| text.to_str().and_then(number);
    let (Some(per_vbucket), Some(to_try)) = (count(per_vbucket), count(to_try)) else {
        return Output::error("ERROR: vbucketkeygen needs two numbers after the mapfile".to_owned());
    };
    let document = match document("vbucketkeygen", file, stdin) {
        Ok((document, _)) => document,
        Err(output) => return output,
    };
    let Some(map) = document.router.vbucket_map() else {
        return Output::error("ERROR: vbucketkeygen needs a document with a vbucket map".to_owned());
    };
    let per_vbucket = usize::try_from(per_vbucket).unwrap_or(usize::MAX);
    let mut found = vec![Vec::new(); map.vbuckets()];
    let mut short = if per_vbucket == 0 { 0 } else { found.len() };
    for number in 0..to_try {
        if short == 0 {
            break;
        }
        let vbucket = usize::from(map.vbucket(name(number).as_bytes()));
        if let Some(numbers) = found.get_mut(vbucket).filter(|numbers| numbers.len() < per_vbucket) {
            numbers.push(number);
            short = short.saturating_sub(usize::from(numbers.len() == per_vbucket));
        }
    }
    let mut output = Output::default();
    for (vbucket, numbers) in found.iter().enumerate() {
        for &number in numbers {
            // Writing to a Vec cannot fail.
            let _ = writeln!(output.stdout, "{} {vbucket}", name(number));
        }
    }
    if short > 0 {
        output.stderr = "some vbuckets don't have enough keys".to_owned();
        output.code = 1;
    }
    output
}

fn name(number: u32) -> String {
    format!("key_{number:010}")
}

#[cfg(test)]
mod tests {
    use super::super::MAP;
    use super::*;

    fn keygen(arguments: &[&str], mut stdin: &[u8]) -> (String, String, u8) {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let Output { stdout, stderr, code } = run(&arguments, &mut stdin);
        (String::from_utf8(stdout).unwrap(), stderr, code)
    }

    #[test]
    fn keys_by_vbucket() {
        let (stdout, stderr, code) = keygen(&["-", "2", "10"], MAP.as_bytes());
        let want = "key_0000000001 0\nkey_0000000006 0\nkey_0000000002 1\nkey_0000000005 1\n\
                    key_0000000003 2\nkey_0000000004 2\nkey_0000000000 3\nkey_0000000007 3\n";
        assert_eq!((stdout.as_str(), stderr.as_str(), code), (want, "", 0));
        assert_eq!(keygen(&["-", "0", "10"], MAP.as_bytes()), (String::new(), String::new(), 0));
        assert_eq!(keygen(&["-", "2", "4294967295"], MAP.as_bytes()).0, want, "it stops when it has enough");
    }

    #[test]
    fn what_goes_wrong() {
        let (stdout, stderr, code) = keygen(&["-", "2", "3"], MAP.as_bytes());
        assert_eq!((stdout.lines().count(), stderr.as_str(), code), (3, "some vbuckets don't have enough keys", 1));
        assert_eq!(keygen(&["-", "2"], b""), (USAGE.to_owned(), String::new(), 1));
        for (arguments, stdin, want) in [
            (["-", "2", "3"], "", "ERROR: vbucketkeygen found no input on stdin"),
            (["-", "x", "3"], MAP, "ERROR: vbucketkeygen needs two numbers after the mapfile"),
            (["-", "2", "3"], "{}", "ERROR: vbucket_config_parse_string error: Expected number <= 4 for numReplicas"),
            (
                ["-", "2", "3"],
                r#"{"nodeLocator":"ketama","nodes":[{"hostname":"a","ports":{"direct":1}}]}"#,
                "ERROR: vbucketkeygen needs a document with a vbucket map",
            ),
        ] {
            assert_eq!(keygen(&arguments, stdin.as_bytes()), (String::new(), want.to_owned(), 1));
        }
    }
}
