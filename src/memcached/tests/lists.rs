//! `lru_crawler metadump`, and what is answered to its kin.

use super::*;

/// The lines of a list, sorted: their order is not specified.
fn list(server: &Server, classes: &str) -> Vec<String> {
    let text = server.say(format!("lru_crawler metadump {classes}\r\n"));
    let lines = text.strip_suffix("END\r\n").unwrap_or_else(|| panic!("{text}"));
    let mut lines: Vec<String> = lines.split_inclusive('\n').map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn a_line_is_memcacheds() {
    let mut server = Server::default();
    assert_eq!(list(&server, "all"), [""; 0]);
    server.say("set a:b/~ 5 0 3\r\nabc\r\nset expires 0 100 1\r\nx\r\n");
    server.wait(10_000);
    server.say(["set large 0 0 100\r\n", &"x".repeat(100), "\r\nget expires\r\n"].concat());
    let small = "key=a%3Ab%2F~ exp=-1 la=1000000000 cas=1 fetch=no cls=1 size=73\n";
    let expires = "key=expires exp=1000000100 la=1000000010 cas=2 fetch=yes cls=1 size=73\n";
    let large = "key=large exp=-1 la=1000000010 cas=3 fetch=no cls=4 size=172\n";
    for classes in ["all", "hash", "1,4", "4,1,1"] {
        assert_eq!(list(&server, classes), [small, expires, large], "{classes}");
    }
    assert_eq!(list(&server, "1"), [small, expires]);
    assert_eq!(list(&server, "4"), [large]);
    assert_eq!(list(&server, "40"), [""; 0]);
    server.wait(100_000);
    server.say("delete large\r\n");
    assert_eq!(list(&server, "all"), [small]);
    server.say("flush_all\r\n");
    assert_eq!(list(&server, "all"), [""; 0]);
}

#[test]
fn what_is_no_list() {
    let server = Server::default();
    for classes in ["0", "41", "256", "999", "1,41", "x", "-1", "1,"] {
        let reply = server.say(format!("lru_crawler metadump {classes}\r\n"));
        assert_eq!(reply, "BADCLASS invalid class id\r\n", "{classes}");
    }
    for line in
        ["lru_crawler", "lru_crawler metadump", "lru_crawler mgdump all", "lru_crawler crawl all", "lru mode flat"]
    {
        assert_eq!(server.say(format!("{line}\r\n")), "ERROR\r\n", "{line}");
    }
}

/// A long list goes out in pieces as the client takes them; what happens meanwhile does no harm, and what is there all
/// the time is listed once.
#[test]
fn a_long_list_comes_in_pieces() {
    let server = Server::default();
    for number in 0..20_000 {
        server.fill(&format!("stays{number}"), 1);
    }
    let access = server.memcached.access(&server.counters, server.clock);
    let (mut session, mut pool) = (Session::new(None), Pool::new(1024));
    let (mut input, mut output) = (Input::default(), Output::default());
    let request = b"lru_crawler metadump all\r\nget none\r\n";
    input.space(&mut pool)[..request.len()].copy_from_slice(request);
    input.filled(request.len());
    let (mut text, mut pieces) = (String::new(), 0);
    loop {
        let step = session.step(&access, &mut input, &mut pool, &mut output);
        let piece: Vec<u8> = output.slices(u64::MAX, usize::MAX).iter().flat_map(|slice| slice.to_vec()).collect();
        assert!(piece.len() < 300 * 1024, "{}", piece.len());
        output.advance(piece.len());
        output.release_sent();
        text.push_str(str::from_utf8(&piece).unwrap());
        match step {
            Step::Full => pieces += 1,
            Step::Done if input.is_empty() => break,
            Step::Done => {}
            other => panic!("{other:?}"),
        }
        server.say(format!("set goes{pieces} 0 0 1\r\nx\r\ndelete goes{}\r\n", pieces - pieces.min(1)));
    }
    assert!(pieces > 3);
    assert!(text.ends_with("\nEND\r\nEND\r\n"));
    let mut keys: Vec<&str> =
        text.lines().filter_map(|line| line.split(' ').next()?.strip_prefix("key=stays")).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!((keys.len(), text.matches("key=stays").count()), (20_000, 20_000));
}
