// The rows of bench/runtime in Go: goroutines and channels. bench/runtime/README.md says what each one measures.
//
//	peer ROW SECONDS
//
// GOMAXPROCS says how many threads run goroutines. Prints one JSON object.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func check(holds bool, what string) {
	if !holds {
		panic("benchmark is wrong: " + what)
	}
}

func sumBelow(n int) int { return n * (n - 1) / 2 }

// wave starts n goroutines at once; each does nothing but count itself out.
func wave(n int) {
	var wg sync.WaitGroup
	wg.Add(n)
	for i := 0; i < n; i++ {
		go wg.Done()
	}
	wg.Wait()
}

func spawnFinish(n int) {
	for i := 0; i < n; i += 1000 {
		wave(1000)
	}
}

func spawnReply(n int) {
	reply := make(chan int)
	sum := 0
	for i := 0; i < n; i++ {
		go func(i int) { reply <- i }(i)
		sum += <-reply
	}
	check(sum == sumBelow(n), "spawn_reply's sum")
}

func pingPong(roundTrips int) {
	to, from := make(chan int), make(chan int)
	go func() {
		for v := range to {
			from <- v + 1
		}
	}()
	v := 0
	for i := 0; i < roundTrips; i++ {
		to <- v
		v = <-from
	}
	close(to)
	check(v == roundTrips, "ping_pong's count")
}

func ring1000(hops int) {
	const size = 1000
	last := make(chan int)
	in := last
	for i := 1; i < size; i++ {
		c := make(chan int)
		go func(in <-chan int, out chan<- int) {
			for v := range in {
				out <- v + 1
			}
			close(out)
		}(c, in)
		in = c
	}
	v := 0
	for v < hops {
		in <- v + 1
		v = <-last
	}
	check(v == hops, "the ring's hops")
	close(in)
	_, more := <-last
	check(!more, "the ring's end")
}

const (
	fanInSenders = 64
	fanInEach    = 1000
	// The fastest of 0, 64, 128, 1024, 16384 and 64000, on one thread and on two.
	fanInCapacity = 1024
)

func mailboxFanIn(messages int) {
	mailbox := make(chan int, fanInCapacity)
	for s := 0; s < fanInSenders; s++ {
		go func(s int) {
			for i := 0; i < fanInEach; i++ {
				mailbox <- s*fanInEach + i
			}
		}(s)
	}
	sum := 0
	for i := 0; i < messages; i++ {
		sum += <-mailbox
	}
	check(sum == sumBelow(messages), "mailbox_fan_in's sum")
}

type request struct {
	by    int
	reply chan int
}

func callRoundTrip(n int) {
	requests := make(chan request)
	go func() {
		total := 0
		for r := range requests {
			total += r.by
			r.reply <- total
		}
	}()
	reply := make(chan int)
	total := 0
	for i := 0; i < n; i++ {
		requests <- request{1, reply}
		total = <-reply
	}
	close(requests)
	check(total == n, "call_round_trip's total")
}

func pass(n, capacity int) {
	values := make(chan int, capacity)
	go func() {
		for i := 0; i < n; i++ {
			values <- i
		}
		close(values)
	}()
	sum, count := 0, 0
	for v := range values {
		sum += v
		count++
	}
	check(count == n && sum == sumBelow(n), "the channel's values")
}

func select4(n int) {
	source := func(first int) <-chan int {
		c := make(chan int)
		go func() {
			for i := 0; i < n/4; i++ {
				c <- first + i
			}
		}()
		return c
	}
	a, b, c, d := source(0), source(n/4), source(n/4*2), source(n/4*3)
	sum := 0
	for i := 0; i < n; i++ {
		select {
		case v := <-a:
			sum += v
		case v := <-b:
			sum += v
		case v := <-c:
			sum += v
		case v := <-d:
			sum += v
		}
	}
	check(sum == sumBelow(n), "select_4's sum")
}

func mutexUncontended(n int) {
	var m sync.Mutex
	count := 0
	for i := 0; i < n; i++ {
		m.Lock()
		count++
		m.Unlock()
	}
	check(count == n, "mutex_uncontended's count")
}

func timerStartCancel(n int) {
	var fired atomic.Int64
	fire := func() { fired.Add(1) }
	cancelled := 0
	for i := 0; i < n; i++ {
		t := time.AfterFunc(time.Hour, fire)
		if t.Stop() {
			cancelled++
		}
	}
	check(cancelled == n && fired.Load() == 0, "a timer could not be cancelled")
}

