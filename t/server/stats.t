#!/usr/bin/perl
# The statistics of the memcached server: which there are, what counts, and what a reset does.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../lib";
use Moxi::Server;
use Test::More;

my $server = Moxi::Server->start(args => ['-t', 1]);
my $c      = $server->client;
my ($first, $names) = $server->stats(undef, $c);
is_deeply($names, [qw(pid uptime time version pointer_size rusage_user rusage_system curr_connections total_connections
    connection_structures cmd_get cmd_set cmd_flush get_hits get_misses delete_misses delete_hits incr_misses incr_hits
    decr_misses decr_hits cas_misses cas_hits cas_badval bytes_read bytes_written limit_maxbytes accepting_conns
    listen_disabled_num threads conn_yields bytes curr_items total_items evictions)], 'the names, in their order');
is($first->{pid}, $server->pid, 'pid');
cmp_ok($first->{uptime}, '>=', 2, 'uptime begins with 2');
cmp_ok($first->{uptime}, '<=', 30, 'and is not much more yet');
cmp_ok(abs($first->{time} - time), '<', 5, 'time');
like($first->{version}, qr/\A\d+\.\d+/, 'version');
like($first->{$_}, qr/\A\d+\.\d{6}\z/, $_) for qw(rusage_user rusage_system);
is($first->{pointer_size}, 64, 'pointer_size');
is($first->{limit_maxbytes}, 67108864, 'limit_maxbytes');
is($first->{accepting_conns}, 1, 'accepting_conns');
is($first->{threads}, 2, 'threads');
is($first->{bytes_read}, 14, 'the seven bytes of a command line count twice');
is($first->{$_}, 0, "$_ is 0") for qw(cmd_get cmd_set cmd_flush get_hits get_misses delete_misses delete_hits incr_misses
    incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval bytes_written listen_disabled_num conn_yields bytes
    curr_items total_items evictions);

# What each command counts.
my $last = $server->stats(undef, $c);

sub counts {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($request, $reply, %change) = @_;
    (my $name = $request) =~ s/\r\n.*//s;
    $c->talk($request, $reply, $name);
    my $now = $server->stats(undef, $c);
    my @same = qw(cmd_get cmd_set cmd_flush get_hits get_misses delete_misses delete_hits incr_misses incr_hits decr_misses
        decr_hits cas_misses cas_hits cas_badval bytes curr_items total_items evictions);
    my %got = map { $now->{$_} == $last->{$_} ? () : ($_ => $now->{$_} - $last->{$_}) } @same;
    is_deeply(\%got, \%change, "$name: what it counts");
    $last = $now;
    return;
}

# foo and six bytes count 74.
counts("set foo 0 0 6\r\nfooval\r\n", "STORED\r\n", cmd_set => 1, total_items => 1, curr_items => 1, bytes => 74);
counts("set foo 0 0 6\r\nbarval\r\n", "STORED\r\n", cmd_set => 1, total_items => 1);
counts("set foo 0 0 16\r\nbarvalbarvalbarv\r\n", "STORED\r\n", cmd_set => 1, total_items => 1, bytes => 11);
counts("add foo 0 0 1\r\nx\r\n", "NOT_STORED\r\n", cmd_set => 1);
counts("set foo 0 0 3\r\nlonger\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\n", cmd_set => 1);
counts("get foo\r\n", "VALUE foo 0 16\r\nbarvalbarvalbarv\r\nEND\r\n", cmd_get => 1, get_hits => 1);
counts("get foo nix nix\r\n", "VALUE foo 0 16\r\nbarvalbarvalbarv\r\nEND\r\n", cmd_get => 3, get_hits => 1, get_misses => 2);
counts("incr n 1\r\n", "NOT_FOUND\r\n", incr_misses => 1);
counts("decr n 1\r\n", "NOT_FOUND\r\n", decr_misses => 1);
counts("set n 0 0 1\r\n1\r\n", "STORED\r\n", cmd_set => 1, total_items => 1, curr_items => 1, bytes => 67);
counts("incr n 1\r\n", "2\r\n", incr_hits => 1);
counts("decr n 1\r\n", "1\r\n", decr_hits => 1);
counts("incr n 9\r\n", "10\r\n", incr_hits => 1, total_items => 1, bytes => 1);
counts("cas nix 0 0 1 1\r\n1\r\n", "NOT_FOUND\r\n", cas_misses => 1, cmd_set => 1);
my $id = $c->unique('n');
$last = $server->stats(undef, $c);
counts("cas n 0 0 2 12345678\r\n99\r\n", "EXISTS\r\n", cas_badval => 1, cmd_set => 1);
counts("cas n 0 0 2 $id\r\n99\r\n", "STORED\r\n", cas_hits => 1, cmd_set => 1, total_items => 1);
counts("delete nix\r\n", "NOT_FOUND\r\n", delete_misses => 1);
counts("delete n\r\n", "DELETED\r\n", delete_hits => 1, curr_items => -1, bytes => -68);
counts("flush_all\r\n", "OK\r\n", cmd_flush => 1, curr_items => -1, bytes => -85);

