//! Nothing overtakes: what was sent and given up is carried out before what its client sends next, or never.

use std::time::Duration;

use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Dialect, Mock, Moxi, MoxiBuilder, Wire, moxi, warm};

const TIMEOUT: &str = "SERVER_ERROR proxy downstream timeout\r\n";
const SHORT: Duration = Duration::from_millis(150);

/// A protocol of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speak {
    Ascii,
    Binary,
}

const BOTH: [Speak; 2] = [Speak::Ascii, Speak::Binary];

impl Speak {
    fn moxi(self, mock: &Mock) -> MoxiBuilder {
        let moxi = moxi!().servers([mock.port()]).set("wait_queue_timeout=0");
        match self {
            Speak::Ascii => moxi.ascii(),
            Speak::Binary => moxi.binary(),
        }
    }

    /// A set, as a server gets it.
    fn set(self, key: &str, value: &str) -> Vec<u8> {
        match self {
            Speak::Ascii => set(key, value).into_bytes(),
            Speak::Binary => Packet::storing(op::SET, key, value).bytes(),
        }
    }

    /// A set is done.
    fn stored(self) -> Vec<u8> {
        match self {
            Speak::Ascii => b"STORED\r\n".to_vec(),
            Speak::Binary => Packet::reply(op::SET).bytes(),
        }
    }

    fn delete(self, key: &str) -> Vec<u8> {
        match self {
            Speak::Ascii => format!("delete {key}\r\n").into_bytes(),
            Speak::Binary => Packet::request(op::DELETE).key(key).bytes(),
        }
    }

    fn deleted(self) -> Vec<u8> {
        match self {
            Speak::Ascii => b"DELETED\r\n".to_vec(),
            Speak::Binary => Packet::reply(op::DELETE).bytes(),
        }
    }
}

/// A set, as a client sends it.
fn set(key: &str, value: &str) -> String {
    format!("set {key} 0 0 {}\r\n{value}\r\n", value.len())
}

/// The only connection to a server that does not answer, with a delete, which its client waits for, and with a set that
/// was given up after it had been sent; and the clients of both.
fn given_up(speak: Speak, mock: &Mock, moxi: &Moxi) -> (Wire, Wire, Wire) {
    let mut stuck = moxi.client();
    stuck.send("delete stuck\r\n");
    let mut line = mock.accept();
    line.expect(speak.delete("stuck"));
    let mut sent = moxi.client();
    sent.send(set("sent", "1"));
    line.expect(speak.set("sent", "1"));
    sent.expect(TIMEOUT);
    (line, stuck, sent)
}

/// Two connections to a server that does not answer. Each holds requests of other clients, the second one more.
struct Stuck {
    speak: Speak,
    first: Wire,
    second: Wire,
    others: Vec<Wire>,
}

impl Stuck {
    fn new(speak: Speak, mock: &Mock, moxi: &Moxi) -> Stuck {
        let mut others: Vec<Wire> = (0..4).map(|_| moxi.client()).collect();
        let mut ask = |number: usize| others[number].send(format!("delete other{number}\r\n"));
        ask(0);
        let mut first = mock.accept();
        first.expect(speak.delete("other0"));
        ask(1);
        let mut second = mock.accept();
        second.expect(speak.delete("other1"));
        // The least loaded connection takes a request; of two alike, the older one.
        ask(2);
        first.expect(speak.delete("other2"));
        ask(3);
        second.expect(speak.delete("other3"));
        let mut stuck = Stuck { speak, first, second, others };
        stuck.first.send(speak.deleted());
        stuck.others[0].expect("DELETED\r\n");
        stuck
    }

    /// The second connection is answered, and has nothing to do any more.
    fn free_second(&mut self) {
        self.second.send([self.speak.deleted(), self.speak.deleted()].concat());
    }
}

