//! What one seed stands for: configuration, limits, which faults there are, how clients behave.

use std::sync::Arc;

use moxi::config::behavior::Behavior;
use moxi::config::snapshot::{BucketConfig, Config, Learned, Revision, Secret, Server};
use moxi::protocol::Protocol;
use moxi::proxy::Settings;
use moxi::routing::Router;
use moxi::routing::ketama::{Ring, RingServer};
use moxi::routing::vbucket::{NOBODY, VbucketMap};

use super::cluster::Cluster;
use moxi_fuzzing::memory::Random;

/// Where the first server listens; the others on the ports behind it.
pub const FIRST_PORT: u16 = 11211;

/// Makes other random numbers of a seed.
const CHANGES: u64 = 0x6576_6572_796f_6e65;

/// The faults that servers may have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Replies take longer, sometimes longer than the timeouts.
    pub slow: bool,
    /// Connections are closed at any moment.
    pub close: bool,
    /// Connections are refused, or never completed.
    pub refuse: bool,
    /// Servers neither read nor answer for a while.
    pub stall: bool,
    /// What does not fit is sent.
    pub garbage: bool,
    /// Commands are answered with errors, large values before they have arrived.
    pub errors: bool,
    /// User or bucket are refused.
    pub auth: bool,
}

impl Faults {
    /// Whether connections may be lost.
    pub fn lose_connections(&self) -> bool {
        self.slow || self.close || self.refuse || self.stall || self.garbage || self.auth
    }
}

/// What a server knows of the meta commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meta {
    No,
    /// Other ones of the same names.
    Early,
    Yes,
    /// Of one with which the proxy speaks binary: it understands nothing else.
    Packets,
}

/// What of the configuration changes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    /// In one of so many steps; 0: never.
    pub every: u64,
    /// The limits do.
    pub limits: bool,
    /// What is spoken with servers does.
    pub protocols: bool,
    /// Buckets come and go.
    pub buckets: bool,
}

/// One seed's conditions.
#[derive(Debug)]
pub struct Scenario {
    /// The first configuration.
    pub config: Config,
    pub settings: Settings,
    /// Each server once, whether it is in the first configuration or not.
    pub servers: Vec<Arc<Server>>,
    /// Which servers know `getl` and `unl`.
    pub knows_locks: Vec<bool>,
    /// Which of them each ASCII server knows.
    pub meta: Vec<Meta>,
    /// How many of ten clients speak the binary protocol.
    pub binary: u64,
    pub faults: Faults,
    /// All is predictable: no faults, no timeouts, no flushing.
    pub exact: bool,
    /// So are the answers, when a request is made.
    pub foreseen: bool,
    pub changes: Changes,
    /// The servers are a cluster, which begins like this.
    pub cluster: Option<Cluster>,
    /// Servers are stopped now and then, and clients set the same key again and again, whatever becomes of it.
    pub stubborn: bool,
    /// Some clients send anything.
    pub hostile: bool,
    /// How many clients are connected at the same time.
    pub clients: usize,
    /// Clients come and go.
    pub churn: bool,
    /// Clients read slowly.
    pub slow_readers: bool,
    /// Bytes that a socket buffer takes.
    pub socket: usize,
    /// Sockets do everything that sockets may do.
    pub rough: bool,
    /// How often a request is sent at most because it is refused.
    pub sends: u64,
    /// Largest value that clients send.
    pub large: usize,
}

impl Scenario {
    /// The conditions of `seed`.
    pub fn new(random: &mut Random, seed: u64) -> Scenario {
        let exact = random.once_in(3);
        let stubborn = !exact && random.once_in(4);
        let faults = match (exact, stubborn) {
            (true, _) => Faults::default(),
            (_, true) => Faults { stall: true, close: random.once_in(3), slow: random.once_in(3), ..Faults::default() },
            (_, false) => faults(random),
        };
        let mut behavior = behavior(random, exact);
        if stubborn {
            behavior.downstream_conn_queue_timeout = random.pick(&[5, 20]);
            behavior.downstream_timeout = random.pick(&[50, 400]);
            behavior.downstream_conn_max = random.pick(&[2, 4]);
            behavior.downstream_max = 1024;
            behavior.connect_max_errors = 0;
        }
        let behavior = Arc::new(behavior);
        let (servers, buckets) = buckets(random, &behavior);
        let mut scenario = Scenario {
            config: Config { buckets, ..Config::default() },
            foreseen: exact,
            changes: Changes::default(),
            cluster: None,
            sends: 1,
            settings: Settings { requests_per_turn: random.pick(&[1, 2, 20]), binding: None },
            meta: servers.iter().map(|server| meta(random, server.protocol)).collect(),
            binary: random.pick(&[0, 0, 5, 10]),
            knows_locks: servers.iter().map(|_| random.once_in(2)).collect(),
            servers,
            faults,
            exact,
            stubborn,
            hostile: random.once_in(3),
            clients: random.pick(if stubborn { &[3, 3, 12, 12] } else { &[1, 2, 5, 12] }),
            churn: random.once_in(2),
            slow_readers: random.once_in(3),
            socket: random.pick(&[300, 3_000, 60_000, 1_000_000]),
            rough: random.once_in(2),
            large: random.pick(&[100, 100, 5_000, 30_000, 200_000]),
        };
        // With random numbers of their own: else the runs without changes would be others, too.
        let mut random = Random::new(seed ^ CHANGES);
        match random.below(6) {
            0 => scenario.make_cluster(&mut random),
            1 | 2 => scenario.change_lists(&mut random),
            _ => {}
        }
        scenario
    }

