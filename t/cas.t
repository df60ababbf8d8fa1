#!/usr/bin/perl
# Check and set.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;

my $moxi = Moxi->start;
my $c    = $moxi->client;

# Arguments that are no numbers. The data line is a command then.
my $format = "CLIENT_ERROR bad command line format\r\n";
for my $line ('cas k no 0 1 1', 'cas k 0 no 1 1', 'cas k 0 0 no 1', 'cas k 0 0 1 no') {
    my $fresh = $moxi->client;
    $fresh->put("$line\r\n");
    $fresh->want($format, "'$line'");
    $fresh->in_step;
}
$c->talk("cas k 0 0 6\r\n", "ERROR\r\n", 'no id');
$c->talk("value2\r\n",      "ERROR\r\n", 'so its data is a command');
$c->talk("cas k 0 0 6 \r\nvalue2\r\n", "ERROR\r\nERROR\r\n", 'a blank is no id');

# The life of an id.
$c->talk("gets k\r\n", "END\r\n", 'gets of a missing key');
$c->talk("cas k 0 0 6 123\r\nvalue0\r\n", "NOT_FOUND\r\n", 'cas of a missing key');
$c->talk("cas k 0 0 6 0\r\nvalue0\r\n",   "NOT_FOUND\r\n", 'cas of a missing key with id 0');
$c->holds('k', undef, 'neither has stored it');
$c->store('k', 'value1', 7);
my $id = $c->unique('k');
like($id, qr/\A[1-9]\d*\z/, 'gets shows an id');
$c->talk("gets k\r\n", "VALUE k 7 6 $id\r\nvalue1\r\nEND\r\n", 'and the same one as long as nothing changes');
$c->talk("get k\r\n", "VALUE k 7 6\r\nvalue1\r\nEND\r\n", 'get shows none');
$c->talk("cas k 0 0 6 @{[ $id + 1 ]}\r\nwrong!\r\n", "EXISTS\r\n", 'a wrong id');
$c->talk("cas k 0 0 6 0\r\nwrong!\r\n", "EXISTS\r\n", 'id 0 is a wrong id');
$c->talk("cas k 0 0 6 18446744073709551615\r\nwrong!\r\n", "EXISTS\r\n", 'so is the largest');
$c->holds('k', 'value1', 'the value stays', 7);
$c->talk("cas k 0 0 6 $id\r\nvalue2\r\n", "STORED\r\n", 'the right id');
$c->holds('k', 'value2');
$c->talk("cas k 0 0 6 $id\r\nvalue3\r\n", "EXISTS\r\n", 'it works once');
my $next = $c->unique('k');
isnt($next, $id, 'the new value has a new id');
$c->talk("cas k 9 0 0 $next\r\n\r\n", "STORED\r\n", 'an empty value, with flags');
$c->holds('k', '', 'as it was stored', 9);
$id = $c->unique('k');
$c->talk("delete k\r\n", "DELETED\r\n", 'delete');
$c->talk("cas k 0 0 6 $id\r\nvalue4\r\n", "NOT_FOUND\r\n", 'an id does not outlive its key');

# Several keys.
$c->store('one', '1');
$c->store('two', '22');
my ($one, $two) = ($c->unique('one'), $c->unique('two'));
SKIP: {
    skip 'two servers may well count alike', 1 if Moxi::topology() eq 'fanout-list';
    isnt($one, $two, 'two keys, two ids');
}
$c->talk(
    "gets one two\r\n",
    "VALUE one 0 1 $one\r\n1\r\nVALUE two 0 2 $two\r\n22\r\nEND\r\n",
    'gets in the order of the request',
);
$c->talk(
    "gets two none one\r\n",
    "VALUE two 0 2 $two\r\n22\r\nVALUE one 0 1 $one\r\n1\r\nEND\r\n",
    'in any order',
);

# Every way to change a value changes its id.
my %change = (
    set     => "set n 0 0 1\r\n5\r\n",
    replace => "replace n 0 0 1\r\n6\r\n",
    append  => "append n 0 0 1\r\n7\r\n",
    prepend => "prepend n 0 0 1\r\n8\r\n",
    incr    => "incr n 1\r\n",
    decr    => "decr n 1\r\n",
);
$c->store('n', '1');
for my $verb (qw(set replace append prepend incr decr)) {
    my $before = $c->unique('n');
    $c->put($change{$verb});
    $c->line_like(qr/\A(?:STORED|\d+)\r\n\z/, $verb);
    $c->talk("cas n 0 0 1 $before\r\nx\r\n", "EXISTS\r\n", "$verb changes the id");
}

# Two clients with the same id: one wins.
for my $round (1 .. 20) {
    my ($left, $right) = ($moxi->client, $moxi->client);
    $left->store('race', "start $round");
    my ($mine, $yours) = ($left->unique('race'), $right->unique('race'));
    is($mine, $yours, 'both see the same id');
    $left->put("cas race 0 0 4 $mine\r\nleft\r\n");
    $right->put("cas race 0 0 5 $yours\r\nright\r\n");
    my @answers = map { $_->line // '(nothing)' } $left, $right;
    is(join('', sort @answers), "EXISTS\r\nSTORED\r\n", 'one is told so, the other not');
    $left->holds('race', $answers[0] eq "STORED\r\n" ? 'left' : 'right', 'the value is of the one who was told');
}

$moxi->finish;
