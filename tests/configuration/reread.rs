//! SIGHUP makes moxi read its static configuration file again: servers and ports come and go, clients stay, and a file
//! that cannot be used changes nothing.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::launch::{self, Daemon, Running, connect, content, finish, free_port, refuses, text, wait_for};
use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::ports::is_free;
use moxi_test_support::{Mock, Wire};
use tempfile::TempDir;

const SET: &str = "set a 0 0 1\r\n1\r\n";
const STORED: &str = "STORED\r\n";
/// The reply of a bucket that is shut down.
const GONE: &str = "SERVER_ERROR proxy out of downstreams\r\n";

/// A configuration file.
struct File {
    dir: TempDir,
    path: PathBuf,
}

impl File {
    fn new(sections: &str) -> File {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("moxi.cfg");
        let file = File { dir, path };
        file.write(sections);
        file
    }

    fn write(&self, sections: &str) {
        fs::write(&self.path, sections).expect("written");
    }
}

/// A moxi that has read a file.
struct Bench {
    file: File,
    moxi: Running,
}

impl Bench {
    fn start(sections: &str, options: &[&str]) -> Bench {
        let file = File::new(sections);
        let mut command = command(text(&file.path), options);
        Bench::of(file, &mut command)
    }

    /// A moxi that this command starts with the file.
    fn of(file: File, command: &mut Command) -> Bench {
        let mut moxi = Running::start(command);
        moxi.wait_started();
        assert!(launch::is_milestone(&moxi.error_line()));
        Bench { file, moxi }
    }

    /// Changes the file, and waits until moxi has said what it thinks of it.
    fn reread(&mut self, sections: &str) -> String {
        self.file.write(sections);
        self.again()
    }

    /// Lets moxi read the file. What it says comes without the time and the file's path.
    fn again(&mut self) -> String {
        self.moxi.signal("HUP");
        let line = self.moxi.error_line();
        let line = line.split_once(") ").map_or(line.as_str(), |(_, message)| message).trim_end();
        line.replace(text(&self.file.path), "FILE")
    }
}

fn command(file: &str, options: &[&str]) -> Command {
    let behavior = "downstream_protocol=ascii,downstream_timeout=0,connect_timeout=0,wait_queue_timeout=0,\
                    downstream_conn_queue_timeout=0";
    let mut command = launch::moxi(&["-z", file, "-Z", behavior, "-t", "2", "-l", "127.0.0.1"]);
    command.args(options);
    command
}

fn section(port: u16, servers: &[&Mock]) -> String {
    let list: Vec<String> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    format!("{port}={}", list.join(","))
}

fn client(port: u16) -> Wire {
    drop(connect(port));
    Wire::connect("client", port)
}

/// A request of `client` reaches the server over a new connection, which is given.
fn reaches(client: &mut Wire, server: &Mock) -> Wire {
    client.send(SET);
    let mut conn = server.accept();
    conn.expect(SET);
    conn.send(STORED);
    client.expect(STORED);
    conn
}

/// A request of `client` goes over this connection.
fn goes_over(client: &mut Wire, conn: &mut Wire) {
    client.send(SET);
    conn.expect(SET);
    conn.send(STORED);
    client.expect(STORED);
}

/// The numbers of `stats proxy`: files read, failures, buckets started, kept, shut down.
fn tally(client: &mut Wire) -> [u64; 5] {
    client.send("stats proxy stats\r\n");
    let mut numbers = [0; 5];
    loop {
        let line = String::from_utf8(client.line()).expect("text");
        if line == "END\r\n" {
            return numbers;
        }
        for (number, name) in
            numbers.iter_mut().zip(["configs", "config_fails", "proxy_starts", "proxy_existings", "proxy_shutdowns"])
        {
            if let Some(value) = line.strip_prefix(&format!("STAT proxy_main:stats:stat_{name} ")) {
                *number = value.trim_end().parse().expect("a number");
            }
        }
    }
}

/// The line of a file that was read, with what has changed.
fn read(changes: &str) -> String {
    format!("SIGHUP: configuration read again from FILE: {changes}")
}

fn at(server: &Mock) -> String {
    format!("127.0.0.1:{}", server.port())
}

