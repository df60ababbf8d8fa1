# frozen_string_literal: true

# The fixed scenario, for Dalli: scenario.rb LIBRARY PROTOCOL PORT
#
# Prints one line per step: its name, and what the library made of the answer. A step that a version of it has no call
# for is left out. PROTOCOL is binary or meta; RUBYLIB says where it is.

require 'digest'
require 'logger'
require 'set'
require 'dalli'

_, PROTOCOL, PORT = ARGV
Dalli.logger = Logger.new($stderr)
$stdout.sync = true
ALL_BYTES = (0..255).map(&:chr).join.b
TREACHEROUS = "x\r\nEND\r\nVALUE k 0 1\r\nHD\r\n\x80\x81\0".b
# Also when it has been compressed.
TOO_LARGE = Random.new(1).bytes(1 << 20)
VALUES = { 'empty' => '', 'all bytes' => ALL_BYTES, 'treacherous' => TREACHEROUS, '64k' => 'k' * 65_536,
           'large' => 'l' * 1_000_000 }.freeze
# Stored as it is, so that the server can add to it.
RAW = { raw: true }.freeze
KEYS = { '1' => 'k', '250' => 'l' * 250, '251' => 'm' * 251, 'blank' => 'n o', 'utf-8' => 'schlüssel' }.freeze

# Dalli 5 wants a newer Ruby for this alone.
unless String.method_defined?(:byteindex)
  class String
    def byteindex(what, from = 0)
      b.index(what.b, from)
    end
  end
end

def digest(text)
  Digest::MD5.hexdigest(text)[0, 8]
end

def shown(value)
  text = value.is_a?(Hash) ? value.sort_by { |key, _| key.to_s }.to_h.inspect : value.inspect
  text.length <= 600 ? text : "#{value.class} of #{text.length}, #{digest(text)}"
end

def step(name, object, call = nil)
  return if call && !object.respond_to?(call)

  text = begin
    shown(yield(object))
  rescue StandardError => e
    "#{e.class}: #{e.message.lines.first&.chomp}"
  end
  puts "#{name}: #{text}"
end

def make(**options)
  kind = Dalli::VERSION.start_with?('5') ? {} : { protocol: PROTOCOL.to_sym }
  Dalli::Client.new("127.0.0.1:#{PORT}", { socket_timeout: 10, raw: true }.merge(kind).merge(options))
end

# Stores what later steps need; what becomes of it, these show.
def put(client, key, value, expires = 0, options = nil)
  client.set(key, value, expires, options)
rescue StandardError => e
  warn "#{key}: #{e.class}: #{e.message}"
end

# A value of cas by its kind.
def cas?(value)
  value.is_a?(Integer) && value.positive? ? 'cas' : value
end

client = make
10.times { |number| put(client, "ten#{number}", 'v') }
step('statistics after ten', client) do
  client.stats.values.map { |found| %w[curr_items total_items cmd_set].map { |name| found[name] } }
end
step('version', client) { client.version.values.map { |text| text.match?(/^\d+\.\d+\.\d+/) } }
step('alive', client) { !client.alive!.nil? }
step('get nothing', client) { client.get('nothing') }
VALUES.each do |name, value|
  step("set #{name}", client) { cas?(client.set('value', value)) }
  step("get #{name}", client) { client.get('value') == value }
end
step('set too large', client) { cas?(client.set('value', TOO_LARGE)) }
step('get after too large', client) { client.get('value') }
objects = make(raw: false, compress: true)
[1, nil, 1.5, 'ü', { a: [1, "\0"] }, 'c' * 100_000].each do |value|
  step('set object', objects) { cas?(objects.set('object', value)) }
  step('get object', objects) { objects.get('object') == value }
end
KEYS.each do |name, key|
  client = make
  step("set key #{name}", client) { cas?(client.set(key, "of #{name}")) }
  step("get key #{name}", client) { client.get(key) }
end

