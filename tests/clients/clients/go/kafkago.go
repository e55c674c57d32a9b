package main

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
)

const kafkagoSecondsMax = 60

var kafkagoCodecs = map[string]kafka.Compression{
	"none": compress.None, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
}

var kafkagoAcks = map[string]kafka.RequiredAcks{"0": kafka.RequireNone, "1": kafka.RequireOne, "all": kafka.RequireAll}

type firstPartition struct{}

func (firstPartition) Balance(kafka.Message, ...int) int { return 0 }

func kafkagoProduce(args arguments) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), kafkagoSecondsMax*time.Second)
	defer cancel()
	writer := &kafka.Writer{
		Addr: kafka.TCP(args.bootstrap), Topic: args.topic, Balancer: firstPartition{}, BatchSize: 4000,
		BatchTimeout: 5 * time.Millisecond, RequiredAcks: kafkagoAcks[args.acks], Compression: kafkagoCodecs[args.codec],
		AllowAutoTopicCreation: true, MaxAttempts: 20,
	}
	all, err := records(args)
	if err != nil {
		return 0, err
	}
	for from := 0; from < len(all); from += 4000 {
		messages := make([]kafka.Message, 0, 4000)
		for _, sent := range all[from:min(from+4000, len(all))] {
			messages = append(messages, kafka.Message{Key: sent.key, Value: sent.value})
		}
		if err := writer.WriteMessages(ctx, messages...); err != nil {
			return from, err
		}
	}
	return len(all), writer.Close()
}

func kafkagoConsume(args arguments) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), kafkagoSecondsMax*time.Second)
	defer cancel()
	leader, err := kafka.DialLeader(ctx, "tcp", args.bootstrap, args.topic, 0)
	if err != nil {
		return 0, err
	}
	end, err := leader.ReadLastOffset()
	if err != nil {
		return 0, err
	}
	leader.Close()
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{args.bootstrap}, Topic: args.topic, Partition: 0, MaxBytes: 10 << 20, MaxWait: 200 * time.Millisecond})
	defer reader.Close()
	if err := reader.SetOffset(kafka.FirstOffset); err != nil {
		return 0, err
	}
	out, err := newLineWriter(args)
	if err != nil {
		return 0, err
	}
	for next := int64(0); next < end; {
		message, err := reader.ReadMessage(ctx)
		if err != nil {
			return out.count, err
		}
		out.add(message.Offset, message.Key, message.Value)
		next = message.Offset + 1
	}
	return out.close()
}

func kafkagoOffsets(ctx context.Context, client *kafka.Client, topic string) error {
	listed, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(1), kafka.LastOffsetOf(1)}},
	})
	if err != nil {
		return err
	}
	for _, partition := range listed.Topics[topic] {
		if partition.Error != nil || partition.FirstOffset != 0 || partition.LastOffset != 1 {
			return fmt.Errorf("offsets %+v", partition)
		}
	}
	return nil
}

func kafkagoAdmin(args arguments) error {
	ctx, cancel := context.WithTimeout(context.Background(), kafkagoSecondsMax*time.Second)
	defer cancel()
	client := &kafka.Client{Addr: kafka.TCP(args.bootstrap), Timeout: 20 * time.Second}
	create := &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: args.topic, NumPartitions: 2, ReplicationFactor: 1}}}
	created, err := client.CreateTopics(ctx, create)
	if err != nil || created.Errors[args.topic] != nil {
		return fmt.Errorf("create: %v, %v", err, created)
	}
	again, err := client.CreateTopics(ctx, create)
	if err != nil || again.Errors[args.topic] == nil {
		return fmt.Errorf("creating a topic twice was not refused: %v, %v", err, again)
	}
	alter := kafka.IncrementalAlterConfigsRequestResource{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: args.topic,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "retention.ms", Value: "123456", ConfigOperation: kafka.ConfigOperationSet}},
	}
	request := &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{alter}}
	if altered, err := client.IncrementalAlterConfigs(ctx, request); err != nil || altered.Resources[0].Error != nil {
		return fmt.Errorf("configs: %v, %v", err, altered)
	}
	answer, err := client.Produce(ctx, &kafka.ProduceRequest{
		Topic: args.topic, Partition: 1, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("x"))}),
	})
	if err != nil || answer.Error != nil {
		return fmt.Errorf("produce: %v, %v", err, answer)
	}
	if err := kafkagoOffsets(ctx, client, args.topic); err != nil {
		return err
	}
	deleted, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{args.topic}})
	if err != nil || deleted.Errors[args.topic] != nil {
		return fmt.Errorf("delete: %v, %v", err, deleted)
	}
	return nil
}
