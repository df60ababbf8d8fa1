#!/usr/bin/perl
# What the command line says of the memcached server, and which command lines are refused.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../lib";
use Moxi::Server;
use Test::More;

# Starts a server with these arguments: its settings, a client, and the server.
sub settings {
    my ($name, @args) = @_;
    my $server = Moxi::Server->start(args => [@args]);
    my $client = $server->client;
    $client->in_step("$name: it answers");
    return (scalar $server->stats('settings'), $client, $server);
}

my ($settings, $client, $server) = settings('no flags');
my ($all, $names) = $server->stats('settings');
my %want = (
    maxbytes => 67108864, maxconns => 1024, tcpport => $server->port, udpport => -2, inter => 'NULL', verbosity => 0,
    oldest => 0, evictions => 'on', domain_socket => 'NULL', umask => 700, growth_factor => '1.25', chunk_size => 48,
    num_threads => 5, stat_key_prefix => ':', detail_enabled => 'no', reqs_per_event => 20, cas_enabled => 'yes',
    tcp_backlog => 1024, binding_protocol => 'auto-negotiate',
);
is_deeply($settings, \%want, 'the defaults');
is_deeply($names, [qw(maxbytes maxconns tcpport udpport inter verbosity oldest evictions domain_socket umask growth_factor
    chunk_size num_threads stat_key_prefix detail_enabled reqs_per_event cas_enabled tcp_backlog binding_protocol)], 'in their order');
is($server->stat('threads'), 5, 'four workers and the main thread');
$server->_stop_all;

# Each flag shows.
for my $case (
    [['-l', '127.0.0.1'], inter => '127.0.0.1'],
    [['-C'], cas_enabled => 'no'],
    [['-b', 8675], tcp_backlog => 8675],
    [['-m', 100], maxbytes => 104857600],
    [['-M'], evictions => 'off'],
    [['-c', 300], maxconns => 300],
    [['-f', '1.5'], growth_factor => '1.50'],
    [['-n', 100], chunk_size => 100],
    [['-t', 2], num_threads => 3],
    [['-R', 7], reqs_per_event => 7],
    [['-D', '/'], stat_key_prefix => '/'],
    [['-D', '/'], detail_enabled => 'yes'],
    [['-B', 'auto'], binding_protocol => 'auto-negotiate'],
    [['-B', 'ascii'], binding_protocol => 'ascii'],
    [['-vv'], verbosity => 2],
    [['-a', '0755'], umask => 755],
) {
    my ($args, $name, $value) = @$case;
    my ($settings, undef, $server) = settings("@$args", @$args);
    is($settings->{$name}, $value, "@$args: $name");
    $server->_stop_all;
}

# Protocols. Whoever speaks another than the one that was asked for.
my $noop = Moxi::Server::packet('noop', opaque => 7);
($settings, $client, $server) = settings('ascii only', '-B', 'ascii');
my $other = $server->client;
$other->talk(Moxi::Server::packet('version') . "\r\n", "ERROR\r\n", 'a binary packet is a line without sense');
$other->in_step;
$server->_stop_all;

my $binary = Moxi::Server->start(args => ['-B', 'binary']);
$client = $binary->client;
$client->put($noop);
Moxi::Server::answers($client, 'noop', 0, 'binary only', opaque => 7);
$client->put(Moxi::Server::packet('stat', key => 'settings'));
my %binary;
while (my $reply = Moxi::Server::reply($client)) {
    last if $reply->{key} eq '';
    $binary{ $reply->{key} } = $reply->{value};
}
is($binary{binding_protocol}, 'binary', 'stats say so');
my $line = $binary->client;
$line->put("stats settings of a client that speaks ASCII\r\n");
is($line->rest, '', 'an ASCII client gets no answer');
ok($line->closed, 'it is sent away');
$client->put($noop);
Moxi::Server::answers($client, 'noop', 0, 'the others stay', opaque => 7);
$binary->_stop_all;

# With -C, ids are all 0, and equal.
($settings, $client, $server) = settings('no CAS', '-C');
$client->store('k', 'one');
is($client->unique('k'), 0, 'the id is 0');
$client->talk("cas k 0 0 3 12345\r\ntwo\r\n", "STORED\r\n", 'any id is right');
$client->holds('k', 'two');
$client->talk("cas none 0 0 3 0\r\ntwo\r\n", "NOT_FOUND\r\n", 'a missing key is still missing');
$server->_stop_all;

# What does not start.
for my $case (
    [['-l', 'fictional.invalid'], qr/fictional\.invalid/],
    [['-B', 'http'], qr/http/],
    [['-R', '-1'], qr/requests per event/],
    [['-R', '0'], qr/requests per event/],
    [['-t', '0'], qr/thread/],
    [['-f', '1.0'], qr/[Ff]actor/],
    [['-n', '0'], qr/[Cc]hunk/],
) {
    my ($args, $text) = @$case;
    my ($status, $said) = Moxi::Server->refuses('-p', Moxi::free_port(), @$args);
    ok(defined $status && $status != 0, "@$args ends with an error");
    like($said, $text, 'and says why');
}
my ($status) = Moxi::Server->refuses('-p', 0, '-U', 0);
isnt($status, 0, '-p 0 is off, and without anything else to do it does not start');

# Somebody has the port already, on all addresses.
my $holder = Moxi::Server->start;
($status, my $said) = Moxi::Server->refuses('-p', $holder->port);
isnt($status, 0, 'a port in use');
like($said, qr/in use/, 'is a reason');
$holder->finish;
