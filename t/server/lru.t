#!/usr/bin/perl
# Which items go when memory is short: the least recently used ones of the same
# slab class, one for each that comes.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../lib";
use Moxi::Server;
use Test::More;

# Five pages. An item of 600,000 bytes takes a page of its own.
my $server = Moxi::Server->start(args => ['-m', 5]);
my $c      = $server->client;
my $large  = Moxi::filler(600_000, 'large');

$c->store("big$_", $large) for 0 .. 4;
is($server->stat('evictions'), 0, 'five of five pages: nobody had to go');
is($server->stat('total_malloced', 'slabs'), 5 << 20, 'and there is no sixth');
$c->store("big$_", $large) for 5 .. 6;
is($server->stat('evictions'), 2, 'two more take the places of two');
$c->holds('big0', undef, 'the first');
$c->holds('big1', undef, 'and the second');
$c->holds("big$_", $large) for 2 .. 6;

# Every use makes an item the most recently used one: a get of either protocol, an
# add that finds it, a touch, a replacement.
my $b = $server->client;
$c->holds('big2', $large);
$c->talk("add big3 0 0 1\r\nx\r\n", "NOT_STORED\r\n", 'add of an item that is there');
$c->talk("touch big4 0\r\n", "TOUCHED\r\n", 'touch');
$b->put(Moxi::Server::packet('get', key => 'big5'));
Moxi::Server::answers($b, 'get', 0, 'a binary get', value => $large);
# By now, oldest first: 6, 2, 3, 4, 5.
$c->store('big7', $large);
$c->holds('big6', undef, 'the one that was not used goes');
# 2, 3, 4, 5, 7. A replacement takes its chunk before it gives the old one back, so the oldest has to go.
$c->talk("replace big3 0 0 600000\r\n$large\r\n", "STORED\r\n", 'replace');
$c->holds('big2', undef, 'a replacement in full memory costs the oldest item');
$c->store('big8', $large);
# 4, 5, 7, 3, 8: the last one went into the chunk that was given back.
is($server->stat('evictions'), 4, 'and leaves a chunk for the next');
$c->store('big9', $large);
$c->holds('big4', undef, 'then the order goes on');
$c->holds("big$_", $large) for 5, 7, 3, 8, 9;

# Another class has its own order; its first page is never refused.
my $before = $server->stat('evictions');
$c->store("small$_", "value $_") for 1 .. 100;
is($server->stat('evictions'), $before, 'small items throw out no large ones');
$c->holds("small$_", "value $_") for 1, 50, 100;
$c->holds("big$_", $large) for 5, 7, 3, 8, 9;

# Many small ones: exactly as many go as there are too many. Chunks of 944 bytes, of which a page has 1110.
my $per_page = 1110;
my $value    = 'x' x 800;
my $reply    = '';
$before = $server->stat('evictions');
my $count = $per_page + 250;
$c->put(map { sprintf "set n%05d 0 0 800\r\n%s\r\n", $_, $value } 1 .. $count);
$c->want("STORED\r\n" x $count, "$count items into $per_page chunks");
is($server->stat('evictions') - $before, 250, '250 had to go');
is($server->stat('items:11:number', 'items'), $per_page, 'the page is full');
is($server->stat('items:11:evicted', 'items'), 250, 'the class says so, too');
my @gone = grep { $_ > 0 } map { index(join(' ', $server->lines($c, sprintf 'get n%05d', $_)), 'VALUE') < 0 ? $_ : 0 } 1 .. 260;
is_deeply(\@gone, [1 .. 250], 'the 250 oldest, in order');

# Counting begins again, memory does not.
$c->talk("stats reset\r\n", "RESET\r\n", 'reset');
is($server->stat('evictions'), 0, 'no evictions since');
is($server->stat('items:11:evicted', 'items'), 0, 'nor in the class');
$c->put(map { sprintf "set m%05d 0 0 800\r\n%s\r\n", $_, $value } 1 .. 33);
$c->want("STORED\r\n" x 33, '33 more');
is($server->stat('items:11:evicted', 'items'), 33, 'each for one other');
cmp_ok($server->stat('items:11:evicted_time', 'items'), '<', 60, 'which was not old');

# What has expired goes before anybody else, and is no eviction.
my $other = Moxi::Server->start(args => ['-m', 2]);
my $d     = $other->client;
$d->store('keep', $large);
$d->store('gone', $large, 0, 1);
my $until = time + 10;
while (time < $until) {
    $d->put("get gone\r\n");
    last if $d->line eq "END\r\n";
    $d->take(600_000 + length "\r\nEND\r\n");
    select undef, undef, undef, 0.1;
}
$d->store('new', $large);
$d->holds('keep', $large, 'the older one is still there');
is($other->stat('evictions'), 0, 'without an eviction');
$server->_stop_all;
$other->finish;
