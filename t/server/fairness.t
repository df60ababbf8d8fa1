#!/usr/bin/perl
# -R: who has many requests at once lets others go first.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../lib";
use Moxi::Server;
use Test::More;

for my $case ([1, 6, 5], [1, 1, 0], [4, 12, 2], [5, 12, 2], [20, 20, 0], [20, 21, 1], [20, 100, 4]) {
    my ($limit, $count, $yields) = @$case;
    my $server = Moxi::Server->start(args => ['-R', $limit, '-t', 1]);
    my $c      = $server->client;
    $c->put(join '', map { "set k$_ 0 0 1\r\n1\r\n" } 1 .. $count);
    $c->want("STORED\r\n" x $count, "$count requests at once");
    is($server->stats(undef, $c)->{conn_yields}, $yields, "-R $limit: $yields times others could go first");
    $server->_stop_all;
}

# A client with very many requests does not keep another one waiting.
my $server = Moxi::Server->start(args => ['-t', 1]);
my ($busy, $other) = ($server->client, $server->client);
$busy->store('k', 'x' x 100);
my $hit = Moxi::Client::hit('k', 'x' x 100) . "END\r\n";
my $all = 60_000;
$busy->put("get k\r\n" x 100);
$busy->want($hit x 100, 'warm');
my $pid = fork;
die "fork: $!" unless defined $pid;
if (!$pid) {
    # Sends without ever reading to the end.
    $busy->put("get k\r\n" x $all);
    $busy->take($all * length $hit);
    POSIX::_exit(0);
}
my $begun  = Time::HiRes::time();
my $served = 0;
for (1 .. 50) {
    $other->put("get k\r\n");
    $served++ if $other->expect($hit) eq $hit;
}
my $taken = Time::HiRes::time() - $begun;
is($served, 50, 'fifty requests of another client meanwhile');
cmp_ok($taken, '<', 5, 'without long waits');
waitpid $pid, 0;
cmp_ok($server->stat('conn_yields'), '>', 100, 'the busy one has let others go first');
$server->finish;
