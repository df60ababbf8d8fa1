//! Servers are asked for their versions, as a connection of the proxy begins: user, bucket (04 §11.5).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;

use super::table::Row;
use crate::alive::{Conn, reach};
use crate::cli::{Options, ServerPort};
use crate::config::Loaded;
use crate::config::address::Address;
use crate::config::snapshot::Server;
use crate::protocol::Protocol;
use crate::protocol::binary::{command, opcode};

/// Most servers that are asked at a time.
const AT_ONCE: usize = 64;

/// Asks all servers of the table, each once, and notes their answers there.
pub(super) fn ask(options: &Options, loaded: &Loaded, rows: &mut [Row], problems: &mut Vec<String>) {
    let mut servers: Vec<Arc<Server>> = Vec::new();
    for server in rows.iter().filter_map(|row| row.server.as_ref()) {
        if !servers.contains(server) {
            servers.push(Arc::clone(server));
        }
    }
    let mut answers = HashMap::new();
    let (own, others): (Vec<_>, Vec<_>) = servers.into_iter().partition(|server| is_own(server, options, loaded));
    answers.extend(own.into_iter().map(|server| (server, "itself".to_owned())));
    for some in others.chunks(AT_ONCE) {
        let replies: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = some.iter().map(|server| scope.spawn(|| version(server))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("it failed".to_owned()))).collect()
        });
        for (server, reply) in some.iter().zip(replies) {
            match reply {
                Ok(version) => drop(answers.insert(Arc::clone(server), format!("version {version}"))),
                Err(why) => problems.push(format!("ERROR: server {server}: {why}")),
            }
        }
    }
    for row in rows {
        row.answer = row.server.as_ref().and_then(|server| answers.get(server)).cloned();
    }
}

/// Whether a start would itself listen there.
fn is_own(server: &Server, options: &Options, loaded: &Loaded) -> bool {
    if let Some(path) = server.socket() {
        return options.socket.as_deref() == Some(path);
    }
    let is_here = server.host == "localhost"
        || options.listen.as_deref() == Some(&server.host)
        || server.host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    let sections = loaded.sections.iter().map(|section| section.port);
    let cluster = loaded.config.dynamic.as_ref().map(|cluster| cluster.port);
    is_here
        && options.socket.is_none()
        && (options.tcp_port == Some(ServerPort::Fixed(server.port))
            || sections.chain(cluster).any(|port| port == server.port))
}

fn version(server: &Server) -> Result<String, String> {
    let address = Address { host: server.host.clone(), port: server.port };
    reach(&address, |place, until| {
        let mut conn = Conn::open(place, until)?;
        match server.protocol {
            Protocol::Ascii => conn.ascii(),
            Protocol::Binary => {
                shake_hands(&mut conn, server)?;
                conn.binary()
            }
        }
    })
}

/// Authenticates and selects the bucket, where there are any.
fn shake_hands(conn: &mut Conn, server: &Server) -> Result<(), String> {
    let mut accepted = |request: &[u8], opcode, name: &str, what: String| {
        let reply = conn.exchange(request, opcode, name)?;
        match reply.header.vbucket_or_status {
            0 => Ok(()),
            status => Err(format!("{what} is refused with status {status:#04x}: {}", reply.body().escape_ascii())),
        }
    };
    if !server.user.is_empty() {
        let mut request = Vec::new();
        command::sasl_plain(&mut request, server.user.as_bytes(), server.password.reveal().as_bytes());
        accepted(&request, opcode::SASL_AUTH, "SASL PLAIN", format!("user {}", server.user))?;
    }
    if !server.bucket.is_empty() {
        let mut request = Vec::new();
        command::select_bucket(&mut request, server.bucket.as_bytes());
        accepted(&request, opcode::BUCKET, "select bucket", format!("bucket {}", server.bucket))?;
    }
    Ok(())
}
