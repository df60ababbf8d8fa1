//! The command lines that are in use out there (01 §17): flags, their order, files and environment as they are, only
//! ports and paths are this test's own. Each of them starts, and a client gets what it has stored.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::launch::{Daemon, Running, connect, content, free_port, moxi, text, wait_for};
use moxi_test_support::packet::{HEADER, Packet, op};
use moxi_test_support::{Down, Manager, Memcached, Wire};
use tempfile::TempDir;

const SET: &str = "set a 5 0 1\r\n1\r\n";
const STORED: &str = "STORED\r\n";
const VALUE: &str = "VALUE a 5 1\r\n1\r\nEND\r\n";

/// Where the files of an installation are.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let directory = tempfile::tempdir().expect("a directory");
        // As in an installation, everybody may look into it.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
        Place(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The path of a file, as an argument.
    fn at(&self, name: &str) -> String {
        text(&self.path(name)).to_owned()
    }

    fn file(&self, name: &str, content: &str) -> String {
        fs::write(self.path(name), content).expect("written");
        self.at(name)
    }

    /// Starts a daemon that writes this pid file.
    fn daemon(&self, command: &mut Command, pid: &str) -> Daemon {
        // With -v it keeps its standard error.
        let errors = fs::File::create(self.path("errors")).expect("a file");
        let status = command.current_dir(self.0.path()).stderr(errors).stdout(Stdio::null()).status();
        assert!(status.expect("it starts").success(), "{}", content(&self.path("errors")));
        Daemon::of(&self.path(pid))
    }
}

/// `-u nobody` and the like, which only root can give.
fn as_user<'a>(user: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    let is_root = nix::unistd::geteuid().is_root();
    let is_user = |at: usize| arguments[at] == "-u" || at > 0 && arguments[at - 1] == "-u";
    let rest = (0..arguments.len()).filter(|at| is_root || !is_user(*at));
    rest.map(|at| if arguments[at] == "USER" { user } else { arguments[at] }).collect()
}

/// A document for one bucket on one server.
fn bucket(name: &str, server: &Server) -> String {
    format!(
        "{{\"name\":\"{name}\",\"bucketType\":\"membase\",\"authType\":\"sasl\",\"saslPassword\":\"\",\"nodes\":[],\
         \"nodeLocator\":\"vbucket\",\"vBucketServerMap\":{{\"hashAlgorithm\":\"CRC\",\"numReplicas\":1,\
         \"serverList\":[\"$HOST:{}\"],\"vBucketMap\":[[0,-1],[0,-1],[0,-1],[0,-1]]}}}}",
        server.port
    )
}

/// A server that wants to know who comes, and keeps one value.
struct Server {
    port: u16,
    /// What everybody has logged in with.
    logins: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Server {
    fn new() -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let server = Server { port, logins: Arc::default() };
        let (logins, value) = (Arc::clone(&server.logins), Arc::new(Mutex::new(Vec::new())));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (logins, value) = (Arc::clone(&logins), Arc::clone(&value));
                // The end of the connection is moxi's affair.
                thread::spawn(move || drop(talk(stream, &logins, &value)));
            }
        });
        server
    }
}

fn talk(mut stream: TcpStream, logins: &Mutex<Vec<Vec<u8>>>, value: &Mutex<Vec<u8>>) -> io::Result<()> {
    loop {
        let mut head = [0; HEADER];
        stream.read_exact(&mut head)?;
        let mut body = vec![0; Packet::body_length(&head)];
        stream.read_exact(&mut body)?;
        let request = Packet::parse(&head, &body);
        let reply = Packet::reply(request.opcode).opaque(request.opaque);
        let reply = match request.opcode {
            op::SASL_AUTH => {
                logins.lock().expect("no panics").push(request.value);
                reply.value("Authenticated")
            }
            op::SELECT_BUCKET => reply,
            op::SET => {
                *value.lock().expect("no panics") = request.value;
                reply
            }
            op::GETK => reply.extra32(5).key(request.key).value(&*value.lock().expect("no panics")),
            _ => reply.status(0x81),
        };
        stream.write_all(&reply.bytes())?;
    }
}

