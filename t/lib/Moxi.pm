package Moxi;

# The bench the .t files stand on: real memcached servers, one moxi in front
# of them, and clients (Moxi::Client) to talk to it.
#
#     my $moxi = Moxi->start;
#     my $c    = $moxi->client;
#     $c->talk("get a\r\n", "END\r\n", 'a miss');
#     $moxi->finish;
#
# What is started is chosen from outside, so that one file runs in many
# arrangements (t/run does that):
#
#     MOXI_TOPOLOGY   a name of Moxi::Topology; among them "direct": memcached
#                     itself, and "builtin": moxi's own memcached server, alone
#     MOXI_PROTOCOL   ascii or binary: what moxi speaks with the servers
#     MOXI_BIN        the program, else target/release/moxi or target/debug/moxi
#     MOXI_ARGS       more arguments for moxi; with -v or -vv a failing file
#                     shows what moxi has logged
#     MOXI_PORTS      FIRST-LAST: ports this file may use (two files that run
#                     at the same time need different ranges)
#
# Children are stopped by process id, and only by the process that started
# them, so a forked client in a test never takes the servers away.

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use Errno;
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Socket qw(AF_UNIX SOCK_DGRAM pack_sockaddr_un);
use Test::More;
use Time::HiRes qw(sleep time);

use Moxi::Client;
use Moxi::Topology;

our $START_LIMIT = 10;    # seconds until a port must answer
our $STOP_LIMIT  = 5;     # seconds a child may take to end when told so

# Limits that a busy test machine does not reach by accident. Their defaults
# are a fifth of a second.
my $PATIENT = 'connect_timeout=5000,auth_timeout=5000,wait_queue_timeout=5000,downstream_conn_queue_timeout=5000';

# Every bench of this file, for END: also one whose start failed half-way, or
# that a dying test has lost.
my @benches;

my $root = abs_path(dirname(__FILE__) . '/../..');

# A dead peer must be a failed test, not the end of the file; and whoever
# stops this file wants the END block below to run.
$SIG{PIPE} = 'IGNORE';
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

sub topology { return $ENV{MOXI_TOPOLOGY} || 'simple' }
sub protocol { return $ENV{MOXI_PROTOCOL} || 'ascii' }

# True when the clients of this run talk to memcached itself. That is how the
# files are checked for what they assume; where moxi promises more than
# memcached, they skip.
sub direct { return topology() eq 'direct' }

# True when they talk to moxi's own memcached server.
sub builtin { return topology() eq 'builtin' }

# True when no proxy is between clients and server.
sub proxied { return !direct() && !builtin() }

# Starts servers and moxi, and waits until moxi answers.
#   args      => [...]   more arguments for moxi
#   Z         => 'k=v'   more behaviours for -Z
#   memcached => [...]   more arguments for every memcached
sub start {
    my ($class, %how) = @_;
    my $self = $class->_bench(%how);
    if (builtin()) {
        $self->_builtin;
        return $self;
    }
    my $plan = Moxi::Topology::plan(topology());
    my @servers = map { $self->_memcached($how{memcached} || []) } 1 .. $plan->{servers};
    $self->{servers} = \@servers;
    if (direct()) {
        $self->{port} = $servers[0];
        return $self;
    }
    $self->_moxi($plan, \@servers);
    return $self;
}

# A bench with nothing on it.
sub _bench {
    my ($class, %how) = @_;
    my $self = bless { owner => $$, children => [], how => \%how, listeners => 1 }, $class;
    push @benches, $self;
    $self->{dir} = tempdir('moxi-t-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    return $self;
}

# A new connection, with Nagle's algorithm off.
sub client {
    my ($self) = @_;
    return Moxi::Client->new($self->{port});
}

# A connection to server number N (from 0) behind moxi's back.
sub server {
    my ($self, $number) = @_;
    return Moxi::Client->new($self->{servers}[$number]);
}

sub port { return $_[0]{port} }

# Ends the run: moxi must still be alive, end soon after SIGTERM, and have
# had nothing to say at log level 0 but that it has started and stopped. A test that raises the level gives the
# pattern of the lines it is to find (said => qr/.../), one that makes moxi
# complain says so (loud => 1).
sub finish {
    my ($self, %may) = @_;
    if (my $moxi = $self->{moxi}) {
        ok(_alive($moxi), 'moxi is still running');
        my $said   = _slurp($moxi->{log});
        my $before = time;
        _stop($moxi);
        cmp_ok(time - $before, '<', $STOP_LIMIT, 'and ends when it is told to');
        # One that is its own server sees that server go, and may say so when
        # clients have left it with work.
        $said = _slurp($moxi->{log}) if $self->{listeners} == 1;
        return $self->_finished if $may{loud};
        my $pattern = $may{said};
        # That it has started and stopped it always says.
        my @lines   = grep { !/\) moxi \S+ (?:started|stopped): / } split /^/, $said;
        cmp_ok(scalar @lines, '>', 0, 'with something to say') if $pattern;
        @lines = grep { $_ !~ $pattern } @lines if $pattern;
        is(join('', @lines), '', $pattern ? 'and nothing else' : 'without having had anything to say');
    }
    return $self->_finished;
}

