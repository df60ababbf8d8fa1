#!/usr/bin/perl
# The binary protocol of the memcached server.

use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../lib";
use Moxi::Server;
use Test::More;

*packet       = \&Moxi::Server::packet;
*set_packet   = \&Moxi::Server::set_packet;
*count_packet = \&Moxi::Server::count_packet;
*answers      = \&Moxi::Server::answers;

my $server = Moxi::Server->start;
my $c      = $server->client;
my $opaque = 1000;

# Sends a request; the reply has this status and these fields.
sub ask {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($request, $op, $status, $name, %field) = @_;
    substr $request, 12, 4, pack 'N', ++$opaque;
    $c->put($request);
    return answers($c, $op, $status, $name, opaque => $opaque, %field);
}

# No answer: the next one is that to a NOOP.
sub silent {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($request, $name) = @_;
    $c->put($request, packet('noop', opaque => ++$opaque));
    return answers($c, 'noop', 0, "$name is silent", opaque => $opaque, length => 0);
}

sub is_value {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($key, $value, $name, $flags) = @_;
    return defined $value
        ? ask(packet('get', key => $key), 'get', 0, $name || "$key is '$value'", key => '', value => $value, extras => pack 'N', $flags || 0)
        : ask(packet('get', key => $key), 'get', 1, $name || "$key is not there", cas => 0);
}

ask(packet('noop'), 'noop', 0, 'NOOP', length => 0);
my $version = ask(packet('version'), 'version', 0, 'VERSION');
like($version->{value}, qr/\A\d+\.\d+/, 'which is a version');

# Storing, and what it returns.
is_value('k', undef);
my $id = ask(set_packet('set', 'k', 'one', flags => 0xdeadbeef), 'set', 0, 'SET', length => 0)->{cas};
cmp_ok($id, '>', 0, 'with a CAS id');
is(is_value('k', 'one', 'GET with flags', 0xdeadbeef)->{cas}, $id, 'and the same id');
ask(packet('getk', key => 'k'), 'getk', 0, 'GETK', key => 'k', value => 'one');
ask(packet('getk', key => 'nix'), 'getk', 1, 'GETK of a missing key shows it', key => 'nix', value => '');
ask(packet('getl', key => 'k'), 'getl', 0, 'GETL is a GETK', key => 'k', value => 'one');
ask(set_packet('add', 'k', 'two'), 'add', 2, 'ADD of what is there');
ask(set_packet('add', 'fresh', 'two'), 'add', 0, 'ADD');
ask(set_packet('replace', 'nix', 'two'), 'replace', 1, 'REPLACE of what is not there');
ask(set_packet('replace', 'fresh', 'three'), 'replace', 0, 'REPLACE');
ask(packet('append', key => 'fresh', value => '!'), 'append', 0, 'APPEND');
ask(packet('prepend', key => 'fresh', value => '>'), 'prepend', 0, 'PREPEND');
is_value('fresh', '>three!');
ask(packet($_, key => 'nix', value => '!'), $_, 5, uc . ' to nothing') for qw(append prepend);
ask(packet('delete', key => 'fresh'), 'delete', 0, 'DELETE', length => 0, cas => 0);
ask(packet('delete', key => 'fresh'), 'delete', 1, 'DELETE once more');
is_value('fresh', undef);
ask(set_packet('set', 'empty', ''), 'set', 0, 'an empty value');
is_value('empty', '');
my $odd = join '', map { chr } 0 .. 255;
ask(set_packet('set', "a\r\nb c", $odd), 'set', 0, 'a key that ASCII cannot have');
is_value("a\r\nb c", $odd, 'has its value');

