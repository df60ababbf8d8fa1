//! memcache: classic ASCII and binary. Its meta client is tried by its own suite.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use memcache::{Client, MemcacheError};

use crate::{TOO_LARGE, keys, step, values};

type WithCas = (Vec<u8>, u32, Option<u64>);

fn get(client: &Client, key: &str) -> Result<Option<String>, MemcacheError> {
    client.get::<String>(key)
}

pub fn run(protocol: &str, port: &str) {
    let url = format!("memcache://127.0.0.1:{port}?protocol={protocol}&timeout=10");
    let connect = || Client::connect(url.as_str()).expect("a connection");
    let client = connect();
    for number in 0..10 {
        client.set(&format!("ten{number}"), "v", 0).expect("a set");
    }
    step(
        "statistics after ten",
        client.stats().map(|all| {
            let found = &all[0].1;
            ["curr_items", "total_items", "cmd_set"].map(|name| found.get(name).cloned())
        }),
    );
    step("version", client.version().map(|all| all[0].1.split('.').count()));
    step("get nothing", get(&client, "nothing"));
    for (name, value) in values() {
        step(&format!("set {name}"), client.set("value", value.as_slice(), 0));
        step(&format!("get {name}"), client.get::<(Vec<u8>, u32)>("value"));
    }
    for (name, key) in keys() {
        step(&format!("set key {name}"), client.set(&key, name, 0));
        step(&format!("get key {name}"), get(&client, &key));
    }
    step("set too large", connect().set("value", vec![b't'; TOO_LARGE].as_slice(), 0));
    let client = connect();
    step("get after too large", get(&client, "value"));
    conditions(&client);
    numbers(&client);
    several(&client);
    times(&client);
    client.set("number", "word", 0).expect("a set");
    step("incr word", client.increment("number", 1));
    let client = connect();
    step("flush", client.flush());
    step("get flushed", get(&client, "a"));
    client.set("a", "again", 0).expect("a set");
    step("get after flush", get(&client, "a"));
    step("flush later", client.flush_with_delay(100));
    step("get before that", get(&client, "a"));
}

fn conditions(client: &Client) {
    client.set("a", "1", 0).expect("a set");
    step("add there", client.add("a", "2", 0));
    step("add", client.add("added", "2", 0));
    step("replace", client.replace("a", "3", 0));
    step("replace nothing", client.replace("nothing", "3", 0));
    step("append", client.append("a", "-after"));
    step("prepend", client.prepend("a", "before-"));
    step("append nothing", client.append("nothing", "x"));
    step("prepend nothing", client.prepend("nothing", "x"));
    step("get longer", get(client, "a"));
    let cas = client.get::<WithCas>("a").expect("a get").and_then(|item| item.2);
    step("there is a cas", cas.is_some());
    let cas = cas.unwrap_or_default();
    step("cas", client.cas("a", "by cas", 0, cas));
    step("cas twice", client.cas("a", "stale", 0, cas));
    step("cas nothing", client.cas("nothing", "x", 0, cas));
    step("get kept", get(client, "a"));
    step("delete", client.delete("added"));
    step("delete nothing", client.delete("added"));
}

fn numbers(client: &Client) {
    step("incr nothing", client.increment("uncounted", 1));
    client.set("number", 10, 0).expect("a set");
    step("incr", client.increment("number", 5));
    step("decr", client.decrement("number", 3));
    step("decr below nothing", client.decrement("number", 100));
    client.set("number", u64::MAX, 0).expect("a set");
    step("incr highest", client.increment("number", 2));
    step("get number", client.get::<u64>("number"));
}

fn several(client: &Client) {
    let names: Vec<String> = (0..300).map(|number| format!("multi{number}")).collect();
    for name in &names {
        client.set(name, name.as_str(), 0).expect("a set");
    }
    let all: Vec<&str> = names.iter().map(String::as_str).chain(["none1", "none2"]).collect();
    let sorted = |keys: &[&str]| client.gets::<String>(keys).map(|found| found.into_iter().collect::<BTreeMap<_, _>>());
    step("get several", sorted(&all));
    step("get several, some missing", sorted(&["multi1", "none1", "multi2"]));
    step("get several, none there", sorted(&["none1", "none2"]));
}

fn times(client: &Client) {
    client.set("short", "s", 2).expect("a set");
    client.set("long", "l", 100).expect("a set");
    client.set("touched", "t", 2).expect("a set");
    step("get for 2 s", get(client, "short"));
    step("touch", client.touch("touched", 100));
    step("touch nothing", client.touch("nothing", 100));
    sleep(Duration::from_millis(3200));
    for key in ["short", "long", "touched"] {
        step(&format!("get {key} later"), get(client, key));
    }
}
