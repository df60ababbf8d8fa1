#!/usr/bin/perl
# Storing, reading and deleting.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use Moxi;
use Test::More;

my $moxi = Moxi->start;
my $c    = $moxi->client;

# The whole round of the storage family on one key.
$c->holds('k', undef);
$c->talk("replace k 0 0 1\r\nx\r\n", "NOT_STORED\r\n", 'replace needs the key');
$c->talk("append k 0 0 1\r\nx\r\n",  "NOT_STORED\r\n", 'so does append');
$c->talk("prepend k 0 0 1\r\nx\r\n", "NOT_STORED\r\n", 'and prepend');
$c->holds('k', undef, 'none of them has stored anything');
$c->talk("add k 0 0 5\r\nfirst\r\n", "STORED\r\n", 'add stores a new key');
$c->holds('k', 'first');
$c->talk("add k 0 0 6\r\nsecond\r\n", "NOT_STORED\r\n", 'add leaves a key alone that is there');
$c->holds('k', 'first');
$c->talk("replace k 0 0 5\r\nthird\r\n", "STORED\r\n", 'replace stores over it');
$c->holds('k', 'third');
$c->store('k', 'fourth');
$c->holds('k', 'fourth');
$c->talk("append k 0 0 4\r\n-end\r\n", "STORED\r\n", 'append');
$c->holds('k', 'fourth-end');
$c->talk("prepend k 0 0 6\r\nbegin-\r\n", "STORED\r\n", 'prepend');
$c->holds('k', 'begin-fourth-end');
$c->talk("append k 0 0 0\r\n\r\n", "STORED\r\n", 'append of nothing');
$c->holds('k', 'begin-fourth-end');
$c->talk("delete k\r\n", "DELETED\r\n",   'delete');
$c->talk("delete k\r\n", "NOT_FOUND\r\n", 'the second delete finds nothing');
$c->holds('k', undef);
$c->store('k', 'back');
$c->talk("delete k 0\r\n", "DELETED\r\n", 'delete with the time that old clients send');
$c->holds('k', undef);
$c->store('k', 'back');
my $usage = "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n";
$c->talk("delete k x\r\n", $usage, 'delete with a word that is no number');
$c->talk("delete k 0 x\r\n", $usage, 'delete with a word too many');
$c->holds('k', 'back', 'neither has deleted it');
SKIP: {
    skip 'memcached takes no other time', 3 if Moxi::direct;
    $c->store('k', 'back');
    $c->talk("delete k 30\r\n", "DELETED\r\n", 'delete with any time');
    $c->holds('k', undef, 'which is not waited for');
}

# Values are bytes: their length alone says where they end.
my %values = (
    'nothing'                => '',
    'a NUL'                  => "\0",
    'a CR'                   => "\r",
    'an LF'                  => "\n",
    'a line end'             => "\r\n",
    'line ends'              => "\r\n\r\n\n\r",
    'NUL in the middle'      => "left\0right\0",
    'CR and NUL at the end'  => "text\0\0\r\0\r\r",
    'an end of reply'        => "END\r\n",
    'another value'          => "VALUE k 0 3\r\nabc\r\nEND\r\n",
    'an error'               => "SERVER_ERROR out of everything\r\n",
    'a request'              => "\r\nset k 0 0 1\r\nz\r\n",
    'blanks'                 => '   ',
    'every byte'             => join('', map { chr } 0 .. 255),
    'every byte, twice'      => join('', map { chr(255 - $_), chr } 0 .. 255),
    'a binary header'        => "\x81\x00\x00\x00" . "\0" x 20,
);
for my $what (sort keys %values) {
    (my $key = $what) =~ tr/ ,/__/;
    $c->talk("set $key 0 0 @{[ length $values{$what} ]}\r\n$values{$what}\r\n", "STORED\r\n", "set: $what");
    $c->holds($key, $values{$what}, "get: $what");
}
# All at once, each in its place.
my @names = map { (my $key = $_) =~ tr/ ,/__/; $key } sort keys %values;
my $all = join '', map { Moxi::Client::hit($names[$_], $values{ (sort keys %values)[$_] }) } 0 .. $#names;
$c->talk("get @names\r\n", "${all}END\r\n", 'all of them in one get');

# Lengths around the sizes that buffers like to have.
for my $power (6 .. 16) {
    for my $off (-1, 0, 1) {
        my $length = (1 << $power) + $off;
        my $value  = Moxi::filler($length, $length);
        $c->put("set size$length 0 0 $length\r\n$value\r\n", "get size$length\r\n");
        $c->want("STORED\r\n" . Moxi::Client::hit("size$length", $value) . "END\r\n", "$length bytes");
    }
}

# append and prepend keep the flags of what is there, whatever they are given.
$c->store('flagged', 'b', 77);
$c->talk("append flagged 5 0 1\r\nc\r\n",  "STORED\r\n", 'append with other flags');
$c->talk("prepend flagged 6 0 1\r\na\r\n", "STORED\r\n", 'prepend with other flags');
$c->holds('flagged', 'abc', 'the flags of the first set stay', 77);

# Multi-key gets: hits and misses, the order of the request, repeated keys.
$c->store("m$_", "value $_", $_) for 1 .. 5;
my %hit = map { $_ => Moxi::Client::hit("m$_", "value $_", $_) } 1 .. 5;
$c->talk("get m1 m2 m3\r\n",          "$hit{1}$hit{2}$hit{3}END\r\n", 'three hits');
$c->talk("get m3 none m1\r\n",        "$hit{3}$hit{1}END\r\n",        'a miss between hits');
$c->talk("get none m5\r\n",           "$hit{5}END\r\n",               'a miss first');
$c->talk("get m4 none\r\n",           "$hit{4}END\r\n",               'a miss last');
$c->talk("get none neither nor\r\n",  "END\r\n",                      'misses only');
$c->talk("get m5 m4 m3 m2 m1\r\n",    join('', map { $hit{$_} } reverse 1 .. 5) . "END\r\n", 'backwards');
$c->talk("get m1 m1\r\n",             "$hit{1}$hit{1}END\r\n",        'a key twice is answered twice');

# What one client has written, another one reads.
my $other = $moxi->client;
$other->holds('m2', 'value 2', 'another client sees it', 2);
$other->talk("delete m2\r\n", "DELETED\r\n", 'and may delete it');
$c->holds('m2', undef);

$moxi->finish;
