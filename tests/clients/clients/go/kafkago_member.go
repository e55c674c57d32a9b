package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

var kafkagoBalancers = map[string]kafka.GroupBalancer{
	"": kafka.RangeGroupBalancer{}, "range": kafka.RangeGroupBalancer{}, "roundrobin": kafka.RoundRobinGroupBalancer{},
}

// The reader does not show which partitions it was given, nor takes metadata for a commit.
func kafkagoReader(args memberArguments) *kafka.Reader {
	session := time.Duration(args.session) * time.Millisecond
	return kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{args.bootstrap}, Topic: args.topic, GroupID: args.group, StartOffset: kafka.FirstOffset,
		GroupBalancers: []kafka.GroupBalancer{kafkagoBalancers[args.assignor]}, SessionTimeout: session, HeartbeatInterval: session / 10,
		MaxWait: 100 * time.Millisecond, JoinGroupBackoff: 500 * time.Millisecond, WatchPartitionChanges: true,
		PartitionWatchInterval: 2 * time.Second, ErrorLogger: kafka.LoggerFunc(func(text string, values ...any) {
			sayError(fmt.Errorf(text, values...))
		}),
	})
}

func kafkagoFetch(args memberArguments) error {
	client := &kafka.Client{Addr: kafka.TCP(args.bootstrap), Timeout: 20 * time.Second}
	metadata, err := client.Metadata(context.Background(), &kafka.MetadataRequest{Topics: []string{args.topic}})
	if err != nil {
		return err
	}
	var partitions []int
	for _, partition := range metadata.Topics[0].Partitions {
		partitions = append(partitions, partition.ID)
	}
	found, err := client.OffsetFetch(context.Background(), &kafka.OffsetFetchRequest{GroupID: args.group, Topics: map[string][]int{args.topic: partitions}})
	if err != nil {
		return err
	}
	var texts []string
	for _, partition := range found.Topics[args.topic] {
		texts = append(texts, fmt.Sprintf("%d:%d:%s", partition.Partition, partition.CommittedOffset, partition.Metadata))
	}
	sort.Strings(texts)
	say("fetched", strings.Join(texts, " "))
	return nil
}

func kafkagoCommit(args memberArguments, reader *kafka.Reader, kept *printed) {
	taken := kept.take()
	if len(taken) == 0 {
		return
	}
	var messages []kafka.Message
	for partition, offset := range taken {
		messages = append(messages, kafka.Message{Topic: args.topic, Partition: int(partition), Offset: offset - 1})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := reader.CommitMessages(ctx, messages...); err != nil {
		sayError(err)
		return
	}
	sayCommitted(taken)
}

func kafkagoPoll(reader *kafka.Reader, kept *printed) error {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	for range 100 {
		message, err := reader.FetchMessage(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		kept.record(int32(message.Partition), message.Offset, message.Value)
	}
	return nil
}

func kafkagoMember(args memberArguments, words <-chan []string) error {
	reader := kafkagoReader(args)
	kept := &printed{}
	for {
		select {
		case next := <-words:
			switch next[0] {
			case "stop":
				return reader.Close()
			case "commit":
				kafkagoCommit(args, reader, kept)
			case "fetch":
				if err := kafkagoFetch(args); err != nil {
					sayError(err)
				}
			}
		default:
			if err := kafkagoPoll(reader, kept); err != nil {
				sayError(err)
			}
			if args.commit == "each" {
				kafkagoCommit(args, reader, kept)
			}
		}
	}
}
