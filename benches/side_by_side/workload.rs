//! The workloads.

use std::rc::Rc;

use super::keys::Keys;
use super::load::Group;
use super::request::Protocol;

/// One kind of load.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// A short name, to select it by.
    pub name: &'static str,
    /// What the table says.
    pub title: &'static str,
    /// How many connections.
    pub connections: usize,
    /// How many requests each keeps unanswered.
    pub depth: usize,
    /// How many of a hundred requests are sets.
    pub sets: u32,
    /// How many keys a get has.
    pub keys_per_get: u32,
    /// How many servers are behind the program.
    pub servers: usize,
    /// The size of the values in bytes.
    pub value: usize,
    /// What clients speak.
    pub protocol: Protocol,
    /// How many further connections are open and idle.
    pub idle: usize,
    /// How many further connections read values of a million bytes at the same time.
    pub large_readers: usize,
    /// Whether it is part of a quick run.
    pub is_quick: bool,
}

const ONE: Workload = Workload {
    name: "",
    title: "",
    connections: 50,
    depth: 1,
    sets: 10,
    keys_per_get: 1,
    servers: 1,
    value: 100,
    protocol: Protocol::Ascii,
    idle: 0,
    large_readers: 0,
    is_quick: false,
};

/// All of them, in the order of the table.
pub const WORKLOADS: &[Workload] = &[
    Workload { name: "c50", title: "50 connections", is_quick: true, ..ONE },
    Workload { name: "c1", title: "1 connection", connections: 1, is_quick: true, ..ONE },
    Workload { name: "c500", title: "500 connections", connections: 500, ..ONE },
    Workload { name: "gets", title: "50 connections, gets only", sets: 0, ..ONE },
    Workload { name: "sets", title: "50 connections, sets only", sets: 100, is_quick: true, ..ONE },
    Workload { name: "d8", title: "50 connections, 8 deep, gets only", depth: 8, sets: 0, ..ONE },
    Workload { name: "d16", title: "50 connections, 16 deep, gets only", depth: 16, sets: 0, is_quick: true, ..ONE },
    Workload { name: "d32", title: "50 connections, 32 deep, gets only", depth: 32, sets: 0, ..ONE },
    Workload { name: "d16mixed", title: "50 connections, 16 deep", depth: 16, ..ONE },
    Workload {
        name: "multi24",
        title: "24-key gets, 4 servers, 50 connections",
        keys_per_get: 24,
        servers: 4,
        sets: 0,
        ..ONE
    },
    Workload {
        name: "multi100",
        title: "100-key gets, 4 servers, 50 connections",
        keys_per_get: 100,
        servers: 4,
        sets: 0,
        is_quick: true,
        ..ONE
    },
    Workload { name: "v16k", title: "values of 16 KiB, 50 connections", value: 16 << 10, is_quick: true, ..ONE },
    Workload { name: "v512k", title: "values of 512 KiB, 10 connections", connections: 10, value: 512 << 10, ..ONE },
    Workload {
        name: "binary",
        title: "binary clients, 50 connections",
        protocol: Protocol::Binary,
        is_quick: true,
        ..ONE
    },
    Workload {
        name: "binary16",
        title: "binary clients, 50 connections, 16 deep",
        protocol: Protocol::Binary,
        depth: 16,
        ..ONE
    },
    Workload { name: "meta", title: "meta gets, 50 connections", protocol: Protocol::Meta, sets: 0, ..ONE },
    Workload {
        name: "meta16",
        title: "meta gets, 50 connections, 16 deep",
        protocol: Protocol::Meta,
        sets: 0,
        depth: 16,
        is_quick: true,
        ..ONE
    },
    Workload { name: "idle", title: "50 connections beside 2,000 idle ones", idle: 2000, ..ONE },
    Workload {
        name: "large",
        title: "20 connections beside 2 that read values of 1 MB",
        connections: 20,
        large_readers: 2,
        ..ONE
    },
];

/// The size of the values of [`Workload::large_readers`]: what memcached still takes as it is configured by default.
const LARGE: usize = 1_000_000;

impl Workload {
    /// The connections that this is made of; the first group is what is measured.
    pub fn groups(&self, is_echo: bool) -> Vec<Group> {
        let count = match self.value {
            ..=1024 => 10_000,
            1025..=65536 => 256,
            _ => 32,
        };
        let group = Group {
            connections: self.connections,
            depth: self.depth,
            sets: self.sets,
            keys_per_get: self.keys_per_get,
            protocol: if is_echo { Protocol::Echo } else { self.protocol },
            keys: Rc::new(Keys::new("key", count, self.value)),
        };
        let mut groups = vec![group.clone()];
        if self.large_readers > 0 && !is_echo {
            groups.push(Group {
                connections: self.large_readers,
                depth: 1,
                sets: 0,
                keys_per_get: 1,
                keys: Rc::new(Keys::new("big", 8, LARGE)),
                ..group
            });
        }
        groups
    }

    /// Whether the echo, which sends everything back, says anything about this.
    pub fn suits_echo(&self) -> bool {
        self.value <= 1024 && self.servers == 1 && self.protocol == Protocol::Ascii && self.large_readers == 0
    }
}
