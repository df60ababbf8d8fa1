#!/usr/bin/perl
# The unix socket of the memcached server.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../lib";
use Moxi::Server;
use Test::More;
use Time::HiRes qw(sleep time);

# Starts a server on a socket with these arguments, and waits for a client to be let in.
sub start {
    my ($path, @args) = @_;
    my $server = Moxi::Server->_bench(args => []);
    $server->{moxi} = $server->_spawn('unix.log', Moxi::binary(), '-s', $path, @args, $> == 0 ? ('-u', 'root') : ());
    my $until = time + $Moxi::START_LIMIT;
    while (time < $until && Moxi::_alive($server->{moxi})) {
        my $client = Moxi::Server->unix_client($path);
        return ($server, $client) if $client;
        sleep 0.02;
    }
    return ($server, undef);
}

my $bench = Moxi::Server->_bench;
my $path  = $bench->directory . '/socket';
my $port  = Moxi::free_port();
my ($server, $c) = start($path, '-p', $port);
ok($c, 'a client connects') or BAIL_OUT('no socket');
ok(-S $path, 'the file is a socket');
is(sprintf('%o', (stat $path)[2] & 07777), '700', 'of the owner alone');
$c->store('k', 'value', 5);
$c->holds('k', 'value', 'it is a memcached server', 5);
my $large = Moxi::filler(900_000, 'u');
$c->store('large', $large);
$c->holds('large', $large);
my $settings = $server->stats('settings', $c);
is($settings->{domain_socket}, $path, 'the settings show the path');
my $b = Moxi::Server->unix_client($path);
$b->put(Moxi::Server::packet('get', key => 'k'));
Moxi::Server::answers($b, 'get', 0, 'binary clients, too', value => 'value');
$c->put("quit\r\n");
ok($c->closed, 'quit');
ok(!IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port), 'the TCP port is not opened then');
Moxi::_stop($server->{moxi});

# Another mask, and a socket that was left behind.
my $left = $bench->directory . '/left';
my $dead = IO::Socket::UNIX->new(Local => $left, Listen => 1) or die "socket: $!";
close $dead;
ok(-S $left, 'somebody has left a socket behind');
($server, $c) = start($left, '-p', $port, '-a', '0755');
ok($c, 'it is replaced');
is(sprintf('%o', (stat $left)[2] & 07777), '755', '-a');
is($server->stats('settings', $c)->{umask}, '755', 'in the settings, too');
Moxi::_stop($server->{moxi});

# What is in the way stays, and so is what cannot be a path.
my $file = $bench->directory . '/file';
open my $handle, '>', $file or die "$file: $!";
close $handle;
my ($status, $said) = Moxi::Server->refuses('-s', $file, '-p', $port);
isnt($status, 0, 'a file in the way');
ok(-f $file, 'is not removed');
like($said, qr/UNIX socket/, 'and named');
($status, $said) = Moxi::Server->refuses('-s', $bench->directory . '/' . 'x' x 200, '-p', $port);
ok(defined $status && $status > 0 && $status < 128, 'a path that is too long is an error');
($status, $said) = Moxi::Server->refuses('-s', $bench->directory . '/alone');
like($said, qr/need cluster configuration/, '-s alone says nothing of what is to be served');
$server->_stop_all;
done_testing();