#[test]
fn servers_change_under_a_client() {
    let (port, first, second) = (free_port(), Mock::new(), Mock::new());
    let mut bench = Bench::start(&section(port, &[&first]), &[]);
    let mut client = client(port);
    let mut one = reaches(&mut client, &first);
    // A request that is under way is answered by the server that has it.
    client.send(SET);
    one.expect(SET);
    let changes = format!("port {port}: added {}; port {port}: removed {}", at(&second), at(&first));
    assert_eq!(bench.reread(&section(port, &[&second])), read(&changes));
    one.send(STORED);
    client.expect(STORED);
    one.expect_closed();
    let mut two = reaches(&mut client, &second);
    // The same again: nothing happens to connections.
    assert_eq!(bench.again(), read("nothing has changed"));
    goes_over(&mut client, &mut two);
    assert_eq!(tally(&mut client), [2, 0, 0, 2, 0]);
}

#[test]
fn ports_come_and_go() {
    let [stays, goes, comes] = [(), (), ()].map(|()| (free_port(), Mock::new()));
    let sections = |places: &[&(u16, Mock)]| {
        places.iter().map(|(port, server)| section(*port, &[server])).collect::<Vec<_>>().join(";")
    };
    let mut bench = Bench::start(&sections(&[&stays, &goes]), &[]);
    let (mut here, mut there) = (client(stays.0), client(goes.0));
    let mut conn = reaches(&mut here, &stays.1);
    let mut old = reaches(&mut there, &goes.1);

    let changes = format!("port {} removed; port {} added, to {}", goes.0, comes.0, at(&comes.1));
    assert_eq!(bench.reread(&sections(&[&comes, &stays])), read(&changes));
    old.expect_closed();
    wait_for("the port to be closed", || refuses(goes.0));
    // Who has been there is told so; others go on.
    there.send(SET);
    there.expect(GONE);
    goes_over(&mut here, &mut conn);
    drop(reaches(&mut client(comes.0), &comes.1));
    assert_eq!(tally(&mut here), [1, 0, 1, 1, 1]);

    // And back: the client that stayed is served again.
    let changes = format!("port {} added, to {}; port {} removed", goes.0, at(&goes.1), comes.0);
    assert_eq!(bench.reread(&sections(&[&goes, &stays])), read(&changes));
    wait_for("the port to be closed", || refuses(comes.0));
    drop(client(goes.0));
    drop(reaches(&mut there, &goes.1));
    goes_over(&mut here, &mut conn);
    bench.moxi.signal("INT");
    assert_eq!(bench.moxi.finish().code, Some(0));
}

/// A moxi with one place, which a request holds on the connection that is given; two requests without reply wait for it.
fn crowded(port: u16, first: &Mock, others: &str) -> (Bench, Wire, [Wire; 2]) {
    let behavior = "downstream_protocol=ascii,downstream_timeout=0,connect_timeout=0,wait_queue_timeout=0,\
                    downstream_conn_queue_timeout=0,downstream_max=1,downstream_conn_max=1";
    let bench = Bench::start(&format!("{};{others}", section(port, &[first])), &["-Z", behavior, "-t", "1"]);
    let (mut holder, mut waiting) = (client(port), Wire::connect("client", port));
    holder.send(SET);
    let mut conn = first.accept();
    conn.expect(SET);
    waiting.send("set b 0 0 1 noreply\r\n1\r\nincr b 1 noreply\r\n");
    let mut control = Wire::connect("client", port);
    control.send("version\r\n");
    control.line();
    (bench, conn, [holder, waiting])
}

/// What has arrived and waits for a place when its port is given up is still carried out.
#[test]
fn what_waits_at_a_port_that_goes_is_done() {
    let (port, first, stays) = (free_port(), Mock::new(), (free_port(), Mock::new()));
    let others = section(stays.0, &[&stays.1]);
    let (mut bench, mut conn, [mut holder, _waiting]) = crowded(port, &first, &others);
    assert_eq!(bench.reread(&others), read(&format!("port {port} removed")));
    conn.send(STORED);
    holder.expect(STORED);
    conn.expect("set b 0 0 1\r\n1\r\nincr b 1\r\n");
    conn.send(format!("{STORED}2\r\n"));
    conn.expect_closed();
}