sub _finished {
    my ($self) = @_;
    $self->_stop_all;
    done_testing();
    return;
}

# Compares without printing megabytes when it fails.
sub same {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($got, $want, $name) = @_;
    $got = '' unless defined $got;
    return pass($name) if $got eq $want;
    fail($name);
    my $at = 0;
    my $common = length $got < length $want ? length $got : length $want;
    $at++ while $at < $common && substr($got, $at, 1) eq substr($want, $at, 1);
    diag(sprintf 'got %d bytes, expected %d; they differ from byte %d on', length $got, length $want, $at);
    my $from = $at > 40 ? $at - 40 : 0;
    diag('got:      ' . Moxi::Client::printable(substr($got,  $from, 160)));
    diag('expected: ' . Moxi::Client::printable(substr($want, $from, 160)));
    return 0;
}

# Text of LENGTH bytes that is different at every place and for every seed.
sub filler {
    my ($length, $seed) = @_;
    my $text  = '';
    my $count = 0;
    $text .= sprintf '%s:%d;', $seed, $count++ while length $text < $length;
    return substr $text, 0, $length;
}

# --- starting and stopping -------------------------------------------------

my ($next_port, $last_port);

# What makes ports ours, as long as this process lives.
my @claims;

# The next port of our range that no other test has, and on which nobody listens.
sub free_port {
    if (!defined $next_port) {
        # Below the range from which systems take ports for outgoing connections.
        my ($first, $last) = ($ENV{MOXI_PORTS} || '16000-19999') =~ /\A(\d+)-(\d+)\z/
            or croak 'MOXI_PORTS is not FIRST-LAST';
        $last_port = $last;
        $next_port = $first + int rand(($last - $first) / 2);
    }
    while ($next_port <= $last_port) {
        my $port  = $next_port++;
        my $claim = _claim($port) or next;
        my $probe = IO::Socket::INET->new(
            LocalAddr => '127.0.0.1',
            LocalPort => $port,
            Proto     => 'tcp',
            Listen    => 1,
        ) or next;
        push @claims, $claim;
        return $port;
    }
    croak 'no port left';
}

# An abstract unix socket of the port's name: only one process on the machine can
# have it, and it ends with that. tests/support/src/ports.rs does the same.
sub _claim {
    my ($port) = @_;
    socket my $claim, AF_UNIX, SOCK_DGRAM, 0 or croak "socket: $!";
    return $claim if bind $claim, pack_sockaddr_un("\0moxi-test-port-$port");
    croak "reserving port $port: $!" if !$!{EADDRINUSE};
    return;
}

sub _memcached {
    my ($self, $more) = @_;
    for (1 .. 5) {
        my $port = free_port();
        my @command = ('memcached', '-l', '127.0.0.1', '-U', '0', '-p', $port, '-t', '1', @$more);
        push @command, '-u', 'root' if $> == 0;
        my $child = $self->_spawn("memcached-$port.log", @command);
        $child->{server} = 1;
        return $port if _answers($child, $port);
        _stop($child);
    }
    croak "memcached does not start:\n" . _slurp($self->{children}[-1]{log});
}

