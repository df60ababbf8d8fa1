#!/usr/bin/perl
# Many requests before the first answer is read; pieces of requests; clients
# that close their side.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;

my $moxi = Moxi->start;
my $c    = $moxi->client;

# Every kind of request, 200 times, all at once.
my ($requests, $replies) = ('', '');
for my $n (1 .. 200) {
    my $value = "value $n";
    my $length = length $value;
    $requests .= "set k$n $n 0 $length\r\n$value\r\n";
    $replies  .= "STORED\r\n";
    $requests .= "get k$n\r\n";
    $replies  .= Moxi::Client::hit("k$n", $value, $n) . "END\r\n";
    $requests .= "get none$n\r\n";
    $replies  .= "END\r\n";
    $requests .= "add k$n 0 0 1\r\nx\r\n";
    $replies  .= "NOT_STORED\r\n";
    $requests .= "get none k$n none$n\r\n";
    $replies  .= Moxi::Client::hit("k$n", $value, $n) . "END\r\n";
    $requests .= "nonsense\r\n";
    $replies  .= "ERROR\r\n";
    $requests .= "set c$n 0 0 1\r\n9\r\n" . "incr c$n $n\r\n";
    $replies  .= "STORED\r\n" . (9 + $n) . "\r\n";
    $requests .= "delete c$n noreply\r\n" . "delete c$n\r\n";
    $replies  .= "NOT_FOUND\r\n";
    $requests .= "touch k$n 0\r\n";
    $replies  .= "TOUCHED\r\n";
}
$c->put($requests);
$c->want($replies, '2400 requests in one go, the answers in their order');

# The same in pieces of odd sizes.
for my $size (7, 113, 1_460, 2_048, 8_191) {
    my $client = $moxi->client;
    my $part   = $size < 100 ? 12_000 : length $requests;
    # Cut at the end of a round, so that the replies can be told.
    my $cut = $part < length $requests ? index($requests, 'set k', $part) : $part;
    my $bytes  = substr $requests, 0, $cut;
    my $rounds = () = $bytes =~ /^set k/gm;
    my $answer = substr $replies, 0, $rounds == 200 ? length $replies : _round_end($rounds);
    while (length $bytes) {
        $client->put(substr $bytes, 0, $size, '');
    }
    $client->want($answer, "in pieces of $size bytes");
}

# Byte by byte.
my $trickle = $moxi->client;
for my $byte (split //, "set b 0 0 4\r\n\r\n\r\n\r\nget b\r\nget b none\r\n") {
    $trickle->put($byte);
    select undef, undef, undef, 0.002;
}
my $hit = Moxi::Client::hit('b', "\r\n\r\n");
$trickle->want("STORED\r\n${hit}END\r\n${hit}END\r\n", 'byte by byte');

# A client that closes its side gets every answer, then the end.
for my $tail ("get k1\r\n", "get k1\n", "get k1 k2\r\n", "incr none 1\r\n", "get k1\r\n" x 100) {
    my $client = $moxi->client;
    $client->put($tail);
    $client->half_close;
    my $got = $client->rest;
    my $one = Moxi::Client::hit('k1', 'value 1', 1);
    my $two = Moxi::Client::hit('k2', 'value 2', 2);
    my $answer = $tail =~ /incr/ ? "NOT_FOUND\r\n" : $tail =~ /k2/ ? "$one${two}END\r\n" : "${one}END\r\n" x (length($tail) > 20 ? 100 : 1);
    Moxi::same($got, $answer, 'answered after the client has closed its side');
    ok($client->closed, 'and closed then');
}
my $client = $moxi->client;
$client->put($requests);
$client->half_close;
Moxi::same($client->rest, $replies, 'all 2400 answers after the client has closed its side');
ok($client->closed, 'and closed then');

# Requests of exactly the size of a buffer, and the end right behind.
for my $size (1_024, 2_048, 4_096, 8_192, 16_384, 65_536) {
    $client = $moxi->client;
    my $get = "get k1\r\n";
    my $bytes = $get x int($size / length $get);
    $client->put($bytes);
    $client->half_close;
    my $count = length($bytes) / length $get;
    my $answer = Moxi::Client::hit('k1', 'value 1', 1) . "END\r\n";
    Moxi::same($client->rest, $answer x $count, "$size bytes of requests, then the end");
}

# Half a request at the end is dropped, whole ones are answered.
$client = $moxi->client;
$client->put("get none\r\nset half 0 0 100\r\nabc");
$client->half_close;
is(Moxi::Client::printable($client->rest), 'END\r\n', 'half a request is dropped');
$c->holds('half', undef, 'and does nothing');

# quit in the middle.
$client = $moxi->client;
$client->put("set q 0 0 1\r\n1\r\nget q\r\nquit\r\nget q\r\n");
Moxi::same($client->rest, "STORED\r\n" . Moxi::Client::hit('q', '1') . "END\r\n", 'what comes before quit is answered, nothing behind it');
ok($client->closed, 'quit closes');

# Several clients at once keep their answers apart.
my @clients = map { $moxi->client } 1 .. 8;
for my $number (0 .. $#clients) {
    my $mine = "client $number";
    $clients[$number]->put("set own$number 0 0 @{[ length $mine ]}\r\n$mine\r\n", map { "get own$number\r\nget none$number own$number\r\n" } 1 .. 100);
}
for my $number (0 .. $#clients) {
    my $hit = Moxi::Client::hit("own$number", "client $number") . "END\r\n";
    $clients[$number]->want("STORED\r\n" . $hit x 200, "client $number has its own answers");
}

# Clients that leave without reading.
for (1 .. 50) {
    my $rude = $moxi->client;
    $rude->put("get k1 k2 k3\r\n" x $_, "set left 0 0 4\r\nleft\r\n");
    $rude->close;
}
$c->in_step('clients that leave early disturb nobody');
$c->holds('k200', 'value 200', 'nor any value', 200);

$moxi->finish;

# Where in the replies round number N ends.
sub _round_end {
    my ($rounds) = @_;
    my $at = 0;
    $at = index($replies, "TOUCHED\r\n", $at) + length "TOUCHED\r\n" for 1 .. $rounds;
    return $at;
}
