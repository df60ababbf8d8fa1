#!/usr/bin/perl
# Memory limits: above 4 GiB, and without evictions.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../lib";
use Moxi::Server;
use Test::More;

my $full  = "SERVER_ERROR out of memory storing object\r\n";
my $value = Moxi::filler(400_000, 'v');

# Just below a limit that 32 bits cannot hold: how much counts as used from the start is an aid for tests.
my $limit  = 4100 * 1024 * 1024;
my $used   = $limit - 2 * 987_104;
my $server = Moxi::Server->start(args => ['-m', 4100, '-M'], env => { T_MEMD_INITIAL_MALLOC => $used });
my $c      = $server->client;
my $stats  = $server->stats;
is($stats->{pointer_size}, 64, 'pointers have 64 bits');
is($stats->{limit_maxbytes}, $limit, 'so has the limit');
is($server->stat('maxbytes', 'settings'), $limit % 2**32, 'the setting shows the lower 32 of them, as it always did');
my $slabs = $server->stats('slabs');
is($slabs->{total_malloced}, $used, 'memory that counts as used');
is($slabs->{active_slabs}, 0, 'in no class');
# Two pages of two chunks each, then no more.
$c->store("k$_", $value) for 1 .. 4;
$c->talk("set k5 0 0 400000\r\n$value\r\n", $full, 'the fifth does not fit') for 1 .. 3;
$c->holds("k$_", $value) for 1 .. 4;
$slabs = $server->stats('slabs');
is($slabs->{active_slabs}, 1, 'one class');
is($slabs->{total_malloced}, $limit, 'all is used');
is($slabs->{'39:total_pages'}, 2, 'two pages');
is($server->stat('items:39:outofmemory', 'items'), 3, 'three were refused');
$server->_stop_all;

# -M: errors instead of evictions.
$server = Moxi::Server->start(args => ['-m', 1, '-M']);
$c      = $server->client;
my $stored = 0;
my $last;
for (1 .. 1000) {
    $c->put("set n$stored 0 0 8000\r\n", 'y' x 8000, "\r\n");
    $last = $c->line;
    last if $last ne "STORED\r\n";
    $stored++;
}
is($last, $full, 'in the end there is no memory');
is($stored, int(1048576 / 8880), 'after one page of chunks');
$c->talk("set n$stored 0 0 8000\r\n" . 'y' x 8000 . "\r\n", $full, 'and it stays so');
$c->talk("add other 0 0 8000\r\n" . 'y' x 8000 . "\r\n", $full, 'for add, too');
my $here = 0;
for my $number (0 .. $stored - 1) {
    $c->put("get n$number\r\n");
    my $reply = $c->expect(Moxi::Client::hit("n$number", 'y' x 8000) . "END\r\n");
    $here++ if length $reply > 8000;
}
is($here, $stored, 'everything that was stored is still there');
is($server->stat('evictions'), 0, 'nothing was thrown out');

# A set that fails does not leave the old value behind.
$c->talk("set n0 0 0 8000\r\n" . 'z' x 8000 . "\r\n", $full, 'replacing needs memory, too');
$c->holds('n0', undef, 'the old value is gone');
$c->store('n0', 'z' x 8000);    # the chunk of the old one
$c->talk("append n1 0 0 900\r\n" . 'z' x 900 . "\r\n", "STORED\r\n", 'a larger class gets its first page');
$c->talk("delete n2\r\n", "DELETED\r\n", 'a deletion');
$c->store($_, 'z' x 8000) for qw(n2 again);
$c->talk("set more 0 0 8000\r\n" . 'z' x 8000 . "\r\n", $full, 'makes room for what it was, and n1 for another');
$c->talk("set small 0 0 1\r\n1\r\n", "STORED\r\n", 'other classes have room');

# Binary clients are told by a status.
my $b = $server->client;
$b->put(Moxi::Server::set_packet('set', 'more', 'z' x 8000, opaque => 5));
Moxi::Server::answers($b, 'set', 0x82, 'no memory', opaque => 5);
$server->finish;
