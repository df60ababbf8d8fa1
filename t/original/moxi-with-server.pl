#!/usr/bin/perl
# Stands in the place of ./moxi for the original suite, which expects one
# process to be both the proxy and, on the port after -p, the memcached server
# behind it. Starts a real memcached on that port and becomes the program
# under test (MOXI_UNDER_TEST), with -p 0 and without UDP.
#
# Both stay in the process group in which the suite has put this script, so its
# signal to the group ends both.

use strict;
use warnings;

use IO::Socket::INET;

my $program = $ENV{MOXI_UNDER_TEST} or die "MOXI_UNDER_TEST is not set\n";
my @arguments = @ARGV;
my $port;
for my $at (0 .. $#arguments - 1) {
    if ($arguments[$at] eq '-p') {
        $port = $arguments[ $at + 1 ];
        $arguments[ $at + 1 ] = 0;
    }
    # UDP belongs to the built-in server, whose part memcached plays here.
    $arguments[ $at + 1 ] = 0 if $arguments[$at] eq '-U';
}

if ($port) {
    my @server = ('memcached', '-l', '127.0.0.1', '-U', '0', '-p', $port);
    push @server, '-u', 'root' if $> == 0;
    my $pid = fork;
    die "fork: $!\n" unless defined $pid;
    if (!$pid) {
        exec @server or die "cannot run memcached: $!\n";
    }
    # The suite waits two seconds for the proxy, and then wants the server, too.
    for (1 .. 75) {
        last if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
        select undef, undef, undef, 0.02;
    }
}

exec { $program } $program, @arguments or die "cannot run $program: $!\n";