# CAS ids.
ask(set_packet('set', 'k', 'two', cas => $id + 1), 'set', 2, 'SET with a wrong id');
my $next = ask(set_packet('set', 'k', 'two', cas => $id), 'set', 0, 'SET with the right id')->{cas};
isnt($next, $id, 'which changes');
ask(set_packet('set', 'k', 'three', cas => $id), 'set', 2, 'it works once');
ask(set_packet('set', 'nix', 'three', cas => $id), 'set', 1, 'SET with an id of a missing key');
ask(set_packet('replace', 'k', 'three', cas => $id), 'replace', 2, 'REPLACE with a wrong id');
ask(packet('append', key => 'k', value => '!', cas => $id), 'append', 2, 'APPEND with a wrong id');
ask(packet('delete', key => 'k', cas => $id), 'delete', 2, 'DELETE with a wrong id');
is_value('k', 'two');
ask(packet('delete', key => 'k', cas => $next), 'delete', 0, 'DELETE with the right id');

# Numbers.
my $number = sub { (value => pack 'Q>', $_[0]) };
ask(count_packet('incr', 'n', 1, 5, 0xffffffff), 'incr', 1, 'INCR that must not create');
ask(count_packet('decr', 'n', 1, 5, 0xffffffff), 'decr', 1, 'DECR that must not create');
ask(count_packet('incr', 'n', 1, 5, 0), 'incr', 0, 'INCR that creates', $number->(5));
is_value('n', '5', 'the digits, and nothing behind them');
ask(count_packet('incr', 'n', 211, 0, 0), 'incr', 0, 'INCR', $number->(216));
ask(count_packet('incr', 'n', 2**33, 0, 0), 'incr', 0, 'INCR by much', $number->(2**33 + 216));
ask(count_packet('decr', 'n', 17, 0, 0), 'decr', 0, 'DECR', $number->(2**33 + 199));
ask(count_packet('decr', 'n', 2**34, 0, 0), 'decr', 0, 'DECR stops at 0', $number->(0));
my $top = '18446744073709551615';
ask(count_packet('incr', 'top', 1, $top, 0), 'incr', 0, 'the largest number', $number->($top));
ask(count_packet('decr', 'top', 1, 0, 0), 'decr', 0, 'is not negative', $number->('18446744073709551614'));
ask(count_packet('decr', 'top', '9223372036854775808', 0, 0), 'decr', 0, 'nor is half of it', $number->('9223372036854775806'));
ask(count_packet('incr', 'top', 2, 0, 0), 'incr', 0, 'across the middle', $number->('9223372036854775808'));
ask(count_packet('decr', 'top', 1, 0, 0), 'decr', 0, 'and back', $number->('9223372036854775807'));
ask(count_packet('incr', 'top', $top, 0, 0), 'incr', 0, 'sums wrap', $number->('9223372036854775806'));
ask(set_packet('set', 'text', 'no number'), 'set', 0, 'a text');
for my $op (qw(incr decr)) {
    ask(count_packet($op, 'text', 1, 0, 0), $op, 6, uc $op . ' of a text');
    ask(count_packet($op, 'n', 1, 0, 0, cas => 1), $op, 2, uc $op . ' with a wrong id');
}
is_value('text', 'no number');

# Quiet ones say nothing when all is well.
silent(set_packet('setq', 'q', 'one'), 'SETQ');
is_value('q', 'one');
silent(set_packet('replaceq', 'q', 'two'), 'REPLACEQ');
silent(packet('appendq', key => 'q', value => '!'), 'APPENDQ');
silent(packet('prependq', key => 'q', value => '>'), 'PREPENDQ');
is_value('q', '>two!');
silent(packet('deleteq', key => 'q'), 'DELETEQ');
silent(set_packet('addq', 'q', 'new'), 'ADDQ');
is_value('q', 'new');
silent(count_packet('incrq', 'qn', 1, 7, 0), 'INCRQ');
silent(count_packet('incrq', 'qn', 3, 0, 0), 'INCRQ');
silent(count_packet('decrq', 'qn', 1, 0, 0), 'DECRQ');
is_value('qn', '9 ', 'and did what they should');    # padded to the old length
silent(packet('getq', key => 'nix'), 'a miss of GETQ');
silent(packet('getkq', key => 'nix'), 'a miss of GETKQ');
# Failures are told, under the quiet opcode.
ask(set_packet('addq', 'q', 'x'), 'addq', 2, 'ADDQ of what is there');
ask(set_packet('replaceq', 'nix', 'x'), 'replaceq', 1, 'REPLACEQ of nothing');
ask(packet('appendq', key => 'nix', value => 'x'), 'appendq', 5, 'APPENDQ to nothing');
ask(packet('deleteq', key => 'nix'), 'deleteq', 1, 'DELETEQ of nothing');
ask(count_packet('incrq', 'text', 1, 0, 0), 'incrq', 6, 'INCRQ of a text');

