package main

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

var saramaStrategies = map[string]sarama.BalanceStrategy{
	"": sarama.NewBalanceStrategyRange(), "range": sarama.NewBalanceStrategyRange(),
	"roundrobin": sarama.NewBalanceStrategyRoundRobin(), "sticky": sarama.NewBalanceStrategySticky(),
}

// One session of the group: sarama hands out a new one after each rebalance.
type saramaGroup struct {
	args    memberArguments
	printed printed
	lock    sync.Mutex
	session sarama.ConsumerGroupSession
}

func saramaMemberConfig(args memberArguments) *sarama.Config {
	config := saramaConfig()
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{saramaStrategies[args.assignor]}
	config.Consumer.Group.Session.Timeout = time.Duration(args.session) * time.Millisecond
	config.Consumer.Group.Heartbeat.Interval = config.Consumer.Group.Session.Timeout / 10
	config.Consumer.Group.InstanceId = args.instance
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Consumer.Return.Errors = true
	config.Metadata.RefreshFrequency = 2 * time.Second
	return config
}

func (g *saramaGroup) Setup(session sarama.ConsumerGroupSession) error {
	g.lock.Lock()
	g.session = session
	g.lock.Unlock()
	g.printed.take()
	sayPartitions("assigned", session.Claims()[g.args.topic])
	return nil
}

func (g *saramaGroup) Cleanup(session sarama.ConsumerGroupSession) error {
	if g.args.commit == "each" {
		g.commit(session)
	}
	g.lock.Lock()
	g.session = nil
	g.lock.Unlock()
	sayPartitions("revoked", session.Claims()[g.args.topic])
	return nil
}

// Sarama reports what it could not commit on the errors' channel alone, and tries again what is marked when it is told to commit.
func (g *saramaGroup) commit(session sarama.ConsumerGroupSession) {
	if session == nil {
		return
	}
	taken := g.printed.take()
	for partition, offset := range taken {
		session.MarkOffset(g.args.topic, partition, offset, g.args.metadata)
	}
	session.Commit()
	if len(taken) > 0 {
		sayCommitted(taken)
	}
}

func (g *saramaGroup) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	waited := time.NewTicker(200 * time.Millisecond)
	defer waited.Stop()
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			g.printed.record(message.Partition, message.Offset, message.Value)
		case <-waited.C:
			if g.args.commit == "each" {
				g.commit(session)
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func saramaFetch(args memberArguments) error {
	admin, err := sarama.NewClusterAdmin([]string{args.bootstrap}, saramaConfig())
	if err != nil {
		return err
	}
	defer admin.Close()
	found, err := admin.ListConsumerGroupOffsets(args.group, nil)
	if err != nil {
		return err
	}
	var texts []string
	for partition, block := range found.Blocks[args.topic] {
		texts = append(texts, fmt.Sprintf("%d:%d:%s", partition, block.Offset, block.Metadata))
	}
	sort.Strings(texts)
	say("fetched", strings.Join(texts, " "))
	return nil
}

func (g *saramaGroup) obey(words []string) error {
	g.lock.Lock()
	session := g.session
	g.lock.Unlock()
	switch words[0] {
	case "commit":
		g.commit(session)
	case "fetch":
		return saramaFetch(g.args)
	}
	return nil
}

func saramaMember(args memberArguments, words <-chan []string) error {
	group, err := sarama.NewConsumerGroup([]string{args.bootstrap}, args.group, saramaMemberConfig(args))
	if err != nil {
		return err
	}
	handler := &saramaGroup{args: args}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for err := range group.Errors() {
			sayError(err)
		}
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{args.topic}, handler); err != nil {
				sayError(err)
				time.Sleep(200 * time.Millisecond)
			}
		}
	}()
	for next := range words {
		if next[0] == "stop" {
			break
		}
		if err := handler.obey(next); err != nil {
			sayError(err)
		}
	}
	cancel()
	<-ended
	return group.Close()
}
