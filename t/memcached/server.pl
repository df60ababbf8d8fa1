#!/usr/bin/perl
# Stands in the place of memcached-debug for memcached's suite, takes memcached's
# arguments, and becomes what MOXI_ARRANGEMENT says:
#
#     memcached           memcached itself (MOXI_MEMCACHED)
#     built-in            the program under test (MOXI_UNDER_TEST) as a memcached server
#     proxy/PROTOCOL      the program under test, which listens as the arguments say, in front of
#     proxy/PROTOCOL xN   N memcacheds with what the arguments say of a server
#
# The servers behind a proxy stay in the session of this script, and end with it.

use strict;
use warnings;

use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep);

# Flags of memcached with an argument, and those without.
my $WITH    = 'a b B c D e f I l m n o p P R s t u U Y';
my $WITHOUT = 'A C d F h i k L M r S v V W X Z';

# What a proxy listens for; the servers get it, too, where `stats settings` shows it.
my %LISTENS = map { $_ => 1 } qw(a b B c d l p P R s t u U v);
my %SHOWN   = map { $_ => 1 } qw(b u);

# Flags of memcached that the program under test does not have, or has for something else.
my %FOREIGN = map { $_ => 1 } qw(A e F I S W X Y Z);

# memcached's own.
my $PORT = 11211;

my $PATIENT = 'connect_timeout=5000,auth_timeout=5000,wait_queue_timeout=5000,downstream_conn_queue_timeout=5000';

my $arrangement = $ENV{MOXI_ARRANGEMENT} || die "MOXI_ARRANGEMENT is not set\n";
my $memcached   = $ENV{MOXI_MEMCACHED}   || die "MOXI_MEMCACHED is not set\n";
my $moxi        = $ENV{MOXI_UNDER_TEST}  || die "MOXI_UNDER_TEST is not set\n";

# The suite looks in here for what a server can do. It is the same everywhere, so that files ask the same everywhere:
# no extstore, proxy, TLS or SASL, and nobody gives up privileges.
if (grep { $_ eq '-h' } @ARGV) {
    print "a memcached server for tests\n-s, --unix-socket=<file>\n";
    exit 0;
}

my @flags = parse(@ARGV);
become($memcached, words(@flags)) if $arrangement eq 'memcached';
become($moxi, builtin(@flags)) if $arrangement eq 'built-in';
my ($protocol, $count) = $arrangement =~ m{\Aproxy/(ascii|binary)(?: x(\d+))?\z}
    or die "there is no arrangement $arrangement\n";
become($moxi, proxy(@flags));

# A command line as a list of [letter, argument or nothing].
sub parse {
    my (@words) = @_;
    my @flags;
    while (defined(my $word = shift @words)) {
        my ($letters) = $word =~ /\A-(\w+)\z/ or die "$word is no flag\n";
        while ($letters =~ s/\A(.)//) {
            my $letter = $1;
            if ($WITHOUT =~ /\Q$letter/) { push @flags, [$letter]; next }
            $WITH =~ /\Q$letter/ or die "-$letter is no flag\n";
            push @flags, [$letter, length $letters ? $letters : shift @words];
            last;
        }
    }
    # The suite always asks for privileges to be kept, which not every build of memcached can be told; and here and there
    # for large items to be cut into smaller pieces than usual, of which memcached 1.6.18 dies (with -I it is needed).
    my $unwanted = defined value('I', @flags) ? qr/\Arelaxed_privileges\z/ : qr/\A(?:relaxed_privileges|slab_chunk_max=.*)\z/;
    for (grep { $_->[0] eq 'o' } @flags) { $_->[1] = join ',', grep { $_ !~ $unwanted } split /,/, $_->[1] }
    return grep { $_->[0] ne 'o' || length $_->[1] } @flags;
}

sub words {
    return map { ("-$_->[0]", defined $_->[1] ? $_->[1] : ()) } @_;
}

sub value {
    my ($letter, @flags) = @_;
    my ($last) = reverse map { $_->[1] } grep { $_->[0] eq $letter } @flags;
    return $last;
}

# memcached's extended options are about its own memory and threads.
sub builtin {
    my (@flags) = @_;
    for (grep { $FOREIGN{ $_->[0] } } @flags) { die "moxi has no -$_->[0] of memcached's\n" }
    # Without a port it would not know that it is to be a server.
    unshift @flags, ['p', $PORT] unless grep { $_->[0] =~ /[pU]/ } @flags;
    return words(grep { $_->[0] ne 'o' } @flags);
}

sub proxy {
    my (@flags) = @_;
    my @server  = words(grep { !$LISTENS{ $_->[0] } || $SHOWN{ $_->[0] } } @flags);
    my @servers = map { '127.0.0.1:' . server(@server) } 1 .. $count || 1;
    # Proxied ports are said in -z.
    my $port = value('p', @flags) || $PORT;
    return (
        words(grep { $LISTENS{ $_->[0] } && $_->[0] !~ /[pU]/ } @flags),
        '-p', 0, '-U', 0,
        '-z', "$port=" . join(',', @servers),
        '-Z', "downstream_protocol=$protocol,$PATIENT",
    );
}

# Starts a memcached, and returns its port.
sub server {
    my (@arguments) = @_;
    my $log = "servers-$$.log";
    # The suite itself takes ports from 30000 on.
    for (1 .. 20) {
        my $port = 12_000 + int rand 17_000;
        my $pid  = fork;
        die "fork: $!\n" unless defined $pid;
        if (!$pid) {
            delete $ENV{MEMCACHED_PORT_FILENAME};
            # Not what the suite may read to its end.
            open STDOUT, '>>', $log or die "$log: $!\n";
            open STDERR, '>&', \*STDOUT or die "stderr: $!\n";
            become($memcached, '-l', '127.0.0.1', '-p', $port, '-U', 0, @arguments);
        }
        while (!waitpid $pid, WNOHANG) {
            return $port if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
            sleep 0.02;
        }
    }
    open my $file, '<', $log or die "$log: $!\n";
    die "memcached does not start:\n", <$file>;
}

sub become {
    my ($program, @arguments) = @_;
    exec { $program } $program, @arguments or die "cannot run $program: $!\n";
}