/// The first set has been sent behind another request, and is answered with an error; the next one of its client must not
/// reach the server before it, though another connection is idle. It is not sent at all before the first one's fate is
/// known: an error means that it was never sent.
#[test]
fn a_set_that_was_given_up_is_not_overtaken_by_the_next() {
    for speak in BOTH {
        let mock = Mock::new();
        let moxi = speak
            .moxi(&mock)
            .set("downstream_conn_max=2")
            .set("downstream_timeout=0")
            .set("downstream_conn_queue_timeout=800")
            .start();
        let mut stuck = Stuck::new(speak, &mock, &moxi);
        let mut client = moxi.client();
        client.send(set("k", "v1"));
        stuck.first.expect(speak.set("k", "v1"));
        client.expect(TIMEOUT);
        stuck.free_second();
        client.send(set("k", "v2"));
        stuck.second.expect_nothing(SHORT);
        client.expect(TIMEOUT);
        client.send(set("k", "v3"));
        stuck.second.expect_nothing(SHORT);
        // The server goes on: the late answer is dropped, and the next set follows at once, without the second.
        stuck.first.send([speak.deleted(), speak.stored()].concat());
        stuck.first.expect(speak.set("k", "v3"));
        stuck.first.send(speak.stored());
        client.expect("STORED\r\n");
        // Nothing keeps the client there any more, nor anybody else from it.
        client.send(set("k", "v4"));
        let [from, other] = [&mut stuck.first, &mut stuck.second];
        let line = if from.readable(SHORT) { from } else { other };
        line.expect(speak.set("k", "v4"));
        line.send(speak.stored());
        client.expect("STORED\r\n");
    }
}

/// What is behind a request that was taken back is sent as if that had never been there.
#[test]
fn neighbours_of_what_was_taken_back_are_unharmed() {
    for speak in BOTH {
        let mock = Mock::new();
        let moxi = speak
            .moxi(&mock)
            .set("downstream_conn_max=1")
            .set("downstream_timeout=0")
            .set("downstream_conn_queue_timeout=1500")
            .start();
        let (mut line, mut stuck, _sent) = given_up(speak, &mock, &moxi);
        // From here on nothing is sent before an answer comes.
        let large = "x".repeat(100_000);
        let mut early: Vec<Wire> = (0..4).map(|_| moxi.client()).collect();
        let mut late: Vec<Wire> = (0..4).map(|_| moxi.client()).collect();
        early[0].send(set("early0", "small"));
        early[1].send(set("early1", &large));
        early[2].send("get early2\r\n");
        early[3].send("delete early3\r\n");
        line.expect_nothing(Duration::from_millis(700));
        // The middle is taken out while these are queued in front and behind.
        late[0].send(set("late0", &large));
        late[1].send("delete late1\r\n");
        late[2].send("get late2\r\n");
        late[3].send(set("late3", "small"));
        for (number, client) in early.iter_mut().enumerate() {
            client.expect(if number == 2 { "END\r\n" } else { TIMEOUT });
        }
        line.send([speak.deleted(), speak.stored()].concat());
        stuck.expect("DELETED\r\n");
        let (mut left, mut replies) = (4, Vec::new());
        while left > 0 {
            let (asked, reply) = match speak {
                Speak::Ascii => {
                    let asked = String::from_utf8(line.line()).expect("text");
                    let reply = match asked.split(' ').next() {
                        Some("set") => {
                            let length = asked.trim_end().rsplit(' ').next().and_then(|word| word.parse().ok());
                            let value = line.take(length.unwrap_or(0usize) + 2);
                            assert!(value == b"small\r\n" || value == format!("{large}\r\n").as_bytes());
                            &b"STORED\r\n"[..]
                        }
                        Some("get") => b"END\r\n",
                        _ => b"DELETED\r\n",
                    };
                    (asked, reply.to_vec())
                }
                Speak::Binary => {
                    let packet = line.packet();
                    let asked = String::from_utf8(packet.key.clone()).expect("text");
                    let status = if packet.opcode == op::GETK { 1 } else { 0 };
                    (asked, Packet::reply(packet.opcode).status(status).opaque(packet.opaque).bytes())
                }
            };
            // A get does nobody any harm.
            assert!(asked.contains("late") || asked.contains("early2"), "{asked}");
            left -= usize::from(asked.contains("late"));
            replies.push(reply);
        }
        line.send(replies.concat());
        for (client, reply) in late.iter_mut().zip(["STORED\r\n", "DELETED\r\n", "END\r\n", "STORED\r\n"]) {
            client.expect(reply);
        }
        line.expect_nothing(Duration::from_millis(50));
    }
}

