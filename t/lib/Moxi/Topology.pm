package Moxi::Topology;

# How clients, moxi and servers are wired in a test run. Every arrangement is
# one moxi process; one with several sections talks to itself.
#
#     simple         client -> proxy -> server
#     chain          client -> five proxies in a row -> server
#     fanout         client -> proxy -> one server, listed four times
#     fanoutin       client -> proxy -> second proxy, listed four times -> server
#
# These are written as vBucket maps in JSON. The same with plain server lists,
# where keys are placed by ketama:
#
#     simple-list    as simple
#     chain-list     as chain
#     fanout-list    client -> proxy -> four different servers
#     fanoutin-list  client -> proxy -> four different proxies -> one server
#
#     direct         client -> server, without moxi
#     builtin        client -> moxi's own memcached server

use strict;
use warnings;

use Carp qw(croak);

# A plan is the number of listeners and of servers, and for each listener the
# places it forwards to: L1 is the second listener, S0 the first server. The
# first listener is the one for clients.
my %plans = (
    'builtin'       => { servers => 0, sections => [] },
    'direct'        => { servers => 1, sections => [] },
    'simple'        => { servers => 1, form => \&_map, sections => [['S0']] },
    'chain'         => { servers => 1, form => \&_map, sections => [['L1'], ['L2'], ['L3'], ['L4'], ['S0']] },
    'fanout'        => { servers => 1, form => \&_map, sections => [[('S0') x 4]] },
    'fanoutin'      => { servers => 1, form => \&_map, sections => [[('L1') x 4], ['S0']] },
    'simple-list'   => { servers => 1, form => \&_list, sections => [['S0']] },
    'chain-list'    => { servers => 1, form => \&_list, sections => [['L1'], ['L2'], ['L3'], ['L4'], ['S0']] },
    'fanout-list'   => { servers => 4, form => \&_list, sections => [['S0', 'S1', 'S2', 'S3']] },
    'fanoutin-list' => {
        servers  => 1,
        form     => \&_list,
        sections => [['L1', 'L2', 'L3', 'L4'], (['S0']) x 4],
    },
);

# The plan of that name.
sub plan {
    my ($name) = @_;
    my $plan = $plans{$name} or croak "no topology '$name'; there are: @{[ sort keys %plans ]}";
    return { %$plan, listeners => scalar @{ $plan->{sections} } };
}

# The argument of -z for a plan, given the ports of listeners and servers.
sub text {
    my ($plan, $listeners, $servers) = @_;
    my @sections;
    for my $number (0 .. $#{ $plan->{sections} }) {
        my @targets = map {
            /\A([LS])(\d+)\z/ or croak "bad target $_";
            '127.0.0.1:' . ($1 eq 'L' ? $listeners->[$2] : $servers->[$2]);
        } @{ $plan->{sections}[$number] };
        push @sections, $listeners->[$number] . '=' . $plan->{form}->(@targets);
    }
    return join ';', @sections;
}

sub _list {
    return join ',', @_;
}

# As many vbuckets as servers, vbucket N on server N, no replicas.
sub _map {
    my (@targets) = @_;
    my $list = join ',', map { qq("$_") } @targets;
    my $map  = join ',', map { "[$_]" } 0 .. $#targets;
    return qq({"hashAlgorithm": "CRC", "numReplicas": 0, "serverList": [$list], "vBucketMap": [$map]});
}

1;
