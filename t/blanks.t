#!/usr/bin/perl
# Blanks, tabs and line ends: what old clients and shell scripts send.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;

my $moxi = Moxi->start;
my $c    = $moxi->client;

# Blanks before, between and behind the words are one blank, or none.
$c->talk("  set   a  5 0   3  \r\nabc\r\n", "STORED\r\n", 'set');
$c->talk("set b 0 0 1 \r\n1\r\n", "STORED\r\n", 'set with a blank behind');
my $hit = Moxi::Client::hit('a', 'abc', 5);
my $one = Moxi::Client::hit('b', '1');
$c->talk(" get a\r\n",            "${hit}END\r\n",       'a blank before get');
$c->talk("get a \r\n",            "${hit}END\r\n",       'a blank behind it');
$c->talk("  get   a   b   \r\n",  "${hit}${one}END\r\n", 'blanks everywhere');
$c->talk("get a   \r\n",          "${hit}END\r\n",       'blanks behind are no keys');
$c->talk(" incr  b  1 \r\n",      "2\r\n",               'incr');
$c->talk(" decr  b  1 \r\n",      "1\r\n",               'decr');
$c->talk(" touch  b  0 \r\n",     "TOUCHED\r\n",         'touch');
$c->talk(" append  b  0  0  1 \r\n2\r\n", "STORED\r\n",  'append');
my $id = $c->unique('b');
$c->talk(" cas  b  0  0  1  $id  \r\n1\r\n", "STORED\r\n", 'cas');
$c->talk(" delete  b \r\n",       "DELETED\r\n",         'delete');
$c->put(" version \r\n");
$c->line_like(qr/\AVERSION \S+\r\n\z/, 'version');

# A line may end in a bare line feed.
$c->talk("get a\n",               "${hit}END\r\n",       'get');
$c->talk("get a b\n",             "${hit}END\r\n",       'get of two keys');
$c->talk("set c 0 0 1\n3\r\n",    "STORED\r\n",          'set');
$c->talk("incr c 1\n",            "4\r\n",               'incr');
$c->talk("delete c\n",            "DELETED\r\n",         'delete');
$c->talk("get a \n",              "${hit}END\r\n",       'with a blank before it');
$c->talk("get a\nget none\r\nget a\n", "${hit}END\r\nEND\r\n${hit}END\r\n", 'mixed');
$c->put("set d 0 0 1 noreply\n1\r\n", "get d\n");
$c->want(Moxi::Client::hit('d', '1') . "END\r\n", 'noreply before a bare line feed');

# Nothing but the blank separates: other control bytes belong to the key.
my %odd = (
    'a tab'           => "x\ty",
    'tabs'            => "\tx\t",
    'a form feed'     => "x\fy",
    'a vertical tab'  => "x\x0by",
    'an escape'       => "x\e[0m",
    'a delete'        => "x\x7f",
    'a high byte'     => "x\xa0y",
    'UTF-8'           => "\xc3\xbc\xe2\x82\xac",
    'punctuation'     => q(!"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~),
);
for my $what (sort keys %odd) {
    my $key = $odd{$what};
    $c->talk("set $key 0 0 2\r\n41\r\n", "STORED\r\n", "$what in a key: set");
    $c->holds($key, '41', "$what in a key: get");
    $c->talk("incr $key 1\r\n", "42\r\n", "$what in a key: incr");
    $c->talk("get a $key\r\n", $hit . Moxi::Client::hit($key, '42') . "END\r\n", "$what in a key: second key");
    $c->talk("delete $key\r\n", "DELETED\r\n", "$what in a key: delete");
}
$c->talk("get x\r\n", "END\r\n", 'no key was cut short');

$moxi->finish;
