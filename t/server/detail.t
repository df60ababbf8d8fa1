#!/usr/bin/perl
# stats detail: what is counted by the prefix of keys.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../lib";
use Moxi::Server;
use Test::More;

my $usage = "CLIENT_ERROR usage: stats detail on|off|dump\r\n";

# The dump by prefix: [get, hit, set, del].
sub dump_of {
    my ($server, $client) = @_;
    my %dump;
    for my $line ($server->lines($client, 'stats detail dump')) {
        my ($prefix, @counts) = $line =~ /\APREFIX (\S*) get (\d+) hit (\d+) set (\d+) del (\d+)\z/;
        return { odd => $line } unless @counts;
        $dump{$prefix} = \@counts;
    }
    return \%dump;
}

my $server = Moxi::Server->start;
my $c      = $server->client;
$c->talk("stats detail dump\r\n", "END\r\n", 'nothing yet');
$c->store('foo:1', 'x');
is_deeply(dump_of($server, $c), {}, 'nor is anything counted');
$c->talk("stats detail on\r\n", "OK\r\n", 'on');
is($server->stat('detail_enabled', 'settings'), 'yes', 'the settings show it');

$c->store('foo:2', 'x');
is_deeply(dump_of($server, $c), { foo => [0, 0, 1, 0] }, 'a set');
$c->holds('foo:2', 'x');
is_deeply(dump_of($server, $c), { foo => [1, 1, 1, 0] }, 'a hit');
$c->holds('foo:3', undef);
is_deeply(dump_of($server, $c), { foo => [2, 1, 1, 0] }, 'a miss');
$c->talk("delete foo:9 0\r\n", "NOT_FOUND\r\n", 'delete what is not there');
is_deeply(dump_of($server, $c), { foo => [2, 1, 1, 1] }, 'it counts all the same');
$c->talk("add foo:2 0 0 1\r\nx\r\n", "NOT_STORED\r\n", 'an attempt to store');
is_deeply(dump_of($server, $c), { foo => [2, 1, 2, 1] }, 'does, too');
$c->talk("get foo:2 bar:x bar:y foo:1\r\n", "VALUE foo:2 0 1\r\nx\r\nVALUE foo:1 0 1\r\nx\r\nEND\r\n", 'several keys');
is_deeply(dump_of($server, $c), { foo => [4, 3, 2, 1], bar => [2, 0, 0, 0] }, 'each counts for its prefix');
$c->talk("get plain :empty a:b:c\r\n", "END\r\n", 'no prefix, an empty one, two of them');
my $dump = dump_of($server, $c);
ok(!exists $dump->{plain}, 'a key without a prefix counts nowhere');
is_deeply($dump->{a}, [1, 0, 0, 0], 'up to the first delimiter');
is_deeply($dump->{''}, [1, 0, 0, 0], 'the empty one is one');

# Prefixes that begin alike are different ones.
my @alike = map { substr 'abcdefghij', 0, $_ } 1 .. 10;
$c->store("$_$_:k", 'x') for @alike;
$dump = dump_of($server, $c);
is_deeply($dump->{"$_$_"}, [0, 0, 1, 0], "prefix $_$_") for @alike;

# Binary clients.
my $b = $server->client;
$b->put(Moxi::Server::set_packet('set', 'bin:1', 'x'), Moxi::Server::packet('get', key => 'bin:1'), Moxi::Server::packet('delete', key => 'bin:2'));
Moxi::Server::reply($b) for 1 .. 3;
is_deeply(dump_of($server, $c)->{bin}, [1, 1, 1, 1], 'count, too');

$c->talk("stats detail off\r\n", "OK\r\n", 'off');
$c->holds('foo:2', 'x');
is_deeply(dump_of($server, $c)->{foo}, [4, 3, 2, 1], 'the numbers stay as they are');
$c->talk("stats reset\r\n", "RESET\r\n", 'reset');
is_deeply(dump_of($server, $c), {}, 'clears them');
$c->talk("stats detail$_\r\n", $usage, "'stats detail$_'") for '', ' maybe', ' ON', ' dumps';
$c->in_step;
$server->_stop_all;

# -D: on from the start, with another delimiter.
$server = Moxi::Server->start(args => ['-D', '/']);
$c      = $server->client;
$c->store('dir/file:x', 'x');
$c->store('dir:file', 'x');
is_deeply(dump_of($server, $c), { dir => [0, 0, 1, 0] }, '-D /');
is($server->stat('stat_key_prefix', 'settings'), '/', 'the settings show it');

# Several workers: the numbers are added up.
my @clients = map { $server->client } 1 .. 8;
$_->holds('dir/file:x', 'x') for @clients;
is_deeply(dump_of($server, $c), { dir => [8, 8, 1, 0] }, 'the sum of all workers');
$server->finish;
