#!/usr/bin/perl
# stats cachedump: the keys of a slab class.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../lib";
use Moxi::Server;
use Test::More;

my $server = Moxi::Server->start;
my $c      = $server->client;
my $start  = time - 2;

$c->talk("stats cachedump 1 0\r\n", "END\r\n", 'nothing there');
$c->store("key$_", 'x' x $_) for 1 .. 5;
my $mark = qr/\[(\d+) b; (\d+) s\]/;
my @lines = $server->lines($c, 'stats cachedump 1 0');
is(scalar @lines, 5, 'five items');
my @keys = map { /\AITEM (\S+) $mark\z/ ? "$1=$2" : $_ } @lines;
is_deeply(\@keys, [map { "key$_=$_" } 5, 4, 3, 2, 1], 'the most recently used first, with their lengths');
my ($time) = $lines[0] =~ / (\d+) s\]/;
cmp_ok(abs($time - $start), '<', 20, 'what never expires shows when the server was started');
$c->holds('key2', 'xx');
@lines = $server->lines($c, 'stats cachedump 1 2');
like($lines[0], qr/\AITEM key2 /, 'a get makes it the first');
is(scalar @lines, 2, 'as many as were asked for');
is(scalar $server->lines($c, 'stats cachedump 1 100'), 5, 'or as there are');
is(scalar $server->lines($c, 'stats cachedump 2 0'), 0, 'another class has none');

$c->store('later', 'x', 0, 1000);
($time) = ($server->lines($c, 'stats cachedump 1 1'))[0] =~ /ITEM later \[1 b; (\d+) s\]/;
cmp_ok(abs($time - time - 1000), '<', 20, 'an expiry is a date');
$c->talk("delete later\r\n", "DELETED\r\n", 'delete');
unlike(join(' ', $server->lines($c, 'stats cachedump 1 0')), qr/later/, 'what is deleted is not shown');

# Keys that would break the lines.
my $b = $server->client;
$b->put(Moxi::Server::set_packet('set', "a b\r\nEND\r\n", 'x'));
Moxi::Server::answers($b, 'set', 0, 'a key with blanks and line ends');
my ($line) = $server->lines($c, 'stats cachedump 1 1');
like($line, qr/\AITEM a%20b%0D%0AEND%0D%0A $mark\z/, 'is one word of one line');

# More than a reply may hold, two MiB.
my $long = 'k' x 200;
$c->put(map { sprintf "set %s%06d 0 0 1\r\nx\r\n", $long, $_ } 1 .. 12_000);
$c->want("STORED\r\n" x 12_000, '12,000 items with long keys');
$c->put("stats cachedump 6 0\r\n");
my ($bytes, $count) = (0, 0);
while (defined(my $line = $c->line)) {
    last if $line eq "END\r\n";
    $bytes += length $line;
    $count += $line =~ /\AITEM k+(\d{6}) $mark\r\n\z/;
}
cmp_ok($bytes, '<=', 2 << 20, 'not more than two MiB');
cmp_ok($bytes, '>', (2 << 20) - 1000, 'but not less than fit');
cmp_ok($count, '>', 8000, 'in whole lines');

# Numbers that are none, and classes that are none.
$c->talk("stats cachedump\r\n", "CLIENT_ERROR bad command line\r\n", 'no class');
$c->talk("stats cachedump 1\r\n", "CLIENT_ERROR bad command line\r\n", 'no limit');
$c->talk("stats cachedump $_\r\n", "CLIENT_ERROR bad command line format\r\n", "cachedump $_") for 'x 1', '1 x', '-1 1', '1 -1';
for my $class (0, 41, 200, 201, 255) {
    $c->talk("stats cachedump $class 0\r\n", "END\r\n", "class $class");
}
$c->talk("stats cachedump $_ 0\r\n", "SERVER_ERROR out of memory writing stats\r\n", "class $_") for 256, 4294967295;
$c->in_step;
$server->finish;
