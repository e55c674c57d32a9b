package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// What a member of a group prints and obeys is described in ../python/member_args.py.
type memberArguments struct {
	bootstrap, topic, group, protocol, assignor, instance, metadata, commit string
	session                                                                 int
}

var members = map[string]func(memberArguments, <-chan []string) error{
	"franz": franzMember, "sarama": saramaMember, "kafkago": kafkagoMember,
}

func runMember(name string, given []string) error {
	var args memberArguments
	flags := flag.NewFlagSet("member", flag.ExitOnError)
	flags.StringVar(&args.bootstrap, "bootstrap", "", "")
	flags.StringVar(&args.topic, "topic", "", "")
	flags.StringVar(&args.group, "group", "", "")
	flags.StringVar(&args.protocol, "protocol", "classic", "")
	flags.StringVar(&args.assignor, "assignor", "", "")
	flags.StringVar(&args.instance, "instance", "", "")
	flags.StringVar(&args.metadata, "metadata", "", "")
	flags.StringVar(&args.commit, "commit", "each", "")
	flags.IntVar(&args.session, "session", 10_000, "")
	if err := flags.Parse(given); err != nil {
		return err
	}
	words := make(chan []string, 16)
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			words <- strings.Fields(lines.Text())
		}
		words <- []string{"stop"}
	}()
	if err := members[name](args, words); err != nil {
		return err
	}
	say("closed")
	return nil
}

var printing sync.Mutex

func say(words ...any) {
	printing.Lock()
	defer printing.Unlock()
	fmt.Println(words...)
}

func sayPartitions(word string, partitions []int32) {
	sorted := append([]int32{}, partitions...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	texts := make([]string, len(sorted))
	for i, partition := range sorted {
		texts[i] = strconv.Itoa(int(partition))
	}
	say(word, strings.Join(texts, ","))
}

func sayError(err error) {
	say("error", strings.ReplaceAll(err.Error(), "\n", " "))
}

// The next offset of each partition that was printed and not committed yet.
type printed struct {
	sync.Mutex
	next map[int32]int64
}

func (p *printed) record(partition int32, offset int64, value []byte) {
	p.Lock()
	defer p.Unlock()
	say("record", partition, offset, string(value))
	if p.next == nil {
		p.next = map[int32]int64{}
	}
	p.next[partition] = offset + 1
}

func (p *printed) take() map[int32]int64 {
	p.Lock()
	defer p.Unlock()
	taken := p.next
	p.next = nil
	return taken
}

func (p *printed) forget(partition int32) {
	p.Lock()
	defer p.Unlock()
	delete(p.next, partition)
}

func sayCommitted(offsets map[int32]int64) {
	texts := make([]string, 0, len(offsets))
	for partition, offset := range offsets {
		texts = append(texts, fmt.Sprintf("%d:%d", partition, offset))
	}
	sort.Strings(texts)
	say("committed", strings.Join(texts, " "))
}

func number(word string) int64 {
	found, _ := strconv.ParseInt(word, 10, 64)
	return found
}
