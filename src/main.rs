//! The moxi program: parse, assemble, run, exit code (01 §4).
//!
//! Everything that can be found wrong is found before the process goes into the background, and every port
//! is bound before it gives up its privileges. No thread is started before both have happened.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use moxi::builtin::{self, Sockets};
use moxi::cli::{self, Command, Depth, Options};
use moxi::config::Loaded;
use moxi::control::cluster::Cluster;
use moxi::control::rest;
use moxi::control::rest::proxies::Proxies;
use moxi::control::rest::refresh::Refresh;
use moxi::control::static_file::StaticFile;
use moxi::daemon::{self, PidFile};
use moxi::failure::{Failure, GENERAL, reason};
use moxi::log::Fallback;
use moxi::net::acceptor::{Acceptor, Stop, Stopper, Target};
use moxi::net::inherited::Inherited;
use moxi::net::listener::{self, Listener, Origin, Place, SocketFile};
use moxi::net::scrapers::{self, Scrapers};
use moxi::net::worker::{self, Handle, Service, Shared};
use moxi::proxy::Settings;
use moxi::signals::{Signals, Starting};
use moxi::systemd::Manager;
use moxi::{alive, check, log, milestones, signals, slow_log, texts};

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(Command::Print(text)) => print(&text),
        Ok(Command::CheckAlive(address, binding)) => {
            alive::check(&address, binding).map_or_else(|failure| complain(&failure), |line| print(&line))
        }
        Ok(Command::Check(options, Depth::Config)) => {
            log::set_verbosity(options.verbosity);
            check_config(&options).map_or_else(
                |failure| {
                    log!(0, "{failure}");
                    ExitCode::from(failure.code)
                },
                |()| ExitCode::SUCCESS,
            )
        }
        Ok(Command::PrintConfig(options)) => {
            let told = |report| {
                tell(&report);
                ExitCode::SUCCESS
            };
            check::effective::report(&options).map_or_else(|failure| complain(&failure), told)
        }
        Ok(Command::Check(options, depth)) => tell(&check::run(&options, depth)),
        Ok(Command::Run(options)) => {
            log::set_verbosity(options.verbosity);
            let fallback = if options.daemon { Fallback::Syslog } else { Fallback::Stderr };
            log::init(options.log_file.as_deref(), fallback);
            let (code, reason) = match run(&options) {
                Ok(Run::Stopped(reason)) => (0, Some(reason.to_owned())),
                Ok(Run::Failed(failure)) => {
                    report(&failure);
                    (failure.code, Some(format!("exit code {}, for the reason above", failure.code)))
                }
                Err(failure) => {
                    report(&failure);
                    (failure.code, None)
                }
            };
            if let Some(reason) = reason {
                log!(0, "{}", milestones::stopped(&reason));
            }
            ExitCode::from(code)
        }
        Err(failure) => complain(&failure),
    }
}

