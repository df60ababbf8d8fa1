//! The moxi program: parse, assemble, run, exit code (01 §4).
//!
//! Everything that can be found wrong is found before the process goes into the background, and every port
//! is bound before it gives up its privileges. No thread is started before both have happened.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use moxi::builtin;
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
use moxi::net::acceptor::{Acceptor, Stop, Stopper, Target, Will};
use moxi::net::descriptors;
use moxi::net::inherited::Inherited;
use moxi::net::listener::{Place, SocketFile};
use moxi::net::scrapers::Scrapers;
use moxi::net::worker::{self, Handle, Service, Shared};
use moxi::opening::Opened;
use moxi::proxy::Settings;
use moxi::signals::{Signals, Starting};
use moxi::systemd::Manager;
use moxi::traces::Traces;
use moxi::upgrade::{Predecessor, Program};
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
                Ok(Run::Stopped(reason)) => (0, Some(reason)),
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

/// Everything of a start that leaves no trace. What is wrong but no failure is logged.
fn check_config(options: &Options) -> Result<(), Failure> {
    load(options, cluster_text(options)?)?;
    options.user.as_deref().map(daemon::find_user).transpose()?;
    Ok(())
}

/// How a run has ended that had begun.
enum Run {
    /// As it was asked to, in this way.
    Stopped(String),
    /// Because it could not go on.
    Failed(Failure),
}

/// From options to the end of the program. The failure is one of the start.
fn run(options: &Options) -> Result<Run, Failure> {
    let starting = Starting::new().map_err(|error| system("cannot handle signals", &error))?;
    let program = Program::of_this_process();
    let (predecessor, mut estate) = Predecessor::receive()?.unzip();
    let pid_file = estate.as_mut().and_then(|estate| estate.pid_file.take());
    let inherited = estate.map_or_else(Inherited::take, Inherited::from_estate)?;
    let place = Place { host: options.listen.clone(), backlog: options.backlog, inherited: Arc::new(inherited) };
    let cluster = cluster_text(options)?;
    let loaded = load(options, cluster)?;

    if options.core_files {
        daemon::allow_core_files()?;
    }
    daemon::raise_open_files(u64::from(options.connections))?;
    let user = options.user.as_deref().map(daemon::find_user).transpose()?.flatten();

    let is_first = predecessor.is_none();
    let mut traces = Traces::default();
    traces.are_others = !is_first;
    let mut opened = Opened::open(options, &loaded, &place)?;
    traces.socket = opened.file.take();
    if let Some(path) = options.pid_file.as_deref().filter(|_| options.daemon) {
        traces.pid = Some(PidFile::inherited(path, pid_file)?);
    }
    // Who takes the place of a daemon is one.
    let detached = if options.daemon && is_first { Some(daemon::detach()?) } else { None };
    if let Some(file) = traces.pid.as_mut().filter(|_| is_first) {
        file.write()?;
    }
    if let Some(user) = &user {
        give_up_privileges(user, &traces)?;
    }
    if options.lock_memory {
        daemon::lock_memory();
    }

    let line = milestones::started(options, &loaded, opened.sockets.as_ref());
    let will = will(options, &loaded, &place, &traces, program)?;
    let manager = Manager::new(!loaded.agents.is_empty() && is_first, options.daemon || !is_first);
    let acceptor = start(options, &loaded, &place, opened, Beginning { starting, will, manager })?;
    let origin = predecessor.as_ref().map(|old| format!("; in place of process {}", old.id())).unwrap_or_default();
    let turn = match predecessor {
        Some(old) => acceptor.take_over(old),
        None => Ok(Ok(acceptor)),
    };
    let acceptor = match turn {
        Ok(Ok(acceptor)) => acceptor,
        Ok(Err(stop)) => return Ok(ended(Ok(stop))),
        Err(error) => return Ok(ended(Err(error))),
    };
    settle(options, &mut traces, is_first);
    log!(0, "{line}{origin}");
    if let Some(detached) = detached {
        detached.ready();
    }
    let stop = acceptor.run();
    traces.are_others = matches!(stop, Ok(Stop::Replaced(_)));
    Ok(ended(stop))
}

/// Becomes `user`, who has to be able to use the files of this process.
fn give_up_privileges(user: &nix::unistd::User, traces: &Traces) -> Result<(), Failure> {
    log::give_to(user.uid);
    traces.socket.iter().for_each(|file| file.give_to(user.uid));
    daemon::become_user(user)
}

/// From now on this process serves.
fn settle(options: &Options, traces: &mut Traces, is_first: bool) {
    traces.are_others = false;
    if let Some(file) = traces.pid.as_mut().filter(|_| !is_first)
        && let Err(failure) = file.write()
    {
        log!(0, "{failure}");
    }
    if options.daemon {
        daemon::settle(options.core_files, options.verbosity > 0);
    }
}

/// What becomes of all that at the end.
fn will(
    options: &Options,
    loaded: &Loaded,
    place: &Place,
    traces: &Traces,
    program: io::Result<Program>,
) -> Result<Will, Failure> {
    let program = match program {
        _ if options.watch_stdin => Err("with -Y, whoever has started this process waits for its end".to_owned()),
        _ if std::process::id() == 1 => Err("everything in a container ends with its process 1".to_owned()),
        Ok(program) => Ok(program),
        Err(error) => Err(format!("the system does not tell where the program is: {}", reason(&error))),
    };
    let pid_file = traces.pid.as_ref().map(PidFile::share).transpose();
    let time = |milliseconds: u32| Duration::from_millis(milliseconds.into());
    Ok(Will {
        program,
        inherited: Arc::clone(&place.inherited),
        path: traces.socket.as_ref().map(SocketFile::whereabouts),
        pid_file: pid_file.map_err(|error| system("cannot keep the pid file", &error))?,
        upgrade_timeout: time(loaded.behavior.upgrade_timeout),
        drain_timeout: Some(time(loaded.behavior.drain_timeout)).filter(|time| !time.is_zero()),
    })
}

fn ended(stop: io::Result<Stop>) -> Run {
    let stopped = |why: &str| Run::Stopped(why.to_owned());
    match stop {
        Ok(Stop::Interrupted) => {
            let _ = io::stdout().write_all(b"SIGINT handled.\n");
            stopped("SIGINT")
        }
        Ok(Stop::Terminated) => stopped("SIGTERM"),
        Ok(Stop::Replaced(id)) => Run::Stopped(format!("process {id} has taken over")),
        Ok(Stop::Asked) => stopped("a line end on standard input, or its end (-Y)"),
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

/// What the main loop begins with, besides what is open.
struct Beginning {
    starting: Starting,
    will: Will,
    manager: Manager,
}

/// Starts the threads.
fn start(
    options: &Options,
    loaded: &Loaded,
    place: &Place,
    opened: Opened,
    beginning: Beginning,
) -> Result<Acceptor, Failure> {
    let Beginning { starting, will, manager } = beginning;
    // This is the only thread yet.
    descriptors::make_room(options.connections.into());
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
        let mut acceptor = Acceptor::new(signals, workers, &shared, will)?;
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
        for socket in sockets.udp {
            acceptor.receive(socket)?;
        }
        acceptor.report_to(manager, Arc::clone(&loaded.config));
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