client = make
put(client, 'a', '1', 0, RAW)
step('add there', client) { cas?(client.add('a', '2')) }
step('add', client) { cas?(client.add('added', '2')) }
step('replace', client) { cas?(client.replace('a', '3', 0, RAW)) }
step('replace nothing', client) { cas?(client.replace('nothing', '3')) }
step('append', client) { client.append('a', '-after') }
step('prepend', client) { client.prepend('a', 'before-') }
step('append nothing', client) { client.append('nothing', 'x') }
step('get longer', client) { client.get('a') }
step('get with cas', client) { client.get_cas('a').then { |value, cas| [value, cas?(cas)] } }
step('get nothing with cas', client) { client.get_cas('nothing') }
step('cas', client) { cas?(client.cas('a') { |value| "#{value} by cas" }) }
step('cas nothing', client) { client.cas('nothing') { |value| value } }
step('cas in vain', client) do
  client.cas('a') do |value|
    client.set('a', 'between')
    "#{value} stale"
  end
end
step('get kept', client) { client.get('a') }
step('set by cas', client, :set_cas) { [cas?(client.set_cas('a', '4', client.get_cas('a').last)), client.set_cas('a', '5', 1)] }
step('replace by cas', client, :replace_cas) { [cas?(client.replace_cas('a', '6', client.get_cas('a').last)), client.replace_cas('a', '7', 1)] }
step('delete by cas', client, :delete_cas) { [client.delete_cas('a', 1), client.delete_cas('a', client.get_cas('a').last)] }
step('delete', client) { client.delete('added') }
step('delete nothing', client) { client.delete('added') }
step('fetch', client) { [client.fetch('fetched', 100) { 'made' }, client.fetch('fetched', 100) { 'again' }] }

step('incr nothing', client) { client.incr('uncounted', 1) }
step('incr with initial', client) { Array.new(2) { client.incr('counted', 5, 100, 42) } }
step('decr with initial', client) { Array.new(2) { client.decr('counted2', 5, 100, 42) } }
step('decr below nothing', client) { client.decr('counted2', 1000) }

step('set several', client, :set_multi) { client.set_multi((0..99).to_h { |number| ["set#{number}", "s#{number}"] }, 100) }
step('get several set', client, :set_multi) { client.get_multi((0..110).map { |number| "set#{number}" }) }
step('set in a block', client) { client.multi { 300.times { |number| client.set("multi#{number}", number.to_s * (number % 7)) } } }
step('get several', client) { client.get_multi((0..320).map { |number| "multi#{number}" }) }
step('get several, some missing', client) { client.get_multi('multi1', 'none1', 'multi2', 'none2') }
step('get several, none there', client) { client.get_multi('none1', 'none2') }
step('get several with cas', client, :get_multi_cas) do
  client.get_multi_cas('multi1', 'none1', 'multi2').transform_values { |value, cas| [value, cas?(cas)] }
end
step('delete several', client, :delete_multi) { client.delete_multi(%w[multi1 none1 multi2]) }
step('get deleted', client) { client.get_multi('multi1', 'multi2', 'multi3') }
step('quietly', client, :quiet) do
  client.quiet do
    client.set('quiet', '7', 0, RAW)
    client.add('quiet', '8')
    client.incr('quiet', 3)
    client.append('quiet', '0')
    client.delete('none1')
  end
  client.get('quiet')
end
step('get with metadata', client, :get_with_metadata) do
  2.times.map { client.get_with_metadata('multi3', return_hit_status: true).reject { |name, _| name == :cas } }
end
step('fetch with lock', client, :fetch_with_lock) do
  2.times.map { client.fetch_with_lock('locked', ttl: 100, lock_ttl: 10) { 'made' } }
end

client = make
put(client, 'short', 's', 2)
put(client, 'long', 'l', 100)
put(client, 'touched', 't', 2)
put(client, 'shortened', 't', 100)
put(client, 'gat', 'g', 2)
step('get for 2 s', client) { client.get('short') }
step('touch', client) { client.touch('touched', 100) }
step('touch shorter', client) { client.touch('shortened', 2) }
step('touch nothing', client) { client.touch('nothing', 2) }
step('gat', client) { client.gat('gat', 100) }
step('gat nothing', client) { client.gat('nothing', 100) }
sleep 3.2
%w[short long touched shortened gat].each { |key| step("get #{key} later", client) { client.get(key) } }

put(client, 'number', 'word')
step('incr word', client) { client.incr('number', 1) }
client = make
step('reset statistics', client) { client.reset_stats }
step('flush', client) { client.flush }
step('get flushed', client) { client.get('a') }
step('get several flushed', client) { client.get_multi('multi3', 'multi4') }
step('close', client) { client.close }
