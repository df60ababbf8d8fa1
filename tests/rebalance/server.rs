//! One server of the cluster: the binary protocol, as far as the load's requests need it.

use std::collections::hash_map::Entry;
use std::io::{BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use moxi::protocol::op::loud;
use moxi::routing::vbucket::VbucketMap;
use moxi_test_support::packet::{HEADER, Packet, op};

use super::cluster::{Cluster, Item, VBUCKETS, Vbucket};

const SUCCESS: u16 = 0;
const NOT_FOUND: u16 = 1;
const EXISTS: u16 = 2;
const INVALID: u16 = 4;
const NOT_MY_VBUCKET: u16 = 7;
const UNKNOWN: u16 = 0x81;
/// An expiry with which a counter is not created.
const NEVER: [u8; 4] = [0xff; 4];

/// Serves whoever connects, as server number `me`, for as long as the test runs.
pub fn serve(listener: TcpListener, me: usize, cluster: &Arc<Cluster>) {
    let cluster = Arc::clone(cluster);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let cluster = Arc::clone(&cluster);
            // The end of the connection is moxi's affair.
            thread::spawn(move || cluster.connected(me, || drop(talk(&stream, me, &cluster))));
        }
    });
}

fn talk(stream: &TcpStream, me: usize, cluster: &Cluster) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut output) = (BufReader::with_capacity(64 * 1024, stream), BufWriter::new(stream));
    loop {
        if input.buffer().is_empty() {
            output.flush()?;
        }
        let mut head = [0; HEADER];
        input.read_exact(&mut head)?;
        let mut body = vec![0; Packet::body_length(&head)];
        input.read_exact(&mut body)?;
        let request = Packet::parse(&head, &body);
        if let Some(reply) = answer(&request, me, cluster) {
            output.write_all(&reply.bytes())?;
        }
    }
}

/// The answer, unless it is not to be said: a quiet get that misses, anything else quiet that succeeds.
fn answer(request: &Packet, me: usize, cluster: &Cluster) -> Option<Packet> {
    let code = loud(request.opcode);
    let is_get = matches!(code, op::GET | op::GETK);
    let reply = match code {
        op::NOOP => Packet::reply(code),
        _ => keyed(request, code, me, cluster),
    };
    let is_usual = if is_get { reply.status == NOT_FOUND } else { reply.status == SUCCESS };
    let is_quiet = request.opcode != code;
    (!is_quiet || !is_usual).then_some(Packet { opcode: request.opcode, opaque: request.opaque, ..reply })
}

fn keyed(request: &Packet, code: u8, me: usize, cluster: &Cluster) -> Packet {
    let number = usize::from(request.status);
    let map = VbucketMap::new(0, 1, vec![0; VBUCKETS], None).expect("a map");
    if usize::from(map.vbucket(&request.key)) != number {
        return Packet::reply(code).status(INVALID);
    }
    let Some(mut vbucket) = cluster.vbucket(number) else { return Packet::reply(code).status(INVALID) };
    if vbucket.master != me {
        vbucket.refused.insert(me, Instant::now());
        drop(vbucket);
        return Packet::reply(code).status(NOT_MY_VBUCKET).value(&*cluster.refusal());
    }
    let cas = cluster.cas.fetch_add(1, Ordering::Relaxed);
    carry_out(request, code, &mut vbucket, cas)
}

fn carry_out(request: &Packet, code: u8, vbucket: &mut Vbucket, cas: u64) -> Packet {
    let reply = Packet::reply(code);
    let place = vbucket.items.entry(request.key.clone());
    match (code, place) {
        (op::GET | op::GETK, Entry::Occupied(item)) => {
            let item = item.get();
            let key = if code == op::GETK { &request.key[..] } else { b"" };
            reply.extras(item.flags).key(key).value(&item.value).cas(item.cas)
        }
        (op::SET, place) => {
            place.insert_entry(item(request, cas));
            reply.cas(cas)
        }
        (op::ADD, Entry::Occupied(_)) => reply.status(EXISTS),
        (op::ADD, Entry::Vacant(place)) => {
            place.insert(item(request, cas));
            reply.cas(cas)
        }
        (op::REPLACE, Entry::Occupied(mut place)) => {
            place.insert(item(request, cas));
            reply.cas(cas)
        }
        (op::DELETE, Entry::Occupied(place)) => {
            place.remove();
            reply
        }
        (op::TOUCH, Entry::Occupied(_)) => reply,
        (op::INCR, Entry::Occupied(mut place)) => {
            assert_eq!(request.extras[16..], NEVER);
            let delta = u64::from_be_bytes(request.extras[..8].try_into().expect("eight bytes"));
            let text = std::str::from_utf8(&place.get().value).expect("digits");
            let number = text.parse::<u64>().expect("a number").wrapping_add(delta);
            let item = place.get_mut();
            (item.value, item.cas) = (number.to_string().into_bytes(), cas);
            reply.cas(cas).value(number.to_be_bytes())
        }
        (op::REPLACE | op::DELETE | op::TOUCH | op::INCR | op::GET | op::GETK, Entry::Vacant(_)) => {
            reply.status(NOT_FOUND)
        }
        _ => reply.status(UNKNOWN),
    }
}

fn item(request: &Packet, cas: u64) -> Item {
    Item { value: request.value.clone(), flags: request.extras[..4].try_into().expect("flags"), cas }
}
