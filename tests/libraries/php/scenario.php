<?php
// The fixed scenario, for the extensions of PHP: scenario.php LIBRARY PROTOCOL PORT
//
// Prints one line per step: its name, what the call returned, and what the extension says of it. A step that an
// extension has no call for is left out.

[, $library, $protocol, $port] = $argv;
error_reporting(E_ALL);
$warned = '';
set_error_handler(function ($level, $text) {
    $GLOBALS['warned'] = preg_replace('/\(tcp .*?\)/', '', $text);
    return true;
});

function digest($data) { return substr(md5($data), 0, 8); }

function shown($value) {
    if (is_array($value)) {
        ksort($value);
        $words = [];
        foreach ($value as $key => $item) $words[] = "$key = " . shown($item);
        $text = '[' . implode(', ', $words) . ']';
        return strlen($text) <= 600 ? $text : count($value) . ' items, ' . digest($text);
    }
    if (is_string($value)) {
        return strlen($value) <= 200 ? addcslashes("'$value'", "\0..\37\177..\377") : strlen($value) . ' bytes, ' . digest($value);
    }
    return json_encode($value);
}

function step($name, $call) {
    global $client, $warned;
    $warned = '';
    try {
        $value = shown($call());
    } catch (Throwable $error) {
        $value = get_class($error) . ': ' . $error->getMessage();
    }
    $result = $client instanceof Memcached ? ' (' . $client->getResultMessage() . ')' : '';
    echo "$name: $value$result" . ($warned === '' ? '' : " ($warned)") . "\n";
}

function statistics($found) {
    $told = [];
    foreach (['curr_items', 'total_items', 'cmd_set'] as $name) $told[$name] = (string) ($found[$name] ?? 'missing');
    foreach (['pid', 'uptime', 'version', 'bytes', 'get_hits'] as $name) $told[$name] = isset($found[$name]);
    return $told;
}

function is_version($text) { return (bool) preg_match('/^\d+\.\d+\.\d+/', (string) $text); }

$ALL_BYTES = implode('', array_map('chr', range(0, 255)));
$VALUES = ['empty' => '', 'all bytes' => $ALL_BYTES, 'treacherous' => "x\r\nEND\r\nVALUE k 0 1\r\nHD\r\n\x80\x81\0",
    '64k' => str_repeat('k', 65536), 'large' => str_repeat('l', 1000000)];
$KEYS = ['1' => 'k', '250' => str_repeat('l', 250), '251' => str_repeat('m', 251), 'blank' => 'n o', 'utf-8' => 'schlüssel'];

function memcached() {
    global $protocol, $port;
    $client = new Memcached();
    $client->setOption(Memcached::OPT_BINARY_PROTOCOL, $protocol === 'binary');
    $client->setOption(Memcached::OPT_COMPRESSION, false);
    $client->setOption(Memcached::OPT_TCP_NODELAY, true);
    $client->setOption(Memcached::OPT_RECV_TIMEOUT, 10000000);
    $client->setOption(Memcached::OPT_POLL_TIMEOUT, 10000);
    $client->addServer('127.0.0.1', (int) $port);
    return $client;
}

// Memcached, on libmemcached. Some parts begin with a client of their own: it is of no use after some errors.
function with_memcached() {
    global $client;
    foreach (['memcached_values', 'memcached_keys', 'memcached_conditions', 'memcached_numbers', 'memcached_several',
        'memcached_buffered', 'memcached_times', 'memcached_end'] as $part) {
        $client = memcached();
        $part($client);
    }
}

function memcached_values($client) {
    global $VALUES;
    for ($number = 0; $number < 10; $number++) $client->set("ten$number", 'v');
    step('statistics after ten', fn() => array_map('statistics', array_values($client->getStats())));
    step('version', fn() => array_map('is_version', array_values($client->getVersion())));
    step('get nothing', fn() => $client->get('nothing'));
    foreach ($VALUES as $name => $value) {
        step("set $name", fn() => $client->set('value', $value));
        step("get $name", fn() => $client->get('value'));
    }
    foreach ([1, -7, 1.5, true, null, ['a' => [1, "\0"]], PHP_INT_MAX] as $value) {
        step('set of type', fn() => $client->set('typed', $value));
        step('get of type', fn() => $client->get('typed'));
    }
    step('set too large', fn() => $client->set('value', random_bytes(1 << 20)));
}

