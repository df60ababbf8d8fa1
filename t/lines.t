#!/usr/bin/perl
# How long keys and lines may be.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;

my $moxi = Moxi->start;
my $c    = $moxi->client;

my $format = "CLIENT_ERROR bad command line format\r\n";

# Keys have up to 250 bytes.
for my $length (1, 2, 100, 249, 250) {
    my $key = substr 'k' . Moxi::filler($length, 'key'), 0, $length;
    my $name = "a key of $length bytes";
    $c->talk("set $key 0 0 2\r\n10\r\n", "STORED\r\n", "$name: set");
    $c->talk("add $key 0 0 2\r\n10\r\n", "NOT_STORED\r\n", "$name: add");
    $c->holds($key, '10', "$name: get");
    $c->talk("get none $key\r\n", Moxi::Client::hit($key, '10') . "END\r\n", "$name: second in a get");
    my $id = $c->unique($key);
    ok($id, "$name: gets");
    $c->talk("cas $key 0 0 2 $id\r\n10\r\n", "STORED\r\n", "$name: cas");
    $c->talk("incr $key 89\r\n", "99\r\n", "$name: incr");
    $c->talk("touch $key 0\r\n", "TOUCHED\r\n", "$name: touch");
    $c->talk("gat 0 $key\r\n", Moxi::Client::hit($key, '99') . "END\r\n", "$name: gat");
    $c->talk("delete $key\r\n", "DELETED\r\n", "$name: delete");
    $c->holds($key, undef, "$name: gone");
}

for my $length (251, 252, 300, 1000) {
    my $key  = 'k' x $length;
    my $name = "a key of $length bytes";
    for my $line ("get $key", "gets $key", "get a $key b", "incr $key 1", "decr $key 1", "delete $key", "touch $key 0", "gat 0 $key") {
        my ($verb) = $line =~ /\A(\w+)/;
        $c->talk("$line\r\n", $format, "$name: $verb");
    }
    for my $verb (qw(set add replace append prepend)) {
        $c->talk("$verb $key 0 0 1\r\nz\r\n", "${format}ERROR\r\n", "$name: $verb") unless Moxi::direct;
    }
    $c->in_step("$name: the connection is in step");
}

# Many keys in one line.
my @keys = map { sprintf 'many-%04d-%s', $_, 'x' x ($_ % 60) } 1 .. 1000;
my %value = map { $_ => "value of $_" } @keys;
$c->put(map { sprintf "set %s 0 0 %d\r\n%s\r\n", $_, length $value{$_}, $value{$_} } @keys);
$c->want("STORED\r\n" x @keys, '1000 sets in a row');
my %hit = map { $_ => Moxi::Client::hit($_, $value{$_}) } @keys;
$c->talk("get @keys[0 .. 499]\r\n", join('', map { $hit{$_} } @keys[0 .. 499]) . "END\r\n", 'get of 500 keys');
$c->talk("get @keys\r\n", join('', map { $hit{$_} } @keys) . "END\r\n", 'get of 1000 keys');
$c->talk("get @{[ reverse @keys ]}\r\n", join('', map { $hit{$_} } reverse @keys) . "END\r\n", '1000 keys backwards');
my @mixed = map { ("none-$_", $_) } @keys;
$c->talk("get @mixed\r\n", join('', map { $hit{$_} } @keys) . "END\r\n", '2000 keys, every other one missing');
my @long = map { sprintf '%04d%s', $_, 'y' x 246 } 1 .. 1000;
$c->talk("get @long\r\n", "END\r\n", '1000 keys of 250 bytes, none of them there');
$c->talk("get @long $keys[0]\r\n", "$hit{$keys[0]}END\r\n", 'one more that is there');
$c->put("gets @keys\r\n");
my $in_order = 0;
for my $key (@keys) {
    my $line = $c->line // '';
    $in_order++ if $line =~ /\AVALUE \Q$key\E 0 \d+ \d+\r\n\z/;
    $c->line;
}
is($in_order, 1000, 'gets of 1000 keys, in order');
$c->want("END\r\n", 'and its end');
# Byte for byte the same when the line comes in pieces.
my $line   = "get @keys\r\n";
my $pieces = $moxi->client;
while (length $line) {
    $pieces->put(substr $line, 0, 3001, '');
    select undef, undef, undef, 0.001;
}
$pieces->want(join('', map { $hit{$_} } @keys) . "END\r\n", 'a line of 1000 keys in pieces');

SKIP: {
    skip 'memcached has other limits, and closes without a word', 1 if Moxi::direct;
    # Other lines have up to 8 KiB.
    $c->talk('x' x 8000 . "\r\n", "ERROR\r\n", 'a line of 8000 bytes is read to its end');
    $c->talk('set' . ' ' x 8000 . "blank 0 0 1\r\n1\r\n", "STORED\r\n", 'blanks do not matter');
    for my $length (8_300, 100_000, 3_000_000) {
        my $fresh = $moxi->client;
        $fresh->put('x' x $length);
        $fresh->want("CLIENT_ERROR line too long\r\n", "$length bytes and no end in sight");
        ok($fresh->closed, 'and the connection is closed');
    }
    my $fresh = $moxi->client;
    $fresh->put('get ' . 'x' x 9_000);
    $fresh->put("\r\n");
    $fresh->want($format, 'a get with one endless key is read to its end');
    $fresh->in_step;
    # 8 MiB is the end for retrieval commands, too.
    $fresh = $moxi->client;
    $fresh->put('get ' . 'some-key ' x 1_000_000);
    $fresh->want("CLIENT_ERROR line too long\r\n", 'nine million bytes of keys');
    ok($fresh->closed, 'and the connection is closed');
}

$c->in_step;
$moxi->finish;