/// A client stores something through moxi, which has logged in as this user, and gets it back.
fn serves(port: u16, server: &Server, user: &str) {
    wait_for("a bucket", || answers(port));
    let mut client = Wire::connect("client", port);
    // A tenth of a second to log in can be too short here.
    wait_for("the server", || {
        client.send(SET);
        client.line() == STORED.as_bytes()
    });
    client.send("get a\r\n");
    client.expect(VALUE);
    let login = format!("\0{user}\0").into_bytes();
    assert!(server.logins.lock().expect("no panics").iter().all(|other| *other == login));
}

/// Whether a client is not turned away, as it is before there is a bucket (05 §8.2).
fn answers(port: u16) -> bool {
    let ask = || {
        let mut client = connect(port);
        client.write_all(b"version\r\n")?;
        client.read(&mut [0; 100])
    };
    ask().is_ok_and(|count| count > 0)
}

/// A client stores something and gets it back.
fn stores(port: u16) {
    drop(connect(port));
    stores_with(Wire::connect("client", port), "");
}

fn stores_with(mut client: Wire, prefix: &str) {
    client.send(format!("{prefix}{SET}"));
    client.expect(STORED);
    client.send(format!("{prefix}get a\r\n"));
    client.expect(VALUE);
}

/// Ends a daemon as init scripts do.
fn stops(daemon: &Daemon) {
    daemon.signal("TERM");
    daemon.wait_gone();
}

#[test]
fn beside_a_cluster_manager() {
    let (manager, server, port) = (Manager::new(), Server::new(), free_port());
    let url = format!("url={}", manager.url("pools/default/saslBucketsStreaming"));
    let behavior = format!(
        "port_listen={port},default_bucket_name=default,downstream_max=1024,downstream_conn_max=4,\
         connect_max_errors=5,connect_retry_interval=30000,connect_timeout=400,auth_timeout=100,cycle=200,\
         downstream_conn_queue_timeout=200,downstream_timeout=5000,wait_queue_timeout=200"
    );
    let mut command = moxi(&["-Z", &behavior, "-z", &url, "-p", "0", "-Y", "y", "-O", "stderr", ""]);
    command.stdin(Stdio::piped()).env("EVENT_NOSELECT", "1");
    command.env("MOXI_SASL_PLAIN_USR", "fictional-admin").env("MOXI_SASL_PLAIN_PWD", "fictional-password");
    let mut running = Running::start(&mut command);
    let mut stream = manager.stream();
    assert!(stream.request.starts_with("GET /pools/default/saslBucketsStreaming HTTP/1.1\r\n"));
    // fictional-admin:fictional-password
    let authorization = "Authorization: Basic ZmljdGlvbmFsLWFkbWluOmZpY3Rpb25hbC1wYXNzd29yZA==\r\n";
    assert!(stream.request.contains(authorization), "{}", stream.request);
    stream.document(&format!("{{\"buckets\":[{},{}]}}", bucket("other", &server), bucket("default", &server)));
    serves(port, &server, "default");
    running.input(b"\n");
    let finished = running.finish();
    assert_eq!(finished.code, Some(0));
    let complaints = finished.complaints();
    let lines: Vec<_> = complaints.lines().collect();
    let [user, password, end] = lines[..] else { panic!("{}", finished.stderr) };
    assert!(user.ends_with(") env: MOXI_SASL_PLAIN_USR (15)"), "{user}");
    assert!(password.ends_with(") env: MOXI_SASL_PLAIN_PWD (18)"), "{password}");
    assert_eq!(end, "EOL on stdin.  Exiting");
}

