#!/usr/bin/perl
# Meta commands of the memcached server: beside classic ones, at once, by UDP, in dumps and statistics.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../lib";
use Moxi::Server;
use Test::More;

my $port   = Moxi::free_port();
my $server = Moxi::Server->start(args => ['-U', $port, '-t', 1]);
my $c      = $server->client;
my $other  = $server->client;

# What one kind of command stores the other finds.
$c->talk("mn\r\n", "MN\r\n", 'nothing');
$c->talk("ms a 2 T0 F7\r\nhi\r\n", "HD\r\n", 'ms');
$c->holds('a', 'hi', 'a classic get finds it', 7);
$c->store('b', 'yo');
$c->talk("mg b v f s k Oopaque\r\n", "VA 2 f0 s2 kb Oopaque\r\nyo\r\n", 'mg finds what set has stored');
$c->talk("ma n N0 J10 v\r\nincr n 5\r\nma n MD D3 v\r\n", "VA 2\r\n10\r\n15\r\nVA 2\r\n12\r\n", 'both count');
my $mixed = "get a\r\nmg a v\r\nset c 0 0 1\r\nx\r\nms c 1 MA\r\ny\r\nmg c v q\r\nmd c\r\ndelete c\r\nmg c q\r\nmn\r\n";
my $answers = "VALUE a 7 2\r\nhi\r\nEND\r\nVA 2\r\nhi\r\nSTORED\r\nHD\r\nVA 2\r\nxy\r\nHD\r\nNOT_FOUND\r\nMN\r\n";
$c->talk($mixed, $answers, 'all at once');
$c->put($_) for split //, $mixed;
$c->want($answers, 'byte by byte');

# One of several clients stores anew.
$c->talk("md a I T30\r\n", "HD\r\n", 'a is stale');
$c->talk("mg a v\r\n", "VA 2 X W\r\nhi\r\n", 'the first one is told to store it anew');
$other->talk("mg a v\r\n", "VA 2 Z X\r\nhi\r\n", 'the second one is told that somebody does');
$c->talk("ms a 3 F7\r\nnew\r\n", "HD\r\n", 'it does');
$other->talk("mg a v\r\n", "VA 3\r\nnew\r\n", 'and all is well');
$c->talk("mg vivid N30 v\r\n", "VA 0 W\r\n\r\n", 'what is not there is made');
$other->talk("mg vivid N30 v\r\n", "VA 0 Z\r\n\r\n", 'once');

# Sizes and errors.
my $large = Moxi::filler(1_000_000, 'm');
$c->talk("ms large 1000000\r\n$large\r\nmg large v\r\n", "HD\r\nVA 1000000\r\n$large\r\n", 'a large value');
$c->talk("ms large 2000000 q\r\n" . "mn\r\n" x 500_000 . "\r\nmg large\r\n",
    "SERVER_ERROR object too large for cache\r\nEN\r\n", 'one that is too large is no command, and leaves nothing');
$c->talk("ms a 4 !\r\nmn\r\n\r\nmn\r\n", "CLIENT_ERROR invalid flag\r\nMN\r\n", 'the value of a refused one is dropped');
$c->talk("ms a 2\r\nlonger\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\n", 'a value of another length');
$c->talk("mg a v v\r\nmx a\r\nmg\r\n", "CLIENT_ERROR duplicate flag\r\nERROR\r\nERROR\r\n", 'lines that are wrong');

# Keys that are no words.
$c->talk("ms YSBi 1 b\r\nx\r\nmg YSBi b k v\r\n", "HD\r\nVA 1 kYSBi b\r\nx\r\n", 'a key in base64');
my $binary = $server->client;
$binary->put(Moxi::Server::packet('get', key => 'a b'));
Moxi::Server::answers($binary, 'get', 0, 'is the one that binary clients know');

# By UDP, every datagram is a request of its own.
my ($udp, $id) = (Moxi::Server->udp($port), 700);
for (["mg a v\r\n", "VA 3\r\nnew\r\n"], ["ms u 2 c\r\nhi\r\n", "HD c"], ["mg u v\r\n", "VA 2\r\nhi\r\n"], ["mg no\r\n", "EN\r\n"]) {
    my ($request, $reply) = @$_;
    Moxi::Server::udp_send($udp, ++$id, $request);
    my ($got) = Moxi::Server::udp_reply($udp, $id);
    is(Moxi::Client::printable(substr $got, 0, length $reply), Moxi::Client::printable($reply), "UDP: $request");
}
Moxi::Server::udp_send($udp, ++$id, "ms u 10 q\r\nincomplete");
Moxi::Server::udp_send($udp, ++$id, "ms u 200 !\r\ndropped with it");
is((Moxi::Server::udp_reply($udp, $id))[0], "CLIENT_ERROR invalid flag\r\n", 'UDP: a value that is not all there');
Moxi::Server::udp_send($udp, ++$id, "mg u v\r\n");
is((Moxi::Server::udp_reply($udp, $id))[0], "VA 2\r\nhi\r\n", 'UDP: leaves nothing behind');

# Dumps and statistics.
$c->talk("me none\r\n", "EN\r\n", 'me of what is not there');
$c->put("me b\r\n");
$c->line_like(qr/\AME b exp=-1 la=\d+ cas=\d+ fetch=yes cls=1 size=68\r\n\z/, 'me');
my ($line) = grep { /\Akey=b / } map { $_ =~ s/\n\z//r } split /^/, join '', dump_all();
like($line, qr/\Akey=b exp=-1 la=\d+ cas=\d+ fetch=yes cls=1 size=68\z/, 'the same item in a dump');
is($server->stat('cmd_meta'), 2, 'me is counted');
$c->talk("stats reset\r\n", "RESET\r\n", 'a reset');
is($server->stats->{cmd_meta}, undef, 'and there is nothing to show');
$c->in_step;
$server->finish;

# The lines of a dump, which end in LF alone.
sub dump_all {
    my @lines;
    $c->put("lru_crawler metadump all\r\n");
    while (defined(my $line = $c->line)) {
        return @lines if $line eq "END\r\n";
        push @lines, $line;
    }
    return @lines;
}