// timerReuse is the same for a timer that is there already, as a loop with a deadline a turn has it.
func timerReuse(n int) {
	t := time.NewTimer(time.Hour)
	cancelled := 0
	for i := 0; i < n; i++ {
		t.Reset(time.Hour)
		if t.Stop() {
			cancelled++
		}
	}
	check(cancelled == n, "a timer could not be cancelled")
}

func yield2(n int) {
	counts := make(chan int)
	for g := 0; g < 2; g++ {
		go func() {
			count := 0
			for i := 0; i < n/2; i++ {
				runtime.Gosched()
				count++
			}
			counts <- count
		}()
	}
	check(<-counts+<-counts == n, "yield's count")
}

const (
	million  = 1000000
	treeSize = 1111111
)

func skynet(parent chan<- int, number, leaves int) {
	if leaves == 1 {
		parent <- number
		return
	}
	answers := make(chan int)
	for i := 0; i < 10; i++ {
		go skynet(answers, number+i*(leaves/10), leaves/10)
	}
	sum := 0
	for i := 0; i < 10; i++ {
		sum += <-answers
	}
	parent <- sum
}

func skynet1m(n int) {
	check(n == treeSize, "there is one size of skynet_1m")
	answer := make(chan int)
	go skynet(answer, 0, million)
	check(<-answer == sumBelow(million), "skynet's sum")
}

func residentBytes() int {
	text, err := os.ReadFile("/proc/self/statm")
	check(err == nil, "/proc/self/statm cannot be read")
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	check(err == nil, "/proc/self/statm reads strangely")
	return pages * os.Getpagesize()
}

// spawnPark starts n goroutines that wait to receive from a channel: one that all of them share, which costs less
// than one for each. Returns the time and the resident bytes of each.
func spawnPark(n int) (time.Duration, float64) {
	stop := make(chan struct{})
	var parked, ended sync.WaitGroup
	before := residentBytes()
	begin := time.Now()
	parked.Add(n)
	ended.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			parked.Done()
			<-stop
			ended.Done()
		}()
	}
	parked.Wait()
	took := time.Since(begin)
	bytes := float64(residentBytes()-before) / float64(n)
	for i := 0; i < n; i++ {
		stop <- struct{}{}
	}
	ended.Wait()
	return took, bytes
}

type row struct {
	run   func(n int)
	batch int
}

var rows = map[string]row{
	"spawn_finish":       {spawnFinish, 200000},
	"spawn_finish_bulk":  {wave, 100000},
	"spawn_reply":        {spawnReply, 200000},
	"ping_pong":          {pingPong, 200000},
	"ring_1000":          {ring1000, 400000},
	"mailbox_fan_in":     {mailboxFanIn, fanInSenders * fanInEach},
	"call_round_trip":    {callRoundTrip, 200000},
	"chan_unbuffered":    {func(n int) { pass(n, 0) }, 200000},
	"chan_buffered":      {func(n int) { pass(n, 128) }, 400000},
	"select_4":           {select4, 200000},
	"mutex_uncontended":  {mutexUncontended, 1000000},
	"timer_start_cancel": {timerStartCancel, 200000},
	"yield":              {yield2, 1000000},
	"skynet_1m":          {skynet1m, treeSize},
}

// measure repeats a batch until `seconds` have passed, after a fifth of that to warm up; the mean an operation.
func measure(r row, seconds float64) (ns float64, operations int) {
	for begin := time.Now(); time.Since(begin).Seconds() < seconds/5; {
		r.run(r.batch)
	}
	begin := time.Now()
	for time.Since(begin).Seconds() < seconds {
		r.run(r.batch)
		operations += r.batch
	}
	return float64(time.Since(begin).Nanoseconds()) / float64(operations), operations
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: peer ROW SECONDS")
		os.Exit(2)
	}
	name := os.Args[1]
	seconds, err := strconv.ParseFloat(os.Args[2], 64)
	check(err == nil, "SECONDS is not a number")
	result := map[string]any{"row": name, "workers": runtime.GOMAXPROCS(0), "version": runtime.Version()}
	if name == "spawn_park" {
		const n = 1000000
		took, bytes := spawnPark(n)
		result["ns"], result["operations"], result["bytes"] = float64(took.Nanoseconds())/n, n, bytes
	} else {
		r, known := rows[name]
		check(known, "no such row: "+name)
		result["ns"], result["operations"] = measure(r, seconds)
		if name == "timer_start_cancel" {
			result["ns_reused"], _ = measure(row{timerReuse, r.batch}, seconds)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		panic(err)
	}
}