/// What waits for a place when its servers are exchanged is carried out by the new ones.
#[test]
fn what_waits_when_servers_change_is_done() {
    let (port, first, second, stays) = (free_port(), Mock::new(), Mock::new(), (free_port(), Mock::new()));
    let others = section(stays.0, &[&stays.1]);
    let (mut bench, mut conn, [mut holder, _waiting]) = crowded(port, &first, &others);
    let changes = format!("port {port}: added {}; port {port}: removed {}", at(&second), at(&first));
    assert_eq!(bench.reread(&format!("{};{others}", section(port, &[&second]))), read(&changes));
    conn.send(STORED);
    holder.expect(STORED);
    conn.expect_closed();
    let mut conn = second.accept();
    conn.expect("set b 0 0 1\r\n1\r\n");
    conn.send(STORED);
    conn.expect("incr b 1\r\n");
}

/// A packet's failure names its server, also when that has left before the quiet packets that come first are answered.
#[test]
fn a_failure_names_a_server_that_has_left() {
    let (port, mocks) = (free_port(), [Mock::new(), Mock::new()]);
    let behavior = "downstream_protocol=binary,downstream_timeout=0,connect_timeout=0,downstream_retry=0";
    let both = section(port, &[&mocks[0], &mocks[1]]);
    let mut bench = Bench::start(&both, &["-Z", behavior, "-t", "1"]);
    let mut client = Wire::connect("client", port);
    let add = Packet::storing(op::ADD, "k", "1").opaque(2);
    client.send(join([Packet::request(op::FLUSHQ).opaque(1), add]));
    let mut lines: Vec<Wire> = mocks.iter().map(Mock::accept).collect();
    let has_it = lines.iter_mut().map(|line| [line.packet(), line.packet()][1].opcode == op::ADD);
    let goes = has_it.collect::<Vec<_>>().iter().position(|has_it| *has_it).expect("one has the packet");
    let mut stays = lines.remove(1 - goes);
    let changes = format!("port {port}: removed {}", at(&mocks[goes]));
    assert_eq!(bench.reread(&section(port, &[&mocks[1 - goes]])), read(&changes));
    drop(lines);
    let mut control = Wire::connect("client", port);
    for _ in 0..2 {
        // It looks at both sockets in each turn.
        control.send("version\r\n");
        control.line();
    }
    stays.send(Packet::noop_done(0).bytes());
    for (opcode, opaque) in [(op::FLUSHQ, 1), (op::ADD, 2)] {
        let failed = client.packet();
        let text = String::from_utf8_lossy(&failed.value);
        assert_eq!((failed.opcode, failed.opaque), (opcode, opaque));
        assert!(text.starts_with("SERVER_ERROR proxy downstream closed") && text.contains(" 127.0.0.1"), "{text}");
    }
}

#[test]
fn what_cannot_be_used_changes_nothing() {
    let (port, server) = (free_port(), Mock::new());
    let good = section(port, &[&server]);
    let mut bench = Bench::start(&good, &[]);
    let mut client = client(port);
    let mut conn = reaches(&mut client, &server);
    let taken = Mock::new();
    let cannot = |why: &str| format!("SIGHUP: FILE cannot be used, the old configuration stays: {why}");
    for (sections, why) in [
        (format!("{good};{good}"), format!("bad moxi config, port {port} is used twice (sections 1 and 2) in FILE")),
        (
            "url=http://127.0.0.1:1/p".to_owned(),
            "bad moxi config, no PORT=SERVERS any more (URLs need a restart)".to_owned(),
        ),
        (String::new(), "ERROR: could not read cfg file: FILE (it is empty)".to_owned()),
    ] {
        assert_eq!(bench.reread(&sections), cannot(&why));
        goes_over(&mut client, &mut conn);
    }
    // A port of somebody else's: the other one is not opened either.
    let free = free_port();
    let sections = [section(free, &[&server]), section(taken.port(), &[&server])].join(";");
    let why = format!("bind(127.0.0.1:{}): Address already in use", taken.port());
    assert_eq!(bench.reread(&sections), cannot(&why));
    assert!(refuses(free));
    goes_over(&mut client, &mut conn);
    fs::remove_file(&bench.file.path).expect("removed");
    assert_eq!(bench.again(), cannot("ERROR: could not read cfg file: FILE (No such file or directory)"));
    goes_over(&mut client, &mut conn);
    assert_eq!(tally(&mut client), [5, 5, 0, 0, 0]);
    // It is not stuck with its failures.
    let changes = format!("port {free} added, to {}", at(&server));
    assert_eq!(bench.reread(&format!("{good};{}", section(free, &[&server]))), read(&changes));
    drop(connect(free));
    goes_over(&mut client, &mut conn);
}

