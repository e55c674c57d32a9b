package main

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var franzBalancers = map[string]kgo.GroupBalancer{
	"": kgo.RangeBalancer(), "range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(),
	"sticky": kgo.StickyBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer(),
}

type franzGroup struct {
	args    memberArguments
	client  *kgo.Client
	printed printed
}

func (g *franzGroup) options() []kgo.Opt {
	given := func(word string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			sayPartitions(word, partitions[g.args.topic])
		}
	}
	revoked := given("revoked")
	session := time.Duration(g.args.session) * time.Millisecond
	options := []kgo.Opt{
		kgo.SeedBrokers(g.args.bootstrap), kgo.ConsumerGroup(g.args.group), kgo.ConsumeTopics(g.args.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.FetchMaxWait(100 * time.Millisecond), kgo.MetadataMaxAge(2 * time.Second), kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.OnPartitionsAssigned(given("assigned")),
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
			if g.args.commit == "each" {
				g.commit()
			}
			revoked(ctx, client, partitions)
		}),
		kgo.OnPartitionsLost(func(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
			g.printed.take()
			revoked(ctx, client, partitions)
		}),
	}
	if g.args.protocol == "consumer" {
		options = append(options, kgo.ServerSideBalancer())
	} else {
		options = append(options, kgo.SessionTimeout(session), kgo.HeartbeatInterval(session/10), kgo.Balancers(franzBalancers[g.args.assignor]))
	}
	if g.args.instance != "" {
		options = append(options, kgo.InstanceID(g.args.instance))
	}
	return options
}

func (g *franzGroup) commit() {
	taken := g.printed.take()
	if len(taken) == 0 {
		return
	}
	offsets := map[string]map[int32]kgo.EpochOffset{g.args.topic: {}}
	for partition, offset := range taken {
		offsets[g.args.topic][partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ctx = kgo.PreCommitFnContext(ctx, func(request *kmsg.OffsetCommitRequest) error {
		for _, topic := range request.Topics {
			for i := range topic.Partitions {
				topic.Partitions[i].Metadata = &g.args.metadata
			}
		}
		return nil
	})
	var failed error
	g.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
		failed = err
		if response == nil {
			return
		}
		for _, topic := range response.Topics {
			for _, partition := range topic.Partitions {
				if partition.ErrorCode != 0 && failed == nil {
					failed = fmt.Errorf("commit of partition %d: error %d", partition.Partition, partition.ErrorCode)
				}
			}
		}
	})
	if failed != nil {
		sayError(failed)
		return
	}
	sayCommitted(taken)
}

func (g *franzGroup) fetch() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	found, err := kadm.NewClient(g.client).FetchOffsetsForTopics(ctx, g.args.group, g.args.topic)
	if err != nil {
		return err
	}
	var texts []string
	for partition, offset := range found[g.args.topic] {
		texts = append(texts, fmt.Sprintf("%d:%d:%s", partition, offset.At, offset.Metadata))
	}
	sort.Strings(texts)
	say("fetched", strings.Join(texts, " "))
	return nil
}

func (g *franzGroup) obey(words []string) error {
	switch words[0] {
	case "commit":
		g.commit()
	case "fetch":
		return g.fetch()
	case "seek":
		partition := int32(number(words[1]))
		g.printed.forget(partition)
		g.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{g.args.topic: {partition: {Epoch: -1, Offset: number(words[2])}}})
	}
	return nil
}

// A rebalance waits while records are printed and committed.
func (g *franzGroup) poll() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	fetches := g.client.PollRecords(ctx, 100)
	fetches.EachRecord(func(record *kgo.Record) { g.printed.record(record.Partition, record.Offset, record.Value) })
	fetches.EachError(func(_ string, _ int32, err error) {
		if ctx.Err() == nil {
			sayError(err)
		}
	})
	if g.args.commit == "each" {
		g.commit()
	}
	g.client.AllowRebalance()
}

func franzMember(args memberArguments, words <-chan []string) error {
	g := &franzGroup{args: args}
	client, err := kgo.NewClient(g.options()...)
	if err != nil {
		return err
	}
	g.client = client
	for {
		select {
		case next := <-words:
			if next[0] == "stop" {
				client.CloseAllowingRebalance()
				return nil
			}
			if err := g.obey(next); err != nil {
				sayError(err)
			}
		default:
			g.poll()
		}
	}
}
