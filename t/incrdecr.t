#!/usr/bin/perl
# Counting.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;

my $moxi = Moxi->start;
my $c    = $moxi->client;

my $delta = "CLIENT_ERROR invalid numeric delta argument\r\n";
my $value = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";

$c->talk("incr none 1\r\n", "NOT_FOUND\r\n", 'incr does not create');
$c->talk("decr none 1\r\n", "NOT_FOUND\r\n", 'nor does decr');
$c->holds('none', undef);

$c->store('n', '1');
$c->talk("incr n 1\r\n",  "2\r\n",  '1 + 1');
$c->talk("incr n 8\r\n",  "10\r\n", '2 + 8: one digit more');
$c->holds('n', '10');
$c->talk("incr n 0\r\n",  "10\r\n", '10 + 0');
$c->talk("decr n 1\r\n",  "9\r\n",  '10 - 1');
$c->talk("decr n 9\r\n",  "0\r\n",  '9 - 9');
$c->talk("decr n 1\r\n",  "0\r\n",  'decr stops at 0');
$c->talk("incr n 5\r\n",  "5\r\n",  'from where incr goes on');
$c->talk("decr n 18446744073709551615\r\n", "0\r\n", 'decr by the largest number');

# 32, 63 and 64 bits. From 2^63 on memcached looks for a minus sign behind the
# value, up to a zero byte: nothing longer may have been stored here before.
my @sums = (
    ['4294967295',           '1',                    '4294967296'],
    ['4294967296',           '1',                    '4294967297'],
    ['9223372036854775807',  '1',                    '9223372036854775808'],
    ['9223372036854775808',  '1',                    '9223372036854775809'],
    ['18446744073709551614', '1',                    '18446744073709551615'],
    ['18446744073709551615', '1',                    '0'],
    ['18446744073709551615', '2',                    '1'],
    ['5',                    '18446744073709551610', '18446744073709551615'],
    ['6',                    '18446744073709551610', '0'],
    ['7',                    '18446744073709551615', '6'],
);
for my $sum (@sums) {
    my ($start, $plus, $result) = @$sum;
    $c->store('n', $start);
    $c->talk("incr n $plus\r\n", "$result\r\n", "$start + $plus");
}
my @differences = (
    ['18446744073709551615', '1',                    '18446744073709551614'],
    ['9223372036854775808',  '1',                    '9223372036854775807'],
    ['18446744073709551615', '18446744073709551615', '0'],
    ['9223372036854775807',  '9223372036854775808',  '0'],
);
for my $difference (@differences) {
    my ($start, $minus, $result) = @$difference;
    $c->store('n', $start);
    $c->talk("decr n $minus\r\n", "$result\r\n", "$start - $minus");
}

# Values that are no numbers.
for my $text ('hi', 'x1', '-5', '1x', '18446744073709551616') {
    $c->store('text', $text);
    $c->talk("incr text 1\r\n", $value, "incr of '$text'");
    $c->talk("decr text 1\r\n", $value, "decr of '$text'");
    $c->holds('text', $text, "'$text' is as it was");
}

# Deltas that are no numbers. The key is not looked at.
$c->store('n', '10');
for my $bad ('hi', '-1', '1x', '18446744073709551616', '99999999999999999999999') {
    $c->talk("incr n $bad\r\n", $delta, "incr by '$bad'");
    $c->talk("decr n $bad\r\n", $delta, "decr by '$bad'");
    $c->talk("incr none $bad\r\n", $delta, "incr of nothing by '$bad'");
}
$c->holds('n', '10', 'nothing was counted');

# Flags stay, and counting is done by the server: no step is lost.
$c->store('shared', '0', 42);
my @clients = map { $moxi->client } 1 .. 4;
for (1 .. 50) {
    $_->put("incr shared 1\r\n" x 5) for @clients;
}
my %seen;
for my $client (@clients) {
    my $last = 0;
    my $order = 1;
    for (1 .. 250) {
        my $line = $client->line // '';
        $order = 0 unless $line =~ /\A(\d+)\r\n\z/ && $1 > $last;
        $last = $1 if defined $1;
        $seen{$last}++;
    }
    ok($order, 'a client sees its own steps in order');
}
is(scalar(keys %seen), 1000, 'no number is given twice');
$c->holds('shared', '1000', 'and none is lost', 42);

$moxi->finish;