/// A new port that another program has on one kind of addresses is not opened on the other kind either.
#[test]
fn a_new_port_that_is_in_use_on_one_kind_of_addresses() {
    let hold = |port: u16| -> std::io::Result<socket2::Socket> {
        let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None)?;
        socket.set_only_v6(true)?;
        socket.bind(&std::net::SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port)).into())?;
        socket.listen(1)?;
        Ok(socket)
    };
    let (server, port, taken) = (Mock::new(), free_port(), free_port());
    let Ok(held) = hold(taken) else {
        return; // no IPv6 here
    };
    let good = section(port, &[&server]);
    let file = File::new(&good);
    let behavior = "downstream_protocol=ascii,downstream_timeout=0,connect_timeout=0";
    let mut command = launch::moxi(&["-z", text(&file.path), "-Z", behavior, "-t", "1"]);
    let mut bench = Bench::of(file, &mut command);
    let mut client = client(port);
    let mut conn = reaches(&mut client, &server);
    let both = format!("{good};{}", section(taken, &[&server]));
    assert_eq!(
        bench.reread(&both),
        format!(
            "SIGHUP: FILE cannot be used, the old configuration stays: bind([::]:{taken}): Address already in use, by \
             another program; 0.0.0.0:{taken} is free: -l 0.0.0.0 listens only there"
        )
    );
    assert!(refuses(taken));
    goes_over(&mut client, &mut conn);
    drop(held);
    // A child that another test is just starting has a copy of the listener until it runs its program.
    wait_for("the port to be free", || is_free(taken));
    assert_eq!(bench.again(), read(&format!("port {taken} added, to {}", at(&server))));
    drop(connect(taken));
    goes_over(&mut client, &mut conn);
}

#[test]
fn a_unix_socket_leads_to_the_last_section() {
    let (one, two) = (Mock::new(), Mock::new());
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("socket");
    let mut bench = Bench::start(&section(1, &[&one]), &["-s", text(&path)]);
    wait_for("the socket", || path.exists());
    let mut old = Wire::connect_unix("old client", &path);
    let mut conn = reaches(&mut old, &one);
    let sections = [section(1, &[&one]), section(2, &[&two])].join(";");
    assert_eq!(bench.reread(&sections), read(&format!("port 2 added, to {}", at(&two))));
    wait_for("the new bucket", || {
        let mut new = Wire::connect_unix("new client", &path);
        new.send(SET);
        let Some(mut conn) = two.try_accept(std::time::Duration::from_millis(50)) else { return false };
        conn.expect(SET);
        conn.send(STORED);
        new.expect(STORED);
        true
    });
    goes_over(&mut old, &mut conn);
}

#[test]
fn a_daemon_finds_its_file_again() {
    let (port, first, second) = (free_port(), Mock::new(), Mock::new());
    let file = File::new(&section(port, &[&first]));
    let (log, pid) = (file.dir.path().join("log"), file.dir.path().join("pid"));
    // A relative path, in the file as well; the daemon goes to the root directory.
    fs::write(file.dir.path().join("main.cfg"), "./moxi.cfg\n").expect("written");
    let options = ["-d", "-O", text(&log), "-P", text(&pid), "-u", "root"];
    let options = if nix::unistd::geteuid().is_root() { &options[..] } else { &options[..5] };
    let started = finish(command("./main.cfg", options).current_dir(file.dir.path()));
    assert_eq!(started.code, Some(0), "{}", started.stderr);
    let daemon = Daemon::of(&pid);
    let mut client = client(port);
    drop(reaches(&mut client, &first));
    file.write(&section(port, &[&second]));
    // The log moves, too.
    let old = file.dir.path().join("log.1");
    fs::rename(&log, &old).expect("renamed");
    daemon.signal("HUP");
    wait_for("the line", || content(&log).contains("SIGHUP: configuration read again from "));
    drop(reaches(&mut client, &second));
    daemon.signal("TERM");
    daemon.wait_gone();
}
