#!/usr/bin/perl
# The fixed scenario, for the modules of Perl: scenario.pl LIBRARY PROTOCOL PORT
#
# Prints one line per step: its name, and what the module made of the answer. A step that a module has no call for is
# left out.

use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use Time::HiRes qw(sleep);

my ($library, $protocol, $port) = @ARGV;
$| = 1;
my $address   = "127.0.0.1:$port";
my $all_bytes = join '', map { chr } 0 .. 255;
my @values    = (
    ['empty', ''], ['all bytes', $all_bytes], ['treacherous', "x\r\nEND\r\nVALUE k 0 1\r\nHD\r\n\x80\x81\0"],
    ['64k', 'k' x 65536], ['large', 'l' x 1_000_000],
);
my $too_large = join '', map { md5_hex($_) } 1 .. 40000;
my @keys = (['1', 'k'], ['250', 'l' x 250], ['251', 'm' x 251], ['blank', 'n o'], ['utf-8', "schl\xc3\xbcssel"]);
my $client;

sub shown {
    my ($value) = @_;
    return 'undef' unless defined $value;
    my $text
        = ref $value eq 'ARRAY' ? '[' . join(', ', map { shown($_) } @$value) . ']'
        : ref $value eq 'HASH' ? '{' . join(', ', map { "$_ = " . shown($value->{$_}) } sort keys %$value) . '}'
        :                        $value;
    return length($text) . ' characters, ' . substr(md5_hex($text), 0, 8) if length $text > 300;
    $text =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
    return $text;
}

sub step {
    my ($name, $call) = @_;
    local $SIG{__WARN__} = sub { };
    my $value = eval { shown(scalar $call->()) };
    ($value) = split /\n/, "died: $@" unless defined $value;
    $value =~ s/ at \S+ line \d+.*//;
    print "$name: $value\n";
}

sub statistics {
    my ($found) = @_;
    my %told = map { $_ => $found->{$_} } qw(curr_items total_items cmd_set);
    return \%told;
}

sub is_version { return $_[0] =~ /^\d+\.\d+\.\d+/ ? 'a version' : "none: $_[0]" }

# Cache::Memcached and Cache::Memcached::Fast have nearly the same calls.
sub objects {
    my ($make, $fast) = @_;
    $client = $make->();
    $client->set("ten$_", 'v') for 0 .. 9;
    values_of_objects($fast);
    for (@keys) {
        my ($name, $key) = @$_;
        # Neither module looks at its keys, and such lines are mistakes in different places for everybody.
        next if $name eq 'blank' || $name eq '251';
        $client = $make->();
        step("set key $name", sub { $client->set($key, "of $name") });
        step("get key $name", sub { $client->get($key) });
    }
    $client = $make->();
    conditions_of_objects();
    numbers_of_objects();
    several_objects($fast);
    end_of_objects();
}

sub values_of_objects {
    my ($fast) = @_;
    if ($fast) {
        step('versions', sub { my $found = $client->server_versions; [map { is_version($_) } values %$found] });
    }
    else {
        step('statistics after ten', sub { my $found = $client->stats('misc'); statistics($found->{hosts}{$address}{misc}) });
    }
    step('get nothing', sub { $client->get('nothing') });
    for (@values) {
        my ($name, $value) = @$_;
        step("set $name", sub { $client->set('value', $value) });
        step("get $name", sub { $client->get('value') });
    }
    step('set too large', sub { $client->set('value', $too_large) });
    step('get after too large', sub { $client->get('value') });
    step('set structure', sub { $client->set('typed', { a => [1, 'b'], c => "\0" }) });
    step('get structure', sub { $client->get('typed') });
}

sub conditions_of_objects {
    $client->set('a', '1');
    for my $call (qw(add replace append prepend)) {
        next unless $client->can($call);
        step("$call there",   sub { $client->$call('a',             "-$call-") });
        step("$call nothing", sub { $client->$call("nothing-$call", 'x') });
        step("get after $call", sub { [map { $client->get($_) } 'a', "nothing-$call"] });
    }
    if ($client->can('gets')) {
        step(
            'gets and cas',
            sub {
                my $found = $client->gets('a');
                my $stale = [@$found];
                [$found->[1], $client->cas('a', $found->[0], 'by cas'), $client->cas('a', $stale->[0], 'stale')];
            });
        step('gets nothing', sub { $client->gets('nothing') });
        step('gets several', sub { my $found = $client->gets_multi('a', 'nothing'); [map { [$_, $found->{$_}[1]] } sort keys %$found] });
    }
    step('delete',         sub { $client->delete('nothing-add') });
    step('delete nothing', sub { $client->delete('nothing-add') });
}

sub numbers_of_objects {
    step('incr nothing', sub { $client->incr('uncounted', 1) });
    $client->set('number', 10);
    step('incr',               sub { $client->incr('number', 5) });
    step('decr',               sub { $client->decr('number', 3) });
    step('decr below nothing', sub { $client->decr('number', 100) });
    $client->set('number', 'word');
    step('incr word', sub { $client->incr('number', 1) });
}

