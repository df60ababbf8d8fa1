// The fixed scenario, for gomemcache: scenario LIBRARY PROTOCOL PORT
//
// Prints one line per step: its name, and what the library made of the answer. Only what its version of 2014 has, which is
// the one in Debian.
package main

import (
	"crypto/md5"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

func digest(text string) string {
	return fmt.Sprintf("%x", md5.Sum([]byte(text)))[:8]
}

func shown(data []byte) string {
	if len(data) <= 300 {
		return fmt.Sprintf("%q", data)
	}
	return fmt.Sprintf("%d bytes, %s", len(data), digest(string(data)))
}

func step(name string, result ...interface{}) {
	words := make([]string, len(result))
	for place, each := range result {
		words[place] = fmt.Sprint(each)
	}
	fmt.Printf("%s: %s\n", name, strings.Join(words, ", "))
}

func item(found *memcache.Item, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %d", shown(found.Value), found.Flags)
}

func several(found map[string]*memcache.Item, err error) string {
	words := []string{}
	for key, each := range found {
		words = append(words, key+" = "+item(each, nil))
	}
	sort.Strings(words)
	text := strings.Join(words, ", ")
	if len(text) > 600 {
		text = fmt.Sprintf("%d items, %s", len(words), digest(text))
	}
	return fmt.Sprintf("[%s] %v", text, err)
}

func set(client *memcache.Client, key string, value string, expires int32) error {
	return client.Set(&memcache.Item{Key: key, Value: []byte(value), Expiration: expires})
}

func values(client *memcache.Client) {
	all := make([]byte, 256)
	for place := range all {
		all[place] = byte(place)
	}
	for _, pair := range [][2]string{{"empty", ""}, {"all bytes", string(all)}, {"treacherous", "x\r\nEND\r\nVALUE k 0 1\r\nHD\r\n\x80\x81\x00"},
		{"64k", strings.Repeat("k", 65536)}, {"large", strings.Repeat("l", 1000000)}, {"too large", strings.Repeat("t", 1<<20)}, {"small", "s"}} {
		step("set "+pair[0], client.Set(&memcache.Item{Key: "value", Value: []byte(pair[1]), Flags: 4294967295}))
		step("get "+pair[0], item(client.Get("value")))
	}
	for _, pair := range [][2]string{{"1", "k"}, {"250", strings.Repeat("l", 250)}, {"251", strings.Repeat("m", 251)}, {"blank", "n o"}, {"utf-8", "schlüssel"}} {
		step("set key "+pair[0], set(client, pair[1], "of "+pair[0], 0))
		step("get key "+pair[0], item(client.Get(pair[1])))
	}
}

func conditions(client *memcache.Client) {
	step("set", set(client, "a", "1", 0))
	step("add there", client.Add(&memcache.Item{Key: "a", Value: []byte("2")}))
	step("add", client.Add(&memcache.Item{Key: "added", Value: []byte("2")}))
	step("replace", client.Replace(&memcache.Item{Key: "a", Value: []byte("3")}))
	step("replace nothing", client.Replace(&memcache.Item{Key: "nothing", Value: []byte("3")}))
	found, err := client.Get("a")
	step("get", item(found, err))
	found.Value = []byte("by cas")
	step("cas", client.CompareAndSwap(found))
	step("cas twice", client.CompareAndSwap(found))
	step("get after cas", item(client.Get("a")))
	step("delete", client.Delete("added"))
	step("delete nothing", client.Delete("added"))
	step("cas nothing", func() error {
		set(client, "gone", "1", 0)
		found, _ := client.Get("gone")
		client.Delete("gone")
		return client.CompareAndSwap(found)
	}())
}

func numbers(client *memcache.Client) {
	number := func(name string, value uint64, err error) { step(name, value, err) }
	value, err := client.Increment("uncounted", 1)
	number("incr nothing", value, err)
	set(client, "number", "10", 0)
	value, err = client.Increment("number", 5)
	number("incr", value, err)
	value, err = client.Decrement("number", 3)
	number("decr", value, err)
	value, err = client.Decrement("number", 100)
	number("decr below nothing", value, err)
	set(client, "number", "18446744073709551615", 0)
	value, err = client.Increment("number", 2)
	number("incr highest", value, err)
	set(client, "number", "word", 0)
	value, err = client.Increment("number", 1)
	number("incr word", value, err)
}

func multi(client *memcache.Client) {
	keys := []string{}
	for number := 0; number < 300; number++ {
		key := fmt.Sprintf("multi%d", number)
		set(client, key, strings.Repeat("m", number%7), 0)
		keys = append(keys, key)
	}
	step("get several", several(client.GetMulti(append(keys, "none1", "none2"))))
	step("get several, some missing", several(client.GetMulti([]string{"multi1", "none1", "multi2"})))
	step("get several, none there", several(client.GetMulti([]string{"none1", "none2"})))
	step("get several, one twice", several(client.GetMulti([]string{"multi1", "multi1", "multi2"})))
	var all sync.WaitGroup
	wrong := make(chan string, 1000)
	for worker := 0; worker < 20; worker++ {
		all.Add(1)
		go func(worker int) {
			defer all.Done()
			for turn := 0; turn < 50; turn++ {
				key := fmt.Sprintf("at-once-%d-%d", worker, turn)
				if err := set(client, key, key, 0); err != nil {
					wrong <- err.Error()
				} else if found, err := client.Get(key); err != nil || string(found.Value) != key {
					wrong <- item(found, err)
				}
			}
		}(worker)
	}
	all.Wait()
	close(wrong)
	step("at once, wrong", len(wrong))
}

func times(client *memcache.Client) {
	set(client, "short", "s", 2)
	set(client, "long", "l", 100)
	set(client, "then", "t", int32(time.Now().Unix()+1000))
	set(client, "touched", "t", 2)
	step("get for 2 s", item(client.Get("short")))
	step("touch", client.Touch("touched", 100))
	step("touch nothing", client.Touch("nothing", 100))
	time.Sleep(3200 * time.Millisecond)
	for _, key := range []string{"short", "long", "then", "touched"} {
		step("get "+key+" later", item(client.Get(key)))
	}
}

func main() {
	client := memcache.New("127.0.0.1:" + os.Args[3])
	client.Timeout = 10 * time.Second
	values(client)
	conditions(client)
	numbers(client)
	multi(client)
	times(client)
	step("flush", client.FlushAll())
	step("get flushed", item(client.Get("a")))
	set(client, "a", "again", 0)
	step("flush by its other name", client.DeleteAll())
	step("get flushed again", item(client.Get("a")))
}
