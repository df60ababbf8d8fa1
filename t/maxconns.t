#!/usr/bin/perl
# More clients than -c allows may connect; none of them is cut off, and all are
# served in the end.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;

plan skip_all => 'memcached counts its own files and does not start' if Moxi::direct;

my $moxi = Moxi->start(args => ['-c', 10]);

my @clients;
for my $number (1 .. 11) {
    my $client = eval { $moxi->client };
    ok($client, "client $number connects");
    push @clients, $client;
}
$clients[0]->store('k', 'value');
$clients[0]->holds('k', 'value', 'the first client is served');

# Those who are beyond the limit have their turn when others leave.
my @more = map { $moxi->client } 1 .. 9;
$_->put("get k\r\n") for @more;
$_->close for @clients;
my $reply = Moxi::Client::hit('k', 'value') . "END\r\n";
for my $number (0 .. $#more) {
    $more[$number]->want($reply, 'client ' . ($number + 12) . ' is served');
}
$_->close for @more;

# Clients that come and go leave nothing behind.
my $served = 0;
for (1 .. 200) {
    my $client = $moxi->client;
    $client->put("get k\r\n");
    $served++ if $client->take(length $reply) eq $reply;
    $client->close;
}
is($served, 200, '200 clients, one after the other');

$moxi->finish(loud => 1);