    /// Servers come and go.
    fn change_lists(&mut self, random: &mut Random) {
        let count = self.servers.len();
        for index in count..(count + random.range(1, 3) as usize).max(2) {
            let server = server(random, index);
            self.meta.push(meta(random, server.protocol));
            self.knows_locks.push(random.once_in(2));
            self.servers.push(Arc::new(server));
        }
        self.changes = Changes {
            every: random.pick(&[30, 150, 600]),
            limits: !self.stubborn && random.once_in(2),
            protocols: random.once_in(3),
            buckets: random.once_in(3),
        };
        self.foreseen = false;
    }
}

/// What such a server may know.
pub fn meta(random: &mut Random, protocol: Protocol) -> Meta {
    match protocol {
        Protocol::Ascii => random.pick(&[Meta::No, Meta::Early, Meta::Yes, Meta::Yes]),
        Protocol::Binary => random.pick(&[Meta::No, Meta::Packets, Meta::Early, Meta::Yes, Meta::Yes]),
    }
}

fn faults(random: &mut Random) -> Faults {
    if random.once_in(2) {
        let mut faults = Faults::default();
        let one = [
            &mut faults.slow,
            &mut faults.close,
            &mut faults.refuse,
            &mut faults.stall,
            &mut faults.garbage,
            &mut faults.errors,
            &mut faults.auth,
        ];
        let at = random.index(one.len());
        if let Some(fault) = one.into_iter().nth(at) {
            *fault = true;
        }
        return faults;
    }
    let mut some = || random.once_in(2);
    Faults {
        slow: some(),
        close: some(),
        refuse: some(),
        stall: some(),
        garbage: some() && some(),
        errors: some(),
        auth: some() && some(),
    }
}

/// Limits.
pub fn behavior(random: &mut Random, exact: bool) -> Behavior {
    let unbounded = random.once_in(3);
    let mut timeout = |choices: &[u32]| match exact {
        true => random.pick(&[0, 3_600_000]),
        false if unbounded && random.once_in(2) => 0,
        false => random.pick(choices),
    };
    let mut behavior = Behavior {
        downstream_timeout: timeout(&[10, 100, 400]),
        downstream_conn_queue_timeout: timeout(&[5, 20, 200]),
        wait_queue_timeout: timeout(&[5, 20, 200]),
        connect_timeout: timeout(&[5, 50, 200]),
        auth_timeout: timeout(&[5, 20, 100]),
        ..Behavior::default()
    };
    behavior.downstream_max = random.pick(&[0, 1, 2, 5, 1024]);
    behavior.downstream_conn_max = random.pick(&[0, 1, 4]);
    behavior.downstream_retry = random.pick(&[0, 1, 2]);
    behavior.connect_max_errors = random.pick(&[0, 1, 5]);
    behavior.connect_retry_interval = random.pick(&[0, 50, 1_000]);
    behavior.join_gets = !random.once_in(3);
    behavior.upstream_requests_max = random.pick(&[1, 2, 10, 1_000]);
    behavior.upstream_output_max = random.pick(&[1, 200, 5_000, 16_777_216]);
    behavior.quiet_max = random.pick(&[100, 3_000, 22_020_096]);
    behavior.value_max = random.pick(&[50, 20_000, 134_217_728]);
    behavior.hot_keys = random.pick(&[0, 1, 5]);
    behavior.key_stats_lifespan = random.pick(&[0, 3, 3_600_000]);
    behavior.key_stats_max = random.pick(&[1, 3, 4_000]);
    behavior.key_stats_spec = "k|s|b".to_owned();
    behavior.slow_log = random.pick(&[0, 1, 100]);
    behavior.client_idle_timeout = if exact { 0 } else { random.pick(&[0, 0, 3, 30]) };
    behavior
}