function memcached_keys($client) {
    global $KEYS;
    step('get after too large', fn() => $client->get('value'));
    foreach ($KEYS as $name => $key) {
        $GLOBALS['client'] = $client = memcached();
        step("set key $name", fn() => $client->set($key, "of $name"));
        step("get key $name", fn() => $client->get($key));
    }
}

function memcached_conditions($client) {
    $client->set('a', '1');
    foreach (['add', 'replace', 'append', 'prepend'] as $call) {
        step("$call there", fn() => $client->$call('a', "-$call-"));
        step("$call nothing", fn() => $client->$call("nothing-$call", 'x'));
        step("get after $call", fn() => [$client->get('a'), $client->get("nothing-$call")]);
    }
    step('gets', fn() => array_map('gettype', $client->get('a', null, Memcached::GET_EXTENDED)));
    $cas = $client->get('a', null, Memcached::GET_EXTENDED)['cas'];
    step('cas', fn() => $client->cas($cas, 'a', 'by cas'));
    step('cas twice', fn() => $client->cas($cas, 'a', 'stale'));
    step('cas nothing', fn() => $client->cas(1.0, 'nothing', 'x'));
    step('get kept', fn() => $client->get('a'));
    step('delete', fn() => $client->delete('nothing-add'));
    step('delete nothing', fn() => $client->delete('nothing-add'));
}

function memcached_numbers($client) {
    global $protocol;
    step('incr nothing', fn() => $client->increment('number'));
    $client->set('number', 10);
    step('incr', fn() => $client->increment('number', 5));
    step('decr', fn() => $client->decrement('number', 3));
    step('decr below nothing', fn() => $client->decrement('number', 100));
    if ($protocol === 'binary') {
        step('incr with initial', fn() => [$client->increment('initial', 1, 42, 100), $client->increment('initial', 1, 42, 100)]);
        step('decr with initial', fn() => [$client->decrement('initial2', 1, 42), $client->decrement('initial2', 1, 42)]);
    }
    $client->set('number', 'word');
    step('incr word', fn() => $client->increment('number'));
}

function memcached_several($client) {
    $pairs = [];
    for ($number = 0; $number < 300; $number++) $pairs["multi$number"] = str_repeat((string) $number, $number % 7);
    step('set several', fn() => $client->setMulti($pairs));
    step('get several', fn() => $client->getMulti(array_keys($pairs)));
    step('get several, some missing', fn() => $client->getMulti(['multi1', 'none1', 'multi2'], Memcached::GET_PRESERVE_ORDER));
    step('get several, none there', fn() => $client->getMulti(['none1', 'none2']));
    step('get several with cas', fn() => array_map(fn($item) => [$item['value'], gettype($item['cas'])],
        $client->getMulti(['multi1', 'multi2'], Memcached::GET_EXTENDED)));
    step('get delayed', fn() => [$client->getDelayed(['multi1', 'none1', 'multi3']), array_column($client->fetchAll(), 'value', 'key')]);
    step('delete several', fn() => $client->deleteMulti(['multi1', 'none1']));
}

function memcached_buffered($client) {
    global $protocol;
    $client->setOption(Memcached::OPT_BUFFER_WRITES, true);
    step('set buffered', function () use ($client) {
        $stored = [];
        for ($number = 0; $number < 50; $number++) $stored[] = $client->set("buffered$number", str_repeat('b', $number));
        return [array_unique($stored), $client->get('buffered49'), $client->get('buffered7')];
    });
    if ($protocol === 'binary') return;
    $GLOBALS['client'] = $client = memcached();
    $client->setOption(Memcached::OPT_NO_BLOCK, true);
    $client->setOption(Memcached::OPT_NOREPLY, true);
    step('set silently', fn() => [$client->set('quiet', '7'), $client->increment('quiet', 3), $client->append('quiet', '0')]);
    $client->setOption(Memcached::OPT_NOREPLY, false);
    step('get set silently', fn() => $client->get('quiet'));
}

