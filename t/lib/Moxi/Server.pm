package Moxi::Server;

# moxi as a memcached server and nothing else, for the files of t/server.
#
#     my $server = Moxi::Server->start(args => ['-m', 8]);
#     my $c      = $server->client;
#     my $stats  = $server->stats('slabs');    # name => value
#     $server->finish;
#
# And what a test of the binary protocol or of UDP needs: packets and datagrams.

use strict;
use warnings;

use Carp qw(croak);
use IO::Socket::INET;
use IO::Socket::UNIX;
use Test::More;
use Time::HiRes qw(sleep time);

use Moxi;
our @ISA = ('Moxi');

# Starts it and waits until it answers.
#   args => [...]      more arguments
#   env  => {...}      environment variables
#   open_files => N    how many descriptors it may have
sub start {
    my ($class, %how) = @_;
    my $self = $class->_bench(%how);
    local @ENV{ keys %{ $how{env} || {} } } = values %{ $how{env} || {} };
    $self->_builtin;
    return $self;
}

# Runs it with these arguments until it ends by itself: its exit code (undef: it
# did not end) and what it has printed.
sub refuses {
    my ($class, @args) = @_;
    my $self  = $class->_bench(args => []);
    my $child = $self->_spawn('refused.log', Moxi::binary(), @args, $> == 0 ? ('-u', 'root') : ());
    my $until = time + $Moxi::START_LIMIT;
    my $status;
    while (time < $until) {
        if (waitpid($child->{pid}, 1) == $child->{pid}) {
            ($status, $child->{gone}) = ($? >> 8, 1);
            last;
        }
        sleep 0.01;
    }
    $self->_stop_all;
    return ($status, Moxi::_slurp($child->{log}));
}

# The process id of the server.
sub pid { return $_[0]{moxi}{pid} }

# What it has printed so far.
sub said { return Moxi::_slurp($_[0]{moxi}{log}) }

# A directory that goes when the test ends.
sub directory { return $_[0]{dir} }

# The lines of a reply up to END, RESET, OK or an error, without line ends.
sub lines {
    my ($self, $client, $request) = @_;
    my @lines;
    $client->put("$request\r\n");
    while (defined(my $line = $client->line)) {
        $line =~ s/\r\n\z// or push @lines, '(no CR)';
        last if $line eq 'END';
        push @lines, $line;
        last if $line =~ /\A(?:OK|RESET|\w*ERROR)/;
    }
    return @lines;
}

# A statistics reply as a hash, and in list context its names in order, too.
sub stats {
    my ($self, $sub, $client) = @_;
    $client ||= $self->client;
    my (%stats, @names);
    for my $line ($self->lines($client, defined $sub ? "stats $sub" : 'stats')) {
        my ($name, $value) = $line =~ /\ASTAT (\S+) (.+)\z/ or croak "no statistic: $line";
        $stats{$name} = $value;
        push @names, $name;
    }
    return wantarray ? (\%stats, \@names) : \%stats;
}

# One statistic.
sub stat {
    my ($self, $name, $sub) = @_;
    return $self->stats($sub)->{$name};
}

# A client on a unix socket.
sub unix_client {
    my ($class, $path) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => $path) or return undef;
    $socket->blocking(0);
    return bless { socket => $socket, in => '', eof => 0 }, 'Moxi::Client';
}

# --- the binary protocol ---------------------------------------------------

our %OP = (
    get  => 0x00, set  => 0x01, add  => 0x02, replace  => 0x03, delete  => 0x04, incr  => 0x05, decr  => 0x06,
    quit => 0x07, flush => 0x08, getq => 0x09, noop => 0x0a, version => 0x0b, getk => 0x0c, getkq => 0x0d,
    append => 0x0e, prepend => 0x0f, stat => 0x10,
    setq => 0x11, addq => 0x12, replaceq => 0x13, deleteq => 0x14, incrq => 0x15, decrq => 0x16,
    quitq => 0x17, flushq => 0x18, appendq => 0x19, prependq => 0x1a,
    touch => 0x1c, gat => 0x1d, gatq => 0x1e, gatk => 0x23, gatkq => 0x24, getl => 0x94,
);