# The binary protocol counts alike.
my $b = $server->client;
$b->put(
    Moxi::Server::set_packet('set', 'foo', 'fooval'), Moxi::Server::packet('get', key => 'foo'),
    Moxi::Server::packet('getq', key => 'nix'), Moxi::Server::packet('delete', key => 'nix'),
    Moxi::Server::packet('delete', key => 'foo'), Moxi::Server::packet('flush'),
);
Moxi::Server::reply($b) for 1 .. 5;
my $now = $server->stats(undef, $c);
is($now->{$_} - $last->{$_}, 1, "binary: $_") for qw(cmd_set get_hits get_misses delete_misses delete_hits cmd_flush);
is($now->{cmd_get} - $last->{cmd_get}, 2, 'binary: cmd_get');

# Bytes: lines and headers twice, data once; replies once.
my $before = $server->stats(undef, $c);
$c->store('bytes', 'x' x 1000);    # 22 + 1002; STORED
my $after = $server->stats(undef, $c);
is($after->{bytes_read} - $before->{bytes_read}, 14 + 2 * length("set bytes 0 0 1000\r\n") + 1002, 'bytes_read');
$c->talk("version x y\r\nget nix\r\n", "VERSION $first->{version}\r\nEND\r\n", 'two lines');
cmp_ok($after->{bytes_written}, '>', $before->{bytes_written}, 'bytes_written');

# Connections.
my $count = $server->stats(undef, $c);
my @more  = map { $server->client } 1 .. 5;
$_->in_step for @more;
$now = $server->stats(undef, $c);
is($now->{curr_connections} - $count->{curr_connections}, 5, 'five clients more');
is($now->{total_connections} - $count->{total_connections}, 5, 'five ever more');
$_->close for @more;
for (1 .. 200) {
    $now = $server->stats(undef, $c);
    last if $now->{curr_connections} == $count->{curr_connections};
    select undef, undef, undef, 0.02;
}
is($now->{curr_connections}, $count->{curr_connections}, 'they are gone');
cmp_ok($now->{connection_structures}, '>=', $now->{curr_connections} + 5, 'the most there ever were');

# A reset.
$c->talk("stats reset\r\n", "RESET\r\n", 'reset');
$now = $server->stats(undef, $c);
is($now->{$_}, 0, "$_ begins again") for qw(cmd_get cmd_set cmd_flush get_hits get_misses delete_misses delete_hits
    incr_misses incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval total_items total_connections evictions
    listen_disabled_num);
is($now->{curr_items}, 1, 'items stay');
cmp_ok($now->{bytes}, '>', 1000, 'with their bytes');
is($now->{curr_connections}, $count->{curr_connections}, 'connections stay');
$c->holds('bytes', 'x' x 1000);

# verbosity and oldest in the settings.
$c->talk("verbosity 3\r\n", "OK\r\n", 'verbosity');
is($server->stat('verbosity', 'settings'), 3, 'is a setting');
$c->talk("verbosity 99\r\n", "OK\r\n", 'more than there is');
is($server->stat('verbosity', 'settings'), 4, 'is the highest there is');
$c->talk("verbosity 0\r\n", "OK\r\n", 'back');
$c->talk("flush_all 1000\r\n", "OK\r\n", 'a flush to come');
cmp_ok($server->stat('oldest', 'settings'), '>', 900, 'shows');
$c->holds('bytes', 'x' x 1000);

# What is no statistic; further words do no harm.
$c->talk("stats $_\r\n", "ERROR\r\n", "stats $_") for qw(nonsense reset-not proxy conns);
ok(exists $server->stats('settings x y')->{maxbytes}, 'stats settings with further words');
$c->in_step;
# What clients did while the level was above 0.
$server->finish(said => qr/\) (?:[0-9]+: Client using the ascii protocol|[<>][0-9]+ .+)$/);