fn print(text: &str) -> ExitCode {
    // Who closes the pipe early has read enough.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Tells the log, and standard error as well: who starts a program looks there, whatever `-O` says.
fn report(failure: &Failure) {
    for line in failure.message.lines() {
        log::report(line);
    }
}

fn complain(failure: &Failure) -> ExitCode {
    let _ = io::stderr().write_all(failure.message.as_bytes());
    ExitCode::from(failure.code)
}

/// What a check has found.
fn tell(report: &check::Report) -> ExitCode {
    print(&report.table);
    let mut problems = report.problems.join("\n");
    if problems.is_empty() {
        return ExitCode::SUCCESS;
    }
    problems.push('\n');
    complain(&Failure::new(GENERAL, problems))
}

/// What was opened before the process gave up its privileges.
#[derive(Default)]
struct Opened {
    /// For clients of the proxy.
    listeners: Listeners,
    /// For clients of the built-in server, if there is one.
    sockets: Option<Sockets>,
    /// For scrapers.
    metrics: Vec<Listener>,
}

/// Everything of a start that leaves no trace. What is wrong but no failure is logged.
fn check_config(options: &Options) -> Result<(), Failure> {
    load(options, cluster_text(options)?)?;
    options.user.as_deref().map(daemon::find_user).transpose()?;
    Ok(())
}

/// How a run has ended that had begun.
enum Run {
    /// As it was asked to, in this way.
    Stopped(&'static str),
    /// Because it could not go on.
    Failed(Failure),
}

/// The files that are to go when the program ends, or does not even start.
#[derive(Default)]
struct Traces {
    pid: Option<PidFile>,
    socket: Option<SocketFile>,
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(file) = self.pid.take() {
            file.remove();
        }
        if let Some(file) = self.socket.take() {
            file.remove();
        }
    }
}

/// From options to the end of the program. The failure is one of the start.
fn run(options: &Options) -> Result<Run, Failure> {
    let starting = Starting::new().map_err(|error| system("cannot handle signals", &error))?;
    let inherited = Arc::new(Inherited::take()?);
    let place = Place { host: options.listen.clone(), backlog: options.backlog, inherited };
    let cluster = cluster_text(options)?;
    let has_memcached = builtin::is_wanted(options, cluster.is_some());
    let loaded = load(options, cluster)?;

    if options.core_files {
        daemon::allow_core_files()?;
    }
    daemon::raise_open_files(u64::from(options.connections))?;
    let user = options.user.as_deref().map(daemon::find_user).transpose()?.flatten();

    let mut traces = Traces::default();
    let mut opened = Opened::default();
    // First: whoever finds clients' ports open finds this one open, too.
    if let Some(address) = loaded.behavior.metrics.address() {
        opened.metrics = scrapers::bind(address)?;
    }
    opened.sockets = if has_memcached { Some(builtin::bind(options)?) } else { None };
    traces.socket = opened.sockets.as_mut().and_then(|sockets| sockets.file.take());
    if cluster.is_some() || options.mcmux {
        let (bound, file) = listen(options, &loaded, &place)?;
        (opened.listeners, traces.socket) = (bound, file.or(traces.socket.take()));
    }
    place.inherited.check(&proxy_ports(options, &loaded), options.socket.as_deref())?;
    if let (Some(sockets), Some(path)) = (&opened.sockets, std::env::var_os(builtin::PORT_FILE))
        && options.socket.is_none()
    {
        builtin::write_ports(sockets, Path::new(&path));
    }
    if let Some(path) = options.pid_file.as_deref().filter(|_| options.daemon) {
        traces.pid = Some(PidFile::open(path)?);
    }
    let detached = if options.daemon { Some(daemon::detach()?) } else { None };
    if let Some(file) = &mut traces.pid {
        file.write()?;
    }
    if let Some(user) = user {
        log::give_to(user.uid);
        traces.socket.iter().for_each(|file| file.give_to(user.uid));
        daemon::become_user(&user)?;
    }
    if options.lock_memory {
        daemon::lock_memory();
    }

    let started = milestones::started(options, &loaded, opened.sockets.as_ref());
    let acceptor = start(options, &loaded, &place, opened, starting)?;
    if let Some(detached) = &detached {
        detached.settle(options.core_files, options.verbosity > 0);
    }
    log!(0, "{started}");
    if let Some(detached) = detached {
        detached.ready();
    }
    Ok(ended(acceptor.run()))
}

fn ended(stop: io::Result<Stop>) -> Run {
    match stop {
        Ok(Stop::Interrupted) => {
            let _ = io::stdout().write_all(b"SIGINT handled.\n");
            Run::Stopped("SIGINT")
        }
        Ok(Stop::Terminated) => Run::Stopped("SIGTERM"),
        Ok(Stop::Asked) => Run::Stopped("a line end on standard input, or its end (-Y)"),
        Ok(Stop::NoWorkers) => Run::Failed(Failure::new(GENERAL, "ERROR: all worker threads have died")),
        Ok(Stop::Failed(failure)) => Run::Failed(failure),
        Err(error) => Run::Failed(system("the main loop failed", &error)),
    }
}

/// The cluster configuration to serve, if there is one.
fn cluster_text(options: &Options) -> Result<Option<&str>, Failure> {
    if options.stray_operand {
        log!(0, "{}", texts::STRAY);
    }
    texts::cluster(options)
}

fn system(what: &str, error: &io::Error) -> Failure {
    Failure::new(GENERAL, format!("ERROR: {what}: {}", reason(error)))
}

/// Turns the configuration texts into configuration.
fn load(options: &Options, cluster: Option<&str>) -> Result<Loaded, Failure> {
    let loaded = texts::load(options, cluster, options.behavior.as_deref());
    let loaded = loaded.map_err(|error| Failure::new(GENERAL, error.to_string()))?;
    for line in &loaded.log {
        log!(0, "{line}");
    }
    Ok(loaded)
}

/// The name of this machine, for statistics.
fn hostname() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The listeners, each with whose clients connect there.
type Listeners = Vec<(Listener, Target)>;

/// Binds everything that clients connect to from the start: a port per section, or the one of a cluster's buckets if
/// there is a null bucket already, or instead of all the one unix socket.
fn listen(options: &Options, loaded: &Loaded, place: &Place) -> Result<(Listeners, Option<SocketFile>), Failure> {
    if let Some(path) = &options.socket {
        return listen_unix(options, loaded, place, path);
    }
    let mut listeners = Vec::new();
    let origin = if options.mcmux { Origin::Flag } else { Origin::Section };
    let sections = loaded.sections.iter();
    let sections = sections.map(|section| (section.port, Target::Known(Service::Bucket(section.bucket)), origin));
    let cluster = loaded.config.dynamic.as_ref().filter(|_| !loaded.config.buckets.is_empty());
    let cluster = cluster.map(|cluster| (cluster.port, Target::Cluster, Origin::PortListen));
    for (port, target, origin) in sections.chain(cluster) {
        let bound = listener::proxy(place, port, origin)?;
        listeners.extend(bound.into_iter().map(|listener| (listener, target)));
    }
    Ok((listeners, None))
}

/// One socket cannot lead to several sections: clients reach the last one (01 §5).
fn listen_unix(
    options: &Options,
    loaded: &Loaded,
    place: &Place,
    path: &Path,
) -> Result<(Listeners, Option<SocketFile>), Failure> {
    let name = path.display();
    let (listener, file) = match place.inherited.for_path(path) {
        // Whoever has made its file removes it.
        Ok(Some(listener)) => (listener, None),
        Ok(None) => builtin::unix(options, path).map(|(listener, file)| (listener, Some(file)))?,
        Err(error) => return Err(system("cannot listen", &error)),
    };
    let section = loaded.sections.last();
    if let (Some(section), true) = (section, loaded.sections.len() > 1) {
        log!(0, "WARNING: clients of {name} reach the section of port {}, the last one", section.port);
    }
    log!(2, "moxi listening on {name} with 1 conns");
    let target = section.map_or(Target::Cluster, |section| Target::Known(Service::Bucket(section.bucket)));
    Ok((vec![(listener, target)], file))
}

/// The ports that clients of the proxy may come to, from the start or later. With a unix socket there are none.
fn proxy_ports(options: &Options, loaded: &Loaded) -> Vec<u16> {
    if options.socket.is_some() {
        return Vec::new();
    }
    let cluster = loaded.config.dynamic.as_ref().map(|cluster| cluster.port);
    loaded.sections.iter().map(|section| section.port).chain(cluster).collect()
}

/// Starts the threads.
fn start(
    options: &Options,
    loaded: &Loaded,
    place: &Place,
    opened: Opened,
    starting: Starting,
) -> Result<Acceptor, Failure> {
    let signals: Signals = signals::Signals::new(starting).map_err(|error| system("cannot handle signals", &error))?;
    let thread = |error: io::Error| Failure::new(GENERAL, format!("Can't create thread: {}", reason(&error)));
    slow_log::start(&loaded.behavior.slow_log_file).map_err(thread)?;
    let mut shared = Shared::new().map_err(thread)?;
    if opened.sockets.is_some() {
        let initial = std::env::var(builtin::INITIAL_MALLOC).ok();
        shared.add_memcached(builtin::settings(options, initial.as_deref()));
    }
    shared.add_sources(builtin::settings(options, None), hostname());
    shared.refreshes = loaded.agents.iter().map(|_| Arc::default()).collect();
    let settings = Settings { requests_per_turn: options.requests_per_turn, binding: options.binding };
    let workers: Vec<Handle> = (0..options.threads as usize)
        .map(|index| worker::spawn(index, Arc::clone(&loaded.config), settings, shared.clone()))
        .collect::<io::Result<_>>()
        .map_err(thread)?;
    let assemble = || -> io::Result<Acceptor> {
        let mut acceptor =
            Acceptor::new(signals, workers, Arc::clone(&shared.process), Arc::clone(&shared.sources.board))?;
        let is_listening = !opened.listeners.is_empty();
        for (listener, target) in opened.listeners {
            acceptor.listen(listener, target)?;
        }
        if let Some(file) = &loaded.file {
            let place = options.socket.is_none().then(|| place.clone());
            let (config, behavior) = (Arc::clone(&loaded.config), Arc::clone(&loaded.behavior));
            acceptor.watch(StaticFile::new(file.clone(), config, behavior), place);
        }
        if !loaded.agents.is_empty() {
            start_agents(loaded, place, &shared.refreshes, is_listening, &mut acceptor)?;
        }
        let sockets = opened.sockets.unwrap_or_default();
        for listener in sockets.listeners {
            acceptor.listen(listener, Target::Known(Service::Memcached))?;
        }
        for socket in &sockets.udp {
            acceptor.receive(socket)?;
        }
        acceptor.report_to(Manager::new(!loaded.agents.is_empty(), options.daemon), Arc::clone(&loaded.config));
        if !opened.metrics.is_empty() {
            acceptor.answer_to(Scrapers::new(opened.metrics, &shared))?;
        }
        if options.watch_stdin {
            watch_stdin(acceptor.stopper())?;
        }
        acceptor.share_out(options.connections, &loaded.config);
        Ok(acceptor)
    };
    assemble().map_err(|error| system("cannot start the main loop", &error))
}

/// Starts a thread for each agent.
fn start_agents(
    loaded: &Loaded,
    place: &Place,
    refreshes: &[Arc<Refresh>],
    is_listening: bool,
    acceptor: &mut Acceptor,
) -> io::Result<()> {
    let (config, behavior) = (Arc::clone(&loaded.config), Arc::clone(&loaded.behavior));
    let cluster = Cluster::new(config, behavior, is_listening);
    let reporter = acceptor.follow(cluster, place.clone());
    let proxies = Proxies::from_env(&texts::environment);
    for (index, (agent, refresh)) in loaded.agents.iter().zip(refreshes).enumerate() {
        let reporter = reporter.clone();
        let identity = rest::Identity { index, seed: seed() };
        rest::spawn(identity, agent, proxies.clone(), Arc::clone(refresh), move |event| reporter.report(event))?;
    }
    Ok(())
}

/// A number that other processes do not have, nor this one the next time.
fn seed() -> u64 {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::from(std::process::id()).rotate_left(32) ^ time.as_secs().rotate_left(20) ^ u64::from(time.subsec_nanos())
}

/// `-Y y`: a launcher stops us by a line end on standard input, or by going away (01 §12).
fn watch_stdin(stopper: Stopper) -> io::Result<()> {
    let watch = move || {
        let end = moxi::signals::stdin_end(io::stdin().lock());
        let _ = writeln!(io::stderr(), "{end} on stdin.  Exiting");
        stopper.stop();
    };
    std::thread::Builder::new().name("stdin".to_owned()).spawn(watch).map(drop)
}