sub _moxi {
    my ($self, $plan, $servers) = @_;
    my $how = $self->{how};
    for (1 .. 5) {
        my @ports = map { free_port() } 1 .. $plan->{listeners};
        my @command = (
            binary(),
            '-z', Moxi::Topology::text($plan, \@ports, $servers),
            '-Z', join(',', 'downstream_protocol=' . protocol(), $PATIENT, $how->{Z} || ()),
            '-p', '0', '-U', '0',
            @{ $how->{args} || [] }, split(' ', $ENV{MOXI_ARGS} || ''),
        );
        push @command, '-u', 'root' if $> == 0;
        my $child = $self->_spawn("moxi-$ports[0].log", @command);
        # Sections are opened in some order: ask all of them.
        if (!grep { !_answers($child, $_) } @ports) {
            $self->{moxi} = $child;
            $self->{listeners} = @ports;
            $self->{port} = $ports[0];
            return;
        }
        _stop($child);
    }
    croak "moxi does not start:\n" . _slurp($self->{children}[-1]{log});
}

# moxi as a memcached server, and nothing else.
sub _builtin {
    my ($self) = @_;
    for (1 .. 5) {
        my $port  = free_port();
        my $child = $self->_spawn("moxi-$port.log", $self->server_command($port));
        if (_answers($child, $port)) {
            @$self{qw(moxi port)} = ($child, $port);
            return;
        }
        _stop($child);
    }
    croak "moxi does not start:\n" . _slurp($self->{children}[-1]{log});
}

# How moxi is started as a memcached server on a port.
sub server_command {
    my ($self, $port) = @_;
    my @command = (binary(), '-p', $port, @{ $self->{how}{args} || [] }, split ' ', $ENV{MOXI_ARGS} || '');
    push @command, '-u', 'root' if $> == 0;
    my $files = $self->{how}{open_files} or return @command;
    return ('sh', '-c', "ulimit -n $files && exec \"\$0\" \"\$@\"", @command);
}

# The program under test.
sub binary {
    my @places = $ENV{MOXI_BIN} || ("$root/target/release/moxi", "$root/target/debug/moxi");
    for my $place (@places) {
        return abs_path($place) if -x $place;
    }
    croak "no moxi at @places: build it first";
}

sub _spawn {
    my ($self, $log, @command) = @_;
    $log = "$self->{dir}/$log";
    my $pid = fork;
    croak "fork: $!" unless defined $pid;
    if (!$pid) {
        open STDIN,  '<',  '/dev/null' or POSIX::_exit(126);
        open STDOUT, '>',  $log        or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT    or POSIX::_exit(126);
        { no warnings 'exec'; exec { $command[0] } @command; }
        print STDERR "cannot run $command[0]: $!\n";
        POSIX::_exit(127);
    }
    my $child = { pid => $pid, log => $log };
    push @{ $self->{children} }, $child;
    return $child;
}

# Waits until somebody listens on the port while our child lives.
sub _answers {
    my ($child, $port) = @_;
    my $until = time + $START_LIMIT;
    while (time < $until) {
        return 0 unless _alive($child);
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
        # The child may have died of a port that somebody else had: look again.
        if ($socket) {
            sleep 0.01;
            return _alive($child);
        }
        sleep 0.02;
    }
    return 0;
}

sub _alive {
    my ($child) = @_;
    return 0 if $child->{gone};
    $child->{gone} = 1 if waitpid($child->{pid}, WNOHANG) != 0;
    return !$child->{gone};
}

# SIGTERM, and SIGKILL for those who do not listen.
sub _stop {
    my ($child, $signal) = @_;
    return if !_alive($child);
    kill $signal || 'TERM', $child->{pid};
    my $until = time + $STOP_LIMIT;
    while (_alive($child)) {
        kill 'KILL', $child->{pid} if time > $until;
        sleep 0.01;
    }
    return;
}

sub _stop_all {
    my ($self) = @_;
    return if $$ != $self->{owner};
    # moxi first, and with manners. The servers have nothing to lose, and take
    # a second to end when they are asked.
    _stop($_->{server} ? ($_, 'KILL') : $_) for reverse @{ $self->{children} };
    return;
}

sub _slurp {
    my ($name) = @_;
    open my $file, '<:raw', $name or return "$name: $!";
    local $/;
    my $text = <$file>;
    return defined $text ? $text : '';
}

END {
    my $status = $?;    # waitpid in here must not change the file's exit code
    $_->_stop_all for @benches;
    $? = $status;
}

1;
