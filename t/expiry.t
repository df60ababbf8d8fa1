#!/usr/bin/perl
# Values that go away by themselves. memcached's clock ticks once a second, so
# something stored for N seconds lives between N - 1 and N.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;
use Time::HiRes qw(sleep time);

my $moxi = Moxi->start;
my $c    = $moxi->client;
my $now  = int time;

# What is over before it begins is stored, and replaces what was there.
my %past = (
    'minus-one'   => -1,
    'minus-many'  => -20,
    'yesterday'   => $now - 86_400,
    'just-over'   => $now - 5,
    'over-a-month' => 2_592_001,    # the first number that is a date and not a span
    # A memcached keeps 32 bits with a sign.
    'minus-one-of-32-bits' => 4_294_967_295,
    'least-of-32-bits'     => 2_147_483_648,
    'beyond-32-bits'       => 99_999_999_999,
);
for my $key (sort keys %past) {
    $c->store($key, 'old');
    $c->store($key, 'new', 0, $past{$key});
    $c->holds($key, undef, "$key: gone at once");
    $c->talk("add $key 0 0 3\r\nadd\r\n", "STORED\r\n", "$key: add finds nothing there");
    $c->holds($key, 'add');
}

# What lives on.
my %future = (
    'never'       => 0,
    'an-hour'     => 3_600,
    'a-month'     => 2_592_000,
    'tomorrow'    => $now + 86_400,
    'far-away'    => 2_147_483_647,
);
$c->store($_, 'value', 3, $future{$_}) for sort keys %future;

# What lives for a moment, by each of the commands that take a time.
my @short = qw(set add replace cas past-cas date);
$c->store('set', 'value', 0, 3);
$c->talk("add add 0 3 5\r\nvalue\r\n", "STORED\r\n", 'add for three seconds');
$c->store('replace', 'old');
$c->talk("replace replace 0 3 5\r\nvalue\r\n", "STORED\r\n", 'replace for three seconds');
$c->store('cas', 'old');
$c->talk("cas cas 0 3 5 @{[ $c->unique('cas') ]}\r\nvalue\r\n", "STORED\r\n", 'cas for three seconds');
$c->store('past-cas', 'old', 0, 3);
$c->store('date', 'value', 0, int(time) + 3);
# A later command may take the time away, or leave it as it is.
$c->store('renewed', 'old', 0, 3);
$c->store('renewed', 'value');
$c->store('counter', '1', 0, 3);
$c->talk("incr counter 1\r\n", "2\r\n", 'incr keeps the time of the value');
$c->talk("append past-cas 0 0 1\r\n!\r\n", "STORED\r\n", 'so does append');
my $set_at = time;

$c->talk("add set 0 0 1\r\nx\r\n", "NOT_STORED\r\n", 'still there: add refuses');
$c->holds('set', 'value', 'still there: get');

sleep 0.1 while time < $set_at + 4.2;
$c->holds($_, undef, "$_: gone after its time") for @short, 'counter';
$c->talk("add set 0 0 1\r\nx\r\n", "STORED\r\n", 'add stores again');
$c->holds('renewed', 'value', 'a set without a time takes the time away');
$c->holds($_, 'value', "$_: still there", 3) for sort keys %future;

SKIP: {
    skip 'no words of its own for this', 1 if Moxi::direct;
    $c->talk("set k 0 soon 1\r\nz\r\n", "CLIENT_ERROR bad command line format\r\nERROR\r\n", 'a time is a number');
}

$moxi->finish;
