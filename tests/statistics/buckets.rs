//! `stats proxy` of several buckets: who is counted where, what is shown of the whole, and what a reset does (06 §4.4,
//! §6.1, §6.4, §8).

use std::collections::BTreeMap;

use crate::launch::{self, Running, free_port};
use crate::proxy_stats::lines;
use moxi_test_support::manager::Exchange;
use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Manager, Mock, Wire, scrape, wait_for};

/// A moxi with buckets from a cluster manager.
struct World {
    manager: Manager,
    server: Mock,
    port: u16,
    metrics: u16,
    moxi: Running,
}

impl World {
    fn start() -> World {
        let (manager, server, port, metrics) = (Manager::new(), Mock::new(), free_port(), free_port());
        let behavior = format!("port_listen={port},usr=operator,metrics={metrics},time_stats=1");
        let url = format!("url={}", manager.url("p"));
        let mut command = launch::moxi(&["-z", &url, "-Z", &behavior, "-p", "0", "-t", "1"]);
        for name in ["http_proxy", "all_proxy", "ALL_PROXY"] {
            command.env_remove(name);
        }
        let moxi = Running::start(&mut command);
        World { manager, server, port, metrics, moxi }
    }

    fn bucket(&self, name: &str, password: &str) -> String {
        format!(
            "{{\"name\":\"{name}\",\"saslPassword\":\"{password}\",\"vBucketServerMap\":{{\"numReplicas\":0,\
             \"serverList\":[\"127.0.0.1:{}\"],\"vBucketMap\":[[0]]}}}}",
            self.server.port()
        )
    }

    fn both(&self) -> String {
        format!("{{\"buckets\":[{},{}]}}", self.bucket("default", ""), self.bucket("orders", "open"))
    }

    fn stream(&self) -> Exchange {
        let mut stream = self.manager.stream();
        stream.document(&self.both());
        wait_for("the port to be open", || Wire::try_connect("probe", self.port).is_ok());
        stream
    }

    fn client(&self) -> Wire {
        Wire::connect("client", self.port)
    }
}

/// All lines of `stats proxy`, without the port.
fn all(client: &mut Wire, world: &World) -> BTreeMap<String, String> {
    let prefix = format!("{}:", world.port);
    lines(client, "").into_iter().map(|(name, value)| (name.replacen(&prefix, "", 1), value)).collect()
}

fn authenticate(client: &mut Wire, bucket: &str, password: &str) {
    client.send(Packet::request(op::SASL_AUTH).key("PLAIN").value(format!("\0{bucket}\0{password}")).bytes());
    assert_eq!(client.packet().status, 0);
}

#[test]
fn who_moves_to_a_bucket_counts_there_too() {
    let world = World::start();
    let _stream = world.stream();
    let (mut asking, mut client) = (world.client(), world.client());
    let counts = |asking: &mut Wire| {
        let all = all(asking, &world);
        let of = |name: &str| all[name].parse::<u64>().expect("a number");
        ["default", "orders"].map(|bucket| {
            [of(&format!("{bucket}:pstd_stats:num_upstream")), of(&format!("{bucket}:pstd_stats:tot_upstream"))]
        })
    };
    wait_for("the others to be gone", || counts(&mut asking)[0][0] == 2);
    let before = counts(&mut asking)[0][1];
    authenticate(&mut client, "orders", "open");
    assert_eq!(counts(&mut asking), [[1, before], [1, 1]]);
    authenticate(&mut client, "orders", "open");
    assert_eq!(counts(&mut asking), [[1, before], [1, 1]], "it is where it was");
    authenticate(&mut client, "default", "");
    assert_eq!(counts(&mut asking), [[2, before + 1], [0, 1]]);
    drop(client);
    wait_for("it to be gone", || counts(&mut asking)[0][0] == 1);
}

#[test]
fn what_is_said_of_the_whole_is_the_same_for_all_clients() {
    let world = World::start();
    let _stream = world.stream();
    let main = |bucket: Option<(&str, &str)>| {
        let mut client = world.client();
        if let Some((bucket, password)) = bucket {
            authenticate(&mut client, bucket, password);
            let found = crate::proxy_stats::packets(&mut client, "proxy behaviors");
            return found.into_iter().filter(|(name, _)| name.starts_with("proxy_main:")).collect::<Vec<_>>();
        }
        lines(&mut client, " behaviors").into_iter().filter(|(name, _)| name.starts_with("proxy_main:")).collect()
    };
    let of_all = main(None);
    assert!(of_all.contains(&("proxy_main:behavior:usr".to_owned(), "operator".to_owned())), "{of_all:?}");
    for bucket in [("default", ""), ("orders", "open")] {
        assert_eq!(main(Some(bucket)), of_all, "{bucket:?}");
    }
}

#[test]
fn a_reset_is_of_the_whole_cluster_and_of_maxima() {
    let world = World::start();
    let mut stream = world.stream();
    let mut client = world.client();
    let main = |client: &mut Wire| {
        let all = all(client, &world);
        ["stat_configs", "stat_config_fails", "stat_proxy_starts", "stat_proxy_existings", "stat_proxy_shutdowns"]
            .map(|name| all[&format!("proxy_main:stats:{name}")].parse::<u64>().expect("a number"))
    };
    assert_eq!(main(&mut client), [1, 0, 2, 0, 0]);
    // Something slow, so that what comes after the reset is less.
    client.send("get a\r\n");
    let mut server = world.server.accept();
    // The bucket is named `default`: it authenticates.
    let login = server.packet();
    server.send(Packet::reply(login.opcode).opaque(login.opaque).bytes());
    let asked = server.packet();
    std::thread::sleep(std::time::Duration::from_millis(50));
    server.send(Packet::reply(asked.opcode).opaque(asked.opaque).status(1).bytes());
    client.expect("END\r\n");
    let most = |client: &mut Wire| {
        all(client, &world)["default:pstd_stats:max_downstream_reserved_time"].parse::<u64>().expect("a number")
    };
    let slow = most(&mut client);
    assert!(slow >= 50_000, "{slow}");
    // Any bucket's client resets all.
    client.ask("stats proxy reset\r\n", "OK\r\n");
    assert_eq!(main(&mut client), [0; 5]);
    assert_eq!(most(&mut client), 0);
    client.send("get a\r\n");
    let asked = server.packet();
    server.send(Packet::reply(asked.opcode).opaque(asked.opaque).status(1).bytes());
    client.expect("END\r\n");
    let quick = most(&mut client);
    assert!(quick > 0 && quick < slow, "{quick} is that of what came since");
    stream.document(&format!("{{\"buckets\":[{}]}}", world.bucket("default", "")));
    wait_for("the document", || main(&mut client) != [0; 5]);
    assert_eq!(main(&mut client), [1, 0, 0, 1, 1]);
    let page = scrape::metrics(world.metrics);
    for (name, value) in [
        ("moxi_config_documents_total", 1),
        ("moxi_buckets_created_total", 0),
        ("moxi_buckets_confirmed_total", 1),
        ("moxi_buckets_removed_total", 1),
    ] {
        assert_eq!(page.get(name, &[]), f64::from(value), "{name}");
    }
    drop(world.moxi);
}
