//! async-memcached: classic ASCII and meta.

use std::time::Duration;

use async_memcached::{AsciiProtocol, Client, Error, MetaProtocol, MetaValue, Value};
use tokio::time::sleep;

use crate::{TOO_LARGE, keys, step, values};

pub fn run(protocol: &str, port: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let dsn = format!("tcp://127.0.0.1:{port}");
    match protocol {
        "ascii" => runtime.block_on(ascii(&dsn)),
        "meta" => runtime.block_on(meta(&dsn)),
        other => panic!("no protocol {other}"),
    }
}

async fn connect(dsn: &str) -> Client {
    Client::new(dsn).await.expect("a connection")
}

fn data(found: Result<Option<Value>, Error>) -> Result<Option<(String, Option<u32>)>, Error> {
    found
        .map(|item| item.map(|item| (String::from_utf8_lossy(&item.data.unwrap_or_default()).into_owned(), item.flags)))
}

fn sorted(found: Result<Vec<Value>, Error>) -> Result<Vec<(Vec<u8>, Option<Vec<u8>>)>, Error> {
    found.map(|items| {
        let mut pairs: Vec<_> = items.into_iter().map(|item| (item.key, item.data)).collect();
        pairs.sort();
        pairs
    })
}

async fn ascii(dsn: &str) {
    let mut client = connect(dsn).await;
    for number in 0..10 {
        client.set(format!("ten{number}"), "v", None, None).await.expect("a set");
    }
    step(
        "statistics after ten",
        client.stats().await.map(|found| ["curr_items", "total_items", "cmd_set"].map(|name| found.get(name).cloned())),
    );
    step("version", client.version().await.map(|text| text.split('.').count()));
    step("get nothing", data(client.get("nothing").await));
    for (name, value) in values() {
        step(&format!("set {name}"), client.set("value", value.as_slice(), None, Some(7)).await);
        step(&format!("get {name}"), client.get("value").await.map(|item| item.map(|item| (item.data, item.flags))));
    }
    for (name, key) in keys() {
        let mut client = connect(dsn).await;
        step(&format!("set key {name}"), client.set(&key, name, None, None).await);
        step(&format!("get key {name}"), data(client.get(&key).await));
    }
    step("set too large", connect(dsn).await.set("value", vec![b't'; TOO_LARGE].as_slice(), None, None).await);
    let mut client = connect(dsn).await;
    step("get after too large", data(client.get("value").await));
    conditions(&mut client).await;
    several(&mut client).await;
    dump(&mut connect(dsn).await).await;
    times(&mut client).await;
    client.set("number", "word", None, None).await.expect("a set");
    step("incr word", client.increment("number", 1).await);
    let mut client = connect(dsn).await;
    step("flush", client.flush_all().await);
    step("get flushed", data(client.get("a").await));
}

async fn conditions(client: &mut Client) {
    client.set("a", "1", None, None).await.expect("a set");
    step("add there", client.add("a", "2", None, None).await);
    step("add", client.add("added", "2", None, None).await);
    step("delete", client.delete("added").await);
    step("delete nothing", client.delete("added").await);
    step("incr nothing", client.increment("uncounted", 1).await);
    client.set("number", "10", None, None).await.expect("a set");
    step("incr", client.increment("number", 5).await);
    step("decr", client.decrement("number", 3).await);
    step("decr below nothing", client.decrement("number", 100).await);
    step("incr silently", client.increment_no_reply("number", 7).await);
    step("decr silently", client.decrement_no_reply("number", 2).await);
    step("get number", data(client.get("number").await));
    step("delete silently", client.delete_no_reply("number").await);
    step("get deleted", data(client.get("number").await));
}

async fn several(client: &mut Client) {
    let pairs: Vec<(String, String)> =
        (0..300).map(|number| (format!("multi{number}"), "m".repeat(number % 7))).collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    step(
        "set several",
        client.set_multi(&pairs, None, None).await.map(|all| all.values().filter(|each| each.is_ok()).count()),
    );
    let keys: Vec<&str> = pairs.iter().map(|pair| pair.0).chain(["none1", "none2"]).collect();
    step("get several", sorted(client.get_multi(keys).await));
    step("get several, some missing", sorted(client.get_multi(["multi1", "none1", "multi2"]).await));
    step("get several, none there", sorted(client.get_multi(["none1", "none2"]).await));
    step(
        "add several",
        client.add_multi(&[("multi1", "x"), ("madd1", "x")], None, None).await.map(|all| {
            let mut told: Vec<_> = all.into_iter().map(|(key, done)| format!("{key} {done:?}")).collect();
            told.sort();
            told
        }),
    );
    step("delete several silently", client.delete_multi_no_reply(&["multi1", "none1"]).await);
    step("get several deleted", sorted(client.get_multi(["multi1", "multi2"]).await));
}

/// How many keys exactly depends on how far memcached is with tidying up.
async fn dump(client: &mut Client) {
    let mut dumped = 0;
    match client.dump_keys().await {
        Ok(mut keys) => {
            while let Some(key) = keys.next().await {
                dumped += usize::from(key.is_ok());
            }
            step("dump of keys", (dumped > 200, keys.is_complete()));
        }
        Err(error) => step("dump of keys", error),
    }
}

async fn times(client: &mut Client) {
    client.set("short", "s", Some(2), None).await.expect("a set");
    client.set("long", "l", Some(100), None).await.expect("a set");
    step("get for 2 s", data(client.get("short").await));
    sleep(Duration::from_millis(3200)).await;
    step("get short later", data(client.get("short").await));
    step("get long later", data(client.get("long").await));
}