sub several_objects {
    my ($fast) = @_;
    $client->set("multi$_", "$_" x ($_ % 7)) for 0 .. 299;
    step('get several',               sub { $client->get_multi(map { "multi$_" } 0 .. 320) });
    step('get several, some missing', sub { $client->get_multi(qw(multi1 none1 multi2 none2)) });
    step('get several, none there',   sub { $client->get_multi(qw(none1 none2)) });
    if ($fast) {
        step('set several', sub { [$client->set_multi(map { ["several$_", 's' x $_] } 1 .. 20)] });
        step('add several', sub { [$client->add_multi(['several1', 'x'], ['several21', 'y'])] });
        step('incr several', sub { $client->set('c1', 1); [$client->incr_multi(['c1', 2], ['c1'])] });
        step('delete several', sub { [$client->delete_multi('several1', 'none1')] });
        step('touch several', sub { [$client->touch_multi(['several2', 100], ['none1', 100])] });
        step('gat several', sub { $client->gat_multi(100, 'several2', 'none1', 'several3') });
        step('gat', sub { $client->gat(100, 'several2') });
        step('gats several', sub { my $found = $client->gats_multi(100, 'several2', 'none1'); [map { [$_, $found->{$_}[1]] } sort keys %$found] });
        step('silently', sub { $client->set('quiet', 7); $client->incr('quiet', 3); $client->append('quiet', '0'); $client->delete('none1'); $client->nowait_push; $client->get('quiet') });
    }
}

sub end_of_objects {
    $client->set('short', 's', 2);
    $client->set('long', 'l', 100);
    $client->set('touched', 't', 2);
    step('get for 2 s', sub { $client->get('short') });
    step('touch', sub { $client->touch('touched', 100) }) if $client->can('touch');
    sleep 3.2;
    for my $key (qw(short long touched)) {
        step("get $key later", sub { $client->get($key) });
    }
    step('flush', sub { my $done = $client->flush_all; ref $done ? [values %$done] : $done });
    step('get flushed', sub { $client->get('a') });
    step('leave', sub { $client->disconnect_all; 1 });
}

sub with_cache_memcached {
    require Cache::Memcached;
    objects(sub { Cache::Memcached->new({ servers => [$address], connect_timeout => 10, select_timeout => 10 }) });
}

sub with_cache_memcached_fast {
    require Cache::Memcached::Fast;
    objects(sub { Cache::Memcached::Fast->new({ servers => [$address], connect_timeout => 10, io_timeout => 10, max_size => 4 << 20 }) }, 1);
}

# The functions of libmemcached by their own names.
sub with_libmemcached {
    require Memcached::libmemcached;
    Memcached::libmemcached->import(grep { /^memcached_/ } @Memcached::libmemcached::EXPORT_OK);
    no strict 'refs';
    # Some words are places for results.
    my $call = sub { my $name = shift; &{"Memcached::libmemcached::memcached_$name"}(@_) };
    my $make = sub {
        my $new = $call->('create');
        for (['BINARY_PROTOCOL', $protocol eq 'binary'], ['SUPPORT_CAS', 1], ['RCV_TIMEOUT', 10_000_000], ['POLL_TIMEOUT', 10_000]) {
            $call->('behavior_set', $new, &{"Memcached::libmemcached::MEMCACHED_BEHAVIOR_$_->[0]"}(), $_->[1] ? $_->[1] : 0);
        }
        $call->('server_add', $new, '127.0.0.1', $port);
        return $new;
    };
    # What was returned, and the last answer as libmemcached names it.
    my $do = sub {
        my ($name, $function, @words) = @_;
        step($name, sub { my $value = $call->($function, $client, @words); [$value, $client->errstr . ''] });
    };
    $client = $make->();
    for (@values) {
        my ($name, $value) = @$_;
        $do->("set $name", 'set', 'value', $value, 0, 3);
        my ($flags, $rc);
        step("get $name", sub { my $found = $call->('get', $client, 'value', $flags, $rc); [$found, $flags, "$rc"] });
    }
    $do->('get nothing', 'get', 'nothing');
    for (@keys) {
        my ($name, $key) = @$_;
        $client = $make->();
        $do->("set key $name", 'set', $key, "of $name");
        $do->("get key $name", 'get', $key);
    }
    $client = $make->();
    $do->('set', 'set', 'a', '1');
    for my $name (qw(add replace append prepend)) {
        $do->("$name there",     $name, 'a',             "-$name-");
        $do->("$name nothing",   $name, "nothing-$name", 'x');
        $do->("get after $name", 'get', 'a');
    }
    $do->('delete',         'delete', 'nothing-add');
    $do->('delete nothing', 'delete', 'nothing-add');
    $do->('set number',     'set',    'number', '10');
    my $number;
    step('incr', sub { my $done = $call->('increment', $client, 'number', 5, $number); [$done, $number] });
    step('decr', sub { my $done = $call->('decrement', $client, 'number', 3, $number); [$done, $number] });
    step('decr below nothing', sub { my $done = $call->('decrement', $client, 'number', 100, $number); [$done, $number] });
    if ($protocol eq 'binary') {
        step('incr with initial', sub { my $done = $call->('increment_with_initial', $client, 'initial', 1, 42, 100, $number); [$done, $number] });
    }
    step('set several', sub { scalar grep { $call->('set', $client, "multi$_", "$_" x ($_ % 7)) } 0 .. 99 });
    my %found;
    step('get several', sub { my $done = $call->('mget_into_hashref', $client, [map { "multi$_" } 0 .. 120], \%found); [$done, \%found] });
    step('exist', sub { [map { scalar $call->('exist', $client, $_) } qw(multi1 none1)] }) if defined &Memcached::libmemcached::memcached_exist;
    step('version', sub { my @found = $call->('version', $client); scalar @found });
    $client = $make->();
    $do->('set too large', 'set', 'value', $too_large);
    $client = $make->();
    $do->('set word', 'set', 'number', 'word');
    step('incr word', sub { my $done = $call->('increment', $client, 'number', 5, $number); [$done, $client->errstr . ''] });
    $client = $make->();
    $do->('flush',       'flush', 0);
    $do->('get flushed', 'get',   'a');
    $do->('quit',        'quit');
}

main->can("with_$library")->();
