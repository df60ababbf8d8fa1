//! `vbuckettool MAPFILE KEY...`: the servers of each key (05 §12.1).

use std::ffi::OsString;
use std::io::{Read, Write as _};
use std::os::unix::ffi::OsStrExt;

use super::{Output, document};
use crate::config::document::{LOCAL_HOST, api_base};

const USAGE: &str = "\
vbuckettool mapfile key0 [key1 ... [keyN]]

  Shows the servers of each key. The mapfile is the JSON document of a bucket;
  - reads it from standard input.

  curl http://HOST:8091/pools/default/buckets/default | vbuckettool - key0
";

/// Runs the program.
pub fn run(arguments: &[OsString], stdin: &mut dyn Read) -> Output {
    let [file, keys @ ..] = arguments else { return Output::usage(USAGE) };
    if keys.is_empty() {
        return Output::usage(USAGE);
    }
    let (document, text) = match document("vbuckettool", file, stdin) {
        Ok(read) => read,
        Err(output) => return output,
    };
    let bases = api_base::of(&text, &document.servers, LOCAL_HOST);
    let name = |index: Option<usize>| index.and_then(|index| document.servers.get(index)).map(ToString::to_string);
    let mut out = Vec::new();
    for key in keys {
        let route = document.router.route(key.as_bytes());
        out.extend_from_slice(b"key: ");
        out.extend_from_slice(key.as_bytes());
        let master = name(route.server).unwrap_or_else(|| "(none)".to_owned());
        // Writing to a Vec cannot fail.
        let _ = write!(out, " master: {master}");
        if let Some(map) = document.router.vbucket_map() {
            let base = route.server.and_then(|server| bases.get(server)?.as_deref()).unwrap_or("(null)");
            let _ = write!(out, " vBucketId: {} couchApiBase: {base}", route.vbucket);
            if map.replicas() > 0 {
                out.extend_from_slice(b" replicas:");
            }
            for replica in (0..map.replicas()).map_while(|number| name(map.replica(route.vbucket, number))) {
                let _ = write!(out, " {replica}");
            }
        }
        out.push(b'\n');
    }
    Output { stdout: out, ..Output::default() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::MAP;
    use super::*;

    fn tool(arguments: &[&str], mut stdin: &[u8]) -> (String, String, u8) {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let Output { stdout, stderr, code } = run(&arguments, &mut stdin);
        (String::from_utf8(stdout).unwrap(), stderr, code)
    }

    fn shows(document: &str, keys: &[&str], want: &str) {
        let arguments = [&["-"], keys].concat();
        assert_eq!(tool(&arguments, document.as_bytes()), (want.to_owned(), String::new(), 0));
    }

    #[test]
    fn vbuckets_with_replicas() {
        shows(
            MAP,
            &["hello", "another key", "name"],
            "key: hello master: server1:11211 vBucketId: 0 couchApiBase: (null) replicas: server2:11210 server3:11211\n\
             key: another key master: server3:11211 vBucketId: 2 couchApiBase: (null) replicas: server2:11210\n\
             key: name master: (none) vBucketId: 3 couchApiBase: (null) replicas: server3:11211 server1:11211\n",
        );
    }

    #[test]
    fn api_bases_belong_to_servers_not_to_places() {
        let document = r#"{"nodes":[
            {"hostname":"$HOST:8091","couchApiBase":"http://$HOST:8092/b","ports":{"direct":11210}},
            {"hostname":"a:8091","couchApiBase":5,"ports":{"direct":11210}},{}],
            "vBucketServerMap":{"numReplicas":0,"serverList":["a:11210","$HOST:11210"],"vBucketMap":[[0],[1]]}}"#;
        shows(
            document,
            &["hello", "name"],
            "key: hello master: a:11210 vBucketId: 0 couchApiBase: (null)\n\
             key: name master: localhost:11210 vBucketId: 1 couchApiBase: http://localhost:8092/b\n",
        );
    }

    /// With the rows of before in a map whose number of replicas was raised.
    #[test]
    fn ipv6_addresses_and_short_rows() {
        let document = r#"{"nodes":[
            {"hostname":"[::1]:8091","couchApiBase":"http://[::1]:8092/b","ports":{"direct":11210}}],
            "vBucketServerMap":{"numReplicas":2,"serverList":["[::1]:11210","[::1]:2","a:3"],
            "vBucketMap":[[0],[1,2]],"vBucketMapForward":[]}}"#;
        shows(
            document,
            &["hello", "name"],
            "key: hello master: [::1]:11210 vBucketId: 0 couchApiBase: http://[::1]:8092/b replicas:\n\
             key: name master: [::1]:2 vBucketId: 1 couchApiBase: (null) replicas: a:3\n",
        );
    }

    #[test]
    fn ketama() {
        let node = |port: u32| format!(r#"{{"hostname":"172.16.16.76:8091","ports":{{"direct":{port}}}}}"#);
        let nodes: Vec<String> = (0..8).map(|number| node(12000 + 2 * number)).collect();
        let document = format!(r#"{{"nodeLocator":"ketama","nodes":[{}]}}"#, nodes.join(","));
        shows(&document, &["foo", "bar"], "key: foo master: 172.16.16.76:12012\nkey: bar master: 172.16.16.76:12002\n");
    }

    #[test]
    fn what_goes_wrong() {
        assert_eq!(tool(&["-"], b""), (USAGE.to_owned(), String::new(), 1));
        assert_eq!(tool(&[], b"").2, 1);
        let error = |arguments: &[&str], stdin: &str| tool(arguments, stdin.as_bytes()).1;
        assert_eq!(error(&["-", "k"], ""), "ERROR: vbuckettool found no input on stdin");
        let prefix = "ERROR: vbucket_config_parse_string error: ";
        assert_eq!(error(&["-", "k"], "{"), format!("{prefix}Failed to parse data. Invalid JSON?"));
        assert_eq!(
            error(&["-", "k"], r#"{"nodeLocator":"x"}"#),
            format!("{prefix}Expected vbucket or ketama for nodeLocator")
        );
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map");
        let name = path.to_str().unwrap();
        assert_eq!(
            error(&[name, "k"], ""),
            format!("{prefix}Unable to open file \"{name}\": No such file or directory")
        );
        let dir_name = dir.path().to_str().unwrap();
        assert_eq!(
            error(&[dir_name, "k"], ""),
            format!("{prefix}Failed to read entire file: \"{dir_name}\": Is a directory")
        );
        fs::write(&path, MAP).unwrap();
        assert!(tool(&[name, "hello"], b"").0.starts_with("key: hello master: server1:11211"));
        fs::File::create(&path).unwrap().set_len(super::super::LARGEST + 1).unwrap();
        assert_eq!(error(&[name, "k"], ""), format!("{prefix}File too large: \"{name}\""));
    }
}
