#!/usr/bin/perl
# What moxi tells about itself: the parts of "stats proxy".

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;

plan skip_all => 'memcached has no such statistics' unless Moxi::proxied;

my $moxi = Moxi->start;
my $c    = $moxi->client;
my $port = $moxi->port;

# The names and values of one part.
sub part {
    my ($sub) = @_;
    my (%stats, $line);
    $c->put($sub eq '' ? "stats proxy\r\n" : "stats proxy $sub\r\n");
    while (defined($line = $c->line) && $line ne "END\r\n") {
        $stats{$1} = $2 if $line =~ /\ASTAT (\S+) ([^\r\n]*)\r\n\z/;
    }
    return \%stats;
}

$c->put("version\r\n");
my ($version) = $c->line_like(qr/\AVERSION (\S+)\r\n\z/, 'version');

my %of = (
    info       => [qr/\Abasic:version\z/, qr/\A$port:default:info:port\z/],
    settings   => [qr/\Amemcached:settings:maxconns\z/],
    behaviors  => [qr/\Aproxy_main:behavior:downstream_max\z/, qr/\A$port:default:behavior:downstream_max\z/],
    frontcache => [qr/\A$port:default:frontcache:/],
    stats      => [qr/\Aproxy_main:stats:/, qr/\A$port:default:pstd_stats:/, qr/\A$port:default:pstd_stats_cmd:/],
);
my $everything = part('');
for my $sub (sort keys %of) {
    my $part = part($sub);
    for my $name (@{ $of{$sub} }) {
        ok((grep { $_ =~ $name } keys %$part),       "stats proxy $sub has $name");
        ok((grep { $_ =~ $name } keys %$everything), "so has stats proxy");
    }
}
is($everything->{'basic:version'}, $version, 'the version is that of the version command');
my %number = (ascii => 7, binary => 8);
is($everything->{"$port:default:behavior:downstream_protocol"} // '', $number{ Moxi::protocol() }, 'a behavior is as it was given');

$moxi->finish;
