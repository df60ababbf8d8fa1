#!/usr/bin/perl
# Storage commands that cannot be carried out, and what becomes of their data.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;

plan skip_all => 'memcached words and swallows differently' if Moxi::direct;

my $moxi = Moxi->start;
my $c    = $moxi->client;

my $format = "CLIENT_ERROR bad command line format\r\n";

# The line is refused, so the data line is read as a command: two answers.
for my $verb (qw(set add replace append prepend)) {
    $c->talk("$verb k abc 0 1\r\nz\r\n", "${format}ERROR\r\n", "$verb: flags that are no number");
    $c->talk("$verb k 0 abc 1\r\nz\r\n", "${format}ERROR\r\n", "$verb: expiry that is no number");
    $c->talk("$verb k 0 0 abc\r\nz\r\n", "${format}ERROR\r\n", "$verb: length that is no number");
}
for my $length (-1, -2147483648, 2147483646, 2147483647) {
    $c->talk("set k 0 0 $length\r\nz\r\n", "${format}ERROR\r\n", "a length of $length");
}
$c->talk("set k 0 0 4294967295\r\nz\r\n", "${format}ERROR\r\n", 'a length that is -1 in 32 bits');
$c->talk("set k -1 0 1\r\nz\r\n", "${format}ERROR\r\n", 'negative flags');
$c->talk("set k 1x 0 1\r\nz\r\n", "${format}ERROR\r\n", 'flags with something behind them');
$c->talk("set k 0 0 1x\r\nz\r\n", "${format}ERROR\r\n", 'length with something behind it');
$c->talk("set k 0x10 0 1\r\nz\r\n", "${format}ERROR\r\n", 'no other base than ten');
$c->talk("set k 0 1.5 1\r\nz\r\n", "${format}ERROR\r\n", 'no fractions');
$c->talk("cas k 0 0 1 abc\r\nz\r\n", "${format}ERROR\r\n", 'an id that is no number');
$c->talk("cas k 0 0 1 -1\r\nz\r\n", "${format}ERROR\r\n", 'a negative id');
$c->talk("cas k 0 0 1 18446744073709551616\r\nz\r\n", "${format}ERROR\r\n", 'an id of 65 bits');
$c->holds('k', undef, 'nothing of this has stored anything');

# Data that does not end where it should: as many bytes as announced, and two,
# are gone; what follows is a command again.
$c->store('k', 'old');
$c->talk("set k 0 0 3\r\nabcdef\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\n", 'data that is too long');
$c->holds('k', 'old', 'the old value stays');
$c->talk("set k 0 0 3\r\nabc\n\n", "CLIENT_ERROR bad data chunk\r\n", 'data that ends in two line feeds');
$c->talk("set k 0 0 3\r\nabcd\r", "CLIENT_ERROR bad data chunk\r\n", 'data that is one byte too long');
$c->talk("\n", "ERROR\r\n", 'the last byte of it');
$c->holds('k', 'old', 'the old value stays');

# Data that is too short is waited for.
$c->put("set k 0 0 5\r\nabc\r\n");
$c->put("\r\n");
$c->want("STORED\r\n", 'line ends count as data');
$c->holds('k', "abc\r\n");

# Words that do not belong there, but were always passed over.
$c->talk("set k 0 0 3 nonsense\r\nabc\r\n", "STORED\r\n", 'a sixth word is ignored');
$c->holds('k', 'abc');

$c->in_step;
$moxi->finish;