#[test]
fn beside_a_cluster_manager_for_one_bucket() {
    let (manager, server, port) = (Manager::new(), Server::new(), free_port());
    let url = format!("url={}", manager.url("pools/default/bucketsStreaming/fictional"));
    let behavior = format!("port_listen={port},downstream_max=1024,downstream_conn_max=4");
    let mut command = moxi(&["-B", "auto", "-z", &url, "-Z", &behavior, "-p", "0", "-Y", "y", "-O", "stderr"]);
    let mut running = Running::start(command.stdin(Stdio::piped()));
    manager.stream().document(&bucket("fictional", &server));
    serves(port, &server, "fictional");
    running.close_input();
    assert_eq!(running.finish().code, Some(0));
}

/// Debian's and Red Hat's init scripts.
#[test]
fn init_scripts() {
    for (first, second) in [(["-u", "USER", "-d"], &[][..]), (["-d", "-u", "USER"], &["-v"][..])] {
        let (place, port, servers) = (Place::new(), free_port(), Memcached::several(2, &[]));
        let section = format!("{port} = 127.0.0.1:{}, 127.0.0.1:{}\n", servers[0].port(), servers[1].port());
        let config = place.file("moxi.conf", &section);
        let pid = place.at("moxi.pid");
        let rest = ["-c", "1024", "-z", &config, "-P", &pid];
        let arguments = [&first[..], &rest[..], second].concat();
        let daemon = place.daemon(&mut moxi(&as_user("nobody", &arguments)), "moxi.pid");
        stores(port);
        stops(&daemon);
    }
}

/// What packages with files in `/opt` ship and start.
#[test]
fn packages_with_two_files() {
    let (place, manager, server, port) = (Place::new(), Manager::new(), Server::new(), free_port());
    let behavior = place.file(
        "moxi.cfg",
        &format!(
            "port_listen={port},\n# A comment lasts until the next comma,\n#default_bucket_name=default,\n\
             downstream_max=1024,\ndownstream_conn_max=4,\n# Milliseconds,\nconnect_max_errors=5,\n\
             connect_retry_interval=30000,\nconnect_timeout=400,\nauth_timeout=100,\ncycle=200,\n"
        ),
    );
    let (dead, path) = (Down::new(), "pools/default/bucketsStreaming/default");
    let url = format!("url=http://127.0.0.1:{}/{path}|{}\n", dead.port(), manager.url(path));
    let cluster = place.file("moxi-cluster.cfg", &url);
    let pid = place.at("moxi-server.pid");
    let mut command = Command::new("sh");
    let script = "ulimit -n 10240; ulimit -c unlimited; exec \"$@\"";
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_moxi"), "-d"]);
    command.args(["-P", &pid, "-Z", &behavior, "-z", &cluster]).env("TZ", "UTC");
    let daemon = place.daemon(&mut command, "moxi-server.pid");
    manager.stream().document(&bucket("default", &server));
    serves(port, &server, "default");
    stops(&daemon);
    // The same files, for a core in case of trouble.
    let running = Running::start(&mut moxi(&["-r", "-Z", &behavior, "-z", &cluster]));
    manager.stream().document(&bucket("default", &server));
    serves(port, &server, "default");
    running.signal("INT");
    assert_eq!(running.finish().code, Some(0));
}

/// Scripts of sites: two URLs with a comma, one of them of a server that is down, and a log.
#[test]
fn scripts_of_sites() {
    let (place, manager, server, port) = (Place::new(), Manager::new(), Server::new(), free_port());
    let behavior = place.file("x.conf", &format!("port_listen={port},downstream_protocol=binary"));
    let (dead, path) = (Down::new(), "pools/default/bucketsStreaming/default");
    let urls = format!("http://127.0.0.1:{}/{path},{}", dead.port(), manager.url(path));
    let (log, pid) = (place.at("x.log"), place.at("x.pid"));
    let arguments = ["-d", "-u", "USER", "-c", "2048", "-Z", &behavior, "-P", &pid, "-l", "127.0.0.1", "-z", &urls];
    let arguments = [&arguments[..], &["-O", &log]].concat();
    let daemon = place.daemon(&mut moxi(&as_user("nobody", &arguments)), "x.pid");
    manager.stream().document(&bucket("default", &server));
    serves(port, &server, "default");
    wait_for("the complaint", || content(&place.path("x.log")).contains("WARNING: REST server "));
    stops(&daemon);
}