# A multi-key get: quiet ones, closed by a NOOP.
ask(set_packet('set', "m$_", "value $_"), 'set', 0, "m$_") for 1 .. 5;
$c->put(join '', (map { packet('getq', key => "m$_", opaque => $_) } 3, 9, 1, 5, 7), packet('noop', opaque => 99));
answers($c, 'getq', 0, "hit $_", opaque => $_, value => "value $_") for 3, 1, 5;
answers($c, 'noop', 0, 'the end', opaque => 99);
$c->put(packet('getkq', key => 'm2', opaque => 2) . packet('getkq', key => 'mx') . packet('getk', key => 'm4', opaque => 4));
answers($c, 'getkq', 0, 'with keys', opaque => 2, key => 'm2', value => 'value 2');
answers($c, 'getk', 0, 'the last of them', opaque => 4, key => 'm4', value => 'value 4');

# touch and get-and-touch.
ask(packet('touch', key => 'm1', extras => pack 'N', 100), 'touch', 0, 'TOUCH');
ask(packet('touch', key => 'nix', extras => pack 'N', 100), 'touch', 1, 'TOUCH of nothing');
ask(packet('gat', key => 'm1', extras => pack 'N', 100), 'gat', 0, 'GAT', value => 'value 1');
silent(packet('gatq', key => 'nix', extras => pack 'N', 100), 'a miss of GATQ');

# Packets in pieces of any size.
my $packets = join '', map { set_packet('set', "piece$_", Moxi::filler(700, $_), opaque => $_) } 1 .. 12;
for my $size (1, 7, 24, 25, 700, 2047, 2048, 2049) {
    for (my $at = 0; $at < length $packets; $at += $size) {
        last if $size == 1 && $at > 1600;
        $c->put(substr $packets, $at, $size);
        $c->put(substr $packets, 1601) if $size == 1 && $at == 1600;
    }
    my $good = grep { my $reply = Moxi::Server::reply($c); $reply && $reply->{opaque} == $_ && !$reply->{status} } 1 .. 12;
    is($good, 12, "pieces of $size bytes");
}
is_value('piece12', Moxi::filler(700, 12), 'nothing is lost');

# Statistics.
sub binary_stats {
    my ($key) = @_;
    $c->put(packet('stat', key => $key, opaque => 77));
    my %stats;
    while (my $reply = Moxi::Server::reply($c)) {
        return ($reply->{status}, \%stats) if $reply->{key} eq '';
        $stats{ $reply->{key} } = $reply->{value};
    }
    return;
}
my ($status, $stats) = binary_stats('');
is(scalar keys %$stats, 35, 'all statistics');
is_deeply([sort keys %$stats], [sort keys %{ $server->stats }], 'the same as in ASCII');
for my $sub (qw(settings items slabs sizes)) {
    ($status, $stats) = binary_stats($sub);
    is_deeply([sort keys %$stats], [sort keys %{ $server->stats($sub) }], "stats $sub");
}
is((binary_stats('detail on'))[0], 0, 'detail on');
ask(packet('get', key => 'no:such'), 'get', 1, 'a miss');
($status, $stats) = binary_stats('detail dump');
is($stats->{detailed}, "PREFIX no get 1 hit 0 set 0 del 0\r\nEND\r\n", 'detail dump');
is((binary_stats('detail off'))[0], 0, 'detail off');
is((binary_stats($_))[0], 1, "no '$_'") for 'detail', 'detail maybe', 'cachedump', 'cachedump 1 1', 'resetX', 'settingsX', 'nonsense';
is($server->stat('cmd_get') > 0, 1, 'resetX has reset nothing');
is((binary_stats('reset'))[0], 0, 'reset');
is($server->stat('cmd_get'), 0, 'which has');

