#!/usr/bin/perl
# A client that reads slowly holds up nobody, and still gets the value that was
# there when it asked.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;
use Time::HiRes qw(time);

# One request at a time and worker: the hardest case.
my $moxi = Moxi->start(Z => 'downstream_max=1,downstream_conn_max=1');

for my $length (262_144, 900_000) {
    my $old = Moxi::filler($length, 'old');
    my $new = Moxi::filler($length, 'new');
    my ($slow, $quick) = (Moxi::Client->new($moxi->port, rcvbuf => 65_536), $moxi->client);
    $slow->store('big', $old);
    $slow->put("get big\r\n");
    my $head = "VALUE big 0 $length\r\n";
    $slow->want($head . substr($old, 0, $length / 2), "half of $length bytes");

    my $begun = time;
    $quick->holds('big', $old, 'the other client reads all of it');
    $quick->talk("delete big\r\n", "DELETED\r\n", 'deletes it');
    $quick->holds('big', undef, 'sees it gone');
    $quick->talk("set big 0 0 $length\r\n$new\r\n", "STORED\r\n", 'stores another one');
    $quick->holds('big', $new, 'and reads that');
    cmp_ok(time - $begun, '<', 10, 'without waiting');

    $slow->want(substr($old, $length / 2) . "\r\nEND\r\n", 'the slow one gets the other half of the old value');
    $slow->holds('big', $new, 'and the new value when it asks again');
}

# Many replies that nobody fetches.
my $value = Moxi::filler(100_000, 'fetch me');
my $quick = $moxi->client;
$quick->store('piled', $value);
my @slow = map { Moxi::Client->new($moxi->port, rcvbuf => 65_536) } 1 .. 4;
$_->put("get piled\r\n" x 50) for @slow;
my $begun = time;
for my $round (1 .. 50) {
    $quick->put("incr none 1\r\n", "get piled\r\n");
    $quick->want("NOT_FOUND\r\n" . Moxi::Client::hit('piled', $value) . "END\r\n", "round $round");
}
cmp_ok(time - $begun, '<', 10, 'a client that reads is not held up by those who do not');
# One of them leaves in the middle, the others want everything.
(pop @slow)->close;
my $reply = Moxi::Client::hit('piled', $value) . "END\r\n";
for my $client (@slow) {
    $client->want($reply x 50, 'all that was piled up');
    $client->in_step;
}

$moxi->finish;
