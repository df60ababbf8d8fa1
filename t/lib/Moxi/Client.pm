package Moxi::Client;

# One client connection. Everything has a time limit, so that a reply that
# never comes is a failed test and not a test that never ends.

use strict;
use warnings;

use Carp qw(croak);
use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY SHUT_WR SOL_SOCKET SO_RCVBUF);
use Test::More;
use Time::HiRes qw(time);

our $PATIENCE = 15;     # seconds to wait for bytes that must come
our $QUIET    = 0.4;    # seconds without bytes after which a wrong reply is taken as complete

# A connection to a port of this machine.
#   rcvbuf => bytes   a small receive buffer, for a client that reads slowly
sub new {
    my ($class, $port, %how) = @_;
    my $socket = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1',
        PeerPort => $port,
        Proto    => 'tcp',
    ) or croak "connect to port $port: $!";
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, $how{rcvbuf} if $how{rcvbuf};
    $socket->blocking(0);
    return bless { socket => $socket, in => '', eof => 0 }, $class;
}

# Writes everything. Replies that arrive while the peer takes no more are put
# aside, since a proxy may well stop reading from a client that does not read.
sub put {
    my ($self, @pieces) = @_;
    my $bytes = join '', @pieces;
    my $sent  = 0;
    my $until = time + $PATIENCE;
    while ($sent < length $bytes) {
        my $count = syswrite $self->{socket}, $bytes, 1 << 20, $sent;
        if (defined $count) {
            $sent += $count;
            $until = time + $PATIENCE;
            next;
        }
        return 0 unless $!{EAGAIN} || $!{EWOULDBLOCK} || $!{EINTR};
        return 0 if time > $until;
        my ($read, $write) = ('', '');
        vec($read,  fileno $self->{socket}, 1) = $self->{eof} ? 0 : 1;
        vec($write, fileno $self->{socket}, 1) = 1;
        select $read, $write, undef, 0.5;
        $self->_fill(0) if vec $read, fileno $self->{socket}, 1;
    }
    return 1;
}

# No more requests from this client; it still reads.
sub half_close {
    my ($self) = @_;
    shutdown $self->{socket}, SHUT_WR;
    return;
}

sub close {
    my ($self) = @_;
    CORE::close $self->{socket};
    return;
}

# The bytes of REPLY, or what comes instead: as soon as it differs, only what
# follows within $QUIET seconds is waited for.
sub expect {
    my ($self, $reply) = @_;
    my $length = length $reply;
    my $until  = time + $PATIENCE;
    my $same   = 0;    # so many bytes are as they should be
    while (length $self->{in} < $length && !$self->{eof}) {
        my $before = length $self->{in};
        my $so_far = substr $self->{in}, $same;
        my $fits   = $so_far eq substr $reply, $same, length $so_far;
        $same = $before if $fits;
        $self->_fill($fits ? $until - time : $QUIET);
        last if length $self->{in} == $before && (!$fits || time > $until);
        $until = time + $PATIENCE if length $self->{in} > $before;
    }
    return substr $self->{in}, 0, $length, '';
}

# LENGTH bytes; fewer only when the peer closes or says nothing for too long.
sub take {
    my ($self, $length) = @_;
    my $until = time + $PATIENCE;
    while (length $self->{in} < $length && !$self->{eof} && time < $until) {
        my $before = length $self->{in};
        $self->_fill($until - time);
        $until = time + $PATIENCE if length $self->{in} > $before;
    }
    return substr $self->{in}, 0, $length, '';
}

# One line with its end; undef when none comes.
sub line {
    my ($self) = @_;
    my $until = time + $PATIENCE;
    my $end;
    while (($end = index $self->{in}, "\n") < 0) {
        return undef if $self->{eof} || time > $until;
        $self->_fill($until - time);
    }
    return substr $self->{in}, 0, $end + 1, '';
}

# Everything until the peer closes; sets $self->{eof} only if it does.
sub rest {
    my ($self) = @_;
    my $until = time + $PATIENCE;
    $self->_fill($until - time) while !$self->{eof} && time < $until;
    my $rest = $self->{in};
    $self->{in} = '';
    return $rest;
}