/// A client that is told nothing loses nothing: noreply and quiet writes are carried out when the server goes on.
#[test]
fn what_the_client_is_not_told_of_is_not_taken_back() {
    for speak in BOTH {
        let mock = Mock::new();
        let moxi = speak
            .moxi(&mock)
            .set("downstream_conn_max=1")
            .set("downstream_timeout=0")
            .set("downstream_conn_queue_timeout=500")
            .start();
        let (mut line, _stuck, _sent) = given_up(speak, &mock, &moxi);
        let mut client = moxi.client();
        client.send("set quiet 0 0 1 noreply\r\n1\r\n");
        // It is sent when it is given up, so that a server that goes on much later has it.
        line.expect(speak.set("quiet", "1"));
        // The client's next one is told of, and is not.
        client.send(set("quiet", "2"));
        client.expect(TIMEOUT);
        client.send(set("quiet", "3"));
        line.expect_nothing(Duration::from_millis(20));
        line.send([speak.deleted(), speak.stored()].concat());
        line.expect(speak.set("quiet", "3"));
        line.send([speak.stored(), speak.stored()].concat());
        client.expect("STORED\r\n");
    }
}

/// A client that goes and comes back is not known again; but its key is. What it sends then waits for what it sent
/// before; and if no answer comes, it does not wait for ever.
#[test]
fn a_client_that_comes_back_does_not_overtake_itself() {
    for speak in BOTH {
        // ASCII servers are told in other words what binary clients say; there, the others say enough.
        let kinds = if speak == Speak::Ascii { &[false][..] } else { &[false, true] };
        for (binary, reset, answers) in kinds.iter().flat_map(|binary| {
            [(*binary, false, true), (*binary, true, true), (*binary, false, false), (*binary, true, false)]
        }) {
            let request = |value: &str| match binary {
                false => set("k", value).into_bytes(),
                true => Packet::storing(op::SET, "k", value).bytes(),
            };
            let mock = Mock::new();
            let moxi = speak
                .moxi(&mock)
                .set("downstream_conn_max=2")
                .set(if answers { "downstream_timeout=0" } else { "downstream_timeout=2000" })
                .set("downstream_conn_queue_timeout=0")
                .start();
            let mut stuck = Stuck::new(speak, &mock, &moxi);
            let mut client = moxi.client();
            client.send(request("v1"));
            stuck.first.expect(speak.set("k", "v1"));
            if reset {
                client.reset();
            } else {
                client.close();
            }
            // Who comes later is heard later.
            let mut control = moxi.client();
            control.send("version\r\n");
            control.line();
            stuck.free_second();
            let mut client = moxi.client();
            client.send(request("v2"));
            // Another key is free to go where there is room.
            let mut other = moxi.client();
            other.send(set("other", "1"));
            stuck.second.expect(speak.set("other", "1"));
            stuck.second.send(speak.stored());
            other.expect("STORED\r\n");
            if answers {
                stuck.first.expect_nothing(Duration::from_millis(20));
                stuck.first.send([speak.deleted(), speak.stored()].concat());
                stuck.first.expect(speak.set("k", "v2"));
                stuck.first.send(speak.stored());
            } else {
                stuck.first.expect_closed();
                let mut line = mock.accept();
                line.expect(speak.set("k", "v2"));
                line.send(speak.stored());
            }
            match binary {
                false => client.expect("STORED\r\n"),
                true => client.expect(Packet::reply(op::SET).bytes()),
            }
        }
    }
}

/// The same for a meta command whose key is written in base64, by the same client or by one that writes it otherwise.
#[test]
fn a_key_in_base64_is_known_again() {
    for (again, sent) in [("ms Zm9v 1 b", "ms Zm9v 1 b O2"), ("ms foo 1", "ms foo 1 O2"), ("md Zm9v b", "md Zm9v b O2")]
    {
        let mock = Mock::new();
        let settings = "downstream_timeout=0,downstream_conn_queue_timeout=0";
        let builder = Speak::Ascii.moxi(&mock).set(settings).threads(1);
        let (moxi, _, mut line) = warm(builder, Dialect::Meta, &mock);
        let mut client = moxi.client();
        client.send("ms Zm9v 1 b\r\n1\r\n");
        line.expect_piece("ms Zm9v 1 b O1\r\n1\r\n");
        client.close();
        moxi.turn();
        let mut client = moxi.client();
        let value = if again.starts_with("ms") { "2\r\n" } else { "" };
        client.send(format!("{again}\r\n{value}"));
        mock.expect_no_connection(SHORT);
        line.send("HD O1\r\n");
        line.expect_piece(format!("{sent}\r\n{value}"));
        line.send("HD O2\r\n");
        client.expect_piece("HD\r\n");
    }
}

