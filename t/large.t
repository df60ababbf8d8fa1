#!/usr/bin/perl
# Large values, and values that are too large for the server.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;

my $moxi = Moxi->start;
my $c    = $moxi->client;

my $refused = "SERVER_ERROR object too large for cache\r\n";

# memcached keeps some of its 1 MiB for itself.
for my $length (65_536, 131_072, 262_144, 500_000, 524_288, 1_000_000, 1_048_576 - 1_024) {
    my $value = Moxi::filler($length, $length);
    $c->talk("set big 0 0 $length\r\n$value\r\n", "STORED\r\n", "set $length bytes");
    $c->holds('big', $value, "get $length bytes");
}
my $whole = Moxi::filler(1_047_552, 'whole');
$c->put("set first 0 0 1047552\r\n$whole\r\n", "get first\r\n", "set second 0 0 1\r\n2\r\n", "get first second\r\n");
$c->want(
    "STORED\r\n" . Moxi::Client::hit('first', $whole) . "END\r\nSTORED\r\n"
        . Moxi::Client::hit('first', $whole) . Moxi::Client::hit('second', '2') . "END\r\n",
    'large and small in one go',
);

# In small pieces.
my $slow = $moxi->client;
my $request = "set pieces 0 0 200000\r\n" . Moxi::filler(200_000, 'pieces') . "\r\n";
while (length $request) {
    $slow->put(substr $request, 0, 1_777, '');
}
$slow->want("STORED\r\n", 'a value in many pieces');
$slow->holds('pieces', Moxi::filler(200_000, 'pieces'));

# Too large: one error line, the data is thrown away, the connection is in step.
for my $length (1_048_577, 1_100_000, 2_000_000, 5_000_000) {
    my $value = Moxi::filler($length, $length);
    for my $verb (qw(set replace add)) {
        $c->store('k', 'small') if $verb ne 'add';
        $c->talk("$verb k 0 0 $length\r\n$value\r\n", $refused, "$verb $length bytes");
        $c->in_step("in step after $verb");
    }
    $c->put("set k 0 0 $length noreply\r\n$value\r\n");
    $c->in_step("silent about $length bytes with noreply");
    $c->put("set k 0 0 $length\r\n$value\r\n", "set small 0 0 5\r\nsmall\r\n", "get small\r\n");
    $c->want($refused . "STORED\r\n" . Moxi::Client::hit('small', 'small') . "END\r\n", 'with others right behind it');
}
# A set that failed leaves no old value behind, as memcached has it.
$c->store('stale', 'old');
$c->talk("set stale 0 0 1100000\r\n" . 'x' x 1_100_000 . "\r\n", $refused, 'a set that fails');
$c->holds('stale', undef, 'leaves no old value behind');

# Several clients at once, each with values of its own.
my @clients = map { $moxi->client } 1 .. 4;
for my $round (1 .. 3) {
    my @values = map { Moxi::filler(300_000, "client $_ round $round") } 0 .. $#clients;
    $clients[$_]->put("set mine$_ 0 0 300000\r\n$values[$_]\r\n") for 0 .. $#clients;
    $clients[$_]->put("get mine$_\r\n") for 0 .. $#clients;
    $clients[$_]->want("STORED\r\n" . Moxi::Client::hit("mine$_", $values[$_]) . "END\r\n", "client $_, round $round") for 0 .. $#clients;
}

$moxi->finish;
