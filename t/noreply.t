#!/usr/bin/perl
# noreply: the command is carried out, in its place in the order, in silence.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;

my $moxi = Moxi->start;
my $c    = $moxi->client;

# Every command, each followed at once by a get that must see what it did.
sub quietly {
    my ($request, $key, $value, $name, $flags) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $c->put($request, "get $key\r\n");
    my $reply = defined $value ? Moxi::Client::hit($key, $value, $flags) . "END\r\n" : "END\r\n";
    return $c->want($reply, $name);
}
quietly("add n 1 0 1 noreply\r\n1\r\n",      'n', '1',   'add', 1);
quietly("add n 9 0 1 noreply\r\n9\r\n",      'n', '1',   'add that is refused', 1);
quietly("set n 2 0 1 noreply\r\n2\r\n",      'n', '2',   'set', 2);
quietly("replace n 3 0 1 noreply\r\n3\r\n",  'n', '3',   'replace', 3);
quietly("append n 0 0 1 noreply\r\n4\r\n",   'n', '34',  'append', 3);
quietly("prepend n 0 0 1 noreply\r\n2\r\n",  'n', '234', 'prepend', 3);
quietly("incr n 1 noreply\r\n",              'n', '235', 'incr', 3);
quietly("decr n 5 noreply\r\n",              'n', '230', 'decr', 3);
my $id = $c->unique('n');
quietly("cas n 4 0 1 $id noreply\r\n5\r\n",  'n', '5',   'cas', 4);
quietly("cas n 4 0 1 $id noreply\r\n6\r\n",  'n', '5',   'cas that is refused', 4);
quietly("touch n 0 noreply\r\n",             'n', '5',   'touch', 4);
quietly("delete n noreply\r\n",              'n', undef, 'delete');
quietly("delete n noreply\r\n",              'n', undef, 'delete of nothing');
quietly("delete n 0 noreply\r\n",            'n', undef, 'delete with a time');
quietly("replace n 0 0 1 noreply\r\n1\r\n",  'n', undef, 'replace of nothing');
quietly("append n 0 0 1 noreply\r\n1\r\n",   'n', undef, 'append to nothing');
quietly("cas n 0 0 1 1 noreply\r\n1\r\n",    'n', undef, 'cas of nothing');
quietly("incr n 1 noreply\r\n",              'n', undef, 'incr of nothing');
quietly("touch n 0 noreply\r\n",             'n', undef, 'touch of nothing');
quietly("set n 0 0 0 noreply\r\n\r\n",       'n', '',    'an empty value');
quietly("verbosity 0 noreply\r\n",           'n', '',    'verbosity');

# The servers' errors are silent, too.
$c->store('text', 'text');
quietly("incr text 1 noreply\r\n", 'text', 'text', 'incr of what is no number');
quietly("incr text x noreply\r\n", 'text', 'text', 'incr by what is no number');
$c->in_step;

# Blanks behind the word.
quietly("set n 0 0 1 noreply \r\n1\r\n",     'n', '1',   'set with a blank behind noreply');
quietly("incr n 1 noreply  \r\n",            'n', '2',   'incr with blanks behind noreply');
quietly("delete n noreply   \r\n",           'n', undef, 'delete with blanks behind noreply');

# The word in another place, or another word, means nothing.
$c->talk("set noreply 0 0 1\r\n1\r\n", "STORED\r\n", 'a key of that name');
$c->talk("get noreply\r\n", Moxi::Client::hit('noreply', '1') . "END\r\n", 'can be read');
$c->talk("delete noreply\r\n", "DELETED\r\n", 'and deleted');
SKIP: {
    skip 'memcached has its own mind here', 2 if Moxi::direct;
    $c->talk("set n 0 0 1 NOREPLY\r\n1\r\n", "STORED\r\n", 'the word is in lower case');
    $c->talk("incr n 1 noreplyx\r\n", "2\r\n", 'and whole');
}

# A refused line is silent; its data line is a command of its own.
SKIP: {
    skip 'memcached swallows here', 2 if Moxi::direct;
    $c->talk("set n 0 0 x noreply\r\n1\r\n", "ERROR\r\n", 'a length that is no number');
    $c->talk("set n 0 0 1 noreply\r\n1234\r\n", "ERROR\r\n", 'data that is too long');
}
$c->in_step;

# noreply holds for one command.
$c->put("delete gone noreply\r\n");
$c->talk("delete gone\r\n", "NOT_FOUND\r\n", 'the next command is answered');

# A long row on one key: the last one wins.
my $rounds = 2_000;
$c->put(map { sprintf "set row 0 0 %d noreply\r\n%s\r\n", length $_, $_ } 1 .. $rounds);
$c->holds('row', $rounds, "$rounds sets in a row, in order");
$c->store('count', '0');
$c->put("incr count 1 noreply\r\n" x $rounds);
$c->holds('count', $rounds, "$rounds steps, none lost");
$c->store('log', '');
$c->put(map { "append log 0 0 5 noreply\r\n" . sprintf("%04d;", $_) . "\r\n" } 1 .. 500);
$c->holds('log', join('', map { sprintf '%04d;', $_ } 1 .. 500), '500 appends, in order');

# On many keys, so on many servers, each with values of its own.
my @keys = map { "many$_" } 1 .. 300;
$c->put(map { my $value = "value of $_"; sprintf "set %s 0 0 %d noreply\r\n%s\r\n", $_, length $value, $value } @keys);
$c->talk("get @keys\r\n", join('', map { Moxi::Client::hit($_, "value of $_") } @keys) . "END\r\n", '300 sets, then all in one get');

# Between commands that are answered.
$c->put(map { ("add mix$_ 0 0 1 noreply\r\n1\r\n", "add mix$_ 0 0 1\r\n2\r\n", "add mix$_ 0 0 1 noreply\r\n3\r\n", "get mix$_\r\n") } 1 .. 100);
$c->want(join('', map { "NOT_STORED\r\n" . Moxi::Client::hit("mix$_", '1') . "END\r\n" } 1 .. 100), 'no answer goes astray');

# Large values; the client may even be gone before they have left.
my $big = Moxi::filler(700_000, 'big');
quietly("set big 0 0 700000 noreply\r\n$big\r\n", 'big', $big, 'a large value');
my $leaver = $moxi->client;
my $last = Moxi::filler(700_000, 'last');
$leaver->put("set big 0 0 700000 noreply\r\n$last\r\n", "set bye 0 0 3 noreply\r\nbye\r\n");
$leaver->half_close;
ok($leaver->closed, 'a client that has said all is let go');
$c->holds('big', $last, 'what it said last was done');
$c->holds('bye', 'bye', 'all of it');

# No answer to one client's noreply reaches another client.
my @others = map { $moxi->client } 1 .. 5;
for my $round (1 .. 20) {
    $_->put("add n 0 0 1 noreply\r\n1\r\n", "incr text 1 noreply\r\n", "delete gone noreply\r\n") for @others;
    $c->in_step;
}
$_->in_step for @others;

$moxi->finish;