/// What is the same each time.
fn told(found: Result<Option<MetaValue>, Error>) -> String {
    match found {
        Err(error) => format!("{error:?}"),
        Ok(None) => "none".into(),
        Ok(Some(item)) => format!(
            "{:?} key {:?} cas {} flags {:?} status {:?} hit {:?} size {:?} ttl {:?} opaque {:?} stale {:?} winner {:?}",
            item.data.map(|data| data.escape_ascii().to_string()),
            item.key.map(|key| key.escape_ascii().to_string()),
            item.cas.is_some(),
            item.flags,
            item.status,
            item.hit_before,
            item.size,
            item.ttl_remaining.map(|seconds| seconds / 10),
            item.opaque_token.map(|token| token.escape_ascii().to_string()),
            item.is_stale,
            item.is_recache_winner,
        ),
    }
}

async fn meta(dsn: &str) {
    let mut client = connect(dsn).await;
    step("get nothing", told(client.meta_get("nothing", false, None, Some(&["v"])).await));
    for (name, value) in values() {
        step(&format!("set {name}"), told(client.meta_set("value", value.as_slice(), false, None, None).await));
        step(&format!("get {name}"), told(client.meta_get("value", false, None, Some(&["v", "s"])).await));
    }
    for (name, key) in keys() {
        let mut client = connect(dsn).await;
        step(&format!("set key {name}"), told(client.meta_set(&key, name, false, None, Some(&["k"])).await));
        step(&format!("get key {name}"), told(client.meta_get(&key, false, None, Some(&["v", "k"])).await));
    }
    step(
        "set too large",
        told(connect(dsn).await.meta_set("value", vec![b't'; TOO_LARGE].as_slice(), false, None, None).await),
    );
    let mut client = connect(dsn).await;
    meta_flags(&mut client).await;
    meta_quiet(&mut client).await;
    meta_several(&mut client).await;
}

async fn meta_flags(client: &mut Client) {
    for (name, flags) in [
        ("set with flags", &["F42", "T505", "c", "k"][..]),
        ("add there", &["ME"]),
        ("replace", &["MR", "T505"]),
        ("append", &["MA"]),
        ("prepend", &["MP"]),
        ("set by a stale cas", &["C1"]),
        ("append with a start", &["MA", "N30"]),
    ] {
        step(name, told(client.meta_set("a", "1", false, Some(b"op1"), Some(flags)).await));
    }
    step("replace nothing", told(client.meta_set("nothing", "1", false, None, Some(&["MR"])).await));
    let all = ["v", "k", "c", "f", "h", "s", "t", "q"];
    step("get all", told(client.meta_get("a", false, Some(b"op2"), Some(&all)).await));
    step("get again", told(client.meta_get("a", false, None, Some(&all)).await));
    step("get and touch", told(client.meta_get("a", false, None, Some(&["v", "t", "T705"])).await));
    step("make stale", told(client.meta_delete("a", false, None, Some(&["I", "T30"])).await));
    step("get stale", told(client.meta_get("a", false, None, Some(&["v"])).await));
    step("get stale again", told(client.meta_get("a", false, None, Some(&["v"])).await));
    step("vivify", told(client.meta_get("lease", false, None, Some(&["v", "N30"])).await));
    step("vivify again", told(client.meta_get("lease", false, None, Some(&["v", "N30"])).await));
}

async fn meta_quiet(client: &mut Client) {
    step("quiet get of nothing", told(client.meta_get("nothing", true, None, Some(&["v"])).await));
    step("quiet set", told(client.meta_set("quiet", "7", true, None, None).await));
    step("quiet delete of nothing", told(client.meta_delete("nothing", true, None, None).await));
    step("quiet incr", told(client.meta_increment("quiet", true, None, Some(3), None).await));
    step("get quiet", told(client.meta_get("quiet", false, None, Some(&["v"])).await));
    step("incr", told(client.meta_increment("quiet", false, Some(b"op3"), Some(5), Some(&["v", "t"])).await));
    step(
        "incr with initial",
        told(client.meta_increment("initial", false, None, None, Some(&["N0", "J42", "v"])).await),
    );
    step("decr", told(client.meta_decrement("quiet", false, None, Some(100), Some(&["v"])).await));
    step("incr nothing", told(client.meta_increment("nothing", false, None, None, None).await));
    step("delete", told(client.meta_delete("quiet", false, Some(b"op4"), Some(&["k"])).await));
    step("delete nothing", told(client.meta_delete("quiet", false, None, None).await));
}

async fn meta_several(client: &mut Client) {
    let pairs: Vec<(String, String)> =
        (0..300).map(|number| (format!("multi{number}"), "m".repeat(number % 7))).collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    step("set several", client.meta_set_multi(&pairs, None).await.map(|all| all.len()));
    let keys: Vec<&str> = pairs.iter().map(|pair| pair.0).chain(["none1"]).collect();
    step(
        "get several",
        client.meta_get_multi(&keys, Some(&["v", "k"])).await.map(|all| {
            let mut told: Vec<_> = all.into_iter().map(|item| (item.key, item.data)).collect();
            told.sort();
            told
        }),
    );
    step("set for 2 s", told(client.meta_set("short", "s", false, None, Some(&["T2"])).await));
    sleep(Duration::from_millis(3200)).await;
    step("get short later", told(client.meta_get("short", false, None, Some(&["v"])).await));
    step("set word", told(client.meta_set("word", "word", false, None, None).await));
    step("incr word", told(client.meta_increment("word", false, None, None, None).await));
}
