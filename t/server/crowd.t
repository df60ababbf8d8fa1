#!/usr/bin/perl
# More clients than there are descriptors wait for their turn.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../lib";
use Moxi::Server;
use Test::More;

my $server = Moxi::Server->start(args => ['-c', 20], open_files => 50);
my @clients;
for (1 .. 60) {
    my $client = eval { $server->client } or last;
    push @clients, $client;
}
is(scalar @clients, 60, 'sixty clients connect');
$_->put("get nix\r\n") for @clients;
my $first = $clients[0];
$first->want("END\r\n", 'the first is served');
my $stats = $server->stats(undef, $first);
# The rest has its turn when others leave.
my $served = 1;
$first->close;
for my $client (@clients[1 .. $#clients]) {
    $served++ if $client->expect("END\r\n") eq "END\r\n";
    $client->close;
}
is($served, 60, 'all are served in the end');
cmp_ok($stats->{curr_connections}, '<', 60, 'not all at once');
is($server->stat('accepting_conns'), 1, 'and more may come');
cmp_ok($server->stat('listen_disabled_num'), '>', 0, 'that some had to wait was counted');
$server->finish(loud => 1);