/// The request is answered with an error, and its connection closed, as the C program did (03 §7). But the server may
/// have the request yet. Its client's next one waits until the server is through with the connection, or for as long as a
/// request may wait for another.
#[test]
fn a_set_on_a_connection_that_was_closed_is_not_overtaken() {
    for speak in BOTH {
        for closes in [true, false] {
            let mock = Mock::new();
            let patience = if closes { 10_000 } else { 200 };
            let moxi = speak
                .moxi(&mock)
                .set("downstream_timeout=500")
                .set(format!("downstream_conn_queue_timeout={patience}"))
                .start();
            let mut idle = moxi.client();
            let mut client = moxi.client();
            client.send(set("k", "v1"));
            let mut line = mock.accept();
            line.expect(speak.set("k", "v1"));
            // Another connection, which has nothing to do afterwards.
            idle.send("delete idle\r\n");
            let mut second = mock.accept();
            second.expect(speak.delete("idle"));
            second.send(speak.deleted());
            idle.expect("DELETED\r\n");
            client.expect("SERVER_ERROR proxy downstream timeout 127.0.0.1\r\n");
            line.expect_closed();
            // It is older than that request, and might be read before it.
            second.expect_closed();
            client.send(set("k", "v2"));
            if closes {
                mock.expect_no_connection(SHORT);
                line.send(speak.stored());
                line.close();
            }
            let mut line = mock.accept();
            line.expect(speak.set("k", "v2"));
            line.send(speak.stored());
            client.expect("STORED\r\n");
        }
    }
}

/// While its client waits for the closed connection, others may fill the place that it has left. The client goes on where
/// they are, and not on a connection that has been busy all the time: that one might be read before the closed one.
#[test]
fn who_has_waited_for_a_closed_connection_goes_on_with_a_younger_one() {
    for speak in BOTH {
        let mock = Mock::new();
        let moxi = speak
            .moxi(&mock)
            .set("downstream_conn_max=2")
            .set("downstream_timeout=1500")
            .set("downstream_conn_queue_timeout=400")
            .start();
        let mut client = moxi.client();
        client.send(set("k", "v1"));
        let mut line = mock.accept();
        line.expect(speak.set("k", "v1"));
        let mut busy = moxi.client();
        busy.send("delete busy\r\ndelete busy\r\n");
        let mut elder = mock.accept();
        elder.expect([speak.delete("busy"), speak.delete("busy")].concat());
        // Its second request is given its time from now on.
        elder.expect_nothing(Duration::from_millis(900));
        elder.send(speak.deleted());
        busy.expect("DELETED\r\n");
        client.expect("SERVER_ERROR proxy downstream timeout 127.0.0.1\r\n");
        line.expect_closed();
        client.send(set("k", "v2"));
        let mut other = moxi.client();
        other.send("delete other\r\n");
        let mut younger = mock.accept();
        younger.expect([speak.delete("other"), speak.set("k", "v2")].concat());
        younger.send([speak.deleted(), speak.stored()].concat());
        client.expect("STORED\r\n");
        // Nothing new comes on the older one, and when it has nothing to do it goes.
        elder.send(speak.deleted());
        busy.expect("DELETED\r\n");
        elder.expect_closed();
    }
}

/// Gets that were given up keep nobody: their late answers are dropped, and the client goes where there is room.
#[test]
fn a_get_that_was_given_up_keeps_nobody() {
    for speak in BOTH {
        let mock = Mock::new();
        let moxi = speak
            .moxi(&mock)
            .set("downstream_conn_max=2")
            .set("downstream_timeout=0")
            .set("downstream_conn_queue_timeout=400")
            .start();
        let mut stuck = Stuck::new(speak, &mock, &moxi);
        let mut client = moxi.client();
        client.send("get k\r\n");
        match speak {
            Speak::Ascii => stuck.first.expect("get k\r\n"),
            Speak::Binary => stuck.first.expect(Packet::request(op::GETK).key("k").bytes()),
        }
        client.expect("END\r\n");
        stuck.free_second();
        client.send(set("k", "v"));
        stuck.second.expect(speak.set("k", "v"));
        stuck.second.send(speak.stored());
        client.expect("STORED\r\n");
    }
}
