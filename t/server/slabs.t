#!/usr/bin/perl
# How memory is accounted: classes, pages and chunks in stats slabs, items and sizes.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../lib";
use Moxi::Server;
use Test::More;

my $server = Moxi::Server->start(args => ['-t', 2]);
my $c      = $server->client;

is_deeply(scalar $server->stats('slabs'), { active_slabs => 0, total_malloced => 0 }, 'no class has pages');
is_deeply(scalar $server->stats('items'), {}, 'nor items');
is_deeply(scalar $server->stats('sizes'), {}, 'of any size');

# Ten items that count 80 bytes each.
$c->store("key$_", '0123456789') for 0 .. 9;
my ($slabs, $names) = $server->stats('slabs');
my %want = (
    chunk_size => 96, chunks_per_page => 10922, total_pages => 1, total_chunks => 10922, used_chunks => 10,
    free_chunks => 0, free_chunks_end => 10912, mem_requested => 800, get_hits => 0, cmd_set => 10, delete_hits => 0,
    incr_hits => 0, decr_hits => 0, cas_hits => 0, cas_badval => 0,
);
is($slabs->{"1:$_"}, $want{$_}, "1:$_") for sort keys %want;
is_deeply([grep { /^1:/ } @$names], [map { "1:$_" } qw(chunk_size chunks_per_page total_pages total_chunks used_chunks free_chunks
    free_chunks_end mem_requested get_hits cmd_set delete_hits incr_hits decr_hits cas_hits cas_badval)], 'in this order');
is($slabs->{active_slabs}, 1, 'one class');
is($slabs->{total_malloced}, 96 * 10922, 'one page');
is_deeply(scalar $server->stats('sizes'), { 96 => 10 }, 'sizes are rounded up to 32');

# An empty value takes a chunk; a deletion gives one back, which is used again.
$c->store('empty', '');
is($server->stat('1:used_chunks', 'slabs'), 11, 'a chunk for no value at all');
$c->talk("delete key$_\r\n", "DELETED\r\n", "delete key$_") for 3 .. 6;
$slabs = $server->stats('slabs');
is_deeply([@$slabs{qw(1:used_chunks 1:free_chunks 1:free_chunks_end 1:delete_hits)}], [7, 4, 10911, 4], 'four chunks are free');
$c->store('again', '0123456789');
$c->store('key7', 'other text');
$slabs = $server->stats('slabs');
is_deeply([@$slabs{qw(1:used_chunks 1:free_chunks 1:free_chunks_end)}], [8, 3, 10911], 'and are used first');
is($slabs->{'1:mem_requested'}, 7 * 80 + 48 + 8 + 6 + 6 + 2 + 1, 'what the items count');

# Hits by class.
$c->holds('again', '0123456789');
$c->store('number', '5');
$c->talk("incr number 1\r\n", "6\r\n", 'incr');
$c->talk("decr number 1\r\n", "5\r\n", 'decr');
my $id = $c->unique('number');
$c->talk("cas number 0 0 1 1234567\r\n6\r\n", "EXISTS\r\n", 'cas with another id');
$c->talk("cas number 0 0 1 $id\r\n6\r\n", "STORED\r\n", 'cas');
$slabs = $server->stats('slabs');
is_deeply([map { $slabs->{"1:$_"} } qw(get_hits incr_hits decr_hits cas_hits cas_badval)], [2, 1, 1, 1, 1], 'hits of the class');

# Items of all sizes: each in the smallest class that holds it.
my @class = (96, 120, 152, 192, 240, 304, 384, 480, 600, 752, 944, 1184, 1480, 1856, 2320, 2904, 3632, 4544, 5680, 7104, 8880,
    11104, 13880, 17352, 21696, 27120, 33904, 42384, 52984, 66232, 82792, 103496, 129376, 161720, 202152, 252696, 315872,
    394840, 493552, 1048576);
$c->talk("flush_all\r\n", "OK\r\n", 'flush');
is_deeply(scalar $server->stats('items'), {}, 'no items');
is($server->stat('1:used_chunks', 'slabs'), 0, 'no chunk is used');
is($server->stat('1:total_pages', 'slabs'), 1, 'but the page stays with its class');
for my $number (1 .. @class) {
    # Beside the value: header, CAS id, the two bytes of the key and NUL, flags, the length's digits, line end.
    my $size = $class[ $number - 1 ] - 48 - 8 - 3 - 5 - 2;
    $size -= length $size > length($size - length $size) ? length($size) - 1 : length $size;
    $c->store(sprintf('%02d', $number), 'v' x $size);
}
my $items = $server->stats('items');
is_deeply([grep { ($items->{"items:$_:number"} || 0) == 1 } 1 .. 40], [1 .. 40], 'one item in each of 40 classes');
$slabs = $server->stats('slabs');
is_deeply([map { $slabs->{"$_:chunk_size"} } 1 .. 40], \@class, 'the classes');
is($slabs->{active_slabs}, 40, 'all are active');
is_deeply([map { $items->{"items:7:$_"} } qw(evicted evicted_time outofmemory tailrepairs)], [0, 0, 0, 0], 'nothing has happened to their items');
cmp_ok($items->{'items:7:age'}, '<', 30, 'they are not old');
is($slabs->{total_malloced}, eval { my $sum = 0; $sum += $_ * int(1048576 / $_) for @class; $sum }, 'a page each');
$server->_stop_all;

# Expired items make room before a page is added, or anybody is thrown out.
$server = Moxi::Server->start;
$c      = $server->client;
my $value = 'e' x 66560;
$c->store("e$_", $value, 0, 1) for 1 .. 12;
$c->store('stays', $value);
my $malloced = $server->stat('total_malloced', 'slabs');
is($server->stat('31:total_pages', 'slabs'), 2, 'twelve fill a page, the next has another');
my $until = time + 10;
while (time < $until && ($server->lines($c, 'get e12'))[0]) { select undef, undef, undef, 0.1 }
select undef, undef, undef, 1.1;    # chunks are taken back a second later
$c->store("f$_", $value) for 1 .. 20;
is($server->stat('total_malloced', 'slabs'), $malloced, 'no page for twenty more');
is($server->stat('evictions'), 0, 'nobody was thrown out');
$c->holds('stays', $value);
$server->_stop_all;

# -n and -f.
$server = Moxi::Server->start(args => ['-n', 200, '-f', 2]);
$c      = $server->client;
$c->store('k', 'x' x $_) for 1, 300, 700;
is_deeply([map { $server->stat("$_:chunk_size", 'slabs') } 1 .. 3], [248, 496, 992], 'classes that double');
$server->_stop_all;

# -C: an item counts eight bytes less.
$server = Moxi::Server->start(args => ['-C']);
$c      = $server->client;
$c->store('key0', '0123456789');
is($server->stat('1:mem_requested', 'slabs'), 72, 'without CAS ids');
$c->talk("slabs reassign 1 2\r\n", "CLIENT_ERROR Slab reassignment not supported\r\n", 'pages stay where they are');
$server->finish;
