//! The worked examples of 05 §10.2 and §10.3, computed there independently of this program.

use super::*;

const ACCENTS: &[u8] = b"\xc3\xa9t\xc3\xa9";

fn server(host: &str, port: u16, weight: u32) -> RingServer<'_> {
    RingServer { host, port, weight }
}

fn list_a() -> [RingServer<'static>; 3] {
    [server("mc1", 11211, 0), server("mc2", 11211, 0), server("mc3", 11222, 0)]
}

/// The point a key lands on and its owner.
fn chosen(ring: &Ring, key: &[u8]) -> (u32, usize) {
    let position = ring.position(digest_words(key)[0]) % ring.len();
    (ring.points[position], ring.server(key).unwrap())
}

fn ends(ring: &Ring) -> [(u32, u32); 2] {
    let last = ring.len() - 1;
    [(ring.points[0], ring.owners[0]), (ring.points[last], ring.owners[last])]
}

fn count(ring: &Ring, owner: u32) -> usize {
    ring.owners.iter().filter(|&&other| other == owner).count()
}

#[test]
fn points_of_a_name() {
    assert_eq!(digest_words(b"mc1-0"), [2467307662, 2976993373, 3299468417, 2908140557]);
    assert_eq!(digest_words(b"mc3:11222-0"), [1130330410, 1157682529, 3263050578, 665628466]);
    assert_eq!(digest_words(b"172.16.16.76:12000-0")[0], u32::from_le_bytes([0x86, 0xc2, 0xab, 0x08]));
}

#[test]
fn example_a_weighted() {
    let ring = Ring::weighted(&list_a());
    assert_eq!(ring.len(), 480);
    assert_eq!(ends(&ring), [(5959046, 2), (4294851587, 1)]);
    let table: [(&[u8], u32, u32, usize); 11] = [
        (b"foo", 3675831724, 3677658721, 2),
        (b"bar", 421377335, 427864545, 2),
        (b"a", 3111502092, 3128132698, 0),
        (b"b", 4267699090, 4273804623, 0),
        (b"hello", 708854109, 713213004, 1),
        (b"user:1234", 3891683073, 3893259860, 2),
        (b"key_1", 1811398844, 1822818318, 1),
        (b"another key", 1868364484, 1896920986, 1),
        (b"00000000", 3911273437, 3916815010, 0),
        (ACCENTS, 510308318, 510361459, 2),
        (b"w2740", 4294915266, 5959046, 2),
    ];
    for (key, hash, point, owner) in table {
        assert_eq!(digest_words(key)[0], hash, "{key:?}");
        assert_eq!(chosen(&ring, key), (point, owner), "{key:?}");
    }
}

#[test]
fn example_b_weights() {
    let ring = Ring::weighted(&[server("a", 1, 3), server("b", 1, 1)]);
    assert_eq!((count(&ring, 0), count(&ring, 1)), (240, 80));
    assert_eq!(ends(&ring), [(3549599, 1), (4293318072, 0)]);
    for key in ["foo", "bar", "a", "b", "hello", "key_1", "00000000"] {
        assert_eq!(ring.server(key.as_bytes()), Some(0), "{key}");
    }
    assert_eq!(chosen(&ring, b"user:1234"), (3896017179, 1));
    assert_eq!(chosen(&ring, b"another key"), (1881859792, 1));
    assert_eq!(chosen(&ring, ACCENTS), (559510855, 1));

    let ring = Ring::weighted(&[server("a", 1, 2), server("b", 1, 0)]);
    assert_eq!((count(&ring, 0), count(&ring, 1)), (212, 104));
}

#[test]
fn example_c_rounding() {
    let hosts: Vec<String> = (0..25).map(|number| format!("h{number}")).collect();
    let servers: Vec<RingServer<'_>> = hosts.iter().map(|host| server(host, 1, 0)).collect();
    let ring = Ring::weighted(&servers);
    assert_eq!(ring.len(), 3900);
    assert_eq!(ends(&ring)[0], (452227, 7));
    for (key, owner) in [
        ("foo", 21),
        ("bar", 19),
        ("a", 1),
        ("b", 11),
        ("hello", 16),
        ("user:1234", 8),
        ("key_1", 24),
        ("another key", 2),
        ("00000000", 18),
    ] {
        assert_eq!(ring.server(key.as_bytes()), Some(owner), "{key}");
    }
}

#[test]
fn numbers_of_equal_servers_that_round_down() {
    let short: Vec<usize> = (1..=130).filter(|&servers| weighted_names(1, servers as u64, servers) == 39).collect();
    assert_eq!(short, [25, 47, 50, 55, 61, 71, 94, 100, 107, 109, 110, 115, 122]);
    assert!((1..=130).all(|servers| [39, 40].contains(&weighted_names(1, servers as u64, servers))));
}