function memcached_times($client) {
    $client->set('short', 's', 2);
    $client->set('long', 'l', 100);
    $client->set('then', 't', time() + 1000);
    $client->set('touched', 't', 2);
    $client->set('shortened', 't', 100);
    step('get for 2 s', fn() => $client->get('short'));
    step('touch', fn() => $client->touch('touched', 100));
    step('touch shorter', fn() => $client->touch('shortened', 2));
    step('touch nothing', fn() => $client->touch('nothing', 2));
    usleep(3200000);
    foreach (['short', 'long', 'then', 'touched', 'shortened'] as $key) step("get $key later", fn() => $client->get($key));
}

function memcached_end($client) {
    step('flush', fn() => $client->flush());
    step('get flushed', fn() => $client->get('a'));
    step('quit', fn() => $client->quit());
}

function memcache() {
    global $port;
    $client = new Memcache();
    $client->addServer('127.0.0.1', (int) $port, true, 1, 10);
    return $client;
}

// Memcache, the older one.
function with_memcache() {
    global $client, $VALUES, $KEYS;
    ini_set('memcache.lock_timeout', '15');
    $client = memcache();
    for ($number = 0; $number < 10; $number++) $client->set("ten$number", 'v');
    step('statistics after ten', fn() => statistics($client->getStats()));
    step('version', fn() => is_version($client->getVersion()));
    step('status', fn() => $client->getServerStatus('127.0.0.1', (int) $GLOBALS['port']) !== 0);
    step('get nothing', fn() => $client->get('nothing'));
    foreach ($VALUES as $name => $value) {
        step("set $name", fn() => $client->set('value', $value));
        step("get $name", fn() => $client->get('value'));
        step("set $name compressed", fn() => $client->set('value', $value, MEMCACHE_COMPRESSED));
        step("get $name compressed", fn() => $client->get('value'));
    }
    foreach ([1, -7, 1.5, true, ['a' => [1, "\0"]]] as $value) {
        step('set of type', fn() => $client->set('typed', $value));
        step('get of type', fn() => $client->get('typed'));
    }
    foreach ($KEYS as $name => $key) {
        $client = memcache();
        step("set key $name", fn() => $client->set($key, "of $name"));
        step("get key $name", fn() => $client->get($key));
    }
    memcache_conditions(memcache());
    memcache_end(memcache());
}

function memcache_conditions($client) {
    $client->set('a', '1');
    foreach (['add', 'replace', 'append', 'prepend'] as $call) {
        step("$call there", fn() => $client->$call('a', "-$call-"));
        step("$call nothing", fn() => $client->$call("nothing-$call", 'x'));
        step("get after $call", fn() => [$client->get('a'), $client->get("nothing-$call")]);
    }
    step('cas', function () use ($client) {
        $flags = $cas = null;
        $value = $client->get('a', $flags, $cas);
        return [$value, gettype($cas), $client->cas('a', 'by cas', 0, 0, $cas), $client->cas('a', 'stale', 0, 0, $cas)];
    });
    step('delete', fn() => $client->delete('nothing-add'));
    step('delete nothing', fn() => $client->delete('nothing-add'));
    $client->set('number', 10);
    step('incr', fn() => $client->increment('number', 5));
    step('decr', fn() => $client->decrement('number', 3));
    step('decr below nothing', fn() => $client->decrement('number', 100));
    step('incr nothing', fn() => $client->increment('uncounted', 1));
}

function memcache_end($client) {
    for ($number = 0; $number < 300; $number++) $client->set("multi$number", str_repeat('m', $number % 7));
    step('get several', fn() => $client->get(array_map(fn($number) => "multi$number", range(0, 320))));
    step('get several, none there', fn() => $client->get(['none1', 'none2']));
    $client->set('short', 's', 0, 2);
    $client->set('long', 'l', 0, 100);
    step('get for 2 s', fn() => $client->get('short'));
    usleep(3200000);
    foreach (['short', 'long'] as $key) step("get $key later", fn() => $client->get($key));
    $client->set('number', 'word');
    step('incr word', fn() => $client->increment('number'));
    $client = memcache();
    step('set too large', fn() => $client->set('value', random_bytes(1 << 20)));
    $client = memcache();
    step('get after too large', fn() => $client->get('value'));
    step('flush', fn() => $client->flush());
    step('get flushed', fn() => $client->get('a'));
    step('close', fn() => $client->close());
}

"with_$library"();