# A request. Fields: key, extras, value, opaque, cas.
sub packet {
    my ($op, %field) = @_;
    my ($key, $extras, $value) = map { defined $field{$_} ? $field{$_} : '' } qw(key extras value);
    my $opcode = exists $OP{$op} ? $OP{$op} : $op;
    return pack('CCnCCnNNQ>', 0x80, $opcode, length $key, length $extras, 0, 0, length "$extras$key$value",
        $field{opaque} || 0, $field{cas} || 0) . "$extras$key$value";
}

# A storage request with flags and expiry.
sub set_packet {
    my ($op, $key, $value, %field) = @_;
    return packet($op, key => $key, value => $value, extras => pack('NN', $field{flags} || 0, $field{expiry} || 0), %field);
}

# An incr or decr.
sub count_packet {
    my ($op, $key, $delta, $initial, $expiry, %field) = @_;
    return packet($op, key => $key, extras => pack('Q>Q>N', $delta, $initial, $expiry), %field);
}

# The next reply: a hash of its fields; undef if there is none.
sub reply {
    my ($client) = @_;
    my $head = $client->take(24);
    return undef if length $head < 24;
    my %reply;
    (@reply{qw(magic op key_length extras_length type status length opaque cas)}) = unpack 'CCnCCnNNQ>', $head;
    my $body = $client->take($reply{length});
    $reply{extras} = substr $body, 0, $reply{extras_length}, '';
    $reply{key}    = substr $body, 0, $reply{key_length}, '';
    $reply{value}  = $body;
    return \%reply;
}

# The next reply has this status, and the body that errors have.
my %text = (
    0x01 => 'Not found', 0x02 => 'Data exists for key.', 0x03 => 'Too large.', 0x04 => 'Invalid arguments',
    0x05 => 'Not stored.', 0x06 => 'Non-numeric server-side value for incr or decr', 0x81 => 'Unknown command',
    0x82 => 'Out of memory',
);

sub answers {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($client, $op, $status, $name, %field) = @_;
    my $reply = reply($client);
    return fail("$name: nothing came") unless $reply;
    my %want = (magic => 0x81, op => exists $OP{$op} ? $OP{$op} : $op, status => $status, opaque => 0, %field);
    $want{value} = $text{$status} if $status && !exists $want{value};
    my %got = map { $_ => $reply->{$_} } keys %want;
    is_deeply(\%got, \%want, $name);
    return $reply;
}

# --- UDP -------------------------------------------------------------------

# A socket whose datagrams go to this port.
sub udp {
    my ($class, $port) = @_;
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'udp') || croak "UDP: $!";
}

# Sends a request with number ID, as one datagram of COUNT.
sub udp_send {
    my ($socket, $id, $request, $count) = @_;
    return send $socket, pack('nnnn', $id, 0, defined $count ? $count : 1, 0) . $request, 0;
}

# The reply to it, put together: the text and the lengths of its datagrams. undef: none came, or not all.
sub udp_reply {
    my ($socket, $id, $wait) = @_;
    my (@parts, @lengths, $count);
    my $until = time + (defined $wait ? $wait : 10);
    while (!defined $count || @lengths < $count) {
        my $bits = '';
        vec($bits, fileno $socket, 1) = 1;
        my $left = $until - time;
        return undef if $left <= 0 || !select $bits, undef, undef, $left;
        defined recv $socket, my $datagram, 65536, 0 or return undef;
        my ($its, $number, $total, $reserved) = unpack 'nnnn', $datagram;
        croak 'a reply to something else' if $its != $id || $reserved || (defined $count && $count != $total);
        $count = $total;
        push @lengths, length $datagram;
        $parts[$number] = substr $datagram, 8;
    }
    return (join('', @parts), @lengths);
}

1;