#[test]
fn example_d_plain() {
    let ring = Ring::plain(&list_a());
    assert_eq!(ring.len(), 300);
    assert_eq!(ends(&ring), [(6043239, 1), (4283035266, 0)]);
    let table: [(&[u8], u32, usize); 10] = [
        (b"foo", 3689538275, 1),
        (b"bar", 427864545, 2),
        (b"a", 3112287616, 1),
        (b"b", 4283035266, 0),
        (b"hello", 709113809, 2),
        (b"user:1234", 3895251515, 2),
        (b"key_1", 1819669598, 0),
        (b"another key", 1882521241, 0),
        (b"00000000", 3916906234, 2),
        (ACCENTS, 518270228, 1),
    ];
    for (key, point, owner) in table {
        assert_eq!(chosen(&ring, key), (point, owner), "{key:?}");
    }
}

fn eight_names() -> Vec<String> {
    (0..8).map(|number| format!("172.16.16.76:{}", 12000 + 2 * number)).collect()
}

#[test]
fn example_f_libvbucket() {
    let names = eight_names();
    let ring = Ring::libvbucket(names.iter().map(String::as_str));
    assert_eq!(ring.len(), 1280);
    assert_eq!(ends(&ring), [(1648614, 1), (4293038710, 1)]);
    for (key, port) in [
        ("foo", 12012),
        ("bar", 12002),
        ("a", 12000),
        ("b", 12002),
        ("hello", 12006),
        ("user:1234", 12008),
        ("key_1", 12000),
        ("another key", 12004),
        ("00000000", 12004),
    ] {
        assert_eq!(names[ring.server(key.as_bytes()).unwrap()], format!("172.16.16.76:{port}"), "{key}");
    }
}

#[test]
fn example_f_checksum_of_a_million_keys() {
    let names = eight_names();
    let ring = Ring::libvbucket(names.iter().map(String::as_str));
    let mut sum = Md5::new();
    for number in 0..1_000_000u32 {
        sum.update(&names[ring.server(number.to_string().as_bytes()).unwrap()]);
    }
    let hex: String = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "7f4da8f120e89d695094f45a74346dbe");
}

/// MB-3076 (07 §8.8): these two keys live on different servers of this list.
#[test]
fn mb_3076_keys_are_apart() {
    let ring = Ring::weighted(&[server("127.0.0.1", 11277, 0), server("127.0.0.1", 11288, 0)]);
    assert_eq!((ring.server(b"a"), ring.server(b"b")), (Some(0), Some(1)));
}

#[test]
fn a_long_host_name_gets_its_share() {
    let long = "cache.".repeat(30) + "example";
    let ring = Ring::weighted(&[server(&long, 11211, 0), server("b", 11211, 0)]);
    assert_eq!((count(&ring, 0), count(&ring, 1)), (160, 160));
    let to_first = (0..1000u32).filter(|key| ring.server(key.to_string().as_bytes()) == Some(0)).count();
    assert!((300..700).contains(&to_first), "{to_first}");
}

#[test]
fn a_server_listed_twice_owns_its_points_once() {
    let ring = Ring::weighted(&[server("a", 1, 0); 4]);
    assert!((0..100u32).all(|key| ring.server(key.to_string().as_bytes()) == Some(0)));
}

#[test]
fn extreme_weights_do_not_overflow() {
    let ring = Ring::weighted(&[server("a", 1, u32::MAX), server("b", 1, u32::MAX), server("c", 1, 0)]);
    assert!(ring.len() <= 480 && !ring.is_empty());
    assert!(Ring::plain(&[]).is_empty());
    assert_eq!(Ring::weighted(&[]).server(b"a"), None);
}

#[test]
fn the_search_by_arcs_finds_what_a_plain_search_finds() {
    let many: Vec<String> = (0..300).map(|number| format!("cache{number}.example")).collect();
    let many: Vec<RingServer<'_>> = many.iter().map(|host| server(host, 11211, 0)).collect();
    for ring in [Ring::plain(&[]), Ring::plain(&list_a()), Ring::weighted(&list_a()), Ring::weighted(&many)] {
        let steps = (0..100_000u32).map(|number| number.wrapping_mul(2_654_435_761));
        let near = ring.points.iter().flat_map(|point| [point.wrapping_sub(1), *point, point.wrapping_add(1)]);
        for hash in steps.chain(near).chain([0, u32::MAX]) {
            assert_eq!(ring.position(hash), ring.points.partition_point(|&point| point < hash), "{hash}");
        }
    }
}