# Has the peer closed, and not just fallen silent?
sub closed {
    my ($self) = @_;
    $self->rest;
    return $self->{eof};
}

# Reads what there is, waiting at most so long for the first byte.
sub _fill {
    my ($self, $wait) = @_;
    my $read = '';
    vec($read, fileno $self->{socket}, 1) = 1;
    $wait = 0 if $wait < 0;
    return unless select $read, undef, undef, $wait;
    my $count = sysread $self->{socket}, $self->{in}, 1 << 18, length $self->{in};
    if (!defined $count) {
        return if $!{EAGAIN} || $!{EWOULDBLOCK} || $!{EINTR};
        $self->{eof} = 1;    # reset by the peer
        return;
    }
    $self->{eof} = 1 if $count == 0;
    return;
}

# --- assertions ------------------------------------------------------------

# The next bytes are exactly these.
sub want {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($self, $reply, $name) = @_;
    my $got = $self->expect($reply);
    # A longer reply shows in the message of the test it belongs to.
    $got .= substr $self->{in}, 0, 200, '' if $got ne $reply && length $reply < 1000;
    return Moxi::same($got, $reply, $name) if length $reply > 1000;
    return is(printable($got), printable($reply), $name);
}

# Sends a request; the whole answer is exactly this.
sub talk {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($self, $request, $reply, $name) = @_;
    $self->put($request);
    my $got = $self->expect($reply);
    $got .= $self->{in};
    $self->{in} = '';
    return Moxi::same($got, $reply, $name) if length $reply > 1000 || length $got > 2000;
    return is(printable($got), printable($reply), $name);
}

# The next line matches; returns what it captured.
sub line_like {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($self, $pattern, $name) = @_;
    my $line = $self->line;
    $line = '(nothing)' unless defined $line;
    like($line, $pattern, $name);
    return $line =~ $pattern;
}

# Stores a value and is told so.
sub store {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($self, $key, $value, $flags, $expiry) = @_;
    my $line = sprintf 'set %s %s %s %d', $key, $flags || 0, $expiry || 0, length $value;
    my $name = length $key > 40 ? substr($key, 0, 40) . '...' : $key;
    return $self->talk("$line\r\n$value\r\n", "STORED\r\n", "set $name, " . length($value) . ' bytes');
}

# A key has this value (undef: none), alone on the wire.
sub holds {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($self, $key, $value, $name, $flags) = @_;
    my $reply = defined $value ? _hit($key, $value, $flags || 0) . "END\r\n" : "END\r\n";
    $name ||= defined $value ? "$key has its value" : "$key is missing";
    return $self->talk("get $key\r\n", $reply, $name);
}

# The unique id of a key as gets shows it; undef if it is not there.
sub unique {
    my ($self, $key) = @_;
    $self->put("gets $key\r\n");
    my $line = $self->line;
    return undef unless defined $line && $line =~ /\AVALUE \S+ \d+ (\d+) (\d+)\r\n\z/;
    my ($length, $unique) = ($1, $2);
    my $rest = $self->take($length + 7);
    return $rest =~ /\r\nEND\r\n\z/ ? $unique : undef;
}

# Nothing comes of its own accord, and the connection is in step: the next
# request gets the next answer.
sub in_step {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($self, $name) = @_;
    return $self->talk("get no-such-key\r\n", "END\r\n", $name || 'the connection is in step');
}

sub _hit {
    my ($key, $value, $flags) = @_;
    return sprintf "VALUE %s %s %d\r\n%s\r\n", $key, $flags || 0, length $value, $value;
}

# The block of a hit, for replies that are put together by hand.
sub hit { return _hit(@_) }

# Bytes as a person can read them.
sub printable {
    my ($bytes) = @_;
    return '(nothing)' unless defined $bytes;
    $bytes =~ s/\\/\\\\/g;
    $bytes =~ s/\r/\\r/g;
    $bytes =~ s/\n/\\n/g;
    $bytes =~ s/([^\x20-\x7e])/sprintf '\\x%02x', ord $1/ge;
    return $bytes;
}

1;
