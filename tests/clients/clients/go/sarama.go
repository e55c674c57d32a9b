package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

var saramaCodecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

var saramaAcks = map[string]sarama.RequiredAcks{"0": sarama.NoResponse, "1": sarama.WaitForLocal, "all": sarama.WaitForAll}

func saramaConfig() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V4_0_0_0
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	return config
}

func saramaProduce(args arguments) (int, error) {
	config := saramaConfig()
	config.Producer.Compression = saramaCodecs[args.codec]
	config.Producer.RequiredAcks = saramaAcks[args.acks]
	config.Producer.Idempotent = args.idempotent
	config.Producer.Flush.Frequency = 5 * time.Millisecond
	config.Net.MaxOpenRequests = 1
	producer, err := sarama.NewAsyncProducer([]string{args.bootstrap}, config)
	if err != nil {
		return 0, err
	}
	all, err := records(args)
	if err != nil {
		return 0, err
	}
	go func() {
		for _, sent := range all {
			message := &sarama.ProducerMessage{Topic: args.topic, Partition: 0}
			if sent.key != nil {
				message.Key = sarama.ByteEncoder(sent.key)
			}
			if sent.value != nil {
				message.Value = sarama.ByteEncoder(sent.value)
			}
			producer.Input() <- message
		}
	}()
	var failed error
	for number := range all {
		select {
		case message := <-producer.Successes():
			// Keyed text is sent to topics that hold some already.
			if args.acks != "0" && !args.keyed && message.Offset != int64(number) && failed == nil {
				failed = fmt.Errorf("record %d got offset %d", number, message.Offset)
			}
		case problem := <-producer.Errors():
			return number, problem
		}
	}
	if err := producer.Close(); err != nil {
		return len(all), err
	}
	return len(all), failed
}

func saramaConsume(args arguments) (int, error) {
	client, err := sarama.NewClient([]string{args.bootstrap}, saramaConfig())
	if err != nil {
		return 0, err
	}
	defer client.Close()
	end, err := client.GetOffset(args.topic, 0, sarama.OffsetNewest)
	if err != nil {
		return 0, err
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return 0, err
	}
	partition, err := consumer.ConsumePartition(args.topic, 0, sarama.OffsetOldest)
	if err != nil {
		return 0, err
	}
	out, err := newLineWriter(args)
	if err != nil {
		return 0, err
	}
	for next := int64(0); next < end; {
		select {
		case message := <-partition.Messages():
			out.add(message.Offset, message.Key, message.Value)
			next = message.Offset + 1
		case <-time.After(30 * time.Second):
			return out.count, errors.New("nothing came within 30 s")
		}
	}
	if err := partition.Close(); err != nil {
		return out.count, err
	}
	return out.close()
}

func saramaAdminTopic(admin sarama.ClusterAdmin, topic string) error {
	value := "123456"
	detail := &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1}
	if err := admin.CreateTopic(topic, detail, false); err != nil {
		return err
	}
	if err := admin.CreateTopic(topic, detail, false); !errors.Is(err, sarama.ErrTopicAlreadyExists) {
		return fmt.Errorf("creating a topic twice gave %v", err)
	}
	if err := admin.CreatePartitions(topic, 3, nil, false); err != nil {
		return err
	}
	described, err := admin.DescribeTopics([]string{topic})
	if err != nil {
		return err
	}
	if len(described[0].Partitions) != 3 {
		return fmt.Errorf("%d partitions", len(described[0].Partitions))
	}
	entry := map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}}
	if err := admin.IncrementalAlterConfig(sarama.TopicResource, topic, entry, false); err != nil {
		return err
	}
	configs, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}})
	if err != nil {
		return err
	}
	if len(configs) != 1 || configs[0].Value != value {
		return fmt.Errorf("retention.ms described as %v", configs)
	}
	return nil
}

func saramaAdminRecords(client sarama.Client, admin sarama.ClusterAdmin, topic string) error {
	producer, err := sarama.NewSyncProducerFromClient(client)
	if err != nil {
		return err
	}
	defer producer.Close()
	for number := range 10 {
		message := &sarama.ProducerMessage{Topic: topic, Partition: 1, Value: sarama.StringEncoder("x"), Timestamp: time.UnixMilli(1_000_000 + int64(number))}
		if _, _, err := producer.SendMessage(message); err != nil {
			return err
		}
	}
	if err := admin.DeleteRecords(topic, map[int32]int64{1: 4}); err != nil {
		return err
	}
	for when, want := range map[int64]int64{sarama.OffsetOldest: 4, sarama.OffsetNewest: 10, 1_000_007: 7} {
		offset, err := client.GetOffset(topic, 1, when)
		if err != nil {
			return err
		}
		if offset != want {
			return fmt.Errorf("the offset for %d is %d, not %d", when, offset, want)
		}
	}
	return nil
}

func saramaAdmin(args arguments) error {
	client, err := sarama.NewClient([]string{args.bootstrap}, saramaConfig())
	if err != nil {
		return err
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		return err
	}
	defer admin.Close()
	if err := saramaAdminTopic(admin, args.topic); err != nil {
		return fmt.Errorf("topic: %w", err)
	}
	if err := saramaAdminRecords(client, admin, args.topic); err != nil {
		return fmt.Errorf("records: %w", err)
	}
	if brokers, controller, err := admin.DescribeCluster(); err != nil || len(brokers) == 0 || controller < 0 {
		return fmt.Errorf("cluster: %v brokers, controller %d, %v", len(brokers), controller, err)
	}
	return admin.DeleteTopic(args.topic)
}
