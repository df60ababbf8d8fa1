#!/usr/bin/perl
# Flags are 32 bits that belong to the client.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;

my $moxi = Moxi->start;
my $c    = $moxi->client;

for my $flags (0, 1, 123, 255, 256, 65535, 65536, 2147483647, 2147483648, 4294967295) {
    $c->store('k', 'value', $flags);
    $c->holds('k', 'value', "flags $flags, get", $flags);
    my $id = $c->unique('k');
    $c->talk("gets k\r\n", "VALUE k $flags 5 $id\r\nvalue\r\nEND\r\n", "flags $flags, gets");
    $c->talk("get k none\r\n", "VALUE k $flags 5\r\nvalue\r\nEND\r\n", "flags $flags, get of two keys");
}
$c->talk("set k 000123 0 1\r\nz\r\n", "STORED\r\n", 'leading zeros');
$c->holds('k', 'z', 'do not change the number', 123);

$c->store('k', 'old', 5);
for my $flags ('4294967296', '18446744073709551615', '18446744073709551616', '-1', 'red', '12red') {
    next if Moxi::direct && $flags =~ /\A\d+\z/;    # memcached cuts off the upper bits
    my $fresh = $moxi->client;
    $fresh->put("set k $flags 0 3\r\n");
    $fresh->want("CLIENT_ERROR bad command line format\r\n", "flags $flags are refused");
}
$c->holds('k', 'old', 'and change nothing', 5);

$moxi->finish;
