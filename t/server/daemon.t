#!/usr/bin/perl
# The memcached server in the background: pid file, port file, signals.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../lib";
use Moxi::Server;
use Test::More;
use Time::HiRes qw(sleep time);

my @user = $> == 0 ? ('-u', 'root') : ();

# Waits for something to be true.
sub wait_for {
    my ($what) = @_;
    my $until = time + $Moxi::START_LIMIT;
    while (time < $until) {
        my $result = $what->();
        return $result if $result;
        sleep 0.02;
    }
    return undef;
}

# Starts a daemon; the process id it has written down.
sub start {
    my ($directory, @args) = @_;
    my $file = "$directory/pid";
    unlink $file;
    is(system(Moxi::binary(), '-d', '-P', $file, @args, @user), 0, 'it goes into the background');
    my ($pid) = (wait_for(sub { Moxi::_slurp($file) =~ /\A\d+\n\z/ && Moxi::_slurp($file) }) || '') =~ /(\d+)/;
    ok($pid && kill(0, $pid), 'the pid file names a process');
    return $pid;
}

# It has ended; nobody may have asked for its exit code yet.
sub gone {
    my ($pid) = @_;
    return wait_for(sub { !kill(0, $pid) || Moxi::_slurp("/proc/$pid/stat") =~ /\) Z / });
}

my $bench = Moxi::Server->_bench;
my $dir   = $bench->directory;
my $port  = Moxi::free_port();
my $pid   = start($dir, '-p', $port);
my $c     = wait_for(sub { eval { Moxi::Client->new($port) } });
is($bench->stats(undef, $c)->{pid}, $pid, 'which is the server');
isnt(getppid(), $pid, 'and not us');
$c->store('k', 'value');

# A hangup is no reason to end.
kill 'HUP', $pid;
kill 'HUP', $pid;
$c->holds('k', 'value', 'after a hangup it goes on');
ok(kill(0, $pid), 'the process, too');
kill 'TERM', $pid;
ok(gone($pid), 'SIGTERM ends it');
ok(!-e "$dir/pid", 'and it takes the pid file along');

$pid = start($dir, '-p', $port);
kill 'INT', $pid;
ok(gone($pid), 'SIGINT ends it');
$pid = start($dir, '-p', $port, '-vv');
kill 'KILL', $pid;
ok(gone($pid), 'so does SIGKILL');

# -p -1: a port of the system's choice, written to a file.
my $ports = "$dir/ports";
{
    local $ENV{MEMCACHED_PORT_FILENAME} = $ports;
    $pid = start($dir, '-p', '-1', '-U', 0);
}
my $text = wait_for(sub { -e $ports && Moxi::_slurp($ports) });
my ($chosen) = $text =~ /^TCP INET: (\d+)$/m;
ok($chosen, 'a port was written down');
unlike($text, qr/^UDP/m, 'and none for UDP');
$c = wait_for(sub { eval { Moxi::Client->new($chosen) } });
is($bench->stats(undef, $c)->{pid}, $pid, 'it is the server');
kill 'HUP', $pid;
# For an end that should not come there is nothing to wait for.
sleep 0.2;
$c->in_step('still there after a hangup');
kill 'TERM', $pid;
ok(gone($pid), 'SIGTERM ends it');
my $udp = Moxi::free_port();
{
    local $ENV{MEMCACHED_PORT_FILENAME} = $ports;
    unlink $ports;
    $pid = start($dir, '-p', $port, '-U', $udp);
}
$text = wait_for(sub { -e $ports && Moxi::_slurp($ports) });
like($text, qr/^TCP INET: $port$/m, 'a port that was given');
like($text, qr/^UDP INET: $udp$/m, 'and that for UDP');
kill 'TERM', $pid;
ok(gone($pid), 'SIGTERM ends it');
done_testing();
