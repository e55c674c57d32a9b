package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const franzSecondsMax = 60

var franzCodecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

var franzAcks = map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()}

func franzProduce(args arguments) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), franzSecondsMax*time.Second)
	defer cancel()
	options := []kgo.Opt{
		kgo.SeedBrokers(args.bootstrap),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(franzCodecs[args.codec]),
		kgo.RequiredAcks(franzAcks[args.acks]),
		kgo.AllowAutoTopicCreation(),
		kgo.ProducerLinger(20 * time.Millisecond),
	}
	if !args.idempotent {
		options = append(options, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	all, err := records(args)
	if err != nil {
		return 0, err
	}
	var failed error
	for number, sent := range all {
		want := int64(number)
		client.Produce(ctx, &kgo.Record{Topic: args.topic, Partition: 0, Key: sent.key, Value: sent.value}, func(r *kgo.Record, err error) {
			// Keyed text is sent to topics that hold some already.
			if err == nil && args.acks != "0" && !args.keyed && r.Offset != want {
				err = fmt.Errorf("record %d got offset %d", want, r.Offset)
			}
			if err != nil && failed == nil {
				failed = err
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return 0, err
	}
	return len(all), failed
}

func franzConsume(args arguments) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), franzSecondsMax*time.Second)
	defer cancel()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(args.bootstrap),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{args.topic: {0: kgo.NewOffset().AtStart()}}),
	)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, args.topic)
	if err != nil {
		return 0, err
	}
	end, _ := ends.Lookup(args.topic, 0)
	out, err := newLineWriter(args)
	if err != nil {
		return 0, err
	}
	for next := int64(0); next < end.Offset; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return out.count, err
		}
		if failures := fetches.Errors(); len(failures) > 0 {
			return out.count, failures[0].Err
		}
		fetches.EachRecord(func(record *kgo.Record) {
			out.add(record.Offset, record.Key, record.Value)
			next = record.Offset + 1
		})
	}
	return out.close()
}

func franzAdminTopics(ctx context.Context, admin *kadm.Client, topic string) error {
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, topic); err != nil {
		return err
	}
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, topic); !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("creating a topic twice gave %v", err)
	}
	if _, err := admin.CreateTopic(ctx, 1, 3, nil, topic+"-r"); !errors.Is(err, kerr.InvalidReplicationFactor) {
		return fmt.Errorf("replication factor 3 gave %v", err)
	}
	updated, err := admin.UpdatePartitions(ctx, 3, topic)
	if err == nil {
		err = updated.Error()
	}
	if err != nil {
		return err
	}
	described, err := admin.ListTopics(ctx, topic)
	if err == nil && len(described[topic].Partitions) != 3 {
		err = fmt.Errorf("%d partitions", len(described[topic].Partitions))
	}
	return err
}

func franzAdminConfigs(ctx context.Context, admin *kadm.Client, topic string) error {
	value := "123456"
	altered, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}}, topic)
	if err != nil {
		return err
	}
	if _, err := altered.On(topic, func(r *kadm.AlterConfigsResponse) error { return r.Err }); err != nil {
		return err
	}
	described, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return err
	}
	resource, err := described.On(topic, nil)
	if err != nil {
		return err
	}
	for _, config := range resource.Configs {
		if config.Key == "retention.ms" && config.MaybeValue() == value {
			return nil
		}
	}
	return fmt.Errorf("retention.ms was not set: %v", resource)
}

func franzAdminRecords(ctx context.Context, client *kgo.Client, admin *kadm.Client, topic string) error {
	for number := range 10 {
		record := &kgo.Record{Topic: topic, Partition: 1, Value: []byte{'0' + byte(number)}, Timestamp: time.UnixMilli(1_000_000 + int64(number))}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
	}
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 1, 4, -1)
	if _, err := admin.DeleteRecords(ctx, offsets); err != nil {
		return err
	}
	list := map[string]func() (kadm.ListedOffsets, error){
		"start":     func() (kadm.ListedOffsets, error) { return admin.ListStartOffsets(ctx, topic) },
		"end":       func() (kadm.ListedOffsets, error) { return admin.ListEndOffsets(ctx, topic) },
		"timestamp": func() (kadm.ListedOffsets, error) { return admin.ListOffsetsAfterMilli(ctx, 1_000_007, topic) },
	}
	for name, want := range map[string]int64{"start": 4, "end": 10, "timestamp": 7} {
		listed, err := list[name]()
		if err != nil {
			return err
		}
		if found, _ := listed.Lookup(topic, 1); found.Offset != want {
			return fmt.Errorf("%s offset is %d, not %d", name, found.Offset, want)
		}
	}
	return nil
}

func franzAdmin(args arguments) error {
	ctx, cancel := context.WithTimeout(context.Background(), franzSecondsMax*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(args.bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if err := franzAdminTopics(ctx, admin, args.topic); err != nil {
		return fmt.Errorf("topics: %w", err)
	}
	if err := franzAdminConfigs(ctx, admin, args.topic); err != nil {
		return fmt.Errorf("configs: %w", err)
	}
	if err := franzAdminRecords(ctx, client, admin, args.topic); err != nil {
		return fmt.Errorf("records: %w", err)
	}
	logs, err := admin.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return err
	}
	found := false
	logs.Each(func(dir kadm.DescribedLogDir) { found = found || (dir.Err == nil && len(dir.Topics[args.topic]) == 3) })
	if !found {
		return errors.New("the topic's partitions are in no log directory")
	}
	deleted, err := admin.DeleteTopics(ctx, args.topic)
	if err == nil {
		err = deleted.Error()
	}
	return err
}
