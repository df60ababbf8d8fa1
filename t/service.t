#!/usr/bin/perl
# What moxi answers by itself, or on behalf of all servers: version, verbosity,
# quit and stats.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;

my $moxi = Moxi->start;
my $c    = $moxi->client;

# The lines of a statistics reply as a hash; undef unless it has its form.
sub stats {
    my ($request, $name) = @_;
    my (%stats, $line);
    my $well = 1;
    $c->put("$request\r\n");
    while (defined($line = $c->line) && $line ne "END\r\n") {
        if ($line =~ /\ASTAT (\S+)(?: ([^\r\n]*))?\r\n\z/) {
            $stats{$1} = $2;
            next;
        }
        $well = 0;
        diag('odd line: ' . Moxi::Client::printable($line));
        last if $line =~ /\A(?:ERROR|CLIENT_ERROR|SERVER_ERROR)/;
    }
    ok($well && defined $line, "$name: every line is a statistic, then END");
    return \%stats;
}

$c->put("version\r\n");
my ($version) = $c->line_like(qr/\AVERSION (\d+\.\d+\S*)\r\n\z/, 'version');
$c->put("version\r\nversion\r\n");
$c->want("VERSION $version\r\n" x 2, 'twice');

$c->talk("verbosity 0\r\n", "OK\r\n", 'verbosity');
$c->talk("verbosity 0 x\r\n", "OK\r\n", 'verbosity with one word more');
$c->put("verbosity 0 noreply\r\n");
$c->in_step('verbosity with noreply is silent');
$c->talk("verbosity much\r\n", "CLIENT_ERROR bad command line format\r\n", 'verbosity takes a number');
$c->put("verbosity noreply\r\n");
$c->in_step('verbosity with nothing but noreply is silent, too');

my $leaver = $moxi->client;
$leaver->put("quit\r\n");
is($leaver->rest, '', 'quit has no answer');
ok($leaver->closed, 'and closes');
$c->in_step('the client itself only');

# stats: those of the servers, merged.
my $before = stats('stats', 'stats');
for my $name (qw(pid uptime time version pointer_size curr_connections total_connections cmd_get cmd_set get_hits
    get_misses bytes_read bytes_written limit_maxbytes threads bytes curr_items total_items evictions)) {
    ok(defined $before->{$name}, "stats has $name");
}
$c->talk("stats reset\r\n", "RESET\r\n", 'stats reset');
$c->store("s$_", 'value') for 1 .. 10;
$c->holds("s$_", 'value') for 1 .. 10;
$c->holds('none', undef);
my $after = stats('stats', 'stats after some work');
my $times = Moxi::topology() eq 'fanout' ? 4 : 1;    # the same server, asked and added up four times
$times = 4 if Moxi::topology() =~ /\Afanoutin/;
is($after->{cmd_set}, 10 * $times, 'ten sets, wherever they went');
is($after->{get_hits}, 10 * $times, 'ten hits');
cmp_ok($after->{get_misses}, '>=', $times, 'one miss at least');
cmp_ok($after->{curr_items}, '>=', 10 * $times, 'ten items');
my $settings = stats('stats settings', 'stats settings');
ok(defined $settings->{maxconns} && defined $settings->{tcp_backlog}, 'has settings of memcached');
$c->in_step('in step after all of this');

SKIP: {
    skip 'about the proxy', 1 unless Moxi::proxied;
    for my $sub ('', qw(info settings behaviors frontcache keystats stats timings config all)) {
        my $request = $sub eq '' ? 'stats proxy' : "stats proxy $sub";
        stats($request, $request);
    }
    $c->talk("stats proxy reset\r\n", "OK\r\n", 'stats proxy reset');
    $c->put("stats proxy nonsense\r\n");
    $c->line_like(qr/\ACLIENT_ERROR .* valid: all info .* reset route\r\n\z/, 'no such part');
    $c->talk("stats proxy stats all\r\n", "ERROR\r\n", 'one part at a time');
    $c->in_step('in step after all of this');
}

$moxi->finish;
