#!/usr/bin/perl
# Items around the size limit, and values that change while they are being sent.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../lib";
use Moxi::Server;
use Test::More;

my $server = Moxi::Server->start;
my $c      = $server->client;
my $large  = "SERVER_ERROR object too large for cache\r\n";

# What an item may have in total is 1 MiB: header 48, CAS id 8, key and NUL 4, flags and length text 12, line end 2.
my $most = 1048576 - 48 - 8 - 4 - 12 - 2;
for my $size (0, 1, 1023, 1024, 2047, 65535, 524288, 1000000, $most - 1, $most) {
    my $value = Moxi::filler($size, 's');
    $c->store('foo', $value);
    $c->holds('foo', $value);
}
for my $size ($most + 1 .. $most + 9, 1048576, 1048577, 2_000_000, 30_000_000) {
    $c->store('foo', 'old');
    $c->talk("set foo 0 0 $size\r\n" . 'x' x $size . "\r\n", $large, "$size bytes are too many");
    $c->holds('foo', undef, 'the old value is gone');
}
# Only set makes that promise.
$c->store('foo', 'old');
my $data = 'x' x 1_100_000;
for my $verb (qw(add replace append prepend)) {
    $c->put("$verb foo 0 0 1100000\r\n$data\r\n");
    $c->line_like(qr/\A(?:SERVER_ERROR object too large for cache|NOT_STORED)\r\n\z/, "$verb of too much");
    $c->holds('foo', 'old', 'the old value stays');
}
my $id = $c->unique('foo');
$c->talk("cas foo 0 0 1100000 $id\r\n$data\r\n", $large, 'cas of too much');
$c->holds('foo', 'old', 'the old value stays');

# Without a reply: what was refused is swallowed all the same.
$c->put("set foo 0 0 1100000 noreply\r\n$data\r\n");
$c->holds('foo', undef, 'the data of a silent set is no command');

# Appending beyond the limit is refused, and leaves what was there.
$c->store('foo', 'x' x ($most - 10));
$c->talk("append foo 0 0 10\r\n" . 'y' x 10 . "\r\n", "STORED\r\n", 'up to the limit');
$c->talk("append foo 0 0 1\r\ny\r\n", "NOT_STORED\r\n", 'not beyond it');
$c->talk("prepend foo 0 0 1\r\ny\r\n", "NOT_STORED\r\n", 'in either direction');
$c->holds('foo', 'x' x ($most - 10) . 'y' x 10);

# Sizes that are none.
for my $size (-1, 2147483646, 2147483647, 2147483648, 4294967295, 4294967296, '99999999999999999999') {
    my $fresh = $server->client;
    $fresh->put("set foo 0 0 $size\r\n");
    $fresh->line_like(qr/\A(?:CLIENT_ERROR bad command line format|SERVER_ERROR object too large for cache)\r\n\z/, "size $size");
    $fresh->in_step if $size < 0 || $size > 2147483647;
    $fresh->close;
}

# Binary.
my $b = $server->client;
for my $size ($most + 1, 1048577, 20_000_000) {
    $c->store('foo', 'old');
    $b->put(Moxi::Server::set_packet('set', 'foo', 'x' x $size, opaque => 9));
    Moxi::Server::answers($b, 'set', 3, "binary, $size bytes", opaque => 9, cas => 0);
    $b->put(Moxi::Server::packet('get', key => 'foo'));
    Moxi::Server::answers($b, 'get', 1, 'the old value is gone');
}
$b->put(Moxi::Server::set_packet('set', 'foo', 'x' x $most));
Moxi::Server::answers($b, 'set', 0, 'binary, the largest there is');

# A reply that is being sent shows what was there when it was asked for.
my $old = Moxi::filler(1_000_000, 'old');
my $new = Moxi::filler(1_000_000, 'new');
for my $change ('set', 'delete', 'flush') {
    $c->store('v', $old);
    my $slow = Moxi::Client->new($server->port, rcvbuf => 40_000);
    $slow->put("get v\r\n");
    my $head = Moxi::Client::hit('v', $old);
    my $got  = $slow->take(5000);
    $c->store('v', $new) if $change eq 'set';
    $c->talk("delete v\r\n", "DELETED\r\n", 'deleted') if $change eq 'delete';
    $c->talk("flush_all\r\n", "OK\r\n", 'flushed') if $change eq 'flush';
    $c->store('other', $new);
    $got .= $slow->take(length($head) + 5 - 5000);
    Moxi::same($got, "${head}END\r\n", "the old value to the end ($change)");
    $slow->close;
}
# Many large items, one after the other in one class: nothing is kept by what refers to it.
for my $round (1 .. 80) {
    $c->put("set r 0 0 570000\r\n", 'r' x 570000, "\r\n");
    last if !is($c->line, "STORED\r\n", "round $round");
    $b->put(Moxi::Server::packet('get', key => 'r'));
    Moxi::Server::reply($b);
}
$server->finish;