# Flush.
ask(packet('flush'), 'flush', 0, 'FLUSH', length => 0);
is_value('m1', undef);
ask(set_packet('set', 'm1', 'back'), 'set', 0, 'a value after it');
is_value('m1', 'back', 'stays');
silent(packet('flushq', extras => pack 'N', 0), 'FLUSHQ');
is_value('m1', undef);
ask(packet('flush', extras => pack 'N', 1000), 'flush', 0, 'FLUSH later');
ask(set_packet('set', 'm1', 'back'), 'set', 0, 'a value before then');
is_value('m1', 'back', 'is there until then');
is($server->stat('cmd_flush'), 3, 'three flushes');

# What is wrong: the connection goes on after an unknown command, and ends after a packet that has not its form.
ask(packet($_, value => 'x' x 10), $_, 0x81, sprintf 'no command 0x%02x', $_) for 0x1b, 0x20, 0x2a, 0x95, 0x96, 0xff;
for my $case (
    ['extras of GET',    packet('get', key => 'k', extras => 'xxxx'), 'get'],
    ['value of GET',     packet('get', key => 'k', value => 'x'), 'get'],
    ['GET of no key',    packet('get'), 'get'],
    ['SET, no extras',   packet('set', key => 'k', value => 'x'), 'set'],
    ['SET of no key',    set_packet('set', '', 'x'), 'set'],
    ['long key',         set_packet('set', 'k' x 251, 'x'), 'set'],
    ['very long key',    set_packet('set', 'k' x 300, 'x'), 'set'],
    ['GET of long key',  packet('get', key => 'k' x 251), 'get'],
    ['extras of APPEND', set_packet('append', 'k', 'x'), 'append'],
    ['DELETE, value',    packet('delete', key => 'k', value => 'x'), 'delete'],
    ['INCR, no extras',  packet('incr', key => 'k'), 'incr'],
    ['key of NOOP',      packet('noop', key => 'k'), 'noop'],
    ['STAT, surplus',    packet('stat', key => 'settings', value => 'x'), 'stat'],
    ['FLUSH, extras',    packet('flush', extras => 'xx'), 'flush'],
    ['key of QUIT',      packet('quit', key => 'k'), 'quit'],
) {
    my ($name, $request, $op) = @$case;
    my $client = $server->client;
    $client->put($request);
    answers($client, $op, 4, $name);
    ok($client->closed, "$name: closed");
}
for my $case (
    ['another magic',     packet('noop') . "\x81" . substr packet('noop'), 1],
    ['a body beyond all', packet('noop') . pack('CCnCCnNNQ>', 0x80, 1, 1, 8, 0, 0, 22020097, 0, 0)],
    ['key beyond body',   packet('noop') . pack('CCnCCnNNQ>', 0x80, 0, 9, 0, 0, 0, 8, 0, 0) . 'x' x 8],
) {
    my ($name, $request) = @$case;
    my $client = $server->client;
    $client->put($request);
    answers($client, 'noop', 0, "$name: the packet before is answered");
    is($client->rest, '', 'then nothing more');
    ok($client->closed, 'but the end');
}

# A key of the greatest length, in both protocols.
my $key = 'K' x 250;
ask(set_packet('set', $key, 'long'), 'set', 0, 'a key of 250 bytes');
$server->client->holds($key, 'long');
my $quitter = $server->client;
$quitter->put(packet('quit', opaque => 3));
answers($quitter, 'quit', 0, 'QUIT', opaque => 3);
ok($quitter->closed, 'closes');
$quitter = $server->client;
$quitter->put(packet('quitq'));
is($quitter->rest, '', 'QUITQ closes without a word');
is_value('m1', 'back', 'the others stay');
$server->finish;
