#!/usr/bin/perl
# Words that are no command, and commands with the wrong number of words.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;

my $moxi = Moxi->start;
my $c    = $moxi->client;

$c->talk("$_\r\n", "ERROR\r\n", "'$_' is no command") for (
    'nonsense', 'nonsense with three words', 'GET a', 'Set a 0 0 1', '"get a"', '=', '0',
    "get\ta", 'getx a', 'setx a 0 0 1', 'versionx', 'quitter', 'flush_allx',
);
$c->talk("\r\n", "ERROR\r\n", 'nor is an empty line');
$c->talk("\n",   "ERROR\r\n", 'nor one without a carriage return');
$c->talk("\x01\x02\xff\xfe\r\n", "ERROR\r\n", 'nor are bytes outside of the alphabet');
# 0x80 opens the binary protocol only as the first byte of a connection.
$c->talk("\x80\x00\x00\r\n", "ERROR\r\n", 'nor is the magic byte of the other protocol');

$c->talk("$_\r\n", "ERROR\r\n", "'$_' lacks words") for (
    'get', 'gets', 'get ', 'set', 'set a', 'set a 0', 'set a 0 0', 'cas a 0 0', 'incr', 'incr a',
    'decr', 'decr a', 'delete', 'touch', 'touch a', 'verbosity',
);
$c->talk("$_\r\n", "ERROR\r\n", "'$_' has too many words") for (
    'incr a 1 2 3', 'decr a 1 2 3',
);
SKIP: {
    skip 'memcached leaves at any quit', 1 if Moxi::direct;
    $c->talk("quit now\r\n", "ERROR\r\n", 'quit takes no word');
}

# The data line of a storage command that was not understood is a command too.
$c->talk("set a 0 0\r\nvalue\r\n",   "ERROR\r\nERROR\r\n", 'set without a length');
$c->talk("cas a 0 0 5\r\nvalue\r\n", "ERROR\r\nERROR\r\n", 'cas without an id');

$c->in_step;

# A client that speaks nonsense does not disturb others.
my $other = $moxi->client;
$other->store('a', 'kept');
for (1 .. 20) {
    my $fool = $moxi->client;
    $fool->put("nonsense\r\n" x $_, "set half 0 0 10\r\nabc");
    $fool->close;
}
$other->holds('a', 'kept', 'another client is not disturbed');
$other->holds('half', undef, 'half a value is no value');

$moxi->finish;