#[test]
fn a_file_in_the_directory() {
    let (place, port, server) = (Place::new(), free_port(), Memcached::start(&[]));
    place.file("memcached.cfg", &format!("{port}=127.0.0.1:{}", server.port()));
    let _running = Running::start(moxi(&["-z", "./memcached.cfg"]).current_dir(place.0.path()));
    stores(port);
}

/// Clients that name their server: over a socket, over a port.
#[test]
fn mcmux() {
    let server = Memcached::start(&[]);
    for is_port in [false, true] {
        let (place, port) = (Place::new(), free_port().to_string());
        let (socket, pid) = (place.at("moxi.sock"), place.at("moxi.pid"));
        let listen = if is_port { ["-p", &port] } else { ["-s", &socket] };
        let first = ["-d", "-X", "-u", "USER", "-c", "10000", "-t", "2"];
        let rest = ["-a", "766", "-P", &pid, "-m", "256", "-Z", "downstream_conn_max=8", "-v"];
        let arguments = [&first[..], &listen, &rest].concat();
        let daemon = place.daemon(&mut moxi(&as_user("nobody", &arguments)), "moxi.pid");
        let client = if is_port {
            Wire::connect("client", port.parse().expect("a port"))
        } else {
            assert_eq!(fs::metadata(&socket).expect("a socket").permissions().mode() & 0o777, 0o766);
            Wire::connect_unix("client", &place.path("moxi.sock"))
        };
        stores_with(client, &format!("A:127.0.0.1:{} ", server.port()));
        stops(&daemon);
    }
}

/// A URL behind all options.
#[test]
fn a_url_as_an_operand() {
    let (place, manager, server, port) = (Place::new(), Manager::new(), Server::new(), free_port());
    let (behavior, log) = (format!("port_listen={port}"), place.at("moxi.log"));
    let url = manager.url("pools/default/bucketsStreaming/default");
    let arguments = ["-Z", &behavior, "-u", "USER", "-t", "4", "-O", &log, &url];
    let running = Running::start(&mut moxi(&as_user("root", &arguments)));
    manager.stream().document(&bucket("default", &server));
    serves(port, &server, "default");
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
}

/// The C program's own tests: moxi as a memcached, moxi in front of it, moxi with a map that something follows.
#[test]
fn the_historical_tests() {
    let place = Place::new();
    let (memcached, port) = (free_port().to_string(), free_port());
    let pid = place.at("memcached.pid");
    let simulant = place.daemon(&mut moxi(&as_user("root", &["-d", "-P", &pid, "-p", &memcached])), "memcached.pid");
    stores(memcached.parse().expect("a port"));
    let (pid, section) = (place.at("moxi.pid"), format!("{port}=127.0.0.1:{memcached}"));
    let behavior = "downstream_conn_max=1,downstream_protocol=ascii,downstream_timeout=0";
    let daemon = place.daemon(&mut moxi(&["-d", "-P", &pid, "-z", &section, "-t", "1", "-Z", behavior]), "moxi.pid");
    stores(port);
    stops(&daemon);
    let (port, t) = (free_port(), place.path("t"));
    fs::create_dir(&t).expect("a directory");
    place.file(
        "t/moxi_mock.cfg",
        &format!(
            "{port} = {{\n  \"hashAlgorithm\": \"CRC\",\n  \"numReplicas\": 0,\n  \"serverList\": \
             [\"127.0.0.1:{memcached}\"],\n  \"vBucketMap\":\n    [\n      [0],\n      [0]\n    ]\n}}\"\n"
        ),
    );
    let behavior = "downstream_max=1,downstream_protocol=binary";
    let arguments = ["-z", "./t/moxi_mock.cfg", "-p", "0", "-U", "0", "-v", "-t", "1", "-Z", behavior, "-u", "USER"];
    let running = Running::start(moxi(&as_user("root", &arguments)).current_dir(place.0.path()));
    stores(port);
    running.signal("INT");
    assert_eq!(running.finish().code, Some(0));
    stops(&simulant);
}
