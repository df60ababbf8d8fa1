#!/usr/bin/perl
# touch, gat and gats: new times for values that are there.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;
use Time::HiRes qw(sleep time);

my $moxi = Moxi->start;
my $c    = $moxi->client;

my $bad = "CLIENT_ERROR invalid exptime argument\r\n";

$c->talk("touch none 10\r\n", "NOT_FOUND\r\n", 'touch needs the key');
$c->talk("gat 10 none\r\n",   "END\r\n", 'gat of a missing key');
$c->talk("gats 10 none\r\n",  "END\r\n", 'gats of a missing key');

$c->store($_, "value of $_", 6) for qw(stay touched gat gats one two);
$c->talk("touch stay soon\r\n", $bad, 'touch: a time is a number');
$c->talk("gat soon stay\r\n",   $bad, 'gat: a time is a number');
$c->talk("touch stay 0\r\n",    "TOUCHED\r\n", 'touch without an end');
$c->holds('stay', 'value of stay', 'it stays', 6);

# Values that would end are kept, values that would stay end.
$c->store('kept', 'kept', 0, 3);
$c->store('kept-by-gat', 'kept', 0, 3);
$c->talk("touch kept 3600\r\n", "TOUCHED\r\n", 'touch for an hour');
$c->talk("gat 3600 kept-by-gat\r\n", "VALUE kept-by-gat 0 4\r\nkept\r\nEND\r\n", 'gat for an hour');
$c->talk("touch touched 3\r\n", "TOUCHED\r\n", 'touch for three seconds');
$c->talk("gat 3 gat\r\n", "VALUE gat 6 12\r\nvalue of gat\r\nEND\r\n", 'gat for three seconds');
my $id = $c->unique('gats');
$c->put("gats 3 gats\r\n");
$c->want("VALUE gats 6 13 $id\r\nvalue of gats\r\nEND\r\n", 'gats for three seconds, with the id');
$c->talk(
    "gat 3 one none two\r\n",
    "VALUE one 6 12\r\nvalue of one\r\nVALUE two 6 12\r\nvalue of two\r\nEND\r\n",
    'gat of several keys',
);
$c->store('ended', 'ended');
$c->talk("touch ended -1\r\n", "TOUCHED\r\n", 'touch with a time that is over');
$c->holds('ended', undef, 'ends it');
$c->store('noreply', 'noreply');
$c->put("touch noreply 3 noreply\r\n");
$c->in_step('touch with noreply is silent');

my $touched_at = time;
sleep 0.1 while time < $touched_at + 4.2;
$c->holds($_, undef, "$_: gone") for qw(touched gat gats one two noreply);
$c->holds($_, 'kept', "$_: still there") for qw(kept kept-by-gat);
$c->holds('stay', 'value of stay', 'stay: still there', 6);

$moxi->finish;
