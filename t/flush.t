#!/usr/bin/perl
# flush_all reaches every server, and moxi says so once.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;
use Time::HiRes qw(sleep time);

my $moxi = Moxi->start;
my $c    = $moxi->client;
my @keys = map { "key$_" } 1 .. 20;

sub fill {
    $c->put(map { "set $_ 0 0 5\r\nvalue\r\n" } @keys);
    return $c->want("STORED\r\n" x @keys, 'values on every server');
}
my $full = join('', map { Moxi::Client::hit($_, 'value') } @keys) . "END\r\n";

for my $line ('flush_all', 'flush_all 0', ' flush_all ') {
    fill();
    $c->talk("get @keys\r\n", $full, 'are there');
    $c->talk("$line\r\n", "OK\r\n", "'$line'");
    $c->talk("get @keys\r\n", "END\r\n", 'and all are gone');
    $c->store('after', 'value');
    $c->holds('after', 'value', 'what comes later stays');
}

# Later.
fill();
$c->talk("flush_all 3\r\n", "OK\r\n", 'in three seconds');
my $said_at = time;
$c->talk("get @keys\r\n", $full, 'until then all are there');
sleep 0.1 while time < $said_at + 4.2;
$c->talk("get @keys\r\n", "END\r\n", 'then they are gone');

# Without an answer. What the same client does next comes after it.
fill();
$c->put("flush_all noreply\r\n", "get @keys\r\n");
$c->want("END\r\n", 'flush_all noreply');
fill();
$c->put("flush_all 0 noreply\r\n", "get @keys\r\n");
$c->want("END\r\n", 'flush_all 0 noreply');
$c->put("flush_all noreply\r\n", "flush_all 0 noreply\r\n", map { ("add $_ 0 0 3 noreply\r\nnew\r\n", "get $_\r\n") } @keys);
$c->want(join('', map { Moxi::Client::hit($_, 'new') . "END\r\n" } @keys), 'what comes right behind it stays');
$c->in_step;

$moxi->finish;
