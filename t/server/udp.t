#!/usr/bin/perl
# UDP: every datagram is a request of its own.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../lib";
use Moxi::Server;
use Test::More;

my $port   = Moxi::free_port();
my $server = Moxi::Server->start(args => ['-U', $port, '-t', 1]);
my $c      = $server->client;
my $udp    = Moxi::Server->udp($port);
my $id     = 160;

is($server->stat('udpport', 'settings'), $port, 'the settings show the port');

# Sends a request; the reply is exactly this.
sub ask {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($request, $reply, $name) = @_;
    Moxi::Server::udp_send($udp, ++$id, $request);
    my ($got) = Moxi::Server::udp_reply($udp, $id);
    return Moxi::same($got, $reply, $name) if length $reply > 1000;
    return is(Moxi::Client::printable($got), Moxi::Client::printable($reply), $name);
}

# Nothing comes before the answer to the next request.
sub silent {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($datagram, $name) = @_;
    send $udp, $datagram, 0;
    return ask("get none\r\n", "END\r\n", "$name: no answer, and the next request has its own");
}

# Both protocols, and what one stores the other finds.
$c->store('tcp', 'by TCP');
ask("get tcp\r\n", "VALUE tcp 0 6\r\nby TCP\r\nEND\r\n", 'get');
ask("set udp 7 0 6\r\nby UDP\r\n", "STORED\r\n", 'set');
$c->holds('udp', 'by UDP', 'TCP clients see it', 7);
ask("add udp 7 0 6\r\nby UDP\r\n", "NOT_STORED\r\n", 'add');
ask("set n 0 0 1\r\n1\r\n", "STORED\r\n", 'a number');
ask("incr n 4\r\n", "5\r\n", 'incr');
ask("delete n 0\r\n", "DELETED\r\n", 'delete');
ask("nonsense\r\n", "ERROR\r\n", 'no command');

Moxi::Server::udp_send($udp, 70, Moxi::Server::packet('get', key => 'udp', opaque => 8));
my ($got) = Moxi::Server::udp_reply($udp, 70);
is(unpack('x28 a*', $got), 'by UDP', 'a binary get');
is(unpack('x12 N', $got), 8, 'with its opaque');
Moxi::Server::udp_send($udp, 71, Moxi::Server::set_packet('set', 'udp', 'by packet'));
($got) = Moxi::Server::udp_reply($udp, 71);
is(unpack('x6 n', $got), 0, 'a binary set');
ask("get udp\r\n", "VALUE udp 0 9\r\nby packet\r\nEND\r\n", 'ASCII and binary in turn');

# Long replies.
my $long = Moxi::filler(4096, 'u');
ask("set long 0 0 4096\r\n$long\r\n", "STORED\r\n", 'a long request');
Moxi::Server::udp_send($udp, 500, "get long\r\n");
my ($reply, @lengths) = Moxi::Server::udp_reply($udp, 500);
is($reply, "VALUE long 0 4096\r\n$long\r\nEND\r\n", 'a long reply');
is_deeply(\@lengths, [1400, 1400, 1346], 'in datagrams of 1400 bytes');
my $many = join ' ', ('long') x 12;
ask("get $many\r\n", Moxi::Client::hit('long', $long) x 12 . "END\r\n", 'a very long one');

# Two commands in a datagram have two replies.
Moxi::Server::udp_send($udp, 600, "get none\r\ndelete none\r\n");
is((Moxi::Server::udp_reply($udp, 600))[0], "END\r\n", 'the first');
is((Moxi::Server::udp_reply($udp, 600))[0], "NOT_FOUND\r\n", 'the second');

# No reply.
silent(pack('nnnn', 1, 0, 1, 0) . "set quiet 0 0 1 noreply\r\n1\r\n", 'noreply');
$c->holds('quiet', '1');
silent('', 'an empty datagram');
silent('short', 'a datagram without a header');
silent(pack('nnnn', 1, 0, 1, 0), 'a datagram without a request');

# What is not complete leaves nothing behind.
silent(pack('nnnn', 1, 0, 1, 0) . 'get half', 'half a line');
silent(pack('nnnn', 1, 0, 1, 0) . "set half 0 0 100\r\nhalf", 'half a value');
silent(pack('nnnn', 1, 0, 1, 0) . "\x80\x01half a packet", 'half a packet');
ask("set half 0 0 9999999\r\nhalf", "SERVER_ERROR object too large for cache\r\n", 'a size beyond all');
ask("get half\r\n", "END\r\n", 'is none of the next datagram');
$c->holds('half', undef);
Moxi::Server::udp_send($udp, 90, "get tcp\r\n", 2);
is((Moxi::Server::udp_reply($udp, 90))[0], "SERVER_ERROR multi-packet request not supported\r\n", 'a request in two datagrams');

# What closes a connection closes nothing here.
silent(pack('nnnn', 1, 0, 1, 0) . "quit\r\n", 'quit');
silent(pack('nnnn', 1, 0, 1, 0) . Moxi::Server::packet('quitq'), 'QUITQ');
silent(pack('nnnn', 1, 0, 1, 0) . "\x80\xff" . "\xff" x 30, 'nonsense');
Moxi::Server::udp_send($udp, 91, Moxi::Server::packet('get'));
is(unpack('x6 n', (Moxi::Server::udp_reply($udp, 91))[0]), 4, 'a packet without its key');
ask("get tcp\r\n", "VALUE tcp 0 6\r\nby TCP\r\nEND\r\n", 'and all is as before');

# And it does not burn the processor.
my $before = $server->stats;
select undef, undef, undef, 0.3;
my $after = $server->stats;
cmp_ok($after->{rusage_user} + $after->{rusage_system} - $before->{rusage_user} - $before->{rusage_system}, '<', 0.15, 'it is idle');

# UDP alone.
my $alone = Moxi::free_port();
my $only  = Moxi::Server->_bench(args => []);
my $child = $only->_spawn('udp.log', Moxi::binary(), '-U', $alone, $> == 0 ? ('-u', 'root') : ());
my $where = Moxi::Server->udp($alone);
my $answer;
for (1 .. 100) {
    Moxi::Server::udp_send($where, 5, "version\r\n");
    $answer = (Moxi::Server::udp_reply($where, 5, 0.1))[0];
    last if defined $answer;
    select undef, undef, undef, 0.05;
}
like($answer, qr/\AVERSION \d/, '-U without -p');
$server->finish;