/// With all timers set in each of these, how long the oldest request of a client may take at most, if it is sent so often.
pub fn bound<'a>(behaviors: impl Iterator<Item = &'a Behavior> + Clone, sends: u64) -> Option<u64> {
    let most = |limit: fn(&Behavior) -> u32| {
        let mut limits = behaviors.clone().map(limit);
        if limits.clone().any(|limit| limit == 0) { None } else { limits.by_ref().max().map(u64::from) }
    };
    let retries = behaviors.clone().map(|behavior| behavior.downstream_retry).max()?;
    // One more for the question which commands a server knows.
    let tries = u64::from(retries) + 2;
    let one = most(|behavior| behavior.connect_timeout)?
        + 2 * most(|behavior| behavior.auth_timeout)?
        + most(|behavior| behavior.downstream_conn_queue_timeout)?
        + most(|behavior| behavior.downstream_timeout)?;
    let once = (most(|behavior| behavior.wait_queue_timeout)? + tries * one) * 1_000 + 10_000;
    Some(once * sends + (sends - 1) * 20_000)
}

fn buckets(random: &mut Random, behavior: &Arc<Behavior>) -> (Vec<Arc<Server>>, Vec<Arc<BucketConfig>>) {
    let count = random.pick(&[1, 1, 2, 3, 5]);
    let servers: Vec<Arc<Server>> = (0..count).map(|index| Arc::new(server(random, index))).collect();
    let names = if random.once_in(3) { 2 } else { 1 };
    let buckets = (0..names).map(|index| Arc::new(bucket(random, index, &servers, behavior))).collect();
    (servers, buckets)
}

/// A server.
pub fn server(random: &mut Random, index: usize) -> Server {
    let protocol = random.pick(&[Protocol::Ascii, Protocol::Binary]);
    let may_authenticate = protocol == Protocol::Binary && random.once_in(3);
    let text = |yes: bool, text: &str| if yes { text.to_owned() } else { String::new() };
    Server {
        host: format!("db{index}.example"),
        port: FIRST_PORT + index as u16,
        user: text(may_authenticate, "anna"),
        password: Secret::new(text(may_authenticate, "fictional")),
        bucket: text(may_authenticate && random.once_in(2), "rooms"),
        protocol,
    }
}

fn bucket(random: &mut Random, index: usize, servers: &[Arc<Server>], behavior: &Arc<Behavior>) -> BucketConfig {
    let mut list = servers.to_vec();
    if random.once_in(4) {
        // One server at several places of the list.
        list.push(Arc::clone(&servers[0]));
        list.push(Arc::clone(&servers[0]));
    }
    let is_map = random.once_in(3);
    let kind = if is_map { Kind::Map } else { Kind::of_list(random) };
    bucket_of(random, index, list, kind, behavior)
}

/// How keys are spread over servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Modula,
    /// Ketama as it is for one server, or without weights.
    Plain,
    /// Ketama with weights.
    Weighted,
    Map,
}

impl Kind {
    fn of_list(random: &mut Random) -> Kind {
        match random.below(3) {
            0 => Kind::Modula,
            1 => Kind::Plain,
            _ => Kind::Weighted,
        }
    }

    /// Any.
    pub fn any(random: &mut Random) -> Kind {
        if random.once_in(4) { Kind::Map } else { Kind::of_list(random) }
    }

    /// That of a router.
    pub fn of(router: &Router) -> Kind {
        match router {
            Router::Modula { .. } => Kind::Modula,
            Router::Vbucket(_) => Kind::Map,
            Router::Ketama(_) => Kind::Plain,
            Router::Single | Router::Named => Kind::Weighted,
        }
    }
}

/// The bucket with this index over these servers.
pub fn bucket_of(
    random: &mut Random,
    index: usize,
    list: Vec<Arc<Server>>,
    kind: Kind,
    behavior: &Arc<Behavior>,
) -> BucketConfig {
    let router = if kind == Kind::Map {
        let rows = (0..16).map(|_| if random.once_in(20) { NOBODY } else { random.index(list.len()) as i32 });
        Router::Vbucket(VbucketMap::new(0, list.len(), rows.collect(), None).expect("a valid map"))
    } else {
        let ring = |server: &Arc<Server>| (server.host.clone(), server.port);
        let names: Vec<(String, u16)> = list.iter().map(ring).collect();
        let ring: Vec<RingServer<'_>> =
            names.iter().map(|(host, port)| RingServer { host, port: *port, weight: 0 }).collect();
        match kind {
            Kind::Modula => Router::Modula { servers: list.len() },
            Kind::Plain => Router::Ketama(Ring::plain(&ring)),
            _ => Router::for_list("", &ring),
        }
    };
    BucketConfig {
        agent: None,
        learned: Learned::nothing(&router, Revision::default()),
        name: format!("bucket{index}"),
        port: 11300 + index as u16,
        behavior: Arc::clone(behavior),
        servers: list,
        get_errors: kind == Kind::Map && random.once_in(2),
        router,
        text: String::new(),
        is_null: false,
    }
}
